//! What a test can ask about GitHub.

use std::path::Path;

use super::{
    GitHub, Repositories, Route, Seen,
    registry_tokens::{ISSUER, SERVICE},
    repositories::split,
    world::full_name,
};

/// What was seen.
impl GitHub {
    /// Installation tokens that were made.
    pub fn mints(&self) -> usize {
        self.shared.world().records.mints
    }

    /// Those for a list with this repository.
    pub fn mints_for(&self, repository: &str) -> usize {
        let (owner, name) = split(repository);
        let world = self.shared.world();
        let minted = world.records.minted.get(&full_name(owner, name));
        minted.copied().unwrap_or(0)
    }

    /// Requests for the installation of a repository.
    pub fn lookups(&self) -> usize {
        self.requests_to(Route::Lookup)
    }

    /// Those for this repository.
    pub fn lookups_for(&self, repository: &str) -> usize {
        let (owner, name) = split(repository);
        let name = Some(full_name(owner, name));
        let seen = self.seen();
        seen.iter()
            .filter(|seen| seen.route == Route::Lookup && seen.repository == name)
            .count()
    }

    /// Requests of a route that came in, answered or not.
    pub fn requests_to(&self, route: Route) -> usize {
        self.shared.world().records.count(route)
    }

    /// Waits until so many requests of a route have come in.
    pub async fn arrived(&self, route: Route, count: usize) {
        self.shared
            .until(|world| world.records.count(route) >= count)
            .await;
    }

    /// All requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.world().records.seen.clone()
    }

    /// Requests to paths that GitHub does not have.
    pub fn unexpected(&self) -> Vec<Seen> {
        let mut seen = self.seen();
        seen.retain(|seen| seen.route == Route::Unknown);
        seen
    }

    /// Every token that was made, of GitHub and of the registry, and every JWT of the App that was accepted.
    pub fn tokens(&self) -> Vec<String> {
        self.shared.world().records.secrets.clone()
    }

    /// Installation tokens among them, the newest last.
    pub fn installation_tokens(&self) -> Vec<String> {
        let mut tokens = self.tokens();
        tokens.retain(|token| token.starts_with("ghs_"));
        tokens
    }

    /// Lines of the App's private key, in both of its forms.
    pub fn key_lines(&self) -> Vec<String> {
        self.shared.app.key_lines().to_vec()
    }

    /// Everything that must not leak.
    pub fn secrets(&self) -> Vec<String> {
        let mut secrets = self.tokens();
        secrets.extend(self.key_lines());
        secrets
    }
}

/// The registry.
impl GitHub {
    /// The `auth` section of the configuration of a registry that accepts this GitHub's tokens.
    pub fn registry_auth_yaml(&self) -> String {
        format!(
            "  token:\n    realm: {}/token\n    service: {SERVICE}\n    issuer: {ISSUER}\n    rootcertbundle: {}\n",
            self.url(),
            self.shared.signer.certificate_file().display()
        )
    }

    /// Name of the registry, as its tokens and its challenges have it.
    pub fn registry_service(&self) -> &'static str {
        SERVICE
    }

    /// Tells the stand-in where the registry keeps its repositories, so that it knows which packages exist.
    pub fn packages_are_in(&self, dir: &Path) {
        let dir = dir.to_owned();
        self.shared.change(|world| world.packages = Some(dir));
    }
}

/// One token.
impl GitHub {
    /// What an installation token is for: repositories by their names without the owner, and permissions as
    /// `name:level`, each in their order.
    pub fn rights_of(&self, token: &str) -> (Vec<String>, Vec<String>) {
        let world = self.shared.world();
        let token = world.tokens.get(token).expect("a token of this GitHub");
        let repositories = match &token.repositories {
            Repositories::All => vec!["*".to_owned()],
            Repositories::Selected(names) => names.iter().cloned().collect(),
        };
        let permissions = token.permissions.iter();
        let permissions = permissions.map(|(name, level)| format!("{name}:{level}"));
        (repositories, permissions.collect())
    }
}

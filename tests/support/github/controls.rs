//! What a test does to GitHub, and what it asks about it.

use std::{path::Path, time::Duration};

use super::{
    Fault, GitHub, Hold, Lie, Repositories, Route, Seen, Times,
    registry_tokens::{ISSUER, SERVICE},
    repositories::split,
    world::{Installation, Permissions, full_name},
};

/// Installations.
impl GitHub {
    /// Installs the App in an account and returns the installation's id.
    pub fn install(
        &self,
        account: &str,
        repositories: Repositories,
        permissions: &[(&str, &str)],
    ) -> u64 {
        self.shared.change(|world| {
            let account = account.to_ascii_lowercase();
            let other = world.installations.values().any(|at| at.account == account);
            assert!(!other, "it is installed there already");
            let id = world.new_id();
            world.installations.insert(
                id,
                Installation {
                    id,
                    account,
                    repositories,
                    permissions: map(permissions),
                    suspended_at: None,
                },
            );
            id
        })
    }

    /// Takes the App away; its tokens end.
    pub fn uninstall(&self, account: &str) {
        let id = self.installation(account);
        self.shared.change(|world| world.installations.remove(&id));
    }

    /// The same installation under another id, as after taking it away and installing it again.
    pub fn reinstall(&self, account: &str) -> u64 {
        let id = self.installation(account);
        self.shared.change(|world| {
            let mut installation = world.installations.remove(&id).expect("it is there");
            installation.id = world.new_id();
            let id = installation.id;
            world.installations.insert(id, installation);
            id
        })
    }

    /// The account's owner suspends the App.
    pub fn suspend(&self, account: &str) {
        self.change_installation(account, |installation, now| {
            installation.suspended_at = Some(now);
        });
    }

    /// And takes that back.
    pub fn unsuspend(&self, account: &str) {
        self.change_installation(account, |installation, _| installation.suspended_at = None);
    }

    /// Gives the installation a permission, or another level of it; `none` takes it away.
    pub fn grant(&self, account: &str, permission: &str, level: &str) {
        self.change_installation(account, |installation, _| {
            if level == "none" {
                installation.permissions.remove(permission);
            } else {
                let level = level.to_owned();
                installation
                    .permissions
                    .insert(permission.to_owned(), level);
            }
        });
    }

    /// Changes which repositories the installation has.
    pub fn select(&self, account: &str, repositories: Repositories) {
        self.change_installation(account, |installation, _| {
            installation.repositories = repositories;
        });
    }

    fn installation(&self, account: &str) -> u64 {
        let account = account.to_ascii_lowercase();
        let world = self.shared.world();
        let found = world
            .installations
            .values()
            .find(|at| at.account == account);
        found.expect("it is installed there").id
    }

    fn change_installation(&self, account: &str, change: impl FnOnce(&mut Installation, i64)) {
        let id = self.installation(account);
        self.shared.change(|world| {
            let now = world.now();
            change(world.installations.get_mut(&id).expect("it is there"), now);
        });
    }
}

/// Time and tokens.
impl GitHub {
    /// Sets its clock so many seconds ahead of this machine's, or behind.
    pub fn set_clock_offset(&self, seconds: i64) {
        self.shared.change(|world| world.clock_offset = seconds);
    }

    /// Lifetime of the installation tokens that are made from now on. One hour at first.
    pub fn token_lifetime(&self, lifetime: Duration) {
        self.shared.change(|world| world.token_lifetime = lifetime);
    }

    /// Lifetime of the registry's tokens that are made from now on; a minute at least. Five minutes at first.
    pub fn registry_token_lifetime(&self, lifetime: Duration) {
        self.shared
            .change(|world| world.registry_token_lifetime = lifetime);
    }

    /// Ends an installation token.
    pub fn revoke(&self, token: &str) {
        let known = self.shared.change(|world| world.tokens.remove(token));
        assert!(known.is_some(), "this token was never made");
    }

    /// Ends all installation tokens.
    pub fn revoke_all(&self) {
        self.shared.change(|world| world.tokens.clear());
    }
}

/// Faults.
impl GitHub {
    /// Answers requests of these routes wrongly.
    pub fn fail(&self, routes: &[Route], times: Times, fault: Fault) {
        self.shared
            .change(|world| world.faults.plan(routes, times, fault));
    }

    /// Answers requests of a route so much later.
    pub fn slow(&self, route: Route, delay: Duration) {
        self.shared.change(|world| world.faults.slow(route, delay));
    }

    /// Lets requests of a route wait until the answer is dropped.
    #[must_use = "requests wait while it lives"]
    pub fn hold(&self, route: Route) -> Hold {
        Hold::new(&self.shared, route)
    }

    /// Gives tokens that are not what was asked for.
    pub fn lie(&self, lie: Lie) {
        self.shared.change(|world| world.faults.lie = Some(lie));
    }

    /// Lets nobody push a package that does not exist yet, as an organisation may decide.
    pub fn deny_package_creation(&self) {
        self.shared
            .change(|world| world.faults.no_new_packages = true);
    }

    /// Ends all faults but those of `hold`.
    pub fn heal(&self) {
        self.shared.change(|world| world.faults.heal());
    }
}

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

    /// Everything that must not be found anywhere.
    pub fn secrets(&self) -> Vec<String> {
        let mut secrets = self.tokens();
        secrets.extend(self.key_lines());
        secrets
    }
}

/// The registry.
impl GitHub {
    /// The `auth` section of the configuration of a registry that believes this GitHub's tokens.
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

    /// Says where the registry keeps its repositories, so that a new package can be told from an old one.
    pub fn packages_are_in(&self, dir: &Path) {
        let dir = dir.to_owned();
        self.shared.change(|world| world.packages = Some(dir));
    }
}

fn map(permissions: &[(&str, &str)]) -> Permissions {
    permissions
        .iter()
        .map(|(permission, level)| ((*permission).to_owned(), (*level).to_owned()))
        .collect()
}

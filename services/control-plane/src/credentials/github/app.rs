use std::sync::Arc;

use async_trait::async_trait;
use hearth_api::v1::{CredentialProblem, CredentialProblemReason as Reason};
use hearth_runtime::Tasks;
use tokio::sync::oneshot;

use super::{
    api::Api,
    failure::Failure,
    minter::Minter,
    permissions::{Access, Permissions},
    wire::{Slug, Token},
};
use crate::credentials::{
    ask::{Login, Logins, problem},
    counters::Counters,
    settings::GitHubAppSettings,
    source::{Source, Want},
};

/// GitHub and its registry take any name with a token, and this one is in its documentation.
const USERNAME: &str = "x-access-token";

/// A GitHub App as a source of logins.
pub(in crate::credentials) struct GitHubApp {
    hosts: Vec<String>,
    minter: Arc<Minter>,
    tasks: Tasks,
}

impl GitHubApp {
    pub(in crate::credentials) fn new(
        settings: GitHubAppSettings,
        tasks: Tasks,
        counters: Arc<Counters>,
    ) -> anyhow::Result<Self> {
        let api = Api::new(&settings, counters.clone())?;
        Ok(Self {
            hosts: settings.hosts,
            minter: Arc::new(Minter::new(api, counters)),
            tasks,
        })
    }

    /// A token, from a task of its own: others may wait for the same one when the caller goes away.
    async fn token(
        &self,
        slug: Slug,
        needed: Permissions,
        refused: String,
    ) -> Result<Option<Arc<Token>>, Failure> {
        let (done, token) = oneshot::channel();
        let (minter, stopping) = (self.minter.clone(), self.tasks.stopping().clone());
        self.tasks.spawn("token", async move {
            tokio::select! {
                () = stopping.cancelled() => {}
                token = minter.token(&slug, needed, &refused) => {
                    // Nobody may be there any more to take it.
                    let _ = done.send(token);
                }
            }
        });
        token.await.unwrap_or_else(|_| {
            let why = "the control plane is shutting down".to_owned();
            Err(Failure::Unreachable(why))
        })
    }
}

#[async_trait]
impl Source for GitHubApp {
    fn serves(&self, host: &str) -> bool {
        self.hosts.iter().any(|served| served == host)
    }

    async fn logins(&self, want: &Want<'_>) -> Logins {
        let slug = want
            .repository
            .filter(|repository| self.serves(&repository.host_port()))
            .and_then(Slug::of);
        let Some(slug) = slug else {
            return nothing(want, Reason::NotInstalled, || {
                "the GitHub App gives logins for repositories at GitHub only".to_owned()
            });
        };
        let needed = Permissions::needed(want.git.is_some(), want.registry.is_some(), want.rights);
        let refused = want.refused_sha256.to_owned();
        match self.token(slug.clone(), needed, refused).await {
            Ok(token) => logins(want, &slug, needed, token.as_deref()),
            Err(failure) => nothing(want, failure.reason(), || failure.to_string()),
        }
    }

    fn clock_skew_seconds(&self) -> Option<i64> {
        self.minter.skew_seconds()
    }
}

/// The one token for both hosts, where it is good for them.
fn logins(want: &Want<'_>, slug: &Slug, needed: Permissions, token: Option<&Token>) -> Logins {
    let given = token.map_or(
        Permissions {
            contents: false,
            packages: None,
        },
        |token| token.permissions,
    );
    let login = |host: &str| {
        token.map(|token| Login {
            host: host.to_owned(),
            username: USERNAME.to_owned(),
            password: token.secret.clone(),
            expires: Some(token.expires),
        })
    };
    let git = want.git.filter(|_| given.contents);
    let registry = want.registry.filter(|_| given.packages.is_some());
    Logins {
        git: git.and_then(login),
        registry: registry.and_then(login),
        problems: missing(want, slug, needed, given),
    }
}

/// What was needed and not granted, and what that means.
fn missing(
    want: &Want<'_>,
    slug: &Slug,
    needed: Permissions,
    given: Permissions,
) -> Vec<CredentialProblem> {
    let lacks = |host: &str, permission: &str, so: String| {
        problem(
            host,
            Reason::PermissionMissing,
            format!(
                "the GitHub App is not granted `{permission}` on {slug}, so {so}: grant it in the App's settings and \
                 accept it for the installation"
            ),
        )
    };
    let git = want
        .git
        .filter(|_| needed.contents && !given.contents)
        .map(|host| lacks(host, "contents: read", format!("{slug} cannot be read")));
    let registry = want.registry.and_then(|host| {
        let (permission, so) = match (needed.packages, given.packages) {
            (None, _)
            | (Some(Access::Read), Some(Access::Read | Access::Write))
            | (Some(Access::Write), Some(Access::Write)) => return None,
            (Some(Access::Write), Some(Access::Read)) => (
                "packages: write",
                format!("nothing can be pushed to {host}"),
            ),
            (Some(Access::Write), None) => (
                "packages: write",
                format!(
                    "nothing can be pushed to {host}, and what is private there cannot be read"
                ),
            ),
            (Some(Access::Read), None) => (
                "packages: read",
                format!("what is private at {host} cannot be read"),
            ),
        };
        Some(lacks(host, permission, so))
    });
    git.into_iter().chain(registry).collect()
}

fn nothing(want: &Want<'_>, reason: Reason, message: impl Fn() -> String) -> Logins {
    Logins {
        problems: want
            .hosts()
            .map(|host| problem(host, reason, message()))
            .collect(),
        ..Logins::default()
    }
}

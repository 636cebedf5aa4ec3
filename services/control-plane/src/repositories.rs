//! What nodes tell of repositories that no workspace has.

use std::{sync::Arc, time::Duration};

use hearth_api::v1::{
    AgentServiceListConfigsRequest, AgentServiceListConfigsResponse, GitCredential,
};
use hearth_domain::{GitRef, Login, Repository, sha256_hex};
use prost_types::Timestamp;
use secrecy::ExposeSecret as _;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use crate::{
    credentials::{Ask, Credentials, Logins, Rights},
    error::CallError,
    node::{Agents, Fleet, Standing, within},
};

/// How long a node may take: its own limit, and some more.
const CALL: Duration = Duration::from_secs(75);
/// Nodes that are asked, one after the other, if the ones before cannot look.
const MAX_NODES: usize = 3;

/// Asks nodes, with the logins that attempts get.
pub(crate) struct Repositories {
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) agents: Arc<Agents>,
    pub(crate) credentials: Arc<Credentials>,
}

impl Repositories {
    /// The configurations of a ref.
    pub(crate) async fn configs(
        &self,
        repository: &Repository,
        git_ref: &GitRef,
    ) -> Result<AgentServiceListConfigsResponse, CallError> {
        let logins = self.logins(repository, "").await;
        let listed = self.ask(repository, git_ref, &logins).await;
        let (Err(Refusal::Login(_)), Some(login)) = (&listed, &logins.git) else {
            return listed.map_err(|refusal| refusal.told(&logins));
        };
        // A cached login may have been revoked. An attempt would get another one, too.
        let refused = sha256_hex(login.password.expose_secret());
        let logins = self.logins(repository, &refused).await;
        let listed = self.ask(repository, git_ref, &logins).await;
        listed.map_err(|refusal| refusal.told(&logins))
    }

    async fn logins(&self, repository: &Repository, refused_sha256: &str) -> Logins {
        let ask = Ask {
            repository,
            registry: None,
            rights: Rights::Workspace,
            refused_sha256,
        };
        self.credentials.logins(&ask).await
    }

    async fn ask(
        &self,
        repository: &Repository,
        git_ref: &GitRef,
        logins: &Logins,
    ) -> Result<AgentServiceListConfigsResponse, Refusal> {
        let mut last = Refusal::Call(CallError::NoNode);
        for node in self.some_nodes() {
            let request = AgentServiceListConfigsRequest {
                repository: repository.clone_url(),
                r#ref: git_ref.to_string(),
                login: logins.git.as_ref().map(credential),
            };
            let answer = within(CALL, async {
                let mut client = self.agents.client(&node).await?;
                client.list_configs(request).await
            });
            let status = match answer.await {
                Ok(answer) => return Ok(answer.into_inner()),
                Err(status) => status,
            };
            match refusal(&node, &status) {
                Ok(refusal) => return Err(refusal),
                Err(other) => last = Refusal::Call(other),
            }
        }
        Err(last)
    }

    /// Nodes that can look, in another order each time.
    fn some_nodes(&self) -> Vec<String> {
        let nodes = self.fleet.all().into_iter();
        let online = nodes.filter(|node| node.standing == Standing::Online);
        let mut nodes: Vec<String> = online.map(|node| node.name).collect();
        if !nodes.is_empty() {
            let (chance, _) = Uuid::new_v4().as_u64_pair();
            let first = usize::try_from(chance % nodes.len() as u64).unwrap_or_default();
            nodes.rotate_left(first);
        }
        nodes.truncate(MAX_NODES);
        nodes
    }
}

/// Why the repository was not read.
enum Refusal {
    /// Its host wants another login.
    Login(String),
    Call(CallError),
}

impl Refusal {
    /// The failure, with what is known of the logins.
    fn told(self, logins: &Logins) -> CallError {
        match self {
            Self::Call(error) => error,
            Self::Login(message) => {
                let problem = logins.problems.first();
                let problem = problem.map(|problem| format!("; {}", problem.message));
                CallError::RepositoryUnavailable(message + &problem.unwrap_or_default())
            }
        }
    }
}

/// What the failure of a call to an agent means. `Err`: for this node alone.
fn refusal(node: &str, status: &Status) -> Result<Refusal, CallError> {
    let details = status.get_error_details();
    let reason = details.error_info().map(|info| info.reason.as_str());
    let message = status.message().to_owned();
    match (status.code(), reason) {
        (Code::NotFound, Some("REF_UNKNOWN")) => Ok(Refusal::Call(CallError::NoSuchRef(message))),
        (Code::Unauthenticated, Some("LOGIN_REFUSED")) => Ok(Refusal::Login(message)),
        (Code::Unavailable, Some("REPOSITORY_UNAVAILABLE")) => {
            Ok(Refusal::Call(CallError::RepositoryUnavailable(message)))
        }
        (Code::ResourceExhausted, _) => Err(CallError::NodesBusy(message)),
        _ => Err(CallError::AgentFailed {
            node: node.to_owned(),
            why: message,
        }),
    }
}

fn credential(login: &Login) -> GitCredential {
    GitCredential {
        host: login.host.clone(),
        username: login.username.clone(),
        password: login.password.expose_secret().to_owned(),
        expire_time: login.expires.map(Timestamp::from),
    }
}

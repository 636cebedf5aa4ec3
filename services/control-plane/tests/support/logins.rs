//! A control plane with a GitHub App, an agent, and GitHub.

use hearth_api::v1::{
    AttemptRef, CredentialProblemReason as Reason, CredentialUse, PrepareWorkspaceRequest,
    RefreshCredentialsRequest, RefreshCredentialsResponse, WorkspaceSpec,
};
use hearth_tests::github::{GitHub, Repositories, Visibility, WRITER};
use tempfile::TempDir;
use tonic::Status;

use super::{
    agent::FakeAgent,
    plane::{Plane, by},
    soon,
};

/// Where the caches are. Nothing listens there; logins for it are made all the same.
pub const REGISTRY: &str = "localhost:1";
pub struct LoginLab {
    pub github: GitHub,
    pub plane: Plane,
    pub agent: FakeAgent,
    pub session: String,
    pub directory: TempDir,
}

impl LoginLab {
    /// With the repository `acme/shop`, for which everything is granted.
    pub async fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let github = GitHub::start(directory.path().join("github")).await;
        github.create_repository("acme/shop", Visibility::Private);
        github.install("acme", Repositories::All, &WRITER);
        let plane = Self::plane(&github, &directory).await;
        let agent = FakeAgent::start("n1").await;
        let session = agent.register(&plane, &[]).await.session_token;
        Self {
            github,
            plane,
            agent,
            session,
            directory,
        }
    }

    async fn plane(github: &GitHub, directory: &TempDir) -> Plane {
        let key = github.pkcs1_key_file().display();
        let flags = [
            "--credentials=github-app".to_owned(),
            format!("--github-app-id={}", github.app_id()),
            format!("--github-app-key-file={key}"),
            format!("--github-api-url={}", github.url()),
            format!("--github-hosts={},{REGISTRY}", github.host()),
            format!("--cache-registry={REGISTRY}"),
        ];
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        Plane::start(directory.path(), &flags).await
    }

    /// Another process of the control plane, on the same database.
    pub async fn restart_plane(mut self) -> Self {
        self.plane.stop().await;
        self.plane = Self::plane(&self.github, &self.directory).await;
        self
    }

    /// A request for a workspace of a repository.
    pub fn request(&self, repository: &str) -> PrepareWorkspaceRequest {
        PrepareWorkspaceRequest {
            spec: Some(WorkspaceSpec {
                repository: self.github.clone_url(repository),
                ..WorkspaceSpec::default()
            }),
            ..PrepareWorkspaceRequest::default()
        }
    }

    /// A workspace of a repository; its id.
    pub async fn workspace(&self, repository: &str) -> String {
        let follower = self.plane.prepare(self.request(repository)).await;
        follower.id().to_owned()
    }

    /// Asks as the agent does.
    pub async fn ask(&self, id: &str) -> RefreshCredentialsResponse {
        self.ask_again(id, "").await
    }

    /// Asks as the agent does whose password was refused.
    pub async fn ask_again(&self, id: &str, refused_sha256: &str) -> RefreshCredentialsResponse {
        let mut request = question(id);
        request.refused_sha256 = refused_sha256.to_owned();
        let answer = try_ask(&self.plane, &self.session, request);
        soon("logins", answer).await.expect("an answer")
    }

    /// Asks for what cannot be had, and says why not.
    pub async fn reason(&self, id: &str) -> Reason {
        let answer = self.ask(id).await;
        assert!(
            answer.git.is_none() && answer.registry.is_none(),
            "{answer:?}"
        );
        let [git, registry] = &answer.problems[..] else {
            panic!("one problem for each host: {:?}", answer.problems);
        };
        assert_eq!(
            (&git.host, registry.host.as_str()),
            (&self.github.host(), REGISTRY)
        );
        assert_eq!(git.reason(), registry.reason());
        git.reason()
    }
}

/// For the first attempt of a workspace.
pub fn question(id: &str) -> RefreshCredentialsRequest {
    RefreshCredentialsRequest {
        attempt: Some(AttemptRef {
            workspace_id: id.to_owned(),
            attempt: 1,
        }),
        r#use: CredentialUse::Attempt.into(),
        refused_sha256: String::new(),
    }
}

pub async fn try_ask(
    plane: &Plane,
    session: &str,
    question: RefreshCredentialsRequest,
) -> Result<RefreshCredentialsResponse, Status> {
    let request = by(session, question);
    let answer = plane.credentials().await.refresh_credentials(request).await;
    answer.map(tonic::Response::into_inner)
}

/// The password of the one token for both hosts.
pub fn token(answer: &RefreshCredentialsResponse) -> &str {
    let (Some(git), Some(registry)) = (&answer.git, &answer.registry) else {
        panic!("no logins: {answer:?}");
    };
    assert_eq!(git.password, registry.password, "one token for both");
    &git.password
}

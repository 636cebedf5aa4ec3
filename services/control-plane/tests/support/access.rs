//! A control plane that asks who calls, and clients of it.

use std::{fs, path::PathBuf};

use hearth_api::v1::{
    Client, ClientScope, CreateClientRequest, CreateClientResponse, GetCallerRequest,
    GetWorkspaceRequest, PrepareWorkspaceRequest, PrepareWorkspaceResponse, RevokeClientRequest,
    WorkspaceSpec,
};
use tempfile::TempDir;
use tonic::{Status, Streaming};

use super::plane::{Plane, by};

/// The control plane, and the token of `--admin-token-file`.
pub struct Guarded {
    pub plane: Plane,
    pub admin: String,
    pub token_file: PathBuf,
    pub directory: TempDir,
}

impl Guarded {
    pub async fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let token_file = directory.path().join("admin-token");
        let plane = plane(&directory).await;
        let admin = fs::read_to_string(&token_file).expect("a token was made");
        Self {
            plane,
            admin: admin.trim().to_owned(),
            token_file,
            directory,
        }
    }

    /// Stops it and starts it again.
    pub async fn restart(mut self) -> Self {
        self.plane.stop().await;
        self.plane = plane(&self.directory).await;
        self
    }

    pub async fn create(&self, request: CreateClientRequest) -> CreateClientResponse {
        let mut clients = self.plane.clients().await;
        let created = clients.create_client(by(&self.admin, request)).await;
        created.expect("a client").into_inner()
    }

    /// The token of a new client with this name and scope, limited to these repositories.
    pub async fn client(&self, name: &str, scope: ClientScope, repositories: &[&str]) -> String {
        self.create(wanted(name, scope, repositories)).await.token
    }

    pub async fn revoke(&self, name: &str) -> Result<(), Status> {
        let mut clients = self.plane.clients().await;
        let request = RevokeClientRequest { name: name.into() };
        let revoked = clients.revoke_client(by(&self.admin, request)).await;
        revoked.map(|_| ())
    }

    pub async fn caller(&self, token: &str) -> Result<Option<Client>, Status> {
        let mut clients = self.plane.clients().await;
        let answer = clients.get_caller(by(token, GetCallerRequest {})).await?;
        Ok(answer.into_inner().client)
    }

    pub async fn prepare(
        &self,
        token: &str,
        repository: &str,
    ) -> Result<Streaming<PrepareWorkspaceResponse>, Status> {
        let request = PrepareWorkspaceRequest {
            spec: Some(WorkspaceSpec {
                repository: repository.into(),
                ..WorkspaceSpec::default()
            }),
            ..PrepareWorkspaceRequest::default()
        };
        let mut workspaces = self.plane.workspaces().await;
        let prepared = workspaces.prepare_workspace(by(token, request)).await?;
        Ok(prepared.into_inner())
    }

    /// Prepares a workspace; its id.
    pub async fn workspace(&self, token: &str, repository: &str) -> String {
        let mut stream = self.prepare(token, repository).await.expect("a workspace");
        let message = stream.message().await.expect("no failure");
        match message.and_then(|message| message.message) {
            Some(hearth_api::v1::prepare_workspace_response::Message::Snapshot(workspace)) => {
                workspace.id
            }
            other => panic!("no snapshot: {other:?}"),
        }
    }

    pub async fn get(&self, token: &str, id: &str) -> Result<(), Status> {
        let request = GetWorkspaceRequest {
            workspace_id: id.into(),
        };
        let mut workspaces = self.plane.workspaces().await;
        workspaces
            .get_workspace(by(token, request))
            .await
            .map(|_| ())
    }
}

async fn plane(directory: &TempDir) -> Plane {
    let file = directory.path().join("admin-token");
    let flag = format!("--admin-token-file={}", file.display());
    Plane::start(directory.path(), &[&flag]).await
}

pub fn wanted(name: &str, scope: ClientScope, repositories: &[&str]) -> CreateClientRequest {
    CreateClientRequest {
        name: name.into(),
        scopes: vec![scope.into()],
        repositories: repositories.iter().map(|one| (*one).to_owned()).collect(),
        valid_seconds: 0,
    }
}

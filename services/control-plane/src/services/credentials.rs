use std::sync::Arc;

use hearth_api::v1::{
    AttemptRef, CredentialUse, GitCredential, RefreshCredentialsRequest,
    RefreshCredentialsResponse, RegistryCredential, Workspace, WorkspaceState,
    credential_service_server::CredentialService,
};
use hearth_domain::Repository;
use hearth_runtime::FieldFaults;
use prost_types::Timestamp;
use secrecy::ExposeSecret as _;
use tonic::{Request, Response, Status, metadata::MetadataMap};

use super::validate;
use crate::{
    cache_target::CacheRights,
    core::Core,
    credentials::{Ask, Login, Logins, Rights},
    error::CallError,
    probe::Probed,
};

/// Hex digits of a SHA-256.
const DIGEST_DIGITS: usize = 64;

/// Serves `CredentialService`.
pub(super) struct Credentials(pub(super) Arc<Core>);

#[tonic::async_trait]
impl CredentialService for Credentials {
    async fn refresh_credentials(
        &self,
        request: Request<RefreshCredentialsRequest>,
    ) -> Result<Response<RefreshCredentialsResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        Ok(Response::new(self.refresh(&metadata, request).await?))
    }
}

impl Credentials {
    async fn refresh(
        &self,
        metadata: &MetadataMap,
        request: RefreshCredentialsRequest,
    ) -> Result<RefreshCredentialsResponse, CallError> {
        let core = &self.0;
        // First of all: who is nobody's agent learns nothing, not even which workspaces there are.
        if !core.sessions.is_agent(metadata) {
            return Err(CallError::SessionUnknown);
        }
        let attempt = request.attempt.unwrap_or_default();
        validate::workspace_id(&attempt.workspace_id)?;
        let mut faults = FieldFaults::default();
        let for_whom = CredentialUse::try_from(request.r#use);
        let for_whom = faults.check(
            "use",
            for_whom.map_err(|_| "is nothing that logins are for"),
        );
        let refused = request.refused_sha256.to_ascii_lowercase();
        let is_digest =
            refused.len() == DIGEST_DIGITS && refused.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !refused.is_empty() && !is_digest {
            faults.add("refused_sha256", "must be 64 hex digits, or empty");
        }
        faults.into_result()?;

        let workspace = self.workspace(attempt).await?;
        if !core.sessions.is_agent_of(&workspace.node, metadata) {
            return Err(CallError::SessionUnknown);
        }
        let spec = workspace.spec.clone().unwrap_or_default();
        // It was checked before it was stored.
        let Ok(repository) = spec.repository.parse::<Repository>() else {
            return Ok(RefreshCredentialsResponse::default());
        };
        let cache = CacheRights::of(&spec, &core.cache_rules);
        let rights = match for_whom {
            Some(CredentialUse::Workspace) => Rights::Workspace,
            Some(CredentialUse::Unspecified | CredentialUse::Attempt) | None => cache.rights,
        };
        let ask = Ask {
            repository: &repository,
            registry: cache.registry.as_deref(),
            rights,
            refused_sha256: &refused,
        };
        let logins = core.credentials.logins(&ask).await;
        if rights != Rights::Workspace {
            Probed::once(core, &workspace, &repository, &logins);
        }
        Ok(response(logins))
    }

    /// The workspace, if this is its newest attempt and it is to stay.
    async fn workspace(&self, attempt: AttemptRef) -> Result<Workspace, CallError> {
        let record = self.0.store.workspace(&attempt.workspace_id).await?;
        record
            .map(|record| record.workspace)
            .filter(|workspace| {
                workspace.attempt == attempt.attempt
                    && workspace.state() != WorkspaceState::Deleting
            })
            .ok_or(CallError::AttemptUnknown {
                id: attempt.workspace_id,
                attempt: attempt.attempt,
            })
    }
}

fn response(logins: Logins) -> RefreshCredentialsResponse {
    RefreshCredentialsResponse {
        git: logins.git.map(|login| GitCredential {
            expire_time: expire_time(&login),
            host: login.host,
            username: login.username,
            password: login.password.expose_secret().to_owned(),
        }),
        registry: logins.registry.map(|login| RegistryCredential {
            expire_time: expire_time(&login),
            registry: login.host,
            username: login.username,
            password: login.password.expose_secret().to_owned(),
        }),
        problems: logins.problems,
    }
}

fn expire_time(login: &Login) -> Option<Timestamp> {
    login.expires.map(Timestamp::from)
}

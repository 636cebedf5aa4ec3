use std::sync::Arc;

use hearth_api::v1::{
    CredentialUse, GetSecretsRequest, GetSecretsResponse, GitCredential, RefreshCredentialsRequest,
    RefreshCredentialsResponse, RegistryCredential, SecretValue,
    credential_service_server::CredentialService,
};
use hearth_domain::Login;
use hearth_runtime::{FieldFaults, contract};
use prost_types::Timestamp;
use secrecy::ExposeSecret as _;
use tonic::{Request, Response, Status};

use super::caller::Caller;
use crate::{
    credentials::Logins,
    error::CallError,
    probe::{AttemptLogins, Purpose},
    secrets::Secrets,
};

/// Hex digits of a SHA-256.
const DIGEST_DIGITS: usize = 64;

/// Serves `CredentialService`.
pub(super) struct CredentialApi {
    pub(super) logins: Arc<AttemptLogins>,
    pub(super) secrets: Arc<Secrets>,
}

#[tonic::async_trait]
impl CredentialService for CredentialApi {
    async fn refresh_credentials(
        &self,
        request: Request<RefreshCredentialsRequest>,
    ) -> Result<Response<RefreshCredentialsResponse>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(
            self.refresh(&caller, request.into_inner()).await?,
        ))
    }

    async fn get_secrets(
        &self,
        request: Request<GetSecretsRequest>,
    ) -> Result<Response<GetSecretsResponse>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(
            self.secrets(&caller, request.into_inner()).await?,
        ))
    }
}

impl CredentialApi {
    async fn refresh(
        &self,
        caller: &Caller,
        request: RefreshCredentialsRequest,
    ) -> Result<RefreshCredentialsResponse, CallError> {
        let mut faults = FieldFaults::default();
        let attempt = contract::attempt(request.attempt.as_ref(), &mut faults);
        let for_whom = CredentialUse::try_from(request.r#use);
        let for_whom = faults.check(
            "use",
            for_whom.map_err(|_| "must be one of the values of CredentialUse"),
        );
        let refused = request.refused_sha256.to_ascii_lowercase();
        let is_digest =
            refused.len() == DIGEST_DIGITS && refused.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !refused.is_empty() && !is_digest {
            faults.add("refused_sha256", "must be 64 hex digits, or empty");
        }
        let (attempt, for_whom) = faults.complete(attempt.zip(for_whom))?;

        let record = self.logins.workspace(&attempt).await?;
        caller.check(&record)?;
        let purpose = match for_whom {
            CredentialUse::Workspace => Purpose::Workspace,
            CredentialUse::Unspecified | CredentialUse::Attempt => Purpose::Attempt,
        };
        let logins = self.logins.give(&record, purpose, &refused).await;
        Ok(response(logins))
    }
}

impl CredentialApi {
    async fn secrets(
        &self,
        caller: &Caller,
        request: GetSecretsRequest,
    ) -> Result<GetSecretsResponse, CallError> {
        let mut faults = FieldFaults::default();
        let attempt = contract::attempt(request.attempt.as_ref(), &mut faults);
        let attempt = faults.complete(attempt)?;
        let record = self.logins.workspace(&attempt).await?;
        caller.check(&record)?;
        let (secrets, problems) = self.secrets.of(&record).await?;
        let secrets = secrets.into_iter().map(|secret| SecretValue {
            name: secret.name.to_string(),
            value: secret.value.expose().to_owned(),
        });
        Ok(GetSecretsResponse {
            secrets: secrets.collect(),
            problems,
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

use std::time::SystemTime;

use async_trait::async_trait;
use hearth_api::v1::{
    CredentialProblemReason, CredentialUse, GetSecretsRequest, GetSecretsResponse,
    RefreshCredentialsRequest, RefreshCredentialsResponse,
    credential_service_client::CredentialServiceClient,
};
use hearth_domain::{AttemptRef, Login, Secret, SecretValue};
use hearth_runtime::contract::attempt_message;
use prost_types::Timestamp;
use tonic::Code;

use super::{
    client::ControlPlaneClient,
    pauses::{pauses, while_unavailable},
};

/// What logins are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginPurpose {
    /// By an attempt: to clone, and to read and write the cache.
    Attempt,
    /// By git in a workspace.
    Workspace,
}

/// Logins for an attempt.
#[derive(Clone, Debug, Default)]
pub struct IssuedLogins {
    /// For the repository's git host.
    pub git: Option<Login>,
    /// For the cache's registry.
    pub registry: Option<Login>,
    /// Why a login is missing, or has fewer rights than needed.
    pub problems: Vec<LoginProblem>,
}

/// Why there is no login for a host, or one with too few rights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginProblem {
    /// `host[:port]`.
    pub host: String,
    /// There is a login, and it lacks a right.
    pub permission_missing: bool,
    /// What to do about it, in a sentence.
    pub message: String,
}

/// Secrets of a workspace.
#[derive(Clone, Debug, Default)]
pub struct IssuedSecrets {
    /// Those that it gets.
    pub secrets: Vec<Secret>,
    /// Those that it should have and does not get, in sentences.
    pub problems: Vec<String>,
}

/// A failed request for logins or secrets, in words.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the control plane was asked for logins or secrets: {0}")]
pub struct CredentialFailure(pub String);

/// The source of logins: the control plane.
#[async_trait]
pub trait Credentials: Send + Sync {
    /// Asks for logins. Waits until the node is registered: callers set a limit. `refused_sha256` is the SHA-256, in hex,
    /// of a password that a host did not accept.
    async fn refresh(
        &self,
        attempt: &AttemptRef,
        purpose: LoginPurpose,
        refused_sha256: Option<&str>,
    ) -> Result<IssuedLogins, CredentialFailure>;

    /// Asks for the secrets of the attempt's workspace. Waits until the node is registered: callers set a limit.
    async fn secrets(&self, attempt: &AttemptRef) -> Result<IssuedSecrets, CredentialFailure>;
}

#[async_trait]
impl Credentials for ControlPlaneClient {
    async fn refresh(
        &self,
        attempt: &AttemptRef,
        purpose: LoginPurpose,
        refused_sha256: Option<&str>,
    ) -> Result<IssuedLogins, CredentialFailure> {
        let purpose = match purpose {
            LoginPurpose::Attempt => CredentialUse::Attempt,
            LoginPurpose::Workspace => CredentialUse::Workspace,
        };
        let request = RefreshCredentialsRequest {
            attempt: Some(attempt_message(attempt)),
            r#use: purpose.into(),
            refused_sha256: refused_sha256.unwrap_or_default().to_owned(),
        };
        let answer = self.as_node(|bearer| {
            let request = &request;
            // A clone waits for the answer.
            while_unavailable(pauses().with_max_times(3), move || {
                let request = bearer.on(request.clone());
                let mut client = CredentialServiceClient::new(self.channel());
                async move { client.refresh_credentials(request).await }
            })
        });
        let answer = answer.await.map_err(|status| {
            CredentialFailure(format!("{}: {}", status.code(), status.message()))
        })?;
        issued(answer.into_inner())
    }

    async fn secrets(&self, attempt: &AttemptRef) -> Result<IssuedSecrets, CredentialFailure> {
        let request = GetSecretsRequest {
            attempt: Some(attempt_message(attempt)),
        };
        let answer = self.as_node(|bearer| {
            let request = &request;
            // A hook waits for the answer.
            while_unavailable(pauses().with_max_times(3), move || {
                let request = bearer.on(request.clone());
                let mut client = CredentialServiceClient::new(self.channel());
                async move { client.get_secrets(request).await }
            })
        });
        match answer.await {
            Ok(answer) => secrets(answer.into_inner()),
            // It is older than secrets are.
            Err(status) if status.code() == Code::Unimplemented => Ok(IssuedSecrets::default()),
            Err(status) => Err(CredentialFailure(format!(
                "{}: {}",
                status.code(),
                status.message()
            ))),
        }
    }
}

fn secrets(answer: GetSecretsResponse) -> Result<IssuedSecrets, CredentialFailure> {
    let secrets = answer.secrets.into_iter().map(|secret| {
        let name = secret.name.parse();
        let name = name.map_err(|error| CredentialFailure(format!("a secret's name {error}")))?;
        let value = SecretValue::new(secret.value);
        let value = value.map_err(|error| CredentialFailure(format!("a secret {error}")))?;
        Ok(Secret { name, value })
    });
    Ok(IssuedSecrets {
        secrets: secrets.collect::<Result<_, _>>()?,
        problems: answer.problems,
    })
}

fn issued(answer: RefreshCredentialsResponse) -> Result<IssuedLogins, CredentialFailure> {
    let RefreshCredentialsResponse {
        git,
        registry,
        problems,
    } = answer;
    let git = git.map(|login| {
        Ok(Login {
            host: login.host,
            username: login.username,
            password: login.password.into(),
            expires: expires(login.expire_time)?,
        })
    });
    let registry = registry.map(|login| {
        Ok(Login {
            host: login.registry,
            username: login.username,
            password: login.password.into(),
            expires: expires(login.expire_time)?,
        })
    });
    let problems = problems.into_iter().map(|problem| LoginProblem {
        permission_missing: problem.reason() == CredentialProblemReason::PermissionMissing,
        host: problem.host,
        message: problem.message,
    });
    Ok(IssuedLogins {
        git: git.transpose()?,
        registry: registry.transpose()?,
        problems: problems.collect(),
    })
}

fn expires(time: Option<Timestamp>) -> Result<Option<SystemTime>, CredentialFailure> {
    time.map(SystemTime::try_from).transpose().map_err(|error| {
        CredentialFailure(format!(
            "the time at which a login expires is malformed: {error}"
        ))
    })
}

#[cfg(test)]
#[path = "credentials_tests.rs"]
mod tests;

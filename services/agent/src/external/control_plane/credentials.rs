use async_trait::async_trait;
use hearth_api::v1::{
    AttemptRef, CredentialUse, RefreshCredentialsRequest, RefreshCredentialsResponse,
    credential_service_client::CredentialServiceClient,
};
use secrecy::{ExposeSecret as _, SecretString};
use tonic::{
    Code, Request,
    metadata::{Ascii, MetadataValue},
};

use super::client::ControlPlaneClient;

/// There was no answer about logins, in words.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the control plane was asked for logins: {0}")]
pub struct CredentialFailure(pub String);

/// Where logins come from: the control plane.
#[async_trait]
pub trait Credentials: Send + Sync {
    /// Asks for logins. May wait for the node's registration: whoever asks has a limit. `refused_sha256` is the SHA-256, in hex, of a password that a host did not accept, or empty.
    async fn refresh(
        &self,
        attempt: &AttemptRef,
        purpose: CredentialUse,
        refused_sha256: &str,
    ) -> Result<RefreshCredentialsResponse, CredentialFailure>;
}

#[async_trait]
impl Credentials for ControlPlaneClient {
    async fn refresh(
        &self,
        attempt: &AttemptRef,
        purpose: CredentialUse,
        refused_sha256: &str,
    ) -> Result<RefreshCredentialsResponse, CredentialFailure> {
        let mut token = self.session().token().await;
        let mut renewed = false;
        loop {
            let mut request = Request::new(RefreshCredentialsRequest {
                attempt: Some(attempt.clone()),
                r#use: purpose.into(),
                refused_sha256: refused_sha256.to_owned(),
            });
            request
                .metadata_mut()
                .insert("authorization", bearer(token.secret())?);
            let mut client = CredentialServiceClient::new(self.channel());
            match client.refresh_credentials(request).await {
                Ok(answer) => return Ok(answer.into_inner()),
                // Somebody registered this node anew, or the control plane has forgotten it.
                Err(status) if status.code() == Code::Unauthenticated && !renewed => {
                    renewed = true;
                    token = self.session().renewed(&token).await;
                }
                Err(status) => {
                    return Err(CredentialFailure(format!(
                        "{}: {}",
                        status.code(),
                        status.message()
                    )));
                }
            }
        }
    }
}

/// The value of `authorization`; marked so that HTTP/2's compression does not remember it and nobody prints it.
fn bearer(token: &SecretString) -> Result<MetadataValue<Ascii>, CredentialFailure> {
    let mut value: MetadataValue<Ascii> = format!("Bearer {}", token.expose_secret())
        .parse()
        .map_err(|_| CredentialFailure("its session token is no text for a header".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
#[path = "credentials_tests.rs"]
mod tests;

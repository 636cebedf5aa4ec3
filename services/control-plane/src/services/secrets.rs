use std::sync::Arc;

use hearth_api::v1::{
    self, DeleteSecretRequest, DeleteSecretResponse, ListSecretsRequest, ListSecretsResponse,
    SetSecretRequest, SetSecretResponse, secret_service_server::SecretService,
};
use hearth_domain::{RepositoryPattern, SecretName, SecretValue};
use hearth_runtime::FieldFaults;
use tonic::{Request, Response, Status};

use super::{page_tokens::PageTokens, paging::Paging};
use crate::{access::Caller, secrets::Secrets, store::StoredSecret};

/// Serves `SecretService`.
pub(super) struct SecretApi {
    pub(super) secrets: Arc<Secrets>,
    pub(super) pages: PageTokens,
}

#[tonic::async_trait]
impl SecretService for SecretApi {
    async fn set_secret(
        &self,
        request: Request<SetSecretRequest>,
    ) -> Result<Response<SetSecretResponse>, Status> {
        let caller = Caller::of(&request)?;
        let SetSecretRequest {
            name,
            repositories,
            value,
            all_refs,
        } = request.into_inner();
        let mut faults = FieldFaults::default();
        let value = faults.check("value", SecretValue::new(value));
        let named = named(&name, &repositories, &mut faults);
        let ((name, repositories), value) = faults.complete(named.zip(value))?;
        let secret = self
            .secrets
            .set(name, repositories, all_refs, &value)
            .await?;
        tracing::info!(
            secret.name = %secret.name,
            repositories = %secret.repositories,
            all_refs,
            by = %caller,
            "secret set"
        );
        Ok(Response::new(SetSecretResponse {
            secret: Some(message(secret)),
        }))
    }

    async fn list_secrets(
        &self,
        request: Request<ListSecretsRequest>,
    ) -> Result<Response<ListSecretsResponse>, Status> {
        let request = request.into_inner();
        let mut faults = FieldFaults::default();
        let paging = Paging::read(
            self.pages.of("secrets"),
            request.page_size,
            &request.page_token,
            &mut faults,
        );
        let paging = faults.complete(paging)?;
        let all = self.secrets.list().await?.into_iter();
        let below = all.filter(|(number, _)| paging.before.is_none_or(|before| *number < before));
        let some = below.take(paging.limit().items as usize);
        let some = some.map(|(number, secret)| (number, Some(message(secret))));
        let (secrets, next_page_token) = paging.page(some.collect());
        Ok(Response::new(ListSecretsResponse {
            secrets,
            next_page_token,
        }))
    }

    async fn delete_secret(
        &self,
        request: Request<DeleteSecretRequest>,
    ) -> Result<Response<DeleteSecretResponse>, Status> {
        let caller = Caller::of(&request)?;
        let DeleteSecretRequest { name, repositories } = request.into_inner();
        let mut faults = FieldFaults::default();
        let named = named(&name, &repositories, &mut faults);
        let (name, repositories) = faults.complete(named)?;
        self.secrets.delete(&name, &repositories).await?;
        tracing::info!(secret.name = %name, %repositories, by = %caller, "secret deleted");
        Ok(Response::new(DeleteSecretResponse {}))
    }
}

fn named(
    name: &str,
    repositories: &str,
    faults: &mut FieldFaults,
) -> Option<(SecretName, RepositoryPattern)> {
    let name = faults.check("name", name.parse());
    let pattern = repositories.parse();
    let pattern = pattern.map_err(|_| {
        "must be a pattern of HOST/OWNER/NAME, for example github.com/acme/*, of at most 256 bytes, without a scheme, a user or .git"
    });
    let pattern = faults.check("repositories", pattern);
    name.zip(pattern)
}

fn message(secret: StoredSecret) -> v1::Secret {
    v1::Secret {
        name: secret.name.to_string(),
        repositories: secret.repositories.to_string(),
        all_refs: secret.all_refs,
        create_time: Some(secret.created),
        update_time: Some(secret.updated),
    }
}

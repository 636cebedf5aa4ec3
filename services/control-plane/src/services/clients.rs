use std::sync::Arc;

use hearth_api::v1::{
    ClientScope, CreateClientRequest, CreateClientResponse, GetCallerRequest, GetCallerResponse,
    IssueCertificateRequest, IssueCertificateResponse, ListClientsRequest, ListClientsResponse,
    RevokeClientRequest, RevokeClientResponse, client_service_server::ClientService,
};
use hearth_domain::{Identity, Name, RepositoryPatterns, Scope, Scopes};
use hearth_runtime::FieldFaults;
use prost_types::Timestamp;
use secrecy::ExposeSecret as _;
use tonic::{Request, Response, Status};

use super::{page_tokens::PageTokens, paging::Paging};
use crate::{
    access::{Access, Caller, CertificateIssuer},
    clock::{from_millis, millis, now},
    error::CallError,
    store::StoredClient,
};

/// Ten years.
const MAX_VALID_SECONDS: u32 = 315_360_000;
/// One with an RSA key and many names has some KiB.
const MAX_CSR_BYTES: usize = 16 * 1024;

/// Serves `ClientService`.
pub(super) struct ClientApi {
    pub(super) pages: PageTokens,
    pub(super) access: Arc<Access>,
    /// `None`: there is no CA.
    pub(super) issuer: Option<Arc<dyn CertificateIssuer>>,
}

#[tonic::async_trait]
impl ClientService for ClientApi {
    async fn get_caller(
        &self,
        request: Request<GetCallerRequest>,
    ) -> Result<Response<GetCallerResponse>, Status> {
        let client = match Caller::of(&request)? {
            Caller::Anybody => None,
            Caller::Client(client) => Some(client.message()),
        };
        Ok(Response::new(GetCallerResponse { client }))
    }

    async fn create_client(
        &self,
        request: Request<CreateClientRequest>,
    ) -> Result<Response<CreateClientResponse>, Status> {
        let caller = Caller::of(&request)?;
        let wanted = read(request.into_inner())?;
        let (client, token) = self.access.create(wanted).await?;
        tracing::info!(client.name = %client, by = %caller, "client made");
        Ok(Response::new(CreateClientResponse {
            client: Some(client.message()),
            token: token.expose_secret().to_owned(),
        }))
    }

    async fn list_clients(
        &self,
        request: Request<ListClientsRequest>,
    ) -> Result<Response<ListClientsResponse>, Status> {
        let request = request.into_inner();
        let mut faults = FieldFaults::default();
        let paging = Paging::read(
            self.pages.of("clients"),
            request.page_size,
            &request.page_token,
            &mut faults,
        );
        let paging = faults.complete(paging)?;
        let all = self.access.list().into_iter();
        let all = all.filter_map(|client| Some((client.number()?, client)));
        let below = all.filter(|(number, _)| paging.before.is_none_or(|before| *number < before));
        let some = below.take(paging.limit().items as usize);
        let some = some.map(|(number, client)| (number, Some(client.message())));
        let (clients, next_page_token) = paging.page(some.collect());
        Ok(Response::new(ListClientsResponse {
            clients,
            next_page_token,
        }))
    }

    async fn revoke_client(
        &self,
        request: Request<RevokeClientRequest>,
    ) -> Result<Response<RevokeClientResponse>, Status> {
        let caller = Caller::of(&request)?;
        let mut faults = FieldFaults::default();
        let name = faults.check("name", request.into_inner().name.parse::<Name>());
        let name = faults.complete(name)?;
        self.access.revoke(&name).await?;
        tracing::info!(client.name = %name, by = %caller, "client revoked");
        Ok(Response::new(RevokeClientResponse {}))
    }

    async fn issue_certificate(
        &self,
        request: Request<IssueCertificateRequest>,
    ) -> Result<Response<IssueCertificateResponse>, Status> {
        let caller = Caller::of(&request)?;
        let csr = request.into_inner().csr;
        let certificate_chain = self.issue(&caller, &csr)?;
        Ok(Response::new(IssueCertificateResponse {
            certificate_chain,
        }))
    }
}

impl ClientApi {
    fn issue(&self, caller: &Caller, csr: &[u8]) -> Result<String, CallError> {
        let issuer = self.issuer.as_ref();
        let issuer = issuer.ok_or(CallError::NoCertificateAuthority)?;
        let name = match caller {
            Caller::Client(client) => client.name(),
            Caller::Anybody => None,
        };
        let name = name.ok_or_else(|| {
            CallError::NotAllowed(format!(
                "there is no certificate for {caller}: make a client first (`hearth client create`), and ask with its token"
            ))
        })?;
        let mut faults = FieldFaults::default();
        if csr.len() > MAX_CSR_BYTES {
            faults.add("csr", "is larger than 16 KiB");
        }
        faults.into_result()?;
        let chain = issuer.issue(&Identity::Client(name.clone()), csr)?;
        tracing::info!(client.name = %name, "certificate issued");
        Ok(chain)
    }
}

/// Reads what a new client is to be; the digest of its token is still to come.
fn read(request: CreateClientRequest) -> Result<impl FnOnce(String) -> StoredClient, CallError> {
    let mut faults = FieldFaults::default();
    let name = faults.check("name", request.name.parse());
    let scopes = request.scopes.iter().map(|scope| scope_of(*scope));
    let scopes = scopes.collect::<Option<Vec<_>>>();
    let scopes = scopes
        .ok_or("must be values of ClientScope")
        .and_then(|scopes| Scopes::new(scopes).map_err(|_| "must be one at least"));
    let scopes = faults.check("scopes", scopes);
    let patterns = request.repositories.iter().map(String::as_str);
    let repositories = faults.check("repositories", RepositoryPatterns::new(patterns));
    if scopes
        .as_ref()
        .is_some_and(|scopes| scopes.allow(Scope::Admin))
        && !request.repositories.is_empty()
    {
        faults.add(
            "repositories",
            "must be empty with the scope admin, which is for all of them",
        );
    }
    if request.valid_seconds > MAX_VALID_SECONDS {
        faults.add("valid_seconds", "is more than ten years");
    }
    let read = name.zip(scopes).zip(repositories);
    let ((name, scopes), repositories) = faults.complete(read)?;
    let created = now();
    let valid = (request.valid_seconds > 0).then_some(request.valid_seconds);
    let expires = valid.map(|seconds| later(&created, seconds));
    Ok(move |digest| StoredClient {
        name,
        scopes,
        repositories,
        digest,
        created,
        expires,
        last_used: None,
    })
}

fn later(time: &Timestamp, seconds: u32) -> Timestamp {
    from_millis(millis(time).saturating_add(i64::from(seconds) * 1000))
}

fn scope_of(number: i32) -> Option<Scope> {
    match ClientScope::try_from(number).ok()? {
        ClientScope::Unspecified => None,
        ClientScope::Read => Some(Scope::Read),
        ClientScope::Prepare => Some(Scope::Prepare),
        ClientScope::Exec => Some(Scope::Exec),
        ClientScope::Admin => Some(Scope::Admin),
    }
}

#[cfg(test)]
mod tests {
    use hearth_domain::sha256_hex;

    use super::*;
    use crate::store::Sqlite;

    /// Says what it is asked for.
    struct Echo;

    impl CertificateIssuer for Echo {
        fn issue(&self, identity: &Identity, csr: &[u8]) -> Result<String, CallError> {
            Ok(format!("{identity} {}", sha256_hex(csr)))
        }
    }

    #[tokio::test]
    async fn a_client_gets_a_certificate_of_its_own_name_and_the_admin_token_none() {
        let directory = tempfile::tempdir().expect("a folder");
        let store = Arc::new(Sqlite::of_test(directory.path()).await);
        let access = Access::load(true, None, store, Arc::default()).await;
        let request = CreateClientRequest {
            name: "ci".into(),
            scopes: vec![ClientScope::Read.into()],
            ..CreateClientRequest::default()
        };
        let access = access.expect("clients");
        let wanted = read(request).expect("a good request");
        let (client, _) = access.create(wanted).await.expect("a client");
        let api = ClientApi {
            pages: PageTokens::of_test(),
            access: Arc::new(access),
            issuer: Some(Arc::new(Echo)),
        };
        let caller = Caller::Client(client);
        let issued = api.issue(&caller, b"csr").expect("a certificate");
        assert_eq!(
            issued,
            format!("spiffe://hearth/client/ci {}", sha256_hex("csr"))
        );
        let refused = api.issue(&Caller::Anybody, b"csr");
        assert!(matches!(refused, Err(CallError::NotAllowed(_))));
        let large = api.issue(&caller, &[0; MAX_CSR_BYTES + 1]);
        assert!(matches!(large, Err(CallError::Malformed(_))));
    }
}

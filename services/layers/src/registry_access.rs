//! Requests that the OCI client has no call for: deleting, and trying what a login may do.

use http_auth::parse_challenges;
use reqwest::{Method, Response, StatusCode, Url, header};
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    ANSWER_TIMEOUT, CONNECT_TIMEOUT, RegistryClient, RegistryError, RegistryLogin, innermost,
    is_loopback, parse,
};

/// Tokens and error messages have some KiB.
const MAX_BODY: usize = 64 * 1024;

impl RegistryClient {
    /// Whether `repository` (`registry/path`) can be read. One that is not there yet can.
    pub async fn try_pull(&self, repository: &str) -> Result<(), RegistryError> {
        let access = self.access(repository, "pull").await?;
        match access.send(Method::GET, "tags/list?n=1").await {
            Ok(_) | Err(RegistryError::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whether `repository` can be written: begins an upload and cancels it (OCI distribution spec, "Pushing blobs").
    pub async fn try_push(&self, repository: &str) -> Result<(), RegistryError> {
        let access = self.access(repository, "pull,push").await?;
        let begun = access.send(Method::POST, "blobs/uploads/").await?;
        let place = begun.headers().get(header::LOCATION);
        let place = place.and_then(|place| access.base.join(place.to_str().ok()?).ok());
        // A registry drops uploads that nobody goes on with: one that cannot be cancelled is no failure.
        if let Some(place) = place.filter(|place| place.origin() == access.base.origin()) {
            let _ = access.send_to(Method::DELETE, place).await;
        }
        Ok(())
    }

    /// Whether images of `repository` can be deleted: tries it with a digest that nothing has. `Unsupported` where the
    /// registry has that switched off.
    pub async fn try_delete(&self, repository: &str) -> Result<(), RegistryError> {
        let nothing = format!("sha256:{}", "0".repeat(64));
        match self.delete(&format!("{repository}@{nothing}")).await {
            Ok(()) | Err(RegistryError::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Deletes the manifest that `image` (`repository@digest`) names, and every tag of it with it (OCI distribution spec,
    /// "Deleting Manifests"). `Unsupported` where the registry has that switched off.
    pub async fn delete(&self, image: &str) -> Result<(), RegistryError> {
        let reference = parse(image)?;
        let Some(digest) = reference.digest() else {
            return Err(RegistryError::BadReference(image.to_owned()));
        };
        let access = self.access(image, "pull,push,delete").await?;
        let path = format!("manifests/{digest}");
        access.send(Method::DELETE, &path).await.map(|_| ())
    }

    /// Logs in to where `image` is, for `actions` (distribution's "Token Scope Documentation").
    async fn access(&self, image: &str, actions: &str) -> Result<Access, RegistryError> {
        let reference = parse(image)?;
        let registry = reference.resolve_registry();
        let scheme = if is_loopback(registry) {
            "http"
        } else {
            "https"
        };
        let base = format!("{scheme}://{registry}/v2/");
        let base = Url::parse(&base).map_err(|_| RegistryError::BadReference(image.to_owned()))?;
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ANSWER_TIMEOUT)
            .build()
            .map_err(unreachable)?;
        let mut access = Access {
            http,
            base,
            repository: reference.repository().to_owned(),
            proof: Proof::None,
        };
        access.proof = access.log_in(self.login_for(&reference), actions).await?;
        Ok(access)
    }
}

/// A repository of a registry, and what its requests are sent with.
struct Access {
    http: reqwest::Client,
    base: Url,
    repository: String,
    proof: Proof,
}

enum Proof {
    None,
    Login(RegistryLogin),
    Token(SecretString),
}

impl Access {
    /// Asks the registry how it wants to be convinced, and does that.
    async fn log_in(
        &self,
        login: Option<&RegistryLogin>,
        actions: &str,
    ) -> Result<Proof, RegistryError> {
        let answer = self.http.get(self.base.clone()).send().await;
        let answer = answer.map_err(unreachable)?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return Ok(Proof::None);
        }
        let header = answer.headers().get(header::WWW_AUTHENTICATE);
        let header = header.and_then(|header| header.to_str().ok());
        let challenges = parse_challenges(header.unwrap_or_default())
            .map_err(|error| RegistryError::Protocol(error.to_string()))?;
        let bearer = challenges
            .iter()
            .find(|challenge| challenge.scheme.eq_ignore_ascii_case("bearer"));
        let Some(bearer) = bearer else {
            let login = login.ok_or(RegistryError::LoginFailed)?;
            return Ok(Proof::Login(login.clone()));
        };
        let parameter = |name: &str| {
            let named =
                |(known, _): &&(&str, http_auth::ParamValue<'_>)| known.eq_ignore_ascii_case(name);
            let (_, value) = bearer.params.iter().find(named)?;
            Some(value.to_unescaped())
        };
        let realm = parameter("realm").and_then(|realm| Url::parse(&realm).ok());
        let mut realm = realm.ok_or_else(|| {
            RegistryError::Protocol("it does not say where tokens come from".to_owned())
        })?;
        // The password goes there.
        if realm.scheme() != "https" && !realm.host_str().is_some_and(is_loopback) {
            return Err(RegistryError::Protocol(format!(
                "it sends the login to {} without TLS",
                realm.host_str().unwrap_or_default()
            )));
        }
        if let Some(service) = parameter("service") {
            realm.query_pairs_mut().append_pair("service", &service);
        }
        let scope = format!("repository:{}:{actions}", self.repository);
        realm.query_pairs_mut().append_pair("scope", &scope);
        self.token(realm, login).await.map(Proof::Token)
    }

    async fn token(
        &self,
        realm: Url,
        login: Option<&RegistryLogin>,
    ) -> Result<SecretString, RegistryError> {
        let mut request = self.http.get(realm);
        if let Some(login) = login {
            request = request.basic_auth(&login.username, Some(login.password.expose_secret()));
        }
        let answer = request.send().await.map_err(unreachable)?;
        let status = answer.status();
        let body = body(answer).await?;
        match status.as_u16() {
            200..=299 => {}
            401 => return Err(RegistryError::LoginFailed),
            403 => return Err(RegistryError::Denied(message(&body, status))),
            429 | 500.. => return Err(RegistryError::Unreachable(format!("status {status}"))),
            _ => return Err(RegistryError::Protocol(message(&body, status))),
        }
        let body: serde_json::Value = serde_json::from_slice(&body)
            .map_err(|_| RegistryError::Protocol("its token is no JSON".to_owned()))?;
        // One name is Docker's, the other OAuth's; a registry may send either.
        let token = ["token", "access_token"]
            .iter()
            .find_map(|name| body.get(name)?.as_str());
        let token = token.ok_or_else(|| RegistryError::Protocol("it sends no token".to_owned()))?;
        Ok(token.to_owned().into())
    }

    /// Sends a request about the repository.
    async fn send(&self, method: Method, path: &str) -> Result<Response, RegistryError> {
        let url = self.base.join(&format!("{}/{path}", self.repository));
        let url = url.map_err(|_| RegistryError::BadReference(self.repository.clone()))?;
        self.send_to(method, url).await
    }

    async fn send_to(&self, method: Method, url: Url) -> Result<Response, RegistryError> {
        // Some registries want to hear that a body is empty.
        let request = self
            .http
            .request(method, url)
            .header(header::CONTENT_LENGTH, 0);
        let request = match &self.proof {
            Proof::None => request,
            Proof::Login(login) => {
                request.basic_auth(&login.username, Some(login.password.expose_secret()))
            }
            Proof::Token(token) => request.bearer_auth(token.expose_secret()),
        };
        let answer = request.send().await.map_err(unreachable)?;
        let status = answer.status();
        match (status.as_u16(), &self.proof) {
            (200..=299, _) => Ok(answer),
            // The token was given, and does not hold what was asked for.
            (401, Proof::Token(_)) | (403, _) => {
                let body = body(answer).await?;
                Err(RegistryError::Denied(message(&body, status)))
            }
            (401, _) => Err(RegistryError::LoginFailed),
            (404, _) => Err(RegistryError::NotFound(self.repository.clone())),
            (400 | 405 | 501, _) => Err(RegistryError::Unsupported),
            (429 | 500.., _) => Err(RegistryError::Unreachable(format!("status {status}"))),
            _ => Err(RegistryError::Protocol(format!("status {status}"))),
        }
    }
}

async fn body(mut answer: Response) -> Result<Vec<u8>, RegistryError> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(unreachable)? {
        if body.len() + chunk.len() > MAX_BODY {
            return Err(RegistryError::Protocol("its answer is too long".to_owned()));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// What a registry says about a refusal (OCI distribution spec, "Error Codes"), or the bare status.
fn message(body: &[u8], status: StatusCode) -> String {
    let told = serde_json::from_slice::<serde_json::Value>(body).ok();
    told.as_ref()
        .and_then(|told| told.pointer("/errors/0/message")?.as_str())
        .map_or_else(|| format!("status {status}"), str::to_owned)
}

fn unreachable(error: reqwest::Error) -> RegistryError {
    RegistryError::Unreachable(innermost(&error))
}

#[cfg(test)]
#[path = "registry_access_tests.rs"]
mod tests;

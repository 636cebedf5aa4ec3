//! Requests about one repository of a registry, and the login that they are sent with (OCI distribution spec;
//! distribution's "Token Authentication Specification").
//!
//! `oci-client` is not used for this: a client of it keeps the first login that it gets for a registry as long as it
//! exists, so that one client for each question would be needed, and with it a new connection.

use std::time::Duration;

use hearth_domain::{Login, is_loopback};
use http_auth::{ChallengeRef, parse_challenges};
use oci_spec::distribution::Reference;
use reqwest::{Method, Request, RequestBuilder, Response, StatusCode, Url, header};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::{RegistryError, refusal::Refusal};

/// A registry that does not answer must not hold up a workspace: beyond this a question counts as unanswered.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of a token or an error message; they have some KiB.
pub(crate) const MAX_MESSAGE: usize = 64 * 1024;
/// As many as browsers and reqwest follow, roughly.
const MAX_REDIRECTS: usize = 10;
/// Without this list registries answer with manifests of older forms.
const MANIFESTS: &str = "application/vnd.docker.distribution.manifest.v2+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.oci.image.manifest.v1+json, \
     application/vnd.oci.image.index.v1+json";

/// A blob that arrives slowly is read for at most this long.
#[cfg(feature = "engine")]
const BLOB_TIMEOUT: Duration = Duration::from_secs(3600);

/// A request that the registry did not fulfil.
#[cfg(feature = "engine")]
pub(crate) struct Refused {
    /// Why.
    pub error: RegistryError,
    /// How long the registry wants to be left alone.
    pub retry_after: Option<Duration>,
}

#[cfg(feature = "engine")]
impl From<RegistryError> for Refused {
    fn from(error: RegistryError) -> Self {
        Self {
            error,
            retry_after: None,
        }
    }
}

/// A repository of a registry, and what its requests are sent with.
pub(crate) struct Access {
    http: reqwest::Client,
    /// `…/v2/`.
    base: Url,
    /// What was asked about, for messages.
    image: String,
    repository: String,
    proof: Proof,
}

enum Proof {
    None,
    Password(Login),
    Token {
        token: SecretString,
        /// Whether it was given for a login, and not for anonymous use.
        logged_in: bool,
    },
}

impl Access {
    /// Asks the registry of `image`, at `base`, how it wants to be logged in to, and does that for `actions` on its repository
    /// (distribution's "Token Scope Documentation"). `login` has to be one for this registry.
    pub async fn log_in(
        http: &reqwest::Client,
        image: &str,
        reference: &Reference,
        base: Url,
        login: Option<&Login>,
        actions: &str,
    ) -> Result<Self, RegistryError> {
        let mut access = Self {
            http: http.clone(),
            base,
            image: image.to_owned(),
            repository: reference.repository().to_owned(),
            proof: Proof::None,
        };
        access.proof = access.proof(login, actions).await?;
        Ok(access)
    }

    async fn proof(&self, login: Option<&Login>, actions: &str) -> Result<Proof, RegistryError> {
        let answer = self.follow(self.http.get(self.base.clone())).await?;
        let status = answer.status();
        let header = answer.headers().get(header::WWW_AUTHENTICATE).cloned();
        finish(answer).await;
        if status != StatusCode::UNAUTHORIZED {
            return Ok(Proof::None);
        }
        let header = header.as_ref().and_then(|header| header.to_str().ok());
        let challenges = parse_challenges(header.unwrap_or_default())
            .map_err(|error| RegistryError::Protocol(error.to_string()))?;
        let bearer = challenges
            .iter()
            .find(|challenge| challenge.scheme.eq_ignore_ascii_case("bearer"));
        let Some(bearer) = bearer else {
            let login = login.ok_or(RegistryError::LoginFailed)?;
            return Ok(Proof::Password(login.clone()));
        };
        let mut url = token_url(bearer)?;
        let scope = format!("repository:{}:{actions}", self.repository);
        url.query_pairs_mut().append_pair("scope", &scope);
        Ok(Proof::Token {
            token: self.token(url, login).await?,
            logged_in: login.is_some(),
        })
    }

    async fn token(&self, url: Url, login: Option<&Login>) -> Result<SecretString, RegistryError> {
        let mut request = self.http.get(url);
        if let Some(login) = login {
            request = request.basic_auth(&login.username, Some(login.password.expose_secret()));
        }
        let answer = self.follow(request).await?;
        if !answer.status().is_success() {
            return Err(match self.refused(answer, false).await {
                // There is no such endpoint, which says nothing of the image.
                RegistryError::NotFound(_) => {
                    RegistryError::Protocol("it has no tokens where it says".to_owned())
                }
                refused => refused,
            });
        }
        let body = read_body(answer, MAX_MESSAGE).await?;
        // One name is Docker's, the other OAuth's; a registry may send either.
        #[derive(Deserialize)]
        struct Answer {
            token: Option<SecretString>,
            access_token: Option<SecretString>,
        }
        let answer: Answer = serde_json::from_slice(&body).map_err(|_| {
            RegistryError::Protocol("its answer with the token is not JSON".to_owned())
        })?;
        answer
            .token
            .or(answer.access_token)
            .ok_or_else(|| RegistryError::Protocol("it sends no token".to_owned()))
    }

    /// A URL that the registry sent, which may be relative; `None` where it is not one of this registry.
    pub fn own_url(&self, url: &str) -> Option<Url> {
        let url = self.base.join(url).ok()?;
        (url.origin() == self.base.origin()).then_some(url)
    }

    /// Sends a request about the repository.
    pub async fn send(&self, method: Method, path: &str) -> Result<Response, RegistryError> {
        let url = self.base.join(&format!("{}/{path}", self.repository));
        let url = url.map_err(|_| RegistryError::BadReference(self.image.clone()))?;
        self.send_to(method, url).await
    }

    /// Sends a request to a URL of the registry.
    pub async fn send_to(&self, method: Method, url: Url) -> Result<Response, RegistryError> {
        let reads = matches!(method, Method::GET | Method::HEAD);
        let request = self.http.request(method, url);
        let request = match reads {
            true => request.header(header::ACCEPT, MANIFESTS),
            // Some registries want to hear that a body is empty.
            false => request.header(header::CONTENT_LENGTH, 0),
        };
        self.proven(request, !reads).await
    }

    /// Asks for a blob, or for the bytes `range` (first and last) of it. A registry may send it all the same.
    #[cfg(feature = "engine")]
    pub async fn blob(&self, digest: &str, range: Option<(u64, u64)>) -> Result<Response, Refused> {
        let path = format!("{}/blobs/{digest}", self.repository);
        let url = self.base.join(&path);
        let url = url.map_err(|_| RegistryError::BadReference(self.image.clone()))?;
        // Whoever reads it sees whether something arrives.
        let mut request = self.http.get(url).timeout(BLOB_TIMEOUT);
        if let Some((first, last)) = range {
            request = request.header(header::RANGE, format!("bytes={first}-{last}"));
        }
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, self.follow(self.with_proof(request)));
        let answer = answer.await.map_err(|_| {
            RegistryError::Unreachable(format!("no answer within {} s", ANSWER_TIMEOUT.as_secs()))
        })?;
        let answer = answer?;
        match answer.status().is_success() {
            true => Ok(answer),
            false => Err(self.refuses(answer).await),
        }
    }

    /// What an answer that refuses says.
    #[cfg(feature = "engine")]
    pub async fn refuses(&self, answer: Response) -> Refused {
        let seconds = answer.headers().get(header::RETRY_AFTER);
        let seconds = seconds.and_then(|seconds| seconds.to_str().ok()?.parse().ok());
        Refused {
            error: self.refused(answer, false).await,
            retry_after: seconds.map(Duration::from_secs),
        }
    }

    /// The URL of something in the repository.
    #[cfg(feature = "engine")]
    pub fn url(&self, path: &str) -> Result<Url, RegistryError> {
        let url = self.base.join(&format!("{}/{path}", self.repository));
        url.map_err(|_| RegistryError::BadReference(self.image.clone()))
    }

    /// A step of an upload, which can lead to another host. The login is only for the registry.
    #[cfg(feature = "engine")]
    pub fn step(&self, method: Method, url: Url) -> RequestBuilder {
        let is_own = url.origin() == self.base.origin();
        let request = self.http.request(method, url);
        match is_own {
            true => self.with_proof(request),
            false => request,
        }
    }

    /// Takes a step, and returns the answer whatever its status is.
    #[cfg(feature = "engine")]
    pub async fn take(&self, step: RequestBuilder) -> Result<Response, RegistryError> {
        self.follow(step).await
    }

    /// Sends a manifest of the repository.
    pub async fn put_manifest(
        &self,
        path: &str,
        media_type: String,
        body: Vec<u8>,
    ) -> Result<Response, RegistryError> {
        let url = self.base.join(&format!("{}/{path}", self.repository));
        let url = url.map_err(|_| RegistryError::BadReference(self.image.clone()))?;
        self.put(url, media_type, body).await
    }

    /// Sends a body to a URL of the registry.
    pub async fn put(
        &self,
        url: Url,
        media_type: String,
        body: Vec<u8>,
    ) -> Result<Response, RegistryError> {
        let request = self.http.put(url).header(header::CONTENT_TYPE, media_type);
        self.proven(request.body(body), false).await
    }

    /// Sends a request with the login. `can_be_off`: registries can have what it asks for switched off.
    async fn proven(
        &self,
        request: RequestBuilder,
        can_be_off: bool,
    ) -> Result<Response, RegistryError> {
        let answer = self.follow(self.with_proof(request)).await?;
        if answer.status().is_success() {
            Ok(answer)
        } else {
            Err(self.refused(answer, can_be_off).await)
        }
    }

    /// Sends a request, and sends it again where the answer says that it has moved, as blobs often have. The login goes to
    /// the host that it is for, and nowhere once that was left: reqwest, which sees to that between one redirect and the
    /// next only, is told to follow none.
    async fn follow(&self, request: RequestBuilder) -> Result<Response, RegistryError> {
        let mut request = request.build()?;
        let home = request.url().origin();
        for _ in 0..MAX_REDIRECTS {
            let again = request.try_clone();
            // Boxed: it is in the futures of all calls.
            let answer = Box::pin(self.http.execute(request)).await?;
            let moved = moved_to(&answer, again.as_ref().map(Request::method));
            let (Some(mut next), Some(url)) = (again, moved) else {
                return Ok(answer);
            };
            Box::pin(finish(answer)).await;
            if url.origin() != home {
                next.headers_mut().remove(header::AUTHORIZATION);
            }
            *next.url_mut() = url;
            request = next;
        }
        let message = format!("it redirects more than {MAX_REDIRECTS} times");
        Err(RegistryError::Protocol(message))
    }

    fn with_proof(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.proof {
            Proof::None => request,
            Proof::Password(login) => {
                request.basic_auth(&login.username, Some(login.password.expose_secret()))
            }
            Proof::Token { token, .. } => request.bearer_auth(token.expose_secret()),
        }
    }

    async fn refused(&self, answer: Response, can_be_off: bool) -> RegistryError {
        let status = answer.status();
        // The answer to HEAD has none, and a body that breaks off says nothing.
        let body = read_body(answer, MAX_MESSAGE).await.unwrap_or_default();
        let refusal = Refusal::read(&body);
        match (status.as_u16(), &self.proof) {
            // The login is good for a token, and that does not hold what was asked for.
            (401, Proof::Token { logged_in, .. }) if *logged_in => {
                RegistryError::Denied(refusal.message(status))
            }
            (401, _) => RegistryError::LoginFailed,
            (403, _) => RegistryError::Denied(refusal.message(status)),
            (404, _) => RegistryError::NotFound(self.image.clone()),
            (400..=499, _) if refusal.is_not_found() => RegistryError::NotFound(self.image.clone()),
            (400 | 405 | 501, _) if can_be_off => RegistryError::Unsupported,
            (429, _) => RegistryError::Unreachable("it asks for fewer requests".to_owned()),
            (500.., _) => RegistryError::Unreachable(format!("status {status}")),
            _ => RegistryError::Protocol(refusal.message(status)),
        }
    }
}

/// Where an answer says that a request has to be sent instead. What is not only read is moved as a whole or not at all.
fn moved_to(answer: &Response, method: Option<&Method>) -> Option<Url> {
    let reads = matches!(method, Some(&Method::GET | &Method::HEAD));
    let moves = match answer.status().as_u16() {
        301..=303 => reads,
        307 | 308 => true,
        _ => false,
    };
    let location = answer.headers().get(header::LOCATION).filter(|_| moves)?;
    let url = answer.url().join(location.to_str().ok()?).ok()?;
    matches!(url.scheme(), "http" | "https").then_some(url)
}

/// Where a challenge says that tokens come from.
fn token_url(bearer: &ChallengeRef<'_>) -> Result<Url, RegistryError> {
    let parameter = |name: &str| {
        let named = bearer
            .params
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.to_unescaped())
    };
    let realm = parameter("realm").and_then(|realm| Url::parse(&realm).ok());
    let mut url = realm.ok_or_else(|| {
        RegistryError::Protocol("it does not say where tokens come from".to_owned())
    })?;
    // The password goes there.
    let host = url.host_str().unwrap_or_default();
    if url.scheme() != "https" && !is_loopback(host) {
        return Err(RegistryError::Protocol(format!(
            "it sends the login to {host} without TLS"
        )));
    }
    if let Some(service) = parameter("service") {
        url.query_pairs_mut().append_pair("service", &service);
    }
    Ok(url)
}

/// The body of an answer, of at most `max` bytes.
pub(crate) async fn read_body(mut answer: Response, max: usize) -> Result<Vec<u8>, RegistryError> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if body.len() + chunk.len() > max {
            return Err(RegistryError::Protocol("its answer is too long".to_owned()));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Reads what is left of an answer: its connection can then serve the next question.
pub(crate) async fn finish(answer: Response) {
    // One that goes on for too long loses its connection, and nothing else.
    let _ = read_body(answer, MAX_MESSAGE).await;
}

//! Requests to the engine itself.

use std::path::{Path, PathBuf};

use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Empty, Full, Limited, combinators::UnsyncBoxBody};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::UnixStream;

use super::children::Children;

/// Most bytes of an answer that is read whole: a list of many containers has some hundred KiB.
const MAX_ANSWER: usize = 32 * 1024 * 1024;

pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// The engine did not answer as it should.
#[derive(Debug, thiserror::Error)]
#[error("the engine does not answer: {0}")]
pub struct Unanswered(BoxError);

impl Unanswered {
    fn of(error: impl Into<BoxError>) -> Self {
        Self(error.into())
    }
}

/// The engine's own socket.
#[derive(Clone, Debug)]
pub struct Upstream {
    socket: PathBuf,
    children: Children,
}

impl Upstream {
    pub fn new(socket: PathBuf, children: Children) -> Self {
        Self { socket, children }
    }

    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Sends a request over a connection of its own. An answer may be an upgrade.
    pub async fn send(&self, mut request: Request<Body>) -> Result<Response<Incoming>, Unanswered> {
        request
            .headers_mut()
            .insert(header::HOST, HeaderValue::from_static("docker"));
        let connected = UnixStream::connect(&self.socket).await;
        let stream = connected
            .map_err(|error| Unanswered::of(format!("{}: {error}", self.socket.display())))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(Unanswered::of)?;
        self.children.spawn(async move {
            // What fails here fails the request or its answer too.
            let _ = connection.with_upgrades().await;
        });
        sender.send_request(request).await.map_err(Unanswered::of)
    }

    /// Asks for something by a request of the door's own; `None` if there is no such thing.
    pub async fn get<T: DeserializeOwned>(&self, target: &str) -> Result<Option<T>, Unanswered> {
        let (status, body) = self.call(Method::GET, target, None).await?;
        if status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        if !status.is_success() {
            return Err(Unanswered::of(String::from_utf8_lossy(&body).into_owned()));
        }
        serde_json::from_slice(&body)
            .map(Some)
            .map_err(Unanswered::of)
    }

    /// Makes a request of the door's own, and reads the answer.
    pub async fn call(
        &self,
        method: Method,
        target: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Bytes), Unanswered> {
        let mut request = Request::builder().method(method).uri(target);
        let body = match body {
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                full(serde_json::to_vec(body).map_err(Unanswered::of)?)
            }
            None => empty(),
        };
        let answer = self
            .send(request.body(body).map_err(Unanswered::of)?)
            .await?;
        let status = answer.status();
        Ok((
            status,
            whole(answer.into_body(), MAX_ANSWER)
                .await
                .map_err(Unanswered::of)?,
        ))
    }

    /// Reads an answer whole.
    pub async fn read(
        answer: Response<Incoming>,
    ) -> Result<(http::response::Parts, Bytes), Unanswered> {
        let (parts, body) = answer.into_parts();
        Ok((
            parts,
            whole(body, MAX_ANSWER).await.map_err(Unanswered::of)?,
        ))
    }
}

/// A body that is read whole, if it has no more than `max` bytes.
pub async fn whole(body: Incoming, max: usize) -> Result<Bytes, BoxError> {
    Ok(Limited::new(body, max).collect().await?.to_bytes())
}

pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

pub fn streamed(body: Incoming) -> Body {
    body.map_err(Into::into).boxed_unsync()
}

/// Whether a header is about the message and not about a connection.
pub fn is_end_to_end(name: &HeaderName) -> bool {
    !matches!(
        *name,
        header::CONNECTION
            | header::TRANSFER_ENCODING
            | header::UPGRADE
            | header::TE
            | header::TRAILER
    ) && name != "keep-alive"
}

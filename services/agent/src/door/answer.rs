//! Answers to an attempt.

use http::{Response, StatusCode, header};
use hyper::body::{Bytes, Incoming};
use serde_json::{Value, json};

use super::{
    endpoint::Refused,
    names::Names,
    upstream::{self, Body, Unanswered, Upstream},
};

/// Why there is no answer of the engine's, in the form of the engine's errors.
#[derive(Debug)]
pub enum No {
    /// It may not be asked for.
    Forbidden(String),
    /// It does not exist, or is not the workspace's.
    Absent(String),
    /// The request cannot be read.
    Invalid(String),
    /// The engine cannot be asked.
    Unanswered(Unanswered),
    /// The engine refused what the request needs.
    Engine(StatusCode, Bytes),
}

impl No {
    pub fn absent(kind: &str, name: &str) -> Self {
        Self::Absent(format!("No such {kind}: {name}"))
    }

    pub fn into_answer(self) -> Response<Body> {
        let (status, message) = match self {
            Self::Forbidden(message) => (StatusCode::FORBIDDEN, message),
            Self::Absent(message) => (StatusCode::NOT_FOUND, message),
            Self::Invalid(why) => (
                StatusCode::BAD_REQUEST,
                format!("hearth cannot read the request to the engine: {why}"),
            ),
            Self::Unanswered(error) => (StatusCode::BAD_GATEWAY, error.to_string()),
            Self::Engine(status, body) => return made(status, body),
        };
        made(status, json!({ "message": message }).to_string().into())
    }
}

impl From<Refused> for No {
    fn from(refused: Refused) -> Self {
        Self::Forbidden(refused.to_string())
    }
}

impl From<Unanswered> for No {
    fn from(error: Unanswered) -> Self {
        Self::Unanswered(error)
    }
}

fn made(status: StatusCode, body: Bytes) -> Response<Body> {
    let mut answer = Response::new(upstream::full(body));
    *answer.status_mut() = status;
    let json = header::HeaderValue::from_static("application/json");
    answer.headers_mut().insert(header::CONTENT_TYPE, json);
    answer
}

/// The engine's answer as it comes.
pub fn streamed(answer: Response<Incoming>) -> Response<Body> {
    let (mut parts, body) = answer.into_parts();
    let own: Vec<_> = parts
        .headers
        .keys()
        .filter(|name| !upstream::is_end_to_end(name))
        .cloned()
        .collect();
    for name in own {
        parts.headers.remove(name);
    }
    Response::from_parts(parts, upstream::streamed(body))
}

/// The engine's answer, changed.
async fn changed(
    answer: Response<Incoming>,
    change: impl FnOnce(&mut Value),
) -> Result<Response<Body>, Unanswered> {
    if !answer.status().is_success() {
        return Ok(streamed(answer));
    }
    let (parts, body) = Upstream::read(answer).await?;
    let Ok(mut value) = serde_json::from_slice(&body) else {
        return Ok(made(parts.status, body));
    };
    change(&mut value);
    Ok(made(parts.status, value.to_string().into()))
}

/// The description of the engine, without what it says of others.
pub async fn reduced(answer: Response<Incoming>) -> Result<Response<Body>, No> {
    let change = |info: &mut Value| {
        for count in [
            "Containers",
            "ContainersRunning",
            "ContainersPaused",
            "ContainersStopped",
            "Images",
        ] {
            if info.get(count).is_some() {
                info[count] = json!(0);
            }
        }
        if info.get("Swarm").is_some() {
            info["Swarm"] = json!({ "LocalNodeState": "inactive" });
        }
    };
    Ok(changed(answer, change).await?)
}

/// An answer about networks or volumes, with the names that the workspace gave them.
pub async fn with_names(
    answer: Response<Incoming>,
    names: &Names,
    has_names: bool,
) -> Result<Response<Body>, No> {
    if !has_names {
        return Ok(streamed(answer));
    }
    let change = |value: &mut Value| match value {
        Value::Array(several) => several.iter_mut().for_each(|one| restore(one, names)),
        one => {
            restore(one, names);
            if let Some(Value::Array(several)) = one.get_mut("Volumes") {
                several.iter_mut().for_each(|one| restore(one, names));
            }
        }
    };
    Ok(changed(answer, change).await?)
}

fn restore(one: &mut Value, names: &Names) {
    if let Some(Value::String(name)) = one.get_mut("Name") {
        *name = names.as_asked(name).to_owned();
    }
}

/// The list of images: those with a name of the workspace's.
pub async fn own_images(answer: Response<Incoming>, names: &Names) -> Result<Response<Body>, No> {
    let change = |value: &mut Value| {
        let Value::Array(images) = value else { return };
        images.retain_mut(|image| {
            let Some(Value::Array(tags)) = image.get_mut("RepoTags") else {
                return false;
            };
            tags.retain(|tag| tag.as_str().is_some_and(|tag| names.is_own_image(tag)));
            !tags.is_empty()
        });
    };
    Ok(changed(answer, change).await?)
}

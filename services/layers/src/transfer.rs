use hearth_domain::{Digest, Login};
use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use bollard::{
    Docker,
    auth::DockerCredentials,
    errors::Error as EngineError,
    query_parameters::{CreateImageOptionsBuilder, PushImageOptionsBuilder},
};
use futures_util::{Stream, StreamExt as _};
use secrecy::ExposeSecret as _;

use crate::BySource;

/// An engine reports progress several times a second; a transfer that says nothing for this long is stuck.
/// Unpacking a large layer on a slow disk is silent too, so it is not short.
const STALL: Duration = Duration::from_secs(120);

/// Progress of an image transfer, as far as the engine has reported it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transfer {
    /// Compressed bytes moved.
    pub done: u64,
    /// Compressed bytes to move; grows while layers become known.
    pub total: u64,
    /// Layers that have been moved as a whole.
    pub layers_done: u32,
    /// Layers to move; grows while they become known. Zero: they are not counted.
    pub layers_total: u32,
}

/// An image that was fetched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pulled {
    /// What the engine reported. A small layer may arrive between two reports and then does not count.
    pub transfer: Transfer,
    /// Layers that the engine had before, each by the first digits of its digest.
    pub present: BTreeSet<String>,
    /// Where the bytes came from that hearth fetched itself; of those that the engine fetched it is not known.
    pub from: BySource,
    /// Who fetched it.
    pub way: Way,
}

/// An image that was pushed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pushed {
    /// What was sent.
    pub transfer: Transfer,
    /// Digest of its manifest in the registry. `None` where the engine pushed it, which does not say.
    pub digest: Option<Digest>,
    /// Who pushed it.
    pub way: Way,
}

/// Who moved an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// hearth, into the store of the engine or out of it.
    Direct,
    /// The engine.
    #[default]
    Engine,
    /// The engine, since hearth could not: why.
    Fallback(String),
}

/// Why a transfer failed, by what can be done about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// The registry has no such image.
    #[error("not in the registry: {0}")]
    NotFound(String),
    /// The registry wants a login and got none, or does not accept the one that it got.
    #[error("the registry asks for a login, or does not accept the one it got: {0}")]
    LoginFailed(String),
    /// The login is accepted, and has no right to this.
    #[error("the registry refuses: {0}")]
    Denied(String),
    /// The engine reported no progress for two minutes.
    #[error("nothing moved for {} s", STALL.as_secs())]
    Stalled,
    /// Anything else, in the engine's words.
    #[error("{0}")]
    Failed(String),
}

/// Lets the engine pull `image` (`repository@digest` or `repository:tag`) and reports its progress.
pub async fn pull(
    docker: &Docker,
    image: &str,
    login: Option<&Login>,
    progress: impl FnMut(Transfer),
) -> Result<Pulled, TransferError> {
    let options = CreateImageOptionsBuilder::default()
        .from_image(image)
        .build();
    let steps = docker
        .create_image(Some(options), None, login.map(credentials))
        .map(|step| {
            step.map(|info| Step {
                layer: info.id.unwrap_or_default(),
                status: info.status.unwrap_or_default(),
                detail: info.progress_detail,
            })
        });
    let mut present = BTreeSet::new();
    let steps = steps.inspect(|step| {
        if let Ok(step) = step
            && step.status == "Already exists"
        {
            present.insert(step.layer.clone());
        }
    });
    let transfer = follow(steps, "Downloading", progress).await?;
    Ok(Pulled {
        transfer,
        present,
        way: Way::Engine,
        ..Pulled::default()
    })
}

/// Lets the engine push `repository:tag` and reports its progress.
pub async fn push(
    docker: &Docker,
    repository: &str,
    tag: &str,
    login: Option<&Login>,
    progress: impl FnMut(Transfer),
) -> Result<Transfer, TransferError> {
    let options = PushImageOptionsBuilder::default().tag(tag).build();
    let steps = docker
        .push_image(repository, Some(options), login.map(credentials))
        .map(|step| {
            step.map(|info| Step {
                // The engine's type leaves the layer out; the totals of layers differ well enough.
                layer: info
                    .progress_detail
                    .as_ref()
                    .and_then(|detail| detail.total)
                    .unwrap_or_default()
                    .to_string(),
                status: info.status.unwrap_or_default(),
                detail: info.progress_detail,
            })
        });
    follow(steps, "Pushing", progress).await
}

struct Step {
    layer: String,
    status: String,
    detail: Option<bollard::models::ProgressDetail>,
}

async fn follow(
    steps: impl Stream<Item = Result<Step, EngineError>>,
    moving: &str,
    mut progress: impl FnMut(Transfer),
) -> Result<Transfer, TransferError> {
    let mut layers: HashMap<String, Layer> = HashMap::new();
    let mut all = Transfer::default();
    let mut steps = std::pin::pin!(steps);
    loop {
        let step = match tokio::time::timeout(STALL, steps.next()).await {
            Err(_) => return Err(TransferError::Stalled),
            Ok(None) => return Ok(all),
            Ok(Some(step)) => step.map_err(classify)?,
        };
        let layer = layers.entry(step.layer).or_default();
        match (&step.status[..], step.detail) {
            (status, Some(detail)) if status == moving => layer.moves(&detail),
            ("Pulling fs layer", _) => layer.is_announced = true,
            ("Download complete" | "Pull complete", _) => layer.has_arrived = true,
            _ => continue,
        }
        let sum = layers.values().fold(Transfer::default(), Layer::added);
        if sum != all {
            all = sum;
            progress(all);
        }
    }
}

/// A layer, as far as the engine has told of it.
#[derive(Default)]
struct Layer {
    done: u64,
    total: u64,
    /// It is to be fetched. Other content has no such step.
    is_announced: bool,
    has_arrived: bool,
}

impl Layer {
    fn moves(&mut self, detail: &bollard::models::ProgressDetail) {
        let bytes =
            |count: Option<i64>| u64::try_from(count.unwrap_or_default()).unwrap_or_default();
        // Progress of a layer that is sent again starts over; the furthest point counts.
        self.total = self.total.max(bytes(detail.total));
        self.done = self.done.max(bytes(detail.current)).min(self.total);
    }

    fn added(sum: Transfer, layer: &Self) -> Transfer {
        Transfer {
            done: sum.done + layer.done,
            total: sum.total + layer.total,
            layers_done: sum.layers_done + u32::from(layer.is_announced && layer.has_arrived),
            layers_total: sum.layers_total + u32::from(layer.is_announced),
        }
    }
}

fn credentials(login: &Login) -> DockerCredentials {
    DockerCredentials {
        username: Some(login.username.clone()),
        password: Some(login.password.expose_secret().to_owned()),
        serveraddress: Some(login.host.clone()),
        ..DockerCredentials::default()
    }
}

/// The engine passes a registry's refusal on as text, with a status code that does not tell refusals apart. These are
/// the words that containerd's resolver and the classic store's client use.
fn classify(error: EngineError) -> TransferError {
    let text = match error {
        EngineError::DockerStreamError { error } => error,
        EngineError::DockerResponseServerError { message, .. } => message,
        other => other.to_string(),
    };
    let lower = text.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if says(&[
        "not found",
        "manifest unknown",
        "name unknown",
        "no such image",
    ]) {
        TransferError::NotFound(text)
    } else if says(&[
        "403 forbidden",
        "denied",
        "insufficient_scope",
        "insufficient scope",
    ]) {
        TransferError::Denied(text)
    } else if says(&[
        "401 unauthorized",
        "unauthorized",
        "authentication required",
        "no basic auth",
    ]) {
        TransferError::LoginFailed(text)
    } else {
        TransferError::Failed(text)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    fn step(layer: &str, status: &str, current: i64, total: i64) -> Result<Step, EngineError> {
        Ok(Step {
            layer: layer.to_owned(),
            status: status.to_owned(),
            detail: Some(bollard::models::ProgressDetail {
                current: Some(current),
                total: Some(total),
            }),
        })
    }

    #[tokio::test]
    async fn bytes_of_all_layers_add_up_and_never_go_back() {
        let steps = stream::iter([
            step("a", "Downloading", 10, 100),
            step("b", "Downloading", 5, 50),
            step("a", "Extracting", 1, 100),
            step("a", "Downloading", 4, 100),
            step("a", "Downloading", 100, 100),
        ]);
        let mut seen = Vec::new();
        let all = follow(steps, "Downloading", |transfer| seen.push(transfer.done)).await;
        assert_eq!(
            all,
            Ok(Transfer {
                done: 105,
                total: 150,
                ..Transfer::default()
            })
        );
        assert_eq!(seen, [10, 15, 105]);
    }

    #[tokio::test]
    async fn layers_count_once_they_are_announced_and_have_arrived_when_the_engine_says_so() {
        let told = |layer: &str, status: &str| {
            Ok(Step {
                layer: layer.to_owned(),
                status: status.to_owned(),
                detail: None,
            })
        };
        let steps = stream::iter([
            told("latest", "Pulling from a/b"),
            told("a", "Pulling fs layer"),
            told("b", "Pulling fs layer"),
            told("there", "Already exists"),
            told("a", "Download complete"),
            // It is unpacked too now, and counts no second time.
            told("a", "Pull complete"),
            // The image's configuration.
            told("c", "Download complete"),
        ]);
        let mut seen = Vec::new();
        let report = |all: Transfer| seen.push((all.layers_done, all.layers_total));
        follow(steps, "Downloading", report).await.unwrap();
        assert_eq!(seen, [(0, 1), (0, 2), (1, 2)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_transfer_without_progress_is_given_up() {
        let result = follow(stream::pending(), "Pushing", |_| {}).await;
        assert_eq!(result, Err(TransferError::Stalled));
    }

    #[test]
    fn a_registrys_refusal_is_known_by_the_engines_words() {
        for (text, expected) in [
            (
                "manifest for localhost:5000/a:b not found: manifest unknown",
                "NotFound",
            ),
            (
                "denied: installation not allowed to Create organization package",
                "Denied",
            ),
            (
                "unexpected status from HEAD request: 403 Forbidden",
                "Denied",
            ),
            (
                "server message: insufficient_scope: authorization failed",
                "Denied",
            ),
            ("unauthorized: authentication required", "LoginFailed"),
            (
                "failed to do request: dial tcp: connection refused",
                "Failed",
            ),
        ] {
            let error = classify(EngineError::DockerStreamError { error: text.into() });
            assert!(
                format!("{error:?}").starts_with(expected),
                "{text}: {error:?}"
            );
        }
    }
}

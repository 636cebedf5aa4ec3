use hearth_api::v1::{PushOutcome, PushReport};
use hearth_domain::{Input, KeyManifest};
use hearth_layers::TransferError;

use super::plan::report;

/// A failed push, and what is known about its cause.
pub(super) struct Refusal {
    /// The engine's error.
    pub error: TransferError,
    /// Whether there was a login for the registry.
    pub logged_in: bool,
    /// What is wrong with that login.
    pub problem: Option<String>,
    /// A base image in the same registry, in another repository.
    pub base: Option<String>,
}

impl From<Refusal> for PushReport {
    fn from(refusal: Refusal) -> Self {
        let Refusal {
            error,
            logged_in,
            problem,
            base,
        } = refusal;
        let text = error.to_string();
        match error {
            TransferError::Denied(_) if logged_in || !asks_for_more(&text) => {
                let advice = problem.or_else(|| base.map(|base| mounts(&base)));
                let advice = advice.unwrap_or_else(|| {
                    "the credentials need the right to push to this repository".to_owned()
                });
                report(PushOutcome::Denied, format!("{text}; {advice}"))
            }
            TransferError::Denied(_) | TransferError::LoginFailed(_) => {
                let advice = problem.unwrap_or_else(|| {
                    "configure credentials for the registry at the control plane".to_owned()
                });
                report(PushOutcome::LoginFailed, format!("{text}; {advice}"))
            }
            TransferError::Stalled => report(PushOutcome::TimedOut, text),
            TransferError::NotFound(_) | TransferError::Failed(_) => report(
                PushOutcome::Failed,
                format!("{text}; the next attempt tries again"),
            ),
        }
    }
}

/// Whether the message is one that engines use for a missing right and for a missing login alike.
fn asks_for_more(text: &str) -> bool {
    text.contains("insufficient_scope") || text.contains("insufficient scope")
}

/// An engine asks the registry to mount a layer that it knows from another repository there, with the login for the
/// repository that it pushes to. If that login cannot read the other repository, containerd fails instead of sending the
/// layer (containerd#11709, containerd#14086).
fn mounts(base: &str) -> String {
    format!(
        "the credentials need the right to push to this repository, and the engine also the right to read the base image {base}, which is in the same registry: make it public there, or use another registry for the cache"
    )
}

/// A base image in the registry of `repository` (`registry/path`), in another repository. Ports are ignored, since
/// containerd compares host names.
pub(super) fn shared_base(manifest: &KeyManifest, repository: &str) -> Option<String> {
    let name = |image: &str| {
        let host = image.split('/').next().unwrap_or_default();
        host.split(':').next().unwrap_or_default().to_owned()
    };
    let own = format!("{repository}:");
    manifest
        .inputs(Input::BaseImage)
        .map(|(image, _)| image)
        .find(|image| name(image) == name(repository) && !image.starts_with(&own))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused_with(error: TransferError, logged_in: bool, base: Option<&str>) -> PushReport {
        PushReport::from(Refusal {
            error,
            logged_in,
            problem: None,
            base: base.map(str::to_owned),
        })
    }

    #[test]
    fn a_refused_push_says_by_whom_and_what_to_do() {
        let text = || "text".to_owned();
        let base = Some("ghcr.io/acme/base:1");
        for (error, logged_in, base, outcome, hint) in [
            (
                TransferError::Denied(text()),
                true,
                None,
                PushOutcome::Denied,
                "right to push",
            ),
            (
                TransferError::Denied(text()),
                true,
                base,
                PushOutcome::Denied,
                "read the base image ghcr.io/acme/base:1",
            ),
            (
                TransferError::Denied("insufficient_scope".to_owned()),
                false,
                base,
                PushOutcome::LoginFailed,
                "configure credentials",
            ),
            (
                TransferError::Denied("403 Forbidden".to_owned()),
                false,
                None,
                PushOutcome::Denied,
                "right to push",
            ),
            (
                TransferError::LoginFailed(text()),
                true,
                None,
                PushOutcome::LoginFailed,
                "configure credentials",
            ),
            (
                TransferError::Stalled,
                true,
                None,
                PushOutcome::TimedOut,
                "nothing moved",
            ),
            (
                TransferError::Failed(text()),
                true,
                None,
                PushOutcome::Failed,
                "tries again",
            ),
        ] {
            let report = refused_with(error, logged_in, base);
            assert_eq!(report.outcome(), outcome);
            assert!(report.message.contains(hint), "{}", report.message);
        }
        let report = PushReport::from(Refusal {
            error: TransferError::Denied(text()),
            logged_in: true,
            problem: Some("install the App".to_owned()),
            base: base.map(str::to_owned),
        });
        assert!(report.message.ends_with("; install the App"));
    }

    #[test]
    fn a_base_image_of_the_same_registry_is_found_whatever_the_port() {
        let shared = |image: &str| {
            let mut manifest = KeyManifest::default();
            manifest.insert(Input::BaseImage, image, "sha256:1");
            shared_base(&manifest, "ghcr.io/acme/shop")
        };
        assert_eq!(
            shared("ghcr.io/acme/base:1").unwrap(),
            "ghcr.io/acme/base:1"
        );
        assert_eq!(
            shared("ghcr.io:443/acme/base").unwrap(),
            "ghcr.io:443/acme/base"
        );
        for other in ["debian:12", "quay.io/acme/base:1", "ghcr.io/acme/shop:x"] {
            assert_eq!(shared(other), None, "{other}");
        }
    }
}

use hearth_api::v1::{Failure, FailureReason};

use super::{
    beside::Beside,
    container::{self, Devcontainer, Running},
    context::{Checkout, Context},
    diagnosis::diagnosed,
    recovery_note::leave_note,
    up::Up,
};
use crate::devcontainer::DevcontainerConfig;

/// A workspace that can be used.
#[derive(Debug)]
pub enum Usable {
    /// As the configuration asks for it.
    Ready,
    /// To be repaired, for this reason.
    Recovery(Failure),
}

/// What goes on beside the steps and after them. None of it can fail the attempt.
#[derive(Default)]
pub struct Background<'a> {
    /// The push of the image, which begins as soon as the image is there.
    pub push: Beside<'a, ()>,
    /// The hooks that the workspace does not wait for.
    pub hooks: Beside<'a, ()>,
    /// Whether another devcontainer has taken the place of one that failed.
    pub recovered: bool,
    /// The audit of the image, which begins when the attempt is over with its steps.
    pub audit: Beside<'a, ()>,
}

/// Starts the container while the push goes on.
pub async fn start<'a>(
    cx: &'a Context<'_>,
    clone: &Checkout,
    config: Option<&DevcontainerConfig>,
    from: &Devcontainer,
    up: Up<'_>,
    replaces: Option<&Failure>,
    background: &mut Background<'a>,
) -> Result<Usable, Failure> {
    let start = Box::pin(container::start(cx, clone, config, from, up));
    let Running {
        failure,
        later,
        started,
    } = background.push.alongside(start).await?;
    background.hooks = later;
    let failure = match failure {
        None => None,
        Some(failure) => match diagnosed(cx, failure).await {
            gone if gone.reason() == FailureReason::EngineFailed => return Err(gone),
            failure => Some(failure),
        },
    };
    if let Some(failure) = replaces.or(failure.as_ref()) {
        leave_note(cx, &started, failure).await;
    }
    Ok(failure.map_or(Usable::Ready, Usable::Recovery))
}

use std::{any::Any, future::Future, panic::AssertUnwindSafe};

use futures_util::FutureExt as _;

/// A task panicked. The panic has been logged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a task of hearth panicked: {0}")]
pub struct Panicked(
    /// The panic's text.
    String,
);

/// Runs `future` and turns a panic in it into an error, so that one task's bug ends that task and nothing else. The
/// panic is logged with the name of the task.
///
/// What the future shared with others may be half changed: give up what it worked on, or read it again.
pub async fn contain<F: Future>(name: &'static str, future: F) -> Result<F::Output, Panicked> {
    AssertUnwindSafe(future)
        .catch_unwind()
        .await
        .map_err(|panic| log_panic(name, panic.as_ref()))
}

pub(crate) fn log_panic(name: &'static str, panic: &(dyn Any + Send)) -> Panicked {
    let text = text_of(panic);
    tracing::error!(task = name, panic = text, "a task panicked");
    Panicked(text.to_owned())
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a text")
}

#[cfg(test)]
mod tests {
    use std::panic::panic_any;

    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_an_error_with_its_text() {
        let number = 7;
        assert_eq!(
            contain("plain", async { panic!("a bug") }).await,
            Err::<(), _>(Panicked("a bug".into()))
        );
        assert_eq!(
            contain("formatted", async { panic!("bug {number}") }).await,
            Err::<(), _>(Panicked("bug 7".into()))
        );
        let odd = contain("odd", async { panic_any(7) }).await;
        assert_eq!(odd, Err::<(), _>(Panicked("a panic without a text".into())));
        assert_eq!(contain("well", async { 7 }).await, Ok(7));
    }
}

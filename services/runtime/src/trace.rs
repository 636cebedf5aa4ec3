//! Which work belongs together: a request of a client, what the control plane does for it, and what an agent does. The
//! number is in the log lines of all of it, and goes over the wire as `traceparent` of the W3C's Trace Context.

use std::{fmt, future::Future};

use http::HeaderMap;
use tonic::Request;
use uuid::Uuid;

const HEADER: &str = "traceparent";

tokio::task_local! {
    static CURRENT: Trace;
}

/// The trace that a piece of work belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    id: u128,
    flags: u8,
}

impl Trace {
    /// The trace that a caller names; a new one if it names none.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut named = headers.get_all(HEADER).iter();
        let one = named.next().filter(|_| named.next().is_none());
        let read = one.and_then(|value| Self::read(value.to_str().ok()?));
        read.unwrap_or_else(Self::new)
    }

    fn new() -> Self {
        Self {
            id: Uuid::new_v4().as_u128(),
            flags: 0,
        }
    }

    /// `VERSION-TRACE-PARENT-FLAGS` in lower-case hex. Later versions may have more after that.
    fn read(text: &str) -> Option<Self> {
        let mut parts = text.splitn(5, '-');
        let version = hex(parts.next()?, 2)?;
        let id = hex(parts.next()?, 32)?;
        let parent = hex(parts.next()?, 16)?;
        let flags = hex(parts.next()?, 2)?;
        let whole = version != 0xff && (version > 0 || parts.next().is_none());
        (whole && id != 0 && parent != 0).then_some(Self {
            id,
            flags: u8::try_from(flags).ok()?,
        })
    }

    /// The trace of the current task; a new one if it has none.
    fn current() -> Self {
        CURRENT
            .try_with(|trace| *trace)
            .unwrap_or_else(|_| Self::new())
    }

    /// Runs work that belongs to the trace.
    pub(crate) fn scope<F: Future>(self, work: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, work)
    }

    fn header(self) -> String {
        let (parent, _) = Uuid::new_v4().as_u64_pair();
        format!("00-{self}-{parent:016x}-{:02x}", self.flags)
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.id)
    }
}

fn hex(text: &str, digits: usize) -> Option<u128> {
    let good = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let whole = text.len() == digits && text.bytes().all(good);
    whole.then(|| u128::from_str_radix(text, 16).ok())?
}

/// Runs a task that belongs to the trace of the task that starts it, if that has one.
pub(crate) async fn inherit<F: Future>(trace: Option<Trace>, work: F) -> F::Output {
    match trace {
        Some(trace) => trace.scope(work).await,
        None => work.await,
    }
}

/// The trace of the current task, if it has one.
pub(crate) fn current() -> Option<Trace> {
    CURRENT.try_with(|trace| *trace).ok()
}

/// A request that tells which trace it belongs to: that of the current task.
pub fn in_trace<M>(mut request: Request<M>) -> Request<M> {
    if let Ok(value) = Trace::current().header().parse() {
        request.metadata_mut().insert(HEADER, value);
    }
    request
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const GIVEN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn of(values: &[&str]) -> Trace {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HEADER, HeaderValue::from_str(value).unwrap());
        }
        Trace::of(&headers)
    }

    #[tokio::test]
    async fn a_trace_that_a_caller_names_is_passed_on_with_another_parent() {
        let trace = of(&[GIVEN]);
        assert_eq!(trace.to_string(), "0af7651916cd43dd8448eb211c80319c");
        let sent = trace.scope(async { in_trace(Request::new(())) }).await;
        let sent = sent.metadata().get(HEADER).unwrap().clone();
        let sent = sent.to_str().unwrap();
        assert!(sent.starts_with("00-0af7651916cd43dd8448eb211c80319c-"));
        assert!(sent.ends_with("-01") && sent.len() == GIVEN.len());
        assert_ne!(sent, GIVEN);
        assert_eq!(of(&[sent]), trace);
        let later = of(&["01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more"]);
        assert_eq!(later, trace);
    }

    #[tokio::test]
    async fn what_is_no_trace_is_replaced_by_a_new_one() {
        let good = of(&[GIVEN]);
        for bad in [
            "",
            "00",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
        ] {
            assert_ne!(of(&[bad]).id, good.id, "{bad}");
            assert_ne!(of(&[bad]).id, 0);
        }
        assert_ne!(of(&[GIVEN, GIVEN]).id, good.id, "two are none");
        assert_ne!(of(&[]), of(&[]));
        let sent = in_trace(Request::new(()));
        assert!(Trace::read(sent.metadata().get(HEADER).unwrap().to_str().unwrap()).is_some());
    }
}

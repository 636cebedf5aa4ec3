use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll, Waker},
};

use axum::body::Body;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::HeaderMap;
use http_body::Frame;
use parking_lot::Mutex;
use tonic::{Code, Status};

use super::metrics::Counted;
use crate::{Reason, contain::log_panic, status};

/// The body of an answer, until the call is over: a stream ends when it has to, and a panic in it ends nothing else.
pub(super) struct Answer<H> {
    open: Arc<Mutex<Open>>,
    rpc: &'static str,
    /// Ends the stream with this status.
    end: Option<BoxFuture<'static, Status>>,
    /// What else goes with the call.
    _held: H,
}

/// What is not over yet.
struct Open {
    body: Body,
    over: bool,
    /// What it was ended with, until that is sent.
    ended: Option<Status>,
    /// The call, which is counted as open until the answer is dropped.
    counted: Counted,
    /// Who asks for more.
    asking: Option<Waker>,
}

/// Ends a stream from outside. Nobody asks a stream for more whose caller reads nothing, so it cannot see by itself that it has
/// to end.
pub(super) struct Ender(Weak<Mutex<Open>>);

impl Ender {
    /// Ends the stream: what it holds is dropped at once, and its caller hears of it when it reads again.
    pub(super) fn end(&self, status: Status) {
        let Some(open) = self.0.upgrade() else {
            return;
        };
        let (dropped, asking) = {
            let open = &mut *open.lock();
            if open.over || open.ended.is_some() {
                return;
            }
            (open.end(status), open.asking.take())
        };
        drop(dropped);
        if let Some(asking) = asking {
            asking.wake();
        }
    }
}

impl Open {
    /// Returns what is not sent any more.
    fn end(&mut self, status: Status) -> Body {
        self.counted.ended(status.code());
        self.ended = Some(status);
        std::mem::take(&mut self.body)
    }
}

impl<H> Answer<H> {
    pub(super) fn new(
        body: Body,
        rpc: &'static str,
        end: Option<BoxFuture<'static, Status>>,
        counted: Counted,
        held: H,
    ) -> Self {
        let open = Open {
            body,
            over: false,
            ended: None,
            counted,
            asking: None,
        };
        Self {
            open: Arc::new(Mutex::new(open)),
            rpc,
            end,
            _held: held,
        }
    }

    pub(super) fn ender(&self) -> Ender {
        Ender(Arc::downgrade(&self.open))
    }
}

impl<H: Unpin> http_body::Body for Answer<H> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let open = &mut *this.open.lock();
        if open.over {
            return Poll::Ready(None);
        }
        if open.ended.is_none()
            && let Some(end) = &mut this.end
            && let Poll::Ready(status) = end.as_mut().poll(cx)
        {
            drop(open.end(status));
        }
        if open.ended.is_none() {
            let body = Pin::new(&mut open.body);
            let polled = catch_unwind(AssertUnwindSafe(|| body.poll_frame(cx)));
            match polled.map_err(|panic| log_panic(this.rpc, panic.as_ref())) {
                Ok(Poll::Ready(frame)) => {
                    match &frame {
                        Some(Ok(frame)) => {
                            if let Some(code) = frame.trailers_ref().and_then(code) {
                                open.counted.ended(code);
                            }
                        }
                        Some(Err(_)) => open.counted.ended(Code::Unknown),
                        None => open.over = true,
                    }
                    return Poll::Ready(frame);
                }
                Ok(Poll::Pending) => {}
                Err(_) => drop(open.end(panicked())),
            }
        }
        let Some(status) = open.ended.take() else {
            open.asking = Some(cx.waker().clone());
            return Poll::Pending;
        };
        open.over = true;
        let mut trailers = HeaderMap::new();
        Poll::Ready(match status.add_header(&mut trailers) {
            Ok(()) => Some(Ok(Frame::trailers(trailers))),
            Err(status) => Some(Err(axum::Error::new(status))),
        })
    }

    fn is_end_stream(&self) -> bool {
        let open = self.open.lock();
        open.over || (open.ended.is_none() && open.body.is_end_stream())
    }

    fn size_hint(&self) -> http_body::SizeHint {
        match self.end {
            Some(_) => http_body::SizeHint::default(),
            None => self.open.lock().body.size_hint(),
        }
    }
}

/// The code of gRPC in trailers, or in the headers of an answer without a message.
pub(super) fn code(headers: &HeaderMap) -> Option<Code> {
    Some(Code::from_bytes(
        headers.get(Status::GRPC_STATUS)?.as_bytes(),
    ))
}

/// A call has panicked; the log says how.
pub(super) fn panicked() -> Status {
    status(
        Reason::Internal,
        "an internal error; the log of the service has details",
    )
}

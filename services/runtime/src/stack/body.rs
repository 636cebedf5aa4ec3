use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::body::Body;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::HeaderMap;
use http_body::Frame;
use tonic::{Code, Status};

use super::metrics::Counted;
use crate::{Reason, contain::log_panic, status};

/// The body of an answer, until the call is over: a stream ends when it has to, and a panic in it ends nothing else.
pub(super) struct Answer<H> {
    body: Body,
    rpc: &'static str,
    /// Ends the stream with this status.
    end: Option<BoxFuture<'static, Status>>,
    over: bool,
    /// The call, which is counted as open until the answer is dropped.
    counted: Counted,
    /// What else goes with the call.
    _held: H,
}

impl<H> Answer<H> {
    pub(super) fn new(
        body: Body,
        rpc: &'static str,
        end: Option<BoxFuture<'static, Status>>,
        counted: Counted,
        held: H,
    ) -> Self {
        Self {
            body,
            rpc,
            end,
            over: false,
            counted,
            _held: held,
        }
    }

    fn ends_with(&mut self, status: &Status) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.over = true;
        self.counted.ended(status.code());
        // What was not sent yet is not sent any more.
        self.body = Body::empty();
        let mut trailers = HeaderMap::new();
        Poll::Ready(match status.add_header(&mut trailers) {
            Ok(()) => Some(Ok(Frame::trailers(trailers))),
            Err(status) => Some(Err(axum::Error::new(status))),
        })
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
        if this.over {
            return Poll::Ready(None);
        }
        if let Some(end) = &mut this.end
            && let Poll::Ready(status) = end.as_mut().poll(cx)
        {
            return this.ends_with(&status);
        }
        let body = Pin::new(&mut this.body);
        let polled = catch_unwind(AssertUnwindSafe(|| body.poll_frame(cx)));
        let Ok(polled) = polled.map_err(|panic| log_panic(this.rpc, panic.as_ref())) else {
            return this.ends_with(&panicked());
        };
        let frame = ready!(polled);
        match &frame {
            Some(Ok(frame)) => {
                if let Some(code) = frame.trailers_ref().and_then(code) {
                    this.counted.ended(code);
                }
            }
            Some(Err(_)) => this.counted.ended(Code::Unknown),
            None => this.over = true,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.over || self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        match self.end {
            Some(_) => http_body::SizeHint::default(),
            None => self.body.size_hint(),
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

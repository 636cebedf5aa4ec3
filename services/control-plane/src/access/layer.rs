use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use futures_util::{StreamExt as _, future::ready, stream};
use hearth_runtime::{Peer, Reason};
use http::HeaderMap;
use http_body::{Body as _, Frame};
use http_body_util::{BodyStream, StreamBody};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic_types::StatusExt as _;

use super::{callers::Access, client::Caller, table};
use crate::error::CallError;

/// Reasons of calls that are not let in.
const REFUSALS: [Reason; 4] = [
    Reason::CallerUnknown,
    Reason::NotAllowed,
    Reason::SessionUnknown,
    Reason::JoinRefused,
];

/// Stands in front of all services: a call that is for clients gets there when its caller has proved to be one that may make
/// it, with the [`Caller`] in its extensions. Calls of nodes are passed on: `services/caller.rs` asks them.
pub(crate) async fn check(
    State(access): State<Arc<Access>>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some((call, may)) = table::row(request.uri().path()) else {
        return Status::unimplemented("").into_http();
    };
    let peer = request.extensions().get::<Peer>().cloned();
    let peer = peer.unwrap_or_default();
    let identified = may
        .is_for_clients()
        .then(|| access.identify(request.headers(), &peer));
    let response = match &identified {
        None => next.run(request).await,
        Some(Err(error)) => Status::from(error).into_http(),
        Some(Ok(caller)) => match caller.check(call, may) {
            Err(error) => Status::from(error).into_http(),
            Ok(()) => {
                request.extensions_mut().insert(caller.clone());
                next.run(request).await
            }
        },
    };
    let caller = identified.and_then(Result::ok);
    if let Some(reason) = refusal(&response) {
        access.counters.refused(reason);
        if let Some(left_out) = access.refusals.left_out() {
            tracing::warn!(
                left_out,
                client.name = caller.as_ref().map(tracing::field::display),
                rpc.call = call,
                reason = reason.as_str(),
                peer.address = peer.address.map(tracing::field::display),
                "a call was refused"
            );
        }
    }
    match caller {
        Some(Caller::Client(client)) => {
            let why = format!("client {client} was revoked or has expired");
            ended_by(client.ended().clone(), why, response)
        }
        Some(Caller::Anybody) | None => response,
    }
}

/// Why a call was not let in, if that is what it was answered.
fn refusal(response: &Response) -> Option<Reason> {
    let status = response.extensions().get::<Status>()?;
    let info = status.get_details_error_info()?;
    let mut all = REFUSALS.into_iter();
    all.find(|reason| reason.as_str() == info.reason)
}

/// The response, whose body ends with the token: a stream would go on otherwise, however long.
fn ended_by(token: CancellationToken, why: String, response: Response) -> Response {
    // An error is in the headers, and it has to stay the only thing that is sent.
    if response.body().is_end_stream() {
        return response;
    }
    response.map(|body| {
        let frames = BodyStream::new(body).take_until(token.clone().cancelled_owned());
        let end = stream::once(ready(())).filter_map(move |()| {
            ready(
                token
                    .is_cancelled()
                    .then(|| Ok(Frame::trailers(trailers(&why)))),
            )
        });
        Body::new(StreamBody::new(frames.chain(end)))
    })
}

fn trailers(why: &str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    let status = Status::from(CallError::CallerUnknown(why.to_owned()));
    // Made of text alone, which always fits.
    status.add_header(&mut trailers).ok();
    trailers
}

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use hearth_runtime::{EndsWith, Peer, Reason};
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
    let mut response = match &identified {
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
    if let Some(Caller::Client(client)) = caller {
        // A stream would go on otherwise, however long.
        let why = format!("client {client} was revoked or has expired");
        response.extensions_mut().insert(EndsWith {
            token: client.ended().clone(),
            status: CallError::CallerUnknown(why).into(),
        });
    }
    response
}

/// Why a call was not let in, if that is what it was answered.
fn refusal(response: &Response) -> Option<Reason> {
    let status = response.extensions().get::<Status>()?;
    let info = status.get_details_error_info()?;
    let mut all = REFUSALS.into_iter();
    all.find(|reason| reason.as_str() == info.reason)
}

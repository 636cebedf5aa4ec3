//! The socket, and how a request is handled.

use std::{net::SocketAddr, sync::Arc};

use axum::{Router, body::Body, extract::State, http::Request};
use tokio::{net::TcpListener, sync::oneshot};

use super::{
    Shared, api, clock, faults, git, lfs, registry,
    respond::{self, Answer},
    routes::{Call, Route},
};

const REQUESTS_AN_HOUR: usize = 5000;

/// Serves until `stopped`; requests under way end with the runtime.
pub fn run(
    shared: Arc<Shared>,
    ready: oneshot::Sender<SocketAddr>,
    stopped: oneshot::Receiver<()>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        if ready.send(address).is_err() {
            return;
        }
        let app = Router::new().fallback(handle).with_state(shared);
        tokio::select! {
            served = axum::serve(listener, app) => served.expect("the socket stays"),
            _ = stopped => {}
        }
    });
    runtime.shutdown_background();
}

async fn handle(State(shared): State<Arc<Shared>>, request: Request<Body>) -> Answer {
    let call = Call::parse(request.method(), request.uri().path());
    let (method, path) = (
        request.method().to_string(),
        request.uri().path().to_owned(),
    );
    let number = shared.change(|world| world.records.arrived(&call, &method, &path));
    let mut answer = match faults::pass(&shared, call.route()).await {
        Some(fault) => {
            let now = shared.world().now();
            faults::answer(&fault, now).await
        }
        None => right_answer(&shared, &call, request).await,
    };
    add_headers(&shared, call.route(), &mut answer);
    let status = answer.status().as_u16();
    shared.change(|world| world.records.answered(number, status));
    answer
}

async fn right_answer(shared: &Arc<Shared>, call: &Call, request: Request<Body>) -> Answer {
    match call {
        Call::Git {
            owner,
            name,
            action,
        } => git::answer(shared, owner, name, action, request).await,
        Call::LfsBatch { owner, name } => lfs::batch(shared, owner, name, request).await,
        Call::LfsObject { oid } => lfs::object(shared, oid, request.headers()),
        Call::RegistryToken => registry::answer(shared, request).await,
        Call::Unknown => respond::not_found(),
        _ => api::answer(shared, call, request).await,
    }
}

fn add_headers(shared: &Shared, route: Route, answer: &mut Answer) {
    let world = shared.world();
    let now = world.now();
    respond::set(answer, "date", &clock::http_date(now));
    if !Route::API.contains(&route) {
        return;
    }
    let used: usize = Route::API.map(|api| world.records.count(api)).iter().sum();
    let remaining = REQUESTS_AN_HOUR.saturating_sub(used);
    for (name, value) in [
        ("x-ratelimit-limit", REQUESTS_AN_HOUR.to_string()),
        ("x-ratelimit-remaining", remaining.to_string()),
        ("x-ratelimit-used", used.to_string()),
        ("x-ratelimit-reset", (now + 3600).to_string()),
        ("x-ratelimit-resource", "core".to_owned()),
    ] {
        // A fault has said something else already.
        if !answer.headers().contains_key(name) {
            respond::set(answer, name, &value);
        }
    }
}

//! What every call passes before it reaches its service, on every server: which trace it belongs to, who calls, whether that
//! is too much, how long it may take, that a panic in it ends nothing else, and that it is counted.

mod body;
mod caller;
mod callers;
mod deadline;
mod methods;
mod metrics;

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::Response,
};
use futures_util::{FutureExt as _, future};
use http::request::Parts;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, service::Routes};
use tracing::Instrument as _;

pub(crate) use self::caller::Caller;
pub use self::metrics::CallMetrics;
use self::{
    body::{Answer, panicked},
    callers::{Admitted, Callers},
    deadline::Deadline,
    methods::Method,
};
use crate::{LimitArgs, OnConnection, Reason, contain, status, trace::Trace};

type Identify = Arc<dyn Fn(&mut Parts) + Send + Sync>;

/// What stands in front of services.
#[derive(Clone)]
pub struct Stack {
    metrics: CallMetrics,
    identify: Identify,
    /// None: calls come from the control plane alone, which the agent does what it can for.
    callers: Option<Arc<Callers>>,
    longest: Duration,
}

impl Stack {
    /// Counts calls, and limits those of each caller and of all.
    pub fn new(limits: &LimitArgs, metrics: CallMetrics) -> Self {
        Self {
            metrics,
            identify: Arc::new(|_| ()),
            callers: Some(Arc::new(Callers::new(limits))),
            longest: limits.call(),
        }
    }

    /// Finds who makes a call, which `identify` puts into its extensions as a [`hearth_domain::Identity`]. Who proves nothing
    /// is let in here, as its address: services refuse it.
    #[must_use]
    pub fn identifying(self, identify: impl Fn(&mut Parts) + Send + Sync + 'static) -> Self {
        Self {
            identify: Arc::new(identify),
            ..self
        }
    }

    /// The same without limits of callers.
    #[must_use]
    pub fn for_one_caller(self) -> Self {
        Self {
            callers: None,
            ..self
        }
    }

    /// The services behind it.
    pub fn in_front_of(&self, services: Routes) -> Routes {
        let layer = from_fn_with_state(self.clone(), pass);
        services.into_axum_router().layer(layer).into()
    }

    fn admit(&self, method: &Method, call: &Request) -> Result<Option<Admitted>, Status> {
        let callers = self.callers.as_ref().filter(|_| !method.is_health());
        let admitted = callers.map(|callers| callers.admit(Caller::of_call(call.extensions())));
        admitted.transpose().map_err(|refusal| {
            self.metrics.refused(refusal.reason());
            refusal.into()
        })
    }
}

/// The way of a call.
async fn pass(State(stack): State<Stack>, call: Request, next: Next) -> Response {
    let method = Method::of(call.uri().path());
    let trace = Trace::of(call.headers());
    let span = tracing::info_span!("call", rpc = method.name, trace.id = %trace);
    let mut counted = stack.metrics.begins(&method.name);
    let deadline = Deadline::of(call.headers(), stack.longest);
    let connection = call.extensions().get::<OnConnection>().cloned();
    let answered = async {
        let (mut parts, message) = call.into_parts();
        (stack.identify)(&mut parts);
        let call = Request::from_parts(parts, message);
        let admitted = stack.admit(method, &call)?;
        let answer = contain(&method.name, next.run(call));
        let answer = deadline.answer(answer).await?;
        let answer = answer.map_err(|_| panicked())?;
        Ok((explained(answer), admitted))
    };
    let answered = Box::pin(trace.scope(answered).instrument(span)).await;
    let (answer, admitted) = match answered {
        Ok((answer, admitted)) => (answer, admitted),
        Err(status) => (Status::into_http(status), None),
    };
    counted.ended(body::code(answer.headers()).unwrap_or(Code::Cancelled));
    let lasting = connection.as_ref().filter(|_| method.lasts());
    let lasting = lasting.map(OnConnection::lasts);
    let ends_it = connection.clone().filter(|_| !method.lasts());
    let ends_with = answer.extensions().get::<EndsWith>().cloned();
    let end = || end(deadline, ends_it.clone(), ends_with.clone());
    let in_time = method.streams.then(|| end().boxed());
    answer.map(|body| {
        let gone = CancellationToken::new();
        let held = (
            admitted,
            connection.clone(),
            lasting,
            gone.clone().drop_guard(),
        );
        let answer = Answer::new(body, &method.name, in_time, counted, held);
        if let Some(connection) = connection.as_ref().filter(|_| method.streams) {
            let (end, ender) = (end(), answer.ender());
            let watched = async move {
                tokio::select! {
                    () = gone.cancelled() => {}
                    status = end => ender.end(status),
                }
            };
            connection.beside(watched.boxed());
        }
        axum::body::Body::new(answer)
    })
}

/// Ends the stream of a call when the token is cancelled. A service puts it into the extensions of its answer.
#[derive(Clone, Debug)]
pub struct EndsWith {
    /// What ends it.
    pub token: CancellationToken,
    /// What its caller is told.
    pub status: Status,
}

/// Waits until a stream has to end: its caller wants it to be over, its service does, or its connection is as old as it may be.
async fn end(
    deadline: Deadline,
    connection: Option<OnConnection>,
    ends_with: Option<EndsWith>,
) -> Status {
    let passed = async {
        match deadline.end() {
            Some(end) => tokio::time::sleep_until(end).await,
            None => future::pending().await,
        }
    };
    let over = async {
        match connection {
            Some(connection) => connection.over().await,
            None => future::pending().await,
        }
    };
    let ended = async {
        match ends_with {
            Some(EndsWith { token, status }) => {
                token.cancelled().await;
                status
            }
            None => future::pending().await,
        }
    };
    tokio::select! {
        () = passed => deadline::passed(),
        status = ended => status,
        () = over => status(
            Reason::ShuttingDown,
            "this connection is as old as one may be; go on where you are on another one",
        ),
    }
}

/// The library refuses a message that is too large as OUT_OF_RANGE, and says not why to programs. What services refuse as such
/// has details.
fn explained(answer: Response) -> Response {
    let refused = answer
        .extensions()
        .get::<Status>()
        .filter(|status| status.code() == Code::OutOfRange && status.details().is_empty());
    match refused {
        Some(refused) => {
            let message = format!("the request is too large: {}", refused.message());
            status(Reason::MessageTooLarge, message).into_http()
        }
        None => answer,
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
#[cfg(test)]
mod unread_tests;

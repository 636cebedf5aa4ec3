//! Calls that were never sent.

use std::{error::Error, future::Future};

use tonic::{Code, Status};

/// How often a call is made that is not sent: each time there is another connection.
const TIMES: usize = 3;

/// Makes a call, and makes it again if it was never sent: its connection had just been told to take no more calls, which the
/// client learns with the next call only.
pub async fn sent<T, F>(call: impl Fn() -> F) -> Result<T, Status>
where
    F: Future<Output = Result<T, Status>>,
{
    for _ in 1..TIMES {
        match call().await {
            Err(status) if was_not_sent(&status) => {}
            answer => return answer,
        }
    }
    call().await
}

/// Whether HTTP says so. What the control plane answers has no cause.
fn was_not_sent(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<hyper::Error>() {
            return status.code() == Code::Cancelled && error.is_canceled();
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use hearth_runtime::{CallMetrics, GrpcServer, LimitArgs, Metrics, Stack};
    use tokio::{net::TcpListener, task::JoinSet};
    use tokio_util::sync::CancellationToken;
    use tonic::{service::Routes, transport::Channel};
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

    use super::*;

    #[tokio::test]
    async fn calls_go_on_while_their_connections_are_closed() {
        let limits = LimitArgs {
            max_connection_seconds: 1,
            connection_grace_seconds: 1,
            ..LimitArgs::default()
        };
        let metrics = CallMetrics::register(&Metrics::default());
        let stack = Stack::new(&limits, metrics.clone());
        let server = GrpcServer::new(Routes::default(), &stack, &limits, metrics).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut serving = JoinSet::new();
        serving.spawn(server.serve(listener, CancellationToken::new()));
        let channel = Channel::from_shared(url).unwrap().connect_lazy();
        let health = || HealthClient::new(channel.clone());
        let unsent = Cell::new(0);
        for _ in 0..3 {
            // A call that is open keeps a connection that takes no more calls.
            let watch = async || health().watch(HealthCheckRequest::default()).await;
            let mut watched = sent(watch).await.unwrap().into_inner();
            let calls = async {
                loop {
                    let check = async || {
                        let answer = health().check(HealthCheckRequest::default()).await;
                        let answer = answer.map(drop);
                        if answer.as_ref().is_err_and(was_not_sent) {
                            unsent.set(unsent.get() + 1);
                        }
                        answer
                    };
                    sent(check).await.unwrap();
                    tokio::task::yield_now().await;
                }
            };
            let end = async { while watched.message().await.is_ok() {} };
            tokio::select! {
                () = end => {}
                () = calls => {}
            }
        }
        assert!(
            unsent.get() > 0,
            "no connection was closed between two calls"
        );
    }
}

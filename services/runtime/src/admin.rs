use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::get,
};
use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use parking_lot::Mutex;
use prometheus_client::{encoding::text::encode, registry::Registry};
use tokio::{net::TcpListener, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{ListenError, listen::bind};

/// How long a request may take, from its connection on.
const REQUEST: Duration = Duration::from_secs(30);
/// Connections that are open at once; others wait.
const MAX_CONNECTIONS: usize = 100;
/// After a connection could not be accepted, for example because the process has as many open files as it may.
const PAUSE: Duration = Duration::from_millis(50);
/// How long requests may take at the end of the process.
const LAST: Duration = Duration::from_millis(500);

/// The metrics of a process. Its parts register theirs, the admin port serves them.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Mutex<Registry>>);

impl Default for Metrics {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Registry::with_prefix("hearth"))))
    }
}

impl Metrics {
    /// Registers metrics; their names get the prefix `hearth_`.
    pub fn register(&self, register: impl FnOnce(&mut Registry)) {
        register(&mut self.0.lock());
    }

    pub(crate) fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.0.lock())?;
        Ok(text)
    }
}

/// What keeps a process that is ready from accepting work for now. `/readyz` answers with it.
#[derive(Clone, Debug, Default)]
pub struct Obstacle(Arc<Mutex<Option<String>>>);

impl Obstacle {
    /// Sets it, a sentence with what to do; `None`: nothing does.
    pub fn set(&self, why: Option<String>) {
        *self.0.lock() = why;
    }

    /// What it is now.
    pub fn get(&self) -> Option<String> {
        self.0.lock().clone()
    }
}

/// The admin port: `/healthz` (the process is alive), `/readyz` (it accepts work), `/metrics` (OpenMetrics text). It
/// shows no secrets and changes nothing, so it may listen where probes can reach it.
pub struct Admin {
    listener: TcpListener,
    metrics: Metrics,
    ready: Arc<AtomicBool>,
    obstacle: Obstacle,
}

impl Admin {
    /// Binds the port.
    pub async fn bind(address: SocketAddr, metrics: Metrics) -> Result<Self, ListenError> {
        Ok(Self {
            listener: bind("admin-listen", address).await?,
            metrics,
            ready: Arc::default(),
            obstacle: Obstacle::default(),
        })
    }

    /// The address, with the port that was picked if it was 0.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// What `/readyz` answers: set it once the process accepts work.
    pub fn ready(&self) -> Arc<AtomicBool> {
        self.ready.clone()
    }

    /// What keeps the process from accepting work although it is ready.
    pub fn obstacle(&self) -> Obstacle {
        self.obstacle.clone()
    }

    /// Serves until `stop`.
    pub async fn serve(self, stop: CancellationToken) {
        let (ready, obstacle, metrics) = (self.ready, self.obstacle, self.metrics);
        let router = Router::new()
            .route("/healthz", get(|| async { "ok\n" }))
            .route(
                "/readyz",
                get(move || async move {
                    let why = match ready.load(Ordering::Relaxed) {
                        true => obstacle.get(),
                        false => obstacle
                            .get()
                            .or_else(|| Some("it starts or stops".to_owned())),
                    };
                    match why {
                        None => (StatusCode::OK, "ready\n".to_owned()),
                        Some(why) => (
                            StatusCode::SERVICE_UNAVAILABLE,
                            format!("not ready: {why}\n"),
                        ),
                    }
                }),
            )
            .route(
                "/metrics",
                get(move || async move {
                    match metrics.text() {
                        Ok(text) => (
                            [(
                                CONTENT_TYPE,
                                "application/openmetrics-text; version=1.0.0; charset=utf-8",
                            )],
                            text,
                        )
                            .into_response(),
                        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
                    }
                }),
            );
        let mut http = http1::Builder::new();
        http.keep_alive(false);
        let mut serving = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                Some(_) = serving.join_next() => continue,
                accepted = self.listener.accept(), if serving.len() < MAX_CONNECTIONS => accepted,
            };
            let Ok((connection, _)) = accepted else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            let service = TowerToHyperService::new(router.clone());
            let served = http.serve_connection(TokioIo::new(connection), service);
            serving.spawn(async move {
                // Whoever asks sees how it ended.
                let _ = timeout(REQUEST, served).await;
            });
        }
        let answered = async { while serving.join_next().await.is_some() {} };
        let _ = timeout(LAST, answered).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpStream,
        task::JoinSet,
    };

    use super::*;

    #[tokio::test]
    async fn what_is_missing_is_said_while_it_starts_too() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let admin = Admin::bind(any, Metrics::default()).await.unwrap();
        let (address, ready, obstacle) =
            (admin.address().unwrap(), admin.ready(), admin.obstacle());
        let mut serving = JoinSet::new();
        serving.spawn(admin.serve(CancellationToken::new()));
        let readyz = async || {
            let mut connection = TcpStream::connect(address).await.unwrap();
            let request = b"GET /readyz HTTP/1.0\r\n\r\n";
            connection.write_all(request).await.unwrap();
            let mut answer = String::new();
            connection.read_to_string(&mut answer).await.unwrap();
            answer
        };
        assert!(readyz().await.ends_with("not ready: it starts or stops\n"));
        obstacle.set(Some("it has no token".to_owned()));
        for is_ready in [false, true] {
            ready.store(is_ready, Ordering::Relaxed);
            assert!(readyz().await.ends_with("not ready: it has no token\n"));
        }
        obstacle.set(None);
        assert!(readyz().await.ends_with("\r\n\r\nready\n"));
    }

    #[tokio::test]
    async fn a_request_that_never_ends_holds_up_no_other_and_not_the_end() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let admin = Admin::bind(any, Metrics::default()).await.unwrap();
        let (address, stop) = (admin.address().unwrap(), CancellationToken::new());
        let mut serving = JoinSet::new();
        serving.spawn(admin.serve(stop.clone()));
        let mut half = TcpStream::connect(address).await.unwrap();
        half.write_all(b"GET /healthz HTTP/1.1\r\nHost: ")
            .await
            .unwrap();
        let mut whole = TcpStream::connect(address).await.unwrap();
        whole
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        let mut answer = String::new();
        whole.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("ok\n"), "{answer}");
        stop.cancel();
        let ended = timeout(Duration::from_secs(20), serving.join_next()).await;
        ended.expect("it ends").unwrap().unwrap();
        drop(half);
    }
}

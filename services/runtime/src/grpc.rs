use std::{io, pin::pin, sync::Arc, time::Duration};

use futures_util::{Stream, StreamExt as _};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tonic::{service::Routes, transport::server::Connected};
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::{CallMetrics, LimitArgs, Peer, Port, Stack, connection::Connections, places::Places};

/// How long open calls may take to end after a shutdown began: streams of events do not end by themselves.
const DRAIN: Duration = Duration::from_secs(3);
/// After a connection could not be accepted, for example because the process has as many open files as it may.
const PAUSE: Duration = Duration::from_millis(50);

/// Bytes of a question of whether the process serves, or what its contract is, which everybody may ask.
const MAX_QUESTION: usize = 4 * 1024;

/// A gRPC server: the services of one process, and with them health and reflection (v1 for new clients, v1alpha
/// for grpcurl and its like).
pub struct GrpcServer {
    connections: Arc<Connections>,
    places: Arc<Places>,
    health: HealthReporter,
}

impl GrpcServer {
    /// A server for `services` behind `stack`.
    pub fn new(
        services: Routes,
        stack: &Stack,
        limits: &LimitArgs,
        metrics: CallMetrics,
    ) -> anyhow::Result<Self> {
        let (health, health_service) = tonic_health::server::health_reporter();
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(hearth_api::FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let services = services
            .add_service(health_service.max_decoding_message_size(MAX_QUESTION))
            .add_service(
                reflection()
                    .build_v1()?
                    .max_decoding_message_size(MAX_QUESTION),
            )
            .add_service(
                reflection()
                    .build_v1alpha()?
                    .max_decoding_message_size(MAX_QUESTION),
            );
        let services = stack.in_front_of(services);
        Ok(Self {
            connections: Arc::new(Connections::new(services, limits, metrics.clone())),
            places: Arc::new(Places::new(limits, metrics)),
            health,
        })
    }

    /// Serves a port until `stop`, then lets open calls end for a few seconds before they are cut off.
    pub async fn serve(self, port: impl Into<Port>, stop: CancellationToken) {
        self.serve_all(port.into().connections(), stop).await;
    }

    /// The same with connections that others have accepted.
    pub async fn serve_all<C>(
        self,
        accepted: impl Stream<Item = io::Result<C>>,
        stop: CancellationToken,
    ) where
        C: Connected<ConnectInfo = Peer> + AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut serving = JoinSet::new();
        self.accept(accepted, &mut serving, &stop).await;
        self.health
            .set_service_status("", ServingStatus::NotServing)
            .await;
        let drained = async { while serving.join_next().await.is_some() {} };
        if timeout(DRAIN, drained).await.is_err() {
            tracing::info!(limit_seconds = DRAIN.as_secs(), "open calls were cut off");
        }
    }

    /// Accepts connections until `stop`.
    async fn accept<C>(
        &self,
        accepted: impl Stream<Item = io::Result<C>>,
        serving: &mut JoinSet<()>,
        stop: &CancellationToken,
    ) where
        C: Connected<ConnectInfo = Peer> + AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut accepted = pin!(accepted);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Some(_) = serving.join_next() => {}
                connection = accepted.next() => match connection {
                    None => return,
                    Some(Ok(connection)) => self.begin(connection, serving, stop),
                    Some(Err(error)) => {
                        tracing::debug!(%error, "a connection was not accepted");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
        }
    }

    fn begin<C>(&self, connection: C, serving: &mut JoinSet<()>, stop: &CancellationToken)
    where
        C: Connected<ConnectInfo = Peer> + AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let peer = connection.connect_info();
        // Without a place the connection is closed.
        let Some(place) = self.places.enter(&peer) else {
            return;
        };
        let (connections, stop) = (self.connections.clone(), stop.clone());
        serving.spawn(async move {
            let _place = place;
            connections.serve(connection, peer, stop).await;
        });
    }
}

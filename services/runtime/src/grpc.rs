use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tonic::{service::Routes, transport::Server};
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::port::Port;

/// Detects a peer that is gone without having closed its connection, which may be idle for minutes.
const KEEPALIVE: Duration = Duration::from_secs(20);
/// How long open calls may take to end after a shutdown began: streams of events do not end by themselves.
const DRAIN: Duration = Duration::from_secs(3);

/// A gRPC server: the services of one process, and with them health and reflection (v1 for new clients, v1alpha
/// for grpcurl and its like).
pub struct GrpcServer {
    routes: Routes,
    health: HealthReporter,
}

impl GrpcServer {
    /// A server for `services`.
    pub fn new(services: Routes) -> anyhow::Result<Self> {
        let (health, health_service) = tonic_health::server::health_reporter();
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(hearth_api::FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let routes = services
            .add_service(health_service)
            .add_service(reflection().build_v1()?)
            .add_service(reflection().build_v1alpha()?);
        Ok(Self { routes, health })
    }

    /// Serves until `stop`, then lets open calls end for a few seconds before they are cut off.
    pub async fn serve(self, port: impl Into<Port>, stop: CancellationToken) -> anyhow::Result<()> {
        let draining = stop.clone();
        let health = self.health;
        let server = Server::builder()
            .http2_keepalive_interval(Some(KEEPALIVE))
            .http2_keepalive_timeout(Some(KEEPALIVE))
            .add_routes(self.routes)
            .serve_with_incoming_shutdown(port.into().connections(), async move {
                draining.cancelled().await;
                health
                    .set_service_status("", ServingStatus::NotServing)
                    .await;
            });
        let deadline = async {
            stop.cancelled().await;
            tokio::time::sleep(DRAIN).await;
        };
        tokio::select! {
            result = server => Ok(result?),
            () = deadline => {
                tracing::info!(limit_seconds = DRAIN.as_secs(), "open calls were cut off");
                Ok(())
            }
        }
    }
}

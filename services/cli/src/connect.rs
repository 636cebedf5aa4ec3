use std::{error::Error, time::Duration};

use secrecy::ExposeSecret as _;
use tokio::time::timeout;
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Certificate, ClientTlsConfig, Endpoint},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::{
    error::{CliError, Meaning, meaning},
    target::Target,
    unreachable::Unreachable,
};

/// Limit for establishing the connection, and again for the first answer.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Bytes of one call that wait for its reader, and of all: what nobody reads holds up no other.
const UNREAD: [u32; 2] = [256 * 1024, 32 * 1024 * 1024];
/// Interval of HTTP/2 pings: without them a silent stream would not notice that its control plane has vanished.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// Carries calls, each with the proof of who makes it.
pub(crate) type Channel = InterceptedService<tonic::transport::Channel, Proof>;

/// The token, as a header.
#[derive(Clone, Debug)]
pub(crate) struct Proof(Option<MetadataValue<Ascii>>);

impl Proof {
    fn of(target: &Target) -> anyhow::Result<Self> {
        let header = target.token.as_ref().map(|token| {
            let mut header: MetadataValue<Ascii> =
                format!("Bearer {}", token.expose_secret()).parse()?;
            // It is not printed, and not kept for compression.
            header.set_sensitive(true);
            anyhow::Ok(header)
        });
        header.transpose().map(Self)
    }
}

impl Interceptor for Proof {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(header) = &self.0 {
            request
                .metadata_mut()
                .insert("authorization", header.clone());
        }
        Ok(request)
    }
}

/// Connects to a process that speaks gRPC. The channel reconnects by itself when it is used after its connection broke.
pub(crate) async fn connect(target: &Target) -> Result<Channel, CliError> {
    let failed = |why: Option<&(dyn Error + 'static)>| {
        CliError::Unreachable(Box::new(Unreachable::new(&target.address, why)))
    };
    let proof = Proof::of(target).map_err(CliError::Local)?;
    let endpoint = endpoint(target).map_err(|error| failed(Some(&error)))?;
    // The endpoint's own limit does not cover TLS.
    let channel = timeout(2 * CONNECT_LIMIT, endpoint.connect()).await;
    let channel = channel.map_err(|_| failed(None))?;
    let channel = channel.map_err(|error| failed(Some(&error)))?;
    // A connection says little: another program may listen there. Whoever answers, with whatever, speaks gRPC.
    let mut health = HealthClient::new(channel.clone());
    let check = health.check(HealthCheckRequest::default());
    match timeout(CONNECT_LIMIT, check).await {
        Err(_) => Err(failed(None)),
        Ok(Err(status)) if matches!(meaning(&status), Meaning::Broken { .. }) => {
            Err(failed(Some(&status)))
        }
        Ok(_) => Ok(InterceptedService::new(channel, proof)),
    }
}

fn endpoint(target: &Target) -> Result<Endpoint, tonic::transport::Error> {
    let endpoint = Endpoint::from(target.address.uri.clone())
        .connect_timeout(CONNECT_LIMIT)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(UNREAD[0])
        .initial_connection_window_size(UNREAD[1])
        .tcp_nodelay(true);
    if !target.address.is_tls() {
        return Ok(endpoint);
    }
    let tls = ClientTlsConfig::new().domain_name(target.address.host());
    endpoint.tls_config(match &target.ca {
        Some(ca) => tls.ca_certificate(Certificate::from_pem(ca)),
        None => tls.with_native_roots(),
    })
}

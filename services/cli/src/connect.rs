use std::{env, error::Error, time::Duration};

use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::{
    address::Address,
    error::{CliError, Meaning, meaning},
    faults::read,
    unreachable::Unreachable,
};

/// Limit for establishing the connection, and again for the first answer.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Interval of HTTP/2 pings: without them a silent stream would not notice that its control plane has vanished.
const KEEPALIVE: Duration = Duration::from_secs(20);
/// Names the control plane where the command line does not.
const VARIABLE: &str = "HEARTH_CONTROL_PLANE";
const DEFAULT: &str = "http://127.0.0.1:7400";

/// The address that the command line gives, else the one of the environment, else the default.
pub(crate) fn chosen(given: Option<&Address>) -> Result<Address, CliError> {
    if let Some(given) = given {
        return Ok(given.clone());
    }
    let Some(text) = env::var_os(VARIABLE) else {
        return read(DEFAULT, DEFAULT).map_err(CliError::Usage);
    };
    if text.is_empty() {
        return Err(CliError::Usage(format!(
            "{VARIABLE} is empty\n  unset it to use {DEFAULT}, or set it to the control plane's http://HOST:PORT"
        )));
    }
    read(VARIABLE, &text.to_string_lossy()).map_err(CliError::Usage)
}

/// Connects to a process that speaks gRPC. The channel reconnects by itself when it is used after its connection broke.
pub(crate) async fn connect(address: &Address) -> Result<Channel, CliError> {
    let failed = |why: Option<&(dyn Error + 'static)>| {
        CliError::Unreachable(Box::new(Unreachable::new(address, why)))
    };
    let channel = endpoint(address.uri.clone()).connect().await;
    let channel = channel.map_err(|error| failed(Some(&error)))?;
    // A connection says little: another program may listen there. Whoever answers, with whatever, speaks gRPC.
    let mut health = HealthClient::new(channel.clone());
    let check = health.check(HealthCheckRequest::default());
    match timeout(CONNECT_LIMIT, check).await {
        Err(_) => Err(failed(None)),
        Ok(Err(status)) if matches!(meaning(&status), Meaning::Broken { .. }) => {
            Err(failed(Some(&status)))
        }
        Ok(_) => Ok(channel),
    }
}

fn endpoint(uri: Uri) -> Endpoint {
    Channel::builder(uri)
        .connect_timeout(CONNECT_LIMIT)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE)
        .keep_alive_while_idle(true)
        .tcp_nodelay(true)
}

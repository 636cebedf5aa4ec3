use std::{env, error::Error, fmt, str::FromStr, time::Duration};

use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::{
    error::{CliError, Meaning, meaning},
    unreachable::Unreachable,
};

/// Limit for establishing the connection, and again for the first answer.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Interval of HTTP/2 pings: without them a silent stream would not notice that its control plane has vanished.
const KEEPALIVE: Duration = Duration::from_secs(20);
/// Names the control plane where the command line does not.
const VARIABLE: &str = "HEARTH_CONTROL_PLANE";
const DEFAULT: &str = "http://127.0.0.1:7400";

/// Address of a control plane: `http://HOST:PORT`.
#[derive(Clone, Debug)]
pub struct Address {
    text: String,
    uri: Uri,
}

/// Why a text is not the address of a control plane.
#[derive(Clone, Copy, Debug)]
pub enum AddressError {
    /// TLS would be spoken there.
    Tls,
    /// Anything else.
    Malformed,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls => "asks for TLS, which hearth does not have: it must be http://HOST:PORT",
            Self::Malformed => "must be http://HOST:PORT, without a path or a user",
        })
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let uri: Uri = text.parse().map_err(|_| AddressError::Malformed)?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => return Err(AddressError::Tls),
            _ => return Err(AddressError::Malformed),
        }
        let user = uri
            .authority()
            .is_some_and(|whole| whole.as_str().contains('@'));
        if uri.path() != "/" || uri.query().is_some() || user {
            return Err(AddressError::Malformed);
        }
        Ok(Self {
            text: text.to_owned(),
            uri,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Address {
    /// The address that the command line gives, else the one of the environment, else the default.
    pub(crate) fn chosen(given: Option<&Self>) -> Result<Self, CliError> {
        if let Some(given) = given {
            return Ok(given.clone());
        }
        let Some(text) = env::var_os(VARIABLE) else {
            return Self::read(DEFAULT, DEFAULT);
        };
        if text.is_empty() {
            return Err(CliError::Usage(format!(
                "{VARIABLE} is empty\n  unset it to use {DEFAULT}, or set it to the control plane's http://HOST:PORT"
            )));
        }
        Self::read(VARIABLE, &text.to_string_lossy())
    }

    fn read(name: &str, text: &str) -> Result<Self, CliError> {
        crate::args::read(name, text).map_err(CliError::Usage)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_http_address_without_a_path_or_a_user_is_one_of_a_control_plane() {
        for good in [
            "http://127.0.0.1:7400",
            "http://plane.example/",
            "http://[::1]:1",
        ] {
            assert!(good.parse::<Address>().is_ok(), "{good}");
        }
        for wrong in [
            "",
            "localhost:7400",
            "127.0.0.1",
            "https://a",
            "http://a/b",
            "http://a?b",
            "http://robot@a",
            "http://",
            "unix:///run/hearth",
        ] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
    }
}

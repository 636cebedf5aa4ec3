use std::{fmt, str::FromStr, time::Duration};

use hearth_domain::text::innermost_cause;
use tonic::transport::{Channel, Endpoint, Uri};

use crate::error::CliError;

/// Limit for establishing the connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Interval of HTTP/2 pings: without them a silent stream would not notice that its control plane has vanished.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// Address of a control plane: `http://HOST:PORT`.
#[derive(Clone, Debug)]
pub struct Address {
    text: String,
    uri: Uri,
}

/// Why a text is not the address of a control plane.
#[derive(Clone, Copy, Debug)]
pub struct AddressError;

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(or HEARTH_CONTROL_PLANE) must be http://HOST:PORT, without a path; TLS is not supported")
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let uri: Uri = text.parse().map_err(|_| AddressError)?;
        if uri.scheme_str() != Some("http") || uri.path() != "/" || uri.query().is_some() {
            return Err(AddressError);
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

/// Connects. The channel reconnects by itself when it is used after its connection broke.
pub(crate) async fn connect(address: &Address) -> Result<Channel, CliError> {
    endpoint(address.uri.clone())
        .connect()
        .await
        .map_err(|error| CliError::Unreachable {
            address: address.to_string(),
            cause: innermost_cause(&error),
        })
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
    fn a_url_that_cannot_be_one_of_a_control_plane_is_refused_by_the_name_of_its_variable() {
        assert!("http://127.0.0.1:7400".parse::<Address>().is_ok());
        for wrong in [
            "",
            "localhost:7400",
            "https://a",
            "http://a/b",
            "http://a?b",
        ] {
            let error = wrong.parse::<Address>().map(|_| wrong).unwrap_err();
            assert!(
                error.to_string().contains("HEARTH_CONTROL_PLANE"),
                "{wrong}"
            );
        }
    }
}

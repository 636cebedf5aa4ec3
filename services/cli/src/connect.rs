use std::time::Duration;

use tonic::transport::{Channel, Endpoint, Uri};

use crate::error::CliError;

/// A control plane that does not take a connection within this time cannot be reached.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Detects a control plane that vanished without a word while a stream is silent.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// Connects. The channel connects anew by itself when it is used after a break.
pub(crate) async fn connect(url: &str) -> Result<Channel, CliError> {
    endpoint(url)?
        .connect()
        .await
        .map_err(|error| CliError::Unreachable {
            url: url.to_owned(),
            cause: chain(&error),
        })
}

fn endpoint(url: &str) -> Result<Endpoint, CliError> {
    let usage = |why: &str| {
        CliError::Usage(format!(
            "--control-plane (HEARTH_CONTROL_PLANE): {url:?} {why}"
        ))
    };
    let uri: Uri = url.parse().map_err(|_| usage("is no URL"))?;
    if uri.scheme_str() != Some("http") {
        return Err(usage("does not begin with http://"));
    }
    if uri.path() != "/" || uri.query().is_some() {
        return Err(usage("has more than a host and a port"));
    }
    Ok(Channel::builder(uri)
        .connect_timeout(CONNECT_LIMIT)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE)
        .keep_alive_while_idle(true)
        .tcp_nodelay(true))
}

/// The innermost cause says what happened; the layers above it only say that something did.
fn chain(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_cannot_be_one_of_a_control_plane_is_wrong_usage() {
        assert!(endpoint("http://127.0.0.1:7400").is_ok());
        for wrong in [
            "",
            "localhost:7400",
            "https://a",
            "http://a/b",
            "http://a?b",
        ] {
            let error = endpoint(wrong).unwrap_err();
            assert!(
                matches!(&error, CliError::Usage(text) if text.contains("HEARTH_CONTROL_PLANE")),
                "{wrong}: {error:?}"
            );
        }
    }
}

use std::net::SocketAddr;

use clap::Args;
use tokio::net::TcpListener;

/// Where a service listens.
#[derive(Args, Clone, Debug)]
pub struct ListenArgs {
    /// Do not warn that gRPC is served without TLS. Addresses other than loopback are refused with or without
    /// this flag
    #[arg(long, env = "HEARTH_INSECURE_LOOPBACK")]
    pub insecure_loopback: bool,
}

/// Why a service cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Anyone who can reach the port can run code on the nodes.
    #[error("--{flag} (HEARTH_{env}): {address} is not a loopback address, and hearth serves other addresses only with TLS, which it does not have yet", env = flag.to_uppercase().replace('-', "_"))]
    NotLoopback {
        /// The flag that names the address.
        flag: &'static str,
        /// Its value.
        address: SocketAddr,
    },
    /// The address cannot be bound.
    #[error("--{flag} (HEARTH_{env}): cannot listen on {address}: {cause}; choose another address or port with this flag", env = flag.to_uppercase().replace('-', "_"))]
    Bind {
        /// The flag that names the address.
        flag: &'static str,
        /// Its value.
        address: SocketAddr,
        /// The cause; not a source, so that it is told once.
        cause: std::io::Error,
    },
}

impl ListenArgs {
    /// Binds the gRPC address. Port 0 picks a free one; ask the listener which.
    pub async fn bind(&self, address: SocketAddr) -> Result<TcpListener, ListenError> {
        if !address.ip().is_loopback() {
            return Err(ListenError::NotLoopback {
                flag: "listen",
                address,
            });
        }
        if !self.insecure_loopback {
            tracing::warn!(
                %address,
                "serving without TLS: every user of this machine can reach this port (--insecure-loopback accepts that)"
            );
        }
        bind("listen", address).await
    }
}

pub(crate) async fn bind(
    flag: &'static str,
    address: SocketAddr,
) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address)
        .await
        .map_err(|cause| ListenError::Bind {
            flag,
            address,
            cause,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_that_others_can_reach_is_refused_by_the_name_of_its_flag() {
        for insecure_loopback in [true, false] {
            let error = ListenArgs { insecure_loopback }
                .bind(SocketAddr::from(([0, 0, 0, 0], 0)))
                .await
                .unwrap_err();
            assert!(
                error.to_string().contains("--listen (HEARTH_LISTEN)"),
                "{error}"
            );
        }
    }

    #[tokio::test]
    async fn an_address_in_use_is_told_once_with_the_flag_that_changes_it() {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let first = bind("listen", address).await.unwrap();
        let taken = first.local_addr().unwrap();
        let error = bind("admin-listen", taken).await.unwrap_err();
        assert!(std::error::Error::source(&error).is_none());
        let text = error.to_string();
        let start = format!(
            "--admin-listen (HEARTH_ADMIN_LISTEN): cannot listen on {taken}: Address already in use"
        );
        assert!(text.starts_with(&start), "{text}");
    }
}

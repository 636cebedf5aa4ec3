use std::net::SocketAddr;

use clap::Args;
use tokio::net::TcpListener;

/// Where a service listens.
#[derive(Args, Clone, Debug)]
pub struct ListenArgs {
    /// Do not warn that gRPC is served without TLS. Without TLS addresses other than loopback are refused with or without
    /// this flag
    #[arg(long, env = "HEARTH_INSECURE_LOOPBACK")]
    pub insecure_loopback: bool,
}

/// Why a service cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Anyone who can reach the port can run code on the nodes.
    #[error("--{flag} (HEARTH_{env}): {address} is not a loopback address, and without TLS no other is served", env = flag.to_uppercase().replace('-', "_"))]
    NotLoopback {
        /// The flag that names the address.
        flag: &'static str,
        /// Its value.
        address: SocketAddr,
    },
    /// The address cannot be bound.
    #[error("--{flag} (HEARTH_{env}): cannot listen on {address}: {}", why(.cause), env = flag.to_uppercase().replace('-', "_"))]
    Bind {
        /// The flag that names the address.
        flag: &'static str,
        /// Its value.
        address: SocketAddr,
        /// The cause. It is in the message, and no source of this error: it would be told twice.
        cause: std::io::Error,
    },
}

fn why(cause: &std::io::Error) -> String {
    match cause.kind() {
        std::io::ErrorKind::AddrInUse => {
            "another process listens there already; stop it, or choose another address".to_owned()
        }
        _ => cause.to_string(),
    }
}

impl ListenArgs {
    /// Binds the gRPC address for TLS, which may be reached from anywhere.
    pub async fn bind_for_tls(&self, address: SocketAddr) -> Result<TcpListener, ListenError> {
        bind("listen", address).await
    }

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
    async fn an_address_that_is_in_use_is_told_once_with_the_flag_to_change() {
        let taken = bind("listen", SocketAddr::from(([127, 0, 0, 1], 0))).await;
        let address = taken.as_ref().unwrap().local_addr().unwrap();
        let error = bind("admin-listen", address).await.unwrap_err();
        let text = format!("{:#}", anyhow::Error::from(error));
        let expected = format!(
            "--admin-listen (HEARTH_ADMIN_LISTEN): cannot listen on {address}: another process listens there already; \
             stop it, or choose another address"
        );
        assert_eq!(text, expected);
    }

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
}

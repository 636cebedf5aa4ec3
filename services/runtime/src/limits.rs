use std::time::Duration;

use clap::Args;

/// What callers may ask of a server. A fleet of 1,000 nodes, and the clients of an organisation, behind one address each
/// get by with the defaults.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct LimitArgs {
    /// Calls that may be open at once, streams included, of all callers together
    #[arg(long, env = "HEARTH_MAX_CALLS", default_value_t = Self::default().max_calls, value_name = "CALLS", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_calls: u32,
    /// Calls that one caller may have open at once, streams included. A caller is a node or a client that proved who it is,
    /// else an address (of IPv6 its first 64 bits)
    #[arg(long, env = "HEARTH_MAX_CALLS_PER_CALLER", default_value_t = Self::default().max_calls_per_caller, value_name = "CALLS", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_calls_per_caller: u32,
    /// Calls that one caller may make in a second
    #[arg(long, env = "HEARTH_MAX_CALLS_PER_SECOND", default_value_t = Self::default().max_calls_per_second, value_name = "CALLS", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_calls_per_second: u32,
    /// Calls that one caller may make at once, after it has made none for a while
    #[arg(long, env = "HEARTH_MAX_CALL_BURST", default_value_t = Self::default().max_call_burst, value_name = "CALLS", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_call_burst: u32,
    /// Seconds that a call may take to answer; a stream has begun to answer by then, and goes on
    #[arg(long, env = "HEARTH_MAX_CALL_SECONDS", default_value_t = Self::default().max_call_seconds, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub max_call_seconds: u32,
    /// KiB that a message of a client may have. Those of agents may have 4 MiB
    #[arg(long, env = "HEARTH_MAX_MESSAGE_KIB", default_value_t = Self::default().max_message_kib, value_name = "KIB", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub max_message_kib: u32,
    /// Connections that may be open at once, of all callers together
    #[arg(long, env = "HEARTH_MAX_CONNECTIONS", default_value_t = Self::default().max_connections, value_name = "CONNECTIONS", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_connections: u32,
    /// Connections that one node or client with a certificate may have open at once, else one address
    #[arg(long, env = "HEARTH_MAX_CONNECTIONS_PER_CALLER", default_value_t = Self::default().max_connections_per_caller, value_name = "CONNECTIONS", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_connections_per_caller: u32,
    /// Calls that may be open at once on one connection
    #[arg(long, env = "HEARTH_MAX_CALLS_PER_CONNECTION", default_value_t = Self::default().max_calls_per_connection, value_name = "CALLS", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_calls_per_connection: u32,
    /// Seconds after which a connection takes no new calls, and its caller opens another one; up to a tenth more or less,
    /// so that not all do at once
    #[arg(long, env = "HEARTH_MAX_CONNECTION_SECONDS", default_value_t = Self::default().max_connection_seconds, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=31_536_000))]
    pub max_connection_seconds: u32,
    /// Seconds that calls then still have; streams are ended after them, and go on where they were on another connection
    #[arg(long, env = "HEARTH_CONNECTION_GRACE_SECONDS", default_value_t = Self::default().connection_grace_seconds, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub connection_grace_seconds: u32,
    /// Seconds after which a connection without a call is closed
    #[arg(long, env = "HEARTH_MAX_IDLE_SECONDS", default_value_t = Self::default().max_idle_seconds, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=31_536_000))]
    pub max_idle_seconds: u32,
}

impl Default for LimitArgs {
    fn default() -> Self {
        Self {
            max_calls: 10_000,
            max_calls_per_caller: 1000,
            max_calls_per_second: 500,
            max_call_burst: 2000,
            max_call_seconds: 300,
            max_message_kib: 1024,
            max_connections: 10_000,
            max_connections_per_caller: 2000,
            max_calls_per_connection: 1000,
            max_connection_seconds: 1800,
            connection_grace_seconds: 300,
            max_idle_seconds: 600,
        }
    }
}

impl LimitArgs {
    /// Bytes that a message of a client may have.
    pub fn max_message_bytes(&self) -> usize {
        usize::try_from(self.max_message_kib).map_or(usize::MAX, |kib| kib.saturating_mul(1024))
    }

    pub(crate) fn call(&self) -> Duration {
        seconds(self.max_call_seconds)
    }

    pub(crate) fn connection(&self) -> Duration {
        seconds(self.max_connection_seconds)
    }

    pub(crate) fn grace(&self) -> Duration {
        seconds(self.connection_grace_seconds)
    }

    pub(crate) fn idle(&self) -> Duration {
        seconds(self.max_idle_seconds)
    }
}

fn seconds(number: u32) -> Duration {
    Duration::from_secs(number.into())
}

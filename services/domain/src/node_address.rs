use std::{fmt, net::Ipv6Addr, str::FromStr};

use crate::split_port;

/// Longest host name (RFC 1035).
const MAX_HOST: usize = 253;

/// Where other nodes reach something on a node: a host, or an IPv6 address in brackets, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeAddress(String);

/// A text is no such address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be HOST:PORT")]
pub struct NodeAddressError;

impl FromStr for NodeAddress {
    type Err = NodeAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (host, port) = split_port(text);
        let port = port.filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
        let has_port = port.is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
        let in_brackets = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let is_host = match in_brackets {
            Some(address) => address.parse::<Ipv6Addr>().is_ok(),
            None => {
                let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
                (1..=MAX_HOST).contains(&host.len()) && host.bytes().all(good)
            }
        };
        match has_port && is_host {
            true => Ok(Self(text.to_owned())),
            false => Err(NodeAddressError),
        }
    }
}

impl fmt::Display for NodeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_a_port_and_nothing_else() {
        for good in ["10.0.0.7:7412", "node-7.rack.example:1", "[fd00::7]:65535"] {
            assert_eq!(good.parse::<NodeAddress>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "node",
            "node:",
            ":7412",
            "node:0",
            "node:65536",
            "node:+1",
            "fd00::7:1",
            "[fd00::7]",
            "[node]:1",
            "http://node:1",
            "user@node:1",
            "node:1/path",
            "node:1?x",
            "no de:1",
            "node:1\n",
        ] {
            assert!(bad.parse::<NodeAddress>().is_err(), "{bad}");
        }
    }
}

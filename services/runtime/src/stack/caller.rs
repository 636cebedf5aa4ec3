use std::net::{IpAddr, Ipv6Addr};

use hearth_domain::Identity;
use http::Extensions;

use crate::Peer;

/// Whom calls and connections are counted for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Caller {
    /// A node or a client that proved who it is.
    Known(Identity),
    /// Whoever has this address. Of IPv6 a household or a machine has all addresses that begin with the same 64 bits.
    At(IpAddr),
    /// The system did not say who it is.
    Nobody,
}

impl Caller {
    /// Who makes a call: who it proved to be in the call, else who it is by its connection.
    pub(super) fn of_call(extensions: &Extensions) -> Self {
        match (extensions.get::<Identity>(), extensions.get::<Peer>()) {
            (Some(identity), _) => Self::Known(identity.clone()),
            (None, Some(peer)) => Self::of_peer(peer),
            (None, None) => Self::Nobody,
        }
    }

    /// Whether it has proved who it is.
    pub(crate) fn is_known(&self) -> bool {
        matches!(self, Self::Known(_))
    }

    /// Who has opened a connection.
    pub(crate) fn of_peer(peer: &Peer) -> Self {
        match (&peer.certificate, peer.address) {
            (Some(certificate), _) => Self::Known(certificate.identity.clone()),
            (None, Some(address)) => Self::At(network(address.ip())),
            (None, None) => Self::Nobody,
        }
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let first = address.to_bits() & !u128::from(u64::MAX);
            Ipv6Addr::from_bits(first).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, time::SystemTime};

    use super::*;
    use crate::PeerCertificate;

    fn at(address: &str) -> Caller {
        let address: SocketAddr = address.parse().unwrap();
        Caller::of_peer(&Peer {
            address: Some(address),
            certificate: None,
        })
    }

    #[test]
    fn a_caller_is_who_it_proved_to_be_and_else_its_address() {
        assert_eq!(at("10.0.0.1:1"), at("10.0.0.1:2"));
        assert_ne!(at("10.0.0.1:1"), at("10.0.0.2:1"));
        assert_eq!(at("[::ffff:10.0.0.1]:1"), at("10.0.0.1:1"));
        assert_eq!(at("[2001:db8::1]:1"), at("[2001:db8::ffff:2]:1"));
        assert_ne!(at("[2001:db8::1]:1"), at("[2001:db8:0:1::1]:1"));

        let identity = |text: &str| text.parse::<Identity>().unwrap();
        let node = identity("spiffe://hearth/node/n1");
        let peer = Peer {
            address: Some(([10, 0, 0, 1], 1).into()),
            certificate: Some(PeerCertificate {
                key: String::new(),
                identity: node.clone(),
                not_after: SystemTime::UNIX_EPOCH,
            }),
        };
        let mut extensions = Extensions::new();
        assert_eq!(Caller::of_call(&extensions), Caller::Nobody);
        extensions.insert(peer);
        assert_eq!(Caller::of_call(&extensions), Caller::Known(node));
        let client = identity("spiffe://hearth/client/ci");
        extensions.insert(client.clone());
        assert_eq!(Caller::of_call(&extensions), Caller::Known(client));
    }
}

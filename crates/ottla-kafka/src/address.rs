//! Where a client is told to find this node.
//!
//! An explicitly advertised address, or else the address that this client demonstrably reached: that
//! of its own socket here. So a client on the same machine, one on the network and one in the same
//! container network each get an address that works for them, without any configuration. A client
//! behind a translated port (`docker -p 32771:9092`) needs the explicit one.

use std::net::SocketAddr;

use crate::gateway::GatewayOptions;

/// The two ends of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    /// The client's.
    pub(crate) remote: SocketAddr,
    /// Ours.
    pub(crate) local: SocketAddr,
}

/// A host and a port, as they stand in answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Endpoint {
    pub(crate) host: String,
    pub(crate) port: i32,
}

impl Endpoint {
    /// Where the client at the other end of `peer` finds this node.
    pub(crate) fn for_client(options: &GatewayOptions, peer: &Peer) -> Endpoint {
        match &options.advertised {
            Some((host, port)) => Endpoint {
                host: host.clone(),
                port: i32::from(*port),
            },
            // An IPv4 client of a dual-stack listener shows up as ::ffff:a.b.c.d.
            None => Endpoint {
                host: peer.local.ip().to_canonical().to_string(),
                port: i32::from(peer.local.port()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(advertised: Option<(&str, u16)>, local: &str) -> (String, i32) {
        let options = GatewayOptions {
            advertised: advertised.map(|(host, port)| (host.into(), port)),
            ..GatewayOptions::default()
        };
        let local = local.parse().unwrap();
        let found = Endpoint::for_client(
            &options,
            &Peer {
                remote: local,
                local,
            },
        );
        (found.host, found.port)
    }

    #[test]
    fn names_what_is_advertised_or_what_was_reached() {
        assert_eq!(
            endpoint(Some(("broker.example", 9092)), "127.0.0.1:1"),
            ("broker.example".into(), 9092)
        );
        assert_eq!(
            endpoint(None, "172.17.0.2:9092"),
            ("172.17.0.2".into(), 9092)
        );
        assert_eq!(
            endpoint(None, "[::ffff:10.1.2.3]:19092"),
            ("10.1.2.3".into(), 19092)
        );
        assert_eq!(endpoint(None, "[::1]:9092"), ("::1".into(), 9092));
    }
}

//! Other protocols on the Kafka port: known by their first bytes, and told in their own words where
//! they are. Apache Kafka closes such connections without an answer.

use std::fmt;

/// A protocol that is not Kafka's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum WrongProtocol {
    Http,
    Tls,
    Ssh,
}

impl WrongProtocol {
    /// The protocol whose first four bytes look like this when they are read as a length.
    pub(crate) fn of(length: i32) -> Option<WrongProtocol> {
        match &length.to_be_bytes() {
            [0x16, 0x03, ..] => Some(WrongProtocol::Tls),
            b"GET " | b"HEAD" | b"POST" | b"PUT " | b"DELE" | b"OPTI" | b"PATC" | b"TRAC"
            | b"CONN" | b"PRI " => Some(WrongProtocol::Http),
            b"SSH-" => Some(WrongProtocol::Ssh),
            _ => None,
        }
    }

    /// What the client is told: something that it shows to a person. Nothing for SSH, whose clients
    /// wait for more after any line.
    pub(crate) fn answer(self, port: u16) -> Vec<u8> {
        match self {
            WrongProtocol::Http => {
                let text = format!(
                    "Port {port} speaks the Kafka protocol, not HTTP: point a Kafka client at it.\n\
                     Health and metrics are on the port of --admin-listen.\n"
                );
                format!(
                    "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
                     Content-Length: {}\r\nConnection: close\r\n\r\n{text}",
                    text.len()
                )
                .into_bytes()
            }
            // RFC 8446, sections 5.1 and 6: an alert record, fatal, handshake_failure.
            WrongProtocol::Tls => vec![21, 3, 1, 0, 2, 2, 40],
            WrongProtocol::Ssh => Vec::new(),
        }
    }
}

impl fmt::Display for WrongProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            WrongProtocol::Http => {
                "the client speaks HTTP; this port speaks the Kafka protocol, health and metrics are on the port of --admin-listen"
            }
            WrongProtocol::Tls => {
                "the client speaks TLS; this port speaks plain Kafka: set security.protocol=PLAINTEXT"
            }
            WrongProtocol::Ssh => "the client speaks SSH; this port speaks the Kafka protocol",
        })
    }
}

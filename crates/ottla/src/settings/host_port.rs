//! Addresses as people write them.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use serde::Deserialize;

/// `HOST:PORT`; IPv6 addresses in brackets.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct HostPort {
    /// A name or an address, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// Where the admin side listens.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum AdminListen {
    /// Nowhere.
    Off,
    At(HostPort),
}

impl HostPort {
    /// Where a client on this machine finds what listens here.
    pub(crate) fn reachable(&self) -> HostPort {
        let host = match self.host.as_str() {
            "0.0.0.0" => "127.0.0.1",
            "::" => "::1",
            other => other,
        };
        HostPort {
            host: host.to_owned(),
            port: self.port,
        }
    }
}

impl FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<HostPort, String> {
        let wrong = |why: &str| Err(format!("{text:?} is no HOST:PORT: {why}"));
        let Some((host, port)) = text.rsplit_once(':') else {
            return wrong("there is no colon");
        };
        let Ok(port) = port.parse() else {
            return wrong("the port is no number from 0 to 65535");
        };
        let bracketed = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let host = match bracketed {
            Some(inner) if inner.parse::<Ipv6Addr>().is_err() => {
                return wrong("no IPv6 address in the brackets");
            }
            Some(inner) => inner,
            None if host.contains(':') => {
                return wrong("an IPv6 address needs brackets, as in [::1]:9092");
            }
            None => host,
        };
        if host.is_empty() {
            return wrong("the host is missing; 0.0.0.0 is every IPv4 address");
        }
        if !host
            .chars()
            .all(|c| c.is_ascii_graphic() && !"/@[]".contains(c))
        {
            return wrong("the host is no name");
        }
        Ok(HostPort {
            host: host.to_owned(),
            port,
        })
    }
}

impl TryFrom<String> for HostPort {
    type Error = String;

    fn try_from(text: String) -> Result<HostPort, String> {
        text.parse()
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for AdminListen {
    type Err = String;

    fn from_str(text: &str) -> Result<AdminListen, String> {
        if text == "none" {
            return Ok(AdminListen::Off);
        }
        text.parse()
            .map(AdminListen::At)
            .map_err(|why| format!("{why}; or write none"))
    }
}

impl TryFrom<String> for AdminListen {
    type Error = String;

    fn try_from(text: String) -> Result<AdminListen, String> {
        text.parse()
    }
}

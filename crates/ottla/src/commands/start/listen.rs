//! Taking the ports, before anything else is touched.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};

use tokio::net::TcpListener;

use crate::exit::{Code, Fatal};
use crate::settings::{AdminListen, HostPort, Settings};

/// Takes the port for Kafka's clients. They can connect from now on, and wait until they are served.
pub(super) fn kafka(address: &HostPort) -> Result<TcpListener, Fatal> {
    let resolved = resolve(address, "listen")?;
    ottla_kafka::bind(resolved).map_err(|error| refuse(address, "listen", &error))
}

/// Takes the admin side's port, if there is to be one. An address that nobody chose is given up for a
/// free port, so that two brokers with nothing but a port set run side by side.
pub(super) async fn admin(settings: &Settings) -> Result<Option<TcpListener>, Fatal> {
    let AdminListen::At(address) = &settings.admin_listen else {
        return Ok(None);
    };
    let taken = TcpListener::bind(resolve(address, "admin-listen")?).await;
    let listener = match taken {
        Err(error) if error.kind() == ErrorKind::AddrInUse && settings.admin_is_default => {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
            if let Ok(listener) = &listener {
                let taken = listener
                    .local_addr()
                    .map(|address| address.port())
                    .unwrap_or_default();
                tracing::info!(
                    "the admin port {} is in use: took {taken} instead",
                    address.port
                );
            }
            listener
        }
        other => other,
    };
    listener
        .map(Some)
        .map_err(|error| refuse(address, "admin-listen", &error))
}

fn resolve(address: &HostPort, key: &str) -> Result<SocketAddr, Fatal> {
    let what_to_do = format!("name an address of this machine with --{key}");
    let found = (address.host.as_str(), address.port).to_socket_addrs();
    let mut found =
        found.map_err(|error| Fatal::usage(format!("{key}: {address}: {error}; {what_to_do}")))?;
    found.next().ok_or_else(|| {
        Fatal::usage(format!(
            "{key}: {address}: the name has no address; {what_to_do}"
        ))
    })
}

fn refuse(address: &HostPort, key: &str, error: &io::Error) -> Fatal {
    match error.kind() {
        ErrorKind::AddrInUse => Fatal::new(
            Code::PortInUse,
            format!(
                "{address} is in use by another program; stop that, or choose another port with --{key} (0 takes a free one)"
            ),
        ),
        ErrorKind::AddrNotAvailable => Fatal::usage(format!(
            "{address} is no address of this machine; choose one with --{key} (0.0.0.0 is all of them)"
        )),
        ErrorKind::PermissionDenied => Fatal::usage(format!(
            "{address}: this user may not listen there; choose a port above 1023 with --{key}"
        )),
        _ => Fatal::failed(format!("cannot listen on {address}: {error}; see --{key}")),
    }
}

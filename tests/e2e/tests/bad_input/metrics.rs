//! What an operator sees of it: a counter per reason.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use ottla_testkit::broker_process::BrokerProcess;

const REFUSED: &str = "ottla_kafka_connections_refused_total";

/// Every reason that the families above must have caused was counted.
pub(crate) fn reasons(broker: &BrokerProcess) -> Result<String, String> {
    let refused = refused(broker)?;
    let wanted = [
        "frame_length",
        "frame_too_large",
        "wrong_protocol",
        "unknown_key",
        "unsupported_version",
        "malformed",
        "produce_without_acks",
    ];
    match wanted.iter().find(|&&reason| !refused.contains_key(reason)) {
        None => Ok(format!("{refused:?}")),
        Some(reason) => Err(format!("{reason} is not in {refused:?}")),
    }
}

/// Connections that were refused so far, by reason; those that there are.
pub(crate) fn refused(broker: &BrokerProcess) -> Result<BTreeMap<String, u64>, String> {
    let address = broker
        .admin_address()
        .ok_or("the broker does not say where its admin side is")?;
    let text = get(&address, "/metrics").map_err(|error| error.to_string())?;
    let start = format!("{REFUSED}{{reason=\"");
    let counts = text.lines().filter_map(|line| {
        let (reason, count) = line.strip_prefix(&start)?.split_once("\"} ")?;
        let count = count.parse::<f64>().ok()? as u64;
        (count > 0).then(|| (reason.to_owned(), count))
    });
    Ok(counts.collect())
}

fn get(address: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

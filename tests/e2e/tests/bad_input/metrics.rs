//! What an operator sees of it: a counter per reason.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use ottla_testkit::broker_process::BrokerProcess;

const REFUSED: &str = "ottla_kafka_connections_refused_total";

/// Every reason that the families above must have caused was counted.
pub(crate) fn reasons(broker: &BrokerProcess) -> Result<String, String> {
    let address = broker
        .admin_address()
        .ok_or("the broker does not say where its admin side is")?;
    let text = get(&address, "/metrics").map_err(|error| error.to_string())?;
    let count = |reason: &str| {
        let name = format!("{REFUSED}{{reason=\"{reason}\"}} ");
        let value = text.lines().find_map(|line| line.strip_prefix(&name))?;
        value.parse::<f64>().ok()
    };
    let wanted = [
        "frame_length",
        "frame_too_large",
        "wrong_protocol",
        "unknown_key",
        "unsupported_version",
        "malformed",
        "produce_without_acks",
    ];
    let counts: Vec<(&str, Option<f64>)> = wanted
        .iter()
        .map(|reason| (*reason, count(reason)))
        .collect();
    let told = counts
        .iter()
        .map(|(reason, count)| format!("{reason} {}", count.unwrap_or(-1.0)));
    let told = told.collect::<Vec<_>>().join(", ");
    if counts
        .iter()
        .all(|(_, count)| count.is_some_and(|count| count > 0.0))
    {
        Ok(told)
    } else {
        Err(format!("{told}\n{text}"))
    }
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

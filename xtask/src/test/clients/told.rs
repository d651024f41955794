//! What Apache Kafka's request log says of the frames that passed.

use std::collections::{BTreeMap, VecDeque};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::proxy::Exchange;

/// A request and its answer in JSON.
#[derive(Default)]
pub(super) struct Told {
    pub(super) request: Option<String>,
    pub(super) response: Option<String>,
}

/// By port of the client, correlation id, API and version. A port can be used again: then in the order of time.
pub(super) struct RequestLog(BTreeMap<(u16, i32, i16, i16), VecDeque<Told>>);

impl RequestLog {
    pub(super) fn parse(log: &str) -> Result<Self, String> {
        let mut told: BTreeMap<_, VecDeque<Told>> = BTreeMap::new();
        for line in log.lines() {
            let Some((_, json)) = line.split_once("Completed request:") else {
                continue;
            };
            let line: Line<'_> = serde_json::from_str(json).map_err(|e| format!("{e}: {json}"))?;
            // BROKER:PORT-CLIENT:PORT-INDEX-COUNT
            let client = line.connection.split('-').nth(1).unwrap_or_default();
            let port = client.rsplit(':').next().and_then(|port| port.parse().ok());
            let port = port.ok_or_else(|| format!("no port: {}", line.connection))?;
            let header = line.header;
            let json = |raw: Option<&RawValue>| raw.map(|raw| raw.get().to_owned());
            let at = (port, header.correlation_id, header.key, header.version);
            told.entry(at).or_default().push_back(Told {
                request: json(line.request),
                response: json(line.response),
            });
        }
        Ok(Self(told))
    }

    /// `None` if Kafka never came to the end of it. To be asked in the order of time.
    pub(super) fn take(&mut self, exchange: &Exchange) -> Option<Told> {
        let Exchange {
            port,
            correlation_id,
            key,
            version,
            ..
        } = exchange;
        let told = self.0.get_mut(&(*port, *correlation_id, *key, *version))?;
        told.pop_front()
    }
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "requestHeader")]
    header: Header,
    #[serde(borrow)]
    request: Option<&'a RawValue>,
    #[serde(borrow)]
    response: Option<&'a RawValue>,
    connection: String,
}

#[derive(Deserialize)]
struct Header {
    #[serde(rename = "requestApiKey")]
    key: i16,
    #[serde(rename = "requestApiVersion")]
    version: i16,
    #[serde(rename = "correlationId")]
    correlation_id: i32,
}

//! One request on its way through a handler.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};

use ottla_broker::Broker;
use ottla_broker::api::{CatalogError, GroupError, Session};
use ottla_broker::authorize::{Operation, Permit, Principal, ResourceKind};
use ottla_wire::encoder::Encoder;
use ottla_wire::frame::encode_response;
use ottla_wire::{ApiKey, DecodeError, EncodeError};
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::Reply;
use crate::address::{Endpoint, Peer};
use crate::close::CloseReason;
use crate::gateway::Gateway;
use crate::stop::Stop;

/// The bit set of operations that Kafka knows on a topic (KIP-430): read 3, write 4, create 5,
/// delete 6, alter 7, describe 8, describe configs 10, alter configs 11. All are permitted.
pub(super) const TOPIC_OPERATIONS: i32 = bits(&[3, 4, 5, 6, 7, 8, 10, 11]);

/// On a group: read 3, delete 6, describe 8, describe configs 10, alter configs 11.
pub(super) const GROUP_OPERATIONS: i32 = bits(&[3, 6, 8, 10, 11]);

/// On the cluster: create 5, alter 7, describe 8, cluster action 9, describe configs 10, alter configs
/// 11, idempotent write 12.
pub(super) const CLUSTER_OPERATIONS: i32 = bits(&[5, 7, 8, 9, 10, 11, 12]);

const fn bits(operations: &[i32]) -> i32 {
    let mut set = 0;
    let mut at = 0;
    while at < operations.len() {
        set |= 1 << operations[at];
        at += 1;
    }
    set
}

/// True for the topics that brokers keep their own state in (Kafka `Topic.isInternal`).
pub(super) fn is_internal(topic: &str) -> bool {
    matches!(
        topic,
        "__consumer_offsets" | "__transaction_state" | "__share_group_state"
    )
}

/// As Java writes an address without a name.
pub(super) fn host(remote: SocketAddr) -> String {
    match remote.ip().to_canonical() {
        IpAddr::V4(ip) => format!("/{ip}"),
        IpAddr::V6(ip) => {
            let parts = ip.segments().map(|part| format!("{part:x}"));
            format!("/{}", parts.join(":"))
        }
    }
}

/// What went wrong with the catalog, in its own words.
pub(super) fn text(error: &CatalogError) -> String {
    match error {
        CatalogError::Refused(refusal) => refusal.to_string(),
        CatalogError::Fault(fault) => fault.to_string(),
    }
}

/// What a handler knows beside the body: who asks for what, by whose leave, and where the answer goes.
pub(crate) struct Call<'r> {
    pub(crate) gateway: &'r Gateway,
    pub(crate) peer: &'r Peer,
    pub(crate) key: ApiKey,
    pub(crate) version: i16,
    pub(crate) correlation_id: i32,
    pub(crate) client_id: Option<&'r str>,
    pub(crate) permit: Permit,
    pub(crate) session: &'r Session,
    pub(crate) stream: &'r TcpStream,
    pub(crate) stopping: &'r Stop,
}

impl<'r> Call<'r> {
    pub(crate) fn broker(&self) -> &'r Broker {
        self.gateway.broker()
    }

    /// Where this client finds this node.
    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::for_client(self.gateway.options(), self.peer)
    }

    /// A permit for more than the API itself needs; `None` if it is denied.
    pub(crate) fn permit_also(&self, operation: Operation, kind: ResourceKind) -> Option<Permit> {
        self.broker()
            .gate()
            .permit(&Principal::Anonymous, operation, kind)
            .ok()
    }

    /// Ends when nobody is willing to wait any longer: the server stops, or the client hung up.
    pub(crate) async fn hurried(&self) {
        // PRIORITY is readiness for urgent data, that nobody registered for, or for a closed read
        // side: in contrast to READABLE it does not end because a pipelined request lies there.
        tokio::select! {
            () = self.stopping.wait() => {}
            _ = self.stream.ready(Interest::PRIORITY) => {}
        }
    }

    /// What a group answers, unless nobody is willing to wait any longer: then it is somebody else's
    /// to answer.
    pub(crate) async fn unless_hurried<T>(
        &self,
        answer: impl Future<Output = Result<T, GroupError>>,
    ) -> Result<T, GroupError> {
        tokio::select! {
            biased;
            answer = answer => answer,
            () = self.hurried() => Err(GroupError::NotHere),
        }
    }

    /// The answer as a frame; `body` writes the body in the request's version.
    pub(crate) fn answer(
        &self,
        body: impl FnOnce(&mut Encoder, i16) -> Result<(), EncodeError>,
    ) -> Result<Reply, CloseReason> {
        let version = self.version;
        match encode_response(self.key, version, self.correlation_id, |w| body(w, version)) {
            Ok(frame) => Ok(frame.into()),
            Err(error) => Err(CloseReason::Unanswerable {
                api: self.key,
                version,
                error,
            }),
        }
    }

    /// The end of a connection whose request cannot be read.
    pub(crate) fn malformed(&self, error: DecodeError) -> CloseReason {
        CloseReason::Malformed {
            api: Some(self.key),
            version: self.version,
            error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_written_as_by_java() {
        for (remote, expected) in [
            ("127.0.0.1:5", "/127.0.0.1"),
            ("[::1]:5", "/0:0:0:0:0:0:0:1"),
            ("[::ffff:10.0.0.7]:5", "/10.0.0.7"),
        ] {
            assert_eq!(host(remote.parse().unwrap()), expected);
        }
    }
}

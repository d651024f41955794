//! DescribeCluster (key 60), versions 0 to 2: which brokers there are (KIP-700).
//!
//! 1+ may ask for controllers instead (KIP-919): this is a broker, so `MISMATCHED_ENDPOINT_TYPE`, and
//! `UNSUPPORTED_ENDPOINT_TYPE` for what is neither. 2+ knows fenced brokers: there are none. The address
//! is the one that the client reached, as in Metadata.
//! All versions are flexible; fenced brokers are KIP-1073's.

use ottla_broker::authorize::{Operation, ResourceKind};
use ottla_wire::describe_cluster::{
    DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse,
};
use ottla_wire::{ApiKey, Reader};

use super::call::CLUSTER_OPERATIONS;
use super::{Answering, Call, Handler, Registration};
use crate::error_map::ErrorCode;

pub(super) const API: Registration = Registration {
    key: ApiKey::DescribeCluster,
    versions: 0..=2,
    needs: (Operation::Describe, ResourceKind::Cluster),
    handler: Handler::Alone(handle),
    note: "",
};

const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

fn handle<'a>(call: &'a Call<'a>, mut body: Reader<'a>) -> Answering<'a> {
    Box::pin(async move {
        let request = DescribeClusterRequest::decode(&mut body, call.version)
            .map_err(|e| call.malformed(e))?;
        let refused = match request.endpoint_type {
            BROKERS => None,
            CONTROLLERS => Some((
                ErrorCode::MismatchedEndpointType,
                "this is a broker, not a controller",
            )),
            _ => Some((
                ErrorCode::UnsupportedEndpointType,
                "there is no such type of endpoint",
            )),
        };
        if let Some((code, message)) = refused {
            let response = DescribeClusterResponse {
                error_code: code.code(),
                error_message: Some(message),
                ..DescribeClusterResponse::default()
            };
            return call.answer(|w, version| response.encode(w, version));
        }
        let broker = call.broker();
        let endpoint = call.endpoint();
        let node = broker.node_id().0;
        let response = DescribeClusterResponse {
            endpoint_type: BROKERS,
            cluster_id: broker.cluster_id(),
            controller_id: node,
            brokers: vec![DescribeClusterBroker {
                broker_id: node,
                host: &endpoint.host,
                port: endpoint.port,
                rack: broker.settings().get("broker.rack"),
                is_fenced: false,
            }],
            cluster_authorized_operations: if request.include_cluster_authorized_operations {
                CLUSTER_OPERATIONS
            } else {
                i32::MIN
            },
            ..DescribeClusterResponse::default()
        };
        call.answer(|w, version| response.encode(w, version))
    })
}

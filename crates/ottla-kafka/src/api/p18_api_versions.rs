//! ApiVersions (key 18), versions 0 to 5: what this broker speaks.
//!
//! Answers from the table of registrations, in any state of the connection.
//!
//! - A version that is not served is not refused by closing: the body stays unread, and the answer is
//!   in the layout of version 0, with `UNSUPPORTED_VERSION` and one entry, the range of ApiVersions
//!   itself (KIP-511). The header of every answer is the old one.
//! - 3+: the client names its software. A name or version that is not like `[a-zA-Z0-9][a-zA-Z0-9\-.]*`
//!   ending in a letter or digit is `INVALID_REQUEST`, without entries.
//! - 3+: features as tagged fields. The epoch of the finalized ones is not below 0, without which
//!   Java and franz-go ignore them; it is the broker's registration epoch, which a start of a newer
//!   Ottla raises, so that clients that live on notice what it adds.
//! - 0 to 3: features whose range starts at 0 are left out (KAFKA-17492).
//! - 5 (KIP-1242, Kafka 4.4): the client may say which node of which cluster it means to reach. One of
//!   the two without the other (a node of -1 is none) is `INVALID_REQUEST`; if either is another one's,
//!   the answer is `REBOOTSTRAP_REQUIRED`, without entries, and the client begins anew with its
//!   bootstrap servers. Both are kept in the data directory, so a restart changes neither.
//! - Quotas never delay it: the throttle time of 1+ is 0.

use ottla_broker::Broker;
use ottla_broker::api::Image;
use ottla_broker::authorize::{Operation, ResourceKind};
use ottla_wire::api_versions::{
    ApiVersion, ApiVersionsRequest, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};
use ottla_wire::frame::encode_response;
use ottla_wire::{ApiKey, Reader};

use super::{Answering, Call, Handler, Registration, Reply, TABLE};
use crate::close::CloseReason;
use crate::error_map::ErrorCode;

pub(super) const API: Registration = Registration {
    key: ApiKey::ApiVersions,
    versions: 0..=5,
    needs: (Operation::Open, ResourceKind::Cluster),
    handler: Handler::Alone(handle),
    note: "",
};

fn handle<'a>(call: &'a Call<'a>, body: Reader<'a>) -> Answering<'a> {
    Box::pin(std::future::ready(answer(call, body)))
}

fn answer(call: &Call<'_>, mut body: Reader<'_>) -> Result<Reply, CloseReason> {
    if !API.versions.contains(&call.version) {
        return unsupported(call);
    }
    let request =
        ApiVersionsRequest::decode(&mut body, call.version).map_err(|e| call.malformed(e))?;
    if let Err(error) = judge(&request, call.version, call.broker()) {
        return call.answer(|w, version| {
            let refused = ApiVersionsResponse {
                error_code: error.code(),
                ..ApiVersionsResponse::default()
            };
            refused.encode(w, version)
        });
    }
    if call.version >= 3 {
        tracing::debug!(
            client = %call.peer.remote,
            client_id = call.client_id,
            software = request.client_software_name,
            version = request.client_software_version,
            "client"
        );
    }
    let image = call.broker().image();
    call.answer(|w, version| response(&image, call.broker(), version).encode(w, version))
}

/// Whether the client says who it is as it should, and means this broker.
fn judge(request: &ApiVersionsRequest<'_>, version: i16, broker: &Broker) -> Result<(), ErrorCode> {
    let names = [
        request.client_software_name,
        request.client_software_version,
    ];
    if version >= 3 && !names.into_iter().all(is_software_name) {
        return Err(ErrorCode::InvalidRequest);
    }
    // Before version 5 nobody is meant.
    match (request.cluster_id, request.node_id) {
        (None, -1) => Ok(()),
        (None, _) | (Some(_), -1) => Err(ErrorCode::InvalidRequest),
        (Some(cluster), node) if cluster == broker.cluster_id() && node == broker.node_id().0 => {
            Ok(())
        }
        _ => Err(ErrorCode::RebootstrapRequired),
    }
}

/// In the layout of version 0, whatever was asked in.
fn unsupported(call: &Call<'_>) -> Result<Reply, CloseReason> {
    let response = ApiVersionsResponse {
        error_code: ErrorCode::UnsupportedVersion.code(),
        api_keys: vec![advertised(&API)],
        ..ApiVersionsResponse::default()
    };
    match encode_response(call.key, 0, call.correlation_id, |w| response.encode(w, 0)) {
        Ok(frame) => Ok(frame.into()),
        Err(error) => Err(CloseReason::Unanswerable {
            api: call.key,
            version: 0,
            error,
        }),
    }
}

fn response<'i>(image: &'i Image, broker: &Broker, version: i16) -> ApiVersionsResponse<'i> {
    let mut response = ApiVersionsResponse {
        api_keys: TABLE.iter().map(advertised).collect(),
        ..ApiVersionsResponse::default()
    };
    let features = image.features().iter().filter(|(_, level)| **level != 0);
    for (name, &level) in features {
        response.finalized_features.push(FinalizedFeatureKey {
            name,
            min_version_level: level,
            max_version_level: level,
        });
        // One level of each is supported: that which the catalog was made with.
        response.supported_features.push(SupportedFeatureKey {
            name,
            min_version: level,
            max_version: level,
        });
    }
    if version < 4 {
        response
            .supported_features
            .retain(|feature| feature.min_version > 0);
    }
    let epoch = image
        .broker(broker.node_id())
        .map_or(0, |registration| registration.epoch);
    response.finalized_features_epoch = epoch.max(0);
    response
}

fn advertised(api: &Registration) -> ApiVersion {
    ApiVersion {
        api_key: api.key.into(),
        min_version: *api.versions.start(),
        max_version: *api.versions.end(),
    }
}

/// Kafka's pattern `[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?`.
fn is_software_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let ends_well = |end: Option<&u8>| end.is_some_and(u8::is_ascii_alphanumeric);
    ends_well(bytes.first())
        && ends_well(bytes.last())
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn software_names_are_letters_digits_dots_and_dashes() {
        for name in ["a", "apache-kafka-java", "4.1.0", "0", "a..b", "A-1"] {
            assert!(is_software_name(name), "{name}");
        }
        for name in ["", "-", ".a", "a-", "a b", "a_b", "librdkafka/2", "ä"] {
            assert!(!is_software_name(name), "{name}");
        }
    }
}

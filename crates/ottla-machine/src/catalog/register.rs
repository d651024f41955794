//! Making this node known (Kafka: the format's bootstrap records, and
//! `ClusterControlManager.registerBroker`).
//!
//! Kafka registers a broker anew at each start. Here a start that changes nothing writes nothing.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::{
    Answer, Catalog, CatalogRecord, METADATA_VERSION, METADATA_VERSION_LEVEL, RegisterNode,
    Registration,
};
use crate::contract::{Cx, Decision};

impl Catalog {
    pub(super) fn decide_bootstrap(
        &self,
        node: RegisterNode,
        cx: &mut Cx<'_>,
        out: &mut Decision<Self>,
    ) -> Answer {
        let first_start = self.image.metadata_version().is_none();
        let mut records = Vec::new();
        if first_start {
            records.push(CatalogRecord::Feature {
                name: METADATA_VERSION.to_string(),
                level: METADATA_VERSION_LEVEL,
            });
        }
        for (name, level) in node.finalized {
            if name != METADATA_VERSION && !self.image.features().contains_key(&name) {
                records.push(CatalogRecord::Feature { name, level });
            }
        }
        let mut registration = Registration {
            node: node.node,
            incarnation: Default::default(),
            epoch: 0,
            endpoints: node.endpoints,
            features: node.features,
            rack: node.rack,
            fenced: false,
            log_dirs: node.log_dirs,
        };
        let broker_epoch = match self.image.broker(node.node) {
            Some(known) if known.is_like(&registration) => known.epoch,
            _ => {
                // Kafka counts broker epochs in offsets of this log, too.
                registration.epoch = (cx.end + records.len() as i64).0;
                registration.incarnation = cx.ids.uuid();
                let epoch = registration.epoch;
                records.push(CatalogRecord::Broker(registration));
                epoch
            }
        };
        if !records.is_empty() {
            out.log(records);
        }
        Answer::Bootstrapped {
            broker_epoch,
            first_start,
        }
    }
}

//! Handing out producer ids (Kafka `ProducerIdControlManager`).
//!
//! A block is lost when its node stops: that is what makes it safe to hand out ids of a block without
//! writing each down.

use ottla_model::ids::{NodeId, ProducerId};

use super::{Answer, Catalog, CatalogRecord, PRODUCER_ID_BLOCK, ProducerIdBlock, Refusal};
use crate::contract::Decision;

impl Catalog {
    pub(super) fn decide_allocate_producer_ids(
        &self,
        node: NodeId,
        out: &mut Decision<Self>,
    ) -> Result<Answer, Refusal> {
        let Some(registration) = self.image.broker(node) else {
            return Err(Refusal::NotRegistered(node));
        };
        let first = self.image.next_producer_id();
        let Some(next) = first.0.checked_add(PRODUCER_ID_BLOCK) else {
            return Err(Refusal::ProducerIdsExhausted);
        };
        out.log(alloc::vec![CatalogRecord::ProducerIds {
            node,
            broker_epoch: registration.epoch,
            next: ProducerId(next),
        }]);
        Ok(Answer::ProducerIds(ProducerIdBlock {
            first,
            count: PRODUCER_ID_BLOCK,
        }))
    }
}

//! InitProducerId for idempotent producers: ids come from blocks that the catalog hands out durably,
//! so no id is given twice, whatever crashes (KIP-98, KIP-730).

use ottla_machine::catalog::{Answer, Command, ProducerIdBlock};
use ottla_model::ids::ProducerId;
use tokio::sync::Mutex;

use super::unexpected;
use crate::api::CatalogError;
use crate::authorize::Permit;
use crate::handle::Broker;

/// What is left of the current block.
#[derive(Debug, Default)]
pub(crate) struct ProducerIds(Mutex<Option<ProducerIdBlock>>);

impl Broker {
    /// A producer id never given before. Its first epoch is 0.
    ///
    /// # Errors
    /// The catalog refused, or its storage failed.
    pub async fn new_producer_id(&self, _permit: &Permit) -> Result<ProducerId, CatalogError> {
        let mut block = self.producer_ids().0.lock().await;
        let current = match block.take().filter(|block| block.count > 0) {
            Some(current) => current,
            None => {
                let command = Command::AllocateProducerIds {
                    node: self.node_id(),
                };
                match self.ask_catalog(command).await? {
                    Answer::ProducerIds(fresh) => fresh,
                    _ => return Err(unexpected()),
                }
            }
        };
        *block = Some(ProducerIdBlock {
            first: ProducerId(current.first.0 + 1),
            count: current.count - 1,
        });
        Ok(current.first)
    }
}

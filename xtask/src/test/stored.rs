//! What a client knows to lie on the broker's disk, for the judges.

use super::rows::Row;

/// One partition, when the broker has stopped.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) records: u64,
    pub(super) codec: String,
    pub(super) idempotent: bool,
}

impl Stored {
    /// # Errors
    /// If a field is missing or no number.
    pub(super) fn from_row(row: &Row) -> Result<Self, String> {
        let get = |name: &str| row.get(name).ok_or_else(|| format!("no {name} in: {row}"));
        Ok(Self {
            topic: get("topic")?.to_owned(),
            partition: get("partition")?
                .parse()
                .map_err(|e| format!("partition: {e}: {row}"))?,
            records: get("records")?
                .parse()
                .map_err(|e| format!("records: {e}: {row}"))?,
            codec: get("codec")?.to_owned(),
            idempotent: get("idempotent")? == "on",
        })
    }

    /// The name of its directory.
    pub(super) fn directory(&self) -> String {
        format!("{}-{}", self.topic, self.partition)
    }
}

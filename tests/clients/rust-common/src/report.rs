//! Facts on standard output; on standard error why a case failed.

use crate::cases::Stream;
use crate::{Combo, Result};

pub(crate) struct Report {
    version: String,
    pub(crate) failed: bool,
}

impl Report {
    pub(crate) fn new(version: String) -> Self {
        Self {
            version,
            failed: false,
        }
    }

    /// Runs a case, which answers with the number of records in its row, if it tells one.
    pub(crate) fn row(&mut self, fields: &str, body: impl FnOnce() -> Result<Option<usize>>) {
        let start = format!("row version={} {fields}", self.version);
        match body() {
            Ok(Some(records)) => println!("{start} records={records} result=ok"),
            Ok(None) => println!("{start} result=ok"),
            Err(why) => {
                self.failed = true;
                println!("{start} result=failed");
                eprintln!("failed: {fields}: {why}");
            }
        }
    }

    /// What now lies in each partition that has records.
    pub(crate) fn stored(&self, stream: &Stream, combo: &Combo) {
        for (partition, records) in stream
            .partitions
            .iter()
            .enumerate()
            .filter(|(_, records)| !records.is_empty())
        {
            println!(
                "stored topic={} partition={partition} records={} codec={} idempotent={}",
                stream.topic,
                records.len(),
                combo.codec,
                on_off(combo.idempotent)
            );
        }
    }
}

pub(crate) fn on_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

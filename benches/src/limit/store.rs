//! What the limit program stores: one batch over and over, in a file or in memory.

use std::fs::{self, File, OpenOptions};
use std::io::IoSlice;
use std::path::Path;

use memmap2::{Advice, MmapMut};
use ottla_model::batch::{BATCH_HEADER_BYTES, BatchHead};
use ottla_wire::encoder::Segment;
use ottla_wire::fetch::{FetchResponse, FetchableTopicResponse, PartitionData};
use ottla_wire::frame::encode_response;
use ottla_wire::{ApiKey, Records};

use crate::rows::Limit;
use crate::wire::{FETCH_VERSION, TOPIC};

/// Slices that one write takes.
const SLICES_MAX: usize = 1_024;
/// What can be held in memory: more than any row reads.
const MEMORY_BYTES: usize = 2 << 30;

pub(super) struct Store {
    file: File,
    is_synced: bool,
    memory: Option<MmapMut>,
    bytes: u64,
    next_offset: u64,
    /// Size and records of the batch.
    batch: Option<(u64, u64)>,
    answer: FetchAnswer,
}

/// Where stored bytes are.
pub(super) enum Place<'a> {
    File(&'a File),
    Memory(&'a [u8]),
}

/// The last answer to a Fetch: most have the same length.
#[derive(Default)]
struct FetchAnswer {
    length: Option<u64>,
    head: Vec<u8>,
    tail: Vec<u8>,
}

impl Store {
    pub(super) fn open(limit: Limit, data: &Path) -> Result<Store, String> {
        fs::create_dir_all(data).map_err(|e| format!("{}: {e}", data.display()))?;
        let path = data.join("limit.log");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .map_err(|e| format!("{}: {e}", path.display()))?;
        let memory = if limit == Limit::Memory {
            let map = MmapMut::map_anon(MEMORY_BYTES).map_err(|e| e.to_string())?;
            // Large pages make it the best path; small ones are still a limit.
            let _ = map.advise(Advice::HugePage);
            Some(map)
        } else {
            None
        };
        Ok(Store {
            file,
            is_synced: limit == Limit::AppendSync,
            memory,
            bytes: 0,
            next_offset: 0,
            batch: None,
            answer: FetchAnswer::default(),
        })
    }

    /// Checks the CRC of the batch at the start of `bytes` and gives it its offset; answers that and
    /// the batch's length.
    pub(super) fn stamp(&mut self, bytes: &mut [u8]) -> Result<(u64, usize), String> {
        let head = BatchHead::parse(bytes).map_err(|e| e.to_string())?;
        let length = head.size_bytes();
        let batch = bytes.get_mut(..length).ok_or("a batch is cut off")?;
        if length < BATCH_HEADER_BYTES || !head.crc_matches(batch) {
            return Err("a batch does not have its CRC".to_owned());
        }
        let records = u64::try_from(head.record_count).map_err(|e| e.to_string())?;
        let shape = *self.batch.get_or_insert((length as u64, records));
        if shape != (length as u64, records) {
            return Err("another batch than the first".to_owned());
        }
        let base_offset = self.next_offset;
        batch[..8].copy_from_slice(&base_offset.to_be_bytes());
        self.next_offset += records;
        Ok((base_offset, length))
    }

    /// Writes batches that were stamped, in this order, with as few calls as can be.
    pub(super) fn append<'a>(
        &mut self,
        batches: impl Iterator<Item = &'a [u8]>,
    ) -> Result<(), String> {
        let mut slices: Vec<IoSlice<'_>> = Vec::new();
        let before = self.bytes;
        for batch in batches {
            if let Some(memory) = &mut self.memory {
                let at = self.bytes as usize;
                let room = memory.get_mut(at..at + batch.len());
                room.ok_or("more than fits into memory")?
                    .copy_from_slice(batch);
                self.bytes += batch.len() as u64;
                continue;
            }
            slices.push(IoSlice::new(batch));
            if slices.len() == SLICES_MAX {
                self.write(&mut slices)?;
            }
        }
        self.write(&mut slices)?;
        if self.is_synced && self.bytes > before {
            self.file.sync_data().map_err(|e| format!("sync: {e}"))?;
        }
        Ok(())
    }

    /// Position and length of whole batches from an offset, at least one if there is one.
    pub(super) fn find(&self, offset: u64, bytes_max: u64) -> (u64, u64) {
        let Some((batch_bytes, batch_records)) = self.batch else {
            return (0, 0);
        };
        let position = offset / batch_records * batch_bytes;
        let wanted = (bytes_max / batch_bytes).max(1) * batch_bytes;
        (position, wanted.min(self.bytes.saturating_sub(position)))
    }

    pub(super) fn place(&self, position: u64, length: u64) -> Place<'_> {
        match &self.memory {
            Some(memory) => Place::Memory(&memory[position as usize..(position + length) as usize]),
            None => Place::File(&self.file),
        }
    }

    /// What goes before and behind so many bytes of records.
    pub(super) fn fetch_answer(
        &mut self,
        length: u64,
        correlation_id: [u8; 4],
        partition: [u8; 4],
    ) -> (&[u8], &[u8]) {
        if self.answer.length != Some(length) {
            self.answer = FetchAnswer::build(length);
        }
        let head = &mut self.answer.head;
        let index = 4 + 18 + TOPIC.len();
        head[4..8].copy_from_slice(&correlation_id);
        head[index..index + 4].copy_from_slice(&partition);
        let marks = self.next_offset.to_be_bytes();
        head[index + 6..index + 14].copy_from_slice(&marks);
        head[index + 14..index + 22].copy_from_slice(&marks);
        (&self.answer.head, &self.answer.tail)
    }

    fn write(&mut self, slices: &mut Vec<IoSlice<'_>>) -> Result<(), String> {
        let mut left = &mut slices[..];
        while !left.is_empty() {
            let written = rustix::io::pwritev(&self.file, left, self.bytes)
                .map_err(|e| format!("write: {e}"))?;
            self.bytes += written as u64;
            IoSlice::advance_slices(&mut left, written);
        }
        slices.clear();
        Ok(())
    }
}

impl FetchAnswer {
    fn build(length: u64) -> FetchAnswer {
        let response = FetchResponse {
            responses: vec![FetchableTopicResponse {
                topic: TOPIC,
                partitions: vec![PartitionData {
                    log_start_offset: 0,
                    records: Some(Records::External {
                        key: 0,
                        length: u32::try_from(length).unwrap_or(u32::MAX),
                    }),
                    ..PartitionData::default()
                }],
                ..FetchableTopicResponse::default()
            }],
            ..FetchResponse::default()
        };
        let frame = encode_response(ApiKey::Fetch, FETCH_VERSION, 0, |w| {
            response.encode(w, FETCH_VERSION)
        });
        let mut parts = [Vec::new(), Vec::new()];
        let mut at = 0;
        for segment in frame.iter().flat_map(|frame| &frame.segments) {
            match segment {
                Segment::Bytes(bytes) => parts[at].extend_from_slice(bytes),
                Segment::External { .. } => at = 1,
            }
        }
        let [head, tail] = parts;
        FetchAnswer {
            length: Some(length),
            head,
            tail,
        }
    }
}

//! Reading everything back.

use ottla_testkit::wire_client::{LATEST, WireClient, batches};

use crate::wire::TOPIC;

const FETCH_BYTES_MAX: i32 = 8 << 20;

/// Reads partitions from start to end. Each must hold so many records at offsets without a gap, in
/// batches with the right CRC. Answers the number of records.
///
/// # Errors
/// What is missing, or wrong.
pub(super) fn read_back(
    address: &str,
    expected: &[(i32, u64)],
    is_broker: bool,
) -> Result<u64, String> {
    let mut client = WireClient::connect(address).map_err(|e| e.to_string())?;
    let mut records = 0;
    for &(partition, wanted) in expected {
        if is_broker {
            let end = client
                .list_offset(TOPIC, partition, LATEST)
                .map_err(|e| e.to_string())?;
            if end.error_code != 0 || u64::try_from(end.offset) != Ok(wanted) {
                return Err(format!(
                    "partition {partition}: {end:?} where {wanted} is due"
                ));
            }
        }
        records += partition_records(&mut client, partition, wanted)?;
    }
    Ok(records)
}

fn partition_records(client: &mut WireClient, partition: i32, wanted: u64) -> Result<u64, String> {
    let mut position = 0;
    while position < wanted {
        let from = i64::try_from(position).map_err(|e| e.to_string())?;
        let fetched = client
            .fetch(TOPIC, partition, from, FETCH_BYTES_MAX, 1_000)
            .map_err(|e| e.to_string())?;
        let before = position;
        for batch in batches(&fetched.records)? {
            if u64::try_from(batch.head.base_offset.0) != Ok(position) {
                return Err(format!(
                    "partition {partition}: a batch at {} where {position} was due",
                    batch.head.base_offset
                ));
            }
            position += u64::from(batch.head.record_count.unsigned_abs());
        }
        if position == before {
            return Err(format!(
                "partition {partition}: nothing comes from offset {position} of {wanted}: error {}",
                fetched.error_code
            ));
        }
    }
    if position == wanted {
        Ok(wanted)
    } else {
        Err(format!(
            "partition {partition}: {position} records where {wanted} are due"
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::Duration;

    use super::*;
    use crate::limit;
    use crate::load::{Extent, Lane, Pace, drive};
    use crate::rows::Limit;
    use crate::wire::{Batch, Ring};

    #[test]
    fn a_record_that_does_not_come_back_is_found() {
        let home = tempfile::tempdir().unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap().to_string();
        drop(free);
        let (data, listen) = (home.path().to_owned(), address.clone());
        // It serves until this process ends.
        std::thread::spawn(move || limit::serve(Limit::Append, &listen, &data));
        let batch = Batch::new(1_024, 200);
        let ring = Ring::produce(&batch, &[0], -1).unwrap();
        let mut lane = loop {
            if let Ok(lane) = Lane::producer(&address, ring.clone(), &batch, 1) {
                break lane;
            }
            std::thread::yield_now();
        };
        let extent = Extent {
            duration: Duration::MAX,
            bytes_max: 10 * batch.bytes.len() as u64,
        };
        let measured = drive(std::slice::from_mut(&mut lane), Pace::Closed, extent).unwrap();
        assert!(measured.requests >= 10);
        let (_, records) = lane.acknowledged().next().unwrap();
        assert_eq!(records, measured.requests * batch.records);
        assert_eq!(read_back(&address, &[(0, records)], false), Ok(records));
        let missing = read_back(&address, &[(0, records + 1)], false).unwrap_err();
        assert!(
            missing.contains(&format!("nothing comes from offset {records}")),
            "{missing}"
        );
        let surplus = read_back(&address, &[(0, records - 1)], false).unwrap_err();
        assert!(surplus.contains("records where"), "{surplus}");
    }
}

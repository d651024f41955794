//! Stored records and the version that each carries. What else must be true of them, `ottla-fuzz` holds.

use ottla_model::primitives::Reader;
use ottla_model::records::{log, raft};
use ottla_schema::model::{Role, VersionPlace};

use super::load;

#[test]
fn values_carry_their_version() {
    let schema = load().unwrap();
    let place = |name: &str| {
        let s = schema
            .records
            .iter()
            .find_map(|module| module.find(name))
            .unwrap();
        s.role
    };
    assert_eq!(place("AbortedTxn"), Role::Value(VersionPlace::Before));
    let txn = log::AbortedTxn {
        producer_id: 1,
        first_offset: 2,
        last_offset: 3,
        last_stable_offset: 4,
    };
    let mut w = Vec::new();
    txn.encode_versioned(&mut w, 0).unwrap();
    assert_eq!(w.len(), 34, "an entry of .txnindex");
    assert_eq!(
        log::AbortedTxn::decode_versioned(&mut Reader::new(&w)),
        Ok((txn, 0))
    );

    assert_eq!(
        place("SnapshotFooterRecord"),
        Role::Value(VersionPlace::Inside)
    );
    assert_eq!(
        raft::SnapshotFooterRecord::decode_versioned(&mut Reader::new(&[0, 0, 0])),
        Ok((raft::SnapshotFooterRecord { version: 0 }, 0))
    );
}

//! What a fetch may read.

use super::*;
use crate::partition::{FetchPlan, Isolation, Query};

#[test]
fn a_fetch_reads_up_to_the_durable_mark_within_the_log() {
    let machine = Partition::default();
    let marks = Marks {
        log_start: Offset(10),
        written: Offset(50),
        durable: Offset(40),
    };
    for isolation in [Isolation::ReadUncommitted, Isolation::ReadCommitted] {
        let plan = |offset| {
            machine.plan(
                &Query::Fetch {
                    offset: Offset(offset),
                    isolation,
                },
                marks,
            )
        };
        for offset in [10, 39, 40, 41, 50] {
            assert_eq!(
                plan(offset),
                Ok(FetchPlan {
                    start: Offset(offset),
                    bound: Offset(40),
                    log_start: Offset(10),
                    high_watermark: Offset(40),
                    last_stable_offset: Offset(40),
                })
            );
        }
        for offset in [-1, 0, 9, 51, i64::MAX] {
            assert_eq!(
                plan(offset),
                Err(Refusal::OffsetOutOfRange {
                    log_start: Offset(10),
                    end: Offset(50)
                })
            );
        }
    }
}

//! Data in, data out.

use super::*;

/// `"…".hashCode()` by a JVM.
#[test]
fn groups_hash_as_in_kafka() {
    for (group, partition) in [
        ("", 0),
        ("a", 47),
        ("my-group", 12),
        ("console-consumer-12345", 6),
        ("gr\u{fc}ppe-\u{1f600}", 14),
        // The one hash without an absolute value.
        ("polygenelubricants", 0),
    ] {
        assert_eq!(partition_of(group, 50), partition, "{group}");
    }
    assert_eq!(partition_of("polygenelubricants", i32::MAX), 0);
    assert_eq!(partition_of("a", 0), 0);
}

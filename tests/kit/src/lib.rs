//! What the tests of several crates share. Not shipped; may panic where a test would.

pub mod sim_disk;

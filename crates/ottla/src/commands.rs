//! One file per command.

pub(crate) mod health;
pub(crate) mod start;
pub(crate) mod version;

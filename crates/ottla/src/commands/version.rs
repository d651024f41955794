//! `ottla version`.

use crate::exit::Fatal;
use crate::text;

/// The version of this build.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

pub(crate) fn run() -> Result<(), Fatal> {
    text::line(format_args!("ottla {VERSION}"));
    Ok(())
}

//! Hostile bytes for everything that reads bytes from a socket or a file.
//!
//! A [`Group`] knows what is read: it makes inputs, good ones with a few lies in them, whose lengths and
//! checksums are put right afterwards, and it runs one: no panic, no more memory than four times the
//! input and 1 MiB, and whatever is understood can be written and read again. An input says all that is
//! needed to run it, so that it can be replayed alone, and so that a coverage-guided fuzzer can make its
//! own. [`engine`] runs groups over all cores, bounded, from one printed seed. The canaries are groups
//! with a planted bug that must be found.
//!
//! Not shipped.
#![allow(clippy::print_stdout, reason = "a test program: it talks to a person")]

pub mod engine;
mod groups;
mod meter;
mod mutate;
#[cfg(test)]
mod tests;

use ottla_schema::random::Random;

/// How far an input got.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Depth {
    /// No further than what stands in front: frame, header, length, checksum, magic.
    Refused,
    /// The bytes behind it were looked at, and refused.
    Reached,
    /// Everything was understood.
    Understood,
}

/// What became of an input.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// How far it got.
    pub depth: Depth,
    /// Memory that it took above four times its own bytes, in bytes.
    pub above_bytes: u64,
}

/// Something that reads bytes.
pub trait Group: Send + Sync {
    /// Its name.
    fn name(&self) -> &'static str;

    /// What it reads: its messages and versions, or only itself.
    fn variants(&self) -> Vec<String>;

    /// How many inputs of each variant run in CI.
    fn inputs_in_ci(&self) -> u64;

    /// Makes inputs of one variant.
    fn maker(&self, variant: usize) -> Box<dyn Maker + '_>;

    /// Runs an input.
    ///
    /// # Errors
    /// What is wrong. A panic is wrong as well.
    fn run(&self, input: &[u8]) -> Result<Seen, String>;

    /// Puts lengths and checksums of an input right that somebody else made.
    fn repair(&self, _input: &mut [u8]) {}
}

/// Makes inputs.
pub trait Maker {
    /// The next.
    fn make(&mut self, dice: &mut Random) -> Vec<u8>;
}

impl<F: FnMut(&mut Random) -> Vec<u8>> Maker for F {
    fn make(&mut self, dice: &mut Random) -> Vec<u8> {
        self(dice)
    }
}

/// All groups.
///
/// # Errors
/// The schema cannot be read.
pub fn groups() -> Result<Vec<Box<dyn Group>>, String> {
    groups::all()
}

/// The groups with a planted bug.
///
/// # Errors
/// The schema cannot be read.
pub fn canaries() -> Result<Vec<Box<dyn Group>>, String> {
    groups::canaries::all()
}

/// Runs one input as the engine does.
///
/// # Errors
/// What it found.
pub fn run(group: &dyn Group, input: &[u8]) -> Result<Seen, String> {
    meter::guarded(|| group.run(input))
}

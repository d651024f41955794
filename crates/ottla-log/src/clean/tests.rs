//! Decisions of the pure parts: data in, data out.

mod choices;
mod verdicts;

//! What the generator wrote, held against the schema, against hostile bytes, and against another
//! implementation of the same protocol.
//!
//! Values come from `ottla_schema::random`, which knows the schema but none of the generated code: it writes bytes,
//! the generated code reads them and must write the same.

mod notation;
mod oracle;
mod records;
mod wire;

use ottla_schema::load;

/// Values per message and version. `OTTLA_ROUNDS` asks for more.
fn rounds() -> u32 {
    std::env::var("OTTLA_ROUNDS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(20)
}

#[test]
fn generated_files_are_those_of_the_schema() {
    super::run(&["--check".into()]).unwrap();
}

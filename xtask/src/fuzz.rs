//! `cargo xtask fuzz`: hostile bytes for everything that reads bytes from a socket or a file
//! (`tests/fuzz`), bounded or guided by coverage.
//!
//! | command | what |
//! |---|---|
//! | `cargo xtask fuzz` | what CI runs, in the release profile |
//! | `cargo xtask fuzz --count 1000000000 batch` | more of one group |
//! | `cargo xtask fuzz replay GROUP HEX` | one input again |
//! | `cargo xtask fuzz list` | the groups |

use std::path::Path;
use std::process::Command;

/// # Errors
/// If it cannot be built, or found something.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root).args([
        "run",
        "--quiet",
        "--release",
        "--package",
        "ottla-fuzz",
        "--",
    ]);
    match command.args(arguments).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("ottla-fuzz: {status}")),
        Err(error) => Err(format!("cargo: {error}")),
    }
}

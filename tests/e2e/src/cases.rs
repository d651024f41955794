//! Running the cases of one test program and closing with the line that cargo's own tests end with.

use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

/// Runs cases and counts them.
#[derive(Debug)]
pub struct Cases {
    program: &'static str,
    filters: Vec<String>,
    start: Instant,
    passed: usize,
    filtered: usize,
    skipped: usize,
    failed: Vec<String>,
}

/// Whether the long programs run here: in release builds, or wherever `OTTLA_E2E=1` asks for them.
/// `cargo test --workspace` builds for debugging and leaves them to `cargo xtask test`.
#[must_use]
pub fn wanted() -> bool {
    !cfg!(debug_assertions) || env::var_os("OTTLA_E2E").is_some_and(|value| value == "1")
}

/// The `main` of a test program: reads cargo's arguments, runs `body` if it is [`wanted`] here, closes.
pub fn main(program: &'static str, body: impl FnOnce(&mut Cases)) -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        println!("{program}: test");
        return ExitCode::SUCCESS;
    }
    let mut cases = Cases {
        program,
        filters: arguments
            .into_iter()
            .filter(|argument| !argument.starts_with('-'))
            .collect(),
        start: Instant::now(),
        passed: 0,
        filtered: 0,
        skipped: 0,
        failed: Vec::new(),
    };
    if wanted() {
        body(&mut cases);
    } else {
        println!(
            "\n{program}: for release builds (cargo test -p ottla-e2e --release) or OTTLA_E2E=1"
        );
    }
    cases.close()
}

impl Cases {
    /// Whether a case of this name was asked for. Set-up that only some cases need asks too.
    #[must_use]
    pub fn wants(&self, name: &str) -> bool {
        let whole = format!("{}::{name}", self.program);
        self.filters.is_empty() || self.filters.iter().any(|filter| whole.contains(filter))
    }

    /// Runs a case, if it was asked for. It fails by answering an error or by panicking; what it
    /// answers otherwise is printed behind its name.
    pub fn run(&mut self, name: &str, case: impl FnOnce() -> Result<String, String>) {
        if !self.wants(name) {
            self.filtered += 1;
            return;
        }
        let start = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(case)).unwrap_or_else(|panic| {
            let text = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied());
            Err(text.unwrap_or("panicked").to_owned())
        });
        let took = start.elapsed().as_secs_f64();
        match outcome {
            Ok(said) => {
                self.passed += 1;
                println!("test {name} ... ok ({took:.2}s) {said}");
            }
            Err(why) => {
                println!("test {name} ... FAILED ({took:.2}s)\n{why}");
                self.failed.push(name.to_owned());
            }
        }
    }

    /// Counts a case that this machine cannot run, and says why.
    pub fn skip(&mut self, name: &str, why: &str) {
        self.skipped += 1;
        println!("test {name} ... ignored, {why}");
    }

    fn close(self) -> ExitCode {
        let verdict = if self.failed.is_empty() {
            "ok"
        } else {
            "FAILED"
        };
        if !self.failed.is_empty() {
            println!("\nfailures:");
            for name in &self.failed {
                println!("    {name}");
            }
        }
        println!(
            "\ntest result: {verdict}. {} passed; {} failed; {} ignored; 0 measured; {} filtered out; finished in {:.2}s\n",
            self.passed,
            self.failed.len(),
            self.skipped,
            self.filtered,
            self.start.elapsed().as_secs_f64()
        );
        if self.failed.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

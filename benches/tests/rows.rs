//! Every row, small, against Ottla and against the limit programs, so that none rots: a row passes when
//! everything that was acknowledged came back. What it took is neither looked at nor printed.
#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test program: it talks to a person and ends where it would have to lie"
)]

use std::ffi::OsString;
use std::net::TcpListener;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use ottla_benches::curves::CURVES;
use ottla_benches::machine::{CoreList, raise_file_limit};
use ottla_benches::micro;
use ottla_benches::outcome::{Outcome, Subject};
use ottla_benches::rows::{Limit, Promise, ROWS, Row, Work};
use ottla_benches::run::{Run, Size, execute};
use ottla_benches::server::ServerCommand;
use ottla_e2e::{cases, subject};

fn main() -> ExitCode {
    raise_file_limit();
    let cores = CoreList::read().expect("the cores of this process");
    cases::main("rows", |cases| {
        for row in ROWS {
            for limit in row.limits {
                let name = format!("{}_{limit:?}", row.name).to_lowercase();
                cases.run(&name, || small(*row, None, Subject::Limit(*limit), &cores));
            }
            cases.run(&format!("{}_ottla", row.name), || {
                small(*row, None, Subject::Ottla, &cores)
            });
        }
        for curve in CURVES {
            // The last step, made small, is where most can be wrong; the second is the least that is no
            // special case.
            let last = curve.steps[curve.steps.len() - 1];
            let limits = curve.limits.iter().copied().map(Subject::Limit);
            for who in [Subject::Ottla].into_iter().chain(limits) {
                for at in [curve.steps[1], last] {
                    let name = format!("{}_{at}_{who:?}", curve.name).to_lowercase();
                    cases.run(&name, || small(curve.row(at), Some(at), who, &cores));
                }
            }
        }
        cases.run("micro", || {
            let costs = micro::run(Duration::from_millis(1))?;
            Ok(format!("{} steps", costs.len()))
        });
    })
}

fn small(row: Row, at: Option<u64>, who: Subject, cores: &CoreList) -> Result<String, String> {
    let home = subject::directory(env!("CARGO_TARGET_TMPDIR"), "rows");
    let address = free_address();
    let run = Run {
        row,
        at,
        subject: who,
        server: ServerCommand {
            command: command(&row, who, &address, &home.path().join("data")),
            address,
            log: home.path().join("server.log"),
            cores: row.cores,
        },
        home: home.path().to_owned(),
        size: Size::SMALL,
        topic_configs: Vec::new(),
        profile: None,
    };
    let found = execute(&run, cores)?;
    check(&row, who, &found)?;
    Ok(format!("{} records came back", found.read_back))
}

/// Every figure is there that the table prints, and so is every record.
fn check(row: &Row, who: Subject, found: &Outcome) -> Result<(), String> {
    for metric in row.metrics {
        let stands_alone = matches!(who, Subject::Limit(_));
        match found.metrics.get(metric) {
            Some(value) if value.is_finite() && *value >= 0.0 => {}
            None if stands_alone => {}
            other => return Err(format!("{}: {other:?}", metric.name())),
        }
    }
    let stores = match row.work {
        Work::Produce(_) | Work::Fetch(_) | Work::Recover { .. } | Work::Retained { .. } => {
            !matches!(who, Subject::Limit(Limit::Echo | Limit::Fdatasync))
        }
        Work::Start
        | Work::Idle
        | Work::IdleConnections { .. }
        | Work::Groups(_)
        | Work::Topics { .. } => false,
    };
    if stores == (found.read_back > 0) {
        Ok(())
    } else {
        Err(format!("{} records came back", found.read_back))
    }
}

fn command(row: &Row, who: Subject, address: &str, data: &Path) -> Vec<OsString> {
    let mut command: Vec<OsString> = match who {
        Subject::Limit(limit) => vec![
            env!("CARGO_BIN_EXE_ottla-bench").into(),
            "limit".into(),
            clap::ValueEnum::to_possible_value(&limit)
                .expect("every mode has a name")
                .get_name()
                .into(),
        ],
        Subject::Ottla => vec![
            subject::binary().into(),
            "start".into(),
            "--admin-listen".into(),
            "127.0.0.1:0".into(),
        ],
        Subject::Kafka => unreachable!("tests start no JVM"),
    };
    if who == Subject::Ottla && row.promise == Promise::Written {
        command.push("--dev".into());
    }
    command.extend([
        "--listen".into(),
        address.into(),
        "--data".into(),
        data.into(),
    ]);
    command
}

/// Free a moment ago: the limit program and Kafka are told their port.
fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").to_string()
}

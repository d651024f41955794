//! What is wrong before the data directory is touched.

use std::net::TcpListener;

use super::{assert_one_line, ottla, refused};

#[test]
fn a_port_in_use_is_found_before_the_directory_is_touched() {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    // Without a command as well: `start` is the default.
    for command in [&["start"][..], &[]] {
        let args = [
            command,
            &[
                "--dev",
                "--admin-listen",
                "none",
                "--listen",
                &taken,
                "--data",
                data.to_str().unwrap(),
            ],
        ]
        .concat();
        refused(&args, 3, &[&taken, "in use", "--listen"]);
    }
    let args = [
        "--listen",
        "127.0.0.1:0",
        "--admin-listen",
        &taken,
        "--data",
        data.to_str().unwrap(),
    ];
    refused(&args, 3, &[&taken, "in use", "--admin-listen"]);
    assert!(!data.exists());
}

#[test]
fn an_admin_port_that_nobody_chose_gives_way() {
    // If it is not ours, somebody else has it: in use it is.
    let _holder = TcpListener::bind("127.0.0.1:9644");
    // Empty is not set: the default.
    let broker = ottla().variable("OTTLA_ADMIN_LISTEN", "").start();
    let admin = broker.admin_address().unwrap();
    assert!(
        admin.starts_with("127.0.0.1:") && admin != "127.0.0.1:9644",
        "{admin}"
    );
    assert!(
        broker.stderr().contains("the admin port 9644 is in use"),
        "{}",
        broker.stderr()
    );
}

#[test]
fn wrong_flags_files_and_variables() {
    let root = tempfile::tempdir().unwrap();
    let config = root.path().join("c.toml");
    let path = config.to_str().unwrap();

    refused(
        &["--lisen", "a:1"],
        2,
        &["'--lisen'", "'--listen'", "ottla --help"],
    );
    refused(&["start", "--listen", "9092"], 2, &["9092", "no HOST:PORT"]);
    refused(
        &["--listen", "203.0.113.1:9092"],
        2,
        &["203.0.113.1:9092", "no address of this machine"],
    );
    refused(
        &["--listen", "nowhere.invalid:9092"],
        2,
        &["nowhere.invalid:9092"],
    );
    refused(
        &["--set", "num.partitons=3"],
        2,
        &["num.partitons", "num.partitions?"],
    );
    refused(
        &["--set", "num.partitions=0"],
        2,
        &["num.partitions", "at least 1"],
    );
    refused(&["--log-level", "loud"], 2, &["loud"]);
    refused(&["produce"], 2, &["produce"]);
    refused(&["--dev", "health"], 2, &["health"]);
    refused(&["health", "--timeout-ms", "0"], 2, &["timeout-ms"]);
    refused(&["--config", path], 2, &[path, "No such file"]);
    std::fs::write(&config, "data = \"x\"\n\nlisen = \"a:1\"\n").unwrap();
    refused(
        &["--config", path],
        2,
        &[path, ":3:1: unknown field `lisen`"],
    );
    std::fs::write(&config, "listen = \n").unwrap();
    refused(&["start", "--config", path], 2, &[path, ":1:"]);
    std::fs::write(&config, [0xff, 0xfe]).unwrap();
    refused(&["start", "--config", path], 2, &[path, "UTF-8"]);

    let ended = ottla().variable("OTTLA_LISTEN", "x").run();
    assert_eq!(ended.code, Some(2));
    assert_one_line(&ended.stderr, &["OTTLA_LISTEN", "no HOST:PORT"]);
    let ended = ottla().variable("OTTLA_LISTN", "127.0.0.1:0").run();
    assert_eq!(ended.code, Some(2));
    assert_one_line(&ended.stderr, &["OTTLA_LISTN", "OTTLA_LISTEN?"]);
}

#[test]
fn a_setting_without_effect_is_said_at_start() {
    let broker = ottla()
        .args(["--set", "log.retention.hours=1"])
        .variable("OTTLA_PORT", "tcp://10.0.0.1:9092")
        .start();
    let stderr = broker.stderr();
    let warnings: Vec<_> = stderr.lines().filter(|l| l.contains(" WARN ")).collect();
    assert_eq!(warnings.len(), 2, "{stderr}");
    assert!(warnings[0].contains("no such variable: OTTLA_PORT;"));
    assert!(warnings[1].contains("log.retention.hours has no effect yet: nothing is deleted"));
}

#[test]
fn help_and_version() {
    let help = ottla().args(["--help"]).run();
    assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
    for word in [
        "--listen",
        "--advertise",
        "--data",
        "--dev",
        "--log-level",
        "--config",
        "health",
        "Exit codes:",
        "  8  ",
    ] {
        assert!(help.stdout.contains(word), "no {word:?} in {}", help.stdout);
    }
    let version = format!("ottla {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(ottla().args(["version"]).run().stdout, version);
    assert_eq!(ottla().args(["--version"]).run().stdout, version);
}

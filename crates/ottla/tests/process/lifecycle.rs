//! Start, the line and the file that tell where, and the end.

use std::fs;
use std::io::Read;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use ottla_testkit::broker_process::BrokerCommand;
use ottla_testkit::wire_client::WireClient;
use rustix::process::Signal;

use super::ottla;

#[test]
fn tells_where_it_listens_in_one_line_and_in_a_file() {
    let mut broker = ottla().args(["--admin-listen", "127.0.0.1:0"]).start();
    let file = broker.data().join("ottla.address");
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        format!("{}\n", broker.address())
    );
    assert!(!broker.address().ends_with(":0"));

    let expected = format!(
        "ottla {} listening on {}, admin on http://{}, data in {}; acks=all is answered after fdatasync (server mode)\n",
        env!("CARGO_PKG_VERSION"),
        broker.address(),
        broker.admin_address().unwrap(),
        fs::canonicalize(broker.data()).unwrap().display(),
    );
    assert_eq!(broker.stdout(), expected);
    assert!(broker.stderr().lines().count() <= 5, "{}", broker.stderr());

    assert_eq!(broker.terminate(), Some(0));
    assert!(!file.exists());
    assert!(broker.data().join(".kafka_cleanshutdown").exists());
}

#[test]
fn stops_by_either_signal_and_starts_again() {
    let mut broker = ottla().start();
    for signal in [Signal::TERM, Signal::INT] {
        broker.signal(signal);
        assert_eq!(broker.wait_until_ended(), Some(0), "{}", broker.stderr());
        broker.restart();
    }
    assert!(!broker.stderr().contains("unclean"), "{}", broker.stderr());
    broker.kill();
    broker.restart();
    assert!(
        broker.stderr().contains("after an unclean stop"),
        "{}",
        broker.stderr()
    );
    assert_eq!(broker.terminate(), Some(0));
    assert!(
        !broker.stderr().contains(" WARN ") && !broker.stderr().contains(" ERROR "),
        "{}",
        broker.stderr()
    );
}

#[test]
fn a_file_says_what_flags_say() {
    let root = tempfile::tempdir().unwrap();
    let config = root.path().join("c.toml");
    fs::write(
        &config,
        "dev = true\nlog-level = \"error\"\ncluster-id = \"of-the-file\"\n",
    )
    .unwrap();
    let by_file = ottla().args(["--config", config.to_str().unwrap()]).start();
    let by_flags = ottla()
        .args([
            "--dev",
            "--log-level",
            "error",
            "--cluster-id",
            "of-the-file",
        ])
        .start();
    for broker in [&by_file, &by_flags] {
        assert!(
            broker
                .stdout()
                .ends_with("(dev mode: kill -9 loses nothing, power loss may)\n"),
            "{}",
            broker.stdout()
        );
        assert_eq!(broker.stderr(), "");
        let meta = fs::read_to_string(broker.data().join("meta.properties")).unwrap();
        assert!(meta.contains("cluster.id=of-the-file\n"), "{meta}");
    }
    // A flag wins over the file.
    let both = ottla()
        .args(["--dev=false", "--config", config.to_str().unwrap()])
        .start();
    assert!(
        both.stdout().ends_with("(server mode)\n"),
        "{}",
        both.stdout()
    );
}

#[test]
fn works_without_an_admin_side() {
    let mut broker = ottla().start();
    assert_eq!(broker.admin_address(), None);
    assert!(!broker.stdout().contains("admin"), "{}", broker.stdout());
    assert_eq!(broker.terminate(), Some(0));
}

/// Clients that take every descriptor would stop every new topic and every roll.
#[test]
fn a_flood_of_connections_leaves_descriptors_to_the_logs() {
    let home = tempfile::tempdir().unwrap();
    let limited = home.path().join("limited");
    let script = format!(
        "#!/bin/sh\nulimit -n 160\nexec '{}' \"$@\"\n",
        env!("CARGO_BIN_EXE_ottla")
    );
    fs::write(&limited, script).unwrap();
    fs::set_permissions(&limited, fs::Permissions::from_mode(0o755)).unwrap();
    let broker = BrokerCommand::new(&limited).start();
    let mut client = WireClient::connect(broker.address()).unwrap();
    let mut flood: Vec<TcpStream> = (0..400)
        .map(|_| TcpStream::connect(broker.address()).unwrap())
        .collect();
    // All before it were accepted when the last one is closed.
    let last = flood.last_mut().unwrap();
    last.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    assert!(matches!(last.read(&mut [0]), Ok(0)), "above the limit");
    let created = client.create_topic("flooded", 8, &[]).unwrap();
    assert_eq!(created.error_code, 0, "{created:?}");
    drop(flood);
}

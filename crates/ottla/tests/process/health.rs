//! `ottla health`.

use std::io::Write;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use super::{ottla, refused};

#[test]
fn follows_the_broker() {
    let mut broker = ottla().start();
    let data = broker.data();
    let data = data.to_str().unwrap();
    let address = broker.address().to_owned();
    for args in [["health", "--listen", &address], ["health", "--data", data]] {
        let ended = ottla().args(args).run();
        assert_eq!(
            (ended.code, ended.stdout.as_str(), ended.stderr.as_str()),
            (Some(0), "", ""),
            "{args:?}"
        );
    }
    let ended = ottla().args(["health"]).variable("OTTLA_DATA", data).run();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let ended = ottla()
        .args(["health"])
        .variable("OTTLA_LISTEN", &address)
        .run();
    assert_eq!(ended.code, Some(0), "{ended:?}");

    // Killed, it leaves the address file behind.
    broker.kill();
    refused(&["health", "--data", data], 5, &[&address, "refused"]);
    broker.restart();
    let ended = ottla().args(["health", "--data", data]).run();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(broker.terminate(), Some(0));
    refused(
        &["health", "--data", data],
        5,
        &["ottla.address", "no broker is ready"],
    );
}

#[test]
fn is_not_fooled_by_what_is_no_broker() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let began = Instant::now();
    refused(
        &["health", "--listen", &address, "--timeout-ms", "50"],
        5,
        &[&address, "the time is over"],
    );
    assert!(began.elapsed() >= Duration::from_millis(50));

    for (answer, words) in [
        (
            &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
            "does not speak Kafka's protocol",
        ),
        (
            b"\x00\x00\x00\x06\x00\x00\x00\x02\x00\x00",
            "its answer is not Kafka's",
        ),
        (b"\xff\xff\xff\xff", "does not speak Kafka's protocol"),
        (
            b"\x00\x00\x00\x0c\x00\x00\x00\x01\x00\x00\x01\x00\x00\x00\x00\x00",
            "it answers with error 0",
        ),
        (
            b"\x00\x00\x00\x0c\x00\x00\x00\x01\x00\x23\x01\x00\x00\x00\x00\x00",
            "it answers with error 35",
        ),
        (b"\x00\x00", "it closed the connection"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let impostor = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // The question must be read, or closing would reset the connection.
            let mut question = [0; 4];
            std::io::Read::read_exact(&mut stream, &mut question).unwrap();
            let mut rest = vec![0; u32::from_be_bytes(question) as usize];
            std::io::Read::read_exact(&mut stream, &mut rest).unwrap();
            stream.write_all(answer).unwrap();
        });
        refused(&["health", "--listen", &address], 5, &[words]);
        impostor.join().unwrap();
    }
}

//! What a start, an idle process and a stop cost. Prints, and asserts no time:
//! `cargo test --release -p ottla --test process -- --ignored --nocapture figures`

use std::fs;
use std::net::TcpStream;
use std::time::Instant;

use ottla_testkit::wire_client::WireClient;
use ottla_wire::api_versions::ApiVersionsRequest;

use super::ottla;

const RUNS: usize = 10;

#[test]
#[ignore = "prints figures"]
fn figures() {
    for mode in ["--dev=false", "--dev=true"] {
        let (mut ready, mut reply, mut stop, mut resident) = (vec![], vec![], vec![], vec![]);
        for _ in 0..RUNS {
            let mut broker = ottla()
                .args([mode, "--admin-listen", "127.0.0.1:0"])
                .start();
            assert_eq!(broker.terminate(), Some(0));
            let began = Instant::now();
            broker.restart();
            ready.push(broker.ready_after().as_secs_f64() * 1e3);
            let mut client = WireClient::connect(broker.address()).unwrap();
            let pending = client.send(&ApiVersionsRequest::default(), 3).unwrap();
            client.receive(pending).unwrap();
            reply.push(began.elapsed().as_secs_f64() * 1e3);
            resident.push(status_kib(broker.id(), "VmRSS:"));
            // A client that stays connected must not delay the stop.
            let _idle = TcpStream::connect(broker.address()).unwrap();
            let began = Instant::now();
            assert_eq!(broker.terminate(), Some(0));
            stop.push(began.elapsed().as_secs_f64() * 1e3);
        }
        println!(
            "{mode}: start of the process to the address file, ms: {}",
            spread(&mut ready)
        );
        println!(
            "{mode}: start of the process to the first reply, ms:   {}",
            spread(&mut reply)
        );
        println!(
            "{mode}: SIGTERM to the end of the process, ms:         {}",
            spread(&mut stop)
        );
        println!(
            "{mode}: VmRSS after the first reply, KiB:              {}",
            spread(&mut resident)
        );
    }
}

fn status_kib(id: u32, name: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

fn spread(values: &mut [f64]) -> String {
    values.sort_by(f64::total_cmp);
    format!(
        "min {:.1}, median {:.1}, max {:.1}",
        values[0],
        values[values.len() / 2],
        values[values.len() - 1]
    )
}

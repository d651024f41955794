//! What a start, an idle process and a stop cost. Prints, and asserts no time:
//! `cargo test --release -p ottla --test process -- --ignored --nocapture figures`

use std::fs;
use std::time::{Duration, Instant};

use super::ottla;
use super::records::parked_fetch;
use ottla_testkit::wire_client::WireClient;

const RUNS: usize = 10;

#[test]
#[ignore = "prints figures"]
fn figures() {
    for mode in ["--dev=false", "--dev=true"] {
        let (mut new, mut ready, mut reply) = (vec![], vec![], vec![]);
        let (mut stop, mut resident) = (vec![], vec![]);
        for _ in 0..RUNS {
            let mut broker = ottla()
                .args([mode])
                .variable("OTTLA_ADMIN_LISTEN", "127.0.0.1:0")
                .start();
            new.push(ms(broker.ready_after()));
            let mut client = WireClient::connect(broker.address()).unwrap();
            assert_eq!(client.create_topic("t", 1, &[]).unwrap().error_code, 0);
            assert_eq!(broker.terminate(), Some(0));

            let began = Instant::now();
            broker.restart();
            ready.push(ms(broker.ready_after()));
            let mut client = WireClient::connect(broker.address()).unwrap();
            client.api_versions().unwrap();
            reply.push(ms(began.elapsed()));
            resident.push(status_kib(broker.id(), "VmRSS:"));

            // A fetch that waits must not delay the stop.
            let parked = client.send(&parked_fetch("t"), 12).unwrap();
            let began = Instant::now();
            assert_eq!(broker.terminate(), Some(0));
            stop.push(ms(began.elapsed()));
            drop(client.receive(parked));
        }
        for (what, values) in [
            ("start on a new directory to the address file, ms", &mut new),
            ("start to the address file, ms", &mut ready),
            ("start to the first reply, ms", &mut reply),
            ("SIGTERM to the end of the process, ms", &mut stop),
            ("VmRSS after the first reply, KiB", &mut resident),
        ] {
            println!("{mode:<11} {what:<50} {}", spread(values));
        }
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
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

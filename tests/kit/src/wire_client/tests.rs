//! Against a socket that plays the broker.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::thread::{self, JoinHandle};

use ottla_model::batch::{BatchBuilder, BatchSpec};
use ottla_wire::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use ottla_wire::frame::{decode_request_header, encode_response};
use ottla_wire::produce::ProduceRequest;

use super::*;

/// Reads this many frames, answers these bytes, and hangs up.
fn broker(frames: usize, answers: Vec<u8>) -> (SocketAddr, JoinHandle<Vec<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let played = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut read = Vec::new();
        for _ in 0..frames {
            let mut length = [0; 4];
            stream.read_exact(&mut length).unwrap();
            let mut frame = vec![0; u32::from_be_bytes(length) as usize];
            stream.read_exact(&mut frame).unwrap();
            read.push(frame);
        }
        stream.write_all(&answers).unwrap();
        read
    });
    (address, played)
}

fn answer(correlation_id: i32, error_code: i16) -> Vec<u8> {
    let response = ApiVersionsResponse {
        error_code,
        ..ApiVersionsResponse::default()
    };
    let key = ottla_wire::ApiKey::ApiVersions;
    let frame = encode_response(key, 0, correlation_id, |w| response.encode(w, 0)).unwrap();
    frame.to_bytes().unwrap().to_vec()
}

#[test]
fn pipelined_requests_get_their_answers_in_order() {
    let (address, played) = broker(2, [answer(1, 7), answer(2, 8)].concat());
    let mut client = WireClient::connect(address).unwrap();
    let request = ApiVersionsRequest::default();
    let first = client.send(&request, 0).unwrap();
    let second = client.send(&request, 0).unwrap();
    assert_eq!(client.receive(first).unwrap().body().unwrap().error_code, 7);
    let second = client.receive(second).unwrap();
    assert_eq!(second.body().unwrap().error_code, 8);
    let sent = played.join().unwrap();
    let ids: Vec<i32> = sent
        .iter()
        .map(|frame| decode_request_header(frame).unwrap().1.correlation_id)
        .collect();
    assert_eq!(ids, [1, 2]);
    let third = client
        .send(&request, 0)
        .and_then(|sent| client.receive(sent));
    assert!(third.is_err_and(|error| error.is_closed()));
}

#[test]
fn wrong_answers_are_named() {
    let request = ApiVersionsRequest::default();
    let outcome = |answers: Vec<u8>| {
        let (address, played) = broker(1, answers);
        let mut client = WireClient::connect(address).unwrap();
        let pending = client.send(&request, 0).unwrap();
        played.join().unwrap();
        match client.receive(pending) {
            Err(error) => error.to_string(),
            Ok(answer) => answer.body().map(drop).unwrap_err().to_string(),
        }
    };
    assert_eq!(outcome(answer(9, 0)), "answer 9 came where 1 was due");
    assert_eq!(outcome(vec![0xff; 4]), "an answer claims -1 bytes");
    assert_eq!(outcome(Vec::new()), "the broker closed the connection");
    let mut cut = answer(1, 0);
    cut.truncate(9);
    cut[3] = 5;
    assert!(outcome(cut).starts_with("the answer cannot be read"));
}

#[test]
fn a_frame_made_before_takes_the_next_correlation_id() {
    let batch = batch(3);
    let mut frame = produce_frame("topic", 4, &batch, -1).unwrap();
    let (address, played) = broker(2, Vec::new());
    let mut client = WireClient::connect(address).unwrap();
    for expected in [1, 2] {
        let pending: Pending<ProduceRequest<'_>> =
            client.send_frame(&mut frame, PRODUCE_VERSION).unwrap();
        assert_eq!(pending.correlation_id, expected);
    }
    let sent = played.join().unwrap();
    for (frame, expected) in sent.iter().zip([1, 2]) {
        let (_, header, mut body) = decode_request_header(frame).unwrap();
        assert_eq!(header.correlation_id, expected);
        let request = ProduceRequest::decode(&mut body, PRODUCE_VERSION).unwrap();
        let partition = &request.topic_data[0].partition_data[0];
        assert_eq!((partition.index, partition.records), (4, Some(&batch[..])));
    }
}

#[test]
fn batches_are_read_back_whole_and_checked() {
    let (first, second) = (batch(2), batch(1));
    let mut bytes = [first.clone(), second.clone(), first.clone()].concat();
    bytes.truncate(bytes.len() - 1);
    let found = batches(&bytes).unwrap();
    let sizes: Vec<usize> = found.iter().map(|one| one.bytes.len()).collect();
    assert_eq!(sizes, [first.len(), second.len()], "the last is incomplete");
    let mut seen = Vec::new();
    found[0]
        .records(|offset, key, value| {
            seen.push((offset, key.map(<[u8]>::to_vec), value.map(<[u8]>::to_vec)));
        })
        .unwrap();
    let record = |offset: i64| (offset, None, Some(vec![offset as u8; 5]));
    assert_eq!(seen, [record(0), record(1)]);

    bytes[70] ^= 1;
    assert_eq!(
        batches(&bytes).unwrap_err(),
        "batch at 0 does not have its CRC"
    );
    bytes[8] = 0x80;
    assert_eq!(
        batches(&bytes).unwrap_err(),
        format!("batch of length {}", i32::MIN + first.len() as i32 - 12)
    );
}

fn batch(records: u8) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchSpec::default(), 1_000);
    for index in 0..records {
        builder.push(None, Some(&[index; 5]), &[], 1_000);
    }
    builder.build().bytes().to_vec()
}

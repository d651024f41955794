//! Lies in the length, in the header, in key and version, and other protocols on our port.

use ottla_e2e::subject;
use ottla_testkit::wire_client::WireClient;
use ottla_wire::ApiKey;
use ottla_wire::api_versions::ApiVersionsRequest;
use ottla_wire::frame::decode_response;

use crate::bodies::is_answer;
use crate::probe::{
    Bytes, CORRELATION_ID, Outcome, Verdicts, frame, frame_with, framed, probe, probe_and_finish,
    raw_exchange,
};

/// `socket.request.max.bytes`, Kafka's default.
const FRAME_BYTES_MAX: i32 = 100 << 20;
const API_VERSIONS: i16 = ApiKey::ApiVersions as i16;
const METADATA: i16 = ApiKey::Metadata as i16;

/// Frames whose length no request has.
pub(crate) fn lengths(address: &str) -> Result<String, String> {
    let mut verdicts = Verdicts::default();
    for length in [-1, i32::MIN, i32::MAX, FRAME_BYTES_MAX + 1, 0x1602_0100] {
        let bytes = Bytes::default().i32(length).raw(&[0; 64]).0;
        verdicts.check(
            format!("length {length}"),
            &probe(address, &bytes),
            &Outcome::Closed,
        );
    }
    // Too short for a header, whatever is in them.
    let header = frame_with(API_VERSIONS, 0, Some(b""), None, b"");
    for bytes in 0..10 {
        let cut = framed(&header[4..4 + bytes]);
        verdicts.check(
            format!("length {bytes}"),
            &probe(address, &cut),
            &Outcome::Closed,
        );
    }
    verdicts.end()
}

/// Connections that end in the middle of a frame.
pub(crate) fn halves(address: &str) -> Result<String, String> {
    let mut verdicts = Verdicts::default();
    let whole = frame(METADATA, 1, &Bytes::default().i32(-1).0);
    for sent in 0..whole.len() {
        let got = probe_and_finish(address, &whole[..sent]);
        verdicts.check(
            format!("{sent} of {} bytes", whole.len()),
            &got,
            &Outcome::Closed,
        );
    }
    let claimed = Bytes::default().i32(FRAME_BYTES_MAX).raw(&whole[4..]).0;
    let got = probe_and_finish(address, &claimed);
    verdicts.check("100 MiB claimed, a few bytes sent", &got, &Outcome::Closed);
    verdicts.end()
}

/// What ends up on a broker's port by mistake or for a scan. Those whose clients show what they hear
/// are told.
pub(crate) fn other_protocols(address: &str) -> Result<String, String> {
    let hello = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[0x5a; 508]].concat();
    let alert = [21, 3, 1, 0, 2, 2, 40];
    let samples: [(&str, &[u8], &[u8]); 5] = [
        ("TLS", &hello, &alert),
        (
            "HTTP",
            b"GET / HTTP/1.1\r\nHost: broker\r\n\r\n",
            b"HTTP/1.1 400 ",
        ),
        (
            "HTTP/2",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"HTTP/1.1 400 ",
        ),
        ("SSH", b"SSH-2.0-OpenSSH_9.2\r\n", b""),
        ("PROXY", b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n", b""),
    ];
    for (name, bytes, start) in samples {
        let heard = raw_exchange(address, bytes).map_err(|error| format!("{name}: {error}"))?;
        let right = heard.starts_with(start) && heard.is_empty() == start.is_empty();
        if !right {
            let heard = String::from_utf8_lossy(&heard);
            return Err(format!("{name}: the broker said {heard:?}"));
        }
    }
    Ok(format!("{} protocols", samples.len()))
}

/// Keys that no API of a client listener has, and versions that an API does not have.
pub(crate) fn keys_and_versions(address: &str) -> Result<String, String> {
    let mut verdicts = Verdicts::default();
    let spoken = WireClient::connect(address)
        .and_then(|mut client| client.api_versions())
        .map_err(|error| error.to_string())?;
    let mut closes = |key: i16, version: i16| {
        let got = probe(address, &frame(key, version, &[0; 16]));
        verdicts.check(
            format!("key {key} version {version}"),
            &got,
            &Outcome::Closed,
        );
    };
    for key in [i16::MIN, -1, 1_000, i16::MAX].into_iter().chain(0..=200) {
        if spoken.iter().all(|(known, ..)| *known != key) {
            closes(key, 0);
        }
    }
    for &(key, least, most) in &spoken {
        // A version of ApiVersions that nobody knows has an answer, see below.
        if key != API_VERSIONS {
            for version in [i16::MIN, -1, most + 1, i16::MAX]
                .into_iter()
                .chain(0..least)
            {
                closes(key, version);
            }
        }
    }
    verdicts.end()
}

/// ApiVersions of a version that nobody knows is answered as version 0, with what to ask instead.
pub(crate) fn unknown_api_versions(address: &str) -> Result<String, String> {
    let mut verdicts = Verdicts::default();
    for version in [6, 99, i16::MAX] {
        let asked = frame(API_VERSIONS, version, &[0xff; 9]);
        let mut client = WireClient::connect(address).map_err(|error| error.to_string())?;
        let answered = client
            .send_raw(&asked)
            .and_then(|()| client.receive_frame());
        let frame = answered.map_err(|error| format!("version {version}: {error}"))?;
        let (id, body) = decode_response::<ApiVersionsRequest<'_>>(&frame, 0)
            .map_err(|error| format!("version {version}: {error}"))?;
        let keys: Vec<(i16, i16)> = body
            .api_keys
            .iter()
            .map(|k| (k.api_key, k.min_version))
            .collect();
        verdicts.holds(
            format!("version {version}"),
            id == CORRELATION_ID && body.error_code == 35 && keys == [(API_VERSIONS, 0)],
            || format!("{body:?}"),
        );
        let again = client.api_versions();
        verdicts.holds("then a version that it knows", again.is_ok(), || {
            format!("{again:?}")
        });
    }
    verdicts.end()
}

/// Names that KIP-511 does not allow.
pub(crate) fn software_names(address: &str) -> Result<String, String> {
    let mut verdicts = Verdicts::default();
    let names = ["", " ", "-a", "a-", "a b", "a\n", "ä", "a_b", "../x"];
    for (name, version) in names.iter().flat_map(|name| [(*name, "1"), ("a", *name)]) {
        let request = ApiVersionsRequest {
            client_software_name: name,
            client_software_version: version,
            ..ApiVersionsRequest::default()
        };
        let answer = WireClient::connect(address)
            .and_then(|mut client| client.call(&request, 3))
            .map_err(|error| format!("{name:?} {version:?}: {error}"))?;
        let code = answer.body().map(|body| body.error_code);
        verdicts.holds(
            format!("{name:?} {version:?}"),
            matches!(code, Ok(42)),
            || format!("{code:?}"),
        );
    }
    verdicts.end()
}

/// Client ids and tagged fields of the header.
pub(crate) fn headers(address: &str) -> Result<String, String> {
    let mut verdicts = Verdicts::default();
    let mut closes = |what: &str, bytes: Vec<u8>| {
        verdicts.check(what, &probe(address, &bytes), &Outcome::Closed);
    };
    let start = |key: i16, version: i16| Bytes::default().i16(key).i16(version).i32(CORRELATION_ID);
    for length in [i16::MAX, 100] {
        let bytes = start(METADATA, 1).i16(length).i32(-1).0;
        closes(&format!("client id of length {length}"), framed(&bytes));
    }
    let tagged = |tags: Bytes| frame_with(METADATA, 9, Some(b"x"), Some(&tags.0), &[0, 0, 0, 0, 0]);
    let tags = |count: u32| Bytes::default().varint(count);
    closes("2^20 tagged fields in 5 bytes", tagged(tags(1 << 20)));
    closes(
        "a tagged field larger than the frame",
        tagged(tags(1).varint(9).varint(1 << 30)),
    );
    closes(
        "a tagged field of 2^32-1 bytes",
        tagged(tags(1).varint(9).varint(u32::MAX)),
    );
    closes(
        "a varint of six bytes",
        tagged(Bytes::default().raw(&[0xff; 5]).raw(&[1])),
    );

    let all = Bytes::default().i32(0).0;
    let mut answered = |what: &str, bytes: Vec<u8>| {
        let got = probe(address, &bytes);
        verdicts.holds(what, is_answer(&got), || format!("{got:?}"));
    };
    answered(
        "a null client id",
        frame_with(METADATA, 1, None, None, &all),
    );
    let unknown = tags(2)
        .varint(7)
        .varint(2)
        .raw(b"ab")
        .varint(1_000)
        .varint(0);
    answered("tagged fields that nobody knows", tagged(unknown));

    // Kafka takes any negative length for null and any negative count for none, and puts U+FFFD where
    // bytes are no UTF-8; Ottla hangs up (docs/COMPATIBILITY.md).
    for (what, bytes) in [
        (
            "client id of length -2",
            framed(&start(METADATA, 1).i16(-2).i32(0).0),
        ),
        (
            "client id of length -2^15",
            framed(&start(METADATA, 1).i16(i16::MIN).i32(0).0),
        ),
        ("2^32-1 tagged fields", tagged(tags(u32::MAX))),
        (
            "a client id that is no UTF-8",
            frame_with(METADATA, 1, Some(&[0xff, 0xfe]), None, &all),
        ),
    ] {
        let got = probe(address, &bytes);
        let holds = if subject::foreign().is_some() {
            is_answer(&got)
        } else {
            got == Outcome::Closed
        };
        verdicts.holds(what, holds, || format!("{got:?}"));
    }
    verdicts.end()
}

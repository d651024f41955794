use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use super::*;

fn options() -> GatewayOptions {
    GatewayOptions::default()
}

fn fed(bytes: &[u8]) -> Input {
    let mut input = Input::default();
    input.buffer.extend_from_slice(bytes);
    input
}

/// A length and so many bytes of a request of this key and version.
fn frame(length: i32, key: i16, version: i16, bytes: usize) -> Vec<u8> {
    let mut frame = length.to_be_bytes().to_vec();
    frame.extend(key.to_be_bytes());
    frame.extend(version.to_be_bytes());
    frame.resize(LENGTH_BYTES + bytes, 0xaa);
    frame
}

async fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (server, _) = listener.accept().await.unwrap();
    (client, server)
}

#[test]
fn frames_come_out_whole_and_in_order() {
    let mut input = fed(&[
        frame(10, 3, 1, 10),
        frame(20, 18, 0, 20),
        frame(30, 0, 3, 29),
    ]
    .concat());
    let options = options();
    assert_eq!(input.next_frame(&options).unwrap().unwrap().len(), 10);
    assert_eq!(input.next_frame(&options).unwrap().unwrap().len(), 20);
    assert!(input.next_frame(&options).unwrap().is_none());
    input.buffer.extend_from_slice(&[0xbb]);
    let last = input.next_frame(&options).unwrap().unwrap();
    assert_eq!((last.len(), last[29]), (30, 0xbb));
    assert!(input.next_frame(&options).unwrap().is_none());
}

#[test]
fn lengths_are_judged_as_soon_as_they_are_known() {
    let options = options();
    let first = |bytes: &[u8]| match fed(bytes).next_frame(&options) {
        Ok(None) => "waits",
        Ok(Some(_)) => "whole",
        Err(CloseReason::FrameLength(_)) => "impossible",
        Err(CloseReason::FrameTooLarge { .. }) => "too large",
        Err(other) => panic!("{other}"),
    };
    let small = options.frame_bytes_max_unnegotiated as i32;
    let large = options.frame_bytes_max as i32;
    assert_eq!(first(&[]), "waits");
    assert_eq!(first(&[0, 0, 0]), "waits");
    assert_eq!(first(&0i32.to_be_bytes()), "impossible");
    assert_eq!(first(&(-1i32).to_be_bytes()), "impossible");
    assert_eq!(first(&i32::MAX.to_be_bytes()), "too large");
    assert_eq!(first(&(large + 1).to_be_bytes()), "too large");
    assert_eq!(first(&small.to_be_bytes()), "waits");
    // Above the small limit the head of the request decides, once it is there.
    assert_eq!(first(&(small + 1).to_be_bytes()), "waits");
    assert_eq!(first(&frame(small + 1, 0, 9, 3)), "waits");
    assert_eq!(first(&frame(large, 0, 9, 8)), "waits");
    assert_eq!(first(&frame(small + 1, 0, 14, 8)), "too large");
    assert_eq!(first(&frame(small + 1, 0x4745, 0x5420, 8)), "too large");

    let mut input = fed(&frame(small + 1, 999, 0, 8));
    input.negotiated();
    assert!(input.next_frame(&options).unwrap().is_none());
}

#[tokio::test]
async fn memory_is_taken_for_bytes_that_came() {
    let (mut client, mut server) = connected().await;
    let mut input = Input::default();
    input.negotiated();
    let announced = 100 << 20;
    client.write_all(&frame(announced, 0, 9, 8)).await.unwrap();
    let chunk = vec![1; 64 << 10];
    let mut came = poll_fn(|cx| input.poll_burst(cx, &mut server))
        .await
        .unwrap();
    let mut sent = LENGTH_BYTES + 8;
    while sent < 4 << 20 {
        client.write_all(&chunk).await.unwrap();
        sent += chunk.len();
        while came < sent {
            came += poll_fn(|cx| input.poll_burst(cx, &mut server))
                .await
                .unwrap();
            assert!(input.next_frame(&options()).unwrap().is_none());
            assert!(
                input.buffer.capacity() <= 2 * came + 2 * BURST_BYTES_MAX,
                "{} for {came}",
                input.buffer.capacity()
            );
        }
    }
}

#[tokio::test]
async fn an_idle_connection_holds_no_buffer() {
    let (mut client, mut server) = connected().await;
    let mut input = Input::default();
    for _ in 0..3 {
        client.write_all(&frame(1000, 3, 1, 1000)).await.unwrap();
        while input.next_frame(&options()).unwrap().is_none() {
            poll_fn(|cx| input.poll_burst(cx, &mut server))
                .await
                .unwrap();
        }
        let mut cx = Context::from_waker(Waker::noop());
        assert!(input.poll_burst(&mut cx, &mut server).is_pending());
        assert_eq!(input.buffer.capacity(), 0);
    }
    drop(client);
    assert_eq!(
        poll_fn(|cx| input.poll_burst(cx, &mut server))
            .await
            .unwrap(),
        0
    );
    assert!(input.has_ended());
}

#[tokio::test]
async fn a_busy_connection_is_read_in_bursts() {
    let (mut client, mut server) = connected().await;
    let mut input = Input::default();
    let request = frame(10_000, 3, 1, 10_000);
    let count = 200;
    let writer = tokio::spawn(async move {
        for _ in 0..count {
            client.write_all(&request).await.unwrap();
        }
        client
    });
    let mut frames = 0;
    while frames < count {
        let bytes = poll_fn(|cx| input.poll_burst(cx, &mut server))
            .await
            .unwrap();
        assert!(bytes <= 2 * BURST_BYTES_MAX, "{bytes}");
        while let Some(frame) = input.next_frame(&options()).unwrap() {
            assert_eq!(frame.len(), 10_000);
            frames += 1;
        }
    }
    drop(writer.await.unwrap());
    assert!(matches!(
        poll_fn(|cx| Poll::Ready(input.poll_burst(cx, &mut server))).await,
        Poll::Pending | Poll::Ready(Ok(0))
    ));
}

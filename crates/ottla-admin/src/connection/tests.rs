#![allow(clippy::unwrap_used, reason = "tests")]

use axum::Router;
use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::advance;

use super::*;

const LIMITS: Limits = Limits {
    exchange: Duration::from_secs(10),
    idle: Duration::from_secs(90),
};
const NEVER: Duration = Duration::from_secs(3600);
const SOON: Duration = Duration::from_millis(1);

/// A connection and the client's end of it. The clock stands still but for `advance`, and jumps to the
/// next deadline when nothing else can happen.
fn pair(buffer_bytes: usize) -> (Connection<DuplexStream>, DuplexStream) {
    let (ours, theirs) = duplex(buffer_bytes);
    (Connection::new(ours, LIMITS, None), theirs)
}

async fn read(connection: &mut Connection<DuplexStream>) -> usize {
    connection.read(&mut [0; 100]).await.unwrap()
}

async fn answer(connection: &mut Connection<DuplexStream>) {
    connection.write_all(b"answer").await.unwrap();
    connection.flush().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_head_that_trickles_ends_with_the_time_of_one_request() {
    let (mut connection, mut client) = pair(100);
    for _ in 0..3 {
        advance(Duration::from_secs(3)).await;
        client.write_all(b"G").await.unwrap();
        assert_eq!(read(&mut connection).await, 1);
        // Flushing nothing is not an answer.
        connection.flush().await.unwrap();
    }
    let began = Instant::now();
    assert_eq!(read(&mut connection).await, 0);
    assert_eq!(began.elapsed().as_secs(), 1);
    // Not even with a byte ready.
    client.write_all(b"G").await.unwrap();
    assert_eq!(read(&mut connection).await, 0);
}

#[tokio::test(start_paused = true)]
async fn between_requests_the_idle_time_holds_and_each_request_has_its_own() {
    let (mut connection, mut client) = pair(100);
    for _ in 0..3 {
        client.write_all(b"request").await.unwrap();
        assert_eq!(read(&mut connection).await, 7);
        advance(Duration::from_secs(9)).await;
        answer(&mut connection).await;
        advance(Duration::from_secs(89)).await;
    }
    client.write_all(b"G").await.unwrap();
    assert_eq!(read(&mut connection).await, 1);
    let began = Instant::now();
    assert_eq!(read(&mut connection).await, 0);
    assert_eq!(began.elapsed(), LIMITS.exchange);

    let (mut connection, _client) = pair(100);
    answer(&mut connection).await;
    let began = Instant::now();
    assert_eq!(read(&mut connection).await, 0);
    assert_eq!(began.elapsed(), LIMITS.idle);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_read_byte_by_byte_ends_with_the_time_of_its_request() {
    let (mut connection, mut client) = pair(1);
    let reader = tokio::spawn(async move {
        while client.read(&mut [0]).await.is_ok_and(|bytes| bytes > 0) {
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    });
    let began = Instant::now();
    let error = connection.write_all(&[b'x'; 100]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert_eq!(began.elapsed(), LIMITS.exchange);
    drop(connection);
    reader.await.unwrap();
}

async fn serve(exchange: Duration, idle: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/", get(|| async { "here" }));
    let listener = Bounded::new(listener, Limits { exchange, idle });
    tokio::spawn(async { axum::serve(listener, router).await });
    address
}

async fn ask(stream: &mut TcpStream) {
    let request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"here") {
        assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn heads_without_end_give_their_places_back() {
    let address = serve(SOON, NEVER).await;
    let mut held = Vec::new();
    // The last ones are only accepted when the first ones are gone.
    for _ in 0..2 * CONNECTIONS_MAX {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        held.push(stream);
    }
    for mut stream in held {
        // An end or a reset, whichever the kernel makes of the bytes that nobody read.
        assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0);
    }
}

#[tokio::test]
async fn a_connection_within_its_times_serves_many_requests_and_ends_when_idle() {
    let mut stream = TcpStream::connect(serve(NEVER, NEVER).await).await.unwrap();
    for _ in 0..100 {
        ask(&mut stream).await;
    }
    let mut stream = TcpStream::connect(serve(NEVER, SOON).await).await.unwrap();
    ask(&mut stream).await;
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
}

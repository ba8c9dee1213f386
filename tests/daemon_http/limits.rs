//! What it withstands: nonsense, much of it, and callers that never end.

use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::seen::jam;
use crate::stage::{SOON, Stage, head, loopback, request, see};

/// Waits until it answers again: a place may still be held for a moment.
#[track_caller]
fn answers(stage: &Stage) {
    let begun = Instant::now();
    while stage.send(request("GET", "/healthz", &[], "")).status != 200 {
        assert!(begun.elapsed() < SOON, "it does not answer any more");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn nonsense_is_refused_and_harms_nobody() {
    let stage = Stage::jammed(&loopback());
    let long = "x".repeat(100_000);
    let many = "A: b\r\n".repeat(1_000);
    for nonsense in [
        "\0\0\0\0\r\n\r\n".to_owned(),
        "GET\r\n\r\n".to_owned(),
        "GET / HTTP/9.9\r\n\r\n".to_owned(),
        "GET /healthz HTTP/1.1\r\nHost localhost\r\n\r\n".to_owned(),
        format!("GET /{long} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: {long}\r\n\r\n"),
        format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\n{many}\r\n"),
        "POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef".to_owned(),
        "POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n".to_owned(),
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
    ] {
        let status = stage.send(&nonsense).status;
        let short: String = nonsense.chars().take(60).collect();
        assert!([0, 400, 414, 431].contains(&status), "{short:?}: {status}");
    }
    stage.get("/nowhere").refuses(404, "no such path");
    stage.get("/api/v1/graph/").refuses(404, "no such path");
    stage.get("/../../etc/passwd").refuses(404, "no such path");
    answers(&stage);
}

#[test]
fn a_huge_body_is_not_read() {
    let stage = Stage::jammed(&loopback());
    let json = "Content-Type: application/json";
    let huge = format!("{{\"label\":\"{}\"}}", "x".repeat(1_000_000));
    stage
        .ask("POST", "/api/v1/events", &[json], &huge)
        .refuses(413, "bytes");
    // One that is only announced is refused before it comes.
    let announced = ["Content-Length: 99999999999", json];
    let head = request("POST", "/api/v1/events", &announced, "");
    let begun = Instant::now();
    assert_eq!(stage.send(head).status, 413);
    assert!(begun.elapsed() < Duration::from_secs(4));
    answers(&stage);
}

#[test]
fn a_body_that_does_not_come_is_not_waited_for() {
    let stage = Stage::jammed(&loopback());
    let head = ["Content-Length: 20", "Content-Type: application/json"];
    let begun = Instant::now();
    stage
        .ask("POST", "/api/v1/events", &head, "{")
        .refuses(408, "in time");
    assert!(begun.elapsed() < Duration::from_secs(30));
}

#[test]
fn who_asks_too_often_is_told_to_wait() {
    let stage = Stage::jammed(&loopback());
    let refused = (0..200)
        .map(|_| stage.get("/healthz"))
        .find(|answer| answer.status != 200);
    let refused = refused.unwrap().refuses(429, "too often");
    assert_eq!(refused.field("retry-after"), "1");
    answers(&stage);
}

#[test]
fn slow_callers_hold_their_places_for_a_while_and_watchers_go_on() {
    let stage = Stage::jammed(&loopback());
    let slow = |n: usize| {
        let mut stream = stage.connect();
        // Some say nothing at all, some begin and never end.
        if n.is_multiple_of(2) {
            stream
                .write_all(b"GET /healthz HTTP/1.1\r\nHost: loc")
                .unwrap();
        }
        stream
    };
    let mut held: Vec<TcpStream> = (0..100).map(slow).collect();
    let begun = Instant::now();
    let prod = stage.live.server("prod").unwrap();
    see(&prod, &jam(10, &["decision"]));
    assert!(begun.elapsed() < Duration::from_secs(1));
    // All of them are turned away or given up, and nothing waits for them to end.
    for stream in &mut held {
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said);
        let said = String::from_utf8_lossy(&said);
        let refused = said.is_empty() || said.contains(" 503 ") || said.contains(" 408 ");
        assert!(refused, "{said}");
    }
    assert!(
        begun.elapsed() < Duration::from_secs(30),
        "{:?}",
        begun.elapsed()
    );
    answers(&stage);
}

/// Asks for a stream, reads the head of the answer, and takes no more of it.
fn stream(stage: &Stage) -> (u16, BufReader<TcpStream>) {
    let mut stream = stage.connect();
    let asked = request("GET", "/api/v1/stream", &[], "");
    stream.write_all(asked.as_bytes()).unwrap();
    let mut reader = BufReader::new(stream);
    let (status, _) = head(&mut reader);
    (status, reader)
}

#[test]
fn one_address_does_not_take_all_places() {
    let stage = Stage::jammed(&loopback());
    let held: Vec<TcpStream> = (0..40).map(|_| stage.connect()).collect();
    let turned_away = held.iter().filter(|stream| {
        let mut said = [0; 12];
        stream
            .set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        let mut stream: &TcpStream = stream;
        stream.read_exact(&mut said).is_ok() && &said == b"HTTP/1.1 503"
    });
    assert_eq!(turned_away.count(), 8);
    drop(held);
    answers(&stage);
}

#[test]
fn streams_are_few_and_end_with_the_daemon() {
    let stage = Stage::jammed(&loopback());
    let streams: Vec<_> = (0..17).map(|_| stream(&stage)).collect();
    let statuses: Vec<u16> = streams.iter().map(|(status, _)| *status).collect();
    assert_eq!(statuses[..16], [200; 16]);
    assert_eq!(statuses[16], 503);
    answers(&stage);
    let begun = Instant::now();
    drop(stage);
    assert!(begun.elapsed() < Duration::from_secs(2));
}

#[test]
fn who_takes_nothing_of_a_stream_makes_room_for_others() {
    let stage = Stage::jammed(&loopback());
    let prod = stage.live.server("prod").unwrap();
    let held: Vec<_> = (0..16).map(|_| stream(&stage)).collect();
    // A storm's graph fills the buffers of both ends soon.
    let waiters: Vec<String> = (0..600).map(|n| format!("system-{n}")).collect();
    let waiters: Vec<&str> = waiters.iter().map(String::as_str).collect();
    let begun = Instant::now();
    for n in 20.. {
        see(&prod, &jam(n, &waiters));
        if stream(&stage).0 == 200 {
            break;
        }
        assert!(
            begun.elapsed() < Duration::from_mins(2),
            "they are still written to"
        );
        std::thread::sleep(Duration::from_millis(300));
    }
    assert!(
        begun.elapsed() > Duration::from_secs(9),
        "{:?}",
        begun.elapsed()
    );
    drop(held);
}

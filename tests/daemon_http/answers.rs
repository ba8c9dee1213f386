//! What each path answers.

use std::io::{BufRead, BufReader, Write};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::seen::{SECRET, jam};
use crate::stage::{SOON, Stage, head, loopback, request, see};

const WINDOW: &str = "from=2025-11-23T12:13:20Z&to=2025-11-23T12:13:40Z";

#[test]
fn the_graph_says_who_waits_for_whom() {
    let stage = Stage::jammed(&loopback());
    let graph = stage.get("/api/v1/graph").is(200).json();
    assert_eq!(graph["roots"], json!([{ "pid": 100, "gid": null }]));
    assert_eq!(graph["chains"][0]["table"], "public.hot");
    assert_eq!(graph["edges"].as_array().unwrap().len(), 2);
}

#[test]
fn without_a_token_no_answer_has_a_text() {
    let stage = Stage::jammed(&loopback());
    for target in ["/api/v1/graph", &format!("/api/v1/diagnosis?{WINDOW}")] {
        let answer = stage.get(target).is(200);
        assert!(!answer.body.contains(SECRET), "{target}: {}", answer.body);
        assert!(
            answer.body.contains("(statement 0000000000000001)"),
            "{target}"
        );
    }
    let graph = stage.get("/api/v1/graph").json();
    assert_eq!(
        graph["nodes"][1]["query"],
        "UPDATE … (statement 0000000000000001)"
    );
}

#[test]
fn a_server_is_named_where_there_are_several() {
    let stage = Stage::empty(&loopback());
    stage.get("/api/v1/graph").refuses(503, "no server");
    stage.watch("a");
    stage.get("/api/v1/graph").refuses(503, "not seen yet");
    see(&stage.watch("b"), &jam(0, &["decision"]));
    stage.get("/api/v1/graph").refuses(400, "several servers");
    stage.get("/api/v1/graph?server=b").is(200);
    stage
        .get("/api/v1/graph?server=c")
        .refuses(404, "/api/v1/servers");
    stage.get("/api/v1/graph?sever=b").refuses(400, "sever");
    stage
        .get("/api/v1/diagnosis?server=b")
        .refuses(503, "nothing is recorded");
}

#[test]
fn health_is_the_process_and_readiness_its_servers() {
    let stage = Stage::empty(&loopback());
    let prod = stage.watch("prod");
    let reason = || stage.get("/readyz").json()["servers"][0]["reason"].clone();
    assert_eq!(reason(), "no tick yet");
    stage.get("/readyz").is(503);
    see(&prod, &jam(0, &["decision"]));
    assert_eq!(reason(), Value::Null);
    stage.get("/readyz").is(200);
    prod.disconnected("the server is shutting down");
    assert_eq!(reason(), "the server is shutting down");
    stage.get("/readyz").is(503);
    stage.get("/healthz").is(200);
    let state = stage.get("/api/v1/servers").json()["servers"][0].clone();
    assert_eq!(
        (&state["state"], &state["ticks"]),
        (&json!("lost"), &json!(1))
    );
    prod.back_within(Duration::ZERO);
    assert_eq!(stage.get("/healthz").is(503).json()["status"], "stuck");
}

#[test]
fn a_diagnosis_is_of_its_window() {
    let stage = Stage::jammed(&loopback());
    let diagnosis = stage
        .get(&format!("/api/v1/diagnosis?{WINDOW}"))
        .is(200)
        .json();
    assert_eq!(diagnosis["window"]["ticks"], 100);
    assert_eq!(
        diagnosis["findings"][0]["cause"]["blocker"]["system"],
        "sync-12"
    );
    let half = "/api/v1/diagnosis?from=2025-11-23T12:13:20Z&to=2025-11-23T12:13:26Z";
    assert!(stage.get(half).json()["window"]["ticks"].as_u64().unwrap() < 60);
    for (asked, status, words) in [
        (
            "from=2025-11-23T12:13:20Z&to=2025-11-23T12:13:20Z",
            422,
            "before",
        ),
        ("from=yesterday", 422, "2026-11-23T14:03:00Z"),
        (
            "from=2025-11-20T12:13:20Z&to=2025-11-23T12:13:20Z",
            422,
            "longer",
        ),
        (
            "from=2024-11-23T12:13:20Z&to=2024-11-23T12:13:40Z",
            404,
            "nobody looked",
        ),
        ("until=x", 400, "until"),
    ] {
        let target = format!("/api/v1/diagnosis?{asked}");
        stage.get(&target).refuses(status, words);
    }
}

#[test]
fn an_event_is_declared_once_and_handed_to_the_recording() {
    let stage = Stage::jammed(&loopback());
    let prod = stage.live.server("prod").unwrap();
    let at = "2025-11-23T12:13:22.000000Z";
    let told = json!({ "label": " county 12 onboarded ", "at": at, "server": "prod" });
    let answer = stage.post("/api/v1/events", &told.to_string()).is(201);
    let event = json!({ "server": "prod", "at": at, "label": "county 12 onboarded" });
    assert_eq!(answer.json()["events"], json!([event]));
    assert_eq!(
        stage.get("/api/v1/events?server=prod").json(),
        answer.json()
    );
    let handed = prod.take_declared();
    assert_eq!(
        (handed.len(), &*handed[0].label),
        (1, "county 12 onboarded")
    );
    assert_eq!(prod.take_declared(), []);

    // Now is the server's now, whatever this machine's clock says.
    stage.post("/api/v1/events", r#"{"label":"now"}"#).is(201);
    assert!(
        prod.take_declared()[0]
            .at
            .since(prod.look().unwrap().snapshot.tick.at)
            .as_secs_f64()
            < 60.0
    );

    stage
        .get("/api/v1/events?server=x")
        .refuses(404, "no server");
    for (body, status) in [
        (json!({ "label": "" }), 422),
        (json!({ "label": "a\nb" }), 422),
        (json!({ "label": "a".repeat(201) }), 422),
        (json!({ "label": "a", "at": "2125-01-01T00:00:00Z" }), 422),
        (json!({ "label": "a", "at": 5 }), 422),
        (json!({ "label": "a", "wen": "now" }), 422),
        (json!({ "label": "a", "server": "x" }), 404),
        (json!([]), 422),
        (json!({}), 422),
    ] {
        stage.post("/api/v1/events", &body.to_string()).is(status);
    }
    assert_eq!(prod.take_declared(), []);
    for _ in 0..40 {
        prod.declare(handed[0].clone());
        prod.declare(handed[0].clone());
    }
    stage
        .post("/api/v1/events", r#"{"label":"a"}"#)
        .refuses(503, "wait to be recorded");
}

#[test]
fn a_stream_tells_graphs_as_they_come_and_when_none_come() {
    let stage = Stage::jammed(&loopback());
    let prod = stage.live.server("prod").unwrap();
    let mut stream = stage.connect();
    let asked = request("GET", "/api/v1/stream", &[], "");
    stream.write_all(asked.as_bytes()).unwrap();
    let mut reader = BufReader::new(stream);
    let (status, fields) = head(&mut reader);
    assert_eq!(
        (status, &*fields["content-type"]),
        (200, "text/event-stream")
    );
    let mut next = |event: &str| {
        let begun = Instant::now();
        let mut line = String::new();
        let mut is_it = false;
        while begun.elapsed() < SOON {
            line.clear();
            reader.read_line(&mut line).unwrap();
            is_it |= line.trim_end() == format!("event: {event}");
            if let Some(data) = line.strip_prefix("data: ")
                && is_it
            {
                return data.trim_end().to_owned();
            }
        }
        panic!("no {event}");
    };
    let first: Value = serde_json::from_str(&next("graph")).unwrap();
    assert_eq!(first["schema"], "pgjam.graph/1");
    let begun = Instant::now();
    see(&prod, &jam(3, &["decision"]));
    see(&prod, &jam(4, &["decision"]));
    let second: Value = serde_json::from_str(&next("graph")).unwrap();
    assert_ne!(second["taken_at"], first["taken_at"]);
    assert!(!second.to_string().contains(SECRET));
    assert!(
        begun.elapsed() > Duration::from_millis(300),
        "{:?}",
        begun.elapsed()
    );
    prod.disconnected("it went away");
    assert_eq!(next("lost"), "it went away");
}

//! Who gets in: loopback, tokens, certificates.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use pgjam::daemon::http::Settings;
use tempfile::TempDir;

use crate::certificates::{Authority, Client};
use crate::seen::SECRET;
use crate::stage::{Answer, Stage, loopback, request, talk};

const TOKEN: &str = "correct-horse-battery-staple";

fn token() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, TOKEN).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    (folder, path)
}

#[test]
fn who_shows_the_token_reads_texts_and_nobody_else_gets_in() {
    let (_folder, path) = token();
    let stage = Stage::jammed(&Settings {
        token_file: Some(path),
        ..loopback()
    });
    let right = format!("Authorization: Bearer {TOKEN}");
    for target in [
        "/api/v1/graph",
        "/metrics",
        "/readyz",
        "/api/v1/openapi.json",
    ] {
        let answer = stage.get(target).refuses(401, "Authorization: Bearer");
        assert_eq!(answer.field("www-authenticate"), "Bearer");
        stage.ask("GET", target, &[&right], "").is(200);
    }
    stage.get("/healthz").is(200);
    let graph = stage.ask("GET", "/api/v1/graph", &[&right], "").is(200);
    assert!(graph.body.contains(SECRET), "{}", graph.body);
    let body = r#"{"label":"a"}"#;
    let json = "Content-Type: application/json";
    stage.ask("POST", "/api/v1/events", &[json], body).is(401);
    stage
        .ask("POST", "/api/v1/events", &[json, &right], body)
        .is(201);
}

#[test]
fn a_wrong_token_is_tried_a_few_times_and_then_not_for_a_while() {
    let (_folder, path) = token();
    let stage = Stage::jammed(&Settings {
        token_file: Some(path),
        ..loopback()
    });
    let wrong = [
        "x",
        "",
        "correct-horse-battery-stapl",
        &TOKEN.to_uppercase(),
    ];
    for shown in wrong {
        let shown = format!("Authorization: Bearer {shown}");
        stage.ask("GET", "/metrics", &[&shown], "").is(401);
    }
    let mut tries = 0;
    let last = loop {
        tries += 1;
        let answer = stage.ask("GET", "/metrics", &["Authorization: Bearer x"], "");
        if answer.status != 401 || tries > 100 {
            break answer;
        }
    };
    last.refuses(429, "too often");
    assert!(tries < 30, "{tries}");
    // Whoever shows the right one from the same address is not held up by that.
    let right = format!("Authorization: Bearer {TOKEN}");
    stage.ask("GET", "/metrics", &[&right], "").is(200);
}

#[test]
fn a_page_that_points_its_own_name_here_reads_nothing() {
    let stage = Stage::jammed(&loopback());
    for host in ["evil.example", "evil.example:80", "localhost.evil.example"] {
        let host = format!("Host: {host}");
        stage
            .ask("GET", "/api/v1/graph", &[&host], "")
            .refuses(421, "localhost");
        stage
            .ask("GET", "/healthz", &[&host], "")
            .refuses(421, "localhost");
    }
    for host in ["localhost", "127.0.0.1", "[::1]:1"] {
        stage
            .ask("GET", "/healthz", &[&format!("Host: {host}")], "")
            .is(200);
    }
    stage.send("GET /healthz HTTP/1.0\r\n\r\n").is(421);
}

#[test]
fn a_page_of_another_origin_declares_nothing() {
    let stage = Stage::jammed(&loopback());
    let json = "Content-Type: application/json";
    let post = |head: &[&str]| stage.ask("POST", "/api/v1/events", head, r#"{"label":"a"}"#);
    post(&[json, "Origin: https://evil.example"]).refuses(403, "origin");
    post(&[json, "Origin: null"]).refuses(403, "origin");
    // What a form can send without asking is not taken either.
    post(&["Content-Type: text/plain"]).refuses(415, "application/json");
    post(&[]).refuses(415, "application/json");
    assert_eq!(stage.live.server("prod").unwrap().take_declared(), []);
    post(&[json, "Origin: http://localhost"]).is(201);
    // And no page may read an answer.
    let origin = "Origin: https://evil.example";
    let answer = stage.ask("GET", "/api/v1/graph", &[origin], "").is(200);
    assert!(
        !answer
            .fields
            .keys()
            .any(|field| field.starts_with("access-control"))
    );
}

#[test]
fn elsewhere_it_does_not_start_without_knowing_its_callers() {
    let open = Settings {
        listen: Some("0.0.0.0:0".parse().unwrap()),
        ..Settings::default()
    };
    let refused = Stage::try_empty(&open).err().unwrap().to_string();
    assert!(
        refused.contains("token_file") && refused.contains("client_ca"),
        "{refused}"
    );
    let (_folder, path) = token();
    let stage = Stage::empty(&Settings {
        token_file: Some(path),
        ..open
    });
    let other = "Host: db7.example";
    stage.ask("GET", "/healthz", &[other], "").is(200);
    stage.ask("GET", "/metrics", &[other], "").is(401);
    let taken = Settings {
        listen: Some(([127, 0, 0, 1], stage.address.port()).into()),
        ..loopback()
    };
    let refused = Stage::try_empty(&taken).err().unwrap().to_string();
    assert!(refused.contains("cannot listen on 127.0.0.1:"), "{refused}");
}

#[test]
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn with_an_authority_only_its_valid_certificates_get_in() {
    let Some(own) = Authority::new("callers") else {
        eprintln!("skipped: there is no openssl to make certificates with");
        return;
    };
    let other = Authority::new("strangers").unwrap();
    let (cert, key) = own.signs("pgjam.example", 2);
    let settings = Settings {
        cert: Some(cert),
        key: Some(key),
        client_ca: Some(own.certificate()),
        listen: Some("0.0.0.0:0".parse().unwrap()),
        ..Settings::default()
    };
    let stage = Stage::jammed(&settings);
    let ask = |client: &Client| -> Option<Answer> {
        let stream = client.connect(stage.connect(), &own)?;
        let head = ["Host: pgjam.example"];
        let answer = talk(
            stream,
            request("GET", "/api/v1/graph", &head, "").as_bytes(),
        );
        (answer.status > 0).then_some(answer)
    };
    let right = ask(&Client::with(own.signs("prometheus", 2)))
        .unwrap()
        .is(200);
    assert!(right.body.contains(SECRET));
    assert!(ask(&Client::without()).is_none());
    assert!(ask(&Client::with(other.signs("prometheus", 2))).is_none());
    assert!(ask(&Client::with(own.signs("prometheus", -1))).is_none());
    // Clear text is not spoken at all.
    let clear = stage.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(clear.status, 0, "{clear:#?}");

    let (_folder, path) = token();
    let both = Stage::jammed(&Settings {
        token_file: Some(path),
        ..settings
    });
    let client = Client::with(own.signs("prometheus", 2));
    let stream = client.connect(both.connect(), &own).unwrap();
    let head = ["Host: pgjam.example"];
    talk(stream, request("GET", "/metrics", &head, "").as_bytes()).is(401);
}

#[test]
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn a_key_that_others_can_read_is_not_used() {
    let Some(own) = Authority::new("callers") else {
        eprintln!("skipped: there is no openssl to make certificates with");
        return;
    };
    let (cert, key) = own.signs("pgjam.example", 2);
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let refused = Stage::try_empty(&Settings {
        cert: Some(cert),
        key: Some(key),
        ..loopback()
    });
    let refused = refused.err().unwrap().to_string();
    assert!(refused.contains("chmod 0600"), "{refused}");
}

//! The live page, in a real browser, beside a real server in which somebody waits.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use crate::real::{Daemon, jammed, sees_wait};
use crate::stage::{Stage, loopback};

#[test]
fn the_page_shows_a_wait_as_it_begins_and_ends() {
    let (server, mut holder, waits) = jammed();
    let dsn = server.dsn("postgres", "postgres");
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("prod");
    let to = to.to_str().unwrap();
    let daemon = Daemon::start(&["--dsn", &dsn, "--to", to, "--listen", "127.0.0.1:0"]);
    daemon.until("/api/v1/graph", &[], sees_wait);
    daemon.until("/", &[], |answer| answer.status == 200);
    let mut driver = Command::new("sh")
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/browser/drive.sh"
        ))
        .args(["live.cjs", &format!("http://{}/", daemon.address)])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut says = BufReader::new(driver.stdout.take().unwrap()).lines();
    // It has seen the wait; now it is to see its end, without being told otherwise.
    let seen = says.next().map(Result::unwrap);
    holder.batch_execute("COMMIT").unwrap();
    waits.join().unwrap();
    let _ = driver.stdin.take().unwrap().write_all(b"go on\n");
    let output = driver.wait_with_output().unwrap();
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{failed}");
    assert_eq!(seen.as_deref(), Some("sees the wait"), "{failed}");
    daemon.end();
}

#[test]
fn a_page_is_served_under_a_policy_that_lets_nothing_in() {
    let stage = Stage::jammed(&loopback());
    let page = stage.get("/").is(200);
    let policy = page.field("content-security-policy");
    assert!(
        policy.starts_with("default-src 'none'; script-src 'sha256-"),
        "{policy}"
    );
    assert!(policy.contains("connect-src 'self';"), "{policy}");
    assert!(
        !policy.contains("unsafe-eval") && !policy.contains("http"),
        "{policy}"
    );
    assert_eq!(page.field("referrer-policy"), "no-referrer");
    let now = stage.get("/now").is(200);
    assert_eq!(now.field("content-type"), "text/plain; charset=utf-8");
}

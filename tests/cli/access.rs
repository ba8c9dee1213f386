//! What a role must be granted, and why there is no connection.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use pgjam::lab::server::{Options, ThrowAway};

use crate::stage::{Answer, answer, pgjam, program, run, server};

/// Finds the GRANT in what was said.
#[track_caller]
fn grant(said: &str) -> &str {
    let from = said.find("GRANT ").unwrap();
    let to = said[from..].find(';').unwrap();
    &said[from..=from + to]
}

fn diagnose(dsn: &str) -> Answer {
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("recording");
    pgjam(&[
        "diagnose",
        "--duration",
        "2s",
        "--dsn",
        dsn,
        "--record",
        record.to_str().unwrap(),
    ])
}

#[test]
fn connect_and_pg_monitor_are_enough_and_every_refusal_prints_its_grant() {
    let server = server(&[]);
    run(&server, "postgres", "create database app");
    run(
        &server,
        "app",
        r#"create role "On ""Call""" login; revoke connect on database app from public"#,
    );
    let dsn = server.dsn("app", "On \"Call\"");

    let said = diagnose(&dsn)
        .refused(4, &["permission denied", "CONNECT"])
        .err;
    assert_eq!(
        grant(&said),
        r#"GRANT CONNECT ON DATABASE "app" TO "On ""Call""";"#
    );
    run(&server, "postgres", grant(&said));

    let said = diagnose(&dsn)
        .refused(
            5,
            &[
                "lacks the privileges of pg_monitor",
                "nothing can be diagnosed",
            ],
        )
        .err;
    assert_eq!(grant(&said), r#"GRANT pg_monitor TO "On ""Call""";"#);
    let doctor = pgjam(&["doctor", "--dsn", &dsn]);
    assert_eq!(
        (doctor.code, grant(&doctor.out)),
        (5, grant(&said)),
        "{doctor:?}"
    );
    pgjam(&["now", "--dsn", &dsn]).refused(5, &[grant(&said)]);
    run(&server, "postgres", grant(&said));

    let verdict = diagnose(&dsn).well();
    assert!(verdict.out.contains("What this rests on"), "{verdict:?}");
    let doctor = pgjam(&["doctor", "--dsn", &dsn]).well();
    assert!(!doctor.out.contains("needed:"), "{doctor:?}");
    pgjam(&["now", "--dsn", &dsn]).well();
}

#[test]
fn every_kind_of_failed_connection_has_its_words_and_its_code() {
    const PASSWORD: &str = "correct horse";
    let server = ThrowAway::start(&Options {
        fsync: false,
        max_connections: 20,
        tcp_password: Some(PASSWORD.into()),
        ..Options::default()
    })
    .unwrap();
    let vacant = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let nobody = format!("host=127.0.0.1 port={} user=a dbname=b", vacant.port());
    let tcp = server.tcp_dsn("postgres", "postgres");
    let wrong = format!("{tcp} password=staple");
    let missing = server.dsn("nowhere", "postgres");
    let cases: [(&str, i32, &[&str]); 7] = [
        (&wrong, 4, &["password authentication failed", "PGPASSWORD"]),
        (&tcp, 4, &["asks for the password", ".pgpass"]),
        (&missing, 4, &["\"nowhere\" does not exist", "PGDATABASE"]),
        (
            "host=no-such-host.invalid user=a",
            3,
            &["no-such-host.invalid"],
        ),
        (&nobody, 3, &["refused", "listen_addresses"]),
        ("hots=db1", 2, &["hots"]),
        ("host=/nonexistent user=a", 3, &["/nonexistent"]),
    ];
    for (dsn, code, words) in cases {
        for command in ["now", "diagnose", "doctor"] {
            let said = pgjam(&[command, "--dsn", dsn]).refused(code, words);
            assert!(!said.err.contains("staple"), "{said:?}");
        }
    }
    answer(
        program()
            .args(["now", "--dsn", &tcp])
            .env("PGPASSWORD", PASSWORD),
    )
    .well();
}

#[test]
fn a_server_that_is_too_old_is_told_apart() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/server.sh");
    let fetched = Command::new(&script).arg("13").output().unwrap();
    assert!(
        fetched.status.success(),
        "no PostgreSQL 13 to test against: {}",
        String::from_utf8_lossy(&fetched.stderr)
    );
    let folder = String::from_utf8(fetched.stdout).unwrap();
    let server = ThrowAway::start(&Options {
        pg_bin: Some(folder.trim().into()),
        fsync: false,
        max_connections: 20,
        statements: false,
        ..Options::default()
    })
    .unwrap();
    let dsn = server.dsn("postgres", "postgres");
    pgjam(&["now", "--dsn", &dsn]).refused(6, &["PostgreSQL 13", "older than 14"]);
    diagnose(&dsn).refused(6, &["PostgreSQL 13", "older than 14"]);
    let doctor = pgjam(&["doctor", "--dsn", &dsn]);
    assert_eq!(doctor.code, 6, "{doctor:?}");
    assert!(doctor.out.contains("older than 14"), "{doctor:?}");
}

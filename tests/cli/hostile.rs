//! Texts and names that are made to break out of every output.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pgjam::lab::server::ThrowAway;
use pgjam::recording::Recording;
use serde_json::Value;

use crate::stage::{DIAGNOSIS, GRAPH, Session, pgjam, run, server, until_waiting, valid};

/// Stands in every literal and comment, and must stand in no output.
const SECRET: &str = "hunter2zq";
/// The same as a number.
const NUMBER: &str = "4012888888881881";
/// What acts: markup, style ends, terminal sequences of both kinds, a bell, a reversal.
const EVIL: &str =
    "</style></script><script>alert(1)</script><x-evil>\u{1b}[31m\u{9b}31m\u{7}\u{202e}'&";
/// The same as a name, which takes 63 bytes.
const TABLE: &str = "</style><x-evil>\"\n\u{1b}[31m\u{9b}1m\u{7}\u{202e}'";
const APPLICATION: &str = "\"'<script>alert(1)</script></style><x-evil>&\\";

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Sessions that block each other with hostile texts; they go on until the server is gone.
fn jam(server: &ThrowAway) -> Vec<Session> {
    let table = quoted(TABLE);
    let role = quoted(&format!("r{TABLE}"));
    let hostile = &format!("d{TABLE}");
    run(
        server,
        "postgres",
        &format!("create database {}", quoted(hostile)),
    );
    run(
        server,
        "postgres",
        &format!("create role {role} login superuser; create role x"),
    );
    for encoding in ["LATIN1", "SQL_ASCII"] {
        run(
            server,
            "postgres",
            &format!("create database {encoding} template template0 encoding '{encoding}'"),
        );
    }
    let columns = "(id bigint, note text)";
    run(
        server,
        hostile,
        &format!("create table {table} {columns}; insert into {table} values (1, ''), (2, '')"),
    );
    let gid = EVIL.replace('\'', "''");
    run(
        server,
        hostile,
        &format!("begin; update {table} set id = id where id = 2; prepare transaction '{gid}'"),
    );

    let megabyte = |piece: &str| piece.repeat((1 << 20) / piece.len());
    let alias = quoted(&EVIL[..60]);
    let update =
        |rest: &str| format!("update {table} as {alias} set id = id where id = 1 and {rest}");
    let by_name = [
        update(&format!("note <> '{SECRET}' and id <> {NUMBER}")),
        update(&format!(
            "note <> $x${SECRET} {EVIL}$x$ /* {SECRET} {EVIL} */"
        )),
        update(&format!(
            "note <> E'\\'{SECRET}' -- {SECRET}\n/*tenant='{SECRET}'*/"
        )),
        update(&format!("note <> '{}'", megabyte(&format!("{SECRET} ")))),
        update(&format!("id in (1{})", megabyte(&format!(", {NUMBER}")))),
        format!("update {table} set id = id where id = 2 and note <> '{SECRET}'"),
    ];
    let mut sessions = Vec::new();
    let mut holder = Session::open(server, hostile, APPLICATION);
    holder.say("begin");
    holder.say(&by_name[0]);
    sessions.push(holder);
    for sql in &by_name {
        let mut waiter = Session::with(server, hostile, &format!("r{TABLE}"), APPLICATION, "UTF8");
        waiter.send(sql);
        sessions.push(waiter);
    }

    // Neither text is UTF-8, and in one database nobody says what else it would be.
    for database in ["latin1", "sql_ascii"] {
        let encoding = database.to_uppercase();
        let open = || Session::with(server, database, "postgres", APPLICATION, &encoding);
        let name = b"\"caf\xe9 <x-evil>\"";
        let update = [
            b"update ".as_slice(),
            name,
            b" set id = id where note <> '\xff\xfe",
            SECRET.as_bytes(),
            b"\xe9'",
        ]
        .concat();
        let mut holder = open();
        holder.say([b"create table ".as_slice(), name, columns.as_bytes()].concat());
        holder.say([b"insert into ".as_slice(), name, b" values (1, '')"].concat());
        holder.say("begin");
        holder.say(&update);
        let mut waiter = open();
        waiter.send(&update);
        sessions.extend([holder, waiter]);
    }

    let secret = format!("alter role x password '{SECRET}'");
    let mut holder = Session::open(server, "postgres", "vault");
    holder.say("begin");
    holder.say(&secret);
    let mut waiter = Session::open(server, "postgres", "vault");
    waiter.send(&secret);
    sessions.extend([holder, waiter]);
    until_waiting(server, by_name.len() + 3);
    sessions
}

/// Statements that no parser takes, one after the other, each the session's last for a while.
fn babble(server: &ThrowAway, stop: &AtomicBool) {
    let mut session = Session::with(server, "sql_ascii", "postgres", APPLICATION, "SQL_ASCII");
    let texts = [
        format!("select '{SECRET}', '{SECRET} {EVIL}").into_bytes(),
        [b"selec pg_sleep \xff '".as_slice(), SECRET.as_bytes(), b"'"].concat(),
        format!("select '{SECRET}' as \"\u{1b}[2J\"").into_bytes(),
    ];
    for text in texts.iter().cycle() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        session.say(text);
        std::thread::sleep(Duration::from_millis(150));
    }
}

/// Expects nothing that a terminal would act on, nor a literal of a text.
#[track_caller]
fn inert(what: &str, text: &str) {
    let acts = |c: &char| c.is_control() && *c != '\n' || matches!(c, '\u{202a}'..='\u{202e}');
    if let Some(at) = text.chars().position(|c| acts(&c)) {
        let from = text.chars().skip(at.saturating_sub(80)).take(100);
        panic!("{what} acts: {:?}", from.collect::<String>());
    }
    discreet(what, text);
}

#[track_caller]
fn discreet(what: &str, text: &str) {
    for secret in [SECRET, NUMBER] {
        if let Some(at) = text.find(secret) {
            let from = text[..at]
                .char_indices()
                .rev()
                .nth(100)
                .map_or(0, |(at, _)| at);
            panic!(
                "{what} tells a literal: {:?}",
                &text[from..at + secret.len()]
            );
        }
    }
}

/// Expects a picture that is one, with nothing of the hostile texts in its structure.
#[track_caller]
fn picture(what: &str, svg: &str) {
    inert(what, svg);
    let document = roxmltree::Document::parse(svg).unwrap();
    for node in document.descendants() {
        assert!(
            !["script", "x-evil"].contains(&node.tag_name().name()),
            "{what}"
        );
    }
}

#[track_caller]
fn page(what: &str, html: &str) {
    inert(what, html);
    for piece in [
        "<script>alert",
        "<x-evil",
        "</style></script>",
        "</style><x",
    ] {
        assert!(!html.contains(piece), "{what} has {piece}");
    }
}

/// Looks for the secrets in what a recording holds, packed and unpacked.
fn recording_is_discreet(folder: &Path) {
    let recording = Recording::open(folder).unwrap();
    discreet("the recording", &format!("{recording:?}"));
    // They were all seen.
    let texts: Vec<&str> = recording.statements.iter().map(|row| &*row.text).collect();
    for piece in [
        "alter role",
        "caf",
        "selec pg_sleep",
        "id in (",
        "select ?, ",
        "[2J",
    ] {
        let seen = texts
            .iter()
            .any(|text| text.to_lowercase().contains(&piece.to_lowercase()));
        assert!(seen, "{piece:?} is in none of {texts:#?}");
    }
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = fs::read(&path).unwrap();
                discreet("a file", &String::from_utf8_lossy(&bytes));
            }
        }
    }
}

/// Tells whether the hostile name of an application stands somewhere in a document.
fn names_them(document: &Value) -> bool {
    match document {
        Value::String(text) => text.contains("<x-evil>"),
        Value::Array(items) => items.iter().any(names_them),
        Value::Object(fields) => fields.values().any(names_them),
        _ => false,
    }
}

#[test]
fn hostile_texts_neither_break_out_nor_tell_their_literals() {
    let server = server(&[
        ("track_activity_query_size", "1MB"),
        ("max_prepared_transactions", "2"),
    ]);
    let _jam = jam(&server);
    let dsn = server.dsn("postgres", "postgres");
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (recording, html, svg) = (path("recording"), path("jam.html"), path("pictures"));
    let [recording_, html_, svg_] = [&recording, &html, &svg].map(|path| path.to_str().unwrap());

    for format in ["text", "json", "dot", "svg"] {
        for system_by in ["application_name", "role,database"] {
            let said = pgjam(&[
                "now",
                "--format",
                format,
                "--system-by",
                system_by,
                "--dsn",
                &dsn,
            ])
            .well();
            let what = format!("now as {format} by {system_by}");
            inert(&what, &said.out);
            inert(&what, &said.err);
            match format {
                "json" => assert!(names_them(&said.json(GRAPH)), "{}", said.out),
                "svg" => picture(&what, &said.out),
                _ => assert!(said.out.contains("<x-evil>"), "{}", said.out),
            }
        }
    }

    let theirs = |database: &str, role: &str| {
        server.dsn(&format!("{database}{TABLE}"), &format!("{role}{TABLE}"))
    };
    let doctor = pgjam(&["doctor", "--dsn", &theirs("d", "r")]).well();
    inert("doctor", &doctor.out);
    for (database, role) in [("d", "nobody"), ("no", "r")] {
        let said = pgjam(&["now", "--dsn", &theirs(database, role)]).refused(4, &["<x-evil>"]);
        inert("an error", &said.err);
    }

    let stop = AtomicBool::new(false);
    let text = std::thread::scope(|scope| {
        scope.spawn(|| babble(&server, &stop));
        let text = pgjam(&[
            "diagnose",
            "--duration",
            "3s",
            "--dsn",
            &dsn,
            "--record",
            recording_,
            "--html",
            html_,
            "--svg",
            svg_,
        ]);
        stop.store(true, Ordering::Relaxed);
        text.well()
    });
    inert("diagnose", &text.out);
    inert("diagnose beside its answer", &text.err);
    let check_files = || {
        page("the page", &fs::read_to_string(&html).unwrap());
        for entry in fs::read_dir(&svg).unwrap() {
            let path = entry.unwrap().path();
            picture(
                &path.display().to_string(),
                &fs::read_to_string(&path).unwrap(),
            );
        }
    };
    check_files();
    assert!(
        fs::read_to_string(&html)
            .unwrap()
            .contains("&lt;x-evil&gt;")
    );
    recording_is_discreet(&recording);

    let json = pgjam(&[
        "report",
        recording_,
        "--format",
        "json",
        "--system-by",
        "role,database",
        "--html",
        html_,
        "--svg",
        svg_,
    ])
    .well();
    inert("report as json", &json.out);
    let verdict = valid(&json.out, DIAGNOSIS);
    assert!(names_them(&verdict), "{verdict:#}");
    assert!(
        verdict["findings"].as_array().unwrap().len() > 1,
        "{verdict:#}"
    );
    check_files();
}

//! `pgjam at`: an instant of a recording, as `pgjam now` would have shown it.

use crate::stage::{GRAPH, Session, pgjam, program, run, server, until_waiting};

#[test]
fn an_instant_of_a_recording_is_shown_as_the_present_is() {
    let server = server(&[]);
    let make =
        "create table counter (id int primary key, n int); insert into counter values (1, 0)";
    run(&server, "postgres", make);
    let update = "update counter set n = n + 1 where id = 1";
    let mut holder = Session::open(&server, "postgres", "billing");
    holder.say("begin");
    holder.say(update);
    let mut waiter = Session::open(&server, "postgres", "intake");
    waiter.send(update);
    until_waiting(&server, 1);
    let folder = tempfile::tempdir().unwrap();
    let recording = folder.path().join("recording");
    let recording = recording.to_str().unwrap();
    let dsn = server.dsn("postgres", "postgres");
    let watch = ["diagnose", "--quiet", "--duration", "2s", "--dsn", &dsn];
    pgjam(&[&watch[..], &["--record", recording]].concat()).well();

    let now = pgjam(&["now", "--format", "json", "--dsn", &dsn])
        .well()
        .json(GRAPH);
    let then = pgjam(&["at", recording, "-1s", "--format", "json"]).well();
    assert!(then.err.contains("the look of "), "{}", then.err);
    let then = then.json(GRAPH);
    assert_eq!(then["roots"], now["roots"]);
    assert_eq!(
        then["chains"][0]["signature"],
        now["chains"][0]["signature"]
    );
    assert!(then["taken_at"].as_str() < now["taken_at"].as_str());
    let page = pgjam(&["at", recording, "-1s"]).well();
    for words in ["billing", "intake", "1 session behind it", "Do first"] {
        assert!(page.out.contains(words), "{words}: {}", page.out);
    }
    let picture = pgjam(&["at", recording, "-1s", "--format", "svg"]).well();
    assert!(picture.out.starts_with("<svg"), "{}", picture.out);

    // Later than the end it is the last look, and says how old that is; before the beginning none.
    let taken_at: jiff::Timestamp = then["taken_at"].as_str().unwrap().parse().unwrap();
    let later = taken_at + jiff::SignedDuration::from_mins(5);
    let last = pgjam(&["at", recording, &later.to_string()]).well();
    assert!(
        last.err.contains("the last of the recording"),
        "{}",
        last.err
    );
    pgjam(&["at", recording, "2020-01-01T00:00:00Z"]).refused(8, &["nobody looked"]);
    let wrong = pgjam(&["at", recording, "noon"]);
    assert!(
        wrong.code == 2 && wrong.err.contains("14:03"),
        "{}",
        wrong.err
    );

    // The same words choose a report's window.
    let report = pgjam(&["report", recording, "--from", "-1s"]).well();
    assert!(report.out.contains("billing"), "{}", report.out);
}

#[test]
fn a_report_is_not_opened_where_nobody_sits() {
    let server = server(&[]);
    let folder = tempfile::tempdir().unwrap();
    let [recording, page] = ["recording", "jam.html"].map(|name| folder.path().join(name));
    let (recording, page) = (recording.to_str().unwrap(), page.to_str().unwrap());
    let dsn = server.dsn("postgres", "postgres");
    let watch = ["diagnose", "--quiet", "--duration", "1s", "--dsn", &dsn];
    pgjam(&[&watch[..], &["--record", recording]].concat()).well();
    let mut command = program();
    command
        .args(["report", recording, "--html", page, "--open"])
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY");
    let answer = crate::stage::answer(&mut command).well();
    assert!(
        answer.err.contains("no browser could be opened here"),
        "{}",
        answer.err
    );
    let wrong = pgjam(&["report", recording, "--open"]);
    assert!(
        wrong.code == 2 && wrong.err.contains("--html"),
        "{}",
        wrong.err
    );
}

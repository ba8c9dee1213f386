//! Screens as they look, and keys as they work.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Cell;
use std::sync::{Arc, LazyLock};

use super::*;
use crate::pg::{LockMode, Oid, Pid, Xid};
use crate::report::figures::plural;
use crate::sample::{Lock, LockTarget, PaceReason, Session, State, Tick};
use crate::statement::{self, StatementId};

/// 2026-11-24 14:00:00 UTC.
const BEGIN: i64 = 1_795_528_800_000_000;

const UPDATE: &str = "UPDATE counter SET n = n + 1 WHERE id = 7";
static UPDATE_ID: LazyLock<StatementId> = LazyLock::new(|| statement::read(UPDATE.as_bytes()).id);

fn at(ms: i64) -> Timestamp {
    Timestamp::from_micros(BEGIN + ms * 1_000)
}

fn session(pid: i32, system: &str, state: State, wait: Option<&str>) -> Session {
    Session {
        pid: Pid(pid),
        backend_start: at(-60_000),
        leader_pid: None,
        backend_type: "client backend".into(),
        database: Some(Oid(5)),
        role: Some(Oid(10)),
        application_name: system.into(),
        client_addr: None,
        state,
        wait_event_type: wait.map(Into::into),
        wait_event: wait.map(|_| "transactionid".into()),
        query_id: None,
        statement: Some(*UPDATE_ID),
        tags: None,
        xact_start: Some(at(-4_000)),
        query_start: Some(at(-3_500)),
        state_change: Some(at(-3_500)),
        backend_xid: None,
        backend_xmin: None,
    }
}

/// An entry of the lock table on the transaction 100.
fn lock(pid: i32, granted: bool) -> Lock {
    Lock {
        owner: format!("owner/{pid}").into(),
        pid: Some(Pid(pid)),
        target: LockTarget {
            locktype: "transactionid".into(),
            database: None,
            relation: None,
            page: None,
            tuple: None,
            virtualxid: None,
            transactionid: Some(Xid(100)),
            classid: None,
            objid: None,
            objsubid: None,
        },
        mode: if granted {
            LockMode::Exclusive
        } else {
            LockMode::Share
        },
        granted,
        fastpath: false,
        waitstart: (!granted).then(|| at(-3_000)),
    }
}

fn look(ms: i64, sessions: Vec<Session>, locks: Vec<Lock>) -> Snapshot {
    Snapshot {
        tick: Tick {
            at: at(ms),
            span: Span::from_millis(500),
            place: Span::from_millis(250),
            server: Span::from_millis(2),
            missed: 0,
            deadlock_timeout: Tick::DEADLOCK_TIMEOUT,
            period: Span::from_millis(500),
            pace: PaceReason::Fixed,
        },
        sessions,
        locks,
        prepared: vec![],
        safe_snapshots: vec![],
    }
}

/// `sync` holds a row, some sessions of `intake` wait for it, `report` runs beside them.
fn jam(ms: i64, waiters: i32) -> Snapshot {
    let mut sessions = vec![
        session(4_000, "sync", State::IdleInTransaction, None),
        session(4_001, "report", State::Active, None),
    ];
    let mut locks = vec![lock(4_000, true)];
    for pid in 4_100..4_100 + waiters {
        sessions.push(session(pid, "intake", State::Active, Some("Lock")));
        locks.push(lock(pid, false));
    }
    look(ms, sessions, locks)
}

/// Nine seconds of a quiet server, then three of a jam that grows.
fn jammed() -> Top {
    let mut top = Top::new("db1:5432/app".to_owned(), Naming::default(), false);
    top.learned(&StatementText {
        id: *UPDATE_ID,
        text: UPDATE.into(),
        database: Some(Oid(5)),
        query_id: None,
        parsed: true,
    });
    top.connection(Connection::Watched);
    for n in 0..18 {
        let quiet = vec![session(4_001, "report", State::Active, None)];
        top.saw(look(n * 500, quiet, vec![]));
    }
    for n in 18..24 {
        top.saw(jam(n * 500, i32::try_from(n - 16).unwrap()));
    }
    top
}

fn screen(top: &Top, (width, height): (u16, u16)) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| top.draw(frame)).unwrap();
    let buffer = terminal.backend().buffer().clone();
    let cells: Vec<&str> = buffer.content().iter().map(Cell::symbol).collect();
    let lines = cells.chunks(usize::from(width));
    let lines: Vec<String> = lines
        .map(|line| line.concat().trim_end().to_owned())
        .collect();
    lines.join("\n") + "\n"
}

fn press(top: &mut Top, keys: &str) -> Option<Wish> {
    keys.chars()
        .filter_map(|key| top.key(Key::Char(key)))
        .last()
}

#[test]
fn a_jam_on_the_smallest_usual_terminal() {
    insta::assert_snapshot!(screen(&jammed(), (80, 24)));
}

#[test]
fn a_jam_on_a_wide_terminal() {
    insta::assert_snapshot!(screen(&jammed(), (160, 40)));
}

#[test]
fn a_paused_screen() {
    let mut top = jammed();
    press(&mut top, " ");
    top.saw(look(12_000, vec![], vec![]));
    insta::assert_snapshot!(screen(&top, (160, 50)));
}

#[test]
fn a_filter_that_nobody_meets() {
    let mut top = jammed();
    press(&mut top, "/billing");
    top.key(Key::Enter);
    insta::assert_snapshot!(screen(&top, (80, 24)));
}

#[test]
fn a_quiet_server() {
    let mut top = Top::new("db1:5432/app".to_owned(), Naming::default(), false);
    top.connection(Connection::Watched);
    top.saw(look(0, vec![], vec![]));
    insta::assert_snapshot!(screen(&top, (80, 24)));
}

#[test]
fn a_lost_server_says_so_and_what_was_seen_stays() {
    let mut top = jammed();
    top.connection(Connection::Lost(
        "the server closed the connection".to_owned(),
    ));
    insta::assert_snapshot!(screen(&top, (80, 24)));
}

#[test]
fn nothing_seen_yet_is_no_quiet_server() {
    let top = Top::new("db1:5432/app".to_owned(), Naming::default(), false);
    let shown = screen(&top, (80, 24));
    assert!(
        shown.contains("connecting") && shown.contains("Nothing was seen yet."),
        "{shown}"
    );
    assert!(!shown.contains("Nobody waits"), "{shown}");
}

#[test]
fn a_terminal_that_is_too_small_gets_a_note() {
    let shown = screen(&jammed(), (40, 10));
    assert!(shown.contains("needs 60 columns and 16 lines"), "{shown}");
    for size in [(1, 1), (60, 16), (61, 17), (129, 16), (130, 16), (300, 100)] {
        screen(&jammed(), size);
    }
}

#[test]
fn space_pauses_and_goes_on_with_what_came_meanwhile() {
    let mut top = jammed();
    press(&mut top, " ");
    top.saw(look(12_000, vec![], vec![]));
    let shown = screen(&top, (80, 24));
    assert!(shown.contains("paused, 1 look before the last"), "{shown}");
    assert!(shown.contains("sync"), "{shown}");
    press(&mut top, " ");
    let shown = screen(&top, (80, 24));
    assert!(
        shown.contains("live") && shown.contains("Nobody waits"),
        "{shown}"
    );
}

#[test]
fn arrows_and_pages_walk_through_what_was_seen() {
    let mut top = jammed();
    let when = |top: &Top| top.shown().unwrap().tick.at.since(at(0)).as_micros() / 1_000;
    let mut check = |key: Key, ms: i64| {
        top.key(key);
        assert_eq!(when(&top), ms, "{key:?}");
    };
    check(Key::Left, 11_000);
    check(Key::PageUp, 1_000);
    check(Key::PageUp, 0);
    check(Key::Left, 0);
    check(Key::Right, 500);
    check(Key::PageDown, 10_500);
    check(Key::PageDown, 11_500);
    check(Key::Home, 0);
    check(Key::End, 11_500);
}

#[test]
fn a_filter_shows_the_jams_with_what_it_names_and_escape_shows_all() {
    let mut top = jammed();
    for (word, hits) in [
        ("sync", true),
        ("4102", true),
        ("INTAKE", true),
        ("410", false),
        ("billing", false),
    ] {
        press(&mut top, "/");
        while top.typed.as_deref() != Some("") {
            top.key(Key::Backspace);
        }
        press(&mut top, word);
        assert!(
            screen(&top, (80, 24)).contains(&format!("table: {word}")),
            "it is seen while typed"
        );
        top.key(Key::Enter);
        let shown = screen(&top, (80, 24));
        assert_eq!(shown.contains("● 4000 sync"), hits, "{word}: {shown}");
        assert_eq!(
            shown.contains("Nobody in a jam has"),
            !hits,
            "{word}: {shown}"
        );
    }
    top.key(Key::Escape);
    assert!(screen(&top, (80, 24)).contains("● 4000 sync"));
    // What is typed after a slash is no command.
    press(&mut top, "/q");
    assert_eq!(top.key(Key::Escape), None);
}

#[test]
fn what_is_shown_can_be_saved() {
    let mut top = jammed();
    let Some(Wish::Save {
        at: when,
        text,
        json,
    }) = press(&mut top, "s")
    else {
        panic!("nothing to save");
    };
    assert_eq!(when, at(11_500));
    assert!(text.contains("sync") && json.contains("pgjam.graph/1"));
    top.say("saved there".to_owned());
    assert!(screen(&top, (80, 24)).contains("saved there"));
    press(&mut top, "x");
    assert!(!screen(&top, (80, 24)).contains("saved there"));
    let mut nothing = Top::new(String::new(), Naming::default(), false);
    assert_eq!(press(&mut nothing, "s"), None);
}

#[test]
fn help_lists_the_keys_and_any_key_closes_it() {
    let mut top = jammed();
    press(&mut top, "?");
    assert!(screen(&top, (80, 24)).contains("ten seconds back, on"));
    assert_eq!(press(&mut top, "q"), None, "it closes the help alone");
    assert!(!screen(&top, (80, 24)).contains("ten seconds back, on"));
    assert_eq!(press(&mut top, "q"), Some(Wish::Quit));
}

#[test]
fn the_history_is_bounded_and_a_paused_look_that_is_forgotten_gives_way() {
    let mut top = Top::new(String::new(), Naming::default(), false);
    top.saw(jam(0, 2));
    press(&mut top, " ");
    for n in 1..i64::try_from(History::LOOKS).unwrap() + 10 {
        top.saw(look(n * 100, vec![], vec![]));
    }
    let first = top.shown().unwrap().tick.at;
    assert_eq!(first, at(1_000), "the oldest that is left");
    screen(&top, (80, 24));
    let mut storm = Top::new(String::new(), Naming::default(), false);
    for n in 0..400 {
        storm.saw(jam(n * 100, 1_000));
    }
    let first = storm.history.at(storm.history.first()).unwrap().tick.at;
    assert!(first > at(0), "a storm is bounded by its bytes");
}

#[test]
fn of_a_recording_every_look_can_be_walked_to() {
    let mut top = Top::recorded(String::new(), Naming::default(), false);
    let looks = i64::try_from(History::LOOKS).unwrap() + 10;
    for n in 0..looks {
        top.saw(look(n * 100, vec![], vec![]));
    }
    top.key(Key::Home);
    assert_eq!(top.shown().unwrap().tick.at, at(0));
    assert!(screen(&top, (80, 24)).contains(&format!(
        "{} before the last",
        plural(usize::try_from(looks - 1).unwrap(), "look")
    )));
}

#[test]
fn hostile_names_stay_in_their_place() {
    let mut top = jammed();
    let name = "\u{1b}[2Jevil\u{202e}\u{7}\n雪雪雪";
    let mut look = jam(12_000, 2);
    look.sessions[0].application_name = Arc::from(name);
    look.sessions[1].application_name = Arc::from(name);
    top.saw(look);
    top.connection(Connection::Lost(name.repeat(9)));
    for size in [(80, 24), (60, 16), (160, 50)] {
        let shown = screen(&top, size);
        assert!(
            !shown.contains('\u{1b}') && !shown.contains('\u{202e}') && !shown.contains('\u{7}'),
            "{shown}"
        );
    }
}

//! Logs as they are written, and what is read of them.

mod story;

use std::io::Write as _;
use std::path::PathBuf;

use self::story::{ACQUIRED, DEADLOCK, STATEMENT, STILL, Told, all};
use super::*;
use crate::pg::{LockMode, Oid, Pid};
use crate::statement;
use crate::time::{Span, Timestamp};

/// 2026-11-23 14:03:05 UTC.
const NOON: Timestamp = Timestamp::from_micros(1_795_442_585_000_000);

/// A folder with a log in it.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn with(self, name: &str, text: impl AsRef<[u8]>) -> Self {
        std::fs::write(self.path(name), text).unwrap();
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn reading(&self, names: &[&str]) -> Reading {
        let paths = names.iter().map(|name| self.path(name));
        Reading {
            paths: paths.collect(),
            prefix: Prefix::default(),
            clock: Clock::default(),
            window: [NOON, NOON + Span::from_secs(60)],
        }
    }

    fn read(&self, names: &[&str]) -> Log {
        read(&self.reading(names)).unwrap()
    }
}

/// What the story says, whatever its format.
fn check_story(log: &Log) {
    assert_eq!(log.unread, []);
    let events = &log.events;
    let [first, second, third] = &events.waits[..] else {
        panic!("{:#?}", events.waits)
    };
    assert_eq!(first.pid, Pid(7));
    assert_eq!(first.mode, LockMode::Share);
    assert_eq!(first.target.locktype, "transactionid");
    assert_eq!(first.relation, Some(("counter".into(), false)));
    assert_eq!(
        first.statement,
        Some(statement::read(STATEMENT.as_bytes()).id)
    );
    assert_eq!(
        (&first.owners[..], &first.queue[..]),
        (&[Pid(8)][..], &[Pid(7), Pid(9)][..])
    );
    let acquired = NOON + Span::from_millis(3_750);
    assert_eq!((first.end, first.ended), (End::Acquired, Some(acquired)));
    assert_eq!(acquired.since(first.began), Span::from_micros(3_500_123));

    assert_eq!(second.target.relation, Some((Oid(5), Oid(16389))));
    assert!(second.rearranged);
    assert_eq!(
        (second.end, second.ended),
        (End::Cancelled, Some(NOON + Span::from_secs(6)))
    );
    assert_eq!(third.end, End::Deadlock);

    let [deadlock] = &events.deadlocks[..] else {
        panic!("{:#?}", events.deadlocks)
    };
    assert_eq!(deadlock.victim, Pid(7));
    assert_eq!(deadlock.relation, Some(("counter".into(), false)));
    let told: Vec<_> = deadlock
        .participants
        .iter()
        .map(|one| (one.pid, one.blocked_by, one.statement))
        .collect();
    let id = |text: &str| Some(statement::read(text.as_bytes()).id);
    assert_eq!(
        told,
        [
            (Pid(7), Pid(8), id("UPDATE counter SET n = 1")),
            (
                Pid(8),
                Pid(7),
                id("UPDATE counter SET n = 2 WHERE id = 'x'")
            ),
        ]
    );
    let reasons: Vec<&str> = events
        .cancellations
        .iter()
        .map(|it| &*it.reason.0)
        .collect();
    assert_eq!(reasons, ["lock timeout"]);
    // No literal is kept.
    assert!(
        events
            .statements
            .values()
            .all(|one| !one.text.contains('"'))
    );
}

#[test]
fn the_three_formats_say_the_same() {
    let folder = Folder::new()
        .with("a.csv", all(Told::csv))
        .with("a.json", all(Told::json))
        .with("a.log", all(Told::stderr));
    for name in ["a.csv", "a.json", "a.log"] {
        check_story(&folder.read(&[name]));
    }
    let csv = folder.read(&["a.csv"]).events;
    assert_eq!(csv, folder.read(&["a.json"]).events);
    let client = &csv.waits[0].client;
    assert_eq!(client.application_name.as_deref(), Some("decision"));
    assert_eq!(client.database.as_deref(), Some("db"));
    assert_eq!(client.client_addr.as_deref(), Some("10.0.0.1"));
}

#[test]
fn what_was_logged_twice_is_counted_once() {
    let folder = Folder::new()
        .with("a.csv", all(Told::csv))
        .with("a.json", all(Told::json))
        .with("a.log", all(Told::stderr));
    let log = folder.read(&["."]);
    check_story(&log);
    assert_eq!(log.files.len(), 3);
    check_story(&folder.read(&["a.log", "a.log"]));
}

#[test]
fn a_wait_may_begin_in_one_file_and_end_in_the_next() {
    let folder = Folder::new()
        .with("1.log", STILL.stderr())
        .with("2.log", ACQUIRED.stderr());
    for order in [["1.log", "2.log"], ["2.log", "1.log"]] {
        let waits = folder.read(&order).events.waits;
        let ends: Vec<End> = waits.iter().map(|wait| wait.end).collect();
        assert_eq!(ends, [End::Acquired]);
    }
    let open = folder.read(&["1.log"]).events.waits;
    assert_eq!((open[0].end, open[0].ended), (End::Open, None));
}

#[test]
fn a_statement_cannot_pass_off_lines_of_its_own() {
    let raised = Told {
        context: "PL/pgSQL function inline_code_block line 1 at RAISE",
        ..ACQUIRED
    };
    let of_another = Told { pid: 8, ..ACQUIRED };
    let logged = Told {
        message: "statement: select 1;\n2026-11-23 14:03:06.000 UTC [7] LOG:  process 7 acquired ShareLock on transaction 1 after 9.000 ms",
        ..ACQUIRED
    };
    for form in [Told::csv, Told::json, Told::stderr] {
        let text: String = [raised, of_another, logged].iter().map(form).collect();
        let folder = Folder::new().with("a", text);
        let log = folder.read(&["a"]);
        assert_eq!(log.events.waits, [], "{}", form(&raised));
        assert_eq!(log.unread, []);
    }
}

#[test]
fn without_a_context_no_table_is_made_up() {
    let bare = Told {
        context: "",
        detail: "",
        statement: "",
        ..ACQUIRED
    };
    for form in [Told::csv, Told::json, Told::stderr] {
        let folder = Folder::new().with("a", form(&bare));
        let waits = folder.read(&["a"]).events.waits;
        let [wait] = &waits[..] else {
            panic!("{waits:#?}")
        };
        assert_eq!((&wait.relation, wait.statement), (&None, None));
        assert_eq!(wait.end, End::Acquired);
    }
}

#[test]
fn what_breaks_off_is_counted_and_the_rest_is_read() {
    for form in [Told::csv, Told::json, Told::stderr] {
        let whole = form(&ACQUIRED);
        let text = [
            whole.as_str(),
            &whole.replace("764", "765")[..whole.len() - 9],
        ]
        .concat();
        let folder = Folder::new().with("a", text);
        let log = folder.read(&["a"]);
        assert_eq!(log.events.waits.len(), 1, "{whole}");
        assert_eq!(log.unread, [Unread::Broken(1)], "{whole}");
        // A file may begin in the middle of an entry, too.
        let at = whole.find("ShareLock").unwrap();
        let folder = Folder::new().with("a", [&whole[at..], &whole].concat());
        let waits = folder.read(&["a"]).events.waits;
        assert_eq!(waits.len(), 1, "{whole}");
    }
}

#[test]
fn a_quote_without_an_end_costs_no_more_than_what_memory_allows() {
    let folder = Folder::new();
    let mut file = std::fs::File::create(folder.path("a.csv")).unwrap();
    let open = STILL
        .csv()
        .replace("764", "1")
        .replace(",\"decision\"", ",\"decision");
    write!(file, "{open}").unwrap();
    let line = format!("{}\n", "x".repeat(1 << 20));
    for _ in 0..9 {
        file.write_all(line.as_bytes()).unwrap();
    }
    write!(file, "{}", ACQUIRED.csv()).unwrap();
    let log = folder.read(&["a.csv"]);
    assert_eq!(log.events.waits.len(), 1);
    assert!(
        matches!(log.unread[..], [Unread::Broken(1..)]),
        "{:?}",
        log.unread
    );
}

#[test]
fn bytes_that_are_no_utf_8_do_no_harm() {
    for form in [Told::csv, Told::json, Told::stderr] {
        let text = form(&ACQUIRED).replace("quoted", "qu\u{1}ted").into_bytes();
        let text: Vec<u8> = text
            .into_iter()
            .map(|byte| if byte == 1 { 0xff } else { byte })
            .collect();
        let folder = Folder::new().with("a", text);
        let log = folder.read(&["a"]);
        assert_eq!(log.events.waits.len(), 1, "{:?}", log.unread);
    }
}

#[test]
fn another_language_is_told_of() {
    let german = Told {
        message: "Prozess 7 erlangte ShareLock-Sperre auf Transaktion 764 nach 3500,123 ms",
        ..ACQUIRED
    };
    let verklemmung = Told {
        severity: "FEHLER",
        message: "Verklemmung (Deadlock) entdeckt",
        detail: "Prozess 7 wartet auf ShareLock-Sperre auf Transaktion 770; blockiert von Prozess 8.",
        ..DEADLOCK
    };
    for form in [Told::csv, Told::json] {
        let text: String = [german, verklemmung].iter().map(form).collect();
        let log = Folder::new().with("a", text).read(&["a"]);
        assert_eq!(log.unread, [Unread::Foreign(2)]);
    }
    // Here the first line of a deadlock has no code, unless the prefix tells it.
    let log = Folder::new()
        .with("a", german.stderr() + &verklemmung.stderr())
        .read(&["a"]);
    assert!(
        matches!(log.unread[..], [Unread::Foreign(1..)]),
        "{:?}",
        log.unread
    );
}

#[test]
fn a_zone_that_is_not_known_is_told_of() {
    for form in [Told::csv, Told::json, Told::stderr] {
        let text = form(&ACQUIRED)
            .replace(" UTC", " CET")
            .replace("14:03", "15:03");
        let folder = Folder::new().with("a", text);
        let log = folder.read(&["a"]);
        assert_eq!(log.events.waits, []);
        assert!(
            matches!(log.unread[..], [Unread::Unplaced(1)]),
            "{:?}",
            log.unread
        );
        let mut reading = folder.reading(&["a"]);
        reading.clock = Clock::of("Europe/Berlin").unwrap();
        let log = read(&reading).unwrap();
        assert_eq!(log.events.waits.len(), 1);
        assert_eq!(
            log.events.waits[0].ended,
            Some(NOON + Span::from_millis(3_750))
        );
    }
}

#[test]
fn what_is_no_log_is_refused_by_name() {
    let folder = Folder::new()
        .with("old.gz", b"\x1f\x8b\x08\x00\x00\x00")
        .with("notes.txt", "dear diary\n")
        .with("own.log", "LOG:  a prefix of nobody's\n")
        .with("new.log", "");
    let refused = |name: &str| {
        let paths = [folder.path(name)];
        check(&paths, &Prefix::default()).map_err(|error| error.to_string())
    };
    assert!(
        refused("old.gz")
            .unwrap_err()
            .contains("is compressed (gzip)")
    );
    assert!(refused("notes.txt").unwrap_err().contains("is no log"));
    assert!(
        refused("own.log")
            .unwrap_err()
            .contains("--log-line-prefix")
    );
    assert!(
        refused("not there")
            .unwrap_err()
            .contains("cannot read the log")
    );
    assert_eq!(refused("new.log"), Ok(()));
    // In a folder they are passed over, and told of.
    let log = folder.read(&["."]);
    assert_eq!(log.files.len(), 1);
    let [Unread::File(path, why), Unread::Others(2)] = &log.unread[..] else {
        panic!("{:?}", log.unread)
    };
    assert!(path.ends_with("old.gz") && why.contains("gzip"));
}

#[test]
fn only_files_of_the_time_are_read() {
    let late = ACQUIRED.stderr().replace("2026-11-23", "2026-12-23");
    let folder = Folder::new()
        .with("now.log", ACQUIRED.stderr())
        .with("later.log", late)
        .with("before.log", ACQUIRED.stderr());
    let file = std::fs::File::options()
        .append(true)
        .open(folder.path("before.log"));
    let day_before = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_795_356_185);
    file.unwrap().set_modified(day_before).unwrap();
    // Whether the clock of this machine is behind that of the test does not matter.
    for name in ["now.log", "later.log"] {
        let file = std::fs::File::options()
            .append(true)
            .open(folder.path(name));
        let day_after = day_before + std::time::Duration::from_hours(48);
        file.unwrap().set_modified(day_after).unwrap();
    }
    let log = folder.read(&["."]);
    let read: Vec<_> = log
        .files
        .iter()
        .map(|file| file.path.file_name().unwrap())
        .collect();
    assert_eq!(read, ["now.log"]);
}

#[test]
fn a_process_that_is_in_no_prefix_speaks_by_its_lines() {
    let text = all(Told::stderr)
        .replace("UTC [7] ", "UTC ")
        .replace("UTC [9] ", "UTC ");
    let folder = Folder::new().with("a", text);
    let mut reading = folder.reading(&["a"]);
    reading.prefix = Prefix::of("%m ").unwrap();
    let events = read(&reading).unwrap().events;
    assert_eq!(events.waits.len(), 3);
    assert_eq!(events.deadlocks[0].victim, Pid(7));
    assert_eq!(events.cancellations, []);
}

//! How strongly each kind of statement locks its tables: what is read off its text, and what
//! a real server shows.
//!
//! Each statement runs in a transaction, and the locks of that transaction are read before it
//! is undone. What runs in no transaction is held up by another session, and shows what it
//! asks for; and so is what locks a row, since its lock on the row shows as it waits.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod kinds;
#[path = "../majors/mod.rs"]
mod majors;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use pgjam::lab::server::{Options, ThrowAway};
use pgjam::pg::LockMode;
use pgjam::statement;
use postgres::{Client, Config, NoTls};

use crate::kinds::{ALONE, IN_TRANSACTION, OF_A_ROW, SCHEMA};
use crate::majors::{binaries, on_each};

fn main() -> ExitCode {
    let mut trials = Vec::new();
    trials.extend(on_each(
        "what_runs_in_a_transaction_locks_what_its_text_says",
        what_runs_in_a_transaction_locks_what_its_text_says,
    ));
    trials.extend(on_each(
        "what_runs_alone_asks_for_what_its_text_says",
        what_runs_alone_asks_for_what_its_text_says,
    ));
    trials.extend(on_each(
        "what_locks_a_row_locks_it_as_its_text_says",
        what_locks_a_row_locks_it_as_its_text_says,
    ));
    majors::run(trials).exit_code()
}

/// How long a statement may take to be held up.
const SOON: Duration = Duration::from_secs(20);

/// The strongest mode on each table.
type Modes = BTreeMap<String, LockMode>;

struct Lab {
    server: ThrowAway,
    major: u32,
}

impl Lab {
    fn start(major: u32) -> Self {
        let server = ThrowAway::start(&Options {
            pg_bin: Some(binaries(major)),
            fsync: false,
            ..Options::default()
        })
        .unwrap();
        let lab = Self { server, major };
        lab.client().batch_execute(SCHEMA).unwrap();
        lab
    }

    fn client(&self) -> Client {
        let config: Config = self.server.dsn("postgres", "postgres").parse().unwrap();
        config.connect(NoTls).unwrap()
    }
}

/// Reads what a backend has locked, or asks for, of the tables of [`SCHEMA`], in the words of
/// `client`: another session still knows what is renamed or dropped.
fn modes(client: &mut Client, pid: i32) -> Modes {
    let rows = client.query(
        "select c.relname::text, l.mode
           from pg_locks l join pg_class c on c.oid = l.relation
          where l.pid = $1 and l.locktype = 'relation' and c.relkind in ('r', 'p', 'm', 'v')
            and c.relnamespace = 'public'::regnamespace",
        &[&pid],
    );
    let mut modes = Modes::new();
    for row in rows.unwrap() {
        let mode: LockMode = row.get::<_, &str>(1).parse().unwrap();
        let known = modes.entry(row.get(0)).or_insert(mode);
        *known = mode.max(*known);
    }
    modes
}

/// Compares what a server showed with what the text says.
///
/// What the server locks and the text cannot tell stands after the statement, as
/// `-- and: b`: who refers to a table, what a view shows.
fn differences(kind: &str, shown: &Modes) -> Vec<String> {
    let beyond = kind.split_once("-- and: ").map_or("", |(_, beyond)| beyond);
    let is_beyond = |table: &str| beyond.split(", ").any(|name| name == table);
    let read = statement::read(kind.as_bytes());
    let mut said = Modes::new();
    for used in &read.tables {
        said.insert(used.name.to_string(), used.lock);
    }
    let mut differences = Vec::new();
    for (table, mode) in shown {
        let expected = said.remove(table);
        if expected != Some(*mode) && !is_beyond(table) {
            let expected = expected.map_or("nothing", LockMode::name);
            differences.push(format!(
                "{kind}: {table} {mode}, and the text says {expected}"
            ));
        }
    }
    let unseen = said
        .into_iter()
        .filter(|(table, _)| TABLES.contains(&table.as_str()) && !is_beyond(table));
    differences.extend(unseen.map(|(table, mode)| format!("{kind}: {table} has no {mode}")));
    differences
}

/// What [`SCHEMA`] makes: a text may name an index too, or what it is about to make.
const TABLES: [&str; 9] = [
    "a", "b", "c", "whole", "part", "loose", "shown", "kept", "old",
];

fn what_runs_in_a_transaction_locks_what_its_text_says(major: u32) {
    let lab = Lab::start(major);
    let (mut client, mut other) = (lab.client(), lab.client());
    let mut wrong = Vec::new();
    for kind in lines(IN_TRANSACTION).filter(|kind| since(kind) <= lab.major) {
        client.batch_execute("begin").unwrap();
        if let Err(error) = client.batch_execute(kind) {
            let error = error.as_db_error().unwrap();
            wrong.push(format!("{kind} does not run: {}", error.message()));
            client.batch_execute("rollback").unwrap();
            continue;
        }
        let pid = pid(&mut client);
        let mut shown = modes(&mut other, pid);
        shown.extend(modes(&mut client, pid).remove_entry("new"));
        client.batch_execute("rollback").unwrap();
        wrong.extend(differences(kind, &shown));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn what_runs_alone_asks_for_what_its_text_says(major: u32) {
    let lab = Lab::start(major);
    let mut wrong = Vec::new();
    for kind in lines(ALONE).filter(|kind| since(kind) <= lab.major) {
        wrong.extend(differences(kind, &asked_for(&lab, kind)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Gives the major that a statement came with: `-- since 16`.
fn since(kind: &str) -> u32 {
    let since = kind.split_once("-- since ").map(|(_, major)| major);
    since.map_or(0, |since| since.split(' ').next().unwrap().parse().unwrap())
}

/// Holds a statement up by a lock that conflicts with what it asks for, and looks.
fn asked_for(lab: &Lab, kind: &str) -> Modes {
    let hold = "lock a, whole in share update exclusive mode";
    held_up(lab, hold, kind, modes)
}

fn what_locks_a_row_locks_it_as_its_text_says(major: u32) {
    let lab = Lab::start(major);
    let mut wrong = Vec::new();
    for kind in lines(OF_A_ROW).filter(|kind| since(kind) <= lab.major) {
        let hold = "select * from a where id = 1 for update";
        let shown = held_up(&lab, hold, kind, |client, pid| {
            let row = client.query_one(
                "select relation::regclass::text, mode from pg_locks
                  where pid = $1 and locktype = 'tuple' and granted",
                &[&pid],
            );
            let row = row.unwrap();
            assert_eq!(row.get::<_, &str>(0), "a", "{kind}");
            row.get::<_, &str>(1).parse().unwrap()
        });
        let read = statement::read(kind.as_bytes());
        let used = read.tables.iter().find(|used| &*used.name == "a");
        let said = match used {
            // What a text does not tell: whether a column is a key, and who refers to whom.
            Some(used) if kind.ends_with("-- key") => {
                assert!(used.writes.changes(&["id".into()]), "{kind}");
                Some(LockMode::AccessExclusive)
            }
            None if kind.ends_with("-- refers") => Some(LockMode::AccessShare),
            used => {
                let used = used.unwrap();
                assert!(!used.writes.changes(&["id".into()]), "{kind}");
                used.rows
            }
        };
        if said != Some(shown) {
            wrong.push(format!("{kind}: {shown}, and the text says {said:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn lines(kinds: &'static str) -> impl Iterator<Item = &'static str> {
    kinds.lines().map(str::trim).filter(|line| !line.is_empty())
}

/// Runs a statement that waits for who did `hold`, and looks at it as it does.
fn held_up<T>(lab: &Lab, hold: &str, kind: &str, look: impl FnOnce(&mut Client, i32) -> T) -> T {
    let mut holder = lab.client();
    holder.batch_execute(&format!("begin; {hold}")).unwrap();
    let mut runner = lab.client();
    let pid = pid(&mut runner);
    let token = runner.cancel_token();
    let sql = kind.to_owned();
    let running = std::thread::spawn(move || runner.batch_execute(&sql));
    let begun = Instant::now();
    let waits = "select exists (select from pg_locks where pid = $1 and not granted)";
    while !holder.query_one(waits, &[&pid]).unwrap().get::<_, bool>(0) {
        let ended = running.is_finished();
        assert!(!ended && begun.elapsed() < SOON, "{kind} is not held up");
        std::thread::sleep(Duration::from_millis(2));
    }
    let seen = look(&mut holder, pid);
    token.cancel_query(NoTls).unwrap();
    assert!(running.join().unwrap().is_err(), "{kind} was not cancelled");
    seen
}

fn pid(client: &mut Client) -> i32 {
    let row = client.query_one("select pg_backend_pid()", &[]);
    row.unwrap().get(0)
}

//! Waits for a page, or for the end of a file.

use std::sync::mpsc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use postgres::{Client, NoTls};
use rustix::process::{Pid, Signal, kill_process};

use crate::stage::{SOON, Stage};

/// One who merges the pending entries of an index, slowly, holds its first page.
pub(crate) fn an_index_page_is_waited_for(stage: &mut Stage<'_>) {
    stage.run(
        "create table word (letters int[]);
         create index word_letters on word using gin (letters) with (fastupdate = on);
         insert into word select array[n, n + 1, n + 2] from generate_series(1, 3000) n",
    );
    let mut holder = stage.client("holder");
    holder
        .batch_execute("set vacuum_cost_delay = 10; set vacuum_cost_limit = 1")
        .unwrap();
    let is_at_it = "exists (select from pg_locks where locktype = 'page')";
    let _holder = stage.waiting(holder, "vacuum word", is_at_it);
    let clean = "select gin_clean_pending_list('word_letters')";
    let _waiter = stage.behind("waiter", clean);

    let seen = stage.look();

    seen.has_edges(&["waiter => holder: public.word"]);
    seen.has_roots(&["holder"]);
    assert_eq!(seen.edge("waiter").lock.kind, "page");
}

/// A file grows by one session at a time.
pub(crate) fn a_table_is_extended_by_one_after_another(stage: &mut Stage<'_>) {
    stage.run(
        "create unlogged table bulk (filler text);
         alter table bulk alter filler set storage plain",
    );
    let insert = "insert into bulk select repeat('x', 8000) from generate_series(1, 100000)";
    let first = stage.waiting(stage.client("first"), insert, "state = 'active'");
    let second = stage.waiting(stage.client("second"), insert, "state = 'active'");
    let _stopped = stopped_before(stage, first.pid, second.pid);

    let seen = stage.look();

    seen.has_edges(&["second => first: public.bulk"]);
    seen.has_roots(&["first"]);
    seen.has_chains(&["first holds the end of public.bulk"]);
    assert_eq!(seen.edge("second").lock.kind, "extend");
}

/// A process that does nothing until the value is dropped.
struct Stopped(Pid);

impl Stopped {
    fn new(pid: i32) -> Self {
        let pid = Pid::from_raw(pid).unwrap();
        kill_process(pid, Signal::STOP).unwrap();
        Self(pid)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::CONT);
    }
}

/// Stops one of two who extend a table while it is the one that does.
fn stopped_before(stage: &Stage<'_>, holder: i32, waiter: i32) -> Stopped {
    let begun = Instant::now();
    loop {
        let stopped = Stopped::new(holder);
        // Whoever is on its way to a wait gets there meanwhile.
        sleep(Duration::from_millis(5));
        if is_before(stage, holder, waiter) {
            return stopped;
        }
        drop(stopped);
        assert!(begun.elapsed() < SOON, "never stopped while it extends");
        sleep(Duration::from_millis(1));
    }
}

/// Tells whether one of two has been stopped where the other waits for it, and where nobody
/// else does: what it was at may be the lock table itself, and then there is no answer.
fn is_before(stage: &Stage<'_>, holder: i32, waiter: i32) -> bool {
    let dsn = stage.server().dsn("postgres", "postgres");
    let waits = |pid| format!("(select wait_event = 'extend' from activity where pid = {pid})");
    let sql = format!(
        "with activity as materialized (select * from pg_stat_activity)
         select {} and {} is not true and exists (select from pg_locks)",
        waits(waiter),
        waits(holder)
    );
    let (said, heard) = mpsc::channel();
    std::thread::spawn(move || {
        let mut client = Client::connect(&dsn, NoTls).unwrap();
        let _ = said.send(client.query_one(&sql, &[]).unwrap().get(0));
    });
    let patience = Duration::from_millis(500);
    heard.recv_timeout(patience).ok().flatten() == Some(true)
}

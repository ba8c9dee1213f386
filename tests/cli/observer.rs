//! What the watch is to the server that it watches.

use pgjam::query::{DATABASES, HORIZONS, Query, SERVER_14, SETTINGS, TABLES};

use crate::stage::{Running, Session, run, server};

/// What a look around at the tables reads, which comes at the edges of a watch: `pg_class` and
/// `pg_index` with their indexes. No other statement may have a lock on any of them.
const CATALOGUES: &str = "(1259, 2662, 2663, 3455, 2610, 2678, 2679)";

/// What a statement reads that the server parses for the first time: `pg_proc` with its indexes, where
/// it finds the functions. Those of a look around are met in mid-watch; nothing else may be.
const FUNCTIONS: &str = "(1255, 2690, 2691)";
const AROUND: [Query; 5] = [TABLES, DATABASES, SERVER_14, HORIZONS, SETTINGS];

/// While it watches it is one session, named as such, that holds nothing but its own
/// virtual transaction and writes nothing.
///
/// The server writes WAL of its own accord for checkpoints and for running transactions
/// (standby snapshots); both are put out of the way here, so the position must not move at
/// all. Dead rows are vacuumed first, since even a reader may prune a page, and that is logged.
#[test]
fn the_observer_is_one_session_that_holds_and_writes_nothing() {
    let server = server(&[
        ("autovacuum", "off"),
        ("checkpoint_timeout", "1h"),
        ("wal_level", "minimal"),
        ("max_wal_senders", "0"),
    ]);
    run(&server, "postgres", "vacuum");
    run(&server, "postgres", "checkpoint");
    // What it looks at, so that it has named everything at its first look.
    let mut busy = Session::open(&server, "postgres", "busy");
    busy.send("select pg_sleep(600)");
    let mut client = server.connect("postgres").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("recording");
    let mut watch = Running::start(&[
        "diagnose",
        "--duration",
        "3s",
        "--hz",
        "50",
        "--dsn",
        &server.dsn("postgres", "postgres"),
        "--record",
        record.to_str().unwrap(),
    ]);
    watch.hear("Nobody waits for a lock");
    let mut position = || -> String {
        let row = client.query_one("select pg_current_wal_insert_lsn()::text", &[]);
        row.unwrap().get(0)
    };
    let before = position();
    let mut onlooker = server.connect("postgres").unwrap();
    let mut looks = 0;
    while !watch.has_ended() {
        let sessions: Vec<i32> = onlooker
            .query(
                "select pid from pg_stat_activity where application_name = 'pgjam'",
                &[],
            )
            .unwrap()
            .iter()
            .map(|row| row.get(0))
            .collect();
        assert!(sessions.len() <= 1, "{sessions:?}");
        for pid in sessions {
            // A look takes it a fraction of a millisecond, so many have to be taken at it. Of its
            // virtual transaction only the backend's half counts: while a transaction ends, the
            // server may show its lock with an owner whose other half is 0 already. Which statement
            // runs is asked before and after: one of the two is what held it.
            let tables = TABLES.statement();
            let around = AROUND.map(|query| format!("$around${}$around$", query.statement()));
            let around = around.join(", ");
            let glances = format!(
                "do $$ declare before text; after text; held text; is_known bool; of_tables bool;
                   around text[] := array[{around}]; begin
                   for n in 1 .. 200 loop
                     perform pg_stat_clear_snapshot();
                     select coalesce(query, 'none') into before from pg_stat_get_activity({pid});
                     select string_agg(concat_ws(' ', locktype, mode, relation), ', '),
                            bool_and(mode = 'AccessShareLock'
                                     and (relation in {CATALOGUES} or relation in {FUNCTIONS})),
                            bool_or(relation in {CATALOGUES})
                       into held, is_known, of_tables
                       from pg_lock_status()
                      where pid = {pid}
                        and split_part(virtualxid, '/', 1)
                            is distinct from split_part(virtualtransaction, '/', 1);
                     if held is not null then
                       perform pg_stat_clear_snapshot();
                       select coalesce(query, 'none') into after from pg_stat_get_activity({pid});
                       if is_known is not true
                          or of_tables
                             and not starts_with($tables${tables}$tables$, before)
                             and not starts_with($tables${tables}$tables$, after)
                          or not exists (select from unnest(around) one
                                          where starts_with(one, before) or starts_with(one, after)) then
                         raise exception 'it holds % and runs %, then %', held, before, after;
                       end if;
                     end if;
                     perform pg_sleep(0.0001);
                   end loop;
                 end $$"
            );
            onlooker.batch_execute(&glances).unwrap();
            looks += 200;
        }
    }
    assert_eq!(position(), before);
    watch.end().well();
    assert!(looks >= 400, "only {looks} looks at the observer");
}

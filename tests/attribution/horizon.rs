//! Old snapshots that keep dead rows: who is named, and when nobody is.

use pgjam::attribution::finding::{Scope, Verdict};
use pgjam::pg::{Oid, Pid, Xid};
use pgjam::recording::Recording;
use pgjam::sample::{Horizon, Name, NameKind, TableCounters};

use crate::apportion::{READ, WRITE, about, blocks_a_call, control, reader};
use crate::simulator::{SECOND, Step, at, runs, system};
use crate::story::world;
use crate::{accused, conclude, culprit, told};

const DATABASE: Oid = Oid(5);
const PERMISSION: Oid = Oid(20_000);

/// What was seen at looks every ten seconds: a table's dead rows, and how old horizons were.
struct Seen {
    dead_rows: [i64; 2],
    /// The age of the newcomer's, in thousands of transactions a second since it came.
    age: i64,
    /// The same of somebody who was always there.
    of_another: i64,
}

const CLEAR: Seen = Seen {
    dead_rows: [200, 40_000],
    age: 1,
    of_another: 0,
};

/// A recording in which a system comes at 30 s, writes once, and keeps its transaction open.
fn recording(seen: &Seen, seed: u64) -> Recording {
    let opens = [runs(WRITE, 2.0), Step::Away(600_000.0)];
    let newcomer = system("reporting", 1, 30.2, 1.0, &opens);
    let systems = vec![control(5.0), reader(12.0), newcomer];
    let (mut recording, _) = world(systems, 90.0, seed).run();
    blocks_a_call(&mut recording, READ, [9, 800]);
    recording.names.push(Name {
        database: Some(DATABASE),
        table: Some(PERMISSION),
        ..Name::new(NameKind::Relation, PERMISSION, "public.permission")
    });
    let pid_of = |name: &str, recording: &Recording| {
        let sessions = recording.snapshots.iter().flat_map(|it| &it.sessions);
        let mut of = sessions.filter(|session| &*session.application_name == name);
        of.next().unwrap().pid
    };
    let holders = [
        (pid_of("reporting", &recording), "reporting", 30, seen.age),
        (pid_of("portal", &recording), "portal", 0, seen.of_another),
    ];
    for second in (5..90).step_by(10) {
        let now = at(second * SECOND);
        let dead_rows = seen.dead_rows[usize::from(second > 30)];
        let surroundings = &mut recording.surroundings;
        surroundings.tables.push(TableCounters {
            at: now,
            database: DATABASE,
            table: PERMISSION,
            inserted: 0,
            updated: second * 100,
            deleted: 0,
            hot_updated: 0,
            seq_scans: second * 10,
            seq_rows: second * 1_000,
            index_scans: 0,
            live_rows: 1_000,
            dead_rows,
            vacuums: 0,
            autovacuums: 0,
            last_autovacuum: None,
            last_autoanalyze: None,
        });
        let horizon = |(pid, owner, since, per_second): (Pid, &str, i64, i64)| Horizon {
            at: now,
            kind: "backend".into(),
            pid: Some(pid),
            owner: Some(owner.into()),
            database: Some(DATABASE),
            xid: Xid(700),
            age: per_second * 1_000 * (second - since),
            since: Some(at(since * SECOND)),
        };
        let open = holders
            .into_iter()
            .filter(|(_, _, since, per_second)| *per_second > 0 && second > *since);
        surroundings.horizons.extend(open.map(horizon));
    }
    recording
}

#[test]
fn who_keeps_the_dead_rows_that_others_read_past_is_named() {
    let diagnosis = conclude(&recording(&CLEAR, 1));
    let finding = about(&diagnosis, READ);
    assert_eq!(finding.cause.class, "horizon", "{}", told(&diagnosis));
    assert_eq!(finding.cause.basis, "inferred");
    assert_eq!(finding.cause.table.as_deref(), Some("public.permission"));
    assert_eq!(culprit(finding), Some("reporting"));
    let blocker = finding.cause.blocker.as_ref().unwrap();
    assert!((blocker.state["idle in transaction"] - 1.0).abs() < 1e-9);
    assert_eq!(
        (finding.verdict, finding.scope),
        (Verdict::Supported, Scope::Culprit)
    );
    assert!(finding.cause.event.is_some());
    let what_if = finding.what_if.as_ref().unwrap();
    assert_eq!(what_if.removed, "the old snapshot of reporting");
}

#[test]
fn where_the_rest_does_not_fit_more_work_is_ones_own() {
    let vacuumed = Seen {
        dead_rows: [200, 300],
        ..CLEAR
    };
    let many_always = Seen {
        dead_rows: [39_000, 40_000],
        ..CLEAR
    };
    let another = Seen {
        of_another: 1,
        ..CLEAR
    };
    let nobody = Seen { age: 0, ..CLEAR };
    for (n, seen) in (2..).zip([vacuumed, many_always, another, nobody]) {
        let diagnosis = conclude(&recording(&seen, n));
        let finding = about(&diagnosis, READ);
        assert_eq!(finding.cause.class, "own-work", "{}", told(&diagnosis));
        assert_eq!(accused(&diagnosis), Vec::<&str>::new());
    }
}

#[test]
fn who_asks_for_more_rows_reads_more_for_that() {
    let mut recording = recording(&CLEAR, 6);
    let came = at(30 * SECOND);
    let read = crate::simulator::query_id(READ);
    for row in recording.counters.iter_mut().flat_map(|it| &mut it.rows) {
        if row.query_id == read && row.at > came {
            row.rows *= 20;
        }
    }
    let diagnosis = conclude(&recording);
    assert_eq!(about(&diagnosis, READ).cause.class, "own-work");
}

#[test]
fn a_vacuum_holds_back_nobody() {
    let mut recording = recording(&CLEAR, 7);
    for horizon in &mut recording.surroundings.horizons {
        horizon.pid = Some(Pid(99_999));
        horizon.owner = Some("".into());
    }
    let diagnosis = conclude(&recording);
    assert_eq!(about(&diagnosis, READ).cause.class, "own-work");
}

#[test]
fn who_took_a_snapshot_just_now_is_as_old_as_the_oldest_for_a_moment() {
    let mut recording = recording(&CLEAR, 8);
    let horizons = &mut recording.surroundings.horizons;
    let passing = horizons.clone().into_iter().map(|horizon| Horizon {
        pid: Some(Pid(1_000)),
        owner: Some("intake".into()),
        since: Some(horizon.at),
        ..horizon
    });
    horizons.extend(passing.collect::<Vec<_>>());
    let diagnosis = conclude(&recording);
    assert_eq!(culprit(about(&diagnosis, READ)), Some("reporting"));
}

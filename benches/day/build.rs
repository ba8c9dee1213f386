//! Hours of a recording, made of minutes of a real one.
//!
//! - A minute begins with a look at the counters. What it has keeps its distance to that, so every
//!   span in it is as it was; who is connected stays connected all the time.
//! - Counters go on: each look adds what it added in the real recording.
//! - One hour is written as a watch writes it. In those after it the same rows come again, at their
//!   own times: of the large tables only the times are packed anew (see [`shift`](super::shift)).

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use pgjam::daemon::books::Books;
use pgjam::pg::{Oid, QueryId};
use pgjam::recording::{Cells, Charge, Edge, Entry, Minute, Recording, RolledUp, Writer};
use pgjam::sample::{Counters, Declared, Server, Snapshot, StatementCounters};
use pgjam::system::Naming;
use pgjam::time::{Span, Timestamp};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::shift;

const MINUTE: Span = Span::from_secs(60);
const HOUR: i64 = 3_600_000_000;

/// So many cells of a minute tell statements apart, as in a watch.
const MOST_CELLS: usize = 4_000;

/// A tick, and what the books say of it.
struct Charged {
    snapshot: Snapshot,
    charges: Vec<Charge>,
    edges: Vec<Edge>,
}

/// A minute of the real recording.
struct Drawn {
    start: Timestamp,
    ticks: Range<usize>,
    /// The looks behind its start, each with what it added.
    looks: Vec<Counters>,
}

/// What the counters stand at.
type Sums = BTreeMap<(Oid, QueryId), StatementCounters>;

/// Makes a recording of so many hours.
pub(super) fn hours(real: &Path, folder: &Path, count: i64) {
    assert!((1..=24).contains(&count), "a day has 24 hours");
    let real = Recording::open(real).unwrap();
    let ticks = charged(&real);
    let minutes = minutes(&real);
    let active: usize = ticks.iter().map(|tick| active(&tick.snapshot)).sum();
    println!(
        "{} minutes to draw from, {:.1} sessions active",
        minutes.len(),
        active as f64 / ticks.len() as f64
    );
    // The next midnight: everybody was connected long before.
    let last = real.snapshots.last().unwrap().tick.at.as_micros();
    let start = (last.div_euclid(24 * HOUR) + 1) * 24 * HOUR;
    let mut writer = Writer::create(folder, &real.server).unwrap();
    let mut sums = first_sums(&real);
    let mut texts = Some(&real);
    for hour in 0..count {
        // Each hour draws the same.
        let mut rng = StdRng::seed_from_u64(1);
        for minute in 0..60 {
            let at = Timestamp::from_micros(start + hour * HOUR + minute * MINUTE.as_micros());
            let drawn = &minutes[rng.random_range(0..minutes.len())];
            write(
                drawn,
                &ticks[drawn.ticks.clone()],
                at,
                hour == 0,
                &mut sums,
                &mut writer,
            );
            if let Some(real) = texts.take() {
                let statements = real.statements.iter().cloned().map(Entry::Statement);
                let names = real.names.iter().cloned().map(Entry::Name);
                statements.chain(names).for_each(|text| writer.take(text));
            }
            writer.seal_samples().unwrap();
        }
        writer.seal().unwrap();
    }
    writer.take(Entry::Declared(Declared {
        at: Timestamp::from_micros(start + count * HOUR / 2),
        label: "the second half".into(),
    }));
    writer.finish().unwrap();
    merge(
        folder,
        &real.server,
        Timestamp::from_micros(start + 48 * HOUR),
    );
    for hour in 1..count {
        shift::hour(folder, hour, HOUR);
    }
}

/// Lets the hours be over, so that each is one part.
fn merge(folder: &Path, server: &Server, now: Timestamp) {
    let mut writer = Writer::create(folder, server).unwrap();
    writer.take(Entry::Counters(Counters {
        at: now,
        rows: Vec::new(),
    }));
    while writer.upkeep() {}
    // That look only told the time: it is not to be written.
    std::mem::forget(writer);
}

/// Charges the ticks of the real recording.
fn charged(real: &Recording) -> Vec<Charged> {
    let mut books = Books::new(Naming::default(), &[], None);
    real.statements.iter().for_each(|it| books.learn(it));
    real.names.iter().for_each(|it| books.name(it));
    let charged = |snapshot: &Snapshot| {
        let (mut charges, mut edges) = (Vec::new(), Vec::new());
        for entry in books.look(snapshot) {
            match entry {
                Entry::Charges(rows) => charges = rows,
                Entry::Edges(rows) => edges = rows,
                _ => {}
            }
        }
        Charged {
            snapshot: snapshot.clone(),
            charges,
            edges,
        }
    };
    real.snapshots.iter().map(charged).collect()
}

/// Lists the minutes of the jam in a recording: from each look at the counters to one about a minute
/// later.
fn minutes(real: &Recording) -> Vec<Drawn> {
    let mut last = first_sums(real);
    let added = real.counters.iter().map(|look| {
        let rows = look.rows.iter().filter_map(|row| {
            let key = (row.database, row.query_id);
            let before = last.insert(key, *row)?;
            row.calls_since(&before)?;
            Some(StatementCounters {
                calls: Some(row.calls? - before.calls?),
                exec_ms: (row.exec_ms - before.exec_ms).max(0.0),
                rows: row.rows - before.rows,
                blocks_hit: row.blocks_hit - before.blocks_hit,
                blocks_read: row.blocks_read - before.blocks_read,
                wal_bytes: row.wal_bytes - before.wal_bytes,
                ..*row
            })
        });
        Counters {
            at: look.at,
            rows: rows.collect(),
        }
    });
    let added: Vec<Counters> = added.collect();
    let end = real.snapshots.last().unwrap().tick.at;
    let place = |at: Timestamp| real.snapshots.partition_point(|seen| seen.tick.at < at);
    let drawn = added.iter().enumerate().filter_map(|(first, look)| {
        let until = look.at + MINUTE;
        // A look comes a little earlier or later than its minute ends.
        let tolerance = Span::from_secs(2);
        let behind = added[first + 1..].iter();
        let looks: Vec<Counters> = behind
            .take_while(|next| next.at <= until + tolerance)
            .cloned()
            .collect();
        (until + tolerance <= end && !looks.is_empty()).then(|| Drawn {
            start: look.at,
            ticks: place(look.at)..place(until),
            looks,
        })
    });
    let mut drawn: Vec<Drawn> = drawn.collect();
    let blocked = |one: &Drawn| -> usize {
        let ticks = real.snapshots[one.ticks.clone()].iter();
        ticks
            .map(|seen| seen.locks.iter().filter(|lock| !lock.granted).count())
            .sum()
    };
    let most = drawn.iter().map(blocked).max().unwrap();
    drawn.retain(|one| 2 * blocked(one) >= most);
    drawn
}

/// Gives each counter as it is first told.
fn first_sums(real: &Recording) -> Sums {
    let mut sums = Sums::new();
    for row in real.counters.iter().flat_map(|look| &look.rows) {
        sums.entry((row.database, row.query_id)).or_insert(*row);
    }
    sums
}

/// Writes a minute at a time; what is not `whole` has only its small tables.
fn write(
    drawn: &Drawn,
    ticks: &[Charged],
    at: Timestamp,
    whole: bool,
    sums: &mut Sums,
    writer: &mut Writer,
) {
    let moved = |time: Timestamp| at + time.since(drawn.start);
    let mut minute = Minute::starting(at);
    minute.until = at + MINUTE;
    minute.watched_us = MINUTE;
    minute.counted = Some(minute.until);
    let mut cells = Cells::of_at_most(MOST_CELLS);
    for (count, charged) in ticks.iter().enumerate() {
        let Charged {
            snapshot,
            charges,
            edges,
        } = charged;
        minute.count(&snapshot.tick, waiting(snapshot));
        for charge in charges {
            cells.add(charge);
        }
        let at = moved(snapshot.tick.at);
        let mut seen = Snapshot {
            tick: snapshot.tick,
            sessions: Vec::new(),
            locks: Vec::new(),
            prepared: Vec::new(),
            safe_snapshots: Vec::new(),
        };
        seen.tick.at = at;
        if whole {
            seen = Snapshot {
                tick: seen.tick,
                ..snapshot.clone()
            };
            // The same distance, whichever way: a transaction may be older than the minute.
            let by = at.as_micros() - snapshot.tick.at.as_micros();
            let mover = |time: &mut Option<Timestamp>| {
                *time = time.map(|time| Timestamp::from_micros(time.as_micros() + by));
            };
            for session in &mut seen.sessions {
                mover(&mut session.xact_start);
                mover(&mut session.query_start);
                mover(&mut session.state_change);
            }
            seen.locks
                .iter_mut()
                .for_each(|lock| mover(&mut lock.waitstart));
            let charges = charges.iter().cloned().map(|row| Charge { at, ..row });
            writer.take(Entry::Charges(charges.collect()));
            let edges = edges.iter().cloned().map(|row| Edge { at, ..row });
            writer.take(Entry::Edges(edges.collect()));
        }
        writer.take(seen.into());
        // As in a watch: what waits in memory has a bound.
        if count % 10 == 9 {
            writer.flush().unwrap();
        }
    }
    let mut changed = Sums::new();
    for (place, look) in drawn.looks.iter().enumerate() {
        let is_last = place + 1 == drawn.looks.len();
        let at = if is_last {
            minute.until
        } else {
            moved(look.at)
        };
        let rows = look.rows.iter().map(|more| {
            let key = (more.database, more.query_id);
            let sum = sums.get_mut(&key).unwrap();
            sum.at = at;
            sum.calls = sum.calls.zip(more.calls).map(|(sum, more)| sum + more);
            sum.exec_ms += more.exec_ms;
            sum.rows += more.rows;
            sum.blocks_hit += more.blocks_hit;
            sum.blocks_read += more.blocks_read;
            sum.wal_bytes += more.wal_bytes;
            changed.insert(key, *sum);
            *sum
        });
        let rows = rows.collect();
        writer.take(Entry::Counters(Counters { at, rows }));
    }
    let of_minute = |row: StatementCounters| StatementCounters {
        at: minute.until,
        exec_ms: row.exec_ms.floor(),
        ..row
    };
    writer.take(Entry::Minute(Box::new(RolledUp {
        minute,
        cells: cells.at(at),
        counters: changed.into_values().map(of_minute).collect(),
    })));
}

fn active(snapshot: &Snapshot) -> usize {
    let sessions = snapshot.sessions.iter();
    sessions.filter(|session| session.state.is_active()).count()
}

fn waiting(snapshot: &Snapshot) -> usize {
    let sessions = snapshot.sessions.iter();
    let waits = sessions.filter(|session| session.wait_event_type.as_deref() == Some("Lock"));
    waits.filter(|session| session.state.is_active()).count()
}

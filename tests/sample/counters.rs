//! What `pg_stat_statements` counts, and what became of it.

use std::time::{Duration, Instant};

use pgjam::attribution::Detector;
use pgjam::recording::Event;
use pgjam::sample::live::{Options, Source};
use pgjam::sample::{Counters, Loss, ServerCounter, StatementCounters};

use crate::stage::{Lab, SOON, aside, quick};

#[test]
fn counters_are_told_when_they_change() {
    let lab = Lab::start();
    let mut client = lab.client("worker");
    let calls = "select n from hot where id = 2";
    client.execute(calls, &[]).unwrap();
    lab.watch(async |source| {
        if !source.has_counters() {
            return;
        }
        let first = source.counters().await.unwrap().unwrap();
        assert!(!first.rows.is_empty());
        let work = move || {
            for _ in 0..3 {
                client.execute(calls, &[]).unwrap();
            }
        };
        tokio::task::spawn_blocking(work).await.unwrap();
        let second = source.counters().await.unwrap().unwrap();
        assert!(second.at > first.at);
        assert!(second.rows.len() < first.rows.len());
        let grown = second.rows.iter().any(|row| {
            let before = first
                .rows
                .iter()
                .find(|b| (b.database, b.query_id) == (row.database, row.query_id));
            before.is_some_and(|before| {
                row.calls
                    .zip(before.calls)
                    .is_some_and(|(now, before)| now - before == 3)
                    && row.rows - before.rows == 3
            })
        });
        assert!(grown, "{second:#?}");
    });
}

#[test]
fn an_entry_that_is_no_more_is_told_once_and_told_anew_when_it_comes_back() {
    let lab = Lab::start();
    if !lab.server.has_statements() {
        return;
    }
    let mut client = lab.client("worker");
    let call = "select n from hot where id = 2";
    client.execute(call, &[]).unwrap();
    let forget = "select pg_stat_statements_reset(0, 0, queryid) from pg_stat_statements
                   where query like 'select n from hot%'";
    lab.watch(async |source| {
        let first = source.counters().await.unwrap().unwrap();
        let mut client = tokio::task::spawn_blocking(move || {
            client.batch_execute(forget).unwrap();
            client
        })
        .await
        .unwrap();
        let second = source.counters().await.unwrap().unwrap();
        let gone: Vec<_> = second
            .rows
            .iter()
            .filter(|row| row.calls.is_none())
            .collect();
        let [gone] = gone[..] else {
            panic!("not one entry is gone: {second:#?}")
        };
        let is_it = |row: &&StatementCounters| row.query_id == gone.query_id;
        assert!(
            first
                .rows
                .iter()
                .find(is_it)
                .is_some_and(|row| row.calls == Some(1))
        );
        let third = source.counters().await.unwrap().unwrap();
        assert_eq!(third.rows.iter().find(is_it), None);

        tokio::task::spawn_blocking(move || client.execute(call, &[]).unwrap())
            .await
            .unwrap();
        let fourth = source.counters().await.unwrap().unwrap();
        assert!(
            fourth
                .rows
                .iter()
                .find(is_it)
                .is_some_and(|row| row.calls == Some(1))
        );
    });
}

#[test]
fn what_a_function_calls_is_not_counted_as_a_call_of_a_client() {
    let lab = Lab::with(&[("pg_stat_statements.track", "all")]);
    if !lab.server.has_statements() {
        return;
    }
    let mut client = lab.client("worker");
    client
        .batch_execute(
            "create function nested() returns void language plpgsql as
               $$ begin for i in 1..70 loop perform n from hot where id = i; end loop; end $$;
             select pg_stat_statements_reset(); select nested()",
        )
        .unwrap();
    let inner = "select exists (select from pg_stat_statements where calls = 70 and not toplevel)";
    lab.until(inner);
    assert!(!calls(&lab).contains(&70), "{:?}", calls(&lab));
}

#[test]
fn an_extension_that_does_not_know_the_outermost_calls_is_read_all_the_same() {
    let lab = Lab::start();
    if !lab.server.has_statements() {
        return;
    }
    let mut client = lab.client("worker");
    client
        .batch_execute(
            "drop extension pg_stat_statements; create extension pg_stat_statements version '1.8'",
        )
        .unwrap();
    for _ in 0..70 {
        client
            .execute("select n from hot where id = 2", &[])
            .unwrap();
    }
    assert!(calls(&lab).contains(&70), "{:?}", calls(&lab));
}

#[test]
fn counters_that_do_not_come_in_time_are_counted_and_left_in_peace() {
    let lab = Lab::start();
    if !lab.server.has_statements() {
        return;
    }
    lab.client("setup")
        .batch_execute(
            "alter function pg_stat_statements(boolean) rename to fast;
             create function pg_stat_statements(boolean) returns setof pg_stat_statements
               language sql as 'select null::public.pg_stat_statements from pg_sleep(60)';
             alter role postgres set statement_timeout = '300ms'",
        )
        .unwrap();
    lab.watch(async |source| {
        assert!(source.should_count());
        assert_eq!(source.counters().await.unwrap(), None);
        let losses = source.losses();
        let told = losses
            .iter()
            .find(|loss| &*loss.kind == "timed_out_counters");
        assert_eq!(told.map(|loss| loss.count), Some(1));
        assert!(source.has_counters() && !source.should_count());
    });
}

/// Reads how often each statement was called.
fn calls(lab: &Lab) -> Vec<i64> {
    let counters = lab.watch(async |source| source.counters().await.unwrap().unwrap());
    counters.rows.iter().filter_map(|row| row.calls).collect()
}

/// Reads until something is told.
async fn told_again(source: &mut Source<'_>) -> Counters {
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < SOON, "never told again");
        if source.should_count()
            && let Some(counters) = source.counters().await.unwrap()
        {
            return counters;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn count(losses: &[Loss], kind: &str) -> u64 {
    let of_kind = losses.iter().filter(|loss| &*loss.kind == kind);
    of_kind.map(|loss| loss.count).sum()
}

fn often() -> Options {
    Options {
        count_every: Duration::from_millis(50),
        ..quick()
    }
}

#[test]
fn an_extension_that_is_dropped_is_read_again_when_it_is_back_and_nothing_of_before_counts_on() {
    let lab = Lab::start();
    if !lab.server.has_statements() {
        return;
    }
    lab.watch_in("postgres", often(), async |source| {
        let first = source.counters().await.unwrap().unwrap();
        aside(|| {
            lab.client("setup")
                .batch_execute("drop extension pg_stat_statements")
                .unwrap();
        });
        assert_eq!(source.counters().await.unwrap(), None);
        assert_eq!(count(&source.losses(), "refused_counters"), 1);
        assert!(!source.has_counters());
        for _ in 0..3 {
            source.tick().await.unwrap();
            assert_eq!(source.counters().await.unwrap(), None);
        }
        assert_eq!(count(&source.losses(), "refused_counters"), 0);
        aside(|| {
            lab.client("setup")
                .batch_execute("create extension pg_stat_statements")
                .unwrap();
        });
        let back = told_again(source).await;
        assert!(back.rows.iter().all(|row| row.calls.is_none()));
        let gone = count(&source.losses(), "reset_counters");
        assert_eq!(gone, first.rows.len() as u64);
        let then = told_again(source).await;
        assert!(then.rows.iter().all(|row| row.calls.is_some()));
        assert!(!then.rows.is_empty());
    });
}

#[test]
fn a_privilege_that_is_taken_away_is_not_provoked_and_counts_when_it_is_back() {
    let lab = Lab::start();
    if !lab.server.has_statements() {
        return;
    }
    let grant = |what: &str| {
        aside(|| lab.client("setup").batch_execute(what).unwrap());
    };
    grant(
        "create role watcher login in role pg_monitor;
         revoke execute on all functions in schema public from public;
         grant execute on all functions in schema public to watcher",
    );
    let _other = lab.client("other");
    lab.watch_as("watcher", "postgres", often(), async |source| {
        assert!(!source.counters().await.unwrap().unwrap().rows.is_empty());
        grant("revoke execute on all functions in schema public from watcher");
        assert_eq!(source.counters().await.unwrap(), None);
        assert_eq!(count(&source.losses(), "refused_counters"), 1);
        // The ticks need no more than what everybody may.
        grant("revoke pg_monitor from watcher");
        source.tick().await.unwrap();
        assert!(count(&source.losses(), "hidden_sessions") > 0);
        grant("grant execute on all functions in schema public to watcher");
        told_again(source).await;
        assert_eq!(count(&source.losses(), "refused_counters"), 0);
    });
}

#[test]
fn a_reset_is_told_with_its_time_and_is_an_event_once() {
    let lab = Lab::start();
    if !lab.server.has_statements() {
        return;
    }
    lab.watch(async |source| {
        let mut detector = Detector::default();
        let before = source.look_around().await.unwrap().server;
        assert_eq!(detector.counted(&before), []);
        aside(|| {
            let reset = "select pg_stat_statements_reset()";
            lab.client("setup").batch_execute(reset).unwrap();
        });
        let after = source.look_around().await.unwrap().server;
        let events = detector.counted(&after);
        let [event] = &events[..] else {
            panic!("{events:?} of {after:?}")
        };
        assert_eq!(&*event.kind, Event::STATISTICS_RESET);
        let last = |counters: &[ServerCounter]| counters.iter().map(|it| it.at).max().unwrap();
        assert!(last(&before) < event.at && event.at < last(&after));
        let later = source.look_around().await.unwrap().server;
        assert_eq!(detector.counted(&later), []);
    });
}

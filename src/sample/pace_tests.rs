//! Where looks fall, how often, and what they stand for.

use super::*;

fn at_ease(hz: f64, seed: u64) -> Pace {
    Pace::new(Cadence::Fixed(hz), seed, BUDGET)
}

fn by_need(seed: u64) -> Pace {
    Pace::new(Cadence::ByNeed(Need::default()), seed, BUDGET)
}

/// What looks meet with.
#[derive(Clone, Copy)]
struct Meets {
    cost: Span,
    /// From when to when somebody waits for a lock, in seconds.
    waits: (f64, f64),
}

const NOTHING: Meets = Meets {
    cost: Span::from_millis(1),
    waits: (0.0, 0.0),
};

/// Looks for so many seconds, and gives each look with the second in which it was taken.
fn looks(pace: &mut Pace, seconds: f64, meets: Meets) -> Vec<(f64, Next)> {
    let mut now = Span::ZERO;
    let mut looks = Vec::new();
    loop {
        let next = pace.next(now);
        now += Span::from_micros(i64::try_from(next.wait.as_micros()).unwrap_or(i64::MAX));
        let second = now.as_secs_f64();
        if second > seconds {
            return looks;
        }
        looks.push((second, next));
        now += meets.cost;
        let waits = (meets.waits.0..meets.waits.1).contains(&second);
        pace.spent(now, meets.cost, waits);
    }
}

fn costing(millis: i64) -> Meets {
    Meets {
        cost: Span::from_millis(millis),
        ..NOTHING
    }
}

fn waiting(from: f64, to: f64) -> Meets {
    Meets {
        waits: (from, to),
        ..NOTHING
    }
}

/// How many looks a second there were from one second to another.
fn rate(looks: &[(f64, Next)], from: f64, to: f64) -> f64 {
    let within = looks.iter().filter(|(at, _)| (from..to).contains(at));
    within.count() as f64 / (to - from)
}

#[test]
fn the_first_look_is_at_once() {
    let first = at_ease(1.0, 7).next(Span::from_millis(30));
    assert_eq!((first.wait, first.missed), (Duration::ZERO, 0));
}

#[test]
fn each_cell_has_one_look_anywhere_in_it() {
    let looks = looks(&mut at_ease(10.0, 1), 500.0, costing(0));
    let mut places = [0; 4];
    for (cell, (at, next)) in looks.iter().enumerate().skip(1) {
        assert_eq!((next.span, next.missed), (Span::from_millis(100), 0));
        let place = at * 10.0 - cell as f64;
        assert!((0.0..1.0).contains(&place), "{place}");
        let quarter = if place < 0.5 { 0 } else { 2 } + usize::from(place % 0.5 >= 0.25);
        places[quarter] += 1;
    }
    assert!(
        places.iter().all(|n| (1_150..1_350).contains(n)),
        "{places:?}"
    );
}

#[test]
fn what_the_looks_stand_for_adds_up_to_the_time_watched() {
    for mut pace in [at_ease(10.0, 2), by_need(2)] {
        let looks = looks(&mut pace, 100.0, waiting(20.0, 30.0));
        let stood: Span = looks.iter().map(|(_, next)| next.span).sum();
        assert!((stood.as_secs_f64() - 100.0).abs() <= 1.0, "{stood}");
    }
}

#[test]
fn a_stall_is_counted_and_not_stretched_over() {
    let mut pace = at_ease(10.0, 3);
    pace.next(Span::ZERO);
    let after = pace.next(Span::from_millis(1_000));
    assert!((8..=9).contains(&after.missed), "{after:?}");
    assert_eq!(after.span, Span::from_millis(100));
    assert!(after.wait <= Duration::from_millis(100));
    assert_eq!(pace.next(Span::from_millis(1_050)).missed, 0);
}

#[test]
fn a_pace_that_was_asked_for_is_the_same_whatever_the_looks_see() {
    let looks = looks(&mut at_ease(10.0, 5), 60.0, waiting(20.0, 40.0));
    let is_as_asked =
        |next: &Next| (next.period, next.reason) == (Span::from_millis(100), PaceReason::Fixed);
    assert!(looks.iter().all(|(_, next)| is_as_asked(next)));
    let mut slow = at_ease(1.0, 8);
    slow.spent(Span::ZERO, Span::from_millis(300), true);
    assert_eq!(slow.next(Span::ZERO).period, Span::from_secs(1));
}

#[test]
fn looks_are_seldom_while_nobody_waits_and_frequent_as_soon_as_one_saw_it() {
    let looks = looks(&mut by_need(6), 120.0, waiting(40.0, 60.0));
    assert!((0.9..=1.1).contains(&rate(&looks, 0.0, 40.0)));
    let seen = looks
        .iter()
        .find(|(at, _)| *at >= 40.0)
        .map_or(0.0, |l| l.0);
    let after = looks.iter().filter(|(at, _)| *at > seen);
    let within_half_a_second = after.take_while(|(at, _)| *at < seen + 0.5).count();
    assert!(within_half_a_second >= 3, "{within_half_a_second}");
    assert!((9.5..=10.5).contains(&rate(&looks, 42.0, 69.0)));
    assert!((0.8..=1.2).contains(&rate(&looks, 71.5, 120.0)));
    let reasons: Vec<PaceReason> = looks.iter().map(|(_, next)| next.reason).collect();
    let turns: Vec<_> = reasons.chunk_by(PartialEq::eq).map(|run| run[0]).collect();
    assert_eq!(
        turns,
        [PaceReason::Quiet, PaceReason::Busy, PaceReason::Quiet]
    );
}

#[test]
fn waits_that_come_and_go_do_not_make_the_pace_swing() {
    let mut pace = by_need(7);
    let mut now = Span::ZERO;
    let mut rare = 0;
    for n in 0..200 {
        let next = pace.next(now);
        now += Span::from_micros(i64::try_from(next.wait.as_micros()).unwrap_or(0));
        pace.spent(now, Span::from_millis(1), n % 40 == 0);
        rare += usize::from(n > 0 && next.reason != PaceReason::Busy);
    }
    assert_eq!(rare, 0);
}

#[test]
fn a_look_that_only_looks_closer_stands_for_no_time() {
    let need = Need {
        quiet: 0.1,
        ..Need::default()
    };
    let mut pace = Pace::new(Cadence::ByNeed(need), 8, BUDGET);
    let looks = looks(&mut pace, 20.0, waiting(0.0, 60.0));
    let between = looks.iter().filter(|(_, next)| next.span == Span::ZERO);
    assert!(between.clone().count() > 80);
    assert!(between.clone().all(|(at, _)| *at < 10.0));
    let others = looks.iter().filter(|(_, next)| next.span > Span::ZERO);
    let stood: Span = others.map(|(_, next)| next.span).sum();
    assert!((stood.as_secs_f64() - 20.0).abs() < 0.2, "{stood}");
}

#[test]
fn a_slow_pace_that_was_asked_for_rises_when_somebody_waits() {
    let need = Need {
        quiet: 0.2,
        busy: 0.5,
        ..Need::default()
    };
    let mut pace = Pace::new(Cadence::ByNeed(need), 9, BUDGET);
    let looks = looks(&mut pace, 100.0, waiting(50.0, 100.0));
    assert!((0.15..=0.25).contains(&rate(&looks, 0.0, 50.0)));
    assert!((1.9..=2.1).contains(&rate(&looks, 60.0, 100.0)));
}

#[test]
fn dear_looks_become_rarer_until_they_fit_the_budget() {
    let looks = looks(&mut at_ease(10.0, 6), 400.0, costing(20));
    let share = rate(&looks, 50.0, 400.0) * 0.020;
    assert!((0.019..=0.021).contains(&share), "{share}");
    assert_eq!(looks.last().map(|l| l.1.reason), Some(PaceReason::Budget));
}

#[test]
fn the_budget_holds_when_the_pace_follows_the_need() {
    let meets = Meets {
        cost: Span::from_millis(6),
        waits: (0.0, 400.0),
    };
    let looks = looks(&mut by_need(6), 400.0, meets);
    let share = rate(&looks, 50.0, 400.0) * 0.006;
    assert!((0.019..=0.021).contains(&share), "{share}");
}

#[test]
fn waits_are_seen_twice_a_second_whatever_a_look_costs() {
    for mut pace in [at_ease(10.0, 8), by_need(8)] {
        let meets = Meets {
            cost: Span::from_millis(300),
            waits: (0.0, 100.0),
        };
        let looks = looks(&mut pace, 100.0, meets);
        let taken = rate(&looks, 10.0, 100.0);
        // A look that is due while another one is under way comes late, or is missed.
        assert!((1.6..=2.05).contains(&taken), "{taken}");
        assert_eq!(looks.last().map(|l| l.1.period), Some(SLOWEST_IN_WAITS));
    }
}

#[test]
fn a_wait_ends_a_long_pause_with_the_look_that_sees_it() {
    let mut pace = at_ease(10.0, 9);
    pace.next(Span::ZERO);
    pace.spent(Span::ZERO, Span::from_secs(5), false);
    assert_eq!(pace.next(Span::ZERO).period, SLOWEST);
    pace.spent(Span::ZERO, Span::from_secs(5), true);
    let next = pace.next(Span::ZERO);
    assert_eq!((next.period, next.span), (SLOWEST_IN_WAITS, Span::ZERO));
    assert!(next.wait <= Duration::from_millis(750));
}

#[test]
fn the_pace_recovers_by_halves_within_half_a_minute() {
    let mut pace = at_ease(10.0, 10);
    pace.spent(Span::ZERO, Span::from_secs(5), false);
    let looks = looks(&mut pace, 60.0, NOTHING);
    let slow = |next: &Next| next.period > Span::from_millis(150);
    let recovered = looks.iter().find(|(_, next)| !slow(next));
    assert!(recovered.is_some_and(|(at, _)| *at < 30.0), "{recovered:?}");
    assert!((9.0..=11.0).contains(&rate(&looks, 50.0, 60.0)));
}

#[test]
fn a_cost_about_the_budget_does_not_make_the_pace_swing() {
    let mut pace = at_ease(10.0, 11);
    let settled = |pace: &Pace| pace.period().0;
    (0..50).for_each(|_| pace.spent(Span::ZERO, Span::from_millis(4), false));
    let before = settled(&pace);
    for n in 0..400 {
        pace.spent(Span::ZERO, Span::from_millis(3 + 2 * (n % 2)), false);
        assert!(settled(&pace) >= before && settled(&pace) < before + before);
    }
}

/// The looks that were due by `pace` so many milliseconds after a watch of this period ended.
fn due(pace: &Pace, period: i64, millis: i64) -> u32 {
    let last = Tick {
        at: Timestamp::default(),
        span: Span::ZERO,
        place: Span::ZERO,
        server: Span::ZERO,
        missed: 0,
        deadlock_timeout: Tick::DEADLOCK_TIMEOUT,
        period: Span::from_millis(period),
        pace: PaceReason::Unknown,
    };
    pace.due_since(&last, Timestamp::from_micros(millis * 1_000))
}

#[test]
fn between_looks_far_apart_lies_what_would_have_been_due() {
    let pace = at_ease(10.0, 12);
    for before in [100, 0] {
        let due = |millis| due(&pace, before, millis);
        assert_eq!([0, 60, 100, 149, 151, 1_000].map(due), [0, 0, 0, 0, 1, 9]);
        assert_eq!(due(-1_000), 0);
        assert_eq!(due(i64::MAX / 1_000), u32::MAX);
    }
}

#[test]
fn a_pace_that_an_earlier_watch_had_counts_for_as_long_as_it_would_have_been_held() {
    let pace = by_need(13);
    let due = |millis| due(&pace, 100, millis);
    assert_eq!([1_000, 10_000, 13_000].map(due), [9, 99, 102]);
}

#[test]
fn one_seed_gives_one_layout() {
    let layout = |seed| looks(&mut by_need(seed), 50.0, waiting(5.0, 6.0));
    assert_eq!(layout(4), layout(4));
    assert_ne!(layout(4), layout(5));
}

//! Quantiles of simulated workloads, whose true ones are known.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

/// How a workload's lengths are drawn, in seconds; the start is given.
type Draw<'a> = &'a dyn Fn(&mut StdRng, f64) -> f64;

/// Executions that arrive by chance over a minute, each with its start and its length.
fn arrive(rng: &mut StdRng, rate: f64, draw: Draw<'_>) -> Vec<(f64, f64)> {
    let mut executions = Vec::new();
    let mut at = -5.0;
    loop {
        at -= rng.random_range(1e-12..1.0_f64).ln() / rate;
        if at > MINUTE {
            return executions;
        }
        executions.push((at, draw(rng, at)));
    }
}

const MINUTE: f64 = 60.0;

/// Draws a length whose logarithm is normal, by its mean and the spread of that.
fn lognormal(rng: &mut StdRng, mean: f64, spread: f64) -> f64 {
    let (u, v): (f64, f64) = (rng.random_range(1e-12..1.0), rng.random());
    let normal = (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos();
    mean * (spread * normal - spread * spread / 2.0).exp()
}

fn span(seconds: f64) -> Span {
    #[expect(clippy::cast_possible_truncation, reason = "below some minutes")]
    let micros = (seconds * 1e6) as i64;
    Span::from_micros(micros)
}

/// Lays out looks, each with the time that it stands for, which `cell` gives by the instant.
fn looks(rng: &mut StdRng, cell: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
    let (mut looks, mut at) = (Vec::new(), 0.0);
    while at < MINUTE {
        looks.push((at + rng.random::<f64>() * cell(at), cell(at)));
        at += cell(at);
    }
    looks
}

/// What came of one run: estimates and bracket over the true quantile.
struct Told {
    estimate: f64,
    bracket: [f64; 2],
}

fn tell(executions: &[(f64, f64)], looks: &[(f64, f64)], beyond: f64) -> Told {
    let (mut sightings, mut lengths) = (Vec::new(), Vec::new());
    for (start, length) in executions {
        let seen = looks.partition_point(|(at, _)| at < start)
            ..looks.partition_point(|(at, _)| *at <= start + length);
        for (at, seconds) in &looks[seen.clone()] {
            sightings.push(Sighting {
                age: span(at - start),
                seconds: *seconds,
            });
        }
        if let (false, Some((next, _))) = (seen.is_empty(), looks.get(seen.end)) {
            lengths.push(Length {
                at_least: span(looks[seen.end - 1].0 - start),
                at_most: Some(span(next - start)),
            });
        }
    }
    let ended = |(start, length): &&(f64, f64)| (0.0..MINUTE).contains(&(start + length));
    let mut done: Vec<f64> = executions.iter().filter(ended).map(|e| e.1).collect();
    done.sort_by(|a, b| b.total_cmp(a));
    let count = beyond * done.len() as f64;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "some hundreds"
    )]
    let truth = done[count as usize];
    let gaps = looks.windows(2).map(|two| span(two[1].0 - two[0].0));
    let ages = Ages::of(sightings);
    let all = || lengths.iter().copied();
    let census = Census::of(all(), all(), gaps, 1_000_000);
    let (low, high) = census.bracket(count);
    let (told, _) = quantile(&ages, &census, count);
    Told {
        estimate: told.as_secs_f64() / truth,
        bracket: [Some(low), high].map(|at| at.map_or(f64::INFINITY, Span::as_secs_f64) / truth),
    }
}

/// Checks the p99 of a workload over many seeds: its bias and the spread of its error, which the
/// README gives, and its bracket.
fn check(name: &str, rate: f64, cell: impl Fn(f64) -> f64, [bias, spread]: [f64; 2], draw: Draw) {
    const SEEDS: u64 = 40;
    let runs: Vec<Told> = (0..SEEDS)
        .map(|seed| {
            let executions = arrive(&mut StdRng::seed_from_u64(seed), rate, draw);
            let looks = looks(&mut StdRng::seed_from_u64(1_000 + seed), &cell);
            tell(&executions, &looks, 0.01)
        })
        .collect();
    let mean = |of: &dyn Fn(&Told) -> f64| runs.iter().map(of).sum::<f64>() / SEEDS as f64;
    let off = mean(&|run| run.estimate - 1.0);
    let about = mean(&|run| (run.estimate - 1.0 - off).powi(2)).sqrt();
    assert!(off.abs() < bias, "{name}: {off} ± {about}");
    assert!(about < spread, "{name}: {off} ± {about}");
    let [low, high] = [0, 1].map(|end| move |run: &Told| run.bracket[end]);
    assert!(runs.iter().all(|run| low(run) <= 1.0 && 1.0 <= high(run)));
}

const fn ten_a_second(_: f64) -> f64 {
    0.1
}

fn calm(rng: &mut StdRng, _: f64) -> f64 {
    lognormal(rng, 0.0146, 1.17)
}

/// In one call of thirty a wait of some tenths of a second.
fn waits(rng: &mut StdRng, _: f64) -> f64 {
    let wait = rng.random::<f64>() < 0.03;
    lognormal(rng, 0.008, 0.5)
        + if wait {
            rng.random_range(0.1..0.5)
        } else {
            0.0
        }
}

/// Two seconds in ten in which everybody waits.
fn convoys(rng: &mut StdRng, at: f64) -> f64 {
    let wait = -0.12 * rng.random_range(1e-12..1.0_f64).ln();
    lognormal(rng, 0.006, 0.8) + if at.rem_euclid(10.0) < 2.0 { wait } else { 0.0 }
}

#[test]
fn the_p99_of_a_spread_workload_is_told_within_a_tenth() {
    check("lognormal", 200.0, ten_a_second, [0.02, 0.075], &calm);
}

#[test]
fn the_p99_of_rare_lock_waits_is_told_within_a_tenth() {
    check("lock waits", 200.0, ten_a_second, [0.01, 0.02], &waits);
}

#[test]
fn the_p99_of_what_is_much_faster_than_the_looks_is_told_within_a_tenth() {
    let fast: Draw = &|rng, _| lognormal(rng, 0.003, 0.6);
    check("fast", 500.0, ten_a_second, [0.01, 0.095], fast);
}

#[test]
fn the_p99_of_convoys_is_told_within_a_tenth() {
    check("convoys", 200.0, ten_a_second, [0.035, 0.02], &convoys);
}

#[test]
fn a_pace_that_changes_biases_no_quantile() {
    // Ten looks a second while the convoys last and for a while after, two otherwise.
    let by_need = |at: f64| if at.rem_euclid(10.0) < 4.0 { 0.1 } else { 0.5 };
    check("convoys, by need", 200.0, by_need, [0.01, 0.04], &convoys);
}

#[test]
fn with_one_look_a_second_a_minute_tells_a_fifth() {
    let once = |_: f64| 1.0;
    check(
        "lock waits, 1 a second",
        200.0,
        once,
        [0.055, 0.105],
        &waits,
    );
}

#[test]
fn a_gap_hides_no_more_than_fits_into_it() {
    let length = |at_least, at_most| Length {
        at_least: Span::from_millis(at_least),
        at_most: Some(Span::from_millis(at_most)),
    };
    let seen = [length(900, 950), length(300, 400), length(250, 260)];
    let gaps = [2_000, 100, 100].map(Span::from_millis);
    let census = |sessions| {
        let all = || seen.iter().copied();
        Census::of(all(), all(), gaps.into_iter(), sessions)
    };
    let millis = Span::from_millis;
    // One of two sessions may have hidden 20 executions of 100 ms in the long gap.
    assert_eq!(census(2).bracket(1.0), (millis(300), Some(millis(2_000))));
    assert_eq!(census(1).bracket(21.5), (millis(0), Some(millis(400))));
    assert_eq!(census(1).bracket(30.0), (millis(0), Some(millis(100))));
    assert_eq!(Census::default().bracket(1.0), (millis(0), None));
}

//! Recordings at a pace that follows the need: the figures are the same, whatever the pace.

use pgjam::sample::PaceReason;
use pgjam::sample::pace::{Cadence, Need};
use pgjam::time::Span;

use crate::conclude;
use crate::simulator::{Step, World, system, takes};
use crate::story::{DECIDE, SYNC, world};

/// Decisions on one row, and from 60 s on somebody who now and then keeps it for a while.
fn now_and_then(seed: u64) -> World {
    let hold = [takes(SYNC, 2.0, 0), Step::Away(700.0)];
    let systems = vec![
        system("decision", 6, -60.0, 200.0, &[takes(DECIDE, 2.0, 0)]),
        system("sync-12", 1, 60.1, 5_000.0, &hold),
    ];
    let need = Need {
        hold: Span::from_secs(1),
        ..Need::default()
    };
    World {
        cadence: Cadence::ByNeed(need),
        ..world(systems, 180.0, seed)
    }
}

#[test]
fn a_pace_by_need_biases_no_figure() {
    const SEEDS: u64 = 60;
    let mut told_less_true = Vec::new();
    let mut truths = 0.0;
    for seed in 0..SEEDS {
        let (recording, truth) = now_and_then(seed).run();
        let ticks = recording.snapshots.iter().map(|snapshot| snapshot.tick);
        let paces = [PaceReason::Quiet, PaceReason::Busy];
        let counts = paces.map(|pace| ticks.clone().filter(|tick| tick.pace == pace).count());
        assert!(counts.iter().all(|count| *count > 25), "{counts:?}");
        let diagnosis = conclude(&recording);
        let text = pgjam::statement::read(DECIDE.as_bytes()).text;
        let split = diagnosis
            .splits
            .iter()
            .find(|split| *split.victim.query == *text)
            .unwrap();
        let window = split.growth.window_after.map(|at| at.0);
        let exact = truth.mean_ms(DECIDE, window);
        truths += exact / SEEDS as f64;
        told_less_true.push(split.growth.after_ms - exact);
    }
    let count = told_less_true.len() as f64;
    let mean = told_less_true.iter().sum::<f64>() / count;
    let squares: f64 = told_less_true.iter().map(|x| (x - mean).powi(2)).sum();
    let error = (squares / (count - 1.0) / count).sqrt();
    println!("{mean:.3} ms off {truths:.3} ms per call, one standard error is {error:.3} ms");
    assert!(mean.abs() < 4.0 * error);
    assert!(error < 0.05 * truths);
}

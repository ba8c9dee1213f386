//! Hand-made diagnoses for the renderers' tests: the county rollout, a quiet server, a convoy.

use std::collections::BTreeMap;

use super::fixture_graph::{graph, row_queue, worst};
use super::fixture_replay::load_over_time;
use super::fixture_tail::{few_rows, tail};
use crate::attribution::finding::{
    Amplifier, Blocker, CallsBasis, Cause, CauseLock, Cost, Diagnosis, Effect, Event, EventEffect,
    Evidence, Finding, Group, Growth, Now, Part, Scope, Series, ServerFacts, Split, Tail, Verdict,
    Victim, WhatIf, Window,
};
use crate::graph::chain::Signature;
use crate::graph::episode::Episode;
use crate::graph::view::Party;
use crate::pg::Version;
use crate::time::{Rfc3339, Span, Timestamp};

pub(crate) const UPDATE_COUNTER: &str =
    "UPDATE public.state_counter SET total = total + $1, changed_at = now() WHERE counter_id = $2";
pub(crate) const SYNC_UPDATE: &str =
    "UPDATE public.state_counter SET total = total + $1 WHERE counter_id = $2 RETURNING total";
pub(crate) const PERMISSION: &str =
    "SELECT allowed FROM public.permission WHERE agency = $1 AND action = $2";

/// Gives the instant so many seconds after 2026-11-23 14:00:00 UTC.
pub(crate) fn at(seconds: f64) -> Rfc3339 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a fixture's seconds are small"
    )]
    let micros = (seconds * 1e6) as i64;
    Rfc3339(Timestamp::from_micros(1_795_442_400_000_000) + Span::from_micros(micros))
}

pub(crate) fn victim(system: &str, query: &str) -> Victim {
    Victim {
        system: Some(system.to_owned()),
        systems: vec![system.to_owned()],
        query_id: Some("-4816503718234098123".to_owned()),
        fingerprint: "9f3c21d07ab4e810".to_owned(),
        query: query.to_owned(),
        database: Some("state".to_owned()),
    }
}

pub(crate) fn growth() -> Growth {
    Growth {
        event: Some("e19".to_owned()),
        before_ms: 0.46,
        after_ms: 12.31,
        delta_ms: 11.85,
        ci95_ms: Some([10.7, 13.0]),
        p95_before_ms: None,
        p95_after_ms: Some(41.2),
        p99_before_ms: None,
        p99_after_ms: Some(97.3),
        calls_before: 3_038.0,
        calls_after: 2_911.0,
        calls_basis: CallsBasis::Counted,
        window_before: [at(120.0), at(180.0)],
        window_after: [at(186.0), at(300.0)],
    }
}

pub(crate) fn sync_holds_the_row() -> Cause {
    Cause {
        class: "row-lock",
        basis: "measured",
        table: Some("public.state_counter".to_owned()),
        lock: Some(CauseLock {
            kind: "transactionid".to_owned(),
            mode: "ShareLock".to_owned(),
        }),
        blocker: Some(Blocker {
            system: Some("sync-12".to_owned()),
            gid: None,
            table: Some("public.state_counter".into()),
            query: Some(SYNC_UPDATE.to_owned()),
            fingerprint: Some("51d2c0aa97e3b644".to_owned()),
            query_basis: Some("inferred"),
            state: BTreeMap::from([
                ("idle in transaction".to_owned(), 0.93),
                ("active".to_owned(), 0.05),
                ("wal".to_owned(), 0.02),
            ]),
        }),
        through: vec![Amplifier {
            system: Some("intake-07".to_owned()),
            query: Some(UPDATE_COUNTER.to_owned()),
        }],
        apportioned: None,
        event: Some("e19".to_owned()),
    }
}

fn shared(class: &'static str) -> Cause {
    Cause {
        class,
        basis: "apportioned",
        table: None,
        lock: None,
        blocker: None,
        through: Vec::new(),
        apportioned: None,
        event: None,
    }
}

fn rows_among_the_others() -> Cause {
    Cause {
        blocker: None,
        through: Vec::new(),
        event: None,
        ..sync_holds_the_row()
    }
}

/// The finding that the story ends on: sync-12 calls out inside its transaction.
pub(crate) fn proved() -> Finding {
    Finding {
        rank: 1,
        verdict: Verdict::Proved,
        scope: Scope::Culprit,
        rank_stability: Some(0.99),
        victim: victim("decision", UPDATE_COUNTER),
        growth: Some(growth()),
        cause: sync_holds_the_row(),
        ms_per_call: Some(11.24),
        ci95_ms_per_call: Some([10.1, 12.4]),
        share_of_growth: Some(0.949),
        db_seconds: 32.7,
        event_effect: Some(EventEffect {
            direct_ms: 11.24,
            marginal_ms: None,
            interaction_ms: None,
            group_marginal_ms: Some(11.85),
            group_interaction_ms: Some(0.43),
        }),
        what_if: Some(WhatIf {
            removed: "idle in transaction of sync-12".to_owned(),
            mean_ms: Some(1.86),
            p99_ms: Some(9.7),
        }),
        tail: tail(),
        share_of_slowest: Some(0.97),
        needs_minutes: None,
        evidence: Evidence {
            samples: 327,
            ticks: 291,
            longest_wait_ms: Some(162.0),
            blocks: [12, 22],
            rows_per_call: Some([1.0, 1.0]),
            history: None,
            blocks_per_call: Some([6.2, 6.4]),
            log: None,
        },
    }
}

/// Fourteen systems that hold one hot row in turn.
pub(crate) fn hot_row() -> Finding {
    Finding {
        rank: 2,
        verdict: Verdict::Supported,
        scope: Scope::Object,
        rank_stability: Some(0.86),
        victim: Victim {
            system: None,
            systems: (1..=14).map(|n| format!("intake-{n:02}")).collect(),
            ..victim("", UPDATE_COUNTER)
        },
        growth: Some(Growth {
            before_ms: 0.52,
            after_ms: 1.61,
            delta_ms: 1.09,
            ci95_ms: Some([0.71, 1.47]),
            calls_basis: CallsBasis::Pooled,
            calls_before: 8_120.0,
            calls_after: 31_044.0,
            ..growth()
        }),
        cause: rows_among_the_others(),
        ms_per_call: Some(0.87),
        ci95_ms_per_call: Some([0.55, 1.19]),
        share_of_growth: Some(0.80),
        db_seconds: 27.0,
        event_effect: None,
        what_if: None,
        tail: tail(),
        share_of_slowest: Some(0.61),
        needs_minutes: None,
        evidence: Evidence {
            samples: 270,
            ticks: 214,
            longest_wait_ms: Some(41.0),
            blocks: [12, 22],
            rows_per_call: Some([1.0, 1.0]),
            history: None,
            blocks_per_call: Some([6.2, 6.4]),
            log: None,
        },
    }
}

/// The victim's own plan got worse, and it is too early to say so.
pub(crate) fn unsure() -> Finding {
    Finding {
        rank: 3,
        verdict: Verdict::Inconclusive,
        scope: Scope::Own,
        rank_stability: None,
        victim: victim("decision", PERMISSION),
        growth: Some(Growth {
            before_ms: 0.11,
            after_ms: 0.19,
            delta_ms: 0.08,
            ci95_ms: Some([-0.02, 0.18]),
            ..growth()
        }),
        cause: Cause {
            basis: "inferred",
            ..shared("own-work")
        },
        ms_per_call: Some(0.07),
        ci95_ms_per_call: Some([-0.03, 0.17]),
        share_of_growth: Some(0.88),
        db_seconds: 0.2,
        event_effect: None,
        what_if: None,
        tail: Tail {
            before: Some(few_rows()),
            after: few_rows(),
        },
        share_of_slowest: None,
        needs_minutes: Some(4.2),
        evidence: Evidence {
            samples: 6,
            ticks: 6,
            longest_wait_ms: None,
            blocks: [4, 6],
            rows_per_call: Some([1.0, 1.0]),
            history: None,
            blocks_per_call: Some([6.2, 6.4]),
            log: None,
        },
    }
}

fn onboarding(n: usize, label: &str, seconds: f64, group: &str, effect: Effect) -> Event {
    Event {
        id: format!("e{n}"),
        kind: "system-onboarded",
        label: label.to_owned(),
        at: at(seconds),
        source: "detected",
        group: Some(group.to_owned()),
        calls_per_second: None,
        effect: Some(effect),
    }
}

fn harmless() -> Effect {
    Effect {
        verdict: Verdict::NoEffect,
        db_seconds: 0.1,
        share_of_waits: 0.002,
    }
}

/// Agencies 1, then 2 to 4, then 5 to 12, each with an intake and a sync.
fn events() -> Vec<Event> {
    let mut events = Vec::new();
    for agency in 1..=12_usize {
        let (group, from) = match agency {
            1 => ("g1", 60.0),
            2..=4 => ("g2", 120.0),
            _ => ("g3", 180.0),
        };
        for kind in ["intake", "sync"] {
            if (agency, kind) == (12, "sync") {
                continue;
            }
            let n = events.len() + 1;
            let seconds = from + 0.3 * n as f64;
            events.push(onboarding(
                n,
                &format!("{kind}-{agency:02}"),
                seconds,
                group,
                harmless(),
            ));
        }
    }
    let guilty = Effect {
        verdict: Verdict::Proved,
        db_seconds: 74.2,
        share_of_waits: 0.91,
    };
    events.push(onboarding(24, "sync-12", 185.12, "g3", guilty));
    events.sort_by_key(|event| event.at);
    for (n, event) in events.iter_mut().enumerate() {
        event.id = if event.label == "sync-12" {
            "e19".to_owned()
        } else {
            format!("e{}", n + 1 + usize::from(n + 1 >= 19))
        };
    }
    events
}

fn groups(events: &[Event]) -> Vec<Group> {
    let windows = [
        ("g1", [0.0, 60.0], [66.0, 120.0]),
        ("g2", [60.0, 120.0], [126.0, 180.0]),
        ("g3", [120.0, 180.0], [186.0, 300.0]),
    ];
    windows
        .map(|(id, before, after)| {
            let members: Vec<&Event> = events
                .iter()
                .filter(|event| event.group.as_deref() == Some(id))
                .collect();
            Group {
                id: id.to_owned(),
                events: members.iter().map(|event| event.id.clone()).collect(),
                from: members.first().map_or(at(0.0), |event| event.at),
                to: members.last().map_or(at(0.0), |event| event.at),
                window_before: Some(before.map(at)),
                window_after: Some(after.map(at)),
            }
        })
        .to_vec()
}

fn split() -> Split {
    let part = |cause, delta_ms, ci95_ms| Part {
        cause,
        delta_ms,
        ci95_ms: Some(ci95_ms),
        share_of_slowest: Some(if delta_ms > 1.0 { 0.97 } else { 0.01 }),
    };
    Split {
        victim: victim("decision", UPDATE_COUNTER),
        growth: growth(),
        parts: vec![
            part(sync_holds_the_row(), 11.24, [10.1, 12.4]),
            part(rows_among_the_others(), 0.43, [0.21, 0.65]),
            part(shared("wal"), 0.14, [0.05, 0.23]),
            part(shared("cpu"), 0.06, [-0.01, 0.13]),
            part(shared("own-work"), -0.05, [-0.12, 0.02]),
        ],
        residual_ms: 0.03,
        tail: tail(),
    }
}

fn series(label: &str, value: impl Fn(f64) -> f64) -> Series {
    let points = (0..60)
        .map(|bin| {
            let seconds = f64::from(bin) * 5.0;
            // The watch lost sight of the server for ten seconds.
            let seen = !(95.0..105.0).contains(&seconds);
            (at(seconds), seen.then(|| value(seconds)))
        })
        .collect();
    Series {
        label: label.to_owned(),
        points,
    }
}

/// Ripples a level as a pattern of traffic does, the same at every call.
fn ripple(level: f64, seconds: f64) -> f64 {
    level * (1.0 + 0.18 * (seconds * 0.7).sin() + 0.07 * (seconds * 2.3).cos())
}

/// The whole story: twelve agencies onboard in waves, and sync-12 calls out inside its transaction.
pub(crate) fn county_rollout() -> Diagnosis {
    let events = events();
    let step = |before: f64, after: f64| {
        move |seconds: f64| ripple(if seconds < 185.0 { before } else { after }, seconds)
    };
    Diagnosis {
        server: ServerFacts {
            version_num: Version(150_018),
            system_identifier: Some("7434985016341225867".to_owned()),
            in_recovery: false,
            address: "db-state.example:5432/state".to_owned(),
        },
        window: Window {
            from: at(0.0),
            to: at(300.0),
            ticks: 2_898,
            missed_ticks: 102,
            hz: 10.0,
            largest_gap_ms: 10_093.0,
            watched_ms: 289_800.0,
        },
        cost: Cost {
            server_ms_per_tick: 0.42,
            server_busy_share: 0.0042,
            backed_off: false,
        },
        now: Now {
            blocked_sessions: 14,
            blocked_systems: 7,
            longest_wait_ms: Some(162.0),
        },
        groups: groups(&events),
        events,
        findings: vec![proved(), hot_row(), unsure()],
        episodes: vec![episode()],
        more_episodes: 3,
        log: None,
        splits: vec![split()],
        unattributed_share: 0.04,
        named_share: 0.98,
        losses: BTreeMap::from([
            ("missed_ticks".to_owned(), 102),
            ("vanished_blockers".to_owned(), 31),
            ("truncated_texts".to_owned(), 0),
        ]),
        latency: vec![
            series("decision · UPDATE state_counter", step(0.46, 12.3)),
            series("14 systems · UPDATE state_counter", step(0.52, 1.6)),
            series("decision · SELECT permission", step(0.11, 0.19)),
        ],
        load: vec![
            series("row-lock · sync-12 · idle in transaction", step(0.0, 2.3)),
            series("row-lock · others", step(0.05, 0.4)),
            series("wal", step(0.08, 0.3)),
            series("cpu", step(0.2, 0.6)),
        ],
        load_over_time: load_over_time(),
        worst: Some(worst()),
        last: row_queue(),
    }
}

/// What sync-12 did, as one story.
fn episode() -> Episode {
    Episode {
        signature: Signature {
            id: "8c1f0d4be0a5c3f7".to_owned(),
            text: "sync-12 holds rows of public.state_counter".to_owned(),
        },
        table: Some("public.state_counter".into()),
        start: at(171.2),
        peak: at(214.7),
        end: at(299.9),
        open: false,
        looks: 1_204,
        peak_behind: 14,
        longest_ms: Some(412.0),
        waited_s: 389.0,
        roots: 1,
        root: Some(Party {
            pid: Some(4000),
            gid: None,
        }),
        systems: [("decision".to_owned(), 5), ("intake-02".to_owned(), 3)].into(),
    }
}

/// A server on which nobody waited for anybody.
pub(crate) fn quiet() -> Diagnosis {
    Diagnosis {
        window: Window {
            ticks: 3_000,
            missed_ticks: 0,
            largest_gap_ms: 121.0,
            watched_ms: 300_000.0,
            ..county_rollout().window
        },
        now: Now {
            blocked_sessions: 0,
            blocked_systems: 0,
            longest_wait_ms: None,
        },
        groups: Vec::new(),
        events: Vec::new(),
        findings: Vec::new(),
        episodes: Vec::new(),
        more_episodes: 0,
        log: None,
        splits: Vec::new(),
        unattributed_share: 0.0,
        losses: BTreeMap::new(),
        worst: None,
        last: graph(Vec::new(), Vec::new()),
        ..county_rollout()
    }
}

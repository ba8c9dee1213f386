//! The metrics: right figures, in OpenMetrics, bounded whatever the server does.

use std::collections::{BTreeMap, BTreeSet};

use pgjam::recording::Size;
use pgjam::sample::Loss;

use crate::seen::jam;
use crate::stage::{Stage, loopback, see};

/// Reads an exposition as the text format of OpenMetrics 1.0 has it, as far as it is used here.
#[track_caller]
pub(crate) fn parsed(text: &str) -> BTreeMap<String, f64> {
    let body = text.strip_suffix("# EOF\n").expect("it ends in # EOF");
    let mut samples = BTreeMap::new();
    let mut families = BTreeSet::new();
    let (mut family, mut kind, mut has_help) = ("", "", false);
    for line in body.lines() {
        if let Some(told) = line.strip_prefix("# ") {
            let mut words = told.splitn(3, ' ');
            let (what, name) = (words.next().unwrap(), words.next().unwrap());
            let rest = words.next().unwrap();
            if name != family {
                assert!(families.insert(name), "{name} comes twice");
                (family, kind, has_help) = (name, "", false);
            }
            match what {
                "HELP" => has_help = !rest.is_empty(),
                "TYPE" => kind = rest,
                "UNIT" => assert!(name.ends_with(&format!("_{rest}")), "{line}"),
                other => panic!("{other}"),
            }
            continue;
        }
        assert!(
            has_help && !kind.is_empty(),
            "{line} stands before its family"
        );
        let (series, value) = line.rsplit_once(' ').unwrap();
        let name = series.split('{').next().unwrap();
        let suffix = match kind {
            "counter" => "_total",
            "info" => "_info",
            "gauge" => "",
            other => panic!("{other}"),
        };
        assert_eq!(name, format!("{family}{suffix}"));
        labels(series.strip_prefix(name).unwrap());
        let value: f64 = value.parse().unwrap();
        assert!(value >= 0.0, "{line}");
        assert!(
            samples.insert(series.to_owned(), value).is_none(),
            "{series} comes twice"
        );
    }
    samples
}

/// Reads `{a="b",c="d"}`, in which `\`, `"` and a line end stand behind a `\`.
#[track_caller]
fn labels(text: &str) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    let Some(mut rest) = text.strip_prefix('{') else {
        assert_eq!(text, "");
        return labels;
    };
    while rest != "}" {
        let (name, after) = rest.split_once("=\"").unwrap();
        assert!(
            name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
            "{name}"
        );
        let mut value = String::new();
        let mut characters = after.chars();
        loop {
            match characters.next().unwrap() {
                '"' => break,
                '\\' => value.push(match characters.next().unwrap() {
                    'n' => '\n',
                    escaped @ ('\\' | '"') => escaped,
                    other => panic!("\\{other} is no escape"),
                }),
                plain => value.push(plain),
            }
        }
        assert!(value.chars().count() <= 128, "{value}");
        assert!(labels.insert(name.to_owned(), value).is_none());
        rest = characters.as_str();
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    labels
}

#[track_caller]
fn scraped(stage: &Stage) -> BTreeMap<String, f64> {
    let answer = stage.get("/metrics").is(200);
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(answer.field("content-type"), kind);
    parsed(&answer.body)
}

#[track_caller]
fn near(samples: &BTreeMap<String, f64>, series: &str, expected: f64) {
    let value = samples.get(series);
    let value = value.unwrap_or_else(|| panic!("{series} is not in {samples:#?}"));
    assert!((value - expected).abs() < 1e-9, "{series} is {value}");
}

#[test]
fn a_jam_counts_where_it_belongs() {
    let stage = Stage::jammed(&loopback());
    let prod = stage.live.server("prod").unwrap();
    let kind = "timed_out_ticks".into();
    let at = prod.now();
    prod.lost(&Loss { at, kind, count: 2 });
    prod.recorded(Size {
        raw: 4_096,
        rollup: 512,
        kept: 64,
    });
    prod.recording_failed("no space left on device");
    let samples = scraped(&stage);
    // Three ticks of 100 ms, with two sessions that waited for one of sync-12.
    let wait = "pgjam_lock_wait_seconds_total{server=\"prod\",class=\"row-lock\",\
                table=\"public.hot\",blocker=\"session\",blocking_system=\"sync-12\"}";
    near(&samples, wait, 0.6);
    for (series, expected) in [
        (
            "pgjam_db_time_seconds_total{server=\"prod\",class=\"row-lock\"}",
            0.6,
        ),
        ("pgjam_active_sessions{server=\"prod\"}", 2.0),
        ("pgjam_blocked_sessions{server=\"prod\"}", 2.0),
        ("pgjam_up{server=\"prod\"}", 1.0),
        ("pgjam_ticks_total{server=\"prod\"}", 3.0),
        ("pgjam_missed_ticks_total{server=\"prod\"}", 0.0),
        ("pgjam_looking_seconds_total{server=\"prod\"}", 0.003),
        ("pgjam_watched_seconds_total{server=\"prod\"}", 0.3),
        (
            "pgjam_losses_total{server=\"prod\",kind=\"timed_out_ticks\"}",
            2.0,
        ),
        (
            "pgjam_recording_size_bytes{server=\"prod\",class=\"raw\"}",
            4_096.0,
        ),
        (
            "pgjam_recording_size_bytes{server=\"prod\",class=\"rollup\"}",
            512.0,
        ),
        (
            "pgjam_recording_size_bytes{server=\"prod\",class=\"kept\"}",
            64.0,
        ),
        ("pgjam_recording_errors_total{server=\"prod\"}", 1.0),
        ("pgjam_in_recovery{server=\"prod\"}", 0.0),
    ] {
        near(&samples, series, expected);
    }
    let build = format!(
        "pgjam_build_info{{version=\"{}\"}}",
        env!("CARGO_PKG_VERSION")
    );
    near(&samples, &build, 1.0);
    assert!(samples.contains_key("pgjam_last_tick_timestamp_seconds{server=\"prod\"}"));

    prod.disconnected("gone");
    let samples = scraped(&stage);
    near(&samples, "pgjam_up{server=\"prod\"}", 0.0);
    near(&samples, "pgjam_disconnects_total{server=\"prod\"}", 1.0);
    // "Nobody waits" and "nobody looks" are different.
    assert!(!samples.contains_key("pgjam_blocked_sessions{server=\"prod\"}"));
}

#[test]
fn names_that_would_break_out_do_not() {
    let stage = Stage::empty(&loopback());
    let names = [
        "a\"} 1\n# EOF\n",
        "\\",
        "\u{202e}\u{1b}[2J",
        "é\"",
        &"x".repeat(10_000),
    ];
    let server = stage.watch("a \"server\"\\\n");
    for name in names {
        let mut seen = jam(0, &["decision"]);
        seen.sessions[0].application_name = name.into();
        see(&server, &seen);
    }
    let waits = scraped(&stage)
        .keys()
        .filter(|series| series.starts_with("pgjam_lock_wait_seconds_total"))
        .count();
    assert!(waits > names.len() / 2, "{waits}");
}

#[test]
fn ten_thousand_systems_are_two_hundred_series_and_their_sum_is_whole() {
    let stage = Stage::empty(&loopback());
    let server = stage.watch("prod");
    for n in 0..10_000 {
        let mut seen = jam(n, &["decision"]);
        seen.sessions[0].application_name = format!("pod-{n}-x").into();
        see(&server, &seen);
    }
    let samples = scraped(&stage);
    let is_wait = |series: &str| series.starts_with("pgjam_lock_wait_seconds_total");
    let waits: Vec<f64> = samples
        .iter()
        .filter(|(series, _)| is_wait(series))
        .map(|(_, value)| *value)
        .collect();
    assert_eq!(waits.len(), 201);
    assert!((waits.iter().sum::<f64>() - 1_000.0).abs() < 1e-6);
    for n in 0..1_000 {
        let kind = format!("loss_{n}").into();
        let at = server.now();
        server.lost(&Loss { at, kind, count: 1 });
    }
    let losses = scraped(&stage);
    let losses = losses
        .iter()
        .filter(|(series, _)| series.starts_with("pgjam_losses"));
    assert!((losses.clone().map(|(_, count)| count).sum::<f64>() - 1_000.0).abs() < 1e-9);
    assert_eq!(losses.count(), 65);
}

//! The pictures, on reports as they should be and as they should not.

use crate::attribution::finding::{Diagnosis, Series, Verdict};
use crate::graph::view::GraphView;
use crate::report::fixture::{county_rollout, quiet};
use crate::report::fixture_graph::{self, convoy, node, prepared, row_edge, waiter};
use crate::report::palette::BLAME;
use crate::report::{Report, dot};

use super::*;

/// Texts that break whatever does not escape them.
const HOSTILE: &str =
    "'\"]]><script>alert(1)</script></style></svg>&amp;--\0\u{1}\u{fffe}\u{202e}\u{1b}[31m";

/// Puts hostile text in every place of a diagnosis that a picture shows.
fn hostile() -> Diagnosis {
    let mut diagnosis = county_rollout();
    for event in &mut diagnosis.events {
        event.label = HOSTILE.to_owned();
    }
    for series in diagnosis.latency.iter_mut().chain(&mut diagnosis.load) {
        series.label = HOSTILE.to_owned();
    }
    for split in &mut diagnosis.splits {
        split.victim.query = HOSTILE.repeat(2_000);
        for part in &mut split.parts {
            part.cause.table = Some(HOSTILE.to_owned());
        }
    }
    diagnosis.worst = Some(hostile_graph());
    diagnosis
}

fn hostile_graph() -> GraphView {
    let mut view = fixture_graph::worst();
    for node in &mut view.nodes {
        node.system = Some(HOSTILE.to_owned());
        node.query = Some(HOSTILE.repeat(2_000));
        node.state = HOSTILE.to_owned();
        node.wait_event = Some(HOSTILE.to_owned());
    }
    for edge in &mut view.edges {
        edge.lock.table = Some(HOSTILE.to_owned());
        edge.lock.mode = Some(HOSTILE.to_owned());
        edge.lock.target = HOSTILE.to_owned();
    }
    view
}

/// Keeps the first `bins` points of each series.
fn cut_to(bins: usize) -> Diagnosis {
    let mut diagnosis = county_rollout();
    for series in diagnosis.latency.iter_mut().chain(&mut diagnosis.load) {
        series.points.truncate(bins);
    }
    diagnosis
}

fn every_picture(diagnosis: Diagnosis) -> Vec<String> {
    let report = Report::new(diagnosis);
    let mut pictures = Vec::new();
    for width in [0, NARROW, WIDE] {
        pictures.push(latency_at(&report, width));
        pictures.push(load_at(&report, width));
        pictures.extend(
            report
                .diagnosis
                .splits
                .iter()
                .map(|split| waterfall_at(&report, split, width)),
        );
    }
    pictures.extend(report.diagnosis.worst.as_ref().map(graph));
    pictures.push(graph(&report.diagnosis.last));
    pictures
}

/// Parses a picture and looks at what every one of them must have.
fn check(picture: &str) {
    let parsed = roxmltree::Document::parse(picture);
    let document = parsed.unwrap_or_else(|error| panic!("{error} in {picture}"));
    let svg = document.root_element();
    assert_eq!(svg.attribute("role"), Some("img"));
    let names: Vec<&str> = svg
        .children()
        .filter(roxmltree::Node::is_element)
        .map(|n| n.tag_name().name())
        .collect();
    assert_eq!(names[..3], ["title", "desc", "style"], "{picture}");
    for element in document.descendants().filter(roxmltree::Node::is_element) {
        let name = element.tag_name().name();
        assert!(
            !matches!(name, "script" | "foreignObject" | "image" | "a" | "use"),
            "{name}"
        );
        for attribute in element.attributes() {
            let (key, value) = (attribute.name(), attribute.value());
            assert!(
                !key.starts_with("on") && key != "href" && key != "id",
                "{key}={value}"
            );
            assert!(
                !value.contains("NaN") && !value.contains("inf"),
                "{key}={value}"
            );
        }
    }
}

fn check_all(diagnosis: Diagnosis) {
    for picture in every_picture(diagnosis) {
        check(&picture);
    }
}

#[test]
fn the_story_is_drawn_as_well_formed_xml() {
    check_all(county_rollout());
}

#[test]
fn hostile_names_stay_text() {
    check_all(hostile());
}

#[test]
fn a_quiet_server_and_a_watch_of_one_tick_can_be_drawn() {
    for diagnosis in [quiet(), cut_to(0), cut_to(1), cut_to(2)] {
        check_all(diagnosis);
    }
    let nothing = Diagnosis {
        latency: Vec::new(),
        load: Vec::new(),
        ..quiet()
    };
    check_all(nothing);
}

#[test]
fn figures_that_are_no_numbers_leave_no_trace() {
    let mut diagnosis = county_rollout();
    let wrong = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, -1e300];
    for series in diagnosis.latency.iter_mut().chain(&mut diagnosis.load) {
        for (point, value) in series.points.iter_mut().zip(wrong) {
            point.1 = Some(value);
        }
    }
    for (part, value) in diagnosis.splits[0].parts.iter_mut().zip(wrong) {
        part.delta_ms = value;
        part.ci95_ms = Some([value, value]);
    }
    check_all(diagnosis);
}

#[test]
fn a_gap_in_the_watch_is_a_gap_in_the_line() {
    let lines = |diagnosis| {
        let picture = latency(&Report::new(diagnosis));
        let document = roxmltree::Document::parse(&picture).unwrap();
        let lines = document
            .descendants()
            .filter(|n| n.attribute("stroke-width") == Some("3"));
        lines.count()
    };
    let mut unbroken = county_rollout();
    for Series { points, .. } in &mut unbroken.latency {
        for point in points {
            point.1 = point.1.or(Some(0.0));
        }
    }
    assert_eq!(lines(county_rollout()), 2, "the story has one gap");
    assert_eq!(lines(unbroken), 1);
}

#[test]
fn the_blamed_event_is_named_and_the_others_are_counted() {
    let picture = latency(&Report::new(county_rollout()));
    assert!(picture.contains("sync-12 onboards"), "{picture}");
    assert!(picture.contains("systems onboard"), "{picture}");
}

#[test]
fn a_part_is_laid_at_a_door_only_by_a_finding_about_that_very_part() {
    let drawn = |change: fn(&mut Diagnosis)| {
        let mut diagnosis = county_rollout();
        change(&mut diagnosis);
        let report = Report::new(diagnosis);
        waterfall(&report, &report.diagnosis.splits[0])
    };
    let blame = |picture: &str| {
        let (_, body) = picture.split_once("</style>").unwrap();
        body.contains(BLAME.light)
    };
    let named = drawn(|_| ());
    assert!(named.contains("sync-12, idle in transaction"), "{named}");
    assert!(blame(&named));
    let nobody: [fn(&mut Diagnosis); 5] = [
        |diagnosis| diagnosis.findings[0].verdict = Verdict::Inconclusive,
        |diagnosis| diagnosis.findings.clear(),
        // What is proved of another window, table or blocker proves nothing here.
        |diagnosis| {
            if let Some(growth) = &mut diagnosis.findings[0].growth {
                growth.window_after = growth.window_before;
            }
        },
        |diagnosis| diagnosis.findings[0].cause.table = None,
        |diagnosis| {
            if let Some(blocker) = &mut diagnosis.findings[0].cause.blocker {
                blocker.system = Some("sync-11".to_owned());
            }
        },
    ];
    for change in nobody {
        let picture = drawn(change);
        assert!(!picture.contains("sync-12"), "{picture}");
        assert!(!blame(&picture), "{picture}");
    }
}

#[test]
fn a_suspicion_marks_no_arrival_as_blamed() {
    let mut diagnosis = county_rollout();
    for finding in &mut diagnosis.findings {
        finding.verdict = Verdict::Inconclusive;
    }
    let picture = latency(&Report::new(diagnosis));
    assert!(!picture.contains("sync-12 onboards"), "{picture}");
}

#[test]
fn equal_input_gives_equal_bytes() {
    assert_eq!(
        every_picture(county_rollout()),
        every_picture(county_rollout())
    );
    assert_eq!(every_picture(hostile()), every_picture(hostile()));
}

/// Counts the boxes of a graph's picture.
fn boxes(picture: &str) -> usize {
    picture.matches("<g>").count()
}

#[test]
fn six_hundred_waiters_on_one_row_are_a_handful_of_boxes() {
    let picture = graph(&convoy(600));
    check(&picture);
    assert!(boxes(&picture) <= 5, "{} boxes", boxes(&picture));
    assert!(picture.contains(" × "), "no count of the folded waiters");
}

#[test]
fn a_cycle_is_drawn_whole() {
    let names = [(1, 2), (2, 3), (3, 1)];
    let nodes = (1..=3)
        .map(|pid| waiter(pid, "a", "UPDATE t", 900.0))
        .collect();
    let edges = names
        .map(|(a, b)| row_edge(a, b, "transactionid", 900.0))
        .to_vec();
    let mut view = fixture_graph::graph(nodes, edges);
    view.cycles = vec![vec![1, 2, 3]];
    let picture = graph(&view);
    check(&picture);
    assert_eq!(boxes(&picture), 3);
    assert_eq!(picture.matches("<polygon").count(), 3);
    assert!(picture.contains("deadlock"));
}

#[test]
fn one_node_and_a_prepared_transaction_can_be_drawn() {
    let alone = fixture_graph::graph(vec![node(1, "a", "active", "SELECT 1")], Vec::new());
    check(&graph(&alone));
    let prepared = fixture_graph::graph(vec![prepared(HOSTILE)], Vec::new());
    check(&graph(&prepared));
}

#[test]
fn five_hundred_systems_are_cut_to_the_heaviest_and_the_cut_is_told() {
    // Pairs that have nothing in common with each other: nothing folds.
    let mut nodes = Vec::new();
    let mut edges = Vec::new();
    for n in 0..250 {
        nodes.push(node(
            2 * n + 1,
            &format!("holder-{}", name(n)),
            "idle in transaction",
            "x",
        ));
        nodes.push(waiter(
            2 * n + 2,
            &format!("waiter-{}", name(n)),
            "x",
            f64::from(n),
        ));
        edges.push(row_edge(
            2 * n + 2,
            2 * n + 1,
            "transactionid",
            f64::from(n),
        ));
    }
    let picture = graph(&fixture_graph::graph(nodes, edges));
    check(&picture);
    assert!(boxes(&picture) <= 60, "{} boxes", boxes(&picture));
    assert!(
        picture.contains("440 further sessions are not drawn"),
        "{picture}"
    );
}

/// Spells a number in letters, so that no two systems are of one family.
fn name(n: i32) -> String {
    n.to_string()
        .chars()
        .map(|digit| char::from(digit as u8 + b'a' - b'0'))
        .collect()
}

#[test]
fn dot_quotes_every_name() {
    let rendered = dot::render(&hostile_graph());
    // Outside its quotes a DOT file of ours has nothing foreign, and every line closes its own.
    for line in rendered.lines() {
        let inert = line.replace("\\\\", "").replace("\\\"", "");
        assert_eq!(inert.matches('"').count() % 2, 0, "{line}");
        let outside: String = inert.split('"').step_by(2).collect();
        assert!(!outside.contains("script"), "{line}");
    }
    assert!(!rendered.contains('\0'));
}

#[test]
fn dot_has_every_node_and_every_edge() {
    let view = fixture_graph::worst();
    let rendered = dot::render(&view);
    assert_eq!(rendered.matches(" -> ").count(), view.edges.len());
    for node in &view.nodes {
        let pid = node.party.pid.unwrap();
        assert!(
            rendered.contains(&format!("  \"pid {pid}\" [label=")),
            "{pid}"
        );
    }
}

//! The page in a real browser: nothing foreign executes, nothing sticks out, everything works.
//!
//! It lives beside the renderers because the story it prints is a fixture of
//! theirs. Chromium is started for each test with a profile of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::fixture::{county_rollout, quiet};
use super::fixture_graph;
use super::fixture_replay::{moment, replay};
use super::{Replay, Report, html};
use crate::attribution::Moment;
use crate::attribution::finding::LoadCell;

const FLAGS: [&str; 11] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--virtual-time-budget=2000",
    "--timeout=60000",
];

fn chromium() -> PathBuf {
    let places = [
        "/usr/bin/chromium",
        "/usr/bin/chromium-browser",
        "/usr/bin/google-chrome",
    ];
    places
        .into_iter()
        .map(PathBuf::from)
        .find(|place| place.exists())
        .expect("this test needs a real Chromium: apt-get install chromium (looked in /usr/bin)")
}

/// Loads a page and gives back its document as the browser sees it after loading.
fn dom(page: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("page.html");
    std::fs::write(&file, page).unwrap();
    let output = Command::new(chromium())
        .args(FLAGS)
        .arg(format!(
            "--user-data-dir={}",
            folder.path().join("profile").display()
        ))
        .arg("--dump-dom")
        .arg(address(&file))
        .output()
        .unwrap();
    let dom = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        dom.contains("</html>"),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    dom
}

fn address(file: &Path) -> String {
    format!("file://{}", file.display())
}

/// What an attacker would like to run, in every place that takes foreign text.
fn hostile() -> Report {
    let attack = "\"'></title></style></pre></svg><script>document.title='owned'</script>\
                  <img src=x onerror=\"document.title='owned'\">{{7*7}}\0\u{fffe}\u{202e}";
    let text = || attack.to_owned();
    let mut diagnosis = county_rollout();
    diagnosis.server.address = text();
    for event in &mut diagnosis.events {
        event.label = text();
    }
    for series in diagnosis.latency.iter_mut().chain(&mut diagnosis.load) {
        series.label = text();
    }
    for finding in &mut diagnosis.findings {
        finding.victim.query = text();
        finding.victim.system = Some(text());
        finding.cause.table = Some(text());
        if let Some(blocker) = &mut finding.cause.blocker {
            blocker.system = Some(text());
            blocker.query = Some(text());
        }
    }
    for split in &mut diagnosis.splits {
        split.victim.query = text();
        for part in &mut split.parts {
            part.cause.table = Some(text());
        }
    }
    let mut worst = fixture_graph::worst();
    for node in &mut worst.nodes {
        node.system = Some(text());
        node.query = Some(text());
    }
    diagnosis.worst = Some(worst);
    diagnosis.losses.insert(text(), 1);
    Report::new(diagnosis)
}

/// The same texts, for the script to put into the page.
fn hostile_moments() -> impl Iterator<Item = Moment> {
    let worst = hostile().diagnosis.worst.unwrap();
    std::iter::once(moment(10.0, worst))
}

/// Has a page driven as a reader would, by pointer and keyboard, and audited with axe.
fn drive(page: &str, story: &str) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("page.html");
    std::fs::write(&file, page).unwrap();
    let driven = Command::new("sh")
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/browser/drive.sh"
        ))
        .args(["report.cjs", &address(&file), story])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&driven.stdout);
    let failed = String::from_utf8_lossy(&driven.stderr);
    assert!(driven.status.success(), "{said}{failed}");
}

#[test]
fn a_reader_turns_cuts_and_replays_the_report() {
    let page = html::render(&Report::new(county_rollout()), replay());
    drive(&page, "rollout");
}

#[test]
fn a_quiet_page_offers_no_replay_and_breaks_nothing() {
    let page = html::render(&Report::new(quiet()), Replay::default());
    drive(&page, "quiet");
}

#[test]
fn a_hostile_report_runs_nothing_in_a_browser() {
    let page = html::render(&hostile(), Replay::of(hostile_moments()));
    let seen = dom(&page);
    assert!(!seen.contains("<title>owned"), "a script of the report ran");
    // Nothing of it became an element either, policy or not: the scripts are our own two.
    assert_eq!(
        seen.matches("<script").count(),
        2,
        "the report's text became markup"
    );
    assert!(!seen.contains("<img"), "the report's text became markup");
    // All of it is there, down to the last line, and our own script got through.
    assert!(seen.contains("This file loads nothing and sends nothing."));
    assert!(
        seen.contains("data-ready=\"yes\""),
        "the page's own script did not run"
    );
}

#[test]
fn the_page_would_be_inert_even_if_a_script_slipped_in() {
    let script = "<script>document.title='owned'</script></body>";
    let page = html::render(&Report::new(county_rollout()), replay());
    assert!(!dom(&page.replace("</body>", script)).contains("<title>owned"));
    // The probe itself works: without the policy the script does run.
    let open = page
        .replace("Content-Security-Policy", "X-None")
        .replace("</body>", script);
    assert!(dom(&open).contains("<title>owned"));
}

#[test]
fn hostile_texts_break_no_view_at_any_width() {
    let page = html::render(&hostile(), Replay::of(hostile_moments()));
    drive(&page, "hostile");
}

#[test]
fn five_hundred_systems_and_one_look_are_a_page_as_well() {
    let mut diagnosis = county_rollout();
    let [first, ..] = &diagnosis.load_over_time.cells[..] else {
        panic!("the fixture has a load");
    };
    let cell = |n: usize| LoadCell {
        system: Some(format!("agency-{n}")),
        bins: vec![(0, 0.1)],
        ..first.clone()
    };
    diagnosis.load_over_time.cells = (0..500).map(cell).collect();
    diagnosis.load_over_time.watched = vec![true];
    let mut nodes = vec![fixture_graph::node(1, "sync", "active", "SELECT 1")];
    let mut edges = Vec::new();
    for pid in 2..502 {
        // Letters, since systems that differ in their numbers alone are alike.
        let letters =
            [pid / 26 % 26, pid % 26].map(|n| char::from(b'a' + u8::try_from(n).unwrap()));
        let system = format!("agency {}", letters.iter().collect::<String>());
        nodes.push(fixture_graph::waiter(pid, &system, "SELECT 1", 50.0));
        edges.push(fixture_graph::row_edge(pid, 1, "transactionid", 50.0));
    }
    let view = fixture_graph::graph(nodes, edges);
    let page = html::render(
        &Report::new(diagnosis),
        Replay::of(std::iter::once(moment(0.0, view))),
    );
    drive(&page, "many");
}

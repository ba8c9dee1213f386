//! The page's own promises; what a browser makes of it is in `browser_tests`.

use crate::attribution::finding::{LoadOverTime, Verdict};
use crate::report::fixture::{county_rollout, quiet};
use crate::report::fixture_replay::replay;
use crate::report::{Replay, Report, html};

#[test]
fn equal_input_gives_equal_bytes() {
    let render = || html::render(&Report::new(county_rollout()), replay());
    assert_eq!(render(), render());
}

#[test]
fn the_first_screen_says_the_headline_and_shows_the_growth() {
    let report = Report::new(county_rollout());
    let page = html::render(&report, Replay::default());
    let (first, _) = page.split_once("id=\"standing\"").unwrap();
    assert!(first.contains("<h1>"));
    assert!(first.contains("Mean latency of the heaviest victims"));
    assert!(first.contains("Where the growth comes from"));
}

#[test]
fn a_quiet_server_gets_a_whole_page() {
    let page = html::render(&Report::new(quiet()), Replay::default());
    assert!(page.contains("Nobody was seen waiting for a lock."));
    assert!(page.trim_end().ends_with("</html>"));
}

#[test]
fn a_megabyte_of_sql_is_cut_and_the_cut_is_told() {
    let mut diagnosis = county_rollout();
    diagnosis.findings[0].victim.query = "é".repeat(1_000_000);
    let page = html::render(&Report::new(diagnosis), Replay::default());
    assert!(page.contains("Cut after 4000 of 1000000 characters"));
    assert!(page.len() < 1_000_000, "{} bytes", page.len());
}

#[test]
fn a_waterfall_says_which_windows_it_compares() {
    let page = html::render(&Report::new(county_rollout()), Replay::default());
    assert!(
        page.contains("before: 14:02:00 to 14:03:00; after: 14:03:06 to 14:05:00 UTC"),
        "{page}"
    );
}

#[test]
fn a_suspicion_names_nobody_in_a_waterfall_or_by_their_statement() {
    let mut diagnosis = county_rollout();
    diagnosis.events.clear();
    // Who held up whom is an observation and no verdict: the graph, the episodes and the load stay.
    diagnosis.worst = None;
    diagnosis.episodes.clear();
    diagnosis.load.clear();
    diagnosis.load_over_time = LoadOverTime::default();
    for finding in &mut diagnosis.findings {
        finding.verdict = Verdict::Inconclusive;
    }
    diagnosis.last = quiet().last;
    let page = html::render(&Report::new(diagnosis), Replay::default());
    assert!(!page.contains("sync-12"), "{page}");
    assert!(!page.contains("Who held it"), "{page}");
}

#[test]
fn small_shares_read_as_they_do_on_the_terminal() {
    let mut diagnosis = county_rollout();
    diagnosis.unattributed_share = 0.004;
    let page = html::render(&Report::new(diagnosis), Replay::default());
    assert!(page.contains("<dd>under 1 %</dd>"), "{page}");
    assert!(!page.contains("0.40 %"));
}

#[test]
fn the_page_asks_for_nothing_from_elsewhere() {
    let page = html::render(&Report::new(county_rollout()), Replay::default());
    for word in ["src=", "@import", "url(", "<link", "connect-src"] {
        assert!(!page.contains(word), "{word}");
    }
    assert!(
        page.contains("default-src &#39;none&#39;; script-src &#39;sha256-"),
        "a policy without a hole"
    );
    // The namespace of SVG is a name, not an address.
    let addresses = page.replace("http://www.w3.org/2000/svg", "");
    // A link is followed by who clicks on it.
    let addresses = addresses.replace("<a href=\"https://www.postgresql.org/docs/", "");
    assert!(!addresses.contains("http://") && !addresses.contains("https://"));
}

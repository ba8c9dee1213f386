//! The score as text.

use std::fmt::Write as _;

use super::super::scenario::Without;
use super::figures::{MANY_BLOCKS, MANY_ROWS};
use super::{Answer, Errors, GroupTotal, Run, Said, Score, Share, Shares, Total};
use crate::attribution::finding::NotTold;
use crate::report::figures;

/// Words a score for people.
#[must_use]
pub fn render(score: &Score) -> String {
    let mut out = String::new();
    for run in &score.runs {
        of_run(&mut out, run);
    }
    let runs = score.runs.len();
    let _ = write!(out, "\n{runs} runs");
    if score.not_come_about > 0 {
        let _ = write!(
            out,
            ", {} of them not counted: their victim did not get slower",
            score.not_come_about
        );
    }
    out.push_str(".\n");
    for failed in &score.failed {
        let _ = writeln!(out, "failed: {failed}");
    }
    of_methods(&mut out, &score.methods);
    of_groups(&mut out, &score.groups);
    of_figures(&mut out, score);
    of_what_ifs(&mut out, score);
    of_blame(&mut out, score);
    of_placebos(&mut out, score);
    out
}

/// Words one run in two lines: what was so, and what was said of it.
fn of_run(out: &mut String, run: &Run) {
    let milliseconds = |ms: Option<f64>| ms.map_or_else(|| "–".to_owned(), figures::milliseconds);
    let Some(told) = run.methods.first() else {
        return;
    };
    let judged = &told.judged;
    let word = if !run.came_about {
        "untrue"
    } else if run.family == super::Family::Null {
        match (judged.names, judged.alarms) {
            (true, _) => "ACCUSED",
            (false, true) => "ALARM",
            (false, false) => "quiet",
        }
    } else if judged.at_1.all {
        "hit"
    } else if judged.at_3.all {
        "hit@3"
    } else {
        "MISS"
    };
    let _ = writeln!(
        out,
        "{word:<8}{:<24} seed {:<3} victim {} → {}",
        run.scenario,
        run.seed,
        milliseconds(run.timing.before_ms),
        milliseconds(run.timing.after_ms),
    );
    for answer in told.answers.iter().filter(|_| word != "quiet").take(1) {
        let _ = writeln!(out, "        said: {}", words(answer));
    }
    if word == "MISS" && told.answers.is_empty() {
        let _ = writeln!(out, "        said: nothing");
    }
}

fn words(answer: &Answer) -> String {
    let who = match &answer.who {
        Said::System(system) => system.as_str(),
        Said::InTurn => "several in turn",
        Said::Nobody => "nobody else",
    };
    format!(
        "{} on {} by {who}, since {}{}",
        answer.class.as_deref().unwrap_or("–"),
        answer.table.as_deref().unwrap_or("no table"),
        answer.event.as_deref().unwrap_or("no arrival"),
        if answer.accuses { "" } else { "; inconclusive" },
    )
}

fn of_methods(out: &mut String, methods: &[Total]) {
    let Some(first) = methods.first() else {
        return;
    };
    let _ = writeln!(
        out,
        "\nFirst answer right, in percent of {} runs with a cause:\n{:<26}{:>8}{:>8}{:>8}{:>8}{:>8}  {:<10}{:>8}",
        first.hits_at_1.all.of, "", "class", "table", "system", "event", "all", "(95 %)", "all@3",
    );
    for total in methods {
        let at_1 = &total.hits_at_1;
        let [low, high] = at_1.all.wilson95.map(|bound| bound * 100.0);
        let told = |tells: bool, share: Share| {
            if tells {
                percent(share)
            } else {
                "–".to_owned()
            }
        };
        let (classes, tables) = (total.method.tells_classes(), total.method.tells_tables());
        let _ = writeln!(
            out,
            "{:<26}{:>8}{:>8}{:>8}{:>8}{:>8}  {:<10}{:>8}",
            total.method.name(),
            told(classes, at_1.class),
            told(tables, at_1.table),
            percent(at_1.system),
            percent(at_1.event),
            percent(at_1.all),
            format!("{low:.0}–{high:.0}"),
            percent(total.hits_at_3.all),
        );
    }
    let _ = writeln!(
        out,
        "\n{:<26}{:>16}{:>16}{:>16}{:>16}",
        "", "names the wrong", "names nobody", "false alarms", "names somebody"
    );
    let _ = writeln!(
        out,
        "{:<26}{:>16}{:>16}{:>16}{:>16}",
        "", "with a cause", "with a cause", "without one", "without one"
    );
    for total in methods {
        let _ = writeln!(
            out,
            "{:<26}{:>16}{:>16}{:>16}{:>16}",
            total.method.name(),
            count(total.wrong),
            count(total.silent),
            count(total.false_alarms),
            count(total.false_accusations),
        );
    }
}

/// Words who is right about what, method by method.
fn of_groups(out: &mut String, groups: &[GroupTotal]) {
    of_part(out, groups, "all four", |at_1| at_1.all);
    of_part(out, groups, "the system", |at_1| at_1.system);
}

fn of_part(out: &mut String, groups: &[GroupTotal], what: &str, part: fn(&Shares) -> Share) {
    let Some(first) = groups.first() else {
        return;
    };
    let _ = write!(
        out,
        "\nFirst answer right in {what}, by what is in the way:\n{:<24}",
        ""
    );
    for hits in &first.methods {
        let _ = write!(out, "{:>12}", hits.method.short());
    }
    out.push('\n');
    for total in groups {
        let _ = write!(out, "{:<24}", total.group.name());
        for hits in &total.methods {
            let _ = write!(out, "{:>12}", count(part(&hits.at_1)));
        }
        out.push('\n');
    }
}

/// Words how near the figures are to what the clients timed.
fn of_figures(out: &mut String, score: &Score) {
    let growth = &score.growth_error;
    let _ = writeln!(
        out,
        "\nGrowth of the victim's mean beside what its clients timed, {} without a figure:\n{}",
        growth.untold,
        off_by(&growth.errors),
    );
    let coverage = &score.growth_coverage;
    let _ = writeln!(
        out,
        "Its 95 % interval holds that growth in {} over at least {MANY_BLOCKS}\nblocks, in {} over fewer; \
         {} end below it, {} begin above it, {} have none.\nHalf its width is {} of that growth in the \
         median.",
        with_interval(coverage.many_blocks),
        with_interval(coverage.few_blocks),
        coverage.below,
        coverage.above,
        coverage.no_interval,
        percents(coverage.half_width),
    );
    let tail = &score.tail_error;
    let _ = writeln!(
        out,
        "\nThe victim's p99, before and after, beside what its clients timed:\n\
         of {MANY_ROWS} sampled sessions or more: {}\nof fewer: {}\n\
         The clients' p99 lies in the bracket in {}.",
        off_by(&tail.many_rows),
        off_by(&tail.few_rows),
        with_interval(tail.in_bracket),
    );
    let withheld: usize = tail.withheld.values().sum();
    let reasons: Vec<String> = (tail.withheld.iter())
        .map(|(why_not, times)| format!("{times} {}", reason(*why_not)))
        .collect();
    let _ = writeln!(out, "Not told: {withheld}{}", listed(&reasons));
}

/// Words how near what would be is to what was played, run by run.
fn of_what_ifs(out: &mut String, score: &Score) {
    for total in &score.what_if {
        let what = match total.without {
            Without::Nothing => continue,
            Without::Cause => "Without its cause",
            Without::Call => "Committing before the call",
        };
        let near = &total.mean_with_round_trip;
        let _ = writeln!(
            out,
            "\n{what}, the victim's mean, with its round trip before, is within 20 % of the same\n\
             played so in {} runs with a lock: {}\n\
             Without the round trip it is in {}. Before the event, where nothing differs, the\n\
             clients' own means are in {}.\n\
             What it takes of each call is within 20 % in {}:\n{}\n\
             Runs without a right what-if: {}.",
            with_interval(near.within),
            off_by(&near.errors),
            with_interval(total.mean.within),
            with_interval(total.control.within),
            with_interval(total.taken.within),
            off_by(&total.taken.errors),
            total.untold,
        );
        let _ = writeln!(
            out,
            "p99: {} It is at most that in {}.",
            off_by(&total.p99.errors),
            with_interval(total.p99_at_most),
        );
        let groups: Vec<String> = (total.groups.iter())
            .map(|(group, near)| format!("  {:<24}{:>10}\n", group.name(), count(*near)))
            .collect();
        out.push_str(&groups.concat());
        for run in score.runs.iter().filter(|run| run.came_about) {
            of_what_if(out, run, total.without);
        }
    }
}

/// Words what would be and what was played of one run.
fn of_what_if(out: &mut String, run: &Run, without: Without) {
    let what_if = run.what_if.as_ref();
    let Some((what_if, played)) = what_if.and_then(|it| Some((it, it.played(without)?))) else {
        return;
    };
    let told = what_if.with_round_trip_ms();
    let off = told.map(|told| (told - played.mean_ms) / played.mean_ms);
    let _ = writeln!(
        out,
        "  {:<24}seed {:<3}{:>10}, without it {:>9}, said {:>9}{:>10}",
        run.scenario,
        run.seed,
        figures::milliseconds(played.with_ms),
        figures::milliseconds(played.mean_ms),
        told.map_or_else(|| "nothing".to_owned(), figures::milliseconds),
        percents(off),
    );
}

/// Words how far the division of waiting is from what the clients know, run by run.
fn of_blame(out: &mut String, score: &Score) {
    let total = &score.blame;
    let _ = writeln!(
        out,
        "\nThe victim's waiting by who had the lock, beside what the clients know of {} runs: {} tell \
         it,\nwith a total variation of {} in the median, {} at most.",
        total.derivable,
        total.distance.of,
        percents(total.distance.median_abs),
        percents(total.distance.largest_abs),
    );
    let told = |run: &&Run| run.came_about && run.blame.is_some();
    for run in score.runs.iter().filter(told) {
        if let Some(blame) = &run.blame {
            let seconds: f64 = blame.clients_s.values().sum();
            let _ = writeln!(
                out,
                "  {:<24}{:>8} over {} systems, {seconds:.1} s of waiting, {} looks",
                run.scenario,
                percents(Some(blame.distance)),
                blame.clients_s.len(),
                blame.looks,
            );
        }
    }
}

/// Words how often an arrival is blamed where none is to blame.
fn of_placebos(out: &mut String, score: &Score) {
    let placebo = &score.placebo;
    let at_most = |share: Share| format!("{} (≤ {:.1} %)", count(share), share.wilson95[1] * 100.0);
    let _ = writeln!(
        out,
        "\nAn arrival is blamed where none is to blame, with the upper end of the 95 % interval:\n\
         {:<24}{:>22}{:>22}{:>20}{:>10}",
        "", "proved", "supported", "in recordings", "untried"
    );
    for (what, blamed) in [
        ("around harmless ones", &placebo.around_arrivals),
        ("where nobody came", &placebo.where_nobody_came),
    ] {
        let _ = writeln!(
            out,
            "{what:<24}{:>22}{:>22}{:>20}{:>10}",
            at_most(blamed.proved),
            at_most(blamed.supported),
            at_most(blamed.recordings),
            blamed.not_compared,
        );
    }
    out.push_str(
        "The windows of one recording are not independent of each other, as their intervals would have\n\
         it; recordings are.\n",
    );
}

/// Words why a p99 is not told.
const fn reason(why_not: NotTold) -> &'static str {
    match why_not {
        NotTold::CallsNotCounted => "without counted calls",
        NotTold::NoAges => "without ages",
        NotTold::FewRows => "of too few sampled sessions",
        NotTold::FewCalls => "of too few calls",
        NotTold::MoreSeenThanCounted => "with more seen than counted",
        NotTold::ShorterThanALook => "hardly longer than a look",
    }
}

/// Lists the parts of a sum behind it.
fn listed(parts: &[String]) -> String {
    if parts.is_empty() {
        ".".to_owned()
    } else {
        format!(" ({}).", parts.join(", "))
    }
}

fn off_by(errors: &Errors) -> String {
    if errors.of == 0 {
        return "there is none.".to_owned();
    }
    format!(
        "{} figures, off by {} in the median, {} at most, {} on average with its sign.",
        errors.of,
        percents(errors.median_abs),
        percents(errors.largest_abs),
        percents(errors.mean),
    )
}

fn percents(share: Option<f64>) -> String {
    share.map_or_else(
        || "none".to_owned(),
        |share| format!("{:.1} %", share * 100.0),
    )
}

fn with_interval(share: Share) -> String {
    if share.of == 0 {
        return count(share);
    }
    let [low, high] = share.wilson95.map(|bound| bound * 100.0);
    format!("{} ({low:.0}–{high:.0} %)", count(share))
}

fn count(share: Share) -> String {
    format!("{} of {}", share.hits, share.of)
}

fn percent(share: Share) -> String {
    if share.of == 0 {
        return "–".to_owned();
    }
    format!("{:.0}", 100.0 * share.hits as f64 / share.of as f64)
}

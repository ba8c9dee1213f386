//! The score as text.

use std::fmt::Write as _;

use super::{Answer, Run, Said, Score, Share, Total};
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
    let error = &score.growth_error;
    let percent = |share: Option<f64>| {
        share.map_or_else(
            || "none".to_owned(),
            |share| format!("{:.1} %", share * 100.0),
        )
    };
    let _ = writeln!(
        out,
        "\nGrowth of the victim's mean beside what its clients timed, over {} runs ({} without a \
         figure):\noff by {} in the median, {} at most, {} on average with its sign.",
        error.runs,
        error.untold,
        percent(error.median_abs),
        percent(error.largest_abs),
        percent(error.mean),
    );
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
        let count = |share: Share| format!("{} of {}", share.hits, share.of);
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

fn percent(share: Share) -> String {
    if share.of == 0 {
        return "–".to_owned();
    }
    format!("{:.0}", 100.0 * share.hits as f64 / share.of as f64)
}

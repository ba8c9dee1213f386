//! The growth of one victim's mean latency, step by step: before, causes, after.

use plotters::prelude::*;

use crate::attribution::finding::{Cause, Part, Split};
use crate::report::Report;
use crate::report::figures::{interval, milliseconds, percent};
use crate::report::markup::line;
use crate::report::naming::blocker_name;
use crate::report::palette::{BLAME, Colour, GRID, INK, MUTED, NEUTRAL, RELIEF, SERIES};

use super::canvas::{Anchor, Drawn, Sheet, fit, picture, px, rgb, text};
use super::{NARROW, WIDE};

/// Causes beyond these are summed into one step.
const STEPS: usize = 6;

/// Draws how a victim's mean latency went from before to after, cause by cause.
///
/// Milliseconds per call; a thin line across a step's end is its 95 % interval.
/// The steps and the residual lead from one mean to the other without a jump. Who is in
/// the way is named where a finding accuses them of that very part, and nowhere else.
#[must_use]
pub fn waterfall(report: &Report, split: &Split) -> String {
    waterfall_at(report, split, WIDE)
}

/// Draws [`waterfall`] at another width in pixels.
#[must_use]
pub fn waterfall_at(report: &Report, split: &Split, width: u32) -> String {
    let width = width.max(NARROW / 2);
    let steps = steps(report, split);
    let stacked = width < 600;
    let row = if stacked { 62.0 } else { 44.0 };
    let height = 40.0 + row * steps.len() as f64 + 8.0;
    let size = (width, px(height).unsigned_abs());
    let title = "Where the growth comes from";
    picture(title, &describe(split, &steps), size, |sheet| {
        text(sheet, title, (16, 16), Anchor::Start, 14.0, INK)?;
        if !stacked {
            let at = px(16.0 + super::canvas::text_width(title, 14.0) + 6.0);
            text(
                sheet,
                "ms per call, 95 % intervals",
                (at, 17),
                Anchor::Start,
                12.0,
                MUTED,
            )?;
        }
        draw(sheet, &steps, f64::from(width), row, stacked)
    })
}

/// One row: a bar from one running total to the next.
struct Step {
    title: String,
    detail: String,
    from: f64,
    to: f64,
    ci: Option<[f64; 2]>,
    /// Whether it is a mean rather than a change.
    total: bool,
    colour: Colour,
}

impl Step {
    fn amount(&self) -> String {
        if self.total {
            return milliseconds(self.to);
        }
        let delta = self.to - self.from;
        let sign = if delta > 0.0 { "+" } else { "" };
        format!("{sign}{}", milliseconds(delta).replace('-', "−"))
    }

    fn interval(&self) -> String {
        let delta = self.to - self.from;
        self.ci
            .map_or_else(String::new, |ci| interval(delta, ci).replace('-', "−"))
    }
}

/// What is not a number counts as nothing, so that no bar leaves the sheet.
fn finite(value: f64) -> f64 {
    if value.is_finite() { value } else { 0.0 }
}

fn steps(report: &Report, split: &Split) -> Vec<Step> {
    let growth = &split.growth;
    let mean = |title: &str, calls: f64, ms: f64| Step {
        title: title.to_owned(),
        detail: format!("mean of {calls:.0} calls"),
        from: 0.0,
        to: finite(ms),
        ci: None,
        total: true,
        colour: NEUTRAL,
    };
    let mut steps = vec![mean("before", growth.calls_before, growth.before_ms)];
    let mut running = finite(growth.before_ms);
    let mut push = |steps: &mut Vec<Step>, words: (String, String), delta: f64, ci, colour| {
        let from = running;
        running += finite(delta);
        let (title, detail) = words;
        steps.push(Step {
            title,
            detail,
            from,
            to: running,
            ci,
            total: false,
            colour,
        });
    };
    let (shown, rest) = split.parts.split_at(split.parts.len().min(STEPS));
    for part in shown {
        let accuses = report.verdict_on(split, part).accuses();
        let colour = match part.delta_ms {
            less if less < 0.0 => RELIEF,
            _ if accuses => BLAME,
            _ => SERIES[1],
        };
        push(
            &mut steps,
            words(&part.cause, accuses),
            part.delta_ms,
            part.ci95_ms,
            colour,
        );
    }
    if !rest.is_empty() {
        let sum: f64 = rest.iter().map(|part: &Part| finite(part.delta_ms)).sum();
        let title = format!("{} smaller causes", rest.len());
        push(&mut steps, (title, String::new()), sum, None, SERIES[1]);
    }
    let unexplained = ("not explained".to_owned(), "residual".to_owned());
    push(&mut steps, unexplained, split.residual_ms, None, NEUTRAL);
    steps.push(mean("after", growth.calls_after, growth.after_ms));
    steps
}

/// Says a cause in two short lines: what, and who, if they are accused.
fn words(cause: &Cause, accuses: bool) -> (String, String) {
    let class = match cause.class {
        "own-work" => "its own work".to_owned(),
        "lwlock" => "lightweight locks".to_owned(),
        "wal" | "cpu" => cause.class.to_uppercase(),
        "io" => "I/O".to_owned(),
        "ddl-queue" => "DDL queue".to_owned(),
        class => class.replace('-', " "),
    };
    let title = match &cause.table {
        Some(table) => format!("{class} on {table}"),
        None => class,
    };
    let mut detail = Vec::new();
    if let Some(blocker) = cause.blocker.as_ref().filter(|_| accuses) {
        detail.push(blocker_name(blocker));
        let says_nothing = blocker.gid.is_some() || cause.class == "deadlock";
        let state = cause.dominant_state().filter(|_| !says_nothing);
        detail.extend(state.map(|(state, share)| format!("{state} ({})", percent(share))));
    }
    if cause.basis != "measured" {
        detail.push(cause.basis.to_owned());
    }
    (title, detail.join(", "))
}

fn draw(sheet: &Sheet<'_>, steps: &[Step], width: f64, row: f64, stacked: bool) -> Drawn {
    let label = if stacked {
        width - 140.0
    } else {
        (width * 0.34).min(360.0)
    };
    let (left, right) = if stacked {
        (16.0, width - 16.0)
    } else {
        (label + 24.0, width - 150.0)
    };
    let ends = steps.iter().flat_map(|step| {
        let [low, high] = step.ci.unwrap_or([0.0; 2]).map(finite);
        [step.from, step.to, step.from + low, step.from + high]
    });
    let (lowest, highest) = ends.fold((0.0_f64, 0.0_f64), |(low, high), end| {
        (low.min(end), high.max(end))
    });
    let range = if highest > lowest {
        highest - lowest
    } else {
        1.0
    };
    let x = |value: f64| px(left + (right - left) * (value - lowest) / range);

    for (index, step) in steps.iter().enumerate() {
        let top = 36.0 + row * index as f64;
        let middle = if stacked { top + 48.0 } else { top + row / 2.0 };
        let text_at = if stacked { top + 18.0 } else { middle };
        let has_detail = !step.detail.is_empty();
        let shift = if has_detail { 8 } else { 0 };
        let title = fit(&step.title, 13.0, label - 16.0);
        text(
            sheet,
            &title,
            (16, px(text_at) - shift),
            Anchor::Start,
            13.0,
            INK,
        )?;
        if has_detail {
            let detail = fit(&step.detail, 11.5, label - 16.0);
            text(
                sheet,
                &detail,
                (16, px(text_at) + 8),
                Anchor::Start,
                11.5,
                MUTED,
            )?;
        }

        // The rail shows how far the bar is from either end of the scale.
        let rail = vec![(px(left), px(middle)), (px(right), px(middle))];
        sheet.draw(&PathElement::new(rail, rgb(GRID).stroke_width(1)))?;
        let (from, to) = (x(step.from.min(step.to)), x(step.from.max(step.to)));
        // A change too small for a pixel still happened.
        let bar = [(from, px(middle) - 8), (to.max(from + 2), px(middle) + 8)];
        sheet.draw(&Rectangle::new(bar, rgb(step.colour).filled()))?;
        if index + 1 < steps.len() {
            let next = px(middle + row) - 8;
            let link = vec![(x(step.to), px(middle) + 8), (x(step.to), next)];
            if !stacked {
                sheet.draw(&PathElement::new(link, rgb(GRID).stroke_width(1)))?;
            }
        }
        if let Some([low, high]) = step.ci {
            let (low, high) = (x(step.from + finite(low)), x(step.from + finite(high)));
            let stroke = rgb(INK).stroke_width(1);
            for path in [
                vec![(low, px(middle)), (high, px(middle))],
                vec![(low, px(middle) - 4), (low, px(middle) + 4)],
                vec![(high, px(middle) - 4), (high, px(middle) + 4)],
            ] {
                sheet.draw(&PathElement::new(path, stroke))?;
            }
        }

        let interval = step.interval();
        let shift = if interval.is_empty() { 0 } else { 8 };
        let end = px(width - 16.0);
        text(
            sheet,
            &step.amount(),
            (end, px(text_at) - shift),
            Anchor::End,
            13.0,
            INK,
        )?;
        if !interval.is_empty() {
            text(
                sheet,
                &interval,
                (end, px(text_at) + 8),
                Anchor::End,
                11.5,
                MUTED,
            )?;
        }
    }
    Ok(())
}

fn describe(split: &Split, steps: &[Step]) -> String {
    let mut said = vec![format!("{}.", line(&split.victim.query, 160))];
    for step in steps {
        let detail = if step.detail.is_empty() {
            String::new()
        } else {
            format!(" ({})", step.detail)
        };
        let interval = if step.ci.is_some() {
            format!(", 95 % interval {}", step.interval())
        } else {
            String::new()
        };
        said.push(format!(
            "{}{detail}: {}{interval}.",
            line(&step.title, 120),
            step.amount()
        ));
    }
    said.join(" ")
}

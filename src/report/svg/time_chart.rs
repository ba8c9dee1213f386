//! Charts over time: the victims' mean latency, and the load by cause.

use plotters::prelude::*;

use crate::attribution::finding::Series;
use crate::report::Report;
use crate::report::markup::{figure, line};
use crate::report::palette::{self, BLAME, Colour, GRID, INK, MARK, MUTED, PAPER};
use crate::time::Timestamp;

use super::canvas::{Anchor, Drawn, Sheet, fit, nice_step, picture, px, rgb, text, text_width};
use super::marks::{self, Mark, Placed};
use super::{NARROW, WIDE};

/// Draws the mean latency of the heaviest victims over time, with what happened.
///
/// Milliseconds per call. A stretch without a figure stays empty: nobody looked,
/// or nothing completed.
#[must_use]
pub fn latency(report: &Report) -> String {
    latency_at(report, WIDE)
}

/// Draws [`latency`] at another width in pixels.
#[must_use]
pub fn latency_at(report: &Report, width: u32) -> String {
    let chart = Chart {
        title: "Mean latency of the heaviest victims",
        unit: "ms per call",
        stacked: false,
        series: report.diagnosis.latency.iter().collect(),
    };
    chart.render(report, width)
}

/// Draws the average active sessions over time, stacked by what they were busy with.
#[must_use]
pub fn load(report: &Report) -> String {
    load_at(report, WIDE)
}

/// Draws [`load`] at another width in pixels.
#[must_use]
pub fn load_at(report: &Report, width: u32) -> String {
    let chart = Chart {
        title: "Database load by cause",
        unit: "average active sessions",
        stacked: true,
        series: report.diagnosis.load.iter().collect(),
    };
    chart.render(report, width)
}

/// What a chart shows.
struct Chart<'a> {
    title: &'static str,
    unit: &'static str,
    stacked: bool,
    series: Vec<&'a Series>,
}

/// Where things are on the sheet, and which instants and values it spans.
struct Frame {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    from: Timestamp,
    seconds: f64,
    highest: f64,
}

/// The legend's font size in pixels.
const LEGEND: f64 = 12.0;
/// The height of a lane of event labels.
const LANE: f64 = 18.0;
/// No more lanes than this: a label without room is left to the list of events.
const LANES: usize = 4;

impl Frame {
    fn x(&self, at: Timestamp) -> f64 {
        let seconds = (at.as_micros().saturating_sub(self.from.as_micros())) as f64 / 1e6;
        self.left + (self.right - self.left) * (seconds / self.seconds).clamp(0.0, 1.0)
    }

    fn y(&self, value: f64) -> f64 {
        self.bottom - (self.bottom - self.top) * (value / self.highest).clamp(0.0, 1.0)
    }

    fn point(&self, at: Timestamp, value: f64) -> (i32, i32) {
        (px(self.x(at)), px(self.y(value)))
    }
}

/// A bin's value, if it is one that can be drawn.
fn value(point: Option<f64>) -> Option<f64> {
    point
        .filter(|value| value.is_finite())
        .map(|value| value.max(0.0))
}

impl Chart<'_> {
    fn render(&self, report: &Report, width: u32) -> String {
        let width = width.max(NARROW / 2);
        let (from, seconds) = self.span(report);
        let marks: Vec<Mark> = marks::marks(&report.diagnosis);
        let mut frame = Frame {
            left: 46.0,
            right: f64::from(width) - 20.0,
            top: 0.0,
            bottom: 0.0,
            from,
            seconds,
            highest: self.highest(),
        };
        let placed = marks::place(
            &marks,
            |at| frame.x(at),
            (frame.left, f64::from(width) - 6.0),
            LANES,
        );
        let lanes = placed.iter().map(|label| label.lane + 1).max().unwrap_or(0);
        let legend = self.legend(f64::from(width));
        let rows = legend.last().map_or(0, |entry| entry.row + 1);
        frame.top = 30.0 + LANE * lanes as f64 + 6.0;
        frame.bottom = frame.top + if width < 600 { 170.0 } else { 220.0 };
        let height = frame.bottom + 34.0 + 20.0 * rows as f64;
        let size = (width, px(height).unsigned_abs());
        picture(self.title, &self.describe(&marks), size, |sheet| {
            self.axes(sheet, &frame)?;
            if self.stacked {
                self.stack(sheet, &frame)?;
            } else {
                self.lines(sheet, &frame)?;
            }
            happenings(sheet, &frame, &marks, &placed)?;
            for entry in &legend {
                let y = px(frame.bottom + 44.0 + 20.0 * entry.row as f64);
                let x = px(entry.x);
                let swatch = [(x, y - 5), (x + 10, y + 5)];
                sheet.draw(&Rectangle::new(swatch, rgb(entry.colour).filled()))?;
                text(sheet, &entry.words, (x + 16, y), Anchor::Start, LEGEND, INK)?;
            }
            Ok(())
        })
    }

    /// The watched window, stretched to whatever the series hold; never of no length.
    fn span(&self, report: &Report) -> (Timestamp, f64) {
        let window = &report.diagnosis.window;
        let instants = || {
            self.series
                .iter()
                .flat_map(|series| &series.points)
                .map(|point| point.0.0)
        };
        let from = instants()
            .min()
            .map_or(window.from.0, |first| first.min(window.from.0));
        let to = instants()
            .max()
            .map_or(window.to.0, |last| last.max(window.to.0));
        (from, to.since(from).as_secs_f64().max(1.0))
    }

    /// The top of the scale: a whole number of steps above the highest value.
    fn highest(&self) -> f64 {
        let bins = self
            .series
            .iter()
            .map(|series| series.points.len())
            .max()
            .unwrap_or(0);
        let at = |bin: usize| {
            let values = self
                .series
                .iter()
                .filter_map(|series| value(series.points.get(bin)?.1));
            if self.stacked {
                values.sum()
            } else {
                values.fold(0.0, f64::max)
            }
        };
        let highest = (0..bins).map(at).fold(0.0, f64::max);
        if highest <= 0.0 || !highest.is_finite() {
            return 1.0;
        }
        let step = nice_step(highest * 1.04, 4);
        step * (highest * 1.04 / step).ceil()
    }

    fn axes(&self, sheet: &Sheet<'_>, frame: &Frame) -> Drawn {
        text(sheet, self.title, (px(16.0), 16), Anchor::Start, 14.0, INK)?;
        let after = 16.0 + text_width(self.title, 14.0) + 6.0;
        let unit_at = if f64::from(sheet.dim_in_pixel().0) > after + text_width(self.unit, 12.0) {
            (px(after), Anchor::Start)
        } else {
            (px(frame.right), Anchor::End)
        };
        text(sheet, self.unit, (unit_at.0, 17), unit_at.1, 12.0, MUTED)?;

        let step = nice_step(frame.highest, 4);
        let mut level = 0.0;
        while level <= frame.highest * 1.000_001 {
            let y = px(frame.y(level));
            let colour = if level > 0.0 { GRID } else { MUTED };
            sheet.draw(&PathElement::new(
                vec![(px(frame.left), y), (px(frame.right), y)],
                rgb(colour).stroke_width(1),
            ))?;
            let number = tick(level, step);
            text(
                sheet,
                &number,
                (px(frame.left) - 8, y),
                Anchor::End,
                11.5,
                MUTED,
            )?;
            level += step;
        }

        let most = ((frame.right - frame.left) / 84.0).max(1.0);
        for (at, words) in clock_ticks(frame.from, frame.seconds, most) {
            let x = frame.x(at);
            let half = text_width(&words, 11.5) / 2.0;
            // A centred label at the rim would be cut off.
            let x = x.clamp(half + 2.0, f64::from(sheet.dim_in_pixel().0) - half - 2.0);
            text(
                sheet,
                &words,
                (px(x), px(frame.bottom) + 16),
                Anchor::Middle,
                11.5,
                MUTED,
            )?;
        }
        Ok(())
    }

    fn lines(&self, sheet: &Sheet<'_>, frame: &Frame) -> Drawn {
        // The heaviest victim last, so that it lies on top.
        for (index, series) in self.series.iter().enumerate().rev() {
            let colour = rgb(palette::series(index));
            let stroke = if index == 0 { 3 } else { 2 };
            for run in series.points.split(|point| value(point.1).is_none()) {
                let path: Vec<(i32, i32)> = run
                    .iter()
                    .filter_map(|&(at, point)| Some(frame.point(at.0, value(point)?)))
                    .collect();
                match path.as_slice() {
                    [] => {}
                    // A line of one point would not show.
                    &[only] => sheet.draw(&Circle::new(only, 3, colour.filled()))?,
                    _ => sheet.draw(&PathElement::new(path, colour.stroke_width(stroke)))?,
                }
            }
        }
        Ok(())
    }

    fn stack(&self, sheet: &Sheet<'_>, frame: &Frame) -> Drawn {
        let Some(longest) = self.series.iter().max_by_key(|series| series.points.len()) else {
            return Ok(());
        };
        let starts: Vec<Timestamp> = longest.points.iter().map(|point| point.0.0).collect();
        let width = starts
            .windows(2)
            .map(|pair| pair[1].since(pair[0]))
            .min()
            .unwrap_or(crate::time::Span::from_secs(1));
        let at =
            |series: &Series, bin: usize| series.points.get(bin).and_then(|point| value(point.1));
        let mut below = vec![0.0; starts.len()];
        for (index, series) in self.series.iter().enumerate() {
            let mut bin = 0;
            while bin < starts.len() {
                let watched =
                    |bin: usize| self.series.iter().any(|series| at(series, bin).is_some());
                if !watched(bin) {
                    bin += 1;
                    continue;
                }
                let end = (bin..starts.len())
                    .find(|&later| !watched(later))
                    .unwrap_or(starts.len());
                let (mut upper, mut lower) = (Vec::new(), Vec::new());
                for bin in bin..end {
                    let edges = [starts[bin], starts[bin] + width];
                    lower.extend(edges.map(|edge| frame.point(edge, below[bin])));
                    below[bin] += at(series, bin).unwrap_or(0.0);
                    upper.extend(edges.map(|edge| frame.point(edge, below[bin])));
                }
                upper.extend(lower.into_iter().rev());
                sheet.draw(&Polygon::new(upper, rgb(palette::series(index)).filled()))?;
                bin = end;
            }
        }
        Ok(())
    }

    /// Lays the legend's entries out in rows, in the series' order.
    fn legend(&self, width: f64) -> Vec<Entry> {
        let (mut x, mut row) = (16.0, 0);
        let mut entries = Vec::new();
        for (index, series) in self.series.iter().enumerate() {
            let words = fit(&series.label, LEGEND, (width - 48.0).min(520.0));
            let needed = 16.0 + text_width(&words, LEGEND) + 14.0;
            if x > 16.0 && x + needed > width {
                (x, row) = (16.0, row + 1);
            }
            entries.push(Entry {
                x,
                row,
                words,
                colour: palette::series(index),
            });
            x += needed;
        }
        entries
    }

    fn describe(&self, marks: &[Mark]) -> String {
        let mut sentences = Vec::new();
        if self.series.is_empty() {
            sentences.push("No data.".to_owned());
        }
        for series in &self.series {
            let label = line(&series.label, 120);
            let known: Vec<(Timestamp, f64)> = series
                .points
                .iter()
                .filter_map(|&(at, point)| Some((at.0, value(point)?)))
                .collect();
            let highest = known.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1));
            sentences.push(match (known.first(), known.last(), highest) {
                (Some(first), Some(last), Some(top)) => format!(
                    "{label}: {} {unit} at {}, {} at {}, at most {} at {}.",
                    figure(first.1),
                    first.0.to_clock(),
                    figure(last.1),
                    last.0.to_clock(),
                    figure(top.1),
                    top.0.to_clock(),
                    unit = self.unit,
                ),
                _ => format!("{label}: no data."),
            });
        }
        for mark in marks.iter().take(50) {
            sentences.push(format!(
                "{}: {}.",
                mark.at.to_clock(),
                line(&mark.label, 120)
            ));
        }
        sentences.join(" ")
    }
}

/// A legend's entry with its place.
struct Entry {
    x: f64,
    row: usize,
    words: String,
    colour: Colour,
}

/// Draws the events' lines, then their labels on paper of their own.
fn happenings(sheet: &Sheet<'_>, frame: &Frame, marks: &[Mark], placed: &[Placed]) -> Drawn {
    let lane_y = |lane: usize| frame.top - 6.0 - LANE * (lane as f64 + 0.5);
    for (index, mark) in marks.iter().enumerate() {
        let label = placed.iter().find(|label| label.mark == index);
        let top = label.map_or(frame.top, |label| lane_y(label.lane) - 6.0);
        let x = px(frame.x(mark.at));
        let (colour, stroke) = if mark.blamed { (BLAME, 2) } else { (MARK, 1) };
        sheet.draw(&PathElement::new(
            vec![(x, px(top)), (x, px(frame.bottom))],
            rgb(colour).stroke_width(stroke),
        ))?;
    }
    for label in placed {
        let mark = &marks[label.mark];
        let width = text_width(&mark.label, marks::SIZE);
        let from = if label.anchor == Anchor::Start {
            label.x
        } else {
            label.x - width
        };
        let y = px(lane_y(label.lane));
        let paper = [(px(from) - 1, y - 7), (px(from + width), y + 7)];
        sheet.draw(&Rectangle::new(paper, rgb(PAPER).filled()))?;
        let colour = if mark.blamed { BLAME } else { MUTED };
        text(
            sheet,
            &mark.label,
            (px(label.x), y),
            label.anchor,
            marks::SIZE,
            colour,
        )?;
    }
    Ok(())
}

/// Writes a level of the scale with as many decimals as its step needs.
fn tick(level: f64, step: f64) -> String {
    if step >= 1.0 {
        format!("{level:.0}")
    } else if step >= 0.1 {
        format!("{level:.1}")
    } else if step >= 0.01 {
        format!("{level:.2}")
    } else {
        format!("{level:.4}")
    }
}

/// Chooses round instants, at most `most` of them, and writes them as times of day.
fn clock_ticks(from: Timestamp, seconds: f64, most: f64) -> Vec<(Timestamp, String)> {
    const STEPS: [i64; 18] = [
        1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 28_800, 43_200,
        86_400,
    ];
    let step = STEPS
        .into_iter()
        .find(|&step| seconds / step as f64 <= most)
        // Past days, whole multiples of a day.
        .unwrap_or_else(|| 86_400 * i64::from(px((seconds / 86_400.0 / most).ceil()).max(1)));
    let micros = step * 1_000_000;
    let first = from.as_micros().div_euclid(micros) * micros;
    (0..200)
        .map(|n| first.saturating_add(micros.saturating_mul(n)))
        .skip_while(|&at| at < from.as_micros())
        .take_while(|&at| Timestamp::from_micros(at).since(from).as_secs_f64() <= seconds)
        .map(Timestamp::from_micros)
        .map(|at| {
            let clock = at.to_clock();
            let words = if step >= 60 {
                clock.get(..5).unwrap_or(&clock).to_owned()
            } else {
                clock
            };
            (at, words)
        })
        .collect()
}

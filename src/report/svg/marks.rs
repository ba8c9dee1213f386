//! Event marks above a chart over time, and where their labels find room.

use crate::attribution::finding::{Diagnosis, Event, Group};
use crate::time::Timestamp;

use super::canvas::{Anchor, text_width};

/// The labels' font size in pixels.
pub(super) const SIZE: f64 = 11.5;

/// One instant worth a line across the chart.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mark {
    /// When.
    pub(crate) at: Timestamp,
    /// In words.
    pub(crate) label: String,
    /// Whether the first finding lays the growth at its door.
    pub(crate) blamed: bool,
}

/// Lists the marks: one per group, one for the blamed event, one for each event without a group.
pub(crate) fn marks(diagnosis: &Diagnosis) -> Vec<Mark> {
    let blamed = diagnosis
        .findings
        .first()
        .filter(|finding| finding.verdict.accuses())
        .and_then(|finding| finding.cause.event.as_deref());
    let members = |group: &Group| -> Vec<&Event> {
        let in_group = |event: &&Event| group.events.contains(&event.id);
        diagnosis.events.iter().filter(in_group).collect()
    };
    let mut marks: Vec<Mark> = Vec::new();
    for group in &diagnosis.groups {
        let members = members(group);
        if let [only] = members.as_slice()
            && Some(only.id.as_str()) == blamed
        {
            continue;
        }
        let label = match members.as_slice() {
            [only] => format!("{}: {}", group.id, says(only)),
            many if many.iter().all(|event| event.kind == "system-onboarded") => {
                format!("{}: {} systems onboard", group.id, many.len())
            }
            many => format!("{}: {} events", group.id, many.len()),
        };
        marks.push(Mark {
            at: group.from.0,
            label,
            blamed: false,
        });
    }
    for event in &diagnosis.events {
        let is_blamed = Some(event.id.as_str()) == blamed;
        let grouped = diagnosis
            .groups
            .iter()
            .any(|group| group.events.contains(&event.id));
        if is_blamed || !grouped {
            marks.push(Mark {
                at: event.at.0,
                label: says(event),
                blamed: is_blamed,
            });
        }
    }
    marks.sort_by(|a, b| (a.at, a.blamed, &a.label).cmp(&(b.at, b.blamed, &b.label)));
    marks
}

/// Names an event in a few words.
pub(crate) fn says(event: &Event) -> String {
    match event.kind {
        "system-onboarded" => format!("{} onboards", event.label),
        "system-rate" => format!("{} does more", event.label),
        "declared" => event.label.clone(),
        kind if event.label.is_empty() => kind.replace('-', " "),
        kind => format!("{}: {}", kind.replace('-', " "), event.label),
    }
}

/// A label with its place: the lane counts up from the chart.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Placed {
    /// Index into the marks.
    pub(super) mark: usize,
    /// 0 is the lane just above the chart.
    pub(super) lane: usize,
    /// Where the text starts or ends, in pixels.
    pub(super) x: f64,
    /// Which of the two.
    pub(super) anchor: Anchor,
}

/// Gives each label the lowest lane where it overlaps no other, the blamed one first.
///
/// A label for which none of `lanes` has room is left out; its line stays.
pub(super) fn place(
    marks: &[Mark],
    x_of: impl Fn(Timestamp) -> f64,
    (left, right): (f64, f64),
    lanes: usize,
) -> Vec<Placed> {
    let mut order: Vec<usize> = (0..marks.len()).collect();
    order.sort_by_key(|&index| (!marks[index].blamed, index));
    let mut taken: Vec<Vec<(f64, f64)>> = vec![Vec::new(); lanes];
    let mut placed = Vec::new();
    for mark in order {
        let x = x_of(marks[mark].at);
        let width = text_width(&marks[mark].label, SIZE);
        let (anchor, from, to) = if x + 5.0 + width <= right {
            (Anchor::Start, x + 5.0, x + 5.0 + width)
        } else if x - 5.0 - width >= left {
            (Anchor::End, x - 5.0 - width, x - 5.0)
        } else {
            continue;
        };
        let free =
            |lane: &Vec<(f64, f64)>| lane.iter().all(|&(a, b)| to + 8.0 < a || b + 8.0 < from);
        if let Some(lane) = taken.iter().position(free) {
            taken[lane].push((from, to));
            let x = if anchor == Anchor::Start { from } else { to };
            placed.push(Placed {
                mark,
                lane,
                x,
                anchor,
            });
        }
    }
    placed
}

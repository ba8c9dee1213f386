//! Episodes in words: what went on from when to when, and what it cost.

use super::Style;
use super::figures::{duration, plural};
use super::line::{Ink, Line, escape, heading, paragraph};
use crate::attribution::finding::Diagnosis;
use crate::graph::episode::Episode;

/// Episodes that are told.
pub(super) const TOLD: usize = 5;

/// An episode as a reader sees it.
pub(super) struct Told {
    /// `14:03:12 to 14:05:40`, or `since 14:03:12` where nobody saw its end.
    pub(super) when: String,
    /// What is called so again when it happens again.
    pub(super) what: String,
    /// How many waited, how long, through how many roots.
    pub(super) cost: String,
    /// The name to look for in other recordings.
    pub(super) id: String,
    /// From when to when, in milliseconds since 1970.
    pub(super) stretch: [i64; 2],
    /// When the most sessions waited.
    pub(super) peak: String,
}

/// Words the episodes worth telling, the dearest first, and counts the rest.
pub(super) fn told(diagnosis: &Diagnosis) -> (Vec<Told>, usize) {
    let told: Vec<Told> = diagnosis.episodes.iter().take(TOLD).map(words).collect();
    let more = diagnosis.episodes.len() - told.len() + diagnosis.more_episodes;
    (told, more)
}

fn words(episode: &Episode) -> Told {
    let start = episode.start.0.to_clock();
    let when = if episode.open {
        format!("since {start}")
    } else {
        format!("{start} to {}", episode.end.0.to_clock())
    };
    let longest = episode.longest_ms.map_or_else(String::new, |ms| {
        format!(", the longest for {}", duration(ms))
    });
    let roots = match episode.roots {
        0 => String::new(),
        1 => ", one root".to_owned(),
        n => format!(", {n} roots in turn"),
    };
    let systems = match episode.systems.len() {
        0 | 1 => String::new(),
        n => format!(", {} in all", plural(n, "system")),
    };
    Told {
        when,
        what: escape(&episode.signature.text),
        cost: format!(
            "{} of waiting in {}; at most {} at a time ({}){systems}{longest}{roots}",
            duration(episode.waited_s * 1e3),
            plural(episode.looks, "look"),
            plural(episode.peak_behind, "session"),
            episode.peak.0.to_clock(),
        ),
        id: episode.signature.id.clone(),
        stretch: [episode.start, episode.end].map(|at| at.0.as_micros() / 1_000),
        peak: episode.peak.0.to_rfc3339(),
    }
}

/// Writes the section of a report for a terminal; nothing where nobody ever waited.
pub(super) fn section(page: &mut String, style: Style, diagnosis: &Diagnosis) {
    let (told, more) = told(diagnosis);
    if told.is_empty() {
        return;
    }
    heading(page, style, "Episodes");
    for Told {
        when,
        what,
        cost,
        id,
        ..
    } in told
    {
        paragraph(page, style, Ink::Plain, &format!("{when}  "), &what);
        paragraph(
            page,
            style,
            Ink::Faint,
            "          ",
            &format!("{cost}; signature {id}"),
        );
    }
    if more > 0 {
        let more = format!("… and {}", plural(more, "more episode"));
        Line::default().plus(Ink::Faint, &more).write(page, style);
    }
}

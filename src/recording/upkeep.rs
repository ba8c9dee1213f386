//! What a writer does beside writing: it merges the parts of hours that are over, makes sums of
//! days long ago coarser, and makes room.
//!
//! It goes in short steps between the flushes. What fails is left as it is, which loses nothing
//! but room, until the next writer tries again.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use super::buffer::Place;
use super::coarsen;
use super::grain::Grain;
use super::merge::{ASIDE, Merging};
use super::partition::{self, Partition, hour_of};
use super::retention::{self, Class, Day, Held, Retention};
use super::rows::Row as _;
use super::segment;
use super::tables::{KINDS, Kind};
use crate::sample::Declared;
use crate::time::{Span, Timestamp};

/// How often it is looked whether there is too much.
const MAKE_ROOM_EVERY: Span = Span::from_secs(300);

/// What is to be done, and what is being done.
#[derive(Debug, Default)]
pub(super) struct Upkeep {
    retention: Retention,
    /// When room was last made.
    made_room: Option<Timestamp>,
    /// The hour for which this was planned.
    hour: Option<i64>,
    waiting: VecDeque<(&'static Kind, PathBuf)>,
    merging: Option<(PathBuf, Box<dyn Merging>)>,
    /// The hour in which no day's sums had to become coarser any more.
    fine: Option<i64>,
    given_up: HashSet<PathBuf>,
}

impl Upkeep {
    /// Keeps so much of the past from now on.
    pub(super) fn keep(&mut self, retention: Retention) {
        self.retention = retention;
        self.fine = None;
    }

    /// Does a piece of the work, at `now` by the server's clock; tells whether there is more.
    pub(super) fn step(&mut self, place: &mut Place, now: Timestamp) -> bool {
        let hour = hour_of(now);
        if self.merging.is_none() && self.made_room.is_none_or(|last| is_time(last, now)) {
            self.made_room = Some(now);
            make_room(place, self.retention, hour);
        }
        if self.hour != Some(hour) {
            self.hour = Some(hour);
            self.waiting = self.unmerged(place, hour);
        }
        if let Some((partition, merging)) = self.merging.take() {
            match merging.step() {
                Ok(Some(merging)) => self.merging = Some((partition, merging)),
                Ok(None) => {}
                Err(_) => _ = self.given_up.insert(partition),
            }
        } else if let Some((kind, partition)) = self.waiting.pop_front() {
            // What came late is still in a segment: its turn comes with the next hour.
            if !can_be_merged(&partition) {
                return true;
            }
            let name = place.next_name();
            match (kind.merge)(&place.folder, &partition, &name) {
                Ok(merging) => self.merging = Some((partition, merging)),
                Err(_) => _ = self.given_up.insert(partition),
            }
        } else if self.fine != Some(hour) {
            self.coarsen(place, hour);
        }
        self.merging.is_some() || !self.waiting.is_empty() || self.fine != Some(hour)
    }

    /// Begins to make a day's sums coarser, where that has to be.
    fn coarsen(&mut self, place: &mut Place, now: i64) {
        let days = self.days(place);
        let Some((day, grain)) = retention::coarser(&days, self.retention, now) else {
            self.fine = Some(now);
            return;
        };
        let of_day = partition::place(&place.slug, day);
        match coarsen::begin(place, day, grain) {
            Ok(Some(merging)) => self.merging = Some((of_day, merging)),
            Ok(None) => {
                // One that did not become coarser would be begun again and again.
                let next = retention::coarser(&self.days(place), self.retention, now);
                if next == Some((day, grain)) {
                    self.given_up.insert(of_day);
                }
            }
            Err(_) => _ = self.given_up.insert(of_day),
        }
    }

    /// Lists the days whose sums are parts, and what could be read of them.
    fn days(&self, place: &Place) -> Vec<Day> {
        let kinds = || {
            KINDS
                .iter()
                .filter(|kind| coarsen::TABLES.contains(&kind.table))
        };
        let of_tables = kinds().flat_map(|kind| hours(place, kind));
        let days: BTreeSet<i64> = of_tables.map(|partition| partition.hour).collect();
        let day = |hour: i64| {
            let of_day = partition::place(&place.slug, hour);
            let in_table =
                |kind: &Kind| partition::entries(&place.folder.join(kind.table).join(&of_day));
            let files: Vec<PathBuf> = kinds().flat_map(in_table).collect();
            let grain = Grain::of(&files)?;
            let may = are_parts(&files) && !self.given_up.contains(&of_day);
            may.then(|| Day {
                hour,
                grain,
                bytes: bytes(&files),
            })
        };
        days.into_iter().filter_map(day).collect()
    }

    /// Finds what can be merged: hours that are over and have several parts, and no segment.
    ///
    /// What is declared comes from others too, at any moment: a part of theirs could lie in the
    /// folder that goes. It is so little that nothing is gained by merging it.
    fn unmerged(&self, place: &Place, now: i64) -> VecDeque<(&'static Kind, PathBuf)> {
        let mut found = VecDeque::new();
        let others_write = |kind: &&Kind| kind.table == Declared::TABLE;
        for kind in KINDS.iter().filter(|kind| !others_write(kind)) {
            for Partition { hour, path } in hours(place, kind) {
                let is_over = hour + kind.class.hours() <= now;
                if is_over && can_be_merged(&path) && !self.given_up.contains(&path) {
                    found.push_back((kind, path));
                }
            }
        }
        found
    }
}

/// Tells whether a partition has several parts, and nothing but parts.
fn can_be_merged(partition: &Path) -> bool {
    let files = partition::entries(partition);
    files.len() > 1 && are_parts(&files)
}

fn are_parts(files: &[PathBuf]) -> bool {
    files.iter().all(|path| segment::part_of(path) == *path)
}

fn bytes(files: &[PathBuf]) -> u64 {
    let sizes = files.iter().filter_map(|file| fs::metadata(file).ok());
    sizes.map(|about| about.len()).sum()
}

fn is_time(last: Timestamp, now: Timestamp) -> bool {
    // Also where the clock was set back.
    now < last || now.since(last) >= MAKE_ROOM_EVERY
}

/// Removes the hours that may not stay.
///
/// Ticks go first: whoever reads meanwhile takes an hour without ticks for none. A folder leaves
/// the recording in one operation, before its files go.
fn make_room(place: &Place, retention: Retention, now: i64) {
    if retention == Retention::default() {
        return;
    }
    let mut held = Vec::new();
    for kind in KINDS {
        for Partition { hour, path } in hours(place, kind) {
            held.push(Held {
                class: kind.class,
                hour,
                bytes: bytes(&partition::entries(&path)),
            });
        }
    }
    let gone = retention::plan(&sum(held), retention, now);
    let mut kinds: Vec<&Kind> = KINDS.iter().collect();
    kinds.sort_by_key(|kind| kind.table != "ticks");
    for (class, hour) in gone {
        for kind in kinds.iter().filter(|kind| kind.class == class) {
            let path = place.folder.join(kind.table);
            remove(
                &place.folder,
                &path.join(partition::place(&place.slug, hour)),
            );
        }
    }
}

fn hours(place: &Place, kind: &Kind) -> Vec<Partition> {
    partition::partitions(&place.folder.join(kind.table), &place.slug)
}

/// Adds up the tables of an hour.
fn sum(tables: Vec<Held>) -> Vec<Held> {
    let mut sums: BTreeMap<(Class, i64), u64> = BTreeMap::new();
    for held in tables {
        *sums.entry((held.class, held.hour)).or_default() += held.bytes;
    }
    let hours = sums.into_iter();
    hours
        .map(|((class, hour), bytes)| Held { class, hour, bytes })
        .collect()
}

/// Takes an hour of a table out; what fails is tried again.
fn remove(folder: &Path, partition: &Path) {
    let aside = folder.join(ASIDE);
    if super::files::make_folder(&aside).is_err() {
        return;
    }
    let gone = aside.join("gone");
    let _ = fs::remove_dir_all(&gone);
    if fs::rename(partition, &gone).is_ok() {
        let _ = fs::remove_dir_all(&gone);
        // A day without hours goes too; one that has some refuses.
        let _ = partition.parent().map(fs::remove_dir);
    }
    let _ = fs::remove_dir(&aside);
}

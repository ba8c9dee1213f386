//! What a writer does beside writing: it merges the parts of hours that are over.
//!
//! It goes in short steps between the flushes. What fails is left as it is, which loses nothing
//! but room, until the next writer tries again.

use std::collections::{HashSet, VecDeque};
use std::path::PathBuf;

use super::buffer::Place;
use super::merge::Merging;
use super::partition::{self, Partition};
use super::segment;
use super::tables::{KINDS, Kind};

/// What is to be done, and what is being done.
#[derive(Debug, Default)]
pub(super) struct Upkeep {
    /// The hour for which this was planned.
    hour: Option<i64>,
    waiting: VecDeque<(&'static Kind, PathBuf)>,
    merging: Option<(PathBuf, Box<dyn Merging>)>,
    given_up: HashSet<PathBuf>,
}

impl Upkeep {
    /// Does a piece of the work, in `hour` by the server's clock; tells whether there is more.
    pub(super) fn step(&mut self, place: &mut Place, hour: i64) -> bool {
        if self.hour != Some(hour) {
            self.hour = Some(hour);
            self.waiting = self.unmerged(place, hour);
        }
        if let Some((partition, merging)) = &mut self.merging {
            match merging.step() {
                Ok(true) => return true,
                Ok(false) => {}
                Err(_) => {
                    self.given_up.insert(partition.clone());
                }
            }
            self.merging = None;
        } else if let Some((kind, partition)) = self.waiting.pop_front() {
            let name = place.next_name();
            match (kind.merge)(&place.folder, &partition, &name) {
                Ok(merging) => self.merging = Some((partition, merging)),
                Err(_) => {
                    self.given_up.insert(partition);
                }
            }
        }
        self.merging.is_some() || !self.waiting.is_empty()
    }

    /// Finds what can be merged: hours that are over and have several parts, and no segment.
    fn unmerged(&self, place: &Place, now: i64) -> VecDeque<(&'static Kind, PathBuf)> {
        let mut found = VecDeque::new();
        for kind in KINDS {
            for Partition { hour, path } in
                partition::partitions(&place.folder.join(kind.table), &place.slug)
            {
                let files = partition::entries(&path);
                let is_part = |path: &PathBuf| segment::part_of(path) == *path;
                let wanted = hour < now && files.len() > 1 && files.iter().all(is_part);
                if wanted && !self.given_up.contains(&path) {
                    found.push_back((kind, path));
                }
            }
        }
        found
    }
}

//! Where the boxes of a graph go, so that a reader can follow them from moment to moment.
//!
//! - The layer is the longest way to a root: roots are in layer 0, on the left.
//! - A box that was there a moment ago, in the same layer, keeps its row.
//! - Any other takes the free row nearest to those it waits for.

use std::collections::{HashMap, HashSet};

use crate::report::fold::{Folded, FoldedGraph, pattern};

/// Where a box is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) layer: usize,
    pub(super) row: usize,
}

/// What makes a box the same as one before.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Identity {
    /// The pid and the backend's start, or the gid.
    One(String),
    /// Alike waiters: their systems' pattern, and what they run.
    Queue(String, Option<String>),
}

/// The rows that were taken a moment ago.
#[derive(Debug, Default)]
pub(super) struct Places {
    last: HashMap<(usize, Identity), usize>,
}

impl Places {
    /// Places the boxes of the next moment.
    pub(super) fn place(&mut self, folded: &FoldedGraph<'_>) -> Vec<Place> {
        let layers = layers(folded);
        let keys: Vec<(usize, Identity)> = layers
            .iter()
            .zip(&folded.boxes)
            .map(|(&layer, folded)| (layer, identity(folded)))
            .collect();
        let mut taken: HashSet<(usize, usize)> = HashSet::new();
        let mut rows: Vec<Option<usize>> = keys
            .iter()
            .map(|key| {
                let row = *self.last.get(key)?;
                taken.insert((key.0, row)).then_some(row)
            })
            .collect();
        // Layer by layer, so that a newcomer can stand beside those it waits for.
        let mut order: Vec<usize> = (0..keys.len()).collect();
        order.sort_by_key(|&index| layers[index]);
        for index in order {
            if rows[index].is_some() {
                continue;
            }
            let layer = layers[index];
            let ahead = folded.arrows.iter().filter(|arrow| arrow.from == index);
            let wish = ahead.filter_map(|arrow| rows[arrow.to]).min().unwrap_or(0);
            let is_free = |row: &usize| !taken.contains(&(layer, *row));
            // There are more rows than boxes, so one is free.
            let below = (wish..=wish + keys.len()).find(is_free);
            let above = (0..wish).rev().find(is_free);
            let row = match (above, below) {
                (Some(above), Some(below)) if wish - above <= below - wish => above,
                (_, Some(below)) => below,
                (above, None) => above.unwrap_or(wish),
            };
            taken.insert((layer, row));
            rows[index] = Some(row);
        }
        let rows: Vec<usize> = rows.into_iter().map(Option::unwrap_or_default).collect();
        self.last = keys.into_iter().zip(rows.iter().copied()).collect();
        let places = layers.into_iter().zip(rows);
        places.map(|(layer, row)| Place { layer, row }).collect()
    }
}

fn identity(folded: &Folded<'_>) -> Identity {
    match folded.members.as_slice() {
        [only] => Identity::One(format!(
            "{:?} {:?}",
            only.party,
            only.backend_start.map(|start| start.0.as_micros())
        )),
        many => {
            let first = many.first();
            let system = first.and_then(|node| node.system.as_deref());
            Identity::Queue(
                pattern(system.unwrap_or_default()),
                first.and_then(|node| node.query.clone()),
            )
        }
    }
}

/// Gives each box its distance from the roots; in a circle it ends where it began.
fn layers(folded: &FoldedGraph<'_>) -> Vec<usize> {
    let mut ahead: Vec<Vec<usize>> = vec![Vec::new(); folded.boxes.len()];
    for arrow in &folded.arrows {
        ahead[arrow.from].push(arrow.to);
    }
    let mut known: Vec<Option<usize>> = vec![None; folded.boxes.len()];
    let mut open = vec![false; folded.boxes.len()];
    for index in 0..folded.boxes.len() {
        layer(index, &ahead, &mut known, &mut open);
    }
    known.into_iter().map(Option::unwrap_or_default).collect()
}

/// Walks no deeper than there are boxes, of which a picture has a few dozen.
fn layer(
    index: usize,
    ahead: &[Vec<usize>],
    known: &mut [Option<usize>],
    open: &mut [bool],
) -> usize {
    if let Some(layer) = known[index] {
        return layer;
    }
    if std::mem::replace(&mut open[index], true) {
        return 0;
    }
    let deepest = ahead[index].iter().filter(|&&next| next != index);
    let deepest = deepest
        .map(|&next| layer(next, ahead, known, open) + 1)
        .max();
    open[index] = false;
    *known[index].insert(deepest.unwrap_or(0))
}

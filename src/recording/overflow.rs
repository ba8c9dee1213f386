//! What happens to rows that the disk does not take.
//!
//! They wait in memory, within a bound. Beyond it whole ticks are dropped, the oldest first, and
//! the next tick says that they were missed, and what they missed: every tick is on disk or counted.

use super::tables::{Table, Tables};
use crate::sample::Loss;
use crate::time::{Span, Timestamp};

/// What the rows may take that wait for the disk: a third of what the process may.
pub(super) const MOST_BYTES: usize = 20 << 20;

impl Tables {
    /// Drops the oldest rows where they take more than `most`, an eighth of the time at once.
    pub(super) fn shed(&mut self, now: Timestamp, most: usize) {
        let mut dropped = 0;
        let mut ticks = 0;
        let mut missed: u32 = 0;
        while self.bytes() > most {
            let all = self.droppable();
            let Some(oldest) = all.iter().filter_map(|table| table.oldest()).min() else {
                break;
            };
            let cut = oldest + Span::from_micros(now.since(oldest).as_micros() / 8);
            let lost = self
                .ticks
                .until(cut)
                .map(|tick| tick.missed.saturating_add(1));
            missed = lost.fold(missed, u32::saturating_add);
            ticks += self.ticks.drop_until(cut);
            let others = self.droppable().into_iter();
            dropped += others.map(|table| table.drop_until(cut)).sum::<u64>();
        }
        if dropped + ticks == 0 {
            return;
        }
        let next = self.ticks.first_mut().map(|tick| &mut tick.missed);
        let next = next.unwrap_or(&mut self.missed);
        *next = next.saturating_add(missed);
        let rows = Loss {
            at: now,
            kind: "dropped_rows".into(),
            count: dropped + ticks,
        };
        self.lose(now, rows);
    }

    /// Takes in what was lost. Of what waits for the disk there is one row of a kind and a minute,
    /// however long it refuses.
    pub(super) fn lose(&mut self, now: Timestamp, loss: Loss) {
        match self.lost.iter_mut().find(|told| told.kind == loss.kind) {
            Some(told) => told.count += loss.count,
            None => self.lost.push(loss.clone()),
        }
        let minute = |at: Timestamp| at.as_micros().div_euclid(60_000_000);
        let is_same = |row: &&mut Loss| row.kind == loss.kind && minute(row.at) == minute(loss.at);
        if let Some(row) = self.losses.waiting().find(is_same) {
            row.count += loss.count;
            return;
        }
        self.losses.push(now, loss);
    }

    fn bytes(&mut self) -> usize {
        self.droppable().iter().map(|table| table.bytes()).sum()
    }

    /// All tables but that which tells of losses.
    fn droppable(&mut self) -> Vec<&mut dyn Table> {
        let mut all = self.all();
        all.retain(|table| table.name() != "losses");
        all
    }
}

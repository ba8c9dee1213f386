//! How much slower a victim became, and what the growth consists of.
//!
//! The mean latency is sampled active time over completed calls (Little's law),
//! before and after; both are sums over cells, so the growth is one too, without
//! remainder. Where nobody counts calls the same arithmetic runs over seconds gone
//! by, and says which share of time is lost rather than by how much a call grew.

use std::collections::{BTreeMap, HashMap};

use crate::attribution::apportion::Apportioned;
use crate::attribution::cause::{Cell, InTheWay};
use crate::attribution::charge::{Charges, SystemId, VictimKey};
use crate::attribution::finding::CallsBasis;
use crate::attribution::pool::Residents;
use crate::attribution::statistics::{Block, Estimate, Ratio, rank_stability};
use crate::attribution::usage::Work;
use crate::attribution::window::{Cuts, Window};
use crate::names::Statements;
use crate::recording::Recording;

/// A system is named apart from the others at its table if it brought this share.
const WORTH_A_NAME: f64 = 0.2;

/// Fewer systems than this are not many: each keeps its name.
const FEWEST_IN_TURN: usize = 3;

/// Seconds per piece of time, by victim and cell, scaled to the time they stand for.
#[derive(Debug)]
pub(super) struct Ledger<'a> {
    pub(super) charges: &'a Charges,
    pub(super) cuts: &'a Cuts,
    cells: BTreeMap<u32, BTreeMap<u32, Vec<f64>>>,
    calls: HashMap<u32, Vec<f64>>,
    runners: HashMap<u32, Vec<Option<SystemId>>>,
    /// Parts of pools, numbered after the victims that are charged.
    residents: Vec<Residents>,
}

/// A victim's growth between two windows, or its losses in one.
#[derive(Debug)]
pub(super) struct Comparison {
    pub(super) victim: u32,
    /// The victim that is charged for it, where it is part of one.
    pub(super) pool: u32,
    pub(super) before: Option<(Window, Ratio)>,
    pub(super) after: (Window, Ratio),
    pub(super) total: Estimate,
    pub(super) parts: Vec<GrowthPart>,
    pub(super) calls: Option<[f64; 2]>,
    pub(super) basis: CallsBasis,
    pub(super) systems: Vec<Option<SystemId>>,
    pub(super) blocks: [usize; 2],
    /// What the statement did before and after, where the server counts it.
    pub(super) work: Option<(Work, Work)>,
}

/// One cause's part in it.
#[derive(Debug)]
pub(super) struct GrowthPart {
    /// What it is said to be; several cells may have become one.
    pub(super) cell: Cell,
    /// The cells behind it, each with its own growth in seconds per call.
    pub(super) cells: Vec<(u32, f64)>,
    pub(super) estimate: Estimate,
    /// Seconds lost to it after, scaled.
    pub(super) seconds: f64,
    pub(super) stability: Option<f64>,
    /// Whose new load it is laid to, where nobody is in the way.
    pub(super) apportioned: Option<Apportioned>,
}

impl<'a> Ledger<'a> {
    /// Sums the charges of a recording.
    pub(super) fn of(
        recording: &Recording,
        charges: &'a Charges,
        cuts: &'a Cuts,
        statements: &Statements,
        system_of: impl Fn(&crate::sample::Session) -> Option<SystemId>,
    ) -> Self {
        let mut cells: BTreeMap<u32, BTreeMap<u32, Vec<f64>>> = BTreeMap::new();
        for charge in &charges.all {
            let Some((piece, scale)) = cuts.of_tick(charge.tick) else {
                continue;
            };
            let pieces = cells.entry(charge.victim).or_default().entry(charge.cell);
            pieces.or_insert_with(|| vec![0.0; cuts.pieces()])[piece] += charge.seconds * scale;
        }
        let mut calls = HashMap::new();
        for (victim, key) in (0_u32..).zip(charges.victims.values()) {
            let known = key.database.zip(key.statement);
            if let Some(known) =
                known.and_then(|(database, id)| cuts.calls(database, id, statements))
            {
                calls.insert(victim, known);
            }
        }
        let mut runners: HashMap<u32, Vec<Option<SystemId>>> = HashMap::new();
        let sessions = recording
            .snapshots
            .iter()
            .flat_map(|snapshot| &snapshot.sessions);
        for session in sessions.filter(|session| session.is_client()) {
            let key = VictimKey {
                database: session.database,
                statement: session.statement,
            };
            let Some(victim) = charges.victims.find(&key) else {
                continue;
            };
            let system = system_of(session);
            let runners = runners.entry(victim).or_default();
            if !runners.contains(&system) {
                runners.push(system);
            }
        }
        for charge in &charges.all {
            let runners = runners.entry(charge.victim).or_default();
            if !runners.contains(&charge.system) {
                runners.push(charge.system);
            }
        }
        for runners in runners.values_mut() {
            runners.sort_unstable();
        }
        Self {
            charges,
            cuts,
            cells,
            calls,
            runners,
            residents: Vec::new(),
        }
    }

    /// Makes victims of those who run a pool's statement before and after an event.
    pub(super) fn tell_apart(&mut self, residents: Vec<Residents>) {
        let mut cells: HashMap<u32, BTreeMap<u32, Vec<f64>>> = HashMap::new();
        let mut of_pool: HashMap<u32, Vec<(u32, &Residents)>> = HashMap::new();
        let first = self.charged();
        for (number, part) in (first..).zip(&residents) {
            of_pool.entry(part.pool).or_default().push((number, part));
            self.calls.insert(number, part.calls.clone());
            self.runners
                .insert(number, part.systems.iter().copied().collect());
        }
        for charge in &self.charges.all {
            let parts = of_pool.get(&charge.victim).into_iter().flatten();
            let theirs = parts.filter(|(_, part)| part.systems.contains(&charge.system));
            for (number, _) in theirs {
                let Some((piece, scale)) = self.cuts.of_tick(charge.tick) else {
                    continue;
                };
                let pieces = cells.entry(*number).or_default().entry(charge.cell);
                pieces.or_insert_with(|| vec![0.0; self.cuts.pieces()])[piece] +=
                    charge.seconds * scale;
            }
        }
        self.cells.extend(cells);
        self.residents = residents;
    }

    /// Lists the places of each victim's charges, those of parts of pools after the others.
    pub(super) fn places(&self) -> Vec<Vec<usize>> {
        let mut places = vec![Vec::new(); self.charged() as usize];
        for (place, charge) in self.charges.all.iter().enumerate() {
            places[charge.victim as usize].push(place);
        }
        for part in &self.residents {
            let charges = places[part.pool as usize].iter().copied();
            let is_theirs = |place: &usize| part.systems.contains(&self.charges.all[*place].system);
            places.push(charges.filter(is_theirs).collect());
        }
        places
    }

    /// Counts the victims that are charged.
    fn charged(&self) -> u32 {
        u32::try_from(self.charges.victims.values().len()).unwrap_or(u32::MAX)
    }

    /// Lists the victims that are charged, by number.
    pub(super) fn victims(&self) -> impl Iterator<Item = u32> {
        let charged = self.charged();
        self.cells
            .keys()
            .copied()
            .take_while(move |victim| *victim < charged)
    }

    /// Gives who stands for a victim around a group of events: its residents where the members of a
    /// pool differ, or itself.
    pub(super) fn around(&self, victim: u32, group: usize) -> u32 {
        let of = |part: &Residents| (part.pool, part.group) == (victim, group);
        let place = self
            .residents
            .iter()
            .position(of)
            .and_then(|place| u32::try_from(place).ok());
        place.map_or(victim, |place| self.charged() + place)
    }

    /// Gives whom a victim is part of, if it is.
    pub(super) fn part_of(&self, victim: u32) -> Option<&Residents> {
        self.residents
            .get(victim.checked_sub(self.charged())? as usize)
    }

    /// Gives the victim that is charged for this one: itself, or the pool that it is part of.
    pub(super) fn pool(&self, victim: u32) -> u32 {
        self.part_of(victim).map_or(victim, |part| part.pool)
    }

    /// Lists the systems that run a victim's statement.
    pub(super) fn runners(&self, victim: u32) -> &[Option<SystemId>] {
        self.runners.get(&victim).map_or(&[], Vec::as_slice)
    }

    /// Gives a victim's seconds in a piece, all cells together.
    pub(super) fn seconds(&self, victim: u32, piece: usize) -> f64 {
        self.cells.get(&victim).map_or(0.0, |cells| {
            cells.values().map(|pieces| pieces[piece]).sum()
        })
    }

    /// Gives a victim's calls in a piece.
    pub(super) fn calls(&self, victim: u32, piece: usize) -> Option<f64> {
        self.calls
            .get(&victim)
            .map(|calls| calls[piece])
            .filter(|calls| calls.is_finite())
    }

    /// Compares a victim's means; none where there is nothing to divide by.
    ///
    /// Without a `before`, parts are what is lost in `after`, against zero. `per_call`
    /// false divides by seconds gone by.
    pub(super) fn compare(
        &self,
        victim: u32,
        before: Option<&Window>,
        after: &Window,
        per_call: bool,
    ) -> Option<Comparison> {
        let cells = self.cells.get(&victim)?;
        let per: Vec<f64> = if per_call {
            self.calls.get(&victim)?.clone()
        } else {
            (0..self.cuts.pieces())
                .map(|piece| self.cuts.seconds(piece))
                .collect()
        };
        let blocks = |window: &Window, rows: &[&Vec<f64>]| -> Vec<Block> {
            let block = |pieces: &std::ops::Range<usize>| Block {
                seconds: rows
                    .iter()
                    .map(|row| row[pieces.clone()].iter().sum::<f64>())
                    .sum(),
                per: per[pieces.clone()].iter().sum(),
            };
            window
                .blocks
                .iter()
                .map(block)
                .filter(|block| block.per.is_finite())
                .collect()
        };
        let measure = |rows: &[&Vec<f64>]| -> Option<(Vec<Block>, Vec<Block>, Estimate)> {
            let after = blocks(after, rows);
            let ratio = Ratio::of(after.iter().copied())?;
            let Some(before) = before else {
                return Some((Vec::new(), after, Estimate::of(ratio)));
            };
            let before = blocks(before, rows);
            let estimate = Estimate::difference(Ratio::of(before.iter().copied())?, ratio);
            Some((before, after, estimate))
        };
        let all: Vec<&Vec<f64>> = cells.values().collect();
        let (blocks_before, blocks_after, total) = measure(&all)?;
        let mut sides = (Vec::new(), Vec::new());
        let mut parts = Vec::new();
        let growth_of = |cell: &u32| measure(&[&cells[cell]]).map_or(0.0, |(.., e)| e.value);
        for (cell, members) in self.merged(cells.keys().copied().collect(), growth_of) {
            let rows: Vec<&Vec<f64>> = members.iter().map(|member| &cells[member]).collect();
            let members = members
                .into_iter()
                .map(|member| (member, growth_of(&member)))
                .collect();
            let (b, a, estimate) = measure(&rows)?;
            let seconds = a.iter().map(|block| block.seconds).sum();
            sides.0.push(b);
            sides.1.push(a);
            parts.push(GrowthPart {
                cell,
                cells: members,
                estimate,
                seconds,
                stability: None,
                apportioned: None,
            });
        }
        if let Some(kept) = rank_stability(&sides.0, &sides.1) {
            for (part, kept) in parts.iter_mut().zip(kept) {
                part.stability = Some(kept);
            }
        }
        parts.sort_by(|a, b| {
            b.estimate
                .value
                .total_cmp(&a.estimate.value)
                .then_with(|| a.cell.cmp(&b.cell))
        });
        let sum = |blocks: &[Block]| blocks.iter().map(|block| block.per).sum::<f64>();
        let systems = self.runners(victim).to_vec();
        Some(Comparison {
            victim,
            pool: self.pool(victim),
            before: before
                .cloned()
                .zip(Ratio::of(blocks_before.iter().copied())),
            after: (after.clone(), Ratio::of(blocks_after.iter().copied())?),
            total,
            parts,
            calls: per_call.then(|| [sum(&blocks_before), sum(&blocks_after)]),
            basis: match (per_call, systems.len()) {
                _ if self.part_of(victim).is_some() => CallsBasis::Estimated,
                (false, _) => CallsBasis::Estimated,
                (true, 0 | 1) => CallsBasis::Counted,
                (true, _) => CallsBasis::Pooled,
            },
            systems,
            blocks: [blocks_before.len(), blocks_after.len()],
            work: None,
        })
    }

    /// Makes one cell of systems at one table of which none stands out.
    fn merged(&self, cells: Vec<u32>, growth_of: impl Fn(&u32) -> f64) -> Vec<(Cell, Vec<u32>)> {
        let mut tables: BTreeMap<Cell, Vec<u32>> = BTreeMap::new();
        for number in cells {
            let cell = self.charges.cells.get(number);
            let at_table = match cell.blocker {
                InTheWay::System(_) => Cell {
                    blocker: InTheWay::Many,
                    ..cell.clone()
                },
                _ => cell.clone(),
            };
            tables.entry(at_table).or_default().push(number);
        }
        let mut merged = Vec::new();
        for (at_table, members) in tables {
            if at_table.blocker != InTheWay::Many {
                merged.push((at_table, members));
                continue;
            }
            let grown: f64 = members.iter().map(|cell| growth_of(cell).max(0.0)).sum();
            let (named, rest): (Vec<u32>, Vec<u32>) = members
                .into_iter()
                .partition(|cell| growth_of(cell) >= WORTH_A_NAME * grown && growth_of(cell) > 0.0);
            merged.extend(
                named
                    .into_iter()
                    .map(|n| (self.charges.cells.get(n).clone(), vec![n])),
            );
            if rest.len() < FEWEST_IN_TURN {
                merged.extend(
                    rest.into_iter()
                        .map(|n| (self.charges.cells.get(n).clone(), vec![n])),
                );
            } else {
                merged.push((at_table, rest));
            }
        }
        merged
    }
}

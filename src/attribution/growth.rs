//! How much slower a victim became, and what the growth consists of.
//!
//! The mean latency is sampled active time over completed calls (Little's law), helped by what the
//! server itself timed (`timed`), before and after; both are sums over cells, so the growth is one
//! too, without remainder. Where nobody counts calls the same arithmetic runs over seconds gone
//! by, and says which share of time is lost rather than by how much a call grew.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use crate::attribution::apportion::Apportioned;
use crate::attribution::cause::{Cell, Class, InTheWay};
use crate::attribution::charge::{Charge, Charges, SystemId, VictimKey};
use crate::attribution::finding::CallsBasis;
use crate::attribution::horizon::Kept;
use crate::attribution::pool::Residents;
use crate::attribution::statistics::{Block, Estimate, Ratio, rank_stability};
use crate::attribution::timed::{Phase, Seconds, Timed};
use crate::attribution::usage::{Usage, Work};
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
    recording: &'a Recording,
    cells: BTreeMap<u32, BTreeMap<u32, Vec<Seconds>>>,
    calls: HashMap<u32, Vec<f64>>,
    /// Seconds in execution that the server counted.
    timed: HashMap<u32, Vec<f64>>,
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
    /// Without a baseline: what it did before the watch, and in the window after.
    pub(super) history: Option<(Work, Work)>,
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
    /// Whose old snapshot makes for it.
    pub(super) kept: Option<Kept>,
}

/// One window of a comparison.
struct Side<'a> {
    window: &'a Window,
    cells: &'a BTreeMap<u32, Vec<Seconds>>,
    /// What each piece is divided by.
    per: &'a [f64],
    timed: Option<Timed>,
    own_work: Option<u32>,
}

impl Side<'_> {
    /// Tells whether no look saw what the executions did.
    fn is_unseen(&self) -> bool {
        self.timed.as_ref().is_some_and(|timed| !timed.was_seen())
    }

    /// Sums some cells, for each block that there is anything to divide by.
    fn blocks(&self, cells: &[u32]) -> Vec<Block> {
        let saw = |of: &[Seconds], pieces: &Range<usize>| {
            let mut sum = Seconds::default();
            of[pieces.clone()].iter().for_each(|it| sum.add(*it));
            sum
        };
        let per = |pieces: &Range<usize>| self.per[pieces.clone()].iter().sum::<f64>();
        let known = |pieces: &&Range<usize>| per(pieces).is_finite();
        let seconds: Vec<(&[Seconds], f64)> = cells
            .iter()
            .filter_map(|cell| self.cells.get(cell))
            .map(|of| {
                let blocks = self.window.blocks.iter().filter(known);
                (
                    &of[..],
                    blocks.map(|pieces| saw(of, pieces).execution).sum(),
                )
            })
            .collect();
        let is_own_work = self.own_work.is_some_and(|cell| cells.contains(&cell));
        let correction = |block: usize, pieces: &Range<usize>| match &self.timed {
            Some(timed) if timed.was_seen() => seconds
                .iter()
                .map(|(of, all)| timed.correction(block, saw(of, pieces).execution, *all))
                .sum(),
            Some(timed) if is_own_work => timed.unseen(block),
            _ => 0.0,
        };
        let block = |(block, pieces): (usize, &Range<usize>)| {
            let all: f64 = seconds.iter().map(|(of, _)| saw(of, pieces).all).sum();
            Block {
                seconds: all + correction(block, pieces),
                per: per(pieces),
            }
        };
        let blocks = self.window.blocks.iter().enumerate();
        blocks
            .filter(|(_, pieces)| known(pieces))
            .map(block)
            .collect()
    }
}

impl<'a> Ledger<'a> {
    /// Sums the charges of a recording.
    pub(super) fn of(
        recording: &'a Recording,
        charges: &'a Charges,
        cuts: &'a Cuts,
        (usage, statements): (&Usage, &Statements),
        system_of: impl Fn(&crate::sample::Session) -> Option<SystemId>,
    ) -> Self {
        let (mut calls, mut timed) = (HashMap::new(), HashMap::new());
        for (victim, key) in (0_u32..).zip(charges.victims.values()) {
            let Some((database, id)) = key.database.zip(key.statement) else {
                continue;
            };
            let counted = cuts.calls(database, id, statements);
            calls.extend(counted.map(|calls| (victim, calls)));
            let counted = usage.in_execution(database, id, statements, cuts.pieces());
            timed.extend(counted.map(|seconds| (victim, seconds)));
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
        let mut ledger = Self {
            charges,
            cuts,
            recording,
            cells: BTreeMap::new(),
            calls,
            timed,
            runners,
            residents: Vec::new(),
        };
        for charge in &charges.all {
            ledger.add(charge.victim, charge);
        }
        ledger
    }

    /// Adds a charge to a victim's cells.
    fn add(&mut self, victim: u32, charge: &Charge) {
        let Some((piece, scale)) = self.cuts.of_tick(charge.tick) else {
            return;
        };
        // A minute without samples has none.
        let tick = charge.tick.checked_sub(self.recording.minutes.len());
        let tick = tick.and_then(|tick| self.recording.snapshots.get(tick));
        let session = tick
            .zip(charge.row)
            .and_then(|(tick, row)| tick.sessions.get(row as usize));
        let class = self.charges.cells.get(charge.cell).class;
        let phase = Phase::of(class, session);
        let cells = self.cells.entry(victim).or_default();
        let pieces = cells
            .entry(charge.cell)
            .or_insert_with(|| vec![Seconds::default(); self.cuts.pieces()]);
        pieces[piece].add(Seconds::of(charge.seconds * scale, phase));
    }

    /// Makes victims of those who run a pool's statement before and after an event.
    pub(super) fn tell_apart(&mut self, residents: Vec<Residents>) {
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
                self.add(*number, charge);
            }
        }
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
            cells.values().map(|pieces| pieces[piece].all).sum()
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
        let side = |window| Side {
            window,
            cells,
            per: &per,
            timed: per_call.then(|| self.timed(victim, window)).flatten(),
            own_work: self.own_work(),
        };
        let (before, after) = (before.map(side), side(after));
        let measure = |cells: &[u32]| -> Option<(Vec<Block>, Vec<Block>, Estimate)> {
            let after = after.blocks(cells);
            let ratio = Ratio::of(after.iter().copied())?;
            let Some(before) = &before else {
                return Some((Vec::new(), after, Estimate::of(ratio)));
            };
            let before = before.blocks(cells);
            let estimate = Estimate::difference(Ratio::of(before.iter().copied())?, ratio);
            Some((before, after, estimate))
        };
        let sides = before.iter().chain([&after]);
        let unseen = sides.filter_map(|side| side.own_work.filter(|_| side.is_unseen()));
        let mut all: Vec<u32> = cells.keys().copied().chain(unseen).collect();
        all.sort_unstable();
        all.dedup();
        let (blocks_before, blocks_after, total) = measure(&all)?;
        let mut sides = (Vec::new(), Vec::new());
        let mut parts = Vec::new();
        let growth_of = |cell: &u32| measure(&[*cell]).map_or(0.0, |(.., e)| e.value);
        for (cell, members) in self.merged(all, growth_of) {
            let (b, a, estimate) = measure(&members)?;
            let members = members
                .into_iter()
                .map(|member| (member, growth_of(&member)))
                .collect();
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
                kept: None,
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
                .map(|before| before.window.clone())
                .zip(Ratio::of(blocks_before.iter().copied())),
            after: (
                after.window.clone(),
                Ratio::of(blocks_after.iter().copied())?,
            ),
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
            history: None,
        })
    }

    /// Gives the cell of own work, if there is any.
    fn own_work(&self) -> Option<u32> {
        let cell = Cell::without_holder(Class::OwnWork);
        self.charges.cells.find(&cell)
    }

    /// Tells what a victim took in execution in a window, where the server timed it.
    fn timed(&self, victim: u32, window: &Window) -> Option<Timed> {
        let counted = self.timed.get(&victim)?;
        let mut saw = vec![Seconds::default(); self.cuts.pieces()];
        for pieces in self.cells.get(&victim)?.values() {
            saw.iter_mut()
                .zip(pieces)
                .for_each(|(sum, it)| sum.add(*it));
        }
        let looks = self
            .charges
            .looks
            .iter()
            .filter(|look| window.contains(look.at));
        let (spans, ticks) = looks.fold((0.0, 0.0), |(spans, ticks), look| {
            (
                spans + look.span.as_secs_f64(),
                ticks + f64::from(look.ticks),
            )
        });
        let timed = Timed::of(counted, &saw, spans / ticks, window)?;
        (timed.was_seen() || self.own_work().is_some()).then_some(timed)
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

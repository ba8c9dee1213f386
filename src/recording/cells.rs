//! Charges, summed by account.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::charge::{Account, Charge};
use super::interner::Interner;
use crate::time::{Span, Timestamp};

/// The sums of a stretch of time.
///
/// They stay bounded: beyond so many accounts, further ones are summed without their statements,
/// and beyond twice as many without their systems and tables. No time is lost by that.
#[derive(Debug)]
pub struct Cells {
    most: usize,
    /// What was spent, in how many ticks, and the longest wait.
    sums: BTreeMap<Arc<Account>, (Span, u32, Option<Span>)>,
    /// The accounts' words, each once.
    words: Interner,
}

impl Cells {
    /// Begins without any; so many may tell statements apart.
    #[must_use]
    pub fn of_at_most(most: usize) -> Self {
        Self {
            most,
            sums: BTreeMap::new(),
            words: Interner::default(),
        }
    }

    /// Adds a charge, or a cell.
    pub fn add(&mut self, charge: &Charge) {
        if !self.sums.contains_key(&charge.account) {
            let mut account = self.account(&charge.account);
            account.words().for_each(|word| self.words.share(word));
            let account = Arc::new(account);
            self.sums.entry(Arc::clone(&account)).or_default();
            return self.add_to(&account, charge);
        }
        self.add_to(&charge.account, charge);
    }

    fn add_to(&mut self, account: &Account, charge: &Charge) {
        if let Some((spent, ticks, waited)) = self.sums.get_mut(account) {
            *spent += charge.spent_us;
            *ticks = ticks.saturating_add(charge.ticks);
            *waited = (*waited).max(charge.waited_us);
        }
    }

    /// Gives the account that one not yet known is summed under: its own, or a coarser one where
    /// there are very many.
    fn account(&self, account: &Account) -> Account {
        let known = self.sums.len();
        if known < self.most {
            return account.clone();
        }
        let coarser = Account {
            statement: None,
            blocker_statement: None,
            blocker_basis: None,
            through_system: None,
            through_statement: None,
            ..account.clone()
        };
        if known < 2 * self.most || self.sums.contains_key(&coarser) {
            return coarser;
        }
        Account {
            system: None,
            table_name: None,
            held_table: None,
            basis: None,
            blocker_system: None,
            blocker_gid: None,
            ..coarser
        }
    }

    /// Gives the cells, in order of the accounts.
    #[must_use]
    pub fn at(self, at: Timestamp) -> Vec<Charge> {
        let cell = |(account, (spent_us, ticks, waited_us))| Charge {
            at,
            account,
            spent_us,
            ticks,
            waited_us,
        };
        self.sums.into_iter().map(cell).collect()
    }
}

//! What rows have in common, each in memory once.

use std::collections::HashSet;
use std::sync::Arc;

use super::charge::Account;

/// The words and the accounts that rows of a recording share: millions of rows say the same few.
#[derive(Debug, Default)]
pub(super) struct Interner {
    words: HashSet<Arc<str>>,
    accounts: HashSet<Arc<Account>>,
}

impl Interner {
    /// Gives the one allocation of a word.
    pub(super) fn word(&mut self, word: &str) -> Arc<str> {
        if let Some(known) = self.words.get(word) {
            return Arc::clone(known);
        }
        let word = Arc::from(word);
        self.words.insert(Arc::clone(&word));
        word
    }

    /// Lets a word share the one allocation of it.
    pub(super) fn share(&mut self, word: &mut Arc<str>) {
        match self.words.get(word) {
            Some(known) => *word = Arc::clone(known),
            None => _ = self.words.insert(Arc::clone(word)),
        }
    }

    /// Gives the one allocation of an account.
    pub(super) fn account(&mut self, account: Account) -> Arc<Account> {
        if let Some(known) = self.accounts.get(&account) {
            return Arc::clone(known);
        }
        let account = Arc::new(account);
        self.accounts.insert(Arc::clone(&account));
        account
    }
}

//! Values by number, so that sums run over arrays.

use std::collections::HashMap;
use std::hash::Hash;

/// A list without repetition; a value's number is its place.
#[derive(Clone, Debug)]
pub(super) struct Interned<T> {
    values: Vec<T>,
    numbers: HashMap<T, u32>,
}

impl<T> Default for Interned<T> {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            numbers: HashMap::new(),
        }
    }
}

impl<T: Clone + Eq + Hash> Interned<T> {
    /// Gives a value's number, a new one if it is new.
    ///
    pub(super) fn number(&mut self, value: T) -> u32 {
        let next = u32::try_from(self.values.len()).unwrap_or(u32::MAX);
        *self.numbers.entry(value).or_insert_with_key(|value| {
            self.values.push(value.clone());
            next
        })
    }

    /// Gives a value's number, if it has one.
    pub(super) fn find(&self, value: &T) -> Option<u32> {
        self.numbers.get(value).copied()
    }

    /// Gives the value of a number that [`Interned::number`] gave.
    pub(super) fn get(&self, number: u32) -> &T {
        &self.values[number as usize]
    }

    /// Gives all values by number.
    pub(super) fn values(&self) -> &[T] {
        &self.values
    }
}

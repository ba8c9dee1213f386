//! A table of a TOML file on its way to being understood: each key is taken out once, and what is
//! left over was not meant for us.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::Mistake;

/// The file, and what was found wrong with it so far.
pub(super) struct Text<'a> {
    pub(super) file: &'a Path,
    pub(super) written: &'a str,
    pub(super) mistakes: RefCell<Vec<Mistake>>,
}

impl Text<'_> {
    /// Takes down a mistake at a place in the text.
    pub(super) fn complain(&self, at: usize, key: &str, said: impl Into<String>) {
        let before = self.written.get(..at).unwrap_or(self.written);
        self.mistakes.borrow_mut().push(Mistake {
            file: self.file.to_owned(),
            line: before.matches('\n').count() + 1,
            key: key.to_owned(),
            said: said.into(),
        });
    }
}

/// A table, and what of it nobody has asked for yet.
pub(super) struct Table<'t, 'a> {
    text: &'t Text<'a>,
    /// Its name with those of the tables around it; empty for the file's own.
    path: String,
    /// Where it begins.
    at: usize,
    keys: BTreeMap<&'t str, (usize, &'t DeValue<'a>)>,
    /// What was asked for, whether it was there or not.
    known: RefCell<Vec<&'static str>>,
}

impl<'t, 'a> Table<'t, 'a> {
    pub(super) fn new(text: &'t Text<'a>, path: String, at: usize, table: &'t DeTable<'a>) -> Self {
        let keys = table.iter().map(|(key, value)| {
            let key: (&str, Range<usize>) = (key.get_ref(), key.span());
            (key.0, (key.1.start, value.get_ref()))
        });
        Self {
            text,
            path,
            at,
            keys: keys.collect(),
            known: RefCell::default(),
        }
    }

    /// Names a key with the tables around it.
    fn full(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    /// Takes down a mistake with a key, at its place where it has one.
    pub(super) fn complain(&self, key: &str, said: impl Into<String>) {
        let at = self.keys.get(key).map_or(self.at, |(at, _)| *at);
        self.text.complain(at, &self.full(key), said);
    }

    fn take(&self, key: &'static str) -> Option<&'t DeValue<'a>> {
        self.known.borrow_mut().push(key);
        self.keys.get(key).map(|(_, value)| *value)
    }

    /// Tells whether a key is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.keys.contains_key(key)
    }

    /// Takes a string.
    pub(super) fn string(&self, key: &'static str) -> Option<&'t str> {
        match self.take(key)? {
            DeValue::String(text) if text.trim().is_empty() => {
                self.complain(key, "is empty");
                None
            }
            DeValue::String(text) => Some(text),
            other => {
                self.complain(key, format!("is {}, and must be a string", kind(other)));
                None
            }
        }
    }

    /// Takes a string that says something else.
    pub(super) fn parsed<T>(
        &self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        match parse(self.string(key)?) {
            Ok(value) => Some(value),
            Err(said) => {
                self.complain(key, said);
                None
            }
        }
    }

    /// Takes a number, or the string of one.
    pub(super) fn number(
        &self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<f64, String>,
    ) -> Option<f64> {
        let parsed = match self.take(key)? {
            DeValue::String(text) => parse(text),
            DeValue::Integer(number) => parse(&number.to_string()),
            DeValue::Float(number) => parse(number.as_str()),
            other => Err(format!("is {}, and must be a number", kind(other))),
        };
        parsed.map_err(|said| self.complain(key, said)).ok()
    }

    /// Takes a list of strings, or a single one.
    pub(super) fn strings(&self, key: &'static str) -> Option<Vec<&'t str>> {
        let not_strings = || {
            self.complain(key, "must be a list of strings");
            None
        };
        match self.take(key)? {
            DeValue::String(text) => Some(text.split(',').collect()),
            DeValue::Array(items) => {
                let items = items.iter().map(|item| item.get_ref().as_str());
                items.collect::<Option<Vec<_>>>().or_else(not_strings)
            }
            _ => not_strings(),
        }
    }

    /// Takes a table.
    pub(super) fn table(&self, key: &'static str) -> Option<Self> {
        self.take(key)?;
        self.inner(key)
    }

    /// Takes all that is left as tables, by name.
    pub(super) fn tables(&self) -> Vec<(&'t str, Self)> {
        let all = self.keys.keys();
        all.filter_map(|name| Some((*name, self.inner(name)?)))
            .collect()
    }

    /// Tells whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    fn inner(&self, key: &str) -> Option<Self> {
        let (at, value) = self.keys.get(key)?;
        if let DeValue::Table(inner) = value {
            Some(Self::new(self.text, self.full(key), *at, inner))
        } else {
            let name = self.full(key);
            let said = format!("is {}, and must be a table: [{name}]", kind(value));
            self.complain(key, said);
            None
        }
    }

    /// Complains about what nobody asked for.
    pub(super) fn finish(self) {
        let known = self.known.borrow();
        for key in self.keys.keys().filter(|key| !known.contains(*key)) {
            let meant = nearest(key, &known);
            let meant = meant.map_or_else(
                || format!("; known here are {}", known.join(", ")),
                |meant| format!("; did you mean {meant}?"),
            );
            self.complain(key, format!("is not known{meant}"));
        }
    }
}

/// Says what kind of value there is.
fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// Finds the known word that was likely meant: at most a third of it is written otherwise.
fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let off = known.iter().map(|known| (distance(word, known), *known));
    let (off, meant) = off.min()?;
    (off <= meant.len().div_ceil(3)).then_some(meant)
}

/// Counts the letters to change, put in, leave out or swap with the next (Damerau and Levenshtein,
/// each letter once).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for n in 0..=a.len() {
        for m in 0..=b.len() {
            rows[n][m] = match (n, m) {
                (0, other) | (other, 0) => other,
                _ => {
                    let changed = rows[n - 1][m - 1] + usize::from(a[n - 1] != b[m - 1]);
                    let one_more = rows[n - 1][m].min(rows[n][m - 1]) + 1;
                    let is_swap = n > 1 && m > 1 && a[n - 1] == b[m - 2] && a[n - 2] == b[m - 1];
                    let swapped = if is_swap {
                        rows[n - 2][m - 2] + 1
                    } else {
                        usize::MAX
                    };
                    changed.min(one_more).min(swapped)
                }
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_is_told_from_another_word() {
        let known = ["dsn", "raw_bytes", "rollup_bytes", "budget", "system_by"];
        assert_eq!(nearest("raw_byte", &known), Some("raw_bytes"));
        assert_eq!(nearest("bugdet", &known), Some("budget"));
        assert_eq!(nearest("systemby", &known), Some("system_by"));
        assert_eq!(nearest("dns", &known), Some("dsn"));
        assert_eq!(nearest("colour", &known), None);
    }
}

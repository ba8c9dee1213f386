//! Rows made straight of their columns, for the tables of which a day has millions.
//!
//! - By the names of its fields a row takes microseconds, and words of its own. Here a column is
//!   looked up once for all rows, a word is read once for all rows of a row group that have it, and
//!   neighbours that have an account in common share it: rows lie in order of their accounts.
//! - Columns are of the types that this version writes; words may be numbers in a dictionary. A
//!   column that is not there has nulls, as in a recording that is older than the column.
//! - A null where a row must have a value is no row of ours.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{
    Float64Type, Int32Type, Int64Type, TimestampMicrosecondType, UInt32Type, UInt64Type,
};
use arrow_array::{Array as _, ArrowPrimitiveType, PrimitiveArray, RecordBatch};

use super::charge::{Account, Charge};
use super::interner::Interner;
use crate::pg::{LockMode, Oid, QueryId};
use crate::sample::StatementCounters;
use crate::statement::StatementId;
use crate::time::{Span, Timestamp};

/// The columns of words in an account, in the order in which [`charges`] takes them.
const WORDS: [&str; 13] = [
    "system",
    "class",
    "table_name",
    "held_table",
    "basis",
    "lock_type",
    "lock_mode",
    "blocker",
    "blocker_system",
    "blocker_gid",
    "blocker_state",
    "blocker_basis",
    "through_system",
];

/// A column of numbers.
struct Numbers<'b, T: ArrowPrimitiveType>(Option<&'b PrimitiveArray<T>>);

impl<'b, T: ArrowPrimitiveType> Numbers<'b, T> {
    /// Finds one by its name; none where it is of another type.
    fn of(batch: &'b RecordBatch, name: &str) -> Option<Self> {
        let Some(column) = batch.column_by_name(name) else {
            return Some(Self(None));
        };
        Some(Self(Some(column.as_primitive_opt()?)))
    }

    fn get(&self, row: usize) -> Option<T::Native> {
        let column = self.0.filter(|column| column.is_valid(row))?;
        Some(column.value(row))
    }

    /// Marks the rows that differ from the one before.
    fn mark(&self, differs: &mut [bool]) {
        for (row, differs) in differs.iter_mut().enumerate().skip(1) {
            *differs |= self.get(row) != self.get(row - 1);
        }
    }
}

/// A column of words, each by its number.
struct Words {
    numbers: Vec<Option<usize>>,
    words: Vec<Arc<str>>,
}

impl Words {
    /// Finds one by its name; none where it is of another type.
    fn of(batch: &RecordBatch, name: &str, known: &mut Interner) -> Option<Self> {
        let mut words = Vec::new();
        let Some(column) = batch.column_by_name(name) else {
            let numbers = Vec::new();
            return Some(Self { numbers, words });
        };
        if let Some(column) = column.as_dictionary_opt::<Int32Type>() {
            let values = column.values().as_string_opt::<i32>()?;
            words.extend(
                values
                    .iter()
                    .map(|word| known.word(word.unwrap_or_default())),
            );
            let keys = column.keys().iter();
            let numbers = keys.map(|key| usize::try_from(key?).ok()).collect();
            return Some(Self { numbers, words });
        }
        let mut places: HashMap<&str, usize> = HashMap::new();
        let mut place = |word| {
            *places.entry(word).or_insert_with(|| {
                words.push(known.word(word));
                words.len() - 1
            })
        };
        let column = column.as_string_opt::<i32>()?.iter();
        let numbers = column.map(|word| word.map(&mut place)).collect();
        Some(Self { numbers, words })
    }

    fn get(&self, row: usize) -> Option<Arc<str>> {
        let number = *self.numbers.get(row)?;
        self.words.get(number?).cloned()
    }

    /// Marks the rows that differ from the one before.
    fn mark(&self, differs: &mut [bool]) {
        let pairs = self.numbers.iter().zip(self.numbers.iter().skip(1));
        for (differs, (before, now)) in differs.iter_mut().skip(1).zip(pairs) {
            *differs |= before != now;
        }
    }
}

/// Makes charges, or cells, of their columns; none if they are not ours.
pub(super) fn charges(batch: &RecordBatch, known: &mut Interner) -> Option<Vec<Charge>> {
    let words = WORDS.iter().map(|name| Words::of(batch, name, known));
    let words: Vec<Words> = words.collect::<Option<_>>()?;
    let database = Numbers::<UInt32Type>::of(batch, "database")?;
    let statements = ["statement", "blocker_statement", "through_statement"];
    let statements = statements.map(|name| Numbers::<UInt64Type>::of(batch, name));
    let [
        Some(statement),
        Some(blocker_statement),
        Some(through_statement),
    ] = statements
    else {
        return None;
    };
    let at = Numbers::<TimestampMicrosecondType>::of(batch, "at")?;
    let spent = Numbers::<Int64Type>::of(batch, "spent_us")?;
    let ticks = Numbers::<UInt32Type>::of(batch, "ticks")?;
    let waited = Numbers::<Int64Type>::of(batch, "waited_us")?;
    let mut differs = vec![false; batch.num_rows()];
    for column in &words {
        column.mark(&mut differs);
    }
    database.mark(&mut differs);
    for column in [&statement, &blocker_statement, &through_statement] {
        column.mark(&mut differs);
    }
    let account_of = |row: usize| -> Option<Account> {
        let mut words = words.iter().map(|column| column.get(row));
        let mut next = || words.next().flatten();
        Some(Account {
            database: database.get(row).map(Oid),
            statement: statement.get(row).map(StatementId),
            system: next(),
            class: next()?,
            table_name: next(),
            held_table: next(),
            basis: next(),
            lock_type: next(),
            lock_mode: match next() {
                Some(name) => Some(LockMode::try_from(name.to_string()).ok()?),
                None => None,
            },
            blocker: next()?,
            blocker_system: next(),
            blocker_gid: next(),
            blocker_state: next(),
            blocker_statement: blocker_statement.get(row).map(StatementId),
            blocker_basis: next(),
            through_system: next(),
            through_statement: through_statement.get(row).map(StatementId),
        })
    };
    let mut last: Option<Arc<Account>> = None;
    let charge = |(row, differs): (usize, bool)| {
        let account = match last.take() {
            Some(last) if !differs => last,
            _ => known.account(account_of(row)?),
        };
        last = Some(Arc::clone(&account));
        Some(Charge {
            at: Timestamp::from_micros(at.get(row)?),
            account,
            spent_us: Span::from_micros(spent.get(row)?),
            ticks: ticks.get(row)?,
            waited_us: waited.get(row).map(Span::from_micros),
        })
    };
    differs.into_iter().enumerate().map(charge).collect()
}

/// Makes counters of their columns; none if they are not ours.
pub(super) fn counters(batch: &RecordBatch) -> Option<Vec<StatementCounters>> {
    let at = Numbers::<TimestampMicrosecondType>::of(batch, "at")?;
    let database = Numbers::<UInt32Type>::of(batch, "database")?;
    let exec_ms = Numbers::<Float64Type>::of(batch, "exec_ms")?;
    let number = |name| Numbers::<Int64Type>::of(batch, name);
    let (query_id, calls, rows) = (number("query_id")?, number("calls")?, number("rows")?);
    let (hit, read) = (number("blocks_hit")?, number("blocks_read")?);
    let wal_bytes = number("wal_bytes")?;
    let counters = (0..batch.num_rows()).map(|row| {
        Some(StatementCounters {
            at: Timestamp::from_micros(at.get(row)?),
            database: Oid(database.get(row)?),
            query_id: QueryId(query_id.get(row)?),
            calls: calls.get(row),
            exec_ms: exec_ms.get(row)?,
            rows: rows.get(row)?,
            blocks_hit: hit.get(row)?,
            blocks_read: read.get(row)?,
            wal_bytes: wal_bytes.get(row)?,
        })
    });
    counters.collect()
}

//! Short names for statements and states.

use super::line::{escape, fit};
use crate::attribution::finding::Blocker;
use crate::statement;

/// Columns of a statement's short name.
const LONGEST: usize = 60;
/// Characters of a statement that are read for its name.
const LONGEST_READ: usize = 4_000;

/// Names a statement by what it does and to which table: `UPDATE state_counter`.
///
/// A text that is not understood is cut.
#[must_use]
pub fn statement_name(query: &str) -> String {
    // A statement says early what it does, and a text may be a megabyte.
    let end = query.char_indices().nth(LONGEST_READ).map(|(end, _)| end);
    let said = statement::read(&query.as_bytes()[..end.unwrap_or(query.len())]).short();
    if said.is_empty() {
        return "a statement without a text".to_owned();
    }
    fit(&escape(&said), LONGEST)
}

/// Names who is in the way: `sync-12`, or `'settle-7' of ledger` for a prepared transaction.
#[must_use]
pub fn blocker_name(blocker: &Blocker) -> String {
    let bounded = |text: &str| fit(&escape(text), 64);
    match (&blocker.gid, blocker.system.as_deref().map(bounded)) {
        (Some(gid), Some(owner)) => format!("'{}' of {owner}", bounded(gid)),
        (Some(gid), None) => format!("'{}'", bounded(gid)),
        (None, Some(system)) => system,
        (None, None) => "a system without a name".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_named_by_what_it_does_to_which_table() {
        let named = [
            "UPDATE public.state_counter SET total = total + $1 WHERE id = $2",
            "insert into audit.log(agency, action) values ($1, $2)",
            "SELECT allowed FROM public.permission WHERE agency = $1",
            "SELECT total FROM counter WHERE id = $1 FOR NO KEY UPDATE",
            "ALTER TABLE IF EXISTS public.agency ADD COLUMN region text",
            "CREATE UNIQUE INDEX CONCURRENTLY a ON public.agency (id)",
            "LOCK TABLE agency IN EXCLUSIVE MODE",
            "COMMIT",
            "",
        ]
        .map(statement_name);
        assert_eq!(
            named,
            [
                "UPDATE state_counter",
                "INSERT INTO audit.log",
                "SELECT from permission",
                "SELECT from counter FOR NO KEY UPDATE",
                "ALTER TABLE agency",
                "CREATE UNIQUE … ON agency",
                "LOCK TABLE agency",
                "COMMIT",
                "a statement without a text",
            ]
        );
    }

    #[test]
    fn a_megabyte_of_sql_gets_a_short_name() {
        let long = format!("WITH x AS ({}) SELECT 1", "SELECT 1 ".repeat(120_000));
        assert!(statement_name(&long).chars().count() <= LONGEST);
        assert!(statement_name(&"x".repeat(1 << 20)).chars().count() <= LONGEST);
    }
}

//! Short names for statements and states.

use super::line::{escape, fit};
use crate::attribution::finding::Blocker;

/// Columns of a statement's short name.
const LONGEST: usize = 60;

/// Names a statement by what it does and to which table: `UPDATE state_counter`.
///
/// The schema `public` is left out. A text that is not understood is cut.
#[must_use]
pub fn statement_name(query: &str) -> String {
    // A statement says early what it does, and a text may be a megabyte.
    let words: Vec<&str> = query
        .split(|c: char| c.is_whitespace() || matches!(c, '(' | ')' | ';' | ','))
        .filter(|word| !word.is_empty())
        .take(400)
        .collect();
    let upper: Vec<String> = words.iter().take(400).map(|word| keyword(word)).collect();
    let after = |key: &str| {
        let at = upper.iter().position(|word| word == key)?;
        let skipped = ["ONLY", "IF", "NOT", "EXISTS", "TABLE"];
        (at + 1..words.len())
            .find(|&n| !skipped.contains(&upper[n].as_str()))
            .map(|n| table_name(words[n]))
    };
    let first = upper.first().map_or("", String::as_str);
    let named = match first {
        "" => Some("a statement without a text".to_owned()),
        "UPDATE" => after("UPDATE").map(|table| format!("UPDATE {table}")),
        "INSERT" => after("INTO").map(|table| format!("INSERT INTO {table}")),
        "MERGE" => after("INTO").map(|table| format!("MERGE INTO {table}")),
        "DELETE" => after("FROM").map(|table| format!("DELETE FROM {table}")),
        "SELECT" => {
            let locking = upper.windows(2).any(|pair| {
                pair[0] == "FOR" && matches!(pair[1].as_str(), "UPDATE" | "SHARE" | "NO" | "KEY")
            });
            let suffix = if locking { " for its row locks" } else { "" };
            after("FROM").map(|table| format!("SELECT from {table}{suffix}"))
        }
        "ALTER" | "DROP" | "LOCK" | "TRUNCATE" if upper.iter().any(|word| word == "TABLE") => {
            after("TABLE").map(|table| format!("{first} TABLE {table}"))
        }
        "TRUNCATE" | "LOCK" | "COPY" => after(first).map(|table| format!("{first} {table}")),
        "CREATE" if upper.iter().any(|word| word == "INDEX") => {
            after("ON").map(|table| format!("CREATE INDEX on {table}"))
        }
        "BEGIN" | "COMMIT" | "ROLLBACK" if upper.len() == 1 => Some(first.to_owned()),
        _ => None,
    };
    let said =
        named.unwrap_or_else(|| words.iter().take(12).copied().collect::<Vec<_>>().join(" "));
    fit(&escape(&said), LONGEST)
}

/// Gives a word in capitals, unless it is far too long for a keyword.
fn keyword(word: &str) -> String {
    if word.len() <= 16 {
        word.to_ascii_uppercase()
    } else {
        String::new()
    }
}

fn table_name(word: &str) -> String {
    word.strip_prefix("public.").unwrap_or(word).to_owned()
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
                "SELECT from counter for its row locks",
                "ALTER TABLE agency",
                "CREATE INDEX on agency",
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

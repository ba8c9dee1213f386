//! A normal form as people read it: over several lines, its parts told apart.

use std::borrow::Cow;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pg_query::protobuf::{KeywordKind, Token};

use super::{DEEPEST_PARSED, normal};

/// Texts longer than this stay as they are; nobody reads them for their shape.
const LONGEST: usize = 16 * 1024;

/// What a piece of a text is, where a reader's eye should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// `SELECT`, written in capitals.
    Keyword,
    /// `$1`, a number, or a text in quotes.
    Value,
}

/// Lays a normal form out over several lines; what the parser refuses stays as it is.
#[must_use]
pub fn pretty(sql: &str) -> Cow<'_, str> {
    laid_out(sql).map_or(Cow::Borrowed(sql), Cow::Owned)
}

fn laid_out(sql: &str) -> Option<String> {
    if sql.len() > LONGEST || normal::depth(sql) > DEEPEST_PARSED {
        return None;
    }
    let options = pg_query::DeparseOptions {
        pretty_print: true,
        indent_size: 2,
        ..pg_query::DeparseOptions::default()
    };
    // The crate casts nodes with a panic where a shape surprises it.
    let pretty = catch_unwind(AssertUnwindSafe(|| {
        let tree = pg_query::parse(sql, 0).ok()?;
        if tree.protobuf.stmts.len() != 1 {
            return None;
        }
        pg_query::deparse(&tree.protobuf, options).ok()
    }));
    pretty.ok().flatten()
}

/// Finds the pieces worth telling apart, in order; none where the text cannot be scanned.
#[must_use]
pub fn pieces(sql: &str) -> Vec<(Range<usize>, Piece)> {
    // The crate's quicker `scan_tokens` makes a slice of nothing where there is no token.
    let tokens = (sql.len() <= LONGEST).then(|| pg_query::scan(sql));
    let tokens = match tokens {
        Some(Ok(scanned)) => scanned.tokens,
        _ => Vec::new(),
    };
    let piece = |token: &pg_query::protobuf::ScanToken| {
        let range = usize::try_from(token.start).ok()?..usize::try_from(token.end).ok()?;
        let text = sql.get(range.clone())?;
        let is_word = token.keyword_kind != KeywordKind::NoKeyword as i32;
        // Most keywords may be names as well; what is laid out here writes names in small letters.
        if is_word
            && text
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte == b'_')
        {
            return Some((range, Piece::Keyword));
        }
        let values = [Token::Param, Token::Iconst, Token::Fconst, Token::Sconst];
        let is_value = values.iter().any(|value| *value as i32 == token.token);
        is_value.then_some((range, Piece::Value))
    };
    tokens.iter().filter_map(piece).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_statement_stands_on_several_lines() {
        let sql = "select a.id, count(*) from account a join visit v on v.account = a.id \
                   where v.at > $1 and a.state = $2 group by a.id order by count(*) desc limit $3";
        let laid_out = pretty(sql);
        assert!(laid_out.lines().count() > 4, "{laid_out}");
        assert_eq!(
            pg_query::fingerprint(sql, 0, pg_query::FingerprintOptions::RANGEVAR_PG17_COMPAT)
                .map(|f| f.value),
            pg_query::fingerprint(
                &laid_out,
                0,
                pg_query::FingerprintOptions::RANGEVAR_PG17_COMPAT
            )
            .map(|f| f.value),
            "it is the same statement"
        );
    }

    #[test]
    fn what_is_no_statement_stays_as_it_is() {
        for text in [
            "",
            "SELEC 1",
            "select $1 from (",
            "… (statement 63ab)",
            "a\0b",
            "é 雪 'x",
        ] {
            assert_eq!(pretty(text), text);
            // Whatever is found lies within the text, on its characters.
            for (range, _) in pieces(text) {
                assert!(text.get(range).is_some());
            }
        }
        assert_eq!(pretty(&"(".repeat(100_000)).len(), 100_000);
    }

    #[test]
    fn keywords_and_values_are_told_apart_from_names() {
        let sql = "UPDATE total SET name = name + $1 WHERE id = 7";
        let found: Vec<(&str, Piece)> = pieces(sql)
            .into_iter()
            .map(|(range, piece)| (&sql[range], piece))
            .collect();
        assert_eq!(
            found,
            [
                ("UPDATE", Piece::Keyword),
                ("SET", Piece::Keyword),
                ("$1", Piece::Value),
                ("WHERE", Piece::Keyword),
                ("7", Piece::Value),
            ]
        );
    }
}

//! A statement as markup: laid out, and its keywords and values told apart.

use std::fmt::Write as _;

use crate::report::markup::escape;
use crate::statement::{Piece, pieces};

/// Marks a statement up; every text in it is escaped, and comes out as it went in.
pub(super) fn marked_up(sql: &str) -> String {
    let mut markup = String::new();
    let mut done = 0;
    for (range, piece) in pieces(sql) {
        let (Some(before), Some(text)) = (sql.get(done..range.start), sql.get(range.clone()))
        else {
            continue;
        };
        let class = match piece {
            Piece::Keyword => "kw",
            Piece::Value => "val",
        };
        let _ = write!(
            markup,
            "{}<span class=\"{class}\">{}</span>",
            escape(before),
            escape(text)
        );
        done = range.end;
    }
    markup.push_str(&escape(sql.get(done..).unwrap_or_default()));
    markup
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_a_statement_stays_text() {
        let sql = "SELECT '<b>' FROM t WHERE a < $1 -- </pre>";
        assert_eq!(
            marked_up(sql),
            "<span class=\"kw\">SELECT</span> <span class=\"val\">&#39;&lt;b&gt;&#39;</span> \
             <span class=\"kw\">FROM</span> t <span class=\"kw\">WHERE</span> a &lt; \
             <span class=\"val\">$1</span> -- &lt;/pre&gt;"
        );
    }
}

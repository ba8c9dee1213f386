//! Foreign text on its way into markup: cleaned, cut, escaped.
//!
//! Statements, application names and gids are written by anybody. What leaves
//! here holds no character that XML 1.0 forbids and none that turns the reading
//! direction around, so neither a parser nor a reader can be led astray.

use std::borrow::Cow;

/// Tells whether XML 1.0 takes the character and a reader can trust what it shows.
const fn is_plain(c: char) -> bool {
    !matches!(c,
        '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{7f}'..='\u{9f}'
        | '\u{fffe}' | '\u{ffff}'
        // Bidirectional overrides and isolates: they make text read as what it is not.
        | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Puts U+FFFD in place of every character that is not plain.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_plain) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(
            text.chars()
                .map(|c| {
                    if is_plain(c) {
                        c
                    } else {
                        char::REPLACEMENT_CHARACTER
                    }
                })
                .collect(),
        )
    }
}

/// Makes one line of at most `width` characters, an ellipsis standing for the rest.
pub(crate) fn line(text: &str, width: usize) -> String {
    let mut short = String::new();
    let mut length = 0;
    for word in text.split_whitespace() {
        for c in (length > 0).then_some(' ').into_iter().chain(word.chars()) {
            if length == width {
                short.pop();
                short.push('…');
                return short;
            }
            short.push(if is_plain(c) {
                c
            } else {
                char::REPLACEMENT_CHARACTER
            });
            length += 1;
        }
    }
    short
}

/// Escapes for an element's content or a quoted attribute, after cleaning.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in clean(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Writes a quantity with about three digits: `0.46`, `12.3`, `1540`.
pub(crate) fn figure(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        "unknown".to_owned()
    } else if size < 0.005 {
        "0".to_owned()
    } else if size < 10.0 {
        format!("{value:.2}")
    } else if size < 100.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_xml_forbids_is_replaced_and_the_rest_kept() {
        assert_eq!(
            clean("a\0b\u{fffe}c\u{202e}d"),
            "a\u{fffd}b\u{fffd}c\u{fffd}d"
        );
        assert_eq!(clean("a\tb\nc é 雪"), "a\tb\nc é 雪");
    }

    #[test]
    fn a_line_is_one_line_and_no_longer_than_asked() {
        assert_eq!(line("select\n   1", 20), "select 1");
        assert_eq!(line("select 12345", 8), "select …");
        assert_eq!(line("select", 6), "select");
        assert_eq!(line("", 5), "");
    }

    #[test]
    fn markup_is_inert_after_escaping() {
        assert_eq!(escape("<a b='c'>&\""), "&lt;a b=&#39;c&#39;&gt;&amp;&quot;");
    }

    #[test]
    fn figures_have_three_digits() {
        let said = [0.0, 0.456, -1.5, 12.34, 1540.4, f64::NAN].map(figure);
        assert_eq!(said, ["0", "0.46", "-1.50", "12.3", "1540", "unknown"]);
    }
}

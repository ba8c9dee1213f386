//! Sqlcommenter tags: `/*tenant='x',route='%2Fy'*/` before or after a statement.
//!
//! Source: the sqlcommenter specification (google.github.io/sqlcommenter/spec):
//! keys and values are URL-encoded, a quote within a value is escaped by a backslash.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The longest value that is kept, in characters.
const LONGEST_VALUE: usize = 128;

/// Reads the tags of a raw text that `keys` allows, as `route=/y,tenant=x`, sorted by key.
///
/// Only a leading or a trailing comment is looked at. What is no tag is passed over,
/// a tag that was cut is dropped. In values `\`, `,` and `=` stand behind a `\`, and
/// control characters are replaced, so that the result splits unambiguously.
#[must_use]
pub fn tags<K: Borrow<str>>(raw: &[u8], keys: &[K]) -> Option<Arc<str>> {
    if keys.is_empty() {
        return None;
    }
    let raw = String::from_utf8_lossy(raw);
    let mut found = BTreeMap::new();
    for comment in [leading(&raw), trailing(&raw)].into_iter().flatten() {
        for (key, value) in pairs(comment) {
            if keys.iter().any(|allowed| allowed.borrow() == key) {
                found.entry(key).or_insert(value);
            }
        }
    }
    let said: Vec<String> = found
        .iter()
        .map(|(key, value)| format!("{key}={}", escaped(value)))
        .collect();
    (!said.is_empty()).then(|| said.join(",").into())
}

fn leading(sql: &str) -> Option<&str> {
    let body = sql.trim_start().strip_prefix("/*")?;
    body.split_once("*/").map(|(comment, _)| comment)
}

fn trailing(sql: &str) -> Option<&str> {
    let sql = sql.trim_end_matches(|c: char| c.is_whitespace() || c == ';' || c == '\0');
    let body = sql.strip_suffix("*/")?;
    body.rfind("/*").map(|start| &body[start + 2..])
}

/// Reads `key='value'` pairs for as long as they are well-formed.
fn pairs(comment: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let mut rest = comment;
    while let Some((key, after)) = rest.split_once('=') {
        let Some(body) = after.trim_start().strip_prefix('\'') else {
            // Something else than a tag: go on behind its comma.
            match after.split_once(',') {
                Some((_, next)) => rest = next,
                None => break,
            }
            continue;
        };
        let Some((value, next)) = value(body) else {
            break;
        };
        pairs.push((decoded(key.trim()), decoded(&value)));
        rest = next.trim_start().trim_start_matches(',');
    }
    pairs
}

/// Reads up to the closing quote; gives the value without its escapes and what follows.
fn value(body: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = body.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => value.push(characters.next()?.1),
            '\'' => return Some((value, &body[at + 1..])),
            _ => value.push(character),
        }
    }
    None
}

/// Undoes URL encoding; a `%` without two digits behind it stands for itself.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = |digit: Option<&u8>| digit.and_then(|digit| char::from(*digit).to_digit(16));
        if let (b'%', Some(high), Some(low)) = (*first, hex(tail.first()), hex(tail.get(1))) {
            bytes.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for character in value.chars().take(LONGEST_VALUE) {
        if matches!(character, '\\' | ',' | '=') {
            text.push('\\');
        }
        text.push(if character.is_control() {
            '\u{fffd}'
        } else {
            character
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(raw: &str, expected: Option<&str>) {
        assert_eq!(
            tags(raw.as_bytes(), &["tenant", "route"]).as_deref(),
            expected,
            "{raw}"
        );
    }

    #[test]
    fn a_trailing_comment_tells_its_tags_in_order() {
        check(
            "SELECT 1 /*tenant='x',route='%2Fy'*/",
            Some("route=/y,tenant=x"),
        );
        check(
            "SELECT 1 /* tenant = 'x' , route='/y' */ ;",
            Some("route=/y,tenant=x"),
        );
    }

    #[test]
    fn a_leading_comment_does_too() {
        check(
            "/*tenant='county%2007'*/ UPDATE t SET a = 1",
            Some("tenant=county 07"),
        );
    }

    #[test]
    fn only_allowed_keys_are_kept() {
        check("SELECT 1 /*user='bob',tenant='x'*/", Some("tenant=x"));
        check("SELECT 1 /*user='bob'*/", None);
        check("SELECT 1 /* a comment, tenant=x */", None);
    }

    #[test]
    fn quotes_commas_and_equal_signs_survive_in_values() {
        check(r"SELECT 1 /*tenant='O\'Hara'*/", Some("tenant=O'Hara"));
        check("SELECT 1 /*tenant='a%2Cb%3Dc'*/", Some(r"tenant=a\,b\=c"));
    }

    #[test]
    fn a_cut_or_broken_comment_gives_what_is_whole() {
        check("SELECT 1 /*tenant='x',route='%2F", None);
        check("SELECT 1 /*tenant='x',route='y*/", Some("tenant=x"));
        check("SELECT 1 /*tenant='%zz%4'*/", Some("tenant=%zz%4"));
        check("*/", None);
        check("/*/", None);
    }
}

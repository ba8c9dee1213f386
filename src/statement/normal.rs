//! The normal form of a text: a lexer that takes anything, and what it leaves out.
//!
//! Literals become placeholders, comments go, white space collapses. The lexer
//! follows the server's own rules (`src/backend/parser/scan.l`) and differs in one
//! point: where the end of a string is in doubt, the string goes on to the end of
//! the text. So a literal may be taken for more than it is, never for less.

/// The longest normal form, in bytes.
const LONGEST: usize = 4096;

/// What a text is made of, comments and literals already without their content.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Piece<'a> {
    /// A key word or an unquoted name.
    Word(&'a str),
    /// A name in double quotes, with them.
    Quoted(&'a str),
    /// A parameter, `$1`.
    Param(&'a str),
    /// A string or a number.
    Literal,
    /// Any other character.
    Symbol(char),
    /// White space and comments, however much of it.
    Space,
}

/// A normal form.
#[derive(Clone, Debug)]
pub(super) struct Normal {
    /// The whole of it.
    pub(super) text: String,
    /// Whether a statement in it was replaced because it carries a secret.
    pub(super) redacted: bool,
    /// Whether there were literals.
    pub(super) literals: bool,
    /// Its first words, names and symbols, as written: enough to tell what it does.
    pub(super) words: Vec<String>,
    /// What may be a function that it calls.
    pub(super) called: Vec<Called>,
}

/// A name before an opening bracket, in lower case unless it was quoted.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Called {
    pub(super) schema: Option<String>,
    pub(super) name: String,
}

/// How many words tell what a statement does.
const TELLING_WORDS: usize = 16;

/// Brings a text into its normal form; `parsed` if the parser vouches for its strings.
pub(super) fn form(sql: &str, parsed: bool) -> Normal {
    let pieces = lex(sql, parsed);
    let words = pieces
        .iter()
        .filter_map(|piece| match piece {
            Piece::Word(word) | Piece::Quoted(word) => Some((*word).to_owned()),
            Piece::Symbol(symbol) => Some(symbol.to_string()),
            _ => None,
        })
        .take(TELLING_WORDS)
        .collect();
    let mut placeholders = Placeholders::new(&pieces, parsed);
    let (mut text, mut redacted) = (String::new(), false);
    for statement in pieces.split(|piece| *piece == Piece::Symbol(';')) {
        let statement = trimmed(statement);
        if statement.is_empty() {
            continue;
        }
        if !text.is_empty() {
            text.push_str("; ");
        }
        if let Some(instead) = redaction(statement, parsed) {
            text.push_str(&instead);
            redacted = true;
        } else {
            render(statement, &mut placeholders, &mut text);
        }
    }
    Normal {
        text,
        redacted,
        literals: pieces.contains(&Piece::Literal),
        words,
        called: called(&pieces),
    }
}

/// Lists the names before opening brackets, but for the columns of an alias: `AS v (a, b)`.
fn called(pieces: &[Piece<'_>]) -> Vec<Called> {
    let dense: Vec<Piece<'_>> = pieces
        .iter()
        .filter(|piece| **piece != Piece::Space)
        .copied()
        .collect();
    let name = |piece: Piece<'_>| match piece {
        Piece::Word(word) => Some(word.to_lowercase()),
        Piece::Quoted(word) => Some(word.trim_matches('"').replace("\"\"", "\"")),
        _ => None,
    };
    let brackets = (1..dense.len()).filter(|&at| dense[at] == Piece::Symbol('('));
    let called = brackets.filter_map(|at| {
        let (before, [named]) = dense[..at].split_last_chunk()?;
        let schema = match before {
            [.., schema, Piece::Symbol('.')] => name(*schema),
            [.., Piece::Symbol(')')] => return None,
            [.., Piece::Word(word)] if word.eq_ignore_ascii_case("as") => return None,
            _ => None,
        };
        let name = name(*named)?;
        Some(Called { schema, name })
    });
    called.collect()
}

/// Cuts a normal form to the length that is kept.
pub(super) fn bounded(text: &str) -> String {
    if text.len() <= LONGEST {
        return text.to_owned();
    }
    let mut end = LONGEST - '…'.len_utf8();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}

/// Cuts a text to `length` characters.
pub(super) fn cut(text: &str, length: usize) -> String {
    match text.char_indices().nth(length) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text[..end].trim_end()),
    }
}

/// Bounds how deep the parser would have to go: brackets open at a time, in strings too.
pub(super) fn depth(sql: &str) -> usize {
    let (mut open, mut deepest) = (0_usize, 0);
    for byte in sql.bytes() {
        match byte {
            b'(' | b'[' => open += 1,
            b')' | b']' => open = open.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(open);
    }
    deepest
}

/// Numbers the literals after the last parameter, as `pg_stat_statements` does.
struct Placeholders {
    next: Option<u32>,
}

impl Placeholders {
    fn new(pieces: &[Piece<'_>], numbered: bool) -> Self {
        let highest = pieces.iter().filter_map(|piece| match piece {
            Piece::Param(param) => param[1..].parse::<u32>().ok(),
            _ => None,
        });
        Self {
            next: numbered.then(|| highest.max().unwrap_or(0).saturating_add(1)),
        }
    }

    fn push(&mut self, text: &mut String) {
        match &mut self.next {
            None => text.push('?'),
            Some(next) => {
                text.push('$');
                text.push_str(&next.to_string());
                *next = next.saturating_add(1);
            }
        }
    }
}

fn render(pieces: &[Piece<'_>], placeholders: &mut Placeholders, text: &mut String) {
    let mut at = 0;
    while let Some(piece) = pieces.get(at) {
        at += 1;
        match piece {
            Piece::Word(word) => text.push_str(word),
            Piece::Quoted(name) => {
                text.extend(
                    name.chars()
                        .map(|c| if c.is_control() { '\u{fffd}' } else { c }),
                );
            }
            Piece::Param(param) => text.push_str(param),
            Piece::Literal => placeholders.push(text),
            Piece::Symbol(symbol) => {
                text.push(if symbol.is_control() {
                    '\u{fffd}'
                } else {
                    *symbol
                });
                if *symbol == '('
                    && let Some(end) = list_end(&pieces[..at - 1], &pieces[at..])
                {
                    // Lists of other lengths have the same fingerprint, and so the same text.
                    placeholders.push(text);
                    text.push_str(", …");
                    at += end;
                }
            }
            Piece::Space => text.push(' '),
        }
    }
}

/// Finds the closing bracket of `IN (1, 2, …)`, a list of two or more values.
fn list_end(before: &[Piece<'_>], after: &[Piece<'_>]) -> Option<usize> {
    match trimmed(before).last() {
        Some(Piece::Word(word)) if word.eq_ignore_ascii_case("in") => {}
        _ => return None,
    }
    let end = after.iter().position(|piece| {
        !matches!(
            piece,
            Piece::Literal | Piece::Param(_) | Piece::Space | Piece::Symbol(',' | '-')
        )
    })?;
    let long = after[..end].contains(&Piece::Symbol(','));
    (long && after[end] == Piece::Symbol(')')).then_some(end)
}

fn trimmed<'p, 'a>(mut pieces: &'p [Piece<'a>]) -> &'p [Piece<'a>] {
    while let [Piece::Space, rest @ ..] | [rest @ .., Piece::Space] = pieces {
        pieces = rest;
    }
    pieces
}

/// Gives what to write in place of a statement that carries a secret outside of literals,
/// or might: options, host commands and settings are not worth a look into them.
fn redaction(statement: &[Piece<'_>], parsed: bool) -> Option<String> {
    let words: Vec<String> = statement
        .iter()
        .filter_map(|piece| match piece {
            Piece::Word(word) | Piece::Quoted(word) => {
                Some(word.trim_matches('"').to_ascii_uppercase())
            }
            _ => None,
        })
        .collect();
    let word = |at: usize| words.get(at).map_or("", String::as_str);
    let has = |wanted: &str| words.iter().any(|word| word == wanted);
    let defines = matches!(word(0), "CREATE" | "ALTER");
    let secret = match (word(0), word(1)) {
        ("CREATE" | "ALTER", "ROLE" | "USER" | "GROUP") => {
            !parsed || has("PASSWORD") || word(2) == "MAPPING"
        }
        ("CREATE" | "ALTER", "SERVER" | "SUBSCRIPTION") => true,
        ("CREATE" | "ALTER", "FOREIGN") => word(2) == "DATA",
        ("COPY", _) => has("PROGRAM"),
        _ => false,
    };
    let set = words.iter().position(|word| word == "SET");
    let sets_secret = matches!(word(0), "SET" | "ALTER")
        && set.is_some_and(|set| words[set..].iter().take(6).any(|name| is_secret_like(name)));
    (secret || sets_secret).then(|| {
        let kept = if defines {
            format!("{} {}", word(0), word(1))
        } else {
            word(0).to_owned()
        };
        format!("{kept} (redacted)")
    })
}

fn is_secret_like(name: &str) -> bool {
    [
        "PASSW",
        "PWD",
        "SECRET",
        "TOKEN",
        "KEY",
        "CREDENTIAL",
        "JWT",
        "AUTHORIZ",
        "CLAIM",
    ]
    .iter()
    .any(|part| name.contains(part))
        && name != "AUTHORIZATION"
}

/// Splits a text into pieces; `trusted` if the parser took it, so that its strings end where they seem to.
fn lex(sql: &str, trusted: bool) -> Vec<Piece<'_>> {
    let bytes = sql.as_bytes();
    let (mut pieces, mut at) = (Vec::new(), 0);
    while let Some(&byte) = bytes.get(at) {
        let rest = &bytes[at..];
        let second = rest.get(1).copied();
        let (piece, length) = match byte {
            _ if byte.is_ascii_whitespace() || byte == 0x0b => (Piece::Space, 1),
            b'-' if second == Some(b'-') => (Piece::Space, line_comment(rest)),
            b'/' if second == Some(b'*') => (Piece::Space, block_comment(rest)),
            b'\'' => (Piece::Literal, plain_string(rest, trusted)),
            b'e' | b'E' if second == Some(b'\'') => {
                (Piece::Literal, 1 + quoted(&rest[1..], b'\'', true))
            }
            b'b' | b'B' | b'x' | b'X' | b'n' | b'N' if second == Some(b'\'') => {
                (Piece::Literal, 1 + plain_string(&rest[1..], trusted))
            }
            b'u' | b'U' if rest[1..].starts_with(b"&'") => {
                (Piece::Literal, 2 + plain_string(&rest[2..], trusted))
            }
            b'"' => {
                let length = quoted(rest, b'"', false);
                (Piece::Quoted(&sql[at..at + length]), length)
            }
            b'$' if second.is_some_and(|next| next.is_ascii_digit()) => {
                let length = 1 + run(&rest[1..], |byte| byte.is_ascii_digit());
                (Piece::Param(&sql[at..at + length]), length)
            }
            b'$' => match dollar_string(rest) {
                Some(length) => (Piece::Literal, length),
                None => (Piece::Symbol('$'), 1),
            },
            b'0'..=b'9' => (Piece::Literal, number(rest)),
            b'.' if second.is_some_and(|next| next.is_ascii_digit()) => {
                (Piece::Literal, number(rest))
            }
            _ if is_name_start(byte) => {
                let length = run(rest, |byte| {
                    is_name_start(byte) || byte.is_ascii_digit() || byte == b'$'
                });
                (Piece::Word(&sql[at..at + length]), length)
            }
            _ => (Piece::Symbol(char::from(byte)), 1),
        };
        at += length;
        if piece != Piece::Space || pieces.last() != Some(&Piece::Space) {
            pieces.push(piece);
        }
    }
    pieces
}

/// Bytes above ASCII belong to names, so slices end at character boundaries.
fn is_name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn run(bytes: &[u8], belongs: impl Fn(u8) -> bool) -> usize {
    bytes.iter().take_while(|byte| belongs(**byte)).count()
}

fn line_comment(bytes: &[u8]) -> usize {
    run(bytes, |byte| !matches!(byte, b'\n' | b'\r'))
}

/// Comments in blocks nest.
fn block_comment(bytes: &[u8]) -> usize {
    let (mut at, mut open) = (0, 0_usize);
    while at < bytes.len() {
        match &bytes[at..] {
            [b'/', b'*', ..] => {
                open += 1;
                at += 2;
            }
            [b'*', b'/', ..] => {
                open -= 1;
                at += 2;
                if open == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Measures `'…'`, or to the end of the text where `\'` may or may not end it: that
/// depends on `standard_conforming_strings`, which a text alone does not tell.
fn plain_string(bytes: &[u8], trusted: bool) -> usize {
    let length = quoted(bytes, b'\'', false);
    let doubtful = bytes[..length].windows(2).any(|pair| pair == b"\\'");
    if doubtful && !trusted {
        bytes.len()
    } else {
        length
    }
}

/// Measures what stands between quotes, doubled ones included; to the end if it is cut.
fn quoted(bytes: &[u8], quote: u8, backslash: bool) -> usize {
    let mut at = 1;
    while let Some(&byte) = bytes.get(at) {
        if byte == quote {
            if bytes.get(at + 1) != Some(&quote) {
                return at + 1;
            }
            at += 2;
        } else if byte == b'\\' && backslash {
            at += 2;
        } else {
            at += 1;
        }
    }
    bytes.len()
}

/// Measures `$tag$…$tag$`; none if this is no such string.
fn dollar_string(bytes: &[u8]) -> Option<usize> {
    let tag = 1 + run(&bytes[1..], |byte| {
        is_name_start(byte) || byte.is_ascii_digit()
    });
    match bytes.get(tag) {
        Some(b'$') => {}
        // The cut may have gone through the tag itself.
        None => return Some(bytes.len()),
        Some(_) => return None,
    }
    let mark = &bytes[..=tag];
    let body = &bytes[mark.len()..];
    let end = body.windows(mark.len()).position(|window| window == mark);
    Some(end.map_or(bytes.len(), |end| mark.len() + end + mark.len()))
}

/// Measures a number with whatever is stuck to it.
fn number(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let signs_exponent = matches!(byte, b'+' | b'-')
            && at > 0
            && matches!(bytes[at - 1], b'e' | b'E')
            && bytes.get(at + 1).is_some_and(u8::is_ascii_digit);
        if !(is_name_start(byte) || byte.is_ascii_digit() || byte == b'.' || signs_exponent) {
            break;
        }
        at += 1;
    }
    at
}

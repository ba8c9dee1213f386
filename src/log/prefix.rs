//! What stands before each line of the `stderr` format: `log_line_prefix`.
//!
//! Source: `log_line_prefix` in the manual, `log_status_format` in `src/backend/utils/error/elog.c`.

use super::clock::{Clock, NoTime, epoch};
use super::record::{Client, address, filled};
use crate::pg::Pid;
use crate::time::Timestamp;

/// How lines begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(Vec<u8>),
    /// An escape's letter.
    Field(u8),
    /// Processes without a session write nothing beyond it.
    SessionsOnly,
}

/// A prefix by which nothing can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// It tells no time.
    #[error("log_line_prefix '{0}' tells no time: %m, %t or %n would")]
    NoTime(String),
    /// It has an escape that nobody knows.
    #[error("log_line_prefix '{0}' has an escape that is not known: %{1}")]
    Unknown(String, char),
}

/// What a prefix said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) at: Timestamp,
    pub(super) pid: Option<Pid>,
    pub(super) client: Client,
    pub(super) state: Option<String>,
}

/// What a line is called: `LOG`, `DETAIL`, … and what stands behind that.
pub(super) struct Labelled<'l> {
    pub(super) prefix: Vec<(u8, &'l [u8])>,
    pub(super) label: &'l [u8],
    pub(super) text: &'l [u8],
}

/// A prefix is no longer than this.
const LONGEST: usize = 1_024;

/// A line is held against a prefix in so many steps at most, however often a literal occurs in it.
const MOST_STEPS: usize = 10_000;

impl Default for Prefix {
    /// The server's own default.
    fn default() -> Self {
        let field = Part::Field;
        let literal = |text: &[u8]| Part::Literal(text.to_vec());
        Self {
            text: Self::BUILT_IN.to_owned(),
            parts: vec![field(b'm'), literal(b" ["), field(b'p'), literal(b"] ")],
        }
    }
}

impl Prefix {
    /// The server's own default.
    pub const BUILT_IN: &'static str = "%m [%p] ";

    /// Understands a setting.
    ///
    /// # Errors
    /// When it tells no time, or has an escape that is not known.
    pub fn of(setting: &str) -> Result<Self, PrefixError> {
        let mut parts: Vec<Part> = Vec::new();
        let mut literal = Vec::new();
        let mut rest = setting.chars().peekable();
        while let Some(c) = rest.next() {
            if c != '%' {
                literal.extend(c.to_string().bytes());
                continue;
            }
            // A width, as in %-10p.
            while rest.next_if(|&c| c == '-' || c.is_ascii_digit()).is_some() {}
            let part = match rest.next() {
                // The server writes nothing for a lone one at the end.
                None => break,
                Some('%') => {
                    literal.push(b'%');
                    continue;
                }
                Some('q') => Part::SessionsOnly,
                Some(c) if "audrLhbpPtmniecslvxQ".contains(c) => Part::Field(c as u8),
                Some(c) => return Err(PrefixError::Unknown(setting.to_owned(), c)),
            };
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
            }
            parts.push(part);
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        let times = [b'm', b't', b'n'].map(Part::Field);
        let is_dated = parts.iter().any(|part| times.contains(part));
        if !is_dated {
            return Err(PrefixError::NoTime(setting.to_owned()));
        }
        Ok(Self {
            text: setting.to_owned(),
            parts,
        })
    }

    /// Gives it as it was set.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Tells whether times are told to the second alone.
    #[must_use]
    pub fn is_coarse(&self) -> bool {
        let tells = |letter| self.parts.contains(&Part::Field(letter));
        !tells(b'm') && !tells(b'n')
    }

    /// Takes the prefix off a line; none where it has none, or another one.
    pub(super) fn take<'l>(&self, line: &'l [u8]) -> Option<Labelled<'l>> {
        let mut walk = Walk {
            parts: &self.parts,
            fields: Vec::new(),
            steps: 0,
        };
        let rest = walk.on(0, line)?;
        let (label, text) = label(rest)?;
        Some(Labelled {
            prefix: walk.fields,
            label,
            text,
        })
    }
}

/// A line on its way through the parts.
struct Walk<'p, 'l> {
    parts: &'p [Part],
    fields: Vec<(u8, &'l [u8])>,
    steps: usize,
}

impl<'l> Walk<'_, 'l> {
    /// Goes on from a part; gives what is left behind the last one.
    fn on(&mut self, part: usize, line: &'l [u8]) -> Option<&'l [u8]> {
        self.steps += 1;
        if self.steps > MOST_STEPS {
            return None;
        }
        match self.parts.get(part) {
            None => label(line).map(|_| line),
            Some(Part::Literal(literal)) => self.on(part + 1, line.strip_prefix(&literal[..])?),
            Some(Part::SessionsOnly) => {
                let is_session = self.on(part + 1, line);
                is_session.or_else(|| label(line).map(|_| line))
            }
            Some(&Part::Field(letter)) => {
                // A text may hold what comes behind it, so every end of it is tried.
                for end in 0..=line.len().min(LONGEST) {
                    if end > 0 && !may_hold(letter, line[end - 1]) {
                        break;
                    }
                    if !self.may_end(part + 1, &line[end..]) || !is_filled(letter, &line[..end]) {
                        continue;
                    }
                    self.fields.push((letter, &line[..end]));
                    let count = self.fields.len();
                    if let Some(rest) = self.on(part + 1, &line[end..]) {
                        return Some(rest);
                    }
                    self.fields.truncate(count - 1);
                }
                None
            }
        }
    }

    /// Tells at a glance whether what follows could follow.
    fn may_end(&self, part: usize, rest: &[u8]) -> bool {
        match self.parts.get(part) {
            Some(Part::Literal(literal)) => rest.starts_with(literal),
            None => label(rest).is_some(),
            _ => true,
        }
    }
}

/// Tells whether a field may hold a byte; padding is blanks.
const fn may_hold(letter: u8, byte: u8) -> bool {
    match letter {
        b'p' | b'P' | b'l' | b'x' => byte.is_ascii_digit() || byte == b' ',
        b'n' => byte.is_ascii_digit() || byte == b'.' || byte == b' ',
        b'Q' => byte.is_ascii_digit() || byte == b'-' || byte == b' ',
        b'c' => byte.is_ascii_hexdigit() || byte == b'.' || byte == b' ',
        b'm' | b't' | b's' => {
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b':' | b'.' | b' ')
        }
        _ => true,
    }
}

/// Tells whether a field says what it has to: of a time the day, the hour and the zone.
fn is_filled(letter: u8, field: &[u8]) -> bool {
    match letter {
        b'p' | b'l' | b'n' => !field.is_empty(),
        b'm' | b't' => {
            let mut words = field.split(|&byte| byte == b' ');
            words.nth(2).is_some_and(|zone| !zone.is_empty()) && words.next().is_none()
        }
        _ => true,
    }
}

/// Reads `LOG:  …`.
fn label(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = line.iter().take(40).position(|&byte| byte == b':')?;
    let text = line[end..].strip_prefix(b":  ")?;
    let label = &line[..end];
    // In other languages it may be of two words, and in other letters.
    let is_label = label
        .iter()
        .all(|&byte| byte.is_ascii_alphanumeric() || byte == b' ' || !byte.is_ascii());
    let is_edged = label.first() == Some(&b' ') || label.last() == Some(&b' ');
    (is_label && !is_edged && !label.is_empty()).then_some((label, text))
}

impl Labelled<'_> {
    /// Reads what the prefix said.
    pub(super) fn said(&self, clock: &Clock) -> Result<Said, NoTime> {
        let mut said = Said::default();
        let mut at = None;
        for &(letter, bytes) in &self.prefix {
            let text = String::from_utf8_lossy(bytes);
            let text = text.trim();
            match letter {
                b'm' => at = Some(clock.read(text)?),
                b't' if at.is_none() => at = Some(clock.read(text)?),
                b'n' if at.is_none() => at = Some(epoch(text).ok_or(NoTime::Malformed)?),
                b'p' => said.pid = text.parse().ok().map(Pid),
                b'c' if said.pid.is_none() => {
                    let pid = text.rsplit_once('.').map(|(_, pid)| pid);
                    let pid = pid.and_then(|pid| i32::from_str_radix(pid, 16).ok());
                    said.pid = pid.map(Pid);
                }
                b'a' => said.client.application_name = filled(text),
                b'u' => said.client.role = filled(text),
                b'd' => said.client.database = filled(text),
                b'r' | b'h' => said.client.client_addr = address(text),
                b'e' => said.state = Some(text.to_owned()).filter(|state| state != "00000"),
                _ => {}
            }
        }
        said.at = at.ok_or(NoTime::Malformed)?;
        Ok(said)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[track_caller]
    fn check(prefix: &str, line: &str, pid: i32, application: Option<&str>) {
        let prefix = Prefix::of(prefix).unwrap();
        let labelled = prefix.take(line.as_bytes()).unwrap();
        assert_eq!(labelled.label, b"LOG");
        assert_eq!(labelled.text, b"x:  y");
        let said = labelled.said(&Clock::default()).unwrap();
        assert_eq!(said.at.to_rfc3339(), "2026-11-23T14:03:05.000Z");
        assert_eq!(said.pid, Some(Pid(pid)));
        assert_eq!(said.client.application_name.as_deref(), application);
    }

    #[test]
    fn lines_begin_as_the_setting_says() {
        let at = "2026-11-23 14:03:05.000 UTC";
        check("%m [%p] ", &format!("{at} [7] LOG:  x:  y"), 7, None);
        check(
            "%m [%p] %q%u@%d ",
            &format!("{at} [7] u@x@db LOG:  x:  y"),
            7,
            None,
        );
        check(
            "%m [%p] %q%u@%d ",
            &format!("{at} [7] LOG:  x:  y"),
            7,
            None,
        );
        check(
            "%m [%-8p] %a:",
            &format!("{at} [7       ] a [7] b:LOG:  x:  y"),
            7,
            Some("a [7] b"),
        );
        check("%n|%p|", "1795442585.000|7|LOG:  x:  y", 7, None);
        check(
            "%t:%r:%u@%d:[%p]: ",
            "2026-11-23 14:03:05 UTC:10.0.0.1(5432):u@db:[7]: LOG:  x:  y",
            7,
            None,
        );
        check(
            "%m %c ",
            &format!("{at} 65f1.1a2b LOG:  x:  y"),
            0x1a2b,
            None,
        );
    }

    #[test]
    fn a_prefix_without_a_time_is_refused() {
        assert_eq!(
            Prefix::of("[%p] "),
            Err(PrefixError::NoTime("[%p] ".to_owned()))
        );
        assert!(matches!(
            Prefix::of("%m %Z"),
            Err(PrefixError::Unknown(_, 'Z'))
        ));
        assert!(Prefix::of("%t %p %").unwrap().is_coarse());
    }

    #[test]
    fn another_line_has_no_prefix() {
        let prefix = Prefix::default();
        for line in [
            "",
            "\tcontinued",
            "2026-11-23 14:03:05.000 UTC [x] LOG:  y",
            "LOG:  y",
            "2026-11-23 14:03:05.000 UTC [7] no label",
        ] {
            assert!(prefix.take(line.as_bytes()).is_none(), "{line}");
        }
    }

    #[test]
    fn a_line_made_to_be_tried_for_ever_is_given_up() {
        let prefix = Prefix::of("%m %a %u %d %i %e %p ").unwrap();
        let line = format!("2026-11-23 14:03:05.000 UTC {}", "a ".repeat(5_000));
        assert!(prefix.take(line.as_bytes()).is_none());
    }
}

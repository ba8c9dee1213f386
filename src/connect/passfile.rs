//! `.pgpass`: a password per host, port, database and role.

use std::fmt;
use std::fs::Metadata;
use std::path::Path;

/// A password, which `Debug` does not show.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret(pub(super) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A password file, read once.
#[derive(Clone, Debug, Default)]
pub(super) struct Passfile(Vec<Entry>);

#[derive(Clone, Debug)]
struct Entry {
    /// Host, port, database, user; none where the file says `*`.
    wanted: [Option<String>; 4],
    password: Secret,
}

impl Passfile {
    /// Reads `path`; one that is missing is empty, one that others may read is
    /// empty too and says so in `notices`.
    pub(super) fn read(path: &Path, notices: &mut Vec<String>) -> Self {
        let Ok(metadata) = std::fs::metadata(path) else {
            return Self::default();
        };
        if !metadata.is_file() {
            notices.push(format!(
                "password file {} is ignored: it is not a plain file",
                path.display()
            ));
            return Self::default();
        }
        if readable_by_others(&metadata) {
            notices.push(format!(
                "password file {0} is ignored: others may read it; run: chmod 0600 {0}",
                path.display()
            ));
            return Self::default();
        }
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text),
            Err(error) => {
                notices.push(format!(
                    "password file {} is ignored: {error}",
                    path.display()
                ));
                Self::default()
            }
        }
    }

    fn parse(text: &str) -> Self {
        Self(
            text.lines()
                .filter(|line| !line.is_empty() && !line.starts_with('#'))
                .filter_map(entry)
                .collect(),
        )
    }

    /// Gives the password of the first line that fits.
    pub(super) fn password(
        &self,
        host: &str,
        port: u16,
        database: &str,
        user: &str,
    ) -> Option<&Secret> {
        let port = port.to_string();
        let have = [host, &port, database, user];
        self.0
            .iter()
            .find(|entry| {
                entry
                    .wanted
                    .iter()
                    .zip(have)
                    .all(|(wanted, have)| wanted.as_deref().is_none_or(|wanted| wanted == have))
            })
            .map(|entry| &entry.password)
    }
}

/// Reads one line; one with too few fields is none.
fn entry(line: &str) -> Option<Entry> {
    let mut rest = line;
    let mut field = || {
        let (text, after) = split_field(rest)?;
        rest = after;
        Some((text != "*").then(|| unescaped(text)))
    };
    let wanted = [field()?, field()?, field()?, field()?];
    // The password ends at the next unescaped colon, if there is one.
    let password = split_field(rest).map_or(rest, |(text, _)| text);
    Some(Entry {
        wanted,
        password: Secret(unescaped(password)),
    })
}

/// Splits at the first colon that no backslash precedes.
fn split_field(line: &str) -> Option<(&str, &str)> {
    let mut escaped = false;
    for (at, byte) in line.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b':' => return Some((&line[..at], &line[at + 1..])),
            _ => {}
        }
    }
    None
}

fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(next) = chars.next() {
        plain.push(if next == '\\' {
            chars.next().unwrap_or('\\')
        } else {
            next
        });
    }
    plain
}

#[cfg(unix)]
fn readable_by_others(metadata: &Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o077 != 0
}

/// Windows keeps the file in a folder that only its user can read.
#[cfg(not(unix))]
fn readable_by_others(_: &Metadata) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, place: (&str, u16, &str, &str), expected: Option<&str>) {
        let file = Passfile::parse(text);
        let found = file.password(place.0, place.1, place.2, place.3);
        assert_eq!(found.map(|secret| secret.0.as_str()), expected);
    }

    #[test]
    fn the_first_line_that_fits_wins() {
        let text = "# a comment\nh:5432:db:me:first\n*:*:*:me:second\n";
        check(text, ("h", 5432, "db", "me"), Some("first"));
        check(text, ("h", 5433, "db", "me"), Some("second"));
        check(text, ("h", 5432, "db", "you"), None);
    }

    #[test]
    fn colons_and_backslashes_are_escaped_by_a_backslash() {
        check(
            r"::1:*:*:*:no
\:\:1:*:a\\b:*:x\:y\\z",
            ("::1", 5432, r"a\b", "me"),
            Some(r"x:y\z"),
        );
    }

    #[test]
    fn a_line_with_too_few_fields_is_no_password() {
        check("h:5432:db:secret", ("h", 5432, "db", "me"), None);
    }

    #[test]
    fn debug_output_shows_no_password() {
        let shown = format!("{:?}", Passfile::parse("*:*:*:*:hunter2"));
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

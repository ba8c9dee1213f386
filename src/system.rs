//! Which system a session belongs to, by rules that its user orders.
//!
//! A [`Naming`] is a list of keys; the first that gives a name wins. Names that
//! say nothing (empty, a driver's, a pooler's, psql's) are passed over, and the
//! noise that makes one system look like many (host:port, pids, uuids) is cut
//! off, so that a reconnect is not an onboarding. Short numbers stay: `sync-12`
//! and `sync-13` are two systems.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use crate::names::Names;
use crate::sample::Session;

/// What a system can be named by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// `application_name`, without its noise.
    ApplicationName,
    /// The login role.
    Role,
    /// The database.
    Database,
    /// The client's address.
    ClientAddr,
    /// A sqlcommenter tag.
    Tag(Arc<str>),
}

/// The order in which keys are asked for a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naming {
    keys: Vec<Key>,
}

/// A list of keys that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no system can be named by '{0}': use application_name, role, database, client_addr or tag:KEY"
)]
pub struct UnknownKey(String);

impl Default for Naming {
    fn default() -> Self {
        Self {
            keys: vec![Key::ApplicationName, Key::Role, Key::Database],
        }
    }
}

impl FromStr for Key {
    type Err = UnknownKey;

    fn from_str(key: &str) -> Result<Self, UnknownKey> {
        match key.trim() {
            "application_name" => Ok(Self::ApplicationName),
            "role" => Ok(Self::Role),
            "database" => Ok(Self::Database),
            "client_addr" => Ok(Self::ClientAddr),
            other => match other.strip_prefix("tag:") {
                Some(tag) if !tag.is_empty() => Ok(Self::Tag(tag.into())),
                _ => Err(UnknownKey(other.to_owned())),
            },
        }
    }
}

impl FromStr for Naming {
    type Err = UnknownKey;

    fn from_str(list: &str) -> Result<Self, UnknownKey> {
        Ok(Self {
            keys: list.split(',').map(str::parse).collect::<Result<_, _>>()?,
        })
    }
}

impl fmt::Display for Naming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, key) in self.keys.iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            match key {
                Key::ApplicationName => write!(f, "{comma}application_name"),
                Key::Role => write!(f, "{comma}role"),
                Key::Database => write!(f, "{comma}database"),
                Key::ClientAddr => write!(f, "{comma}client_addr"),
                Key::Tag(tag) => write!(f, "{comma}tag:{tag}"),
            }?;
        }
        Ok(())
    }
}

impl Naming {
    /// Gives the tags that must be read off the texts for this naming.
    #[must_use]
    pub fn tags(&self) -> Vec<Arc<str>> {
        let tag = |key: &Key| match key {
            Key::Tag(tag) => Some(Arc::clone(tag)),
            _ => None,
        };
        self.keys.iter().filter_map(tag).collect()
    }

    /// Names the system behind a session; none where no key says anything.
    #[must_use]
    pub fn name(&self, session: &Session, names: &Names) -> Option<Arc<str>> {
        if !session.is_client() && session.leader_pid.is_none() {
            // The server's own processes are named by what they are.
            return Some(Arc::clone(&session.backend_type));
        }
        self.name_by(|key| match key {
            Key::ApplicationName => Some(Arc::clone(&session.application_name)),
            Key::Role => session.role.and_then(|role| names.role(role)).cloned(),
            Key::Database => session
                .database
                .and_then(|oid| names.database(oid))
                .cloned(),
            Key::ClientAddr => session.client_addr.clone(),
            Key::Tag(tag) => tag_value(session.tags.as_deref()?, tag),
        })
    }

    /// Names a system by what `tell` knows of each key; an application name may have its noise.
    pub fn name_by(&self, tell: impl Fn(&Key) -> Option<Arc<str>>) -> Option<Arc<str>> {
        self.keys.iter().find_map(|key| match key {
            Key::ApplicationName => telling(&tell(key)?),
            _ => tell(key),
        })
    }
}

/// Finds `key` among tags written `a=x,b=y`, as [`crate::statement::tags`] writes them: in a
/// value `\`, `,` and `=` stand behind a `\`.
fn tag_value(tags: &str, key: &str) -> Option<Arc<str>> {
    let mut rest = tags;
    while let Some((name, after)) = rest.split_once('=') {
        let mut value = String::new();
        let mut characters = after.chars();
        while let Some(character) = characters.next() {
            match character {
                ',' => break,
                '\\' => value.extend(characters.next()),
                _ => value.push(character),
            }
        }
        if name == key && !value.is_empty() {
            return Some(value.into());
        }
        rest = characters.as_str();
    }
    None
}

/// Names of programs that many systems have in common.
const GENERIC: [&str; 22] = [
    "psql",
    "pgbouncer",
    "pgcat",
    "odyssey",
    "pgpool",
    "supavisor",
    "postgresql jdbc driver",
    "psycopg",
    "psycopg2",
    "psycopg3",
    "asyncpg",
    "pgx",
    "npgsql",
    "node-postgres",
    "sqlalchemy",
    "activerecord",
    "hikaricp",
    "dbeaver",
    "pgadmin",
    "datagrip",
    "python",
    "ruby",
];

/// Cuts the noise off an application name; none where nothing telling remains.
fn telling(application_name: &str) -> Option<Arc<str>> {
    let mut name = application_name;
    loop {
        let shorter =
            strip_one(name).trim_matches(|c: char| c.is_whitespace() || "-_:/@.,;#".contains(c));
        if shorter.len() == name.len() {
            break;
        }
        name = shorter;
    }
    let lower = name.to_lowercase();
    let generic = name.is_empty()
        || GENERIC.iter().any(|&word| {
            lower
                .strip_prefix(word)
                .is_some_and(|rest| !rest.starts_with(|c: char| c == '-' || c.is_alphanumeric()))
        });
    (!generic).then(|| name.into())
}

/// Cuts one piece of noise off the end, if there is one.
fn strip_one(name: &str) -> &str {
    let name = name.trim();
    for (open, close) in [('[', ']'), ('(', ')')] {
        if let Some((head, inner)) = name
            .strip_suffix(close)
            .and_then(|rest| rest.rsplit_once(open))
            && (is_noise(inner) || inner.split([' ', '=', ':', ',']).any(is_noise))
        {
            return head;
        }
    }
    // A uuid has dashes of its own, so it goes before single pieces do.
    let uuid_at = name.len().wrapping_sub(36);
    if name.is_char_boundary(uuid_at) && is_uuid(&name[uuid_at..]) {
        return &name[..uuid_at];
    }
    for separators in [[' ', '@', '/'].as_slice(), &['-', '_', ':', '#', '.', '=']] {
        if let Some((head, tail)) = name.rsplit_once(separators)
            && is_noise(tail)
        {
            return head;
        }
    }
    if is_noise(name) { "" } else { name }
}

/// Tells whether a piece of a name tells processes apart rather than systems.
fn is_noise(piece: &str) -> bool {
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    let hex = |s: &str| s.bytes().all(|b| b.is_ascii_hexdigit());
    let host_and_port = piece
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.len() >= 2 && digits(port));
    (piece.len() >= 4 && digits(piece))
        || (piece.len() >= 8 && hex(piece) && piece.bytes().any(|b| b.is_ascii_digit()))
        || piece.parse::<IpAddr>().is_ok()
        || host_and_port
        || is_uuid(piece)
}

/// Tells whether a text has the shape of a uuid.
fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(n, b)| match n {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(application_name: &str, expected: Option<&str>) {
        assert_eq!(
            telling(application_name).as_deref(),
            expected,
            "{application_name}"
        );
    }

    #[test]
    fn short_numbers_tell_systems_apart() {
        check("sync-12", Some("sync-12"));
        check("intake-07", Some("intake-07"));
        check("county 12", Some("county 12"));
        check("decision", Some("decision"));
    }

    #[test]
    fn what_tells_processes_apart_is_cut_off() {
        check("worker[12345]", Some("worker"));
        check("billing - 10.0.0.7:51234", Some("billing"));
        check("billing@node3:51234", Some("billing"));
        check("api-123e4567-e89b-12d3-a456-426614174000", Some("api"));
        check("api-7f9c8d6b5", Some("api"));
        check("jobs (pid 4711)", Some("jobs"));
        check("mailer:20331", Some("mailer"));
    }

    #[test]
    fn generic_names_are_nobody() {
        for name in [
            "",
            "  ",
            "psql",
            "PostgreSQL JDBC Driver",
            "pgbouncer",
            "psycopg2",
            "DBeaver 24.1 - Main",
            "10.0.0.7:51234",
        ] {
            check(name, None);
        }
        check("python-billing", Some("python-billing"));
        check("psqlite", Some("psqlite"));
    }

    #[test]
    fn keys_read_back_as_written() {
        let list = "tag:tenant,application_name,client_addr,role,database";
        assert_eq!(
            list.parse::<Naming>()
                .map(|naming| naming.to_string())
                .as_deref(),
            Ok(list)
        );
        assert!("applicationname".parse::<Naming>().is_err());
        assert!("tag:".parse::<Naming>().is_err());
    }

    #[test]
    fn a_tag_is_found_by_its_whole_key() {
        assert_eq!(
            tag_value("my_tenant=a,tenant=b", "tenant").as_deref(),
            Some("b")
        );
        assert_eq!(tag_value("tenant=", "tenant"), None);
        assert_eq!(
            tag_value("tenant=,route=/y", "route").as_deref(),
            Some("/y")
        );
    }

    #[test]
    fn a_tag_comes_back_as_its_statement_had_it() {
        for value in ["a,1", "a=1", r"a\b", r"a\,tenant=b", "é"] {
            let sql = format!("SELECT 1 /*route='x%2Cy',tenant='{}'*/", encoded(value));
            let tags = crate::statement::tags(sql.as_bytes(), &["route", "tenant"]);
            let read = tag_value(tags.as_deref().unwrap_or_default(), "tenant");
            assert_eq!(read.as_deref(), Some(value), "{tags:?}");
        }
    }

    /// URL-encodes every byte, as a client may.
    fn encoded(value: &str) -> String {
        let bytes: Vec<String> = value.bytes().map(|byte| format!("%{byte:02X}")).collect();
        bytes.concat()
    }
}

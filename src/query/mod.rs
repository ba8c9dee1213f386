//! The catalogue of `queries/*.sql`: every question that is put to a watched server.
//!
//! - One file per question, usable in `psql -f` as it is; its header says what one row
//!   is, which type decodes it, since which version it runs, what it needs and costs.
//! - What is asked again and again begins with the marker `/* pgjam */`, so that whoever
//!   sees it in a log or in `pg_stat_activity` knows whose it is.
//! - Texts are ASCII: they must arrive unharmed whatever the encoding of the database.

use crate::pg::Version;

/// The comment that every statement that samples begins with.
pub const MARKER: &str = "/* pgjam */";

/// A question to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query {
    /// The file's name without its ending.
    pub name: &'static str,
    /// The file, header included.
    pub text: &'static str,
}

/// One look: the tick, its sessions, locks and prepared transactions.
pub const TICK: Query = Query {
    name: "tick",
    text: include_str!("../../queries/tick.sql"),
};

/// The counters of `pg_stat_statements`; run [`Query::in_schema`].
pub const COUNTERS: Query = Query {
    name: "counters",
    text: include_str!("../../queries/counters.sql"),
};

/// The meaning of oids.
pub const NAMES: Query = Query {
    name: "names",
    text: include_str!("../../queries/names.sql"),
};

/// The observer's own connection.
pub const SESSION: Query = Query {
    name: "session",
    text: include_str!("../../queries/session.sql"),
};

/// The first statement of a session: whether its settings arrived.
pub const CONNECT: Query = Query {
    name: "connect",
    text: include_str!("../../queries/connect.sql"),
};

/// What the role may see.
pub const DOCTOR: Query = Query {
    name: "doctor",
    text: include_str!("../../queries/doctor.sql"),
};

/// The cluster's identity.
pub const DOCTOR_IDENTITY: Query = Query {
    name: "doctor_identity",
    text: include_str!("../../queries/doctor_identity.sql"),
};

/// Who answers: a pooler shows here.
pub const DOCTOR_PID: Query = Query {
    name: "doctor_pid",
    text: include_str!("../../queries/doctor_pid.sql"),
};

/// The server's version.
pub const DOCTOR_VERSION: Query = Query {
    name: "doctor_version",
    text: include_str!("../../queries/doctor_version.sql"),
};

/// What is done to the tables of the connected database.
pub const TABLES: Query = Query {
    name: "tables",
    text: include_str!("../../queries/tables.sql"),
};

/// What is done in each database.
pub const DATABASES: Query = Query {
    name: "databases",
    text: include_str!("../../queries/databases.sql"),
};

/// What keeps the oldest row versions alive.
pub const HORIZONS: Query = Query {
    name: "horizons",
    text: include_str!("../../queries/horizons.sql"),
};

/// The settings that are not built in.
pub const SETTINGS: Query = Query {
    name: "settings",
    text: include_str!("../../queries/settings.sql"),
};

/// What the server as a whole counts, from 17 on.
pub const SERVER: Query = Query {
    name: "server",
    text: include_str!("../../queries/server.sql"),
};

/// The same of 16.
pub const SERVER_16: Query = Query {
    name: "server_16",
    text: include_str!("../../queries/server_16.sql"),
};

/// The same of 14 and 15.
pub const SERVER_14: Query = Query {
    name: "server_14",
    text: include_str!("../../queries/server_14.sql"),
};

/// Since when `pg_stat_statements` counts; run [`Query::in_schema`].
pub const STATEMENTS: Query = Query {
    name: "statements",
    text: include_str!("../../queries/statements.sql"),
};

/// All of them, by name.
pub const ALL: [Query; 17] = [
    CONNECT,
    COUNTERS,
    DATABASES,
    DOCTOR,
    DOCTOR_IDENTITY,
    DOCTOR_PID,
    DOCTOR_VERSION,
    HORIZONS,
    NAMES,
    SERVER,
    SERVER_14,
    SERVER_16,
    SESSION,
    SETTINGS,
    STATEMENTS,
    TABLES,
    TICK,
];

/// Gives those that a server of a version is asked: of variants the one for it.
pub fn of(version: Version) -> impl Iterator<Item = Query> {
    let others = [SERVER, SERVER_16, SERVER_14];
    let fits = move |query: &Query| *query == server(version) || !others.contains(query);
    ALL.into_iter().filter(fits)
}

/// Gives the variant of [`SERVER`] for a version.
#[must_use]
pub const fn server(version: Version) -> Query {
    match version.major() {
        ..=15 => SERVER_14,
        16 => SERVER_16,
        _ => SERVER,
    }
}

/// What a query's header promises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// The question, as a sentence.
    pub question: &'a str,
    /// What one row is.
    pub grain: &'a str,
    /// The type that decodes it.
    pub feeds: &'a str,
    /// The major version of the oldest server that it runs on.
    pub since: u32,
    /// The privilege or extension without which something is missing.
    pub needs: &'a str,
    /// What it costs the server.
    pub cost: &'a str,
}

impl Query {
    /// Reads the header; `None` where the contract is broken.
    #[must_use]
    pub fn header(&self) -> Option<Header<'static>> {
        let line = |key: &str| {
            self.text
                .lines()
                .map_while(|line| line.strip_prefix("--"))
                .find_map(|line| line.trim_start().strip_prefix(key)?.strip_prefix(' '))
                .map(str::trim)
                .filter(|value| !value.is_empty())
        };
        let since = line("since")?;
        Some(Header {
            question: self.text.lines().next()?.strip_prefix("-- ")?,
            grain: line("grain")?,
            feeds: line("feeds")?,
            since: since.split([' ', '.']).next()?.parse().ok()?,
            needs: line("needs")?,
            cost: line("cost")?,
        })
    }

    /// Gives the statement without its header, from the marker on.
    ///
    /// Servers show the first kilobyte of a statement: the marker should be in it.
    #[must_use]
    pub fn statement(&self) -> &'static str {
        self.text
            .find(MARKER)
            .map_or(self.text, |start| &self.text[start..])
    }

    /// Gives the statement with the schema of an extension for `:"schema"`, quoted as an identifier.
    #[must_use]
    pub fn in_schema(&self, schema: &str) -> String {
        let quoted = format!("\"{}\"", schema.replace('"', "\"\""));
        self.statement().replace(":\"schema\"", &quoted)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn every_file_keeps_the_header_contract() {
        for query in ALL {
            let header = query.header();
            let header = header.unwrap_or_else(|| panic!("{}.sql breaks the contract", query.name));
            assert!(header.question.ends_with('.'), "{}", query.name);
            let is_variant = [SERVER, SERVER_16].contains(&query);
            assert!(header.since <= 14 || is_variant, "{}", query.name);
        }
    }

    #[test]
    fn every_file_is_in_the_catalogue() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/queries");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        assert_eq!(files, ALL.map(|query| format!("{}.sql", query.name)));
    }

    #[test]
    fn what_samples_is_marked() {
        for query in ALL {
            if [CONNECT.name, "doctor"]
                .iter()
                .any(|name| query.name.starts_with(name))
            {
                continue;
            }
            assert!(query.statement().starts_with(MARKER), "{}", query.name);
            assert!(!query.statement().contains("-- grain"), "{}", query.name);
        }
    }

    #[test]
    fn every_text_survives_any_encoding() {
        for query in ALL {
            assert!(query.text.is_ascii(), "{}", query.name);
        }
    }

    #[test]
    fn a_hostile_schema_stays_an_identifier() {
        let text = COUNTERS.in_schema("a\"; drop table b; --");
        assert!(text.contains("\"a\"\"; drop table b; --\".pg_stat_statements"));
        assert!(!text.contains(":\"schema\""));
    }
}

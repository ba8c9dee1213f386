//! What is lacking, what that costs, and the statement that provides it.

use serde::Serialize;

use super::{Facts, PoolerSign};
use crate::connect::quoted;
use crate::pg::Version;

/// Texts shorter than this lose the tags that name a system.
const ROOMY_QUERY_SIZE: i64 = 4_096;

/// Something that pgjam would need, or would like to have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// What is lacking, as a lower-case fragment.
    pub what: String,
    /// What cannot be said without it.
    pub consequence: String,
    /// The exact SQL that provides it; none where SQL alone cannot.
    pub remedy: Option<String>,
    /// Whether a diagnosis is pointless without it.
    pub fatal: bool,
}

impl Missing {
    /// Says that a server is too old to be watched.
    pub(super) fn version(version: Version) -> Self {
        Self {
            what: format!(
                "PostgreSQL {version} is older than {}",
                Version::OLDEST.major()
            ),
            consequence: "it tells neither query ids nor since when a lock is waited for; \
                          nothing can be diagnosed"
                .into(),
            remedy: None,
            fatal: true,
        }
    }
}

/// Lists everything that the facts lack, fatal things first.
pub(super) fn all(version: Version, facts: &Facts) -> Vec<Missing> {
    [
        facts.pooler.map(pooler),
        (!facts.sees_others).then(|| privilege(version, facts)),
        (!facts.track_activities).then(track_activities),
        statements(facts),
        (facts.compute_query_id == "off").then(query_ids),
        (facts.query_size < ROOMY_QUERY_SIZE).then(|| query_size(facts.query_size)),
        (!facts.log_lock_waits).then(log_lock_waits),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn pooler(sign: PoolerSign) -> Missing {
    let seen = match sign {
        PoolerSign::BackendChanged => "two statements in a row were answered by different backends",
        PoolerSign::MarkerLost => "the backend does not know how this session began",
        PoolerSign::BackendOlder => "the backend is older than this session",
        PoolerSign::Renamed => "the backend goes by another application name",
    };
    Missing {
        what: format!("a direct connection: {seen}, so a pooler stands in between"),
        consequence: "timeouts and read-only mode do not hold through it; connect to the \
                      database server itself, by its own host and port (often 5432)"
            .into(),
        remedy: None,
        fatal: true,
    }
}

fn privilege(version: Version, facts: &Facts) -> Missing {
    let role = quoted(&facts.role);
    let remedy = if !facts.is_member {
        format!("GRANT pg_monitor TO {role};")
    } else if version.major() >= 16 {
        format!("GRANT pg_monitor TO {role} WITH INHERIT TRUE;")
    } else {
        format!("ALTER ROLE {role} INHERIT;")
    };
    Missing {
        what: format!("role {role} lacks the privileges of pg_monitor"),
        consequence: "the sessions of other roles show neither state nor statement nor wait; \
                      nothing can be diagnosed"
            .into(),
        remedy: Some(remedy),
        fatal: true,
    }
}

fn track_activities() -> Missing {
    Missing {
        what: "track_activities is off".into(),
        consequence: "no session shows its state or its statement; nothing can be diagnosed".into(),
        remedy: Some(setting("track_activities", "on")),
        fatal: true,
    }
}

fn statements(facts: &Facts) -> Option<Missing> {
    let state = &facts.statements;
    let (what, remedy) = match &state.schema {
        _ if !state.preloaded => (
            "pg_stat_statements is not loaded (shared_preload_libraries)",
            // Which libraries are loaded already is not for every role to know, so no
            // statement that sets the list can be given without the risk of dropping one.
            None,
        ),
        None if facts.in_recovery => (
            "pg_stat_statements is not created in this database; create it on the primary",
            Some("CREATE EXTENSION pg_stat_statements;".to_owned()),
        ),
        None => (
            "pg_stat_statements is not created in this database",
            Some("CREATE EXTENSION pg_stat_statements;".to_owned()),
        ),
        Some(schema) if !state.readable => (
            "pg_stat_statements may not be read by this role",
            Some(format!(
                "GRANT USAGE ON SCHEMA {0} TO {1}; \
                 GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {0} TO {1};",
                quoted(schema),
                quoted(&facts.role)
            )),
        ),
        Some(_) => return None,
    };
    Some(Missing {
        what: what.into(),
        consequence: "calls are estimated from the samples instead of counted, \
                      so no growth per call can be proved"
            .into(),
        remedy,
        fatal: false,
    })
}

fn query_ids() -> Missing {
    Missing {
        what: "compute_query_id is off".into(),
        consequence: "pg_stat_statements counts nothing, and statements are told apart by their \
                      texts alone"
            .into(),
        remedy: Some(setting("compute_query_id", "auto")),
        fatal: false,
    }
}

fn query_size(bytes: i64) -> Missing {
    Missing {
        what: format!("track_activity_query_size is {bytes} bytes"),
        consequence: "longer statements are seen cut, without the tags at their end; \
                      the setting takes a restart"
            .into(),
        remedy: Some("ALTER SYSTEM SET track_activity_query_size = '16kB';".into()),
        fatal: false,
    }
}

fn log_lock_waits() -> Missing {
    Missing {
        what: "log_lock_waits is off".into(),
        consequence: "the server's log does not bear witness to long lock waits".into(),
        remedy: Some(setting("log_lock_waits", "on")),
        fatal: false,
    }
}

/// Writes the statements that change a setting without a restart.
fn setting(name: &str, value: &str) -> String {
    format!("ALTER SYSTEM SET {name} = '{value}'; SELECT pg_reload_conf();")
}

//! Where PostgreSQL's manual tells of a cause, in the edition of the server at hand.

use crate::attribution::finding::Finding;
use crate::pg::Version;

/// The first edition that pgjam knows a server of, and the last whose addresses are known.
const EDITIONS: [u32; 2] = [14, 18];

/// Gives the address of the section that explains a finding's cause and its remedy; none where
/// nothing is wrong.
pub(super) fn section(finding: &Finding, server: Version) -> Option<String> {
    let section = match finding.cause.class {
        "row-lock" => "explicit-locking.html#LOCKING-ROWS",
        "relation-lock" => "explicit-locking.html#LOCKING-TABLES",
        "ddl-queue" => "runtime-config-client.html#GUC-LOCK-TIMEOUT",
        "advisory-lock" => "explicit-locking.html#ADVISORY-LOCKS",
        "prepared-transaction" => "sql-prepare-transaction.html",
        "deadlock" => "explicit-locking.html#LOCKING-DEADLOCKS",
        "own-work" => "using-explain.html",
        "extend-lock" => "populate.html",
        "virtualxid" | "horizon" => {
            "runtime-config-client.html#GUC-IDLE-IN-TRANSACTION-SESSION-TIMEOUT"
        }
        "safe-snapshot" => "transaction-iso.html#XACT-SERIALIZABLE",
        "object-lock" => "sql-notify.html",
        "wal" => "wal-async-commit.html",
        "io" => "runtime-config-resource.html#GUC-SHARED-BUFFERS",
        "cpu" => "runtime-config-connection.html#GUC-MAX-CONNECTIONS",
        "sync-replication" => "warm-standby.html#SYNCHRONOUS-REPLICATION",
        "client" => "monitoring-stats.html#WAIT-EVENT-CLIENT-TABLE",
        "lwlock" => "monitoring-stats.html#WAIT-EVENT-LWLOCK-TABLE",
        "buffer-pin" => "sql-vacuum.html",
        _ => return None,
    };
    let [first, last] = EDITIONS;
    let edition = server.major().clamp(first, last);
    let accuses = finding.verdict.accuses();
    accuses.then(|| format!("https://www.postgresql.org/docs/{edition}/{section}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribution::finding::Verdict;
    use crate::report::fixture;

    #[test]
    fn a_finding_leads_to_the_edition_of_its_server() {
        let at = |version| section(&fixture::proved(), Version(version));
        let page = "explicit-locking.html#LOCKING-ROWS";
        for (version, edition) in [(150_018, 15), (180_001, 18), (190_000, 18), (0, 14)] {
            let expected = format!("https://www.postgresql.org/docs/{edition}/{page}");
            assert_eq!(at(version), Some(expected));
        }
    }

    #[test]
    fn who_is_not_accused_is_not_explained() {
        let mut finding = fixture::unsure();
        assert_eq!(section(&finding, Version(150_018)), None);
        finding.verdict = Verdict::NoEffect;
        assert_eq!(section(&finding, Version(150_018)), None);
    }
}

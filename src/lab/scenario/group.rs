//! What a scenario's trouble goes through, finer than its family: what methods are compared in.

use serde::Serialize;

use super::Scenario;

/// What causes go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// Rows that somebody wrote or locked.
    Rows,
    /// Rows that other tables refer to.
    ForeignKeys,
    /// Transactions that are prepared and not ended.
    PreparedTransactions,
    /// Whole tables: DDL, rewrites, `LOCK TABLE`, and who queues behind.
    Relations,
    /// Advisory locks.
    AdvisoryLocks,
    /// Snapshots that others have to outlive.
    Snapshots,
    /// Commits: the write-ahead log, and the lock under which all NOTIFY commit.
    Commits,
    /// Processors.
    Cpu,
    /// Reads and writes.
    Io,
    /// The victim's own work.
    OwnWork,
    /// More than one cause at once.
    SeveralCauses,
    /// A class that none of these is about.
    Other,
}

impl Group {
    /// What it is called in a table.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rows => "rows",
            Self::ForeignKeys => "foreign keys",
            Self::PreparedTransactions => "prepared transactions",
            Self::Relations => "tables and DDL",
            Self::AdvisoryLocks => "advisory locks",
            Self::Snapshots => "snapshots",
            Self::Commits => "commits and WAL",
            Self::Cpu => "processors",
            Self::Io => "reads and writes",
            Self::OwnWork => "own work",
            Self::SeveralCauses => "several causes",
            Self::Other => "other",
        }
    }
}

impl Scenario {
    /// Tells what its trouble goes through; none where there is no trouble.
    #[must_use]
    pub fn group(&self) -> Option<Group> {
        let [cause] = self.truth.causes else {
            return (!self.is_null()).then_some(Group::SeveralCauses);
        };
        Some(match cause.class {
            "row-lock" if self.tables.contains("REFERENCES") => Group::ForeignKeys,
            "row-lock" => Group::Rows,
            "prepared-transaction" => Group::PreparedTransactions,
            "relation-lock" | "ddl-queue" => Group::Relations,
            "advisory-lock" => Group::AdvisoryLocks,
            "safe-snapshot" | "virtualxid" | "horizon" => Group::Snapshots,
            "object-lock" | "wal" => Group::Commits,
            "cpu" => Group::Cpu,
            "io" => Group::Io,
            "own-work" => Group::OwnWork,
            _ => Group::Other,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_with_a_cause_is_of_a_group_that_has_a_name() {
        for scenario in Scenario::all() {
            let group = scenario.group();
            assert_eq!(group.is_none(), scenario.is_null(), "{}", scenario.name);
            assert_ne!(group, Some(Group::Other), "{}", scenario.name);
        }
        let of = |name| Scenario::find(name).and_then(|found| found.group());
        assert_eq!(of("fk-parent"), Some(Group::ForeignKeys));
        assert_eq!(of("two-causes"), Some(Group::SeveralCauses));
    }
}

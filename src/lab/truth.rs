//! What the clients timed, in a file that the analysis never reads.
//!
//! One JSON object a line, in the order in which transactions ended: the lines of one follow each
//! other, its whole last. Instants are the *client's* wall clock, which the lab's own server shares; elsewhere they are off by
//! the difference of the two clocks.
//!
//! Labels: `begin`, `commit` and [`TRANSACTION`] are everybody's, `counter` is the one
//! update of a shared row, and the rest are told by the rows of kind `statement`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::LabError;
use crate::time::{Span, Timestamp};

/// The label under which a whole transaction is timed.
pub const TRANSACTION: &str = "transaction";

/// The label under which the end of a transaction is timed.
pub const COMMIT: &str = "commit";

/// One line of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "row", rename_all = "lowercase")]
pub enum Row {
    /// A stretch of the schedule, as planned when it began.
    Phase(Phase),
    /// A system's first connection was about to be opened.
    Onboarded(Onboarding),
    /// What a system means by a label.
    Statement {
        /// The system.
        system: String,
        /// The label.
        label: String,
        /// The text that is sent.
        sql: String,
    },
    /// Something ran.
    Timed(Timed),
}

/// A stretch of the schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    /// As `settle` or `wave 3`.
    pub name: String,
    /// Its first instant.
    pub from: Timestamp,
    /// The first instant after it.
    pub to: Timestamp,
}

/// The arrival of a system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Onboarding {
    /// Which.
    pub system: String,
    /// When.
    pub at: Timestamp,
}

/// One statement, or one transaction as [`TRANSACTION`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timed {
    /// Whose.
    pub system: String,
    /// Which.
    pub label: String,
    /// When it was sent; a transaction, when it was due.
    pub at: Timestamp,
    /// From then until its answer was read.
    #[serde(rename = "us")]
    pub latency: Span,
    /// Whether the answer was a good one.
    pub ok: bool,
    /// A statement's parameters, by which rows that it locks are told apart; none in files that were
    /// written without them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<i32>,
}

/// A mean and what it rests on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mean {
    /// Mean latency in milliseconds.
    pub ms: f64,
    /// Over so many.
    pub calls: u64,
}

/// Reads the client's wall clock.
pub(super) fn wall_clock() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// The file while it is written.
#[derive(Debug)]
pub(super) struct Writer(BufWriter<File>);

impl Writer {
    pub(super) fn create(path: &Path) -> Result<Self, LabError> {
        let file = File::create(path).map_err(LabError::io(format!(
            "write the truth to {}",
            path.display()
        )))?;
        Ok(Self(BufWriter::with_capacity(1 << 16, file)))
    }

    pub(super) fn write(&mut self, row: &Row) -> Result<(), LabError> {
        serde_json::to_writer(&mut self.0, row)
            .map_err(std::io::Error::from)
            .and_then(|()| self.0.write_all(b"\n"))
            .map_err(LabError::io("write the truth"))
    }

    pub(super) fn flush(&mut self) -> Result<(), LabError> {
        self.0.flush().map_err(LabError::io("write the truth"))
    }
}

/// The file as it is read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Truth {
    /// The schedule.
    pub phases: Vec<Phase>,
    /// Who arrived when.
    pub onboardings: Vec<Onboarding>,
    /// The text by system and label.
    pub statements: BTreeMap<(String, String), String>,
    /// All that ran.
    pub timed: Vec<Timed>,
}

impl Truth {
    /// Reads a file that a run wrote.
    ///
    /// # Errors
    /// When the file cannot be read, or a line of it is not one of ours.
    pub fn read(path: &Path) -> Result<Self, LabError> {
        let doing = || LabError::io(format!("read the truth in {}", path.display()));
        let mut truth = Self::default();
        for line in BufReader::new(File::open(path).map_err(doing())?).lines() {
            let line = line.map_err(doing())?;
            let row = serde_json::from_str(&line)
                .map_err(std::io::Error::from)
                .map_err(doing())?;
            match row {
                Row::Phase(phase) => truth.phases.push(phase),
                Row::Onboarded(onboarding) => truth.onboardings.push(onboarding),
                Row::Statement { system, label, sql } => {
                    truth.statements.insert((system, label), sql);
                }
                Row::Timed(timed) => truth.timed.push(timed),
            }
        }
        Ok(truth)
    }

    /// Averages what `system` timed as `label` and sent in `from..to`, failures left out;
    /// none if that is nothing.
    #[must_use]
    pub fn mean_ms(
        &self,
        system: &str,
        label: &str,
        from: Timestamp,
        to: Timestamp,
    ) -> Option<Mean> {
        let mut calls = 0;
        let mut sum = Span::ZERO;
        for timed in &self.timed {
            let within = (from..to).contains(&timed.at);
            if timed.ok && within && timed.system == system && timed.label == label {
                calls += 1;
                sum += timed.latency;
            }
        }
        (calls > 0).then(|| Mean {
            ms: sum.as_millis_f64() / calls as f64,
            calls,
        })
    }

    /// Finds a stretch of the schedule by its name.
    #[must_use]
    pub fn phase(&self, name: &str) -> Option<&Phase> {
        self.phases.iter().find(|phase| phase.name == name)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn timed(at: i64, us: i64, ok: bool) -> Row {
        Row::Timed(Timed {
            system: "decision".into(),
            label: "counter".into(),
            at: Timestamp::from_micros(at),
            latency: Span::from_micros(us),
            ok,
            values: Vec::new(),
        })
    }

    #[test]
    fn what_is_written_is_read_and_failures_and_strangers_stay_out_of_a_mean() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("truth.jsonl");
        let mut writer = Writer::create(&path).unwrap();
        for row in [
            timed(10, 1_000, true),
            timed(19, 3_000, true),
            timed(15, 9_000, false),
            timed(20, 9_000, true),
        ] {
            writer.write(&row).unwrap();
        }
        writer.flush().unwrap();
        let truth = Truth::read(&path).unwrap();
        assert_eq!(truth.timed.len(), 4);
        let mean = |label| {
            truth.mean_ms(
                "decision",
                label,
                Timestamp::from_micros(10),
                Timestamp::from_micros(20),
            )
        };
        assert_eq!(mean("counter"), Some(Mean { ms: 2.0, calls: 2 }));
        assert_eq!(mean("audit"), None);
    }

    #[test]
    fn parameters_are_kept_and_a_line_without_any_is_read() {
        let line = r#"{"row":"timed","system":"a","label":"b","at":1,"us":2,"ok":true}"#;
        let Row::Timed(mut timed) = serde_json::from_str(line).unwrap() else {
            panic!("{line}");
        };
        assert!(timed.values.is_empty());
        timed.values = vec![3, 4];
        let written = serde_json::to_string(&Row::Timed(timed.clone())).unwrap();
        let read: Row = serde_json::from_str(&written).unwrap();
        assert_eq!(read, Row::Timed(timed));
    }
}

//! The server's own log, where it is at hand: what was typed of it, and what came of it.

#![expect(clippy::doc_markdown, reason = "these comments are the help texts")]

use std::path::PathBuf;

use clap::Args;

use crate::attribution::finding::Diagnosis;
use crate::attribution::lay_log_beside;
use crate::cli::exit::Failure;
use crate::cli::screen::Screen;
use crate::log::{self, Beside, Clock, LogError, Prefix, Reading};
use crate::recording::Recording;
use crate::system::Naming;

#[derive(Args, Clone, Debug, Default)]
pub(super) struct LogArgs {
    /// The server's own log, a file or a folder of files in csvlog, jsonlog or stderr format: what
    /// log_lock_waits and deadlock reports in it say stands beside the samples; may be repeated.
    #[arg(long = "log", value_name = "FILE|FOLDER")]
    logs: Vec<PathBuf>,
    /// How lines of its stderr format begin. [default: '%m [%p] ']
    #[arg(long, value_name = "PREFIX", requires = "logs", value_parser = Prefix::of)]
    log_line_prefix: Option<Prefix>,
    /// The zone of its times, as Europe/Berlin. [default: the server's log_timezone as recorded]
    #[arg(long, value_name = "ZONE", requires = "logs", value_parser = Clock::of)]
    log_timezone: Option<Clock>,
}

impl LogArgs {
    /// Sees before a watch whether there is a log to be read.
    ///
    /// How its lines begin may be known only from the server: nothing is said of that yet.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let prefix = self.log_line_prefix.clone();
        match log::check(&self.logs, &prefix.clone().unwrap_or_default()) {
            Err(LogError::Foreign { .. }) if prefix.is_none() => Ok(()),
            checked => Ok(checked?),
        }
    }

    /// Reads the log and lays it beside what was concluded.
    pub(super) fn lay(
        &self,
        diagnosis: &mut Diagnosis,
        recording: &Recording,
        naming: &Naming,
    ) -> Result<(), Failure> {
        if self.logs.is_empty() {
            return Ok(());
        }
        let (paths, prefix) = (self.logs.clone(), self.log_line_prefix.clone());
        let reading = Reading::of(recording, paths, prefix, self.log_timezone.clone());
        let log = log::read(&reading)?;
        lay_log_beside(diagnosis, &Beside::of(&log, recording, naming));
        Ok(())
    }

    /// The same where there is an answer without it, too.
    pub(super) fn lay_if_possible(
        &self,
        diagnosis: &mut Diagnosis,
        recording: &Recording,
        naming: &Naming,
        screen: &Screen,
    ) {
        if let Err(failure) = self.lay(diagnosis, recording, naming) {
            screen.note(&format!("left out: {failure}"));
        }
    }
}

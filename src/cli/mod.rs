//! What was typed, what it means, and the exit codes: the only place that prints.
//!
//! ```text
//!  args ─▶ one file per command ─▶ library ─▶ screen
//!                     └───────────────────▶ exit (Failure ─▶ code)
//! ```

mod args;
mod at;
mod baseline;
mod diagnose;
mod doctor;
mod event;
mod exit;
mod lab;
mod log;
mod logged;
mod now;
mod record;
mod screen;
mod servers;
mod standing;
mod top;
mod typed;
mod watch;
mod window;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::cli::args::{Cli, Command};
use crate::cli::exit::Failure;
use crate::cli::screen::Screen;

/// Runs the command line and gives the exit code.
#[must_use]
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let screen = Screen::of(&cli);
    let done = match cli.command {
        Command::Now(args) => now::run(&args, &screen),
        Command::Diagnose(args) => diagnose::run(&args, &screen),
        Command::Record(args) => record::run(&args, &screen),
        Command::Report(args) => diagnose::report(&args, &screen),
        Command::Top(args) => top::run(&args, &screen),
        Command::At(args) => at::run(&args, &screen),
        Command::Event(args) => event::run(&args, &screen),
        Command::Doctor(args) => doctor::run(&args, &screen),
        Command::Lab(args) => lab::run(&args, &screen),
        Command::Completions { shell } => {
            // Into memory: the generator panics on a pipe that was closed.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "pgjam", &mut script);
            screen.answer(&String::from_utf8_lossy(&script), None)
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            Screen::fail(&failure);
            failure.code()
        }
    }
}

/// A failed command.
type Done = Result<(), Failure>;

//! The command `pgjam`: see [`pgjam::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    pgjam::cli::run()
}

//! lab
use crate::cli::Done;
use crate::cli::args::LabArgs;
use crate::cli::screen::Screen;

pub(super) fn run(_args: &LabArgs, _screen: &Screen) -> Done {
    Ok(())
}

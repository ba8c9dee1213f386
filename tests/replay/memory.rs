//! What this process has in memory, as Linux tells it.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use pgjam::daemon::ALLOCATOR;

/// Gives the most that was resident since [`forget_peak`], in MiB.
pub(crate) fn peak() -> f64 {
    let text = fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: f64 = line
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap()
        .parse()
        .unwrap();
    kib / 1024.0
}

/// Lets the peak begin anew at what is resident now.
pub(crate) fn forget_peak() {
    // As proc(5) has it: 5 resets the peak, and nothing else.
    fs::write("/proc/self/clear_refs", "5").unwrap();
}

/// Lets this process begin anew with what the daemon tells its allocator, unless it has.
pub(crate) fn allocate_as_the_daemon() {
    if std::env::var_os(ALLOCATOR[0].0).is_none() {
        let mut again = Command::new(std::env::current_exe().unwrap());
        again.args(std::env::args_os().skip(1)).envs(ALLOCATOR);
        panic!("{}", again.exec());
    }
}

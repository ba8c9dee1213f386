//! What this process has in memory, as Linux tells it.

use std::fs;

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

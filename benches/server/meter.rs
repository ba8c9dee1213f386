//! Processor time of one process or thread, as the operating system counts it.
//!
//! Elapsed time will not do: it holds the waits for a processor, and grows with whatever
//! else the machine does. Linux counts nanoseconds on a processor in `/proc/PID/schedstat`
//! (first field; kernels with `CONFIG_SCHED_INFO`, as distributions build them), and brings
//! the figure up to date whenever the process leaves the processor. Other systems let no
//! ordinary user read another process so finely.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long a process may take to come to rest.
const REST_WITHIN: Duration = Duration::from_secs(10);

/// Where the processor time of a process can be read.
#[derive(Debug)]
pub(crate) struct Meter {
    schedstat: PathBuf,
    stat: PathBuf,
}

impl Meter {
    /// Makes a meter of another process; none where this system has no such figure.
    pub(crate) fn of_process(pid: i32) -> Option<Self> {
        Self::at(&format!("/proc/{pid}"))
    }

    /// Makes a meter of the thread that will read it.
    pub(crate) fn of_this_thread() -> Option<Self> {
        Self::at("/proc/thread-self")
    }

    fn at(folder: &str) -> Option<Self> {
        let meter = Self {
            schedstat: format!("{folder}/schedstat").into(),
            stat: format!("{folder}/stat").into(),
        };
        // A kernel that does not count leaves zeros there.
        (meter.spent()? > Duration::ZERO).then_some(meter)
    }

    /// Reads the time spent on a processor up to when it was last left.
    pub(crate) fn spent(&self) -> Option<Duration> {
        let text = fs::read_to_string(&self.schedstat).ok()?;
        let nanoseconds = text.split_whitespace().next()?.parse().ok()?;
        Some(Duration::from_nanos(nanoseconds))
    }

    /// Tells whether the process sleeps, so that its figure is complete.
    fn rests(&self) -> bool {
        // The second field is the program's name, in parentheses, and may hold anything.
        let text = fs::read_to_string(&self.stat).unwrap_or_default();
        let after_name = text.rsplit_once(')').map(|(_, rest)| rest.trim_start());
        after_name.is_some_and(|rest| rest.starts_with('S'))
    }

    /// Waits until the process sleeps, and reads. The caller's own thread sleeps meanwhile,
    /// which brings its own figure up to date too.
    pub(crate) async fn at_rest(&self) -> Option<Duration> {
        let begun = Instant::now();
        loop {
            tokio::time::sleep(Duration::from_millis(1)).await;
            if self.rests() {
                return self.spent();
            }
            if begun.elapsed() > REST_WITHIN {
                return None;
            }
        }
    }
}

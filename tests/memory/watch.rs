//! `pgjam record` beside a server, its memory under observation.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pgjam::lab::server::ThrowAway;
use pgjam::recording::Recording;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long its end may take.
const SOON: Duration = Duration::from_mins(1);

/// What of the program's file is in memory, in MiB, where it is a release build. A debug build's
/// text is several times that, and says nothing about anybody's.
const TEXT: f64 = 12.0;

/// A watch that goes on.
pub(crate) struct Watch {
    program: Program,
    _folder: TempDir,
    to: PathBuf,
    peak: JoinHandle<Peak>,
}

/// The program; dropping it kills it.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The most that was resident, in MiB.
#[derive(Clone, Copy, Debug, Default)]
struct Peak {
    /// As the kernel keeps it, mapped files included.
    all: f64,
    /// What is the program's own, as it was seen.
    own: f64,
    /// What of files is in memory, the program's own before all, as it was seen.
    files: f64,
}

/// What a watch came to.
#[derive(Debug)]
pub(crate) struct Told {
    /// The most memory that was resident, in MiB; of a debug build with the text of a release build.
    pub(crate) peak: f64,
    /// The most of what is no file that is mapped into memory, and of what is.
    pub(crate) own: f64,
    pub(crate) files: f64,
    pub(crate) looks: usize,
    /// Active sessions, on average.
    pub(crate) active: f64,
    /// Texts that are in the recording.
    pub(crate) statements: usize,
}

impl Watch {
    /// Begins to watch, and waits for the first looks.
    pub(crate) fn begin(server: &ThrowAway) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("watch");
        let child = Command::new(env!("CARGO_BIN_EXE_pgjam"))
            .args(["record", "--dsn", &server.dsn("postgres", "postgres")])
            .args(["--hz", "10", "--to"])
            .arg(&to)
            .env_clear()
            .env("HOME", "/nonexistent")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let pid = child.id();
        let watch = Self {
            program: Program(child),
            _folder: folder,
            to,
            peak: std::thread::spawn(move || follow(pid)),
        };
        let begun = Instant::now();
        while !watch.to.join("ticks").exists() {
            assert!(begun.elapsed() < SOON, "nothing is recorded");
            std::thread::sleep(Duration::from_millis(20));
        }
        watch
    }

    /// Ends the watch, with an eye on its memory until it is gone.
    pub(crate) fn end(mut self) -> Told {
        kill_process(Pid::from_child(&self.program.0), Signal::TERM).unwrap();
        let asked = Instant::now();
        while !self.peak.is_finished() {
            assert!(asked.elapsed() < SOON, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
        let status = self.program.0.wait().unwrap();
        assert!(status.success(), "{status}");
        let peak = self.peak.join().unwrap();
        let recording = Recording::open(&self.to).unwrap();
        let active = recording.snapshots.iter().map(|snapshot| {
            let sessions = snapshot.sessions.iter();
            sessions.filter(|session| session.state.is_active()).count()
        });
        let texts: HashSet<_> = recording.statements.iter().map(|text| text.id).collect();
        let looks = recording.snapshots.len();
        Told {
            peak: if cfg!(debug_assertions) {
                peak.own + TEXT
            } else {
                peak.all
            },
            own: peak.own,
            files: peak.files,
            looks,
            active: active.sum::<usize>() as f64 / looks as f64,
            statements: texts.len(),
        }
    }
}

impl Told {
    /// Prints it; `--nocapture` shows it.
    #[expect(clippy::print_stdout, reason = "the long form is run for the figures")]
    pub(crate) fn show(&self, about: &str) {
        let Self {
            peak,
            own,
            files,
            looks,
            active,
            ..
        } = self;
        println!(
            "{about}: {peak:.1} MiB at most, {own:.1} MiB of its own and {files:.1} MiB of files; \
             {looks} looks at {active:.0} active sessions"
        );
    }
}

/// Looks at a process until it has ended.
fn follow(pid: u32) -> Peak {
    let mut peak = Peak::default();
    while let Some([all, own, files]) = memory(pid) {
        peak.all = all;
        peak.own = peak.own.max(own);
        peak.files = peak.files.max(files);
        std::thread::sleep(Duration::from_millis(5));
    }
    peak
}

/// Reads the peak of what is resident, and now the anonymous part of it and that of files; none once
/// it has ended.
fn memory(pid: u32) -> Option<[f64; 3]> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let mib = |key: &str| -> Option<f64> {
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
        Some(kib / 1024.0)
    };
    Some([mib("VmHWM:")?, mib("RssAnon:")?, mib("RssFile:")?])
}

//! The processes and the folder of one throw-away server, until they are undone.
//!
//! Whoever undoes them first (a drop, a signal, the watchman after a kill) does all of
//! it; whoever comes second waits until that is done.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::LabError;
use super::cleanup::{self, Undo};

/// How often a child is looked after.
pub(super) const GLANCE: Duration = Duration::from_millis(10);

/// How long each of the ways to stop may take.
const STOP_WITHIN: Duration = Duration::from_secs(8);

/// Waits at a pipe for a word that all is well. When the other end vanishes without
/// one, stops the server and removes its folder.
const WATCHMAN: &str = r#"
read -r word && exit 0
kill -INT "$1" 2>/dev/null
tries=0
while kill -0 "$1" 2>/dev/null && [ "$tries" -lt 100 ]; do
    tries=$((tries + 1)); sleep 0.1
done
kill -KILL "$1" 2>/dev/null
rm -rf "$2"
"#;

/// What stands as long as it was not undone.
#[derive(Debug)]
pub(super) struct Standing(Mutex<Option<Live>>);

#[derive(Debug)]
struct Live {
    /// `initdb`, then the postmaster.
    child: Option<Child>,
    watchman: Option<Child>,
    folder: TempDir,
}

impl Standing {
    /// Takes charge of `folder`, known to the signals before anything runs in it.
    pub(super) fn new(folder: TempDir) -> Arc<Self> {
        let standing = Arc::new(Self(Mutex::new(Some(Live {
            child: None,
            watchman: None,
            folder,
        }))));
        let weak: Weak<Self> = Arc::downgrade(&standing);
        cleanup::register(weak);
        standing
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.live().as_ref()?.child.as_ref().map(Child::id)
    }

    fn live(&self) -> MutexGuard<'_, Option<Live>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn spawn(&self, command: &mut Command) -> Result<(), LabError> {
        let mut live = self.live();
        let live = live.as_mut().ok_or(LabError::Stopped)?;
        let child = command.spawn().map_err(LabError::io(format!(
            "start {}",
            command.get_program().display()
        )))?;
        live.child = Some(child);
        Ok(())
    }

    pub(super) fn post_watchman(&self, folder: &Path) -> Result<(), LabError> {
        let mut live = self.live();
        let live = live.as_mut().ok_or(LabError::Stopped)?;
        let server = live.child.as_ref().ok_or(LabError::Stopped)?;
        let watchman = Command::new("/bin/sh")
            .args(["-c", WATCHMAN, "watchman", &server.id().to_string()])
            .arg(folder)
            .process_group(0)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(LabError::io("start /bin/sh"))?;
        live.watchman = Some(watchman);
        Ok(())
    }

    /// Looks at the child once; none while it runs.
    fn ended(&self) -> Result<Option<ExitStatus>, LabError> {
        let mut live = self.live();
        let child = live
            .as_mut()
            .and_then(|live| live.child.as_mut())
            .ok_or(LabError::Stopped)?;
        child
            .try_wait()
            .map_err(LabError::io("wait for the server"))
    }

    pub(super) fn has_ended(&self) -> Result<bool, LabError> {
        Ok(self.ended()?.is_some())
    }

    /// Waits for the child, without keeping a signal from undoing all of it.
    pub(super) fn wait_for_end(&self) -> Result<ExitStatus, LabError> {
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            sleep(GLANCE);
        }
    }

    /// Stops the server as told and leaves its folder, so that it may be started again.
    pub(super) fn halt(&self, how: Signal) -> Result<(), LabError> {
        let mut live = self.live();
        let live = live.as_mut().ok_or(LabError::Stopped)?;
        if let Some(mut child) = live.child.take() {
            put_down(&mut child, how);
        }
        if let Some(mut watchman) = live.watchman.take() {
            dismiss(&mut watchman);
        }
        Ok(())
    }

    /// Stops the server, first as told, and removes its folder. A second call waits for
    /// the first and does nothing, so that nobody leaves while there is work.
    pub(super) fn end(&self, how: Signal) -> Result<(), LabError> {
        let mut guard = self.live();
        let Some(mut live) = guard.take() else {
            return Ok(());
        };
        if let Some(child) = &mut live.child {
            put_down(child, how);
        }
        let path = live.folder.path().display().to_string();
        let removed = live
            .folder
            .close()
            .map_err(LabError::io(format!("remove {path}")));
        if let Some(watchman) = &mut live.watchman {
            dismiss(watchman);
        }
        removed
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        self.undo();
    }
}

impl Undo for Standing {
    fn undo(&self) {
        // On drop and on a signal nobody is left to tell; the folder is a temporary one.
        let _ = self.end(Signal::INT);
    }
}

/// Tells the watchman that all is well, and waits until it has gone.
fn dismiss(watchman: &mut Child) {
    let told = watchman
        .stdin
        .take()
        .is_some_and(|mut pipe| pipe.write_all(b"done\n").is_ok());
    if !told {
        let _ = watchman.kill();
    }
    let _ = watchman.wait();
}

/// Asks as told, then harder, then kills.
fn put_down(child: &mut Child, how: Signal) {
    for signal in [how, Signal::QUIT, Signal::KILL] {
        if matches!(child.try_wait(), Ok(Some(_)) | Err(_)) {
            return;
        }
        let _ = kill_process(Pid::from_child(child), signal);
        let deadline = Instant::now() + STOP_WITHIN;
        while Instant::now() < deadline {
            if matches!(child.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            sleep(GLANCE);
        }
    }
}

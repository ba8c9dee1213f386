//! What happens to the folder that the recording goes into.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use pgjam::recording::Recording;

use crate::ledger::Ledger;
use crate::log::Log;
use crate::orphans;
use crate::stage::{HZ, Scene, Watch, pass, tell};

/// A file system of a few pages, where this machine lets us have one.
struct Small(tempfile::TempDir);

impl Small {
    fn mount(kilobytes: u32) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={kilobytes}k"), "tmpfs"])
            .arg(folder.path())
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(folder)),
            Ok(output) => {
                tell(&format!(
                    "not played, no file system can be mounted: {}",
                    String::from_utf8_lossy(&output.stderr).trim()
                ));
                None
            }
            Err(error) => {
                tell(&format!("not played, there is no mount: {error}"));
                None
            }
        }
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("recording")
    }

    /// Fills what is left of it; the file's removal makes room again.
    fn fill(&self) -> PathBuf {
        let ballast = self.0.path().join("ballast");
        let mut size = 1 << 20;
        let mut bytes = Vec::new();
        while size > 0 {
            let more = [bytes.as_slice(), &vec![0; size]].concat();
            if fs::write(&ballast, &more).is_ok() {
                bytes = more;
            } else {
                size /= 2;
            }
        }
        // The last attempt was cut short, and fills what was left.
        ballast
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

fn ledger(scene: &Scene, to: &Path) -> Ledger {
    let recording = Recording::open(to).unwrap();
    Ledger::new(recording, Log::read(&[&scene.server.log_path()]))
}

/// It says so once, keeps what it sees in memory, and writes all of it when there is room.
pub(crate) fn a_full_disk_is_told_and_waited_out_without_a_loss() {
    let Some(small) = Small::mount(2_048) else {
        return;
    };
    let scene = Scene::set();
    let _load = scene.load();
    let mut watch = Watch::start(&scene.dsn(), &small.path());
    watch.hear("watching ");
    pass(1.0);
    let ballast = small.fill();
    watch.hear("the recording waits in memory");
    pass(3.0);
    // What was written before can be read all the while.
    assert!(Recording::open(&small.path()).unwrap().snapshots.len() > 3);
    fs::remove_file(ballast).unwrap();
    watch.hear("the recording is written again");
    pass(1.0);
    watch.ends_well();
    let ledger = ledger(&scene, &small.path());
    ledger.balances(1);
    assert!(ledger.longest_gap() < 1.0);
}

/// It starts all the same, and the recording begins when there is room, with all that was seen.
pub(crate) fn a_disk_that_is_full_at_the_start_is_waited_out_without_a_loss() {
    let Some(small) = Small::mount(2_048) else {
        return;
    };
    let ballast = small.fill();
    let scene = Scene::set();
    let mut watch = Watch::start(&scene.dsn(), &small.path());
    watch.hear("watching ");
    watch.hear("the recording waits in memory");
    pass(2.0);
    fs::remove_file(ballast).unwrap();
    watch.hear("the recording is written again");
    pass(1.0);
    watch.ends_well();
    let ledger = ledger(&scene, &small.path());
    ledger.balances(1);
    assert!(ledger.ticks().len() > 15, "{}", ledger.ticks().len());
}

/// Where there never is any room the end says so, and how it ended.
pub(crate) fn a_disk_that_stays_full_ends_with_what_it_is() {
    let Some(small) = Small::mount(2_048) else {
        return;
    };
    let _ballast = small.fill();
    let scene = Scene::set();
    let mut watch = Watch::start(&scene.dsn(), &small.path());
    watch.hear("the recording waits in memory");
    let (status, said) = watch.ends();
    assert_eq!(status.code(), Some(8), "{said}");
    assert!(said.contains("No space left on device"), "{said}");
}

/// The server goes away while the disk is full: the rows in memory outlive the connection.
pub(crate) fn a_full_disk_and_a_lost_server_at_once_lose_nothing() {
    let Some(small) = Small::mount(2_048) else {
        return;
    };
    let scene = Scene::set();
    let mut watch = Watch::start(&scene.dsn(), &small.path());
    watch.hear("watching ");
    pass(1.0);
    let ballast = small.fill();
    watch.hear("the recording waits in memory");
    scene.server.halt(rustix::process::Signal::INT).unwrap();
    watch.hear("trying again in ");
    scene.resume();
    watch.hear("watching ");
    pass(1.0);
    fs::remove_file(ballast).unwrap();
    watch.hear("the recording is written again");
    pass(1.0);
    watch.ends_well();
    let ledger = ledger(&scene, &small.path());
    ledger.balances(1);
    assert_eq!(ledger.lost("lost_connections"), 1);
}

/// What does not fit at the end is lost, and that is said; what fitted can be read.
pub(crate) fn an_end_on_a_full_disk_is_prompt_and_says_what_it_is() {
    let Some(small) = Small::mount(2_048) else {
        return;
    };
    let scene = Scene::set();
    let mut watch = Watch::start(&scene.dsn(), &small.path());
    watch.hear("watching ");
    pass(1.0);
    let ballast = small.fill();
    watch.hear("the recording waits in memory");
    let (status, said) = watch.ends();
    assert_eq!(status.code(), Some(8), "{said}");
    assert!(said.contains("No space left on device"), "{said}");
    fs::remove_file(ballast).unwrap();
    let before = Recording::open(&small.path()).unwrap().snapshots.len();
    // The next one goes on, and its first tick tells how many are not there.
    let mut watch = Watch::start(&scene.dsn(), &small.path());
    watch.hear("watching ");
    pass(1.0);
    watch.ends_well();
    let ledger = ledger(&scene, &small.path());
    assert!(ledger.ticks().len() > before + 3);
    ledger.balances(1);
}

/// A limit on the size of files stands for a disk with a quota.
pub(crate) fn a_file_that_may_not_grow_is_told_and_the_next_goes_on() {
    let scene = Scene::set();
    let _load = scene.load();
    let mut limited = Command::new("sh");
    // The signal that comes with it would end the program; whoever sets a limit turns it off.
    limited
        .args(["-c", "trap '' XFSZ; ulimit -f 24; exec \"$@\"", "sh"])
        .arg(env!("CARGO_BIN_EXE_pgjam"))
        .args([
            "record",
            "--hz",
            &HZ.to_string(),
            "--dsn",
            &scene.dsn(),
            "--to",
        ])
        .arg(scene.to());
    let mut watch = Watch::spawn(&mut limited);
    watch.hear("watching ");
    watch.hear("the recording waits in memory");
    pass(1.0);
    let (status, said) = watch.ends();
    assert_eq!(status.code(), Some(8), "{said}");
    let mut watch = scene.watch();
    watch.hear("watching ");
    pass(1.0);
    watch.ends_well();
    // Ticks go behind what they saw. Which file is full first is chance: where it is that of the
    // ticks, or of sessions behind locks, the rows that still found room have none, and each of
    // them counts; where it is the first, there are no such rows.
    let ledger = scene.ledger();
    let orphans = orphans::of(&scene.to());
    assert_eq!(ledger.lost(orphans::KIND), orphans.len() as u64);
    ledger.balances_but_for(orphans::lost(&ledger), 1);
}

/// Somebody removes the recording: it begins anew in its place, and says what is gone.
pub(crate) fn a_folder_that_is_removed_in_mid_flight_is_made_again() {
    let scene = Scene::set();
    let _load = scene.load();
    let mut watch = scene.watch();
    watch.hear("watching ");
    pass(1.5);
    // Out of its way first: what it makes anew meanwhile is not to be removed.
    let gone = scene.to().with_extension("gone");
    fs::rename(scene.to(), &gone).unwrap();
    fs::remove_dir_all(gone).unwrap();
    pass(3.0);
    let (status, said) = scene.watch().comes_to_an_end();
    assert_eq!(status.code(), Some(8), "{said}");
    watch.ends_well();
    let ledger = scene.ledger();
    assert!(ledger.ticks().len() > 15, "{}", ledger.ticks().len());
    ledger.balances_but_for(&["dropped_rows"], 1);
}

pub(crate) fn a_folder_that_may_not_be_entered_is_refused_at_once() {
    if rustix::process::geteuid().is_root() {
        tell("not played, root may enter any folder");
        return;
    }
    let scene = Scene::set();
    fs::create_dir(scene.to()).unwrap();
    fs::set_permissions(scene.to(), fs::Permissions::from_mode(0o000)).unwrap();
    let (status, said) = scene.watch().comes_to_an_end();
    assert_eq!(status.code(), Some(8), "{said}");
    assert!(said.contains("Permission denied"), "{said}");
}

pub(crate) fn a_folder_of_something_else_is_refused_at_once() {
    let scene = Scene::set();
    fs::create_dir(scene.to()).unwrap();
    fs::write(scene.to().join("letter.txt"), "dear").unwrap();
    let (status, said) = scene.watch().comes_to_an_end();
    assert_eq!(status.code(), Some(8), "{said}");
    assert!(said.contains("something other than a recording"), "{said}");
    assert_eq!(fs::read_dir(scene.to()).unwrap().count(), 1);
}

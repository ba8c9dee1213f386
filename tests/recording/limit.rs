//! A write that breaks off in the middle.

use std::path::PathBuf;
use std::process::Command;

use pgjam::recording::{Recording, Writer};
use pgjam::sample::Snapshot;

use crate::{server, snapshot};

/// Where the child writes.
const FOLDER: &str = "PGJAM_TEST_FOLDER";

#[test]
fn a_write_that_breaks_off_tears_nothing_that_was_written() {
    let folder = tempfile::tempdir().unwrap();
    // No file may grow beyond 24 KiB, and whoever tries gets an error in the midst of it.
    let mut limited = Command::new("bash");
    limited.args(["-c", r#"trap "" XFSZ; ulimit -f 24; exec "$0" "$@""#]);
    limited.arg(std::env::current_exe().unwrap());
    limited.args(["--exact", "limit::writes_until_it_is_refused", "--ignored"]);
    let ended = limited.env(FOLDER, folder.path()).output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    let read = Recording::open(folder.path()).unwrap();
    assert_eq!(read.snapshots, written_by_the_child());
    assert_eq!(read.losses, []);
}

fn written_by_the_child() -> Vec<Snapshot> {
    (0..60).map(|tick| snapshot(tick, 8)).collect()
}

#[test]
#[ignore = "the child of another test, which limits what it may write"]
fn writes_until_it_is_refused() {
    let folder = PathBuf::from(std::env::var_os(FOLDER).unwrap());
    let mut writer = Writer::create(&folder, &server()).unwrap();
    let mut refused = 0;
    for (count, snapshot) in (1..).zip(written_by_the_child()) {
        writer.take(snapshot.into());
        refused += usize::from(writer.flush().is_err());
        if count % 20 == 0 {
            // What did not fit goes into the next segments.
            let _ = writer.seal();
            writer.seal().unwrap();
        }
    }
    assert!(refused > 3, "{refused}");
    writer.finish().unwrap();
}

//! Files that only their owner may read, and that under their name are whole.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::RecordingError;

/// Says what was asked for where the file system refuses.
pub(super) fn io(path: &Path) -> impl Fn(std::io::Error) -> RecordingError {
    move |source| RecordingError::Io {
        path: path.to_owned(),
        source,
    }
}

/// Makes a folder, and those above it.
pub(super) fn make_folder(path: &Path) -> Result<(), RecordingError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(io(path))
}

/// Writes a file so that under its name it is whole, whatever happens in between.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), RecordingError> {
    let unfinished = path.with_extension("unfinished");
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        path.parent()
            .map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    write().map_err(|source| {
        let _ = fs::remove_file(&unfinished);
        io(path)(source)
    })
}

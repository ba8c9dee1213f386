//! Files that only their owner may read, and that under their name are whole.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, chown, fchown};
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

/// Whose a file is: its user and its group.
pub(super) type Owner = (u32, u32);

/// Tells whose a file or a folder is.
pub(super) fn owner(path: &Path) -> Result<Owner, RecordingError> {
    let about = fs::metadata(path).map_err(io(path))?;
    Ok((about.uid(), about.gid()))
}

/// Gives folders that are somebody else's to their owner: `path` and those above it, up to `top`.
pub(super) fn hand_over(path: &Path, top: &Path, to: Owner) -> Result<(), RecordingError> {
    for path in path.ancestors().take_while(|path| *path != top) {
        if owner(path)?.0 != to.0 {
            chown(path, Some(to.0), Some(to.1)).map_err(io(path))?;
        }
    }
    Ok(())
}

/// Writes a file so that under its name it is whole, whatever happens in between.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), RecordingError> {
    write_whole_for(None, path, bytes)
}

/// The same for an owner who may be somebody else.
pub(super) fn write_whole_for(
    owner: Option<Owner>,
    path: &Path,
    bytes: &[u8],
) -> Result<(), RecordingError> {
    let unfinished = path.with_extension("unfinished");
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&unfinished)?;
        file.write_all(bytes)?;
        if let Some((user, group)) = owner
            && file.metadata()?.uid() != user
        {
            fchown(&file, Some(user), Some(group))?;
        }
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

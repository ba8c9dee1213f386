//! The parts of an hour that is over become one.
//!
//! - One step handles one part, so that whoever writes is never long away from what comes in.
//! - The new part is made beside the recording. Then the hour's folder and the one with the new
//!   part change places, which is one operation of the file system: at no moment does anybody
//!   see rows twice, or not at all. Where there is no such operation the parts stay as they are.
//! - What cannot be read is not merged: such an hour stays as it is.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::RecordingError;
use super::files::{io, make_folder};
use super::format::{self, Groups, whatever_it_holds};
use super::partition;
use super::rows::Row;
use super::window::Window;

/// Where new parts are made, beside the tables.
pub(super) const ASIDE: &str = ".merging";

/// How hard a part is compressed that stays: three times the work of the parts that it is made of.
const LEVEL: i32 = 15;

/// So many rows make a row group: in 128 KiB of a column the compressor looks the closest.
const GROUP: usize = 16_384;

/// So many bytes do.
const GROUP_BYTES: usize = 4 << 20;

/// A merge on its way, whatever its rows are.
pub(super) trait Merging: fmt::Debug + Send {
    /// Goes on for a piece; gives itself back if there is more to do.
    fn step(self: Box<Self>) -> Result<Option<Box<dyn Merging>>, RecordingError>;
}

/// The merge of one partition.
struct Merge<R> {
    new: Replacement<R>,
    /// How many of the partition's files are read.
    done: usize,
}

impl<R> fmt::Debug for Merge<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Merge");
        shown.field("new", &self.new).field("done", &self.done);
        shown.finish()
    }
}

/// One part that will take the place of all that a partition held when it was begun.
pub(super) struct Replacement<R> {
    partition: PathBuf,
    /// The new part, in the folder that will take the place of the partition's.
    part: PathBuf,
    files: Vec<PathBuf>,
    batches: Vec<RecordBatch>,
    groups: Groups<R, File>,
}

impl<R> fmt::Debug for Replacement<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Replacement");
        shown.field("partition", &self.partition);
        shown.finish_non_exhaustive()
    }
}

/// How a merge begins, whatever its rows are: in a recording, of a partition, into a name.
pub(super) type Begin = fn(&Path, &Path, &str) -> Result<Box<dyn Merging>, RecordingError>;

/// Begins to merge a partition into a part of some name.
pub(super) fn begin<R: Row>(
    folder: &Path,
    partition: &Path,
    name: &str,
) -> Result<Box<dyn Merging>, RecordingError> {
    let new = Replacement::begin(folder, partition, name)?;
    Ok(Box::new(Merge::<R> { new, done: 0 }))
}

impl<R: Row> Merging for Merge<R> {
    fn step(mut self: Box<Self>) -> Result<Option<Box<dyn Merging>>, RecordingError> {
        let Some(path) = self.new.files.get(self.done).cloned() else {
            self.new.finish()?;
            return Ok(None);
        };
        self.done += 1;
        for batch in batches::<R>(&path, Window::ALL)? {
            self.new.push(batch?)?;
        }
        Ok(Some(self))
    }
}

/// Opens a part, and gives its columns as this version has them; one that cannot be read is an
/// error.
pub(super) fn batches<R: Row>(
    path: &Path,
    window: Window,
) -> Result<impl Iterator<Item = Result<RecordBatch, RecordingError>> + use<R>, RecordingError> {
    let file = File::open(path).map_err(io(path))?;
    let batches = whatever_it_holds(|| format::batches(file, window));
    let mut batches = batches.ok_or_else(|| unreadable(path))?;
    let path = path.to_owned();
    Ok(std::iter::from_fn(move || {
        let next = whatever_it_holds(|| match batches.next() {
            Some(batch) => Some(Some(format::conform::<R>(&batch.ok()?)?)),
            None => Some(None),
        });
        next.ok_or_else(|| unreadable(&path)).transpose()
    }))
}

impl<R: Row> Replacement<R> {
    /// Begins a part of some name, beside the recording.
    pub(super) fn begin(
        folder: &Path,
        partition: &Path,
        name: &str,
    ) -> Result<Self, RecordingError> {
        let aside = folder.join(ASIDE);
        let _ = fs::remove_dir_all(&aside);
        make_folder(&aside.join("hr"))?;
        let part = aside.join("hr").join(name);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let file = options.open(&part).map_err(io(&part))?;
        Ok(Self {
            partition: partition.to_owned(),
            part,
            files: partition::entries(partition),
            batches: Vec::new(),
            groups: Groups::new(file, LEVEL)?,
        })
    }

    /// Lists what the partition held then.
    pub(super) fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Adds rows.
    pub(super) fn push(&mut self, batch: RecordBatch) -> Result<(), RecordingError> {
        self.batches.push(batch);
        if is_group(&self.batches) {
            self.groups.write(&std::mem::take(&mut self.batches))?;
        }
        Ok(())
    }

    /// Puts the new part in the place of the old ones; false where more had come meanwhile, and
    /// all stays as it is.
    pub(super) fn finish(mut self) -> Result<bool, RecordingError> {
        if !self.batches.is_empty() {
            self.groups.write(&self.batches)?;
        }
        let file = self.groups.finish()?;
        file.sync_all().map_err(io(&self.part))?;
        let (Some(new), Some(aside)) = (self.part.parent(), self.part.ancestors().nth(2)) else {
            return Ok(false);
        };
        // What came late would be lost; the next merge has it.
        let is_all = partition::entries(&self.partition) == self.files;
        if is_all {
            renameat_with(CWD, new, CWD, &self.partition, RenameFlags::EXCHANGE)
                .map_err(|error| io(&self.partition)(error.into()))?;
            for changed in [&*self.partition, new].into_iter().filter_map(Path::parent) {
                let synced = File::open(changed).and_then(|folder| folder.sync_all());
                synced.map_err(io(changed))?;
            }
        }
        fs::remove_dir_all(aside).map_err(io(aside))?;
        Ok(is_all)
    }
}

/// Tells whether there is as much as a row group should have.
fn is_group(batches: &[RecordBatch]) -> bool {
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let bytes = batches.iter().map(RecordBatch::get_array_memory_size);
    rows >= GROUP || bytes.sum::<usize>() >= GROUP_BYTES
}

fn unreadable(path: &Path) -> RecordingError {
    io(path)(std::io::Error::other("no readable part"))
}

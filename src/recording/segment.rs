//! The rows since the last seal: a stream that grows batch by batch, and is read as it is.
//!
//! - Each batch goes out in one piece. What a crash tears is the last one, and everything before
//!   it is read.
//! - A segment is named after the part that it becomes, and stands where that will stand. Once
//!   the part is there the segment counts no more, whether it could still be removed or not.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::root_as_message;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::Schema;

use super::RecordingError;
use super::format::{self, Groups};
use super::interner::Interner;
use super::rows::Row;

/// How a segment's name ends: that of an Arrow stream.
pub(super) const EXTENSION: &str = "arrows";

/// So many rows are enough for a part.
const FULL: u64 = 16_384;

/// So many bytes are: what a part is made of has to fit in memory.
const FULL_BYTES: u64 = 4 << 20;

/// How each message of a stream begins.
const CONTINUES: [u8; 4] = [0xff; 4];

/// A segment that is being written.
pub(super) struct Segment {
    path: PathBuf,
    file: File,
    /// What it turns batches into, bytes that the file does not have yet.
    stream: StreamWriter<Vec<u8>>,
    /// So much of the file is whole.
    length: u64,
    rows: u64,
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Segment");
        shown
            .field("path", &self.path)
            .field("length", &self.length);
        shown.finish_non_exhaustive()
    }
}

impl Segment {
    /// Begins the segment of a part, whose file must not be there yet.
    pub(super) fn create<R: Row>(part: &Path) -> Result<Self, RecordingError> {
        let path = part.with_extension(EXTENSION);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(super::files::io(&path))?;
        Ok(Self {
            path,
            file,
            stream: begun::<R>()?,
            length: 0,
            rows: 0,
        })
    }

    /// Appends rows; where that fails the file counts as it was.
    pub(super) fn append<R: Row>(&mut self, rows: &[&R]) -> Result<(), RecordingError> {
        let appended = self.try_append(rows);
        if appended.is_err() {
            // These rows their caller still has. What is torn is written over by the next.
            let _ = self.file.set_len(self.length);
            if self.length == 0 {
                self.stream = begun::<R>()?;
                return appended;
            }
        }
        self.stream.get_mut().clear();
        appended
    }

    fn try_append<R: Row>(&mut self, rows: &[&R]) -> Result<(), RecordingError> {
        let batch = format::batch(rows)?;
        self.stream
            .write(&batch)
            .map_err(|error| format::cannot_encode::<R>(&error))?;
        let bytes = self.stream.get_ref();
        self.file
            .seek(SeekFrom::Start(self.length))
            .and_then(|_| self.file.write_all(bytes))
            .map_err(super::files::io(&self.path))?;
        self.length += bytes.len() as u64;
        self.rows += rows.len() as u64;
        Ok(())
    }

    /// Tells whether it has as much as a part should.
    pub(super) const fn is_full(&self) -> bool {
        self.rows >= FULL || self.length >= FULL_BYTES
    }

    /// Tells how many rows went with it, where somebody has removed it.
    pub(super) fn removed(&self) -> Option<u64> {
        let is_removed = self.file.metadata().is_ok_and(|about| about.nlink() == 0);
        is_removed.then_some(self.rows)
    }

    /// Gives where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Begins a stream.
fn begun<R: Row>() -> Result<StreamWriter<Vec<u8>>, RecordingError> {
    let schema = Schema::new(format::fields::<R>());
    StreamWriter::try_new(Vec::new(), &schema).map_err(|error| format::cannot_encode::<R>(&error))
}

/// Gives the part that a segment becomes.
pub(super) fn part_of(segment: &Path) -> PathBuf {
    segment.with_extension("parquet")
}

/// Opens a segment, whose batches end before what is torn; none if it cannot be read.
///
/// One without a whole batch has no rows, and lost nothing that had been said to be safe.
fn batches(mut file: File) -> Option<impl Iterator<Item = RecordBatch>> {
    let whole = whole(&mut file).unwrap_or(0);
    file.rewind().ok()?;
    let stream = StreamReader::try_new(BufReader::new(file.take(whole)), None);
    Some(stream.into_iter().flatten().map_while(Result::ok))
}

/// Reads the rows of a segment up to what is torn; none if it is not ours.
pub(super) fn decode<R: Row>(file: File, known: &mut Interner) -> Option<Vec<R>> {
    format::whatever_it_holds(|| {
        let mut rows = Vec::new();
        for batch in batches(file)? {
            rows.extend(format::rows_of_batch::<R>(&batch, known)?);
        }
        Some(rows)
    })
}

/// Tells how many bytes of a segment are whole messages.
///
/// The lengths that a torn or a foreign file names are not to be believed: the decoder would ask
/// for that much memory.
fn whole(file: &mut File) -> io::Result<u64> {
    let length = file.metadata()?.len();
    let mut end = 0;
    loop {
        file.seek(SeekFrom::Start(end))?;
        let mut prefix = [0; 8];
        if file.read_exact(&mut prefix).is_err() || prefix[..4] != CONTINUES {
            return Ok(end);
        }
        let [.., a, b, c, d] = prefix;
        let size = u64::from(u32::from_le_bytes([a, b, c, d]));
        if end + 8 + size > length {
            return Ok(end);
        }
        let mut head = Vec::new();
        Read::by_ref(file).take(size).read_to_end(&mut head)?;
        let body = root_as_message(&head).ok();
        let body = body.and_then(|message| u64::try_from(message.bodyLength()).ok());
        match body.and_then(|body| (end + 8 + size).checked_add(body)) {
            Some(next) if next <= length => end = next,
            _ => return Ok(end),
        }
    }
}

/// Makes a part of a segment and removes it; one of which nothing can be read stays as it is.
pub(super) fn seal<R: Row>(segment: &Path) -> Result<(), RecordingError> {
    let part = part_of(segment);
    if !part.exists() {
        let file = File::open(segment).map_err(super::files::io(segment))?;
        let batches = format::whatever_it_holds(|| {
            let conformed = batches(file)?.try_fold(Vec::new(), |mut all, batch| {
                all.push(format::conform::<R>(&batch)?);
                Some(all)
            });
            conformed.filter(|all| !all.is_empty())
        });
        if let Some(batches) = batches {
            let mut groups = Groups::<R, _>::new(Vec::new(), format::LEVEL)?;
            groups.write(&batches)?;
            drop(batches);
            super::files::write_whole(&part, &groups.finish()?)?;
        } else if fs::metadata(segment).is_ok_and(|about| about.len() > 0) {
            return Ok(());
        }
    }
    // Beside its part it counts no more; the next writer tries again.
    let _ = fs::remove_file(segment);
    Ok(())
}

//! Declaring an event in a recording, whoever writes into it meanwhile.

use std::path::Path;
use std::sync::Arc;

use rand::RngExt as _;

use super::buffer::Place;
use super::files::{hand_over, owner, write_whole_for};
use super::format::MANIFEST;
use super::{RecordingError, format, reader};
use crate::sample::Declared;

/// The longest label, in characters: it stands in sentences.
const LONGEST_LABEL: usize = 200;

/// A label that cannot stand in a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// There is nothing in it.
    #[error("an event's label must not be empty")]
    Empty,
    /// It is too long.
    #[error("an event's label has at most {LONGEST_LABEL} characters, and this has {0}")]
    TooLong(usize),
    /// It would act on a terminal, or break a line.
    #[error("an event's label must be one line of plain characters")]
    Control,
}

/// Makes sure that a label can stand in a report.
///
/// # Errors
///
/// Where it is empty, too long, or has control characters.
pub fn label(text: &str) -> Result<Arc<str>, LabelError> {
    let text = text.trim();
    let length = text.chars().count();
    if text.chars().any(char::is_control) {
        Err(LabelError::Control)
    } else if length > LONGEST_LABEL {
        Err(LabelError::TooLong(length))
    } else if text.is_empty() {
        Err(LabelError::Empty)
    } else {
        Ok(text.into())
    }
}

/// Declares an event in the recording that is in `folder`.
///
/// It becomes a part of its own, under a name that no writer chooses and no other declarer either,
/// so that neither needs to know of the other. What it makes belongs to whom the recording does: a
/// daemon must be able to write beside what root declared.
///
/// # Errors
///
/// Where there is no recording, or the file system refuses.
pub fn declare(folder: &Path, declared: &Declared) -> Result<(), RecordingError> {
    let place = Place {
        folder: folder.to_owned(),
        slug: format::slug(&reader::manifest(folder)?.server),
        sequence: 0,
    };
    let owner = owner(&folder.join(MANIFEST))?;
    let partition = place.partition(declared)?;
    hand_over(&partition, folder, owner)?;
    let name = format!("declared-{:032x}.parquet", rand::rng().random::<u128>());
    let bytes = format::encode(&[declared])?;
    write_whole_for(Some(owner), &partition.join(name), &bytes)
}

//! The sealed form of small objects: `SNAP`, kind, format version, contents, CRC-32 of all before it.
//!
//! The envelope itself never changes, so that any release can tell a damaged object from one of a newer release.

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;

use crate::format::wire::{Reader, put_uint, written};
use crate::vocabulary::malformed::Malformed;

pub(crate) const MAGIC: &[u8; 4] = b"SNAP";

/// Every counter in a stored object is below this, so that counting on from it never overflows.
pub(crate) const LIMIT: u64 = 1 << 62;

const CHECKSUM: usize = 4;

/// A kind of small object, and the newest version of its contents that this release knows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    pub(crate) tag: u8,
    pub(crate) version: u8,
}

const SEAT: Kind = Kind { tag: b'S', version: 1 };

impl Kind {
    pub(crate) fn seal(self, contents: impl FnOnce(&mut BytesMut)) -> Bytes {
        written(|out| {
            out.put_slice(MAGIC);
            out.put_u8(self.tag);
            out.put_u8(self.version);
            contents(out);
            let checksum = crc32fast::hash(out);
            out.put_u32_le(checksum);
        })
    }

    /// The version of the contents, and the contents.
    pub(crate) fn open(self, bytes: &[u8]) -> Result<(u8, &[u8]), RecordError> {
        let (sealed, checksum) = bytes.split_last_chunk::<CHECKSUM>().ok_or(RecordError::Truncated)?;
        let (magic, rest) = sealed.split_first_chunk::<4>().ok_or(RecordError::Truncated)?;
        let ([tag, version], contents) = rest.split_first_chunk::<2>().ok_or(RecordError::Truncated)?;
        if magic != MAGIC || crc32fast::hash(sealed) != u32::from_le_bytes(*checksum) {
            return Err(RecordError::Corrupt);
        }
        if *tag != self.tag {
            return Err(RecordError::Contents { error: Malformed::new("an object of another kind") });
        }
        if *version > self.version {
            return Err(RecordError::NewerFormat { found: *version, known: self.version });
        }
        if *version == 0 {
            return Err(RecordError::Contents { error: Malformed::new("a version that never was") });
        }
        Ok((*version, contents))
    }
}

/// The seat of the process that drew `life` at its start.
pub(crate) fn encode_seat(life: u64) -> Bytes {
    SEAT.seal(|out| put_uint(out, life))
}

/// Whose seat it is.
///
/// # Errors
///
/// If these are not the bytes of a seat, whole and undamaged.
pub(crate) fn decode_seat(bytes: &[u8]) -> Result<u64, RecordError> {
    let (_, contents) = SEAT.open(bytes)?;
    let mut reader = Reader::new(contents);
    let life = reader.uint()?;
    reader.end()?;
    Ok(life)
}

impl RecordError {
    /// Whether the bytes are not those that were written. Else they are, and a newer release knows them.
    pub(crate) fn is_damage(self) -> bool {
        !matches!(self, Self::NewerFormat { .. })
    }
}

/// A record of the journal, or a seat, that cannot be read.
///
/// ```
/// use snapshot_core::RecordError;
/// let error = RecordError::NewerFormat { found: 2, known: 1 };
/// assert!(error.to_string().contains("newer release"));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
#[non_exhaustive]
pub enum RecordError {
    /// It is shorter than any record.
    #[error("it is cut short: restore it from a copy of the store")]
    Truncated,
    /// Its checksum does not agree with its contents.
    #[error("it is damaged: restore it from a copy of the store")]
    Corrupt,
    /// Its form is not known here.
    #[error(
        "it was written by a newer release (format {found}, this one reads up to {known}): \
         run that release on every node"
    )]
    NewerFormat {
        /// The version of its form.
        found: u8,
        /// The newest version that this release reads.
        known: u8,
    },
    /// It is undamaged, but what it says cannot be.
    #[error("what it says cannot be ({error}): restore it from a copy of the store")]
    Contents {
        /// What is wrong.
        #[from]
        error: Malformed,
    },
}

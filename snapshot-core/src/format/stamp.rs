//! The byte form of a stamp.

use std::ops::Deref;

use crate::format::wire::{Reader, put_uint};
use crate::vocabulary::frame::Stamp;
use crate::vocabulary::malformed::Malformed;

/// The bytes of a [`Stamp`], inline.
///
/// ```
/// use snapshot_core::{Generation, Stamp};
/// let bytes = Stamp::new(Generation(1), 1).to_bytes();
/// assert_eq!(&bytes[..], [0, 1, 1]);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StampBytes {
    bytes: [u8; Stamp::MAX_LEN],
    len: u8,
}

impl Stamp {
    /// The most bytes that [`to_bytes`](Self::to_bytes) gives.
    pub const MAX_LEN: usize = 21;
    const VERSION: u8 = 0;

    /// The byte form.
    pub fn to_bytes(self) -> StampBytes {
        let mut bytes = [0; Self::MAX_LEN];
        let mut rest = &mut bytes[..];
        bytes::BufMut::put_u8(&mut rest, Self::VERSION);
        put_uint(&mut rest, self.generation().0);
        put_uint(&mut rest, self.number());
        let len = (Self::MAX_LEN - rest.len()) as u8;
        StampBytes { bytes, len }
    }

    /// Reads the byte form.
    ///
    /// # Errors
    ///
    /// If these are not the bytes of a stamp, whole and nothing else, or of a version that is not known here.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        if reader.byte()? != Self::VERSION {
            return Err(Malformed::new("a stamp of an unknown version"));
        }
        let stamp = Self::new(reader.generation()?, reader.uint()?);
        reader.end()?;
        Ok(stamp)
    }
}

impl Deref for StampBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::id::Generation;

    #[test]
    fn a_stamp_comes_back_from_its_bytes() {
        for (generation, number) in [(1, 0), (1, 1), (127, 128), (u64::MAX, u64::MAX)] {
            let stamp = Stamp::new(Generation(generation), number);
            assert_eq!(Stamp::from_bytes(&stamp.to_bytes()), Ok(stamp));
        }
    }

    #[test]
    fn a_stamp_that_is_cut_short_or_long_is_refused() {
        let bytes = Stamp::new(Generation(300), 5).to_bytes();
        for len in 0..bytes.len() {
            assert!(Stamp::from_bytes(&bytes[..len]).is_err());
        }
        assert!(Stamp::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
    }
}

//! The application of the targets that read a store: a state and messages that are bytes, some of which are refused.

use std::io::{self, Read, Write};

use bytes::Bytes;
use snapshot_core::{MessageCodec, StateProvider, UnknownVersion};

/// A state that is bytes. Versions 2 and 3 are read; those that begin with [`REFUSED`] are not understood, and of those that begin
/// with [`LAZY`] only the first byte is read.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Blob(pub(super) Vec<u8>);

/// The first byte of what is not understood.
pub(super) const REFUSED: u8 = 0xee;
/// The first byte of a state that is not read to its end.
pub(super) const LAZY: u8 = 0xdd;
/// The versions that are read.
pub(super) const VERSIONS: [u32; 2] = [2, 3];

fn refused() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "refused")
}

impl StateProvider for Blob {
    type Captured = Vec<u8>;

    const VERSION: u32 = 3;

    fn capture(&mut self) -> Vec<u8> {
        self.0.clone()
    }

    fn install(&mut self, captured: Vec<u8>) {
        self.0 = captured;
    }

    fn encode(captured: &Vec<u8>, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(captured)
    }

    fn decode(version: u32, input: &mut dyn Read) -> io::Result<Vec<u8>> {
        if !VERSIONS.contains(&version) {
            return Err(UnknownVersion::of::<Self>(version).into());
        }
        let mut bytes = vec![0; 1];
        if input.read(&mut bytes)? == 0 {
            return Ok(Vec::new());
        }
        match bytes[0] {
            REFUSED => Err(refused()),
            LAZY => Ok(bytes),
            _ => input.read_to_end(&mut bytes).map(|_| bytes),
        }
    }
}

/// Messages that are bytes, but for those that begin with [`REFUSED`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Picky;

impl MessageCodec<Bytes> for Picky {
    fn encode(&self, message: &Bytes, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(message)
    }

    fn decode(&self, bytes: Bytes) -> io::Result<Bytes> {
        if bytes.first() == Some(&REFUSED) { Err(refused()) } else { Ok(bytes) }
    }
}

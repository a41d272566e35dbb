//! How the bytes of an object come from its file: those of a large one with several reads under way, so that the disk is never idle
//! while a state is decoded, nor the decoding while the disk is.

use std::fs::File;
use std::io::{self, BufReader, Read};

#[cfg(unix)]
mod several;

/// Closures read in small pieces; the system shall see large ones.
const BUFFER: usize = 64 << 10;

/// Lets `take` read a file from its beginning.
pub(super) fn read(file: &File, take: impl FnOnce(&mut dyn Read) -> io::Result<()>) -> io::Result<()> {
    let mut one = BufReader::with_capacity(BUFFER, file);
    #[cfg(unix)]
    if file.metadata()?.len() >= several::LARGE {
        return several::read(file, one, take);
    }
    take(&mut one)
}

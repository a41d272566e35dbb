//! What is written, and what is found.

use std::io::{self, Read, Write};
use std::sync::Arc;

use snapshot_core::{Collected, Content, Sink};

/// The size of a large object, in bytes: more than any buffer on the way.
pub(super) const LARGE: usize = 700_000;

/// Bytes of this size that differ from those of any other `number`, at every place but few.
pub(super) fn bytes(number: u64, size: usize) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d;
    let mut bytes: Vec<u8> = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        // xorshift: any bytes will do, zeros, line ends and what is no text among them.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

/// Bytes that a store, or what it is made of, might take for something else: padding, holes, text, encodings.
pub(super) fn forms() -> Vec<Vec<u8>> {
    // "hi", by gzip.
    const GZIP: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\
        \x03\xcb\xc8\x04\x00\xac\x2a\x93\xd8\x02\x00\x00\x00";
    let mut forms: Vec<Vec<u8>> = [
        &b"\0"[..],
        b"ends in zeros\0\0\0",
        b"\0\0\0begins with zeros",
        b"two\0strings\0",
        b"ends in spaces  ",
        b"one line\nanother\r\nand one more\n",
        b"\n",
        b"\x1a",
        b"\xef\xbb\xbftext with a mark",
        b"{\"json\": [1, null]}",
        b"null",
        b"aGVsbG8=",
        b"68656c6c6f",
        b"100%25 + more",
        b"'; -- \\ \"",
        GZIP,
        &[0xff; 64],
    ]
    .map(<[u8]>::to_vec)
    .to_vec();
    forms.extend([vec![0; 5000], vec![0; 1 << 20], vec![b' '; 512], [vec![7; 5000], vec![0; 9000]].concat()]);
    forms
}

/// Content that writes this in two halves, and calls `between` in the middle.
pub(super) fn in_halves(bytes: Arc<Vec<u8>>, between: impl FnOnce() + Send + 'static) -> Content {
    Content::new(move |out| {
        let (first, second) = bytes.split_at(bytes.len() / 2);
        out.write_all(first)?;
        out.flush()?;
        between();
        out.write_all(second)
    })
}

/// A sink that reads one half of an object of this size, calls `between`, and reads the rest.
pub(super) fn read_in_halves(
    size: usize,
    between: impl FnOnce() + Send + 'static,
) -> (Sink, Collected<Vec<u8>>) {
    Sink::collecting(move |input: &mut dyn Read| {
        let mut bytes = Vec::new();
        input.take(size as u64 / 2).read_to_end(&mut bytes)?;
        between();
        input.read_to_end(&mut bytes)?;
        Ok(bytes)
    })
}

/// Content that writes this in small pieces first, with none in between and flushes, then in large ones.
pub(super) fn in_pieces(bytes: Arc<Vec<u8>>) -> Content {
    Content::new(move |out| {
        let (small, large) = bytes.split_at(bytes.len().min(5000));
        for (index, piece) in small.chunks(7).enumerate() {
            let written = out.write(&[])?;
            if written != 0 {
                return Err(io::Error::other("nothing was written, and bytes were counted"));
            }
            write_in_turns(out, piece)?;
            if index % 100 == 99 {
                out.flush()?;
            }
        }
        large.chunks(300_007).try_for_each(|piece| out.write_all(piece))
    })
}

/// As `write_all` does it.
fn write_in_turns(out: &mut dyn Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let count = out.write(bytes)?;
        if count == 0 || count > bytes.len() {
            return Err(io::Error::other(format!("{count} of {} bytes were written", bytes.len())));
        }
        bytes = &bytes[count..];
    }
    Ok(())
}

/// Reads all, in pieces of `size` bytes at most, and then looks for more.
pub(super) fn read_in_pieces(input: &mut dyn Read, size: usize) -> io::Result<Vec<u8>> {
    let (mut all, mut piece) = (Vec::new(), vec![0; size]);
    loop {
        match input.read(&mut piece)? {
            0 => break,
            count => all.extend_from_slice(piece.get(..count).ok_or(io::ErrorKind::InvalidData)?),
        }
    }
    // An end is an end.
    input.read_to_end(&mut all)?;
    Ok(all)
}

/// Says in short what these bytes are, beside those that were expected.
pub(super) fn compared(found: Option<&[u8]>, expected: &[u8]) -> String {
    let Some(found) = found else { return format!("nothing, in place of {} bytes", expected.len()) };
    match found.iter().zip(expected).position(|(a, b)| a != b) {
        Some(at) => format!(
            "{} bytes that differ from the {} written, from byte {at} on",
            found.len(),
            expected.len()
        ),
        None => format!("{} bytes of {}", found.len(), expected.len()),
    }
}

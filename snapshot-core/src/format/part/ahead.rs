//! Reads more than is asked for.

use std::io::{self, ErrorKind, Read};
use std::ops::Range;

use super::chunk::{CHUNK, FRAME};

/// The most bytes that are held: four whole chunks, so that once they are full each read ends where a chunk does.
pub(super) const MOST: usize = 4 * (FRAME + CHUNK);

/// What small objects need.
const LEAST: usize = 4 << 10;

/// The bytes of an input, read in large pieces.
pub(super) struct Ahead<'a> {
    input: &'a mut dyn Read,
    buffer: Vec<u8>,
    /// What of it is read and not taken.
    unread: Range<usize>,
}

impl<'a> Ahead<'a> {
    pub(super) fn of(input: &'a mut dyn Read) -> Self {
        Self { input, buffer: Vec::new(), unread: 0..0 }
    }

    /// Takes the next so many bytes: where they are until more are taken. `None` if there are not so many.
    pub(super) fn take(&mut self, count: usize) -> io::Result<Option<Range<usize>>> {
        if self.unread.len() < count {
            self.make_room(count);
        }
        while self.unread.len() < count {
            match read_some(self.input, &mut self.buffer[self.unread.end..])? {
                0 => return Ok(None),
                more => self.unread.end += more,
            }
        }
        let taken = self.unread.start..self.unread.start + count;
        self.unread.start = taken.end;
        Ok(Some(taken))
    }

    /// What was taken.
    pub(super) fn bytes(&self, taken: Range<usize>) -> &[u8] {
        &self.buffer[taken]
    }

    /// Whether there is no byte left.
    pub(super) fn is_at_end(&mut self) -> io::Result<bool> {
        Ok(self.unread.is_empty() && read_some(self.input, &mut [0])? == 0)
    }

    /// Grows with what has come, not with what is promised, but for the one chunk that is asked for.
    fn make_room(&mut self, count: usize) {
        let was_filled = self.unread.end == self.buffer.len();
        self.buffer.copy_within(self.unread.clone(), 0);
        self.unread = 0..self.unread.len();
        let wanted = if was_filled { (2 * self.buffer.len()).clamp(LEAST, MOST) } else { 0 };
        let room = wanted.max(count);
        if self.buffer.len() < room {
            self.buffer.resize(room, 0);
        }
    }
}

fn read_some(input: &mut dyn Read, into: &mut [u8]) -> io::Result<usize> {
    loop {
        match input.read(into) {
            Ok(count) => return Ok(count.min(into.len())),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Some stores find out by themselves that an object is cut short.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(0),
            Err(error) => return Err(error),
        }
    }
}

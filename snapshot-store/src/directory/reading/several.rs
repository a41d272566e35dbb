//! Several reads under way at the same time, and their bytes in order.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, Builder, Scope};

/// Below that it is not worth the threads.
pub(super) const LARGE: u64 = 4 << 20;

/// So many threads read, each with this many blocks: 3 MiB of memory.
const READERS: usize = 3;
const BLOCKS: usize = 2;
const BLOCK: usize = 512 << 10;

/// Lets `take` read a file from its beginning; where the system has no threads for it, through the `other` reader.
pub(super) fn read(
    file: &File,
    mut other: impl Read,
    take: impl FnOnce(&mut dyn Read) -> io::Result<()>,
) -> io::Result<()> {
    thread::scope(|scope| {
        let lanes: io::Result<Vec<Lane>> = (0..READERS).map(|lane| Lane::start(scope, file, lane)).collect();
        match lanes {
            Ok(lanes) => take(&mut InOrder::of(lanes)),
            Err(_) => take(&mut other),
        }
    })
}

/// One thread, which reads one of [`READERS`] blocks.
struct Lane {
    empty: SyncSender<Vec<u8>>,
    full: Receiver<io::Result<Vec<u8>>>,
}

impl Lane {
    fn start<'s>(scope: &'s Scope<'s, '_>, file: &'s File, lane: usize) -> io::Result<Self> {
        let (empty, empties) = sync_channel(BLOCKS);
        let (fulls, full) = sync_channel(BLOCKS);
        for _ in 0..BLOCKS {
            // There is room for just these.
            let _ = empty.try_send(Vec::new());
        }
        let name = "snapshot-read".to_owned();
        Builder::new().name(name).spawn_scoped(scope, move || run(file, lane, &empties, &fulls))?;
        Ok(Self { empty, full })
    }
}

/// Until the file ends, or nobody reads on.
fn run(file: &File, lane: usize, empties: &Receiver<Vec<u8>>, fulls: &SyncSender<io::Result<Vec<u8>>>) {
    let mut place = (lane * BLOCK) as u64;
    for mut block in empties {
        block.resize(BLOCK, 0);
        let read = fill(file, place, &mut block);
        place += (READERS * BLOCK) as u64;
        let is_last = !matches!(read, Ok(BLOCK));
        let block = read.map(|count| {
            block.truncate(count);
            block
        });
        if fulls.send(block).is_err() || is_last {
            return;
        }
    }
}

fn fill(file: &File, place: u64, block: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < block.len() {
        match file.read_at(&mut block[filled..], place + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Takes a block of each thread in turn.
struct InOrder {
    lanes: Vec<Lane>,
    present: usize,
    block: Vec<u8>,
    taken: usize,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    Ended,
    Failed,
}

impl InOrder {
    fn of(lanes: Vec<Lane>) -> Self {
        Self { lanes, present: 0, block: Vec::new(), taken: 0, state: State::Reading }
    }

    fn next(&mut self) -> io::Result<()> {
        if self.state == State::Failed {
            return Err(io::Error::other("an earlier read of this object failed"));
        }
        let done = std::mem::take(&mut self.block);
        self.taken = 0;
        // The first time there is none to give back, and at the end nobody who takes it.
        if done.capacity() > 0 {
            let _ = self.lanes[self.present].empty.try_send(done);
            self.present = (self.present + 1) % READERS;
        }
        self.state = State::Failed;
        self.block = self.lanes[self.present].full.recv().map_err(io::Error::other)??;
        self.state = if self.block.len() < BLOCK { State::Ended } else { State::Reading };
        Ok(())
    }
}

impl Read for InOrder {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.block.len() && self.state != State::Ended {
            self.next()?;
        }
        let count = (&self.block[self.taken..]).read(into)?;
        self.taken += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_of(size: usize) -> (File, Vec<u8>) {
        let bytes: Vec<u8> = (0..size).map(|at| (at.wrapping_mul(0x9e37_79b9) >> 24) as u8).collect();
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&bytes, 0).unwrap();
        (file, bytes)
    }

    #[test]
    fn a_file_of_any_size_is_read_as_it_is() {
        let round = READERS * BLOCK;
        let sizes = [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, round - 1, round, round + 1, 4 * round + BLOCK + 9];
        for size in sizes {
            let (file, bytes) = file_of(size);
            for most in [100_003, BLOCK, 5 * BLOCK] {
                let mut found = Vec::new();
                let all = |input: &mut dyn Read| {
                    let mut piece = vec![0; most];
                    loop {
                        match input.read(&mut piece)? {
                            0 => return Ok(()),
                            count => found.extend_from_slice(&piece[..count]),
                        }
                    }
                };
                read(&file, io::empty(), all).unwrap();
                assert!(found == bytes, "{size} bytes, {most} at a time");
            }
        }
    }

    #[test]
    fn who_stops_early_waits_for_nothing() {
        let (file, bytes) = file_of(20 * BLOCK);
        for count in [0, 1, BLOCK, 4 * BLOCK] {
            let mut head = vec![0; count];
            read(&file, io::empty(), |input| input.read_exact(&mut head)).unwrap();
            assert!(head == bytes[..count]);
        }
    }

    #[test]
    fn what_cannot_be_read_is_told_as_often_as_it_is_asked() {
        let folder = File::open(std::env::temp_dir()).unwrap();
        let told = read(&folder, io::empty(), |input| {
            assert_eq!(input.read(&mut [0; 9]).unwrap_err().kind(), ErrorKind::IsADirectory);
            input.read(&mut [0; 9]).map(drop)
        });
        assert!(told.is_err());
    }
}

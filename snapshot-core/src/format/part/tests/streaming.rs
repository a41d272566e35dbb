use std::cell::Cell;

use super::*;
use crate::format::part::ahead::MOST;
use crate::format::part::chunk::CHUNK;

#[test]
fn a_large_state_streams_both_ways_in_pieces_of_a_chunk() {
    const PIECE: usize = 4 << 10;
    const PIECES: usize = 8 << 10;
    thread_local! {
        /// How many bytes have gone through one end and not yet through the other, at most.
        static HELD: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
        static INSIDE: Cell<usize> = const { Cell::new(0) };
    }
    fn enters(count: usize) {
        let inside = INSIDE.get() + count;
        INSIDE.set(inside);
        HELD.set((HELD.get().0 + count, HELD.get().1.max(inside)));
    }
    fn leaves(count: usize) {
        INSIDE.set(INSIDE.get().saturating_sub(count));
    }
    struct Large;
    impl StateProvider for Large {
        type Captured = ();
        fn capture(&mut self) {}
        fn install(&mut self, (): ()) {}
        fn encode((): &(), out: &mut dyn Write) -> io::Result<()> {
            for n in 0..PIECES {
                enters(PIECE);
                out.write_all(&[n as u8; PIECE])?;
            }
            Ok(())
        }
        fn decode(_: u32, input: &mut dyn Read) -> io::Result<()> {
            let mut piece = [0; PIECE];
            for n in 0..PIECES {
                input.read_exact(&mut piece)?;
                leaves(PIECE);
                assert_eq!(piece, [n as u8; PIECE]);
            }
            Ok(())
        }
    }
    struct Counting(Vec<u8>, usize);
    impl Write for Counting {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            leaves(bytes.len());
            self.1 = self.1.max(bytes.len());
            self.0.extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    impl Read for Counting {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let count = (&self.0[self.1..]).read(into)?;
            self.1 += count;
            enters(count);
            Ok(count)
        }
    }
    let mut out = Counting(Vec::new(), 0);
    let part = write_state::<Large>(&label(), &(), &mut out).unwrap();
    let bound = CHUNK + 2 * PIECE;
    assert_eq!(HELD.get().0, PIECE * PIECES);
    assert!(HELD.get().1 <= bound, "{} bytes held while writing", HELD.get().1);
    assert!(out.1 <= CHUNK + 9, "{} bytes in one write", out.1);

    // Frames and header pass with it, which nobody decodes: 9 bytes a chunk.
    let overhead = out.0.len() - PIECE * PIECES;
    HELD.set((0, 0));
    INSIDE.set(0);
    out.1 = 0;
    read_part::<Large, Bytes>(&expected(Some(&part)), None, &mut out).unwrap();
    let bound = MOST + 2 * PIECE;
    assert!(HELD.get().1 <= bound + overhead, "{} bytes held while reading", HELD.get().1);
    assert!(overhead < 16 << 10);
}

use std::task::Waker;

use snapshot_core::{Generation, Postcard, RawBytes, Stamp};

use super::*;
use crate::codec::{Decoded, FrameReader};

const LIMIT: usize = 1024 * 1024;

fn message(number: u64, len: usize) -> Frame<Bytes> {
    let body = Bytes::from(vec![number as u8; len]);
    Frame { stamp: Stamp::new(Generation(1), number), body: Body::Message(body) }
}

/// Takes as many bytes as it is told, then is not ready.
struct Narrow {
    taken: Vec<u8>,
    room: usize,
}

impl AsyncWrite for Narrow {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let count = bytes.len().min(self.room);
        self.room -= count;
        self.taken.extend_from_slice(&bytes[..count]);
        if count == 0 { Poll::Pending } else { Poll::Ready(Ok(count)) }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut count = 0;
        for slice in slices {
            match self.as_mut().poll_write(cx, slice) {
                Poll::Ready(Ok(written)) => count += written,
                _ => break,
            }
        }
        if count == 0 { Poll::Pending } else { Poll::Ready(Ok(count)) }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

fn write(buffer: &mut WriteBuffer, room: usize) -> Vec<u8> {
    let mut socket = Narrow { taken: Vec::new(), room };
    let _ = buffer.poll_write(&mut Context::from_waker(Waker::noop()), &mut socket);
    socket.taken
}

fn numbers(bytes: &[u8]) -> Vec<u64> {
    let mut reader = FrameReader::new(LIMIT);
    reader.space().extend_from_slice(bytes);
    let mut numbers = Vec::new();
    while let Some(decoded) = reader.next(&RawBytes).unwrap() {
        let Decoded::Frame(Frame { stamp, body: Body::Message(body) }) = decoded else { continue };
        assert!(body.iter().all(|byte| *byte == stamp.number() as u8));
        numbers.push(stamp.number());
    }
    assert_eq!(reader.cut_short(), None);
    numbers
}

#[test]
fn what_is_written_in_pieces_is_the_same_as_at_once() {
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut buffer, mut bytes, mut sent) = (WriteBuffer::default(), Vec::new(), 0);
        while sent < 60 || !buffer.is_empty() {
            while sent < 60 && random.bool() {
                sent += 1;
                let len = if random.u8(..4) == 0 { random.usize(8000..9000) } else { random.usize(..300) };
                buffer.push(&message(sent, len), &RawBytes, LIMIT).unwrap();
            }
            bytes.extend(write(&mut buffer, random.usize(..6000)));
        }
        assert_eq!(numbers(&bytes), (1..=60).collect::<Vec<_>>(), "seed {seed}");
    }
}

#[test]
fn after_a_cut_only_the_frame_that_was_begun_is_missing() {
    for cut in 0..30_000 {
        if cut > 200 && cut % 97 != 0 {
            continue;
        }
        let mut buffer = WriteBuffer::default();
        let sizes = [10, 0, 9000, 20, 8192, 8193, 5];
        for (number, len) in (1..).zip(sizes) {
            buffer.push(&message(number, len), &RawBytes, LIMIT).unwrap();
        }
        let frames: Vec<usize> = sizes.iter().map(|len| HEAD + 4 + len).collect();
        let first = write(&mut buffer, cut);
        buffer.forget_begun();
        let second = write(&mut buffer, usize::MAX);
        let mut end = 0;
        let whole = frames
            .iter()
            .take_while(|len| {
                end += **len;
                end <= first.len()
            })
            .count();
        let boundary = frames[..whole].iter().sum::<usize>() == first.len();
        let expected: Vec<u64> = (whole as u64 + if boundary { 1 } else { 2 }..=7).collect();
        assert_eq!(numbers(&second), expected, "cut at {cut}");
        assert!(buffer.is_empty() && buffer.frames.is_empty());
    }
}

#[test]
fn a_message_over_the_limit_leaves_the_buffer_as_it_was_and_tells_its_size() {
    let mut buffer = WriteBuffer::default();
    buffer.push(&message(1, 10), &RawBytes, 100).unwrap();
    let error = buffer.push(&message(2, 200), &RawBytes, 100);
    assert!(matches!(error, Err(EncodeError::TooLarge { size: 204 })), "{error:?}");
    let text = Frame { stamp: Stamp::new(Generation(1), 2), body: Body::Message("x".repeat(200)) };
    let error = buffer.push(&text, &Postcard, 100);
    assert!(matches!(error, Err(EncodeError::TooLarge { size: 206 })), "{error:?}");
    buffer.push(&message(3, 96), &RawBytes, 100).unwrap();
    assert_eq!(numbers(&write(&mut buffer, usize::MAX)), [1, 3]);
}

#[test]
fn a_message_over_the_limit_takes_no_more_memory_than_the_limit() {
    struct Endless;
    impl MessageCodec<()> for Endless {
        fn encode(&self, (): &(), out: &mut dyn io::Write) -> io::Result<()> {
            (0..10_000).try_for_each(|_| out.write_all(&[0; 1024]))
        }
        fn decode(&self, _: Bytes) -> io::Result<()> {
            Ok(())
        }
    }
    let mut buffer = WriteBuffer::default();
    let frame = Frame { stamp: Stamp::new(Generation(1), 1), body: Body::Message(()) };
    let error = buffer.push(&frame, &Endless, 5000);
    assert!(matches!(error, Err(EncodeError::TooLarge { size: 10_240_004 })), "{error:?}");
    assert!(buffer.tail.capacity() < 20_000);
}

#[test]
fn a_codec_that_fails_leaves_the_buffer_as_it_was() {
    struct Failing;
    impl MessageCodec<u8> for Failing {
        fn encode(&self, message: &u8, out: &mut dyn io::Write) -> io::Result<()> {
            out.write_all(&[*message; 3])?;
            if *message == 2 { Err(io::Error::other("no twos")) } else { Ok(()) }
        }
        fn decode(&self, bytes: Bytes) -> io::Result<u8> {
            bytes.first().copied().ok_or_else(|| io::Error::other("nothing"))
        }
    }
    let mut buffer = WriteBuffer::default();
    let frame = |n: u8| Frame { stamp: Stamp::new(Generation(1), u64::from(n)), body: Body::Message(n) };
    buffer.push(&frame(1), &Failing, LIMIT).unwrap();
    assert!(matches!(buffer.push(&frame(2), &Failing, LIMIT), Err(EncodeError::Codec(_))));
    buffer.push(&frame(3), &Failing, LIMIT).unwrap();
    assert_eq!(numbers(&write(&mut buffer, usize::MAX)), [1, 3]);
}

#[test]
fn a_large_frame_does_not_keep_its_memory_once_it_is_written() {
    let mut buffer = WriteBuffer::default();
    let text = Frame { stamp: Stamp::new(Generation(1), 1), body: Body::Message("x".repeat(LIMIT - 100)) };
    buffer.push(&text, &Postcard, LIMIT).unwrap();
    write(&mut buffer, usize::MAX);
    assert!(buffer.tail.capacity() <= 2 * WRITE_BUFFER);
}

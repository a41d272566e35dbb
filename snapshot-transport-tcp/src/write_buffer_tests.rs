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
    reader.take_in(bytes);
    let mut numbers = Vec::new();
    while let Some(decoded) = reader.next_one(&RawBytes).unwrap() {
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
                buffer.push(message(sent, len).as_ref(), &RawBytes, LIMIT).unwrap();
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
            buffer.push(message(number, len).as_ref(), &RawBytes, LIMIT).unwrap();
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
    buffer.push(message(1, 10).as_ref(), &RawBytes, 100).unwrap();
    let error = buffer.push(message(2, 200).as_ref(), &RawBytes, 100);
    assert!(matches!(error, Err(EncodeError::TooLarge { size: 204 })), "{error:?}");
    let text = Frame { stamp: Stamp::new(Generation(1), 2), body: Body::Message("x".repeat(200)) };
    let error = buffer.push(text.as_ref(), &Postcard, 100);
    assert!(matches!(error, Err(EncodeError::TooLarge { size: 206 })), "{error:?}");
    buffer.push(message(3, 96).as_ref(), &RawBytes, 100).unwrap();
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
    let error = buffer.push(frame.as_ref(), &Endless, 5000);
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
    buffer.push(frame(1).as_ref(), &Failing, LIMIT).unwrap();
    assert!(matches!(buffer.push(frame(2).as_ref(), &Failing, LIMIT), Err(EncodeError::Codec(_))));
    buffer.push(frame(3).as_ref(), &Failing, LIMIT).unwrap();
    assert_eq!(numbers(&write(&mut buffer, usize::MAX)), [1, 3]);
}

#[test]
fn a_large_frame_does_not_keep_its_memory_once_it_is_written() {
    let mut buffer = WriteBuffer::default();
    let text = Frame { stamp: Stamp::new(Generation(1), 1), body: Body::Message("x".repeat(LIMIT - 100)) };
    buffer.push(text.as_ref(), &Postcard, LIMIT).unwrap();
    write(&mut buffer, usize::MAX);
    assert!(buffer.tail.capacity() <= 2 * WRITE_BUFFER);
}

fn batch(frames: impl IntoIterator<Item = Frame<Bytes>>) -> Frames<Bytes> {
    let mut batch = Frames::new();
    frames.into_iter().for_each(|frame| batch.push_back(frame));
    batch
}

#[test]
fn small_messages_that_follow_each_other_take_a_byte_more_than_their_own() {
    let mut buffer = WriteBuffer::default();
    let mut frames = batch((1..=1000).map(|number| message(number, 16)));
    buffer.fill(&mut frames, &RawBytes, LIMIT).unwrap();
    assert_eq!((frames.len(), buffer.frames.len()), (0, 1));
    let bytes = write(&mut buffer, usize::MAX);
    assert!(bytes.len() < 1000 * 17 + 20, "{}", bytes.len());
    assert_eq!(numbers(&bytes), (1..=1000).collect::<Vec<_>>());
}

#[test]
fn a_run_is_no_longer_than_the_limit_and_a_large_message_in_it_goes_by_itself() {
    let sizes = [10, 10, 30, 96, 5, 5, 90, 96, 96, 1];
    let mut frames = batch((1..).zip(sizes).map(|(number, len)| message(number, len)));
    let mut buffer = WriteBuffer::default();
    buffer.fill(&mut frames, &RawBytes, 100).unwrap();
    assert!(buffer.frames.iter().all(|len| *len <= HEAD + 100), "{:?}", buffer.frames);
    assert_eq!(numbers(&write(&mut buffer, usize::MAX)), (1..=10).collect::<Vec<_>>());

    let sizes = [10, 10, BY_REFERENCE, BY_REFERENCE + 1, 10, 10];
    let mut frames = batch((1..).zip(sizes).map(|(number, len)| message(number, len)));
    buffer.fill(&mut frames, &RawBytes, LIMIT).unwrap();
    assert_eq!(buffer.frames.len(), 3);
    assert_eq!(numbers(&write(&mut buffer, usize::MAX)), (1..=6).collect::<Vec<_>>());
}

#[test]
fn what_is_sent_before_a_message_that_cannot_be_goes_out_and_the_message_is_told() {
    let mut frames = batch([message(1, 10), message(2, 10), message(3, 200), message(4, 10)]);
    let mut buffer = WriteBuffer::default();
    let error = buffer.fill(&mut frames, &RawBytes, 100);
    assert!(matches!(error, Err(EncodeError::TooLarge { size: 204 })), "{error:?}");
    assert_eq!(frames.front().map(|frame| frame.stamp.number()), Some(3));
    assert_eq!(numbers(&write(&mut buffer, usize::MAX)), [1, 2]);
}

#[test]
fn after_a_cut_within_a_run_the_run_is_missing_and_nothing_else() {
    let mut one = batch((1..=5).map(|number| message(number, 20)));
    let whole = {
        let mut buffer = WriteBuffer::default();
        buffer.fill(&mut one, &RawBytes, LIMIT).unwrap();
        buffer.len
    };
    for cut in 0..=whole {
        let mut buffer = WriteBuffer::default();
        for from in [1, 11] {
            buffer.fill(&mut batch((from..from + 5).map(|n| message(n, 20))), &RawBytes, LIMIT).unwrap();
        }
        write(&mut buffer, cut);
        buffer.forget_begun();
        let left = numbers(&write(&mut buffer, usize::MAX));
        let first = if cut == 0 { 1..6 } else { 1..1 };
        assert_eq!(left, first.chain(11..=15).collect::<Vec<u64>>(), "cut at {cut}");
    }
}

/// A buffer whose session may be resumed.
fn keeping() -> WriteBuffer {
    let mut buffer = WriteBuffer::default();
    buffer.begin(true);
    buffer
}

#[test]
fn a_session_goes_on_from_any_byte_that_is_not_acknowledged() {
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut buffer = keeping();
        let (mut come, mut on_its_way, mut sent) = (Vec::new(), Vec::new(), 0);
        let mut all = Frames::new();
        while sent < 60 || !all.is_empty() || !buffer.is_empty() || !on_its_way.is_empty() {
            if sent < 60 && all.is_empty() {
                let many = random.u64(1..=(60 - sent).min(9));
                let large = random.u8(..4) == 0;
                let sizes = if large { 8000..60_000 } else { 0..300 };
                all = batch((sent + 1..=sent + many).map(|n| message(n, random.usize(sizes.clone()))));
                sent += many;
            }
            buffer.fill(&mut all, &RawBytes, LIMIT).unwrap();
            on_its_way.extend(write(&mut buffer, random.usize(..30_000)));
            let arrives = random.usize(..=on_its_way.len());
            come.extend(on_its_way.drain(..arrives));
            match random.u8(..4) {
                0 => buffer.acknowledged(random.u64(..=come.len() as u64)),
                1 => {
                    on_its_way.clear();
                    assert!(buffer.can_resume(come.len() as u64), "seed {seed}");
                    buffer.resume(come.len() as u64);
                }
                _ => {}
            }
        }
        assert_eq!(numbers(&come), (1..=60).collect::<Vec<_>>(), "seed {seed}");
        buffer.acknowledged(come.len() as u64);
        assert!(
            buffer.pieces.is_empty() && buffer.tail.is_empty() && buffer.frames.is_empty(),
            "seed {seed}"
        );
    }
}

#[test]
fn what_is_acknowledged_or_was_never_written_is_no_place_to_go_on_from() {
    let mut buffer = keeping();
    buffer.push(message(1, 100).as_ref(), &RawBytes, LIMIT).unwrap();
    write(&mut buffer, 50);
    buffer.acknowledged(20);
    let places: Vec<u64> = (0..200).filter(|count| buffer.can_resume(*count)).collect();
    assert_eq!(places, (20..=50).collect::<Vec<_>>());
    assert!(!buffer.can_resume(u64::MAX));
    // Nor can it be acknowledged.
    buffer.acknowledged(80);
    assert!(buffer.can_resume(50) && !buffer.can_resume(51));
}

#[test]
fn no_more_is_kept_than_the_bound_and_one_frame() {
    for len in [100, 5000, 100_000] {
        let mut buffer = keeping();
        let mut all = batch((1..=10 * KEEP / len).map(|number| message(number, len as usize)));
        let mut written = 0;
        loop {
            buffer.fill(&mut all, &RawBytes, LIMIT).unwrap();
            let now = write(&mut buffer, usize::MAX).len() as u64;
            written += now;
            if now == 0 {
                break;
            }
        }
        assert!(buffer.is_full() && written >= KEEP && written < KEEP + RUN as u64 + len, "{written}");
        let memory: usize = buffer.pieces.iter().map(Bytes::len).sum::<usize>() + buffer.tail.capacity();
        assert!(memory as u64 <= KEEP + 2 * WRITE_BUFFER as u64, "{memory}");
        buffer.acknowledged(written - KEEP / 2);
        assert!(!buffer.is_full());
        buffer.fill(&mut all, &RawBytes, LIMIT).unwrap();
        assert!(!buffer.is_empty());
    }
}

#[test]
fn a_new_session_has_the_whole_frames_that_were_not_begun_and_counts_anew() {
    for (cut, first) in [(0, 1), (1, 2), (2 * 108, 3), (2 * 108 + 1, 4)] {
        let mut buffer = keeping();
        (1..=5).for_each(|n| buffer.push(message(n, 100).as_ref(), &RawBytes, LIMIT).unwrap());
        write(&mut buffer, cut);
        if cut > 10 {
            buffer.acknowledged(3);
            buffer.resume(7);
            write(&mut buffer, 30);
        }
        buffer.begin(true);
        assert!(buffer.can_resume(0) && !buffer.can_resume(1));
        let written = write(&mut buffer, usize::MAX);
        assert_eq!(numbers(&written), (first..=5).collect::<Vec<_>>(), "cut at {cut}");
        buffer.resume(10);
        assert_eq!(write(&mut buffer, usize::MAX), written[10..]);
    }
}

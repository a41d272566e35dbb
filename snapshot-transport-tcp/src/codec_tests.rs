use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use snapshot_core::{Generation, RawBytes};

use super::*;
use crate::write_buffer::WriteBuffer;

const LIMIT: usize = 1024;

fn frame(number: u64, body: Body<Bytes>) -> Frame<Bytes> {
    Frame { stamp: Stamp::new(Generation(1 + number % 300), number), body }
}

fn message(number: u64, len: usize) -> Frame<Bytes> {
    frame(number, Body::Message(Bytes::from(vec![number as u8; len])))
}

fn encoded(frames: &[Frame<Bytes>], goodbye: bool) -> Vec<u8> {
    let mut buffer = WriteBuffer::default();
    for frame in frames {
        buffer.push(frame.as_ref(), &RawBytes, LIMIT).unwrap();
    }
    if goodbye {
        buffer.push_goodbye();
    }
    let mut out = Vec::new();
    let written = buffer.poll_write(&mut Context::from_waker(Waker::noop()), &mut out);
    assert!(matches!(written, Poll::Ready(Ok(()))) && buffer.is_empty());
    out
}

/// What there is, and with an error what came before it.
type All = Result<Vec<Decoded<Bytes>>, (Vec<Decoded<Bytes>>, String)>;

fn all(reader: &mut FrameReader) -> All {
    let mut out = Vec::new();
    loop {
        match reader.next_one(&RawBytes) {
            Ok(Some(decoded)) => out.push(decoded),
            Ok(None) => return Ok(out),
            Err(error) => return Err((out, error.to_string())),
        }
    }
}

fn feed(reader: &mut FrameReader, bytes: &[u8]) {
    reader.take_in(bytes);
}

fn samples() -> Vec<Frame<Bytes>> {
    let control = frame(3, Body::Control(Bytes::from_static(b"marker")));
    vec![message(1, 0), message(2, 300), control, message(4, 1)]
}

#[test]
fn frames_come_back_at_every_split_of_the_bytes() {
    let bytes = encoded(&samples(), true);
    let mut expected: Vec<_> = samples().into_iter().map(Decoded::Frame).collect();
    expected.push(Decoded::Goodbye);
    for split in 0..=bytes.len() {
        let mut reader = FrameReader::new(LIMIT);
        feed(&mut reader, &bytes[..split]);
        let mut found = all(&mut reader).unwrap();
        feed(&mut reader, &bytes[split..]);
        found.extend(all(&mut reader).unwrap());
        assert_eq!(found, expected, "split at {split}");
        assert_eq!(reader.cut_short(), None);
    }
}

#[test]
fn frames_come_back_byte_by_byte() {
    let mut reader = FrameReader::new(LIMIT);
    let mut found = Vec::new();
    for byte in encoded(&samples(), false) {
        feed(&mut reader, &[byte]);
        found.extend(all(&mut reader).unwrap());
    }
    assert_eq!(found, samples().into_iter().map(Decoded::Frame).collect::<Vec<_>>());
}

#[test]
fn an_end_in_mid_frame_is_seen_at_every_byte() {
    let bytes = encoded(&[message(1, 50)], false);
    for end in 1..bytes.len() {
        let mut reader = FrameReader::new(LIMIT);
        feed(&mut reader, &bytes[..end]);
        assert_eq!(all(&mut reader).unwrap(), []);
        let need = (end >= HEAD).then_some(bytes.len());
        assert_eq!(reader.cut_short(), Some((end, need)));
    }
}

#[test]
fn a_length_over_the_limit_is_refused_before_any_memory_is_taken_for_it() {
    let mut reader = FrameReader::new(LIMIT);
    feed(&mut reader, &u32::MAX.to_le_bytes());
    let before = reader.rest.capacity();
    let (found, error) = all(&mut reader).unwrap_err();
    assert!(found.is_empty() && error.contains("4294967295") && error.contains("1024"), "{error}");
    assert_eq!(reader.rest.capacity(), before);
}

#[test]
fn a_long_frame_takes_memory_only_as_it_comes() {
    let mut reader = FrameReader::new(1 << 30);
    feed(&mut reader, &(1_u32 << 30).to_le_bytes());
    assert!(all(&mut reader).unwrap().is_empty());
    reader.space();
    assert!(reader.rest.capacity() < 4 * EAGER_GROWTH, "{}", reader.rest.capacity());
}

#[test]
fn a_frame_of_the_limit_is_taken_and_one_more_byte_is_not() {
    let longest = LIMIT - 1 - Stamp::new(Generation(2), 1).to_bytes().len();
    let bytes = encoded(&[message(1, longest)], false);
    let mut reader = FrameReader::new(LIMIT);
    feed(&mut reader, &bytes);
    assert_eq!(all(&mut reader).unwrap().len(), 1);
    let mut reader = FrameReader::new(LIMIT - 1);
    feed(&mut reader, &bytes);
    assert!(all(&mut reader).is_err());
}

#[test]
fn frames_before_a_broken_one_are_handed_out() {
    let broken: [&[u8]; 5] = [
        &[0, 0, 0, 0],                // empty
        &[0xff, 0xff, 0xff, 0x7f],    // over the limit
        &[4, 0, 0, 0, 0x1f, 0, 1, 1], // a stamp beyond the end
        &[4, 0, 0, 0, 0xe3, 0, 1, 1], // an unknown kind
        &[4, 0, 0, 0, 0x03, 9, 1, 1], // a stamp of an unknown version
    ];
    for tail in broken {
        let mut reader = FrameReader::new(LIMIT);
        feed(&mut reader, &[&encoded(&samples(), false)[..], tail].concat());
        let (found, _) = all(&mut reader).unwrap_err();
        assert_eq!(found.len(), samples().len(), "{tail:?}");
    }
}

#[test]
fn a_goodbye_with_something_in_it_is_no_goodbye() {
    let mut reader = FrameReader::new(LIMIT);
    feed(&mut reader, &[2, 0, 0, 0, Kind::Goodbye.tag(0), 7]);
    assert!(all(&mut reader).is_err());
}

#[test]
fn random_bytes_give_an_error_or_nothing_and_no_panic() {
    for seed in 0..2000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut reader = FrameReader::new(LIMIT);
        let mut bytes = encoded(&samples(), true);
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..bytes.len());
            bytes[at] = random.u8(..);
        }
        bytes.extend((0..random.usize(..64)).map(|_| random.u8(..)));
        for piece in bytes.chunks(random.usize(1..200)) {
            feed(&mut reader, piece);
            if all(&mut reader).is_err() {
                break;
            }
        }
        assert!(reader.rest.capacity() <= 4 * READ_BUFFER, "seed {seed}");
    }
}

#[test]
fn the_bytes_of_a_frame_are_what_the_documentation_says() {
    let frame = Frame { stamp: Stamp::new(Generation(1), 2), body: Body::Message(Bytes::from_static(b"hi")) };
    assert_eq!(encoded(&[frame], true), [6, 0, 0, 0, 3, 0, 1, 2, b'h', b'i', 1, 0, 0, 0, 0x40]);
}

#[test]
fn acknowledgements_are_found_before_it_is_their_turn() {
    let mut buffer = WriteBuffer::default();
    let mut reader = FrameReader::new(LIMIT);
    assert_eq!(reader.acknowledged(), None);
    for (number, ack) in [(1, 7), (2, 1 << 40), (3, 5)] {
        buffer.push(message(number, 50).as_ref(), &RawBytes, LIMIT).unwrap();
        buffer.push_ack(ack);
    }
    let mut bytes = Vec::new();
    let written = buffer.poll_write(&mut Context::from_waker(Waker::noop()), &mut bytes);
    assert!(written.is_ready());
    let end = bytes.len() - 1;
    feed(&mut reader, &bytes[..end]);
    assert_eq!(reader.acknowledged(), Some(1 << 40));
    // Two are whole and set aside, and the first is handed out.
    assert_eq!(reader.next_one(&RawBytes).unwrap(), Some(Decoded::Frame(message(1, 50))));
    assert_eq!(reader.acknowledged(), Some(1 << 40));
    feed(&mut reader, &bytes[end..]);
    let rest = all(&mut reader).unwrap();
    assert_eq!((rest.len(), &rest[0], &rest[4]), (5, &Decoded::Ack(7), &Decoded::Ack(5)));
    assert_eq!(reader.acknowledged(), None);
}

#[test]
fn an_acknowledgement_has_one_length_and_no_stamp() {
    for bytes in
        [&[8, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0][..], &[10, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0]]
    {
        let mut reader = FrameReader::new(LIMIT);
        feed(&mut reader, bytes);
        assert!(all(&mut reader).unwrap_err().1.contains("acknowledgement"));
        assert_eq!(reader.acknowledged(), None);
    }
}

//! Frames after the handshake.

use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use snapshot_core::{Body, Frame, Generation, RawBytes, Stamp};

use super::{check, flips, read};
use crate::codec::{Decoded, FrameError, FrameReader};
use crate::handshake::VERSION;
use crate::write_buffer::WriteBuffer;

const LIMIT: usize = 1024;

/// What the file holds: the frames that version 1 must always mean, and a goodbye behind them.
fn frames() -> Vec<Frame<Bytes>> {
    let frame = |generation, number, body| Frame { stamp: Stamp::new(Generation(generation), number), body };
    vec![
        frame(1, 0, Body::Control(Bytes::from_static(&[1, 0]))),
        frame(1, 1, Body::Message(Bytes::new())),
        frame(300, 2, Body::Message(Bytes::from(vec![0xa5; 300]))),
        frame(u64::MAX, u64::MAX, Body::Message(Bytes::from_static(b"five"))),
        frame(300, 3, Body::Control(Bytes::from_static(b"a marker"))),
    ]
}

fn everything() -> Vec<Decoded<Bytes>> {
    frames().into_iter().map(Decoded::Frame).chain([Decoded::Goodbye]).collect()
}

fn encoded(all: &[Decoded<Bytes>]) -> Vec<u8> {
    let (mut buffer, mut out) = (WriteBuffer::default(), Vec::new());
    for decoded in all {
        match decoded {
            Decoded::Frame(frame) => buffer.push(frame, &RawBytes, LIMIT).unwrap(),
            Decoded::Goodbye => buffer.push_goodbye(),
        }
    }
    let written = buffer.poll_write(&mut Context::from_waker(Waker::noop()), &mut out);
    assert!(matches!(written, Poll::Ready(Ok(()))) && buffer.is_empty());
    out
}

/// What there is in these bytes, and why there is no more.
fn decoded(bytes: &[u8]) -> (Vec<Decoded<Bytes>>, Result<FrameReader, FrameError>) {
    let mut reader = FrameReader::new(LIMIT);
    reader.space().extend_from_slice(bytes);
    let mut found = Vec::new();
    loop {
        match reader.next(&RawBytes) {
            Ok(Some(decoded)) => found.push(decoded),
            Ok(None) => return (found, Ok(reader)),
            Err(error) => return (found, Err(error)),
        }
    }
}

#[test]
fn frames_of_version_1_are_read_as_what_they_were() {
    let (found, end) = decoded(&read("frames-1/stream.bin"));
    assert_eq!(found, everything());
    assert_eq!(end.unwrap().cut_short(), None);
}

#[test]
fn frames_are_written_as_ever() {
    check(&format!("frames-{VERSION}/stream.bin"), &encoded(&everything()));
}

#[test]
fn a_stream_that_ends_anywhere_gives_the_whole_frames_before_and_says_whether_one_was_cut() {
    let bytes = read("frames-1/stream.bin");
    let ends: Vec<usize> =
        (0..=everything().len()).map(|count| encoded(&everything()[..count]).len()).collect();
    for end in 0..bytes.len() {
        let (found, rest) = decoded(&bytes[..end]);
        let whole = ends.iter().rposition(|at| *at <= end).unwrap();
        assert_eq!(found, everything()[..whole], "the first {end} bytes");
        let cut = rest.unwrap().cut_short();
        assert_eq!(cut.map(|(come, _)| come), (ends[whole] < end).then(|| end - ends[whole]), "{end} bytes");
    }
}

#[test]
fn a_flipped_bit_makes_other_frames_or_none_and_never_a_second_form_of_one() {
    let bytes = read("frames-1/stream.bin");
    let (mut others, mut refused) = (0, 0);
    for (bit, flipped) in flips(&bytes) {
        let (found, end) = decoded(&flipped);
        assert!(flipped.starts_with(&encoded(&found)), "bit {bit}");
        match end {
            Ok(reader) => {
                assert!(found != everything() || reader.cut_short().is_some(), "bit {bit}");
                others += 1;
            }
            Err(error) => {
                assert!(
                    matches!(error, FrameError::TooLarge { limit: LIMIT, .. } | FrameError::Garbage(_)),
                    "bit {bit}: {error}"
                );
                refused += 1;
            }
        }
    }
    assert!(others > 1000 && refused > 100, "{others} others, {refused} refused");
}

//! Frames after the handshake.

use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use snapshot_core::{Body, Frame, Frames, Generation, RawBytes, Stamp};

use super::{check, flips, read};
use crate::codec::{Decoded, FrameError, FrameReader, Kind};
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

/// What version 2 has beside that: a run of messages of all lengths that are told apart.
fn run() -> Vec<Frame<Bytes>> {
    let lengths = [0, 1, 127, 128, 200, 3];
    let frame = |(at, len): (u64, usize)| Frame {
        stamp: Stamp::new(Generation(300), 0x12_3456 + (at << 16)),
        body: Body::Message(Bytes::from(vec![at as u8; len])),
    };
    (0..).zip(lengths).map(frame).collect()
}

/// What version 3 has beside that.
const ACKS: [u64; 3] = [0, 0x0123_4567_89ab_cdef, u64::MAX];

/// All of version 3: frames, two runs of which one has the smallest step, acknowledgements, a goodbye.
fn stream() -> (Vec<u8>, Vec<Frame<Bytes>>) {
    let second = [7, 8].map(|number| Frame {
        stamp: Stamp::new(Generation(1), number),
        body: Body::Message(Bytes::from_static(b"x")),
    });
    let all = [frames(), run(), second.to_vec()].concat();
    let mut batch = Frames::new();
    all.iter().cloned().for_each(|frame| batch.push_back(frame));
    let mut buffer = WriteBuffer::default();
    buffer.fill(&mut batch, &RawBytes, LIMIT).unwrap();
    assert!(batch.is_empty());
    ACKS.iter().for_each(|count| buffer.push_ack(*count));
    buffer.push_goodbye();
    (written(buffer), all)
}

fn encoded(all: &[Decoded<Bytes>]) -> Vec<u8> {
    let mut buffer = WriteBuffer::default();
    for decoded in all {
        match decoded {
            Decoded::Frame(frame) => buffer.push(frame.as_ref(), &RawBytes, LIMIT).unwrap(),
            Decoded::Goodbye => buffer.push_goodbye(),
            Decoded::Ack(count) => buffer.push_ack(*count),
            Decoded::Run => unreachable!("runs are taken apart"),
        }
    }
    written(buffer)
}

fn written(mut buffer: WriteBuffer) -> Vec<u8> {
    let mut out = Vec::new();
    let written = buffer.poll_write(&mut Context::from_waker(Waker::noop()), &mut out);
    assert!(matches!(written, Poll::Ready(Ok(()))) && buffer.is_empty());
    out
}

/// What there is in these bytes, and why there is no more.
fn decoded(bytes: &[u8]) -> (Vec<Decoded<Bytes>>, Result<FrameReader, FrameError>) {
    let mut reader = FrameReader::new(LIMIT);
    reader.take_in(bytes);
    let mut found = Vec::new();
    loop {
        match reader.next_one(&RawBytes) {
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
fn frames_of_version_2_are_read_as_what_they_were() {
    let (found, end) = decoded(&read("frames-2/stream.bin"));
    let expected = stream().1.into_iter().map(Decoded::Frame).chain([Decoded::Goodbye]);
    assert_eq!(found, expected.collect::<Vec<_>>());
    assert_eq!(end.unwrap().cut_short(), None);
}

#[test]
fn frames_of_version_3_are_read_as_what_they_were() {
    let (found, end) = decoded(&read("frames-3/stream.bin"));
    assert_eq!(found, version_3());
    assert_eq!(end.unwrap().cut_short(), None);
}

fn version_3() -> Vec<Decoded<Bytes>> {
    let frames = stream().1.into_iter().map(Decoded::Frame);
    frames.chain(ACKS.map(Decoded::Ack)).chain([Decoded::Goodbye]).collect()
}

#[test]
fn frames_are_written_as_ever() {
    check(&format!("frames-{VERSION}/stream.bin"), &stream().0);
}

#[test]
fn a_stream_with_runs_that_ends_anywhere_gives_what_is_whole_and_in_order() {
    let (bytes, all) = (stream().0, version_3());
    let mut most = 0;
    for end in 0..bytes.len() {
        let (found, rest) = decoded(&bytes[..end]);
        assert_eq!(found, all[..found.len()], "the first {end} bytes");
        assert!(found.len() >= most && rest.is_ok());
        most = found.len();
    }
    assert_eq!(most, all.len() - 1);
}

#[test]
fn a_flipped_bit_in_a_run_makes_other_messages_or_none() {
    let bytes = stream().0;
    for (bit, flipped) in flips(&bytes) {
        let (found, end) = decoded(&flipped);
        let differs = found != version_3();
        assert!(differs || end.is_err() || end.is_ok_and(|reader| reader.cut_short().is_some()), "bit {bit}");
    }
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

fn has_run(mut bytes: &[u8]) -> bool {
    while let Some((head, rest)) = bytes.split_first_chunk() {
        if rest.first().is_some_and(|tag| tag >> 5 == Kind::Run as u8) {
            return true;
        }
        let Some(next) = rest.get(u32::from_le_bytes(*head) as usize..) else { return false };
        bytes = next;
    }
    false
}

#[test]
fn a_flipped_bit_makes_other_frames_or_none_and_never_a_second_form_of_one() {
    let bytes = read("frames-1/stream.bin");
    let (mut others, mut refused) = (0, 0);
    for (bit, flipped) in flips(&bytes) {
        let (found, end) = decoded(&flipped);
        // Runs can be put together in several ways.
        assert!(flipped.starts_with(&encoded(&found)) || has_run(&flipped), "bit {bit}");
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

//! Properties of random values: frames come back however the bytes are cut, and nobody's words do harm.
//!
//! Every run tries the same values. `PROPTEST_CASES=100000` tries more of them, `PROPTEST_RNG_SEED=7` others.

use std::fmt::Debug;
use std::task::{Context, Poll, Waker};

use bytes::{BufMut, Bytes};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};
use snapshot_core::{Body, Frame, Frames, Generation, Graph, MessageCodec, NodeId, RawBytes, Stamp};

use crate::codec::{Decoded, FrameError, FrameReader, Kind, READ_BUFFER};
use crate::handshake::{
    Hello, Identity, MAX_GROUP, MAX_PAYLOAD, OwnLife, PREFIX, Place, Prefix, Step, refusal, refusal_text,
};
use crate::write_buffer::WriteBuffer;

const LIMIT: usize = 100_000;

/// Tries a property on values of a strategy.
///
/// # Panics
///
/// With the smallest value for which it does not hold, and how to see that again.
#[track_caller]
fn holds<S: Strategy>(strategy: S, property: impl Fn(S::Value) -> Result<(), TestCaseError>)
where
    S::Value: Debug,
{
    let mut config = Config { failure_persistence: None, ..Config::default() };
    let seed = match config.rng_seed {
        RngSeed::Fixed(seed) => seed,
        RngSeed::Random => 0,
    };
    config.rng_seed = RngSeed::Fixed(seed);
    let cases = config.cases;
    config.max_global_rejects = cases.max(config.max_global_rejects);
    if let Err(error) = TestRunner::new(config).run(&strategy, property) {
        let test = std::thread::current().name().unwrap_or_default().to_owned();
        panic!(
            "{error}\nreplay: PROPTEST_RNG_SEED={seed} PROPTEST_CASES={cases} cargo test --all-features {test}"
        );
    }
}

fn frames() -> impl Strategy<Value = Frame<Bytes>> {
    // The larger ones are written from where they are.
    let sizes = prop_oneof![4 => 0..300_usize, 1 => 8000..9000_usize, 1 => 0..LIMIT - 30];
    let numbers = || (0..64_u32, any::<u64>()).prop_map(|(bits, n)| n >> bits);
    (numbers(), numbers(), sizes, any::<u8>(), any::<bool>()).prop_map(
        |(generation, number, size, byte, control)| {
            let bytes = Bytes::from(vec![byte; size]);
            Frame {
                stamp: Stamp::new(Generation(generation.max(1)), number),
                body: if control { Body::Control(bytes) } else { Body::Message(bytes) },
            }
        },
    )
}

fn streams() -> impl Strategy<Value = Vec<Decoded<Bytes>>> {
    let decoded =
        || prop_oneof![8 => frames().prop_map(Decoded::Frame), 1 => any::<u64>().prop_map(Decoded::Ack)];
    (prop::collection::vec(decoded(), 0..12), any::<bool>())
        .prop_map(|(frames, goodbye)| frames.into_iter().chain(goodbye.then_some(Decoded::Goodbye)).collect())
}

fn encoded(stream: &[Decoded<Bytes>]) -> Vec<u8> {
    let (mut buffer, mut out) = (WriteBuffer::default(), Vec::new());
    for decoded in stream {
        match decoded {
            Decoded::Frame(frame) => {
                buffer.push(frame.as_ref(), &RawBytes, LIMIT).expect("it is within the limit");
            }
            Decoded::Goodbye => buffer.push_goodbye(),
            Decoded::Ack(count) => buffer.push_ack(*count),
            Decoded::Run => unreachable!("runs are taken apart"),
        }
    }
    let written = buffer.poll_write(&mut Context::from_waker(Waker::noop()), &mut out);
    assert!(matches!(written, Poll::Ready(Ok(()))) && buffer.is_empty());
    out
}

/// What a reader makes of bytes that come in pieces of these sizes, over and over.
fn decoded(mut bytes: &[u8], pieces: &[usize]) -> (Vec<Decoded<Bytes>>, Result<FrameReader, FrameError>) {
    let (mut reader, mut found) = (FrameReader::new(LIMIT), Vec::new());
    for size in pieces.iter().cycle() {
        loop {
            match reader.next_one(&RawBytes) {
                Ok(Some(decoded)) => found.push(decoded),
                Ok(None) => break,
                Err(error) => return (found, Err(error)),
            }
        }
        if bytes.is_empty() {
            break;
        }
        let mut space = reader.space();
        let room = space.chunk_mut().len();
        assert!(room > 0, "there is room for one byte at least");
        let held = space.get_ref().capacity();
        assert!(held <= 4 * READ_BUFFER + 2 * LIMIT, "{held} bytes held");
        let (piece, rest) = bytes.split_at((*size).min(bytes.len()).min(room));
        space.put_slice(piece);
        bytes = rest;
    }
    (found, Ok(reader))
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

fn pieces() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![prop::collection::vec(1..20_usize, 1..5), prop::collection::vec(1..READ_BUFFER, 1..5)]
}

#[test]
fn frames_come_back_however_their_bytes_are_cut() {
    holds((streams(), pieces(), any::<prop::sample::Index>()), |(stream, pieces, cut)| {
        let bytes = encoded(&stream);
        let (found, end) = decoded(&bytes, &pieces);
        prop_assert_eq!(&found, &stream);
        prop_assert_eq!(end.unwrap().cut_short(), None);

        // And what has come of them, where the connection breaks.
        let cut = cut.index(bytes.len() + 1);
        let (found, end) = decoded(&bytes[..cut], &pieces);
        let whole = encoded(&found).len();
        prop_assert_eq!(&found[..], &stream[..found.len()]);
        prop_assert_eq!(end.unwrap().cut_short().map_or(0, |(come, _)| come), cut - whole);
        Ok(())
    });
}

/// Messages whose numbers follow each other, with some that do not and control frames in between.
fn batches() -> impl Strategy<Value = Vec<Frame<Bytes>>> {
    let sizes = prop_oneof![8 => 0..300_usize, 1 => 8000..9000_usize, 1 => 0..LIMIT - 30];
    let step = prop_oneof![6 => Just(1 << 16), 1 => Just(1), 1 => 1..1000_u64];
    let one = (sizes, step, any::<u8>(), 0..20_u8);
    prop::collection::vec(one, 0..60).prop_map(|all| {
        let mut number = 1;
        let frame = |(size, step, byte, kind): (usize, u64, u8, u8)| {
            number += step;
            let bytes = Bytes::from(vec![byte; size]);
            let body = if kind == 0 { Body::Control(bytes) } else { Body::Message(bytes) };
            Frame { stamp: Stamp::new(Generation(1 + u64::from(kind == 1)), number), body }
        };
        all.into_iter().map(frame).collect()
    })
}

#[test]
fn a_batch_with_runs_comes_back_however_its_bytes_are_cut_and_whatever_its_codec() {
    holds((batches(), pieces(), any::<bool>()), |(batch, pieces, copies)| {
        let codec: &dyn MessageCodec<Bytes> = if copies { &Copies } else { &RawBytes };
        let (mut buffer, mut bytes) = (WriteBuffer::default(), Vec::new());
        let mut frames = Frames::new();
        batch.iter().cloned().for_each(|frame| frames.push_back(frame));
        while !frames.is_empty() {
            buffer.fill(&mut frames, codec, LIMIT).expect("it is within the limit");
            let written = buffer.poll_write(&mut Context::from_waker(Waker::noop()), &mut bytes);
            prop_assert!(written.is_ready() && buffer.is_empty());
        }
        let (found, end) = decoded(&bytes, &pieces);
        prop_assert_eq!(found, batch.into_iter().map(Decoded::Frame).collect::<Vec<_>>());
        prop_assert_eq!(end.unwrap().cut_short(), None);
        Ok(())
    });
}

/// Writes what [`RawBytes`] only lends.
struct Copies;

impl MessageCodec<Bytes> for Copies {
    fn encode(&self, message: &Bytes, out: &mut dyn std::io::Write) -> std::io::Result<()> {
        message.chunks(100).try_for_each(|piece| out.write_all(piece))
    }

    fn decode(&self, bytes: Bytes) -> std::io::Result<Bytes> {
        Ok(bytes)
    }
}

#[test]
fn bytes_that_are_others_give_the_same_whatever_their_pieces_and_no_second_form_of_a_frame() {
    let change = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4);
    holds((streams(), change, pieces(), pieces()), |(stream, change, some, other)| {
        let mut bytes = encoded(&stream);
        prop_assume!(!bytes.is_empty());
        for (at, byte) in change {
            let at = at.index(bytes.len().min(64));
            bytes[at] = byte;
        }
        let (found, end) = decoded(&bytes, &some);
        let (again, end_again) = decoded(&bytes, &other);
        prop_assert_eq!(&found, &again);
        let ends = [end, end_again]
            .map(|end| end.map(|reader| reader.cut_short()).map_err(|error| error.to_string()));
        prop_assert_eq!(&ends[0], &ends[1]);
        // Runs can be put together in several ways.
        let again = encoded(&found);
        prop_assert!(bytes.starts_with(&again) || has_run(&bytes));
        Ok(())
    });
}

#[test]
fn two_nodes_of_any_group_agree_and_each_takes_the_other_for_what_it_is() {
    let members = prop::collection::btree_set(any::<u64>(), 2..5);
    let name = prop::collection::vec(any::<char>(), 0..200).prop_map(String::from_iter);
    holds((members, name, any::<[u32; 2]>()), |(members, name, limits)| {
        prop_assume!(name.len() <= MAX_GROUP);
        let members: Vec<NodeId> = members.into_iter().map(NodeId).collect();
        let graph = Graph::mesh(members.iter().copied()).named(&name);
        let node = |at: usize| Identity {
            topology: graph.at(members[at]).unwrap(),
            max_frame: limits[at],
            own: OwnLife::new(at as u64),
        };
        let (listener, dialer) = (node(0), node(1));
        let heard = |me, message: &[u8]| {
            let (prefix, payload) = message.split_first_chunk::<PREFIX>().unwrap();
            let prefix = Prefix::read(prefix).unwrap();
            assert!(prefix.len == payload.len() && prefix.len <= MAX_PAYLOAD);
            Hello::read(me, prefix.version, payload).unwrap()
        };
        let hello = heard(members[0], &dialer.hello(members[0], 3));
        prop_assert_eq!((hello.from, hello.max_frame, &hello.group), (members[1], limits[1], &name));
        prop_assert_eq!(listener.check_dialer(&hello, |_| None).map(NodeId::from), Ok(members[1]));
        let welcome = heard(members[1], &listener.welcome(members[1], Place { session: 4, received: 5 }));
        prop_assert_eq!(dialer.check_listener(members[0], &welcome).map(NodeId::from), Ok(members[0]));
        // The one with the larger id dials.
        let wrong_way = heard(members[1], &listener.hello(members[1], 0));
        prop_assert!(dialer.check_dialer(&wrong_way, |_| None).is_err());
        Ok(())
    });
}

#[test]
fn a_refusal_is_read_as_it_was_meant_and_never_steers_a_terminal() {
    holds((any::<String>(), 0..100_usize), |(why, times)| {
        let why = why.repeat(times);
        let message = refusal(&why);
        let (prefix, payload) = message.split_first_chunk::<PREFIX>().unwrap();
        let prefix = Prefix::read(prefix).unwrap();
        prop_assert_eq!((prefix.step, prefix.len), (Step::Refusal, payload.len()));
        prop_assert!(payload.len() == why.len() || payload.len() > 1020 && payload.len() <= 1024);
        prop_assert!(why.as_bytes().starts_with(payload));
        if !why.contains(char::is_control) {
            prop_assert!(why.starts_with(&refusal_text(payload)));
        }
        Ok(())
    });
    holds(prop::collection::vec(any::<u8>(), 0..MAX_PAYLOAD), |payload| {
        let text = refusal_text(&payload);
        prop_assert!(!text.contains(char::is_control) && text.chars().count() <= 1024);
        Ok(())
    });
}

//! A neighbour that is who it says it is, and sends any bytes in any pieces instead of frames.
//!
//! The node must hand out just the frames that stand at the front of these bytes, and then say how the connection ended: in
//! good order only behind a goodbye at the very end.

mod expected;

use std::cell::RefCell;

use arbitrary::Arbitrary;
use bytes::Bytes;
use snapshot_core::{Incoming, Transport};
use snapshot_transport_tcp::TcpTransport;
use tokio::runtime::Runtime;

use super::forms::Writer;
use super::tcp::{builder, greeted, in_time, inbox, runtime, write_until_closed};
use expected::{End, Expected};

/// What is sent, and to which node.
#[derive(Arbitrary, Debug)]
pub struct Input {
    /// To the node that takes frames up to 1 GiB, not up to 4 KiB.
    generous: bool,
    room: u8,
    pieces: Vec<Piece>,
}

/// Written at once.
#[derive(Arbitrary, Debug)]
enum Piece {
    Frame {
        kind: u8,
        generation: u8,
        number: u64,
        body: Body,
    },
    /// Messages whose numbers follow each other.
    Run {
        generation: u8,
        number: u64,
        step: u64,
        messages: Vec<Body>,
    },
    /// Any tag and anything behind it, under its true length.
    Odd {
        tag: u8,
        rest: Vec<u8>,
    },
    Goodbye,
    Acknowledgement(u64),
    /// A length that promises what may never come.
    Length(u32),
    Raw(Vec<u8>),
}

#[derive(Arbitrary, Debug)]
enum Body {
    Bytes(Vec<u8>),
    /// Something long.
    Many(u8, u16),
}

impl Body {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Bytes(bytes) => bytes.clone(),
            Self::Many(byte, count) => vec![*byte; usize::from(*count)],
        }
    }
}

impl Piece {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Frame { kind, generation, number, body } => {
                let mut stamp = Writer::default();
                stamp.byte(0).uint(u64::from(*generation)).uint(*number);
                framed(((kind % 4) << 5) | stamp.0.len() as u8, &[stamp.0, body.bytes()].concat())
            }
            Self::Run { generation, number, step, messages } => {
                let mut stamp = Writer::default();
                stamp.byte(0).uint(u64::from(*generation)).uint(*number);
                let mut run = Writer::default();
                run.uint(*step);
                for message in messages {
                    let message = message.bytes();
                    run.uint(message.len() as u64);
                    run.0.extend(message);
                }
                framed((3 << 5) | stamp.0.len() as u8, &[stamp.0, run.0].concat())
            }
            Self::Odd { tag, rest } => framed(*tag, rest),
            Self::Goodbye => framed(2 << 5, &[]),
            Self::Acknowledgement(count) => framed(4 << 5, &count.to_le_bytes()),
            Self::Length(length) => length.to_le_bytes().to_vec(),
            Self::Raw(bytes) => bytes.clone(),
        }
    }
}

fn framed(tag: u8, rest: &[u8]) -> Vec<u8> {
    [&(1 + rest.len() as u32).to_le_bytes()[..], &[tag], rest].concat()
}

/// Two nodes, used for input after input.
struct Bench {
    runtime: Runtime,
    nodes: [TcpTransport<Bytes>; 2],
}

const LIMITS: [usize; 2] = [4 << 10, 1 << 30];

impl Bench {
    fn new() -> Self {
        let runtime = runtime();
        let nodes = LIMITS
            .map(|limit| runtime.block_on(builder(1, limit).bind()).expect("it can listen on the loopback"));
        Self { runtime, nodes }
    }
}

thread_local! {
    static BENCH: RefCell<Bench> = RefCell::new(Bench::new());
}

/// See the [module](self).
///
/// # Panics
///
/// Where the node hands out something else than it was sent.
pub fn run(input: Input) {
    let which = usize::from(input.generous);
    let pieces: Vec<Vec<u8>> = input.pieces.iter().map(Piece::bytes).collect();
    let expected = Expected::of(&pieces.concat(), LIMITS[which]);
    let is_over = BENCH.with_borrow(|bench| {
        let node = &bench.nodes[which];
        bench.runtime.block_on(in_time(async {
            let mut socket = greeted(node.local_addr().expect("it listens")).await;
            // The socket stays until the node has seen its end.
            let sent = write_until_closed(&mut socket, &pieces);
            futures::future::join(sent, compare(node, expected, input.room)).await.1
        }))
    });
    if is_over {
        BENCH.set(Bench::new());
    }
}

/// Whether the transport is of no more use.
async fn compare(node: &TcpTransport<Bytes>, expected: Expected, room: u8) -> bool {
    let mut frames = expected.frames.into_iter();
    let mut is_up = false;
    loop {
        let mut inbox = inbox(room);
        let most = inbox.room();
        if let Err(error) = node.recv(&mut inbox).await {
            // Whoever cannot understand its neighbour must not go on.
            assert!(error.is_undecodable(), "{error}");
            assert_eq!(expected.end, End::Lost("the codec cannot decode"), "{error}");
            while let Some(Incoming::Frame { frame, .. }) = inbox.pop() {
                assert_eq!(Some(frame), frames.next(), "T2");
            }
            return true;
        }
        assert!((1..=most).contains(&inbox.len()), "T3: {} items, and room for {most}", inbox.len());
        while let Some(item) = inbox.pop() {
            match item {
                Incoming::Up(_) if !is_up => is_up = true,
                Incoming::Frame { frame, .. } if is_up => {
                    assert_eq!(Some(frame), frames.next(), "T2");
                    continue;
                }
                Incoming::Left(_) if is_up => {
                    assert_eq!((frames.next(), End::Left), (None, expected.end));
                    return false;
                }
                Incoming::Lost { why, .. } if is_up => {
                    let End::Lost(text) = expected.end else {
                        panic!("lost ({why}), and it had left in good order")
                    };
                    assert_eq!(frames.next(), None, "lost ({why}) before all had arrived");
                    assert!(why.contains(text), "lost ({why}), expected: {text}");
                    assert!(inbox.is_empty(), "something came after the end");
                    return false;
                }
                other => panic!("{other:?} out of turn"),
            }
        }
    }
}

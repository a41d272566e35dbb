//! Whoever dials a node, or is dialed by one, and says anything at all where a handshake is expected.
//!
//! There is a connection just where the handshake was right; else the other side is told why, if it can be, and nothing comes of
//! it. What is shown to people has no control characters in it, whatever the stranger called itself.

mod expected;

use std::cell::RefCell;
use std::time::Duration;

use arbitrary::Arbitrary;
use bytes::Bytes;
use snapshot_core::{Incoming, NodeId, Transport};
use snapshot_transport_tcp::TcpTransport;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use super::tcp::{
    ACCEPT, HELLO, NO_SESSION, REFUSAL, WELCOME, account, builder, in_time, inbox, runtime, step, topology,
    write_until_closed,
};
use expected::{Answer, Expected, Side};

/// What is said, and to whom.
#[derive(Arbitrary, Debug)]
pub struct Input {
    /// The stranger is dialed, and does not dial.
    dialed: bool,
    pieces: Vec<Piece>,
}

/// Written at once.
#[derive(Arbitrary, Debug)]
enum Piece {
    /// HELLO to the one who listens, WELCOME to the one who dials, with what is wrong with it.
    Greeting(Wrong),
    Account {
        version: u16,
        kind: u8,
        from: u8,
        to: u8,
        fingerprint: u64,
        max_frame: u32,
        group: Vec<u8>,
    },
    /// An answer that is right, or for a session that was not offered.
    Accept {
        version: u16,
        session: u64,
        received: u64,
    },
    /// Any answer.
    Answer {
        version: u16,
        payload: Vec<u8>,
    },
    Step {
        version: u16,
        kind: u8,
        payload: Vec<u8>,
    },
    Raw(Vec<u8>),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Wrong {
    Nothing,
    Version(u16),
    From(u64),
    To(u64),
    Fingerprint(u64),
    Group(char),
    LongGroup(u16),
}

impl Piece {
    fn bytes(&self, dialed: bool) -> Vec<u8> {
        match self {
            Self::Greeting(wrong) => greeting(dialed, *wrong),
            Self::Account { version, kind, from, to, fingerprint, max_frame, group } => {
                let payload = account(u64::from(*from), u64::from(*to), *fingerprint, *max_frame, group);
                step(*version, *kind, &payload)
            }
            Self::Accept { version, session, received } => {
                step(*version, ACCEPT, &[*session, *received].map(u64::to_le_bytes).concat())
            }
            Self::Answer { version, payload } => step(*version, ACCEPT, payload),
            Self::Step { version, kind, payload } => step(*version, *kind, payload),
            Self::Raw(bytes) => bytes.clone(),
        }
    }
}

fn greeting(dialed: bool, wrong: Wrong) -> Vec<u8> {
    // Node 2 dials node 1.
    let (mut from, mut to) = if dialed { (1, 2) } else { (2, 1) };
    let (mut version, mut fingerprint, mut group) = (3, topology(1).fingerprint(), "fuzz".to_owned());
    match wrong {
        Wrong::Nothing => {}
        Wrong::Version(other) => version = other,
        Wrong::From(other) => from = other,
        Wrong::To(other) => to = other,
        Wrong::Fingerprint(other) => fingerprint = other,
        Wrong::Group(other) => group.push(other),
        Wrong::LongGroup(length) => group = "x".repeat(usize::from(length % 2200)),
    }
    let kind = if dialed { WELCOME } else { HELLO };
    step(version, kind, &account(from, to, fingerprint, 1 << 20, group.as_bytes()))
}

/// A node that listens, used for input after input, and a place to be dialed at.
struct Bench {
    runtime: Runtime,
    node: TcpTransport<Bytes>,
    dialed: TcpListener,
}

impl Bench {
    fn new() -> Self {
        let runtime = runtime();
        let node = runtime.block_on(builder(1, 4096).bind()).expect("it can listen on the loopback");
        let dialed = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("the loopback");
        Self { runtime, node, dialed }
    }
}

thread_local! {
    static BENCH: RefCell<Bench> = RefCell::new(Bench::new());
}

/// See the [module](self).
///
/// # Panics
///
/// Where the node answers otherwise, connects otherwise, or shows a control character.
pub fn run(input: Input) {
    let pieces: Vec<Vec<u8>> = input.pieces.iter().map(|piece| piece.bytes(input.dialed)).collect();
    let side = if input.dialed { Side::Dials } else { Side::Listens };
    let expected = Expected::of(side, &pieces.concat());
    BENCH.with_borrow(|bench| {
        bench.runtime.block_on(in_time(async {
            if input.dialed {
                let at = bench.dialed.local_addr().expect("it listens").to_string();
                let known = [(NodeId(1), at)];
                let node = builder(2, 4096).peers(known).bind().await.expect("it can listen on the loopback");
                let (mut socket, _) = bench.dialed.accept().await.expect("the node dials");
                meet(&node, &mut socket, &pieces, &expected).await;
            } else {
                let at = bench.node.local_addr().expect("it listens");
                let mut socket = TcpStream::connect(at).await.expect("the node listens");
                meet(&bench.node, &mut socket, &pieces, &expected).await;
            }
        }));
    });
}

async fn meet(node: &TcpTransport<Bytes>, socket: &mut TcpStream, pieces: &[Vec<u8>], expected: &Expected) {
    socket.set_nodelay(true).expect("a socket");
    write_until_closed(socket, pieces).await;
    if let Some(peer) = expected.connects {
        let mut inbox = inbox(0);
        node.recv(&mut inbox).await.expect("a stranger does not end the transport");
        assert!(
            matches!(inbox.pop(), Some(Incoming::Up(up)) if up.id() == peer),
            "expected {peer} to come up"
        );
        // Whatever follows is for the other target; here only that it ends.
        while !matches!(inbox.pop(), Some(Incoming::Lost { .. } | Incoming::Left(_))) {
            node.recv(&mut inbox).await.expect("a stranger does not end the transport");
        }
    }
    let mut answer = Vec::new();
    // A reset may come in place of the end, where the node had not read all.
    let whole = socket.read_to_end(&mut answer).await.is_ok();
    check_answer(&answer, whole, expected);
    let shown = node.connected(Duration::ZERO).await.expect_err("nobody is connected any more").to_string();
    assert!(!shown.contains(char::is_control), "shown to people: {shown:?}");
}

fn check_answer(answer: &[u8], whole: bool, expected: &Expected) {
    let mut rest = answer;
    for (n, wanted) in expected.answers.iter().enumerate() {
        let Some((kind, payload)) = next_step(&mut rest) else {
            assert!(!whole, "no answer {n}, expected {wanted:?}");
            return;
        };
        match wanted {
            Answer::Greeting(text) => {
                assert_eq!(kind, text[6]);
                assert!(payload.len() >= LIFE.end, "it has a life");
                // Which process it is, is its own business.
                let said = [&payload[..LIFE.start], &payload[LIFE.end..]].concat();
                let wanted = [&text[9..][..LIFE.start], &text[9..][LIFE.end..]].concat();
                assert_eq!(said, wanted, "the account of itself");
            }
            Answer::Accept => assert_eq!((kind, payload), (ACCEPT, &NO_SESSION[..])),
            Answer::Refusal(part) => {
                let text = std::str::from_utf8(payload).expect("a refusal is a text");
                assert_eq!(kind, REFUSAL, "{text}");
                // It ends where it would be too long: behind two long names.
                let cut = payload.len() > 1020;
                assert!(payload.len() <= 1024 && (cut || text.contains(part)), "{text}, expected: {part}");
                assert!(!text.contains(char::is_control), "{text:?}");
            }
        }
    }
    assert!(rest.is_empty(), "more was said than should be: {rest:?}");
}

/// Where an account says which process it is of.
const LIFE: std::ops::Range<usize> = 28..44;

fn next_step<'a>(rest: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (prefix, behind) = rest.split_first_chunk::<9>()?;
    assert_eq!(prefix[..6], [0xf3, b'S', b'N', b'P', 3, 0], "its own version");
    let (payload, behind) =
        behind.split_at_checked(usize::from(u16::from_le_bytes([prefix[7], prefix[8]])))?;
    *rest = behind;
    Some((prefix[6], payload))
}

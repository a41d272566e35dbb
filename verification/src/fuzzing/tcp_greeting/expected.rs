//! What comes of some bytes as a handshake.

use snapshot_core::NodeId;

use crate::fuzzing::tcp::{ACCEPT, HELLO, REFUSAL, WELCOME, account, step, topology};

/// The node's side of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    /// Node 2, which dials node 1.
    Dials,
    /// Node 1.
    Listens,
}

/// What the node does.
#[derive(Debug)]
pub(super) struct Expected {
    /// What it says, in this order.
    pub(super) answers: Vec<Answer>,
    pub(super) connects: Option<NodeId>,
}

#[derive(Debug)]
pub(super) enum Answer {
    /// HELLO or WELCOME, word for word.
    Greeting(Vec<u8>),
    Accept,
    /// With this in its text.
    Refusal(&'static str),
}

/// Why it ends.
enum Stop {
    Refuse(&'static str),
    /// Cut short, or refused by the other side: there is nobody to tell.
    Silence,
}

const MAX_FRAME: u32 = 4096;
const PROTOCOL: &str = "does not speak this protocol";

impl Expected {
    pub(super) fn of(side: Side, mut bytes: &[u8]) -> Self {
        let mut answers = Vec::new();
        let connects = match side {
            Side::Listens => listen(&mut bytes, &mut answers),
            Side::Dials => dial(&mut bytes, &mut answers),
        };
        let connects = match connects {
            Ok(peer) => Some(peer),
            Err(Stop::Refuse(text)) => {
                answers.push(Answer::Refusal(text));
                None
            }
            Err(Stop::Silence) => None,
        };
        Self { answers, connects }
    }
}

fn listen(bytes: &mut &[u8], answers: &mut Vec<Answer>) -> Result<NodeId, Stop> {
    let hello = greeting(bytes, 1, HELLO)?;
    hello.check_group()?;
    hello.sure(hello.to == 1, "correct the address")?;
    hello.check_neighbour(1)?;
    // A larger id than 1 they all have.
    answers.push(greets(WELCOME, 1, hello.from));
    match message(bytes)? {
        // No session is offered, and so none is accepted.
        (_, ACCEPT, payload) if payload.len() == 16 && payload[..8] == [0; 8] => Ok(NodeId(hello.from)),
        _ => Err(Stop::Refuse(PROTOCOL)),
    }
}

fn dial(bytes: &mut &[u8], answers: &mut Vec<Answer>) -> Result<NodeId, Stop> {
    answers.push(greets(HELLO, 2, 1));
    let welcome = greeting(bytes, 2, WELCOME)?;
    welcome.check_group()?;
    welcome.sure(welcome.from == 1, "correct the address")?;
    welcome.sure(welcome.to == 2, PROTOCOL)?;
    welcome.check_neighbour(2)?;
    answers.push(Answer::Accept);
    Ok(NodeId(1))
}

fn greets(kind: u8, me: u64, to: u64) -> Answer {
    Answer::Greeting(step(1, kind, &account(me, to, topology(me).fingerprint(), MAX_FRAME, b"fuzz")))
}

/// What a HELLO or WELCOME says.
struct Greeting<'a> {
    from: u64,
    to: u64,
    fingerprint: u64,
    group: &'a [u8],
}

impl Greeting<'_> {
    fn sure(&self, holds: bool, text: &'static str) -> Result<(), Stop> {
        if holds { Ok(()) } else { Err(Stop::Refuse(text)) }
    }

    fn check_group(&self) -> Result<(), Stop> {
        self.sure(self.group == b"fuzz", "give both the same name")
    }

    fn check_neighbour(&self, me: u64) -> Result<(), Stop> {
        self.sure(self.from != me, "every node needs an id of its own")?;
        self.sure([1, 2, 3].contains(&self.from), "is no neighbour")?;
        self.sure(self.fingerprint == topology(me).fingerprint(), "different graphs")
    }
}

fn greeting<'a>(bytes: &mut &'a [u8], me: u64, wanted: u8) -> Result<Greeting<'a>, Stop> {
    let (version, kind, mut payload) = message(bytes)?;
    if version != 3 {
        return Err(Stop::Refuse("run the same release"));
    }
    let mut number = || {
        let (number, rest) = payload.split_first_chunk::<8>()?;
        payload = rest;
        Some(u64::from_le_bytes(*number))
    };
    let numbers = number().zip(number()).zip(number());
    let (((from, to), fingerprint), group) = numbers
        .zip(payload.split_at_checked(4 + 16 + 16).map(|(_, group)| group))
        .ok_or(Stop::Refuse(PROTOCOL))?;
    if std::str::from_utf8(group).is_err() || group.len() > 1024 {
        return Err(Stop::Refuse(PROTOCOL));
    }
    match kind {
        kind if kind == wanted => Ok(Greeting { from, to, fingerprint, group }),
        HELLO if from == me => Err(Stop::Refuse("every node needs an id of its own")),
        _ => Err(Stop::Refuse(PROTOCOL)),
    }
}

/// Version, kind and payload.
fn message<'a>(bytes: &mut &'a [u8]) -> Result<(u16, u8, &'a [u8]), Stop> {
    let (prefix, rest) = bytes.split_first_chunk::<9>().ok_or(Stop::Silence)?;
    if let [0x16, 0x03, _, _, _, 0x01, ..] = prefix {
        return Err(Stop::Refuse("wants an encrypted connection"));
    }
    let [magic @ .., a, b, kind, c, d] = *prefix;
    let length = usize::from(u16::from_le_bytes([c, d]));
    if magic != [0xf3, b'S', b'N', b'P'] || !(HELLO..=REFUSAL).contains(&kind) || length > 2048 {
        return Err(Stop::Refuse(PROTOCOL));
    }
    let (payload, rest) = rest.split_at_checked(length).ok_or(Stop::Silence)?;
    *bytes = rest;
    if kind == REFUSAL { Err(Stop::Silence) } else { Ok((u16::from_le_bytes([a, b]), kind, payload)) }
}

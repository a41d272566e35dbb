//! Who are you, which version, which group, and where were we: the messages before the first frame, and the rules. Pure; knows no
//! sockets.
//!
//! ```text
//! dialer                      listener
//!    | -------- HELLO -------->  |   who I am, whom I want, which group and graph, and which session I would resume
//!    | <-- WELCOME / REFUSAL --  |   the same of the listener, or why not; the session, and what of it has come
//!    | --- ACCEPT / REFUSAL -->  |   the session, and what of it has come; now both know, frames follow
//! ```
//!
//! A session is what goes on where a connection breaks: one stream of bytes each way. The listener draws its number. It is resumed
//! where the WELCOME holds the number that the HELLO has asked for, and each side then goes on from the byte that the other one wants;
//! with any other number a new one begins. 0 is a session that nobody will resume: of a node that does not, or for a first time.
//!
//! Every message is `[magic 4][u16 version][u8 kind][u16 length][payload]`, little-endian. That, the sender's id at the front
//! of HELLO and WELCOME, and REFUSAL as a whole stay the same in all versions, so that a disagreement about the version can
//! be told to the other side and be pinned on a node.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Buf, BufMut};
use snapshot_core::{Generation, Life, NodeId, Peer, Topology};
use thiserror::Error;

/// The version of the handshake and of the frames after it.
pub(crate) const VERSION: u16 = 3;
/// The bytes before a payload.
pub(crate) const PREFIX: usize = 9;
/// The longest name of a group.
pub(crate) const MAX_GROUP: usize = 1024;
/// The longest payload: read into memory before anything is known of the other side.
pub(crate) const MAX_PAYLOAD: usize = 2048;
/// Not a letter, so that it is neither the start of a text protocol nor of a frame within the limit.
const MAGIC: [u8; 4] = [0xf3, b'S', b'N', b'P'];
const MAX_REFUSAL: usize = 1024;

/// What a message of the handshake is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    Hello = 1,
    Welcome = 2,
    Accept = 3,
    Refusal = 4,
}

/// The start of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Prefix {
    pub(crate) version: u16,
    pub(crate) step: Step,
    pub(crate) len: usize,
}

/// One side's account of itself: the payload of HELLO and WELCOME.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Hello {
    pub(crate) from: NodeId,
    pub(crate) to: NodeId,
    pub(crate) fingerprint: u64,
    /// The longest frame that this side takes.
    pub(crate) max_frame: u32,
    /// Which process it is.
    pub(crate) life: Life,
    pub(crate) place: Place,
    pub(crate) group: String,
}

/// Where one side is in a session.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Place {
    /// The number of the session; 0 is none.
    pub(crate) session: u64,
    /// How many bytes of it have come to this side.
    pub(crate) received: u64,
}

/// Why two nodes do not connect. The text names both sides, so that it reads the same on both.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub(crate) enum Disagreement {
    #[error(
        "the other side does not speak this protocol ({0}): check the address, and that nothing else uses this port"
    )]
    Protocol(&'static str),
    #[error(
        "{me} speaks version {VERSION} and its counterpart version {theirs}: run the same release on both"
    )]
    Version { me: NodeId, theirs: u16 },
    #[error(
        "{me} is of group {ours:?} and {from} of group {theirs:?}: give both the same name with `Graph::named`"
    )]
    Group { me: NodeId, from: NodeId, ours: String, theirs: String },
    #[error("{from} wants {wanted} at this address, where {me} is: correct the address of {wanted}")]
    WrongNode { me: NodeId, from: NodeId, wanted: NodeId },
    #[error("two nodes say that they are {me}: every node needs an id of its own")]
    SameNode { me: NodeId },
    #[error("{from} is no neighbour of {me}: give both nodes the same `Graph`, with a link between them")]
    Stranger { me: NodeId, from: NodeId },
    #[error("{from} dialed {me}, but the node with the larger id dials: run the same release on both")]
    Direction { me: NodeId, from: NodeId },
    #[cfg(feature = "tls")]
    #[error("{0}")]
    Certificate(String),
    #[cfg(feature = "tls")]
    #[error(
        "{me} takes encrypted connections alone, and the other side does not speak TLS: give all nodes certificates with `.tls(..)`, or \
         none; or correct the address"
    )]
    Unencrypted { me: NodeId },
    #[error(
        "{me} has no certificates, and the other side wants an encrypted connection: give all nodes certificates with `.tls(..)`, or none"
    )]
    Encrypted { me: NodeId },
    #[cfg(feature = "tls")]
    #[error(
        "{me} speaks TLS 1.3 alone, and the other side something older: correct the address, or what stands between the two"
    )]
    OldTls { me: NodeId },
    #[error(
        "another process of {from} is connected with {me} and has taken its place in a newer generation than this one knows: \
         end this one, and see that only one process runs for each node"
    )]
    OlderLife { me: NodeId, from: NodeId },
    #[error("{me} and {from} know different graphs of group {group:?}: give both the same members and links")]
    Topology { me: NodeId, from: NodeId, group: String },
}

/// One node's side of every handshake.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) topology: Topology,
    pub(crate) max_frame: u32,
    pub(crate) own: OwnLife,
}

/// Which process this is.
#[derive(Clone, Debug)]
pub(crate) struct OwnLife {
    number: u64,
    /// The newest generation in which it has spoken; 0: none yet.
    generation: Arc<AtomicU64>,
}

impl OwnLife {
    pub(crate) fn new(number: u64) -> Self {
        Self { number, generation: Arc::default() }
    }

    /// A frame of this generation is on its way.
    pub(crate) fn speaks(&self, generation: Generation) {
        if self.generation.load(Ordering::Relaxed) < generation.0 {
            self.generation.fetch_max(generation.0, Ordering::Relaxed);
        }
    }

    fn now(&self) -> Life {
        Life::new(self.number).speaking(Generation(self.generation.load(Ordering::Relaxed)))
    }
}

impl Step {
    fn read(byte: u8) -> Option<Self> {
        [Self::Hello, Self::Welcome, Self::Accept, Self::Refusal].into_iter().find(|step| *step as u8 == byte)
    }
}

impl Prefix {
    pub(crate) fn read(bytes: &[u8; PREFIX]) -> Result<Self, Disagreement> {
        let mut rest = &bytes[..];
        let magic = rest.copy_to_bytes(MAGIC.len());
        if magic[..] != MAGIC {
            return Err(Disagreement::Protocol("its first bytes are not those of a handshake"));
        }
        let version = rest.get_u16_le();
        let step = Step::read(rest.get_u8()).ok_or(Disagreement::Protocol("a message of an unknown kind"))?;
        let len = usize::from(rest.get_u16_le());
        if len > MAX_PAYLOAD {
            return Err(Disagreement::Protocol("a message over the size limit"));
        }
        Ok(Self { version, step, len })
    }
}

impl Place {
    const LEN: usize = 16;

    fn write(self, out: &mut Vec<u8>) {
        out.put_u64_le(self.session);
        out.put_u64_le(self.received);
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let session = bytes.try_get_u64_le().ok()?;
        Some(Self { session, received: bytes.try_get_u64_le().ok()? })
    }

    /// The payload of an ACCEPT, which answers a WELCOME with `offered` in it.
    pub(crate) fn accepted(mut payload: &[u8], offered: u64) -> Result<Self, Disagreement> {
        match Self::read(&mut payload) {
            Some(place) if payload.is_empty() && [0, offered].contains(&place.session) => Ok(place),
            Some(_) => Err(Disagreement::Protocol("an answer for another session")),
            None => Err(Disagreement::Protocol("an answer that is cut short")),
        }
    }
}

impl Hello {
    /// # Errors
    ///
    /// With the version first: a payload of another version is not looked into, but for the sender's name.
    pub(crate) fn read(me: NodeId, version: u16, mut payload: &[u8]) -> Result<Self, Disagreement> {
        if version != VERSION {
            return Err(Disagreement::Version { me, theirs: version });
        }
        let short = |_| Disagreement::Protocol("a greeting that is cut short");
        let from = NodeId(payload.try_get_u64_le().map_err(short)?);
        let to = NodeId(payload.try_get_u64_le().map_err(short)?);
        let fingerprint = payload.try_get_u64_le().map_err(short)?;
        let max_frame = payload.try_get_u32_le().map_err(short)?;
        let (life, mut payload) = payload
            .split_at_checked(Life::LEN)
            .ok_or(Disagreement::Protocol("a greeting that is cut short"))?;
        let life =
            Life::from_bytes(life).map_err(|_| Disagreement::Protocol("a life that cannot be read"))?;
        let place =
            Place::read(&mut payload).ok_or(Disagreement::Protocol("a greeting that is cut short"))?;
        match std::str::from_utf8(payload) {
            Ok(group) if group.len() <= MAX_GROUP => {
                Ok(Self { from, to, fingerprint, max_frame, life, place, group: group.to_owned() })
            }
            Ok(_) => Err(Disagreement::Protocol("a group's name that is too long")),
            Err(_) => Err(Disagreement::Protocol("a group's name that is not UTF-8")),
        }
    }

    /// Who says that it is speaking, in any version.
    pub(crate) fn sender(mut payload: &[u8]) -> Option<NodeId> {
        payload.try_get_u64_le().ok().map(NodeId)
    }

    fn write(&self, step: Step) -> Vec<u8> {
        let mut payload = Vec::with_capacity(28 + Life::LEN + Place::LEN + self.group.len());
        payload.put_u64_le(self.from.0);
        payload.put_u64_le(self.to.0);
        payload.put_u64_le(self.fingerprint);
        payload.put_u32_le(self.max_frame);
        payload.put_slice(&self.life.to_bytes());
        self.place.write(&mut payload);
        payload.put_slice(self.group.as_bytes());
        message(step, &payload)
    }
}

impl Identity {
    /// `session` is the one to be resumed, or 0.
    pub(crate) fn hello(&self, to: NodeId, session: u64) -> Vec<u8> {
        self.account(to, Place { session, received: 0 }).write(Step::Hello)
    }

    pub(crate) fn welcome(&self, to: NodeId, place: Place) -> Vec<u8> {
        self.account(to, place).write(Step::Welcome)
    }

    /// The listener's rules. `standing` tells which process of a neighbour has the connection, if one stands.
    pub(crate) fn check_dialer(
        &self,
        hello: &Hello,
        standing: impl FnOnce(Peer) -> Option<Life>,
    ) -> Result<Peer, Disagreement> {
        let (me, from) = (self.topology.me(), hello.from);
        self.check_group(hello)?;
        if hello.to != me {
            return Err(Disagreement::WrongNode { me, from, wanted: hello.to });
        }
        let peer = self.check_neighbour(hello)?;
        if from < me {
            return Err(Disagreement::Direction { me, from });
        }
        if standing(peer).is_some_and(|standing| hello.life.gives_way_to(standing)) {
            return Err(Disagreement::OlderLife { me, from });
        }
        Ok(peer)
    }

    /// The dialer's rules.
    pub(crate) fn check_listener(&self, wanted: NodeId, welcome: &Hello) -> Result<Peer, Disagreement> {
        let me = self.topology.me();
        self.check_group(welcome)?;
        if welcome.from != wanted {
            return Err(Disagreement::WrongNode { me: welcome.from, from: me, wanted });
        }
        if welcome.to != me {
            return Err(Disagreement::Protocol("a greeting for somebody else"));
        }
        self.check_neighbour(welcome)
    }

    fn account(&self, to: NodeId, place: Place) -> Hello {
        Hello {
            from: self.topology.me(),
            to,
            fingerprint: self.topology.fingerprint(),
            max_frame: self.max_frame,
            life: self.own.now(),
            place,
            group: self.topology.group().to_owned(),
        }
    }

    fn check_group(&self, other: &Hello) -> Result<(), Disagreement> {
        let (me, ours) = (self.topology.me(), self.topology.group());
        if other.group == ours {
            return Ok(());
        }
        Err(Disagreement::Group { me, from: other.from, ours: ours.to_owned(), theirs: other.group.clone() })
    }

    fn check_neighbour(&self, other: &Hello) -> Result<Peer, Disagreement> {
        let (me, from) = (self.topology.me(), other.from);
        if from == me {
            return Err(Disagreement::SameNode { me });
        }
        let Some(peer) = self.topology.peer(from) else { return Err(Disagreement::Stranger { me, from }) };
        if other.fingerprint != self.topology.fingerprint() {
            return Err(Disagreement::Topology { me, from, group: self.topology.group().to_owned() });
        }
        Ok(peer)
    }
}

/// Whether this is the first byte of a greeting.
#[cfg(feature = "tls")]
pub(crate) fn is_greeting(first: u8) -> bool {
    first == MAGIC[0]
}

/// Whether these first bytes are those of somebody who wants TLS: a record with a handshake, of any version.
pub(crate) fn is_tls(bytes: &[u8; PREFIX]) -> bool {
    bytes.starts_with(&[0x16, 0x03]) && bytes[5] == 0x01
}

pub(crate) fn accept(place: Place) -> Vec<u8> {
    let mut payload = Vec::with_capacity(Place::LEN);
    place.write(&mut payload);
    message(Step::Accept, &payload)
}

pub(crate) fn refusal(why: &str) -> Vec<u8> {
    let end = (0..=why.len().min(MAX_REFUSAL)).rev().find(|end| why.is_char_boundary(*end)).unwrap_or(0);
    message(Step::Refusal, &why.as_bytes()[..end])
}

/// The reason in a refusal, fit to be logged whatever the other side wrote.
pub(crate) fn refusal_text(payload: &[u8]) -> String {
    let payload = &payload[..payload.len().min(MAX_REFUSAL)];
    let text = String::from_utf8_lossy(payload);
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

fn message(step: Step, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(PREFIX + payload.len());
    out.put_slice(&MAGIC);
    out.put_u16_le(VERSION);
    out.put_u8(step as u8);
    out.put_u16_le(payload.len() as u16);
    out.put_slice(payload);
    out
}

#[cfg(test)]
#[path = "handshake_tests.rs"]
mod tests;

//! A part, put together rightly or not.

use arbitrary::Arbitrary;
use snapshot_core::{PartRef, Turn};

use crate::fuzzing::forms::{Writer, chunk, part, part_checksum};
use crate::fuzzing::records::GROUP;

/// All that can be in a part.
#[derive(Arbitrary, Debug)]
pub(super) struct Forged {
    format: Format,
    header: Header,
    /// Where the header is cut into two chunks.
    cut: Option<u16>,
    state: Vec<Vec<u8>>,
    channels: Vec<Channel>,
    odd: Vec<OddChunk>,
    /// Added to the size in the last chunk.
    size_off: u8,
    /// Of the record that describes the part.
    turn_off: u8,
    bytes_off: u8,
    checksum_off: u32,
    /// Of these, `sender` is the receiver.
    outgoing: Vec<Channel>,
    in_version_1: bool,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Format {
    Right,
    Other(u8),
}

#[derive(Arbitrary, Debug)]
enum Header {
    Right {
        turn: u64,
        version: Version,
    },
    Of {
        kind: u8,
        generation: u8,
        sequence: u8,
        initiator: u8,
        node: u8,
        turn: u64,
        version: u64,
        group: Vec<u8>,
        members: Vec<u8>,
    },
    Raw(Vec<u8>),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Version {
    Newest,
    Older,
    Other(u32),
}

#[derive(Arbitrary, Debug)]
struct Channel {
    sender: u8,
    count_off: u8,
    messages: Vec<Vec<u8>>,
    /// Bytes of the messages in each chunk but the last; 0: all in one.
    piece: u8,
    /// Behind the messages.
    more: Vec<u8>,
}

#[derive(Arbitrary, Debug)]
struct OddChunk {
    at: u8,
    kind: u8,
    bytes: Vec<u8>,
    /// Longer than it looks.
    times: u16,
}

/// What is done to its bytes afterwards.
#[derive(Arbitrary, Debug)]
pub(super) enum Damage {
    Flip { at: u16, bits: u8 },
    Cut(u16),
    Append(Vec<u8>),
    Swap(u16, u16),
}

impl Forged {
    /// A part of `node` that is as it should be, with an empty channel from the other one.
    pub(super) fn of(node: u8, state: &[u8]) -> Self {
        let members = vec![1, 2];
        let sender = 3 - node;
        let channel = Channel { sender, count_off: 0, messages: vec![], piece: 0, more: vec![] };
        let group = GROUP.as_bytes().to_vec();
        Self {
            format: Format::Right,
            header: Header::Of {
                kind: 1,
                generation: 1,
                sequence: 1,
                initiator: 1,
                node,
                turn: 0,
                version: 3,
                group,
                members,
            },
            cut: None,
            state: vec![state.to_vec()],
            channels: vec![channel],
            odd: Vec::new(),
            size_off: 0,
            turn_off: 0,
            bytes_off: 0,
            checksum_off: 0,
            outgoing: Vec::new(),
            in_version_1: false,
        }
    }

    /// As it was written.
    pub(super) fn bytes(&self) -> Vec<u8> {
        part(self.version(), borrowed(&self.chunks()))
    }

    /// As its commit record describes it.
    pub(super) fn described(&self) -> PartRef {
        let chunks = self.chunks();
        let turn = match &self.header {
            Header::Right { turn, .. } | Header::Of { turn, .. } => *turn,
            Header::Raw(_) => 0,
        };
        PartRef {
            turn: Turn((turn % (1 << 61)) + u64::from(self.turn_off)),
            size: self.bytes().len() as u64 + u64::from(self.bytes_off),
            checksum: part_checksum(self.version(), borrowed(&chunks)) ^ self.checksum_off,
        }
    }

    fn version(&self) -> u8 {
        match self.format {
            Format::Right if self.in_version_1 => 1,
            Format::Right => 2,
            Format::Other(version) => version,
        }
    }

    fn chunks(&self) -> Vec<(u8, Vec<u8>)> {
        let header = self.header.bytes();
        let cut = self.cut.map_or(0, |at| usize::from(at) % (header.len() + 1));
        let mut chunks =
            vec![(chunk::HEADER, header[..cut].to_vec()), (chunk::HEADER, header[cut..].to_vec())];
        chunks.retain(|(_, bytes)| !bytes.is_empty());
        chunks.extend(self.state.iter().map(|bytes| (chunk::STATE, bytes.clone())));
        let recorded = self.channels.iter().map(|channel| (channel, chunk::CHANNEL, chunk::MESSAGES));
        let queued = self.outgoing.iter().map(|channel| (channel, chunk::OUTGOING, chunk::QUEUED));
        for (channel, kind, kind_of_messages) in recorded.chain(queued) {
            let mut messages = Writer::default();
            for message in &channel.messages {
                messages.bytes(message);
            }
            messages.raw(&channel.more);
            let count = channel.messages.len() as u64 + u64::from(channel.count_off);
            let about = Writer::default().uint(u64::from(channel.sender)).uint(count).0.clone();
            chunks.push((kind, about));
            let piece = if channel.piece == 0 { usize::MAX } else { usize::from(channel.piece) };
            chunks.extend(messages.0.chunks(piece).map(|bytes| (kind_of_messages, bytes.to_vec())));
        }
        for OddChunk { at, kind, bytes, times } in &self.odd {
            let at = usize::from(*at) % (chunks.len() + 1);
            chunks.insert(at, (*kind, bytes.repeat(1 + usize::from(*times % 200))));
        }
        let end = 9 + size_of::<u64>();
        let size = part(1, borrowed(&chunks)).len() + end + usize::from(self.size_off);
        chunks.push((chunk::END, (size as u64).to_le_bytes().to_vec()));
        chunks
    }
}

fn borrowed(chunks: &[(u8, Vec<u8>)]) -> impl Iterator<Item = (u8, &[u8])> {
    chunks.iter().map(|(kind, bytes)| (*kind, bytes.as_slice()))
}

impl Header {
    fn bytes(&self) -> Vec<u8> {
        let mut out = Writer::default();
        match self {
            Self::Right { turn, version } => {
                let version = match version {
                    Version::Newest => 3,
                    Version::Older => 2,
                    Version::Other(version) => *version,
                };
                out.byte(1).uint(1).uint(1).uint(1).uint(1).uint(turn % (1 << 61)).uint(u64::from(version));
                out.bytes(GROUP.as_bytes()).uint(2).uint(1).uint(2);
            }
            Self::Of { kind, generation, sequence, initiator, node, turn, version, group, members } => {
                out.byte(*kind);
                if *kind == 1 {
                    for number in [generation, sequence, initiator] {
                        out.uint(u64::from(*number));
                    }
                }
                out.uint(u64::from(*node)).uint(*turn).uint(*version).bytes(group).uint(members.len() as u64);
                for member in members {
                    out.uint(u64::from(*member));
                }
            }
            Self::Raw(bytes) => {
                out.raw(bytes);
            }
        }
        out.0
    }
}

impl Damage {
    pub(super) fn to(&self, bytes: &mut Vec<u8>) {
        let place = |at: u16| usize::from(at) % bytes.len().max(1);
        match self {
            Self::Flip { at, bits } => {
                let at = place(*at);
                bytes.get_mut(at).into_iter().for_each(|byte| *byte ^= bits);
            }
            Self::Cut(at) => bytes.truncate(place(*at)),
            Self::Append(more) => bytes.extend(more),
            Self::Swap(a, b) if !bytes.is_empty() => {
                let (a, b) = (place(*a), place(*b));
                bytes.swap(a, b);
            }
            Self::Swap(..) => {}
        }
    }
}

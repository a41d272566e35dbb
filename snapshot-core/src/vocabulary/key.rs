//! How objects in a store are named, and what becomes of creating one.

use std::fmt;

use crate::vocabulary::id::{Generation, NodeId, SnapshotId};

/// The name of an object in a store. Its text form is a path with `/`, made of `[a-z0-9-]`, that sorts as the numbers do.
///
/// ```
/// use snapshot_core::{Generation, Key, NodeId};
/// let key = Key::Seat { generation: Generation(2), node: NodeId(7) };
/// assert_eq!(key.to_string(), "seat/00000000000000000002/00000000000000000007");
/// assert_eq!(Key::parse(&key.to_string()), Some(key));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Key {
    /// The record at an index of the journal, counted from 1.
    Journal(u64),
    /// The right of one process to act for a node in a generation.
    Seat {
        /// The generation.
        generation: Generation,
        /// The node.
        node: NodeId,
    },
    /// The state that a node's application first started with.
    Initial(NodeId),
    /// One node's part of a snapshot.
    Part {
        /// The snapshot.
        snapshot: SnapshotId,
        /// The node.
        node: NodeId,
    },
    /// A copy of one node's part of a snapshot that failed a [check](crate::NodeBuilder::check). It stays until
    /// [`Archive::discard`](crate::Archive::discard) removes it.
    Evidence {
        /// The snapshot.
        snapshot: SnapshotId,
        /// The node.
        node: NodeId,
    },
}

impl Key {
    /// Reads the text form; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split('/');
        let key = match words.next()? {
            "journal" => Self::Journal(number(words.next()?)?),
            "seat" => Self::Seat {
                generation: Generation(number(words.next()?)?),
                node: NodeId(number(words.next()?)?),
            },
            "initial" => Self::Initial(NodeId(number(words.next()?)?)),
            kind @ ("part" | "evidence") => {
                let generation = Generation(number(words.next()?)?);
                let (sequence, initiator) = words.next()?.split_once('-')?;
                let snapshot = SnapshotId {
                    generation,
                    sequence: number(sequence)?,
                    initiator: NodeId(number(initiator)?),
                };
                let node = NodeId(number(words.next()?)?);
                if kind == "part" { Self::Part { snapshot, node } } else { Self::Evidence { snapshot, node } }
            }
            _ => return None,
        };
        words.next().is_none().then_some(key)
    }
}

fn number(text: &str) -> Option<u64> {
    let digits = text.len() == 20 && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Journal(index) => write!(f, "journal/{index:020}"),
            Self::Seat { generation, node } => write!(f, "seat/{:020}/{:020}", generation.0, node.0),
            Self::Initial(node) => write!(f, "initial/{:020}", node.0),
            Self::Part { snapshot: id, node } | Self::Evidence { snapshot: id, node } => {
                let kind = if matches!(self, Self::Part { .. }) { "part" } else { "evidence" };
                write!(
                    f,
                    "{kind}/{:020}/{:020}-{:020}/{:020}",
                    id.generation.0, id.sequence, id.initiator.0, node.0
                )
            }
        }
    }
}

/// What became of a `create`.
///
/// ```
/// use snapshot_core::{Created, Key, SnapshotStore};
/// use snapshot_store::MemoryStore;
/// # futures::executor::block_on(async {
/// let store = MemoryStore::new();
/// assert_eq!(store.create(Key::Journal(1), bytes::Bytes::from("one").into()).await?, Created::New);
/// assert_eq!(store.create(Key::Journal(1), bytes::Bytes::from("two").into()).await?, Created::Exists);
/// # Ok::<(), snapshot_core::StoreError>(()) }).unwrap();
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Created {
    /// The object was written by this call, and is durable.
    New,
    /// There was one already; it is as it was.
    Exists,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_key_is_read_back_from_its_text_and_no_other_text_is_a_key() {
        let snapshot = SnapshotId { generation: Generation(1), sequence: 2, initiator: NodeId(3) };
        let node = NodeId(u64::MAX);
        let seat = Key::Seat { generation: Generation(1), node };
        let (part, evidence) = (Key::Part { snapshot, node }, Key::Evidence { snapshot, node });
        for key in [Key::Journal(7), seat, Key::Initial(node), part, evidence] {
            let text = key.to_string();
            assert_eq!(Key::parse(&text), Some(key), "{text}");
            for other in [format!("{text}/"), format!("{text}0"), format!("/{text}"), text[1..].to_owned()] {
                assert_eq!(Key::parse(&other), None, "{other}");
            }
        }
    }
}

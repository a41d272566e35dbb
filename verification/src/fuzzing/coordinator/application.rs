//! What the honest nodes send to each other, and the state that they keep.

/// A message: its number in the channel between the honest nodes, and what it weighs in bytes.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Message {
    pub(super) number: u64,
    pub(super) weight: u16,
}

/// How many messages went to the other honest node, and came from it.
#[derive(Clone, Default, PartialEq, Eq, Hash, Debug)]
pub(super) struct State {
    pub(super) sent: u64,
    pub(super) received: u64,
}

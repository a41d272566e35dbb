//! What a node is doing, and how far it is with it.

/// What the node is doing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Phase {
    /// Not started.
    Idle,
    /// Not taking part: frames are held, nothing is handed out.
    Recovering(Why),
    /// Taking part in its generation.
    Running,
    /// Sending what it has, before it ends.
    Leaving,
    /// Ended.
    Over,
}

/// Why a node recovers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Why {
    /// It starts.
    Start,
    /// It has had news of a newer generation (F3).
    Newer,
    /// Its generation has lost frames (F2, F4).
    Gap,
}

/// Where a recovery stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Step {
    /// Looking for the end of the journal.
    Find,
    /// Reading record by record to its end.
    ReadOn,
    /// The end is known.
    Decide,
    /// The driver is installing the state.
    Restoring,
}

//! Chandy-Lamport recording: one state and one set of channel contents per running snapshot, independent of all others.
//!
//! The marker-receiving rule (Chandy & Lamport 1985, §3.2) with one difference: a message that has arrived but was not yet
//! taken by the application belongs to its channel, so a capture records all that is untaken. And with one more: a marker
//! overtakes what has not departed, so the sender records that (W6). Outbox, wire and untaken messages together are the
//! channel of the paper.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::vocabulary::id::{NodeId, Peer, SnapshotId, Turn};
use crate::vocabulary::part::LocalSnapshot;
use crate::vocabulary::topology::Topology;

/// All recordings of one node.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Recordings<M, C> {
    /// Boxed, since a map makes room for eleven at once.
    running: BTreeMap<SnapshotId, Box<Recording<M, C>>>,
    bytes: usize,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Recording<M, C> {
    state: C,
    pub(super) turn: Turn,
    /// By the sender's index; `None` where there is no channel from that neighbour.
    channels: Vec<Option<Recorded<M>>>,
    /// How many of them are open.
    open: usize,
    /// What the markers of this node have overtaken, by receiver.
    outgoing: BTreeMap<NodeId, Vec<M>>,
    pub(super) messages: u64,
    pub(super) bytes: usize,
    pub(super) begun: Duration,
    pub(super) capture: Duration,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Recorded<M> {
    sender: NodeId,
    open: bool,
    messages: Vec<M>,
}

/// What a marker did to a recording.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Closed {
    /// There is no recording of that snapshot.
    NotRunning,
    /// The channel was closed before.
    Twice,
    /// Other channels are still open.
    Waiting,
    /// It was the last one.
    Complete,
}

/// A capture, and how long it took.
///
/// ```
/// use snapshot_core::Capture;
/// let balances = vec![1, 2, 3];
/// let capture = Capture::new(balances.clone());
/// assert_eq!(capture.state, balances);
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Capture<C> {
    /// The captured state.
    pub state: C,
    /// How long the message loop stood still for it.
    pub took: Duration,
}

impl<C> Capture<C> {
    /// A capture that took no time worth telling.
    pub fn new(state: C) -> Self {
        Self { state, took: Duration::ZERO }
    }
}

impl<M, C> Recordings<M, C> {
    pub(super) fn new() -> Self {
        Self { running: BTreeMap::new(), bytes: 0 }
    }

    /// Begins: the state is captured, every incoming channel is open but the one that brought the marker.
    pub(super) fn begin(
        &mut self,
        id: SnapshotId,
        topology: &Topology,
        capture: Capture<C>,
        turn: Turn,
        now: Duration,
        brought_by: Option<Peer>,
    ) {
        let channels: Vec<_> = topology
            .peers()
            .map(|peer| {
                let open = Some(peer) != brought_by;
                topology.is_incoming(peer).then(|| Recorded { sender: peer.id(), open, messages: Vec::new() })
            })
            .collect();
        let open = channels.iter().flatten().filter(|channel: &&Recorded<M>| channel.open).count();
        let Capture { state, took } = capture;
        self.running.insert(
            id,
            Box::new(Recording {
                state,
                turn,
                channels,
                open,
                outgoing: BTreeMap::new(),
                messages: 0,
                bytes: 0,
                begun: now,
                capture: took,
            }),
        );
    }

    /// Adds an untaken message to a recording that has just begun, whether its channel is open or not.
    pub(super) fn add_untaken(&mut self, id: SnapshotId, from: Peer, message: M, bytes: usize) {
        if let Some(recording) = self.running.get_mut(&id) {
            self.bytes += recording.add(from, message, bytes);
        }
    }

    /// Adds a message that has not departed to a recording that has just begun.
    pub(super) fn add_undeparted(&mut self, id: SnapshotId, to: Peer, message: M, bytes: usize) {
        if let Some(recording) = self.running.get_mut(&id) {
            recording.outgoing.entry(to.id()).or_default().push(message);
            recording.messages += 1;
            recording.bytes += bytes;
            self.bytes += bytes;
        }
    }

    /// Adds a message that has just arrived to every recording in which its channel is open. Returns those that grew.
    pub(super) fn record(&mut self, from: Peer, bytes: usize, copy: impl Fn() -> M) {
        for recording in self.running.values_mut() {
            if recording.is_open(from) {
                self.bytes += recording.add(from, copy(), bytes);
            }
        }
    }

    /// The marker has come on this channel.
    pub(super) fn close(&mut self, id: SnapshotId, from: Peer) -> Closed {
        let Some(recording) = self.running.get_mut(&id) else { return Closed::NotRunning };
        let Some(Some(channel)) = recording.channels.get_mut(from.index()) else { return Closed::Twice };
        if !std::mem::replace(&mut channel.open, false) {
            return Closed::Twice;
        }
        recording.open -= 1;
        if recording.is_complete() { Closed::Complete } else { Closed::Waiting }
    }

    /// Whether every channel of this recording is closed.
    pub(super) fn is_complete(&self, id: SnapshotId) -> bool {
        self.running.get(&id).is_some_and(|recording| recording.is_complete())
    }

    /// Takes a recording out. Its bytes no longer count here.
    pub(super) fn remove(&mut self, id: SnapshotId) -> Option<Box<Recording<M, C>>> {
        let recording = self.running.remove(&id)?;
        self.bytes -= recording.bytes;
        Some(recording)
    }

    pub(super) fn ids(&self) -> Vec<SnapshotId> {
        self.running.keys().copied().collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (SnapshotId, &Recording<M, C>)> {
        self.running.iter().map(|(id, recording)| (*id, &**recording))
    }

    pub(super) fn len(&self) -> usize {
        self.running.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// What all running recordings weigh together.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The recording that holds most; the oldest where there are several.
    pub(super) fn heaviest(&self) -> Option<SnapshotId> {
        let heaviest = self.running.values().map(|r| r.bytes).max()?;
        self.running.iter().find(|(_, r)| r.bytes == heaviest).map(|(id, _)| *id)
    }
}

impl<M, C> Recording<M, C> {
    fn is_open(&self, from: Peer) -> bool {
        matches!(self.channels.get(from.index()), Some(Some(channel)) if channel.open)
    }

    fn is_complete(&self) -> bool {
        self.open == 0
    }

    /// The senders whose marker is missing.
    pub(super) fn open(&self) -> Vec<NodeId> {
        self.channels.iter().flatten().filter(|c| c.open).map(|c| c.sender).collect()
    }

    fn add(&mut self, from: Peer, message: M, bytes: usize) -> usize {
        let Some(Some(channel)) = self.channels.get_mut(from.index()) else { return 0 };
        channel.messages.push(message);
        self.messages += 1;
        self.bytes += bytes;
        bytes
    }

    pub(super) fn finish(self, snapshot: SnapshotId, topology: &Topology) -> LocalSnapshot<C, M> {
        LocalSnapshot {
            snapshot,
            node: topology.me(),
            turn: self.turn,
            members: topology.all(),
            state: self.state,
            channels: self.channels.into_iter().flatten().map(|c| (c.sender, c.messages)).collect(),
            outgoing: self.outgoing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::id::Generation;
    use crate::vocabulary::topology::Graph;

    fn setting() -> (Topology, [Peer; 2], SnapshotId, SnapshotId) {
        let topology = Graph::mesh([NodeId(1), NodeId(2), NodeId(3)]).at(NodeId(1)).unwrap();
        let peers = [2, 3].map(|id| topology.peer(NodeId(id)).unwrap());
        let id = |sequence| SnapshotId { generation: Generation(1), sequence, initiator: NodeId(2) };
        (topology, peers, id(1), id(2))
    }

    #[test]
    fn a_channel_is_recorded_until_its_marker_and_the_one_that_brought_the_first_marker_not_at_all() {
        // §3.2: "q records the state of c as the empty sequence"; else "the sequence of messages received along c after
        // q's state was recorded and before q received the marker along c".
        let (topology, [two, three], id, _) = setting();
        let mut recordings = Recordings::new();
        recordings.begin(id, &topology, Capture::new("state"), Turn(4), Duration::ZERO, Some(two));
        recordings.record(two, 1, || 20);
        recordings.record(three, 1, || 30);
        assert_eq!(recordings.close(id, three), Closed::Complete);
        let local = recordings.remove(id).unwrap().finish(id, &topology);
        assert_eq!((local.state, local.turn), ("state", Turn(4)));
        assert_eq!(local.channels, BTreeMap::from([(NodeId(2), vec![]), (NodeId(3), vec![30])]));
    }

    #[test]
    fn overlapping_recordings_each_get_the_message() {
        let (topology, [two, three], first, second) = setting();
        let mut recordings = Recordings::new();
        recordings.begin(first, &topology, Capture::new(()), Turn(1), Duration::ZERO, Some(two));
        recordings.begin(second, &topology, Capture::new(()), Turn(2), Duration::ZERO, None);
        recordings.record(three, 5, || 1);
        recordings.record(two, 5, || 2);
        assert_eq!(recordings.bytes(), 15);
        assert_eq!(recordings.heaviest(), Some(second));
        assert_eq!(recordings.remove(first).unwrap().messages, 1);
        assert_eq!(recordings.remove(second).unwrap().messages, 2);
        assert_eq!(recordings.bytes(), 0);
    }

    #[test]
    fn a_second_marker_on_a_channel_is_told_apart() {
        let (topology, [two, three], id, other) = setting();
        let mut recordings = Recordings::<u8, ()>::new();
        recordings.begin(id, &topology, Capture::new(()), Turn(1), Duration::ZERO, Some(two));
        assert_eq!(recordings.close(id, two), Closed::Twice);
        assert_eq!(recordings.close(other, two), Closed::NotRunning);
        assert_eq!(recordings.close(id, three), Closed::Complete);
    }
}

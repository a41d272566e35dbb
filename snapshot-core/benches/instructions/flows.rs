//! The ways of a message through the rules, and through whole nodes, while no snapshot runs.

use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use snapshot_core::{
    Bound, Capture, Event, Frames, Graph, Inbox, NodeId, Peer, Settings, SnapshotCoordinator, SnapshotNode,
    Stamp,
};
use snapshot_transport_mem::MemNetwork;

/// So many messages are a batch.
pub(crate) const BATCH: u64 = 256;

const NOW: Duration = Duration::from_secs(1);

type Rules = SnapshotCoordinator<u64, u64>;

/// Two nodes that have greeted each other, and let each other send without end.
fn greeted() -> [(Rules, Peer); 2] {
    let graph = Graph::mesh([NodeId(1), NodeId(2)]);
    let inbox = Bound::new(1 << 40, 1 << 40);
    let mut both = [1, 2].map(|id| {
        let topology = graph.at(NodeId(id)).expect("a member");
        let peer = topology.peers().next().expect("a neighbour");
        let mut rules = Rules::new(topology, Settings { inbox, ..Settings::default() }, id);
        rules.start(NOW);
        (rules, peer)
    });
    for _ in 0..2 {
        for index in [0, 1] {
            let (rules, to) = &mut both[index];
            let (mut frames, to) = (Frames::new(), *to);
            if rules.take_outgoing(to, &mut frames) {
                rules.handle_sent(NOW, to);
            }
            let mut inbox = Inbox::with_capacity(frames.len());
            let (other, from) = &mut both[1 - index];
            inbox.append(*from, &mut frames);
            while other.handle_incoming(NOW, &mut inbox, &mut || Capture::new(0)) {}
            while other.poll_output().is_some() {}
        }
    }
    both
}

/// Messages that are sent, each in a turn of its own, and leave in batches.
pub(crate) struct Out {
    rules: Rules,
    to: Peer,
    frames: Frames<u64>,
}

impl Out {
    pub(crate) fn new() -> Self {
        let [(rules, to), _] = greeted();
        Self { rules, to, frames: Frames::new() }
    }

    pub(crate) fn batch(&mut self) {
        for message in 0..BATCH {
            self.rules.send(self.to, black_box(message)).expect("there is room");
            self.rules.end_turn().expect("there is room");
        }
        assert!(self.rules.take_outgoing(self.to, &mut self.frames));
        assert_eq!(self.frames.len() as u64, BATCH);
        self.frames.clear();
        self.rules.handle_sent(NOW, self.to);
    }
}

/// Messages that arrive in batches, and are taken one by one, each in a turn of its own.
pub(crate) struct In {
    rules: Rules,
    from: Peer,
    inbox: Inbox<u64>,
    /// The stamp of the next message, and by how much the one after it is more.
    next: Stamp,
    step: u64,
    frames: Frames<u64>,
}

impl In {
    pub(crate) fn new() -> Self {
        let [(mut sender, to), (rules, from)] = greeted();
        let mut frames = Frames::new();
        for message in 0..2 {
            sender.send(to, message).expect("there is room");
        }
        assert!(sender.take_outgoing(to, &mut frames));
        let (run, _) = frames.front_run().expect("two messages");
        let inbox = Inbox::with_capacity(BATCH as usize);
        Self { rules, from, inbox, next: run.first(), step: run.step(), frames }
    }

    pub(crate) fn batch(&mut self) {
        let (count, ()) = self.inbox.push_run(self.from, self.next, self.step, |messages, lengths| {
            messages.extend(0..BATCH);
            lengths.resize(lengths.len() + BATCH as usize, 8);
        });
        self.next = Stamp::new(self.next.generation(), self.next.number() + self.step * count as u64);
        while self.rules.handle_incoming(NOW, &mut self.inbox, &mut || Capture::new(0)) {}
        for _ in 0..BATCH {
            black_box(self.rules.take_message().expect("it has arrived"));
            self.rules.end_turn().expect("there is room");
        }
        // What it lets its neighbour send.
        self.frames.clear();
        if self.rules.take_outgoing(self.from, &mut self.frames) {
            self.rules.handle_sent(NOW, self.from);
        }
        while self.rules.poll_output().is_some() {}
    }
}

/// Messages from one node to another, over a network in memory.
pub(crate) struct Through {
    sender: SnapshotNode<(), u64>,
    receiver: SnapshotNode<(), u64>,
    to: Peer,
    _network: MemNetwork<u64>,
}

impl Through {
    pub(crate) fn new() -> Self {
        let (network, [one, two]) = MemNetwork::<u64>::mesh::<2>();
        let [mut sender, mut receiver] = [one, two]
            .map(|transport| run(SnapshotNode::builder(transport).start(&mut ())).expect("it starts"));
        let to = sender.topology().peers().next().expect("a neighbour");
        // They greet each other.
        sender.send(to, 0).expect("there is room");
        for _ in 0..3 {
            look(&mut sender);
            look(&mut receiver);
        }
        Self { sender, receiver, to, _network: network }
    }

    pub(crate) fn batch(&mut self) {
        for message in 0..BATCH {
            self.sender.send(self.to, black_box(message)).expect("there is room");
        }
        look(&mut self.sender);
        while let Some(Event::Message { message, .. }) = look(&mut self.receiver) {
            black_box(message);
        }
    }
}

/// What there is, if there is anything.
fn look(node: &mut SnapshotNode<(), u64>) -> Option<Event<u64, ()>> {
    match pin!(node.next(&mut ())).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(event) => Some(event.expect("it runs")),
        Poll::Pending => None,
    }
}

/// Runs a future that never has to wait for anything outside itself.
fn run<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return output;
        }
    }
}

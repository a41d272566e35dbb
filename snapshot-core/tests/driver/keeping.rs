//! A survivor that still holds what it has captured reads nothing when the group goes back.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use snapshot_core::{Event, NodeBuilder, NodeId, Postcard, SnapshotNode, StateProvider};
use snapshot_store::MemoryStore;
use snapshot_transport_mem::MemNetwork;

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);

/// Counts how often one was read, and never gives a handle on what it captured where `KEPT` is false.
struct Count<const KEPT: bool> {
    value: Arc<u64>,
}

static READ: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];

fn reads(kept: bool) -> &'static AtomicUsize {
    &READ[usize::from(kept)]
}

impl<const KEPT: bool> StateProvider for Count<KEPT> {
    type Captured = Arc<u64>;

    fn capture(&mut self) -> Arc<u64> {
        Arc::clone(&self.value)
    }

    fn install(&mut self, captured: Arc<u64>) {
        self.value = captured;
    }

    fn keep(captured: &Arc<u64>) -> Option<Arc<u64>> {
        KEPT.then(|| Arc::clone(captured))
    }

    fn encode(captured: &Arc<u64>, out: &mut dyn io::Write) -> io::Result<()> {
        out.write_all(&captured.to_le_bytes())
    }

    fn decode(_: u32, input: &mut dyn io::Read) -> io::Result<Arc<u64>> {
        reads(KEPT).fetch_add(1, Ordering::Relaxed);
        let mut bytes = [0; 8];
        input.read_exact(&mut bytes)?;
        Ok(Arc::new(u64::from_le_bytes(bytes)))
    }
}

/// How often states were read while the group went back, of which A has captured the snapshot and B is a new process.
fn reads_of_a_rollback<const KEPT: bool>(
    tune: fn(NodeBuilder<Count<KEPT>, u64>) -> NodeBuilder<Count<KEPT>, u64>,
) -> usize {
    let network = MemNetwork::<u64>::mesh::<2>().0;
    let store = MemoryStore::new();
    let seed = AtomicUsize::new(1);
    let start = |id: NodeId, state: &mut Count<KEPT>| {
        let seed = seed.fetch_add(1, Ordering::Relaxed) as u64;
        let builder =
            SnapshotNode::builder(network.transport(id)).store(store.clone()).codec(Postcard).seed(seed);
        network.run(tune(builder).start(state)).expect("the store answers").expect("it starts")
    };
    let mut states = [7, 8].map(|value| Count::<KEPT> { value: Arc::new(value) });
    let mut nodes: Vec<SnapshotNode<Count<KEPT>, u64>> =
        [A, B].into_iter().zip(&mut states).map(|(id, state)| start(id, state)).collect();
    let until = |nodes: &mut Vec<SnapshotNode<Count<KEPT>, u64>>,
                 states: &mut [Count<KEPT>; 2],
                 is_it: fn(&Event<u64, Arc<u64>>) -> bool| {
        let mut seen = [false; 2];
        let run = poll_fn(|cx| {
            for ((node, state), seen) in nodes.iter_mut().zip(states.iter_mut()).zip(&mut seen) {
                while let Poll::Ready(event) = pin!(node.next(state)).poll(cx) {
                    *seen |= is_it(&event.expect("it runs"));
                }
            }
            if seen == [true; 2] { Poll::Ready(()) } else { Poll::Pending }
        });
        network.run(run).expect("it comes");
    };
    nodes[0].snapshot();
    until(&mut nodes, &mut states, |event| matches!(event, Event::Committed { .. }));
    states[0].value = Arc::new(9);
    network.crash(B);
    nodes.pop();
    network.advance(std::time::Duration::from_nanos(1));
    let before = reads(KEPT).load(Ordering::Relaxed);
    nodes.push(start(B, &mut states[1]));
    until(&mut nodes, &mut states, |event| matches!(event, Event::RolledBack { .. }));
    assert_eq!(*states[0].value, 7, "A is back at what it has captured");
    reads(KEPT).load(Ordering::Relaxed) - before
}

#[test]
fn a_survivor_that_holds_its_capture_reads_nothing() {
    assert_eq!(reads_of_a_rollback::<true>(|builder| builder), 1, "the new process alone");
    assert_eq!(reads_of_a_rollback::<true>(|builder| builder.keep_captures(false)), 2);
}

#[test]
fn a_survivor_holds_no_capture_to_which_nobody_goes_back() {
    let (network, transports) = MemNetwork::<u64>::mesh::<2>();
    let store = MemoryStore::new();
    let mut states = [7, 8].map(|value| Count::<true> { value: Arc::new(value) });
    let mut nodes: Vec<SnapshotNode<Count<true>, u64>> = Vec::new();
    for ((seed, transport), state) in (1..).zip(transports).zip(&mut states) {
        let builder = SnapshotNode::builder(transport).store(store.clone()).codec(Postcard).seed(seed);
        nodes.push(network.run(builder.start(state)).expect("the store answers").expect("it starts"));
    }
    let until =
        |nodes: &mut Vec<SnapshotNode<_, _>>, states: &mut [_; 2], is_it: fn(&Event<_, _>) -> bool| {
            let mut seen = false;
            let run = poll_fn(|cx| {
                for (node, state) in nodes.iter_mut().zip(states.iter_mut()) {
                    while let Poll::Ready(event) = pin!(node.next(state)).poll(cx) {
                        seen |= is_it(&event.expect("it runs"));
                    }
                }
                if seen { Poll::Ready(()) } else { Poll::Pending }
            });
            network.run(run).expect("it comes");
            network.run(async {}).expect("at once");
        };
    let mut captured = Vec::new();
    for commits in [true, true, false] {
        captured.push(Arc::downgrade(&states[0].value));
        if commits {
            nodes[0].snapshot();
            until(&mut nodes, &mut states, |event| matches!(event, Event::Committed { report: Some(_), .. }));
        } else {
            // A's part is written, and B's receipt does not come.
            network.hold(B, A);
            network.let_pass(B, A, 1);
            nodes[0].snapshot();
            until(&mut nodes, &mut states, |event| matches!(event, Event::PartDurable { .. }));
            let handle = nodes[0].handle();
            handle.abort(handle.running()[0].snapshot);
            until(&mut nodes, &mut states, |event| matches!(event, Event::SnapshotAborted { .. }));
        }
        states[0].value = Arc::new(9);
    }
    let held: Vec<_> = captured.iter().map(|captured| captured.strong_count()).collect();
    assert_eq!(held, [0, 1, 0], "the last commit's alone");
}

#[test]
fn a_survivor_whose_state_gives_no_handle_reads_its_part() {
    assert_eq!(reads_of_a_rollback::<false>(|builder| builder), 2);
}

//! A node with a large state, whose loop never rests: how long it stands still shows in the time from one turn to the next.

use std::hint::black_box;
use std::io::{self, Read, Write};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use snapshot_core::{Event, RawBytes, Retention, SnapshotHandle, SnapshotNode, StateProvider};
use snapshot_store::DirectoryStore;
use tokio::runtime::Handle;

use super::connect::pair;
use crate::process::SNAPSHOT;
use crate::setup::{End, Setup};
use crate::tally::{Tally, say};

/// What the sender sends: each changes the state in one place.
const MESSAGES: usize = 100;
const EVERY: Duration = Duration::from_millis(1);
const PIECE: usize = 64 << 10;

/// A state that is bytes.
pub(super) trait Block: StateProvider + Send + 'static {
    fn of(size: usize) -> Self;

    /// Changes the byte there.
    fn touch(&mut self, at: usize);
}

pub(super) async fn run<B: Block>(setup: Setup, tally: Tally, orders: Receiver<String>) {
    let store = DirectoryStore::open(setup.folder.expect("it has a store")).expect("a folder");
    let transport = pair(&setup.end, RawBytes).await;
    let retention = Retention::Last(NonZeroU32::MIN);
    match setup.end {
        End::Send(_) => {
            let builder = SnapshotNode::builder(transport).store(store).retention(retention);
            let node = builder.start(&mut ()).await.expect("it starts");
            send(node, Bytes::from(vec![7; setup.size])).await;
        }
        _ => {
            // It grows after the start, so that the initial state is not stored at its full size.
            let mut state = B::of(0);
            let builder = SnapshotNode::builder(transport).store(store).retention(retention);
            let node = builder.start(&mut state).await.expect("it starts");
            state = B::of(setup.state);
            let handle = node.handle();
            let runtime = Handle::current();
            thread::spawn(move || take_snapshots(&orders, &handle, &runtime));
            receive(node, state, setup.state, &tally).await;
        }
    }
}

/// When the parent says so; and says when they are committed.
fn take_snapshots(orders: &Receiver<String>, handle: &SnapshotHandle, runtime: &Handle) {
    for order in orders {
        assert_eq!(order, SNAPSHOT);
        let begun = Instant::now();
        let report = runtime.block_on(handle.snapshot()).expect("it is committed");
        let durable = begun.elapsed().as_nanos();
        let capture = report.parts.iter().map(|part| part.capture).max().unwrap_or_default();
        say(&format!("{SNAPSHOT} {durable} {}", capture.as_nanos()));
    }
}

async fn send(mut node: SnapshotNode<(), Bytes>, message: Bytes) {
    let to = node.topology().peers().next().expect("a neighbour");
    let (mut ticks, mut state) = (tokio::time::interval(EVERY), ());
    loop {
        tokio::select! {
            event = node.next(&mut state) => drop(event.expect("it runs")),
            _ = ticks.tick(), if node.has_room() => {
                for _ in 0..MESSAGES {
                    node.send(to, message.clone()).expect("there is room");
                }
            }
        }
    }
}

async fn receive<B: Block>(mut node: SnapshotNode<B, Bytes>, mut state: B, size: usize, tally: &Tally) {
    let (mut last, mut place) = (Instant::now(), 0_usize);
    loop {
        let event = tokio::select! {
            event = node.next(&mut state) => Some(event.expect("it runs")),
            () = tokio::task::yield_now() => None,
        };
        if let Some(Event::Message { message, .. }) = event {
            black_box(message);
            // All over the state, and never in order.
            place = place.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state.touch((place >> 20) % size);
            tally.one();
        }
        let now = Instant::now();
        tally.took(now - last);
        last = now;
    }
}

/// Copied for each capture: the least work for who writes it, and the most for who waits.
pub(super) struct Copied(Vec<u8>);

impl Block for Copied {
    fn of(size: usize) -> Self {
        Self(vec![1; size])
    }

    fn touch(&mut self, at: usize) {
        self.0[at] = self.0[at].wrapping_add(1);
    }
}

impl StateProvider for Copied {
    type Captured = Vec<u8>;

    fn capture(&mut self) -> Vec<u8> {
        self.0.clone()
    }

    fn install(&mut self, captured: Vec<u8>) {
        self.0 = captured;
    }

    fn encode(captured: &Vec<u8>, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(captured)
    }

    fn decode(_: u32, input: &mut dyn Read) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        input.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// In pieces that captures share: one is copied when it is written to while a capture has hold of it.
pub(super) struct Pieces(Vec<Arc<Vec<u8>>>);

impl Block for Pieces {
    fn of(size: usize) -> Self {
        Self((0..size.div_ceil(PIECE)).map(|_| Arc::new(vec![1; PIECE])).collect())
    }

    fn touch(&mut self, at: usize) {
        let byte = &mut Arc::make_mut(&mut self.0[at / PIECE])[at % PIECE];
        *byte = byte.wrapping_add(1);
    }
}

impl StateProvider for Pieces {
    type Captured = Vec<Arc<Vec<u8>>>;

    fn capture(&mut self) -> Self::Captured {
        self.0.clone()
    }

    fn install(&mut self, captured: Self::Captured) {
        self.0 = captured;
    }

    fn encode(captured: &Self::Captured, out: &mut dyn Write) -> io::Result<()> {
        captured.iter().try_for_each(|piece| out.write_all(piece))
    }

    fn decode(_: u32, input: &mut dyn Read) -> io::Result<Self::Captured> {
        let mut bytes = Vec::new();
        input.read_to_end(&mut bytes)?;
        Ok(bytes.chunks(PIECE).map(|piece| Arc::new(piece.to_vec())).collect())
    }
}

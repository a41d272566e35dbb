//! Room for new work: a loop that is guarded by it goes on by itself, though nothing but its own messages moves.

use std::time::Duration;

use snapshot_core::{Bound, Event, Graph, NodeId, SnapshotNode};
use tokio::sync::mpsc;

use super::support::*;

const ORDERS: u64 = 1000;

/// So little that the room is missed again and again.
fn narrow(builder: Builder) -> Builder {
    let few = Bound::new(8, 1 << 20);
    builder.inbox(Bound::new(16, 1 << 20)).window_floor(few).outbox(few, Bound::new(64, 2 << 20))
}

/// Orders that are all there from the beginning, and the queue, which stays open.
fn orders() -> (mpsc::Sender<u64>, mpsc::Receiver<u64>) {
    let (queue, orders) = mpsc::channel(ORDERS as usize);
    (1..=ORDERS).for_each(|order| queue.try_send(order).expect("there is room"));
    (queue, orders)
}

/// Room that was asked for and not there, by neighbour, and how often it was told of since.
#[derive(Default)]
struct Misses {
    of: Vec<NodeId>,
    told: u64,
}

impl Misses {
    /// A guard.
    fn ask(&mut self, has_room: bool, whose: NodeId) -> bool {
        if !has_room && !self.of.contains(&whose) {
            self.of.push(whose);
        }
        has_room
    }

    /// What was missed is there again, or some of it.
    fn hear(&mut self, has_room: impl Fn(NodeId) -> bool) {
        let before = self.of.len();
        self.of.retain(|whose| !has_room(*whose));
        assert!(self.of.len() < before, "told once for each miss, and when there is room");
        self.told += 1;
    }
}

/// An application that takes orders while there is room, in the shape of the README's first program. The neighbour comes late.
fn one_way(orders_first: bool) {
    let network = network(&Graph::mesh([A, B]));
    let (clock, (_queue, mut orders)) = (network.clock(), orders());
    let (mut book, mut late) = (Book::default(), Book::default());
    let mut node = network.run(narrow(builder(network.transport(A))).start(&mut book)).unwrap().unwrap();
    let mut misses = Misses::default();
    let sends = async {
        loop {
            let has_room = misses.ask(node.has_room(), A);
            let (event, order) = if orders_first {
                tokio::select! {
                    biased;
                    Some(order) = orders.recv(), if has_room => (None, Some(order)),
                    event = node.next(&mut book) => (Some(event.unwrap()), None),
                }
            } else {
                tokio::select! {
                    biased;
                    event = node.next(&mut book) => (Some(event.unwrap()), None),
                    Some(order) = orders.recv(), if has_room => (None, Some(order)),
                }
            };
            if order.is_some() {
                let parcel = book.send(B, 1);
                node.send(B, parcel).expect("there is room");
            }
            match event {
                Some(Event::Room) => misses.hear(|_| node.has_room()),
                Some(Event::SnapshotBegun { .. }) => panic!("there is no snapshot"),
                _ => {}
            }
        }
    };
    let receives = async {
        clock.sleep_until(Duration::from_secs(2)).await;
        let mut node: Node = narrow(builder(network.transport(B))).start(&mut late).await.unwrap();
        while late.taken.get(&A) != Some(&ORDERS) {
            if let Event::Message { from, message } = node.next(&mut late).await.unwrap() {
                late.take(from.id(), message);
            }
        }
        // Nothing more comes of it.
        clock.sleep_until(clock.now() + Duration::from_secs(1)).await;
    };
    let both = async {
        tokio::select! { () = sends => {}, () = receives => {} }
    };
    network.run(both).unwrap_or_else(|stuck| panic!("{stuck}"));
    assert!(misses.told > ORDERS / 64 && misses.told <= ORDERS / 8, "{}", misses.told);
}

#[test]
fn a_loop_that_is_guarded_by_room_sends_all_to_a_neighbour_that_comes_late_without_any_snapshot() {
    one_way(false);
    one_way(true);
}

#[test]
fn a_neighbour_that_is_not_there_takes_up_no_room_for_another() {
    let network = network(&Graph::mesh([A, B, C]));
    let clock = network.clock();
    let ((_for_b, mut to_b), (_for_c, mut to_c)) = (orders(), orders());
    let [mut book, mut late, mut quick] = [(); 3].map(|()| Book::default());
    let mut node: Node =
        network.run(narrow(builder(network.transport(A))).start(&mut book)).unwrap().unwrap();
    let mut other: Node =
        network.run(narrow(builder(network.transport(C))).start(&mut quick)).unwrap().unwrap();
    let mut misses = Misses::default();
    let sends = async {
        loop {
            let for_b = misses.ask(node.has_room_for(B), B);
            let for_c = misses.ask(node.has_room_for(C), C);
            let to = tokio::select! {
                biased;
                Some(_) = to_b.recv(), if for_b => B,
                Some(_) = to_c.recv(), if for_c => C,
                event = node.next(&mut book) => {
                    if matches!(event.unwrap(), Event::Room) {
                        misses.hear(|whose| node.has_room_for(whose));
                    }
                    continue;
                }
            };
            let parcel = book.send(to, 1);
            node.send(to, parcel).expect("there is room");
        }
    };
    let receives = async {
        while quick.taken.get(&A) != Some(&ORDERS) {
            if let Event::Message { from, message } = other.next(&mut quick).await.unwrap() {
                quick.take(from.id(), message);
            }
        }
        assert_eq!(clock.now(), Duration::ZERO, "nobody waited for the one that is not there");
        let mut node: Node = narrow(builder(network.transport(B))).start(&mut late).await.unwrap();
        while late.taken.get(&A) != Some(&ORDERS) {
            if let Event::Message { from, message } = node.next(&mut late).await.unwrap() {
                late.take(from.id(), message);
            }
        }
    };
    let both = async {
        tokio::select! { () = sends => {}, () = receives => {} }
    };
    network.run(both).unwrap_or_else(|stuck| panic!("{stuck}"));
}

#[test]
fn room_that_nobody_has_missed_is_not_told_of() {
    let network = network(&Graph::mesh([A, B]));
    let start = |id| {
        let mut book = Book::default();
        let node = network.run(narrow(builder(network.transport(id))).start(&mut book)).unwrap().unwrap();
        (node, book)
    };
    let ((mut a, mut of_a), (mut b, mut of_b)): ((SnapshotNode<_, _>, _), (SnapshotNode<_, _>, _)) =
        (start(A), start(B));
    for _ in 0..50 {
        let parcel = of_a.send(B, 1);
        a.send(B, parcel).unwrap();
    }
    let both = async {
        tokio::select! {
            () = async { while of_b.taken.get(&A) != Some(&50) {
                if let Event::Message { from, message } = b.next(&mut of_b).await.unwrap() { of_b.take(from.id(), message); }
            } } => {}
            () = async { loop {
                let event = a.next(&mut of_a).await.unwrap();
                assert!(!matches!(event, Event::Room), "nobody has asked");
            } } => {}
        }
    };
    network.run(both).unwrap_or_else(|stuck| panic!("{stuck}"));
}

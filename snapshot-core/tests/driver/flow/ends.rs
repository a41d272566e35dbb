//! Ends that wait for each other, and ends that wait for nobody.

use std::future::{Future, pending};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join;
use snapshot_core::{
    Bound, Content, Created, Event, Farewell, Flushed, Generation, Graph, Key, NodeId, Sink, SnapshotStore,
    StoreError, async_trait,
};
use snapshot_store::MemoryStore;
use snapshot_transport_mem::MemNetwork;

use super::slow_store::Slow;
use super::support::*;

/// Four messages depart before one is taken.
const WINDOW: usize = 4;

fn narrow(builder: Builder) -> Builder {
    let window = Bound::new(WINDOW, 1 << 20);
    builder.inbox(window).window_floor(window).outbox(Bound::new(8, 1 << 20), Bound::new(1000, 2 << 20))
}

/// An outbox of more than that holds up its node.
fn impatient(builder: Builder) -> Builder {
    narrow(builder).outbox(Bound::new(8, 1 << 20), Bound::new(16, 2 << 20))
}

struct App {
    node: Node,
    book: Book,
}

impl App {
    fn send(&mut self, to: NodeId, parcels: u64) {
        for _ in 0..parcels {
            let parcel = self.book.send(to, 1);
            self.node.send(to, parcel).expect("it is below the hard bound");
        }
    }

    /// Takes until so many of its neighbour are there, and then goes on for ever.
    async fn take(&mut self, from: NodeId, parcels: u64) {
        while self.book.taken.get(&from).copied().unwrap_or(0) < parcels {
            self.step().await;
        }
    }

    async fn step(&mut self) {
        if let Event::Message { from, message } = self.node.next(&mut self.book).await.expect("it runs") {
            self.book.take(from.id(), message);
        }
    }

    async fn flush(&mut self) -> Flushed {
        self.node.flush(&mut self.book).await.expect("it runs")
    }
}

fn pair() -> (MemNetwork<Parcel>, App, App) {
    pair_of(narrow)
}

fn pair_of(tune: fn(Builder) -> Builder) -> (MemNetwork<Parcel>, App, App) {
    let network = network(&Graph::mesh([A, B]));
    let [a, b] = [A, B].map(|id| {
        let mut book = Book::default();
        let node = network.run(tune(builder(network.transport(id))).start(&mut book)).unwrap().unwrap();
        App { node, book }
    });
    (network, a, b)
}

fn run<F: Future>(network: &MemNetwork<Parcel>, future: F) -> F::Output {
    network.run(future).unwrap_or_else(|stuck| panic!("{stuck}"))
}

#[test]
fn two_nodes_that_flush_to_each_other_with_full_windows_come_back_and_say_who_takes_no_more() {
    let (network, mut a, mut b) = pair();
    let mut rounds = 0;
    for _ in 0..3 {
        a.send(B, 50);
        b.send(A, 50);
        loop {
            let flushed = run(&network, join(a.flush(), b.flush()));
            match flushed {
                (Flushed::All, Flushed::All) => break,
                (of_a, of_b) => {
                    let waits = |peer| Flushed::Waiting { peers: vec![peer] };
                    assert!(
                        [waits(B), Flushed::All].contains(&of_a) && [waits(A), Flushed::All].contains(&of_b)
                    );
                }
            }
            // Each takes what there is.
            run(&network, async {
                a.step().await;
                b.step().await;
            });
            rounds += 1;
        }
    }
    assert!(rounds > 100, "{rounds}");
    assert_eq!(network.now(), Duration::ZERO, "nobody waits for a time");
    run(&network, join(a.take(B, 150), b.take(A, 150)));
}

#[test]
fn a_flush_to_a_neighbour_that_takes_its_time_ends_when_that_has_taken_enough() {
    let (network, mut a, mut b) = pair();
    let clock = network.clock();
    a.send(B, 20);
    let slow = async {
        loop {
            b.step().await;
            clock.sleep_until(clock.now() + Duration::from_secs(1)).await;
        }
    };
    let flushed = run(&network, async {
        tokio::select! { flushed = a.flush() => flushed, () = slow => unreachable!("it goes on") }
    });
    assert_eq!(flushed, Flushed::All);
    let taken = b.book.taken[&A] as usize;
    assert!((20 - 2 * WINDOW..=20 - WINDOW + 1).contains(&taken), "{taken}");
}

#[test]
fn a_flush_reads_the_grant_that_has_come_though_a_message_waits_here() {
    let (network, mut a, mut b) = pair();
    run(&network, join(a.flush(), b.flush()));
    b.send(A, 1);
    assert_eq!(run(&network, b.flush()), Flushed::All);
    a.send(B, WINDOW as u64 + 2);
    assert_eq!(run(&network, a.flush()), Flushed::Waiting { peers: vec![B] });
    run(&network, b.take(A, 2));
    assert_eq!(run(&network, b.flush()), Flushed::All, "half a window is granted");
    assert_eq!(run(&network, a.flush()), Flushed::All);
    assert_eq!(network.now(), Duration::ZERO);
}

#[test]
fn a_flush_waits_for_what_the_transport_has_not_taken_though_a_message_waits_here() {
    let network = MemNetwork::builder(&Graph::star([A, B, C])).capacity(1).build().expect("a good graph");
    let [mut a, mut c] = [A, C].map(|id| {
        let mut book = Book::default();
        let node = network.run(narrow(builder(network.transport(id))).start(&mut book)).unwrap().unwrap();
        App { node, book }
    });
    let clock = network.clock();
    c.send(A, 1);
    let sends = async {
        c.flush().await;
        clock.sleep_until(clock.now() + Duration::from_secs(1)).await;
    };
    let flushed = run(&network, async {
        tokio::select! { flushed = a.flush() => Some(flushed), () = sends => None }
    });
    assert_eq!(flushed, None, "B is not there, and its greeting is with the transport");
    assert!(matches!(run(&network, a.node.next(&mut a.book)).expect("it runs"), Event::Message { .. }));
}

#[test]
fn two_nodes_that_close_at_once_do_not_wait_for_each_other_to_take_anything() {
    for (from_a, from_b) in [(500, 500), (500, 300), (0, 300)] {
        let (network, mut a, mut b) = pair();
        a.send(B, from_a);
        b.send(A, from_b);
        let within = Duration::from_secs(60);
        let (of_a, of_b) = run(&network, join(a.node.close(within), b.node.close(within)));
        assert_eq!(network.now(), Duration::ZERO);
        // Who is done first leaves, and the rest of the other one, which it would have dropped, stays where it is.
        let unsent = |farewell: Farewell| farewell.unsent.values().sum::<usize>() as u64;
        let (of_a, of_b) = (unsent(of_a.unwrap()), unsent(of_b.unwrap()));
        assert_eq!(of_a.min(of_b), 0);
        assert!(of_a.max(of_b) <= from_a.abs_diff(from_b) + WINDOW as u64, "{of_a} {of_b}");
    }
}

#[test]
fn a_node_that_closes_sends_all_that_it_has_to_a_neighbour_that_takes_it() {
    let (network, mut a, mut b) = pair();
    a.send(B, 500);
    b.send(A, 300);
    let (farewell, ()) = run(&network, join(a.node.close(Duration::from_secs(60)), b.take(A, 500)));
    assert!(farewell.unwrap().is_clean());
}

#[test]
fn a_node_that_closes_towards_one_that_takes_nothing_ends_in_its_time_and_says_what_did_not_depart() {
    let (network, mut a, b) = pair();
    a.send(B, 500);
    let within = Duration::from_secs(7);
    let farewell = run(&network, a.node.close(within)).unwrap();
    assert_eq!(network.now(), within);
    assert_eq!(farewell.unsent, [(B, 500 - WINDOW)].into());
    drop(b);

    let (network, mut a, mut b) = pair();
    a.send(B, 500);
    // B takes part in all that goes on, and takes no message.
    let idle = async {
        loop {
            b.flush().await;
            network.clock().sleep_until(network.now() + Duration::from_millis(100)).await;
        }
    };
    let close = a.node.close(within);
    let farewell = run(&network, async {
        tokio::select! { farewell = close => farewell, () = idle => unreachable!("it goes on") }
    });
    assert_eq!(farewell.unwrap().unsent, [(B, 500 - WINDOW)].into());
}

/// Three of which one is in the middle, with a store.
fn star() -> (MemNetwork<Parcel>, MemoryStore, [App; 3]) {
    let (network, store) = (network(&Graph::star([A, B, C])), MemoryStore::new());
    let apps = [A, B, C].map(|id| {
        let mut book = Book::default();
        let builder = narrow(builder(network.transport(id))).store(store.clone());
        let node = network.run(builder.start(&mut book)).unwrap().unwrap();
        App { node, book }
    });
    (network, store, apps)
}

/// All take what there is, for a second.
fn live(network: &MemNetwork<Parcel>, apps: &mut [App; 3]) {
    let [a, b, c] = apps.each_mut().map(|app| async {
        loop {
            app.step().await;
        }
    });
    let clock = network.clock();
    run(network, async {
        tokio::select! {
            () = clock.sleep_until(clock.now() + Duration::from_secs(1)) => {}
            () = a => {}
            () = b => {}
            () = c => {}
        }
    });
}

#[test]
fn a_node_that_closes_waits_for_nobody_who_was_gone_before() {
    let (network, _, mut apps) = star();
    live(&network, &mut apps);
    network.cut(A, B);
    live(&network, &mut apps);
    let [mut a, ..] = apps;
    a.send(B, 3);
    let begun = network.now();
    let farewell = run(&network, a.node.close(Duration::from_secs(60))).unwrap();
    assert_eq!((farewell.unsent, network.now()), ([(B, 3)].into(), begun));
}

#[test]
fn a_node_that_closes_sends_all_that_it_has_to_one_that_comes_back_meanwhile() {
    let (network, _, mut apps) = star();
    live(&network, &mut apps);
    network.cut(A, B);
    live(&network, &mut apps);
    let [mut a, mut b, mut c] = apps;
    // The first leaves no room for the second, and is no half of a window: B must be asked.
    for weight in [500_000, 900_000].repeat(3) {
        let parcel = a.book.send(B, weight);
        a.node.send(B, parcel).expect("it is below the hard bound");
    }
    a.send(C, WINDOW as u64 + 1);
    let clock = network.clock();
    let sleep = |seconds| clock.sleep_until(network.now() + Duration::from_secs(seconds));
    let comes_back = async {
        sleep(1).await;
        network.heal(A, B);
        loop {
            b.step().await;
            sleep(1).await;
        }
    };
    let takes_all = async {
        sleep(3).await;
        loop {
            c.step().await;
        }
    };
    let close = a.node.close(Duration::from_secs(60));
    let farewell = run(&network, async {
        tokio::select! {
            farewell = close => farewell,
            () = comes_back => unreachable!("it goes on"),
            () = takes_all => unreachable!("it goes on"),
        }
    });
    assert_eq!(farewell.unwrap(), Farewell::default());
}

#[test]
fn a_node_that_closes_is_done_when_the_group_has_gone_on_without_it() {
    let (network, store, mut apps) = star();
    live(&network, &mut apps);
    let [mut a, _b, c] = apps;
    a.send(B, 20);
    let (clock, begun) = (network.clock(), network.now());
    let begins_anew = async {
        clock.sleep_until(begun + Duration::from_secs(1)).await;
        network.crash(C);
        drop(c);
        clock.sleep_until(begun + Duration::from_secs(2)).await;
        let mut book = Book::default();
        let builder = narrow(builder(network.transport(C))).store(store);
        let mut node: Node = builder.start(&mut book).await.expect("it resumes");
        assert_eq!(node.generation(), Generation(2));
        loop {
            node.next(&mut book).await.expect("it runs");
        }
    };
    let close = a.node.close(Duration::from_secs(60));
    let farewell = run(&network, async {
        tokio::select! { farewell = close => farewell, () = begins_anew => unreachable!("it goes on") }
    });
    assert_eq!(farewell.unwrap().unsent, [(B, 20 - WINDOW)].into());
    assert_eq!(network.now() - begun, Duration::from_secs(2));
}

/// Gives no answer to some of what is asked.
#[derive(Clone)]
struct Hanging {
    store: MemoryStore,
    what: &'static str,
}

impl Hanging {
    async fn hang(&self, what: &str) {
        if self.what == what {
            pending::<()>().await;
        }
    }
}

#[async_trait]
impl SnapshotStore for Hanging {
    async fn create(&self, key: Key, content: Content) -> Result<Created, StoreError> {
        match key {
            Key::Part { .. } => self.hang("part").await,
            Key::Journal(2..) => self.hang("journal").await,
            _ => {}
        }
        self.store.create(key, content).await
    }

    async fn read(&self, key: Key, sink: Sink) -> Result<bool, StoreError> {
        if matches!(key, Key::Journal(3..)) {
            self.hang("look").await;
        }
        self.store.read(key, sink).await
    }

    async fn list_parts(&self, generation: Option<Generation>) -> Result<Vec<Key>, StoreError> {
        if generation.is_none() {
            self.hang("list").await;
        }
        self.store.list_parts(generation).await
    }

    async fn delete(&self, key: Key) -> Result<(), StoreError> {
        self.hang("delete").await;
        self.store.delete(key).await
    }
}

#[test]
fn a_node_closes_in_its_time_whatever_its_store_has_not_answered() {
    for what in ["part", "journal", "look", "list", "delete", "nothing"] {
        let network = network(&Graph::mesh([A, B]));
        let clock = network.clock();
        let shared = MemoryStore::new();
        let start = |id, store: Hanging| {
            let mut book = Book::default();
            let retention = snapshot_core::Retention::last(1);
            let builder = builder(network.transport(id))
                .store(store)
                .retention(retention)
                .deadline(Duration::from_secs(1));
            let node = network.run(builder.start(&mut book)).unwrap().unwrap();
            App { node, book }
        };
        let mut a = start(A, Hanging { store: shared.clone(), what });
        let mut b = start(B, Hanging { store: shared.clone(), what: "nothing" });
        let handle = a.node.handle();
        let asking = async {
            for _ in 0..5 {
                // Most of them are given up.
                let _ = handle.snapshot().await;
                clock.sleep_until(clock.now() + Duration::from_secs(40)).await;
            }
        };
        let living = async {
            loop {
                a.step().await;
            }
        };
        let beside = async {
            loop {
                b.step().await;
            }
        };
        run(&network, async {
            tokio::select! {
                () = clock.sleep_until(Duration::from_secs(300)) => {}
                () = async { asking.await; pending().await } => {}
                () = living => {}
                () = beside => {}
            }
        });
        a.send(B, 20);
        let begun = network.now();
        let within = Duration::from_secs(5);
        let beside = async {
            loop {
                b.step().await;
            }
        };
        let close = a.node.close(within);
        let farewell = run(&network, async {
            tokio::select! { farewell = close => farewell, () = beside => unreachable!("it goes on") }
        });
        assert_eq!(farewell.unwrap(), Farewell::default(), "{what}: all has departed");
        assert!(network.now() - begun <= within, "{what}");
    }
}

#[test]
fn a_node_that_comes_late_takes_part_in_the_snapshot_that_is_alive_and_in_none_that_is_not() {
    let mut flood = Flood::on(network(&Graph::mesh([A, B])));
    let often =
        |builder: Builder| builder.interval(Duration::from_millis(200)).deadline(Duration::from_millis(300));
    let builder = often(flood.build(flood.network.transport(A)));
    flood.start(builder, Habits { to: vec![B], weight: 8, busy: Duration::ZERO });
    flood.sleep(Duration::from_secs(20));
    let given_up = flood.log.borrow().aborted.len();
    assert!(given_up >= 40, "{given_up}");
    let builder = flood.build(flood.network.transport(B));
    flood.start(builder, Habits { to: Vec::new(), weight: 8, busy: Duration::from_millis(1) });
    flood.until_log(|log| !log.committed.is_empty());
    let begun = flood.log.borrow().begun.iter().filter(|id| **id == B).count();
    assert!(begun <= 2, "{begun} states are captured by the one that came late");
    let committed = flood.log.borrow().committed[0];
    flood.cut(committed);
}

#[test]
fn turns_that_wait_for_room_at_both_ends_are_let_in_while_messages_are_taken() {
    let network = network(&Graph::mesh([A, B]));
    let share =
        |id| network.run(narrow(builder(network.transport(id))).share(Book::default())).unwrap().unwrap();
    let ((a, drive_a), (b, drive_b)) = (share(A), share(B));
    let handle = |book: &mut Book, event, _: &mut snapshot_core::Outbox<'_, Book, Parcel>| {
        if let Event::Message { from, message } = event {
            book.take(from.id(), message);
        }
        Ok(())
    };
    let turns = |node: snapshot_core::SharedNode<Book, Parcel>, to| async move {
        for _ in 0..1000 {
            let sent = node.turn(|book, out| {
                let parcel = book.send(to, 1);
                out.send(to, parcel)
            });
            sent.await.expect("it runs").expect("there is room");
        }
    };
    let done = async {
        join(turns(a.clone(), B), turns(b.clone(), A)).await;
        let clock = network.clock();
        while [(&a, B), (&b, A)]
            .iter()
            .any(|(node, from)| node.read(|book| book.taken.get(from) != Some(&1000)))
        {
            clock.sleep_until(clock.now() + Duration::from_millis(1)).await;
        }
    };
    run(&network, async {
        tokio::select! {
            () = done => {}
            ended = drive_a.run(handle) => panic!("{ended:?}"),
            ended = drive_b.run(handle) => panic!("{ended:?}"),
        }
    });
}

#[test]
fn two_that_answer_each_message_go_on_though_both_are_over_their_high_mark() {
    let (network, mut a, mut b) = pair_of(impatient);
    // Far over the high mark at both ends: neither would hand out anything, and so neither would let the other send.
    a.send(B, 200);
    b.send(A, 200);
    let answer = |app: &mut App, from: NodeId| {
        if app.book.sent[&from] < 400 {
            app.send(from, 1);
        }
    };
    let serve = async |app: &mut App, from: NodeId| {
        while app.book.taken.get(&from) != Some(&400) {
            let before = app.book.taken.get(&from).copied();
            app.step().await;
            if app.book.taken.get(&from).copied() != before {
                answer(app, from);
            }
        }
        // The other one may still need to be told that all was taken.
        loop {
            app.step().await;
        }
    };
    let clock = network.clock();
    run(&network, async {
        tokio::select! {
            () = serve(&mut a, B) => {}
            () = serve(&mut b, A) => {}
            () = clock.sleep_until(Duration::from_secs(1800)) => {}
        }
    });
    assert_eq!((a.book.taken[&B], b.book.taken[&A]), (400, 400));
}

#[test]
fn a_node_that_closes_waits_for_what_its_store_is_doing() {
    // Alone, so that its part waits for nobody.
    let network = network(&Graph::new([A]));
    let (store, clock) = (MemoryStore::new(), network.clock());
    let takes = Duration::from_secs(1);
    let slow = Slow { store: store.clone(), takes, hangs: Arc::default(), clock: network.clock() };
    let mut book = Book::default();
    let builder = builder(network.transport(A)).store(slow);
    let mut node = network.run(builder.start(&mut book)).unwrap().unwrap();
    // The part is on its way to the store, and nothing else.
    node.snapshot();
    run(&network, async {
        tokio::select! {
            () = clock.sleep_until(clock.now() + takes / 2) => {}
            () = async { while node.next(&mut book).await.is_ok() {} } => unreachable!("it goes on")
        }
    });
    let parts = || run(&network, store.list_parts(None)).unwrap();
    let (before, begun) = (parts(), network.now());
    run(&network, node.close(Duration::from_secs(5))).unwrap();
    let (after, took) = (parts(), network.now() - begun);
    assert_eq!(after.len(), before.len() + 1, "it is there when the node has ended");
    assert!(took <= takes, "and no longer than that is waited for: {took:?}");
}

//! `SharedNode`: many tasks, one state, atomic turns.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{Either, join_all, select};
use futures::stream::{FuturesUnordered, StreamExt};
use snapshot_core::{
    Archive, Bound, CallError, CallId, Calls, Event, Graph, NodeBuilder, NodeError, NodeId, Outbox, Postcard,
    PostcardState, SendError, SharedDriver, SharedNode, SnapshotNode, TurnError,
};
use snapshot_store::MemoryStore;
use snapshot_transport_mem::MemNetwork;

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const START: u64 = 1_000;

#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
struct Ledger {
    balance: u64,
    received: Vec<u64>,
}

impl PostcardState for Ledger {}

#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
enum Message {
    Pay(u64),
    Ask(CallId),
    Tell(CallId, u64),
}

type Node = SharedNode<Ledger, Message>;
type Driver = SharedDriver<Ledger, Message>;
type Out<'a> = Outbox<'a, Ledger, Message>;
type Events = Event<Message, Ledger>;
type Network = MemNetwork<Message>;

/// No two processes may have the same seed.
static LIFE: AtomicU64 = AtomicU64::new(1);

fn builder(network: &Network, id: NodeId) -> NodeBuilder<Ledger, Message> {
    let seed = LIFE.fetch_add(1, Ordering::Relaxed);
    SnapshotNode::builder(network.transport(id)).codec(Postcard).seed(seed)
}

fn share(network: &Network, builder: NodeBuilder<Ledger, Message>) -> (Node, Driver) {
    let ledger = Ledger { balance: START, received: Vec::new() };
    network.run(builder.share(ledger)).expect("the store answers").expect("it starts")
}

fn handle(
    ledger: &mut Ledger,
    event: Events,
    out: &mut Out<'_>,
    calls: &Calls<u64>,
) -> Result<(), SendError> {
    if let Event::Message { from, message } = event {
        match message {
            Message::Pay(amount) => {
                ledger.balance += amount;
                ledger.received.push(amount);
            }
            Message::Ask(call) => out.send(from, Message::Tell(call, ledger.balance))?,
            Message::Tell(call, value) => drop(calls.answer(out, call, value)),
        }
    }
    Ok(())
}

/// Something that runs beside a test.
type Task<'a> = Pin<Box<dyn Future<Output = Result<(), NodeError>> + 'a>>;

fn run<'a>(driver: Driver, calls: &Calls<u64>) -> Task<'a> {
    let calls = calls.clone();
    Box::pin(driver.run(move |ledger: &mut Ledger, event, out| handle(ledger, event, out, &calls)))
}

/// Runs the test to its end, and the tasks beside it.
fn until<R>(network: &Network, tasks: &mut [Task<'_>], test: impl Future<Output = R>) -> R {
    let mut test = pin!(test);
    let mut done = vec![false; tasks.len()];
    let both = poll_fn(|cx| {
        if let Poll::Ready(result) = test.as_mut().poll(cx) {
            return Poll::Ready(result);
        }
        for (task, done) in tasks.iter_mut().zip(&mut done).filter(|(_, done)| !**done) {
            *done = task.as_mut().poll(cx).is_ready();
        }
        // What the tasks have done may be what the test waits for; its waker tells.
        Poll::Pending
    });
    network.run(both).unwrap_or_else(|stuck| panic!("{stuck}"))
}

fn pay(ledger: &mut Ledger, out: &mut Out<'_>, to: NodeId, amount: u64) -> Result<(), SendError> {
    ledger.balance -= amount;
    out.send(to, Message::Pay(amount))
}

/// Two nodes on one store, their drivers, and calls from A.
struct Pair {
    network: Network,
    store: MemoryStore,
    a: Node,
    b: Node,
    calls: Calls<u64>,
}

fn pair(
    tune: impl Fn(NodeBuilder<Ledger, Message>) -> NodeBuilder<Ledger, Message>,
) -> (Pair, Vec<Task<'static>>) {
    pair_on(Network::mesh::<2>().0, tune)
}

fn pair_on(
    network: Network,
    tune: impl Fn(NodeBuilder<Ledger, Message>) -> NodeBuilder<Ledger, Message>,
) -> (Pair, Vec<Task<'static>>) {
    let (store, calls) = (MemoryStore::new(), Calls::new());
    let boot = |id| share(&network, tune(builder(&network, id).store(store.clone())));
    let ((a, drive_a), (b, drive_b)) = (boot(A), boot(B));
    let mut tasks = vec![run(drive_a, &calls), run(drive_b, &Calls::new())];
    // The greetings are through.
    until(&network, &mut tasks, network.clock().sleep_until(Duration::from_millis(1)));
    (Pair { network, store, a, b, calls }, tasks)
}

impl Pair {
    /// B's process is killed and starts again, which takes the group back to the newest committed snapshot.
    fn restart_b(&mut self, tasks: &mut Vec<Task<'static>>) {
        self.network.crash(B);
        tasks.truncate(1);
        let (b, drive_b) = share(&self.network, builder(&self.network, B).store(self.store.clone()));
        self.b = b;
        tasks.push(run(drive_b, &Calls::new()));
    }
}

#[test]
fn a_turn_changes_the_state_and_sends_and_a_snapshot_has_both() {
    let (pair, mut tasks) = pair(|builder| builder);
    let Pair { network, store, a, b, .. } = &pair;
    network.hold(A, B);
    until(network, &mut tasks, async {
        a.turn(|ledger, out| pay(ledger, out, B, 30)).await.unwrap().unwrap();
        let handle = b.handle();
        let asked = handle.snapshot();
        network.release(A, B);
        let report = asked.await.unwrap();
        let archive = Archive::<Ledger, Message>::open(store.clone(), Postcard).await.unwrap();
        let cut = archive.read(report.snapshot).await.unwrap();
        let held: u64 = cut.states().map(|(_, ledger)| ledger.balance).sum();
        let paid: u64 =
            cut.in_flight().map(|(_, m)| if let Message::Pay(amount) = m { *amount } else { 0 }).sum();
        assert_eq!(held + paid, 2 * START);
    });
}

#[test]
fn a_turn_waits_for_room_before_and_never_inside() {
    let one = Bound::new(1, 1 << 20);
    let (pair, mut tasks) = pair(|builder| builder.outbox(one, Bound::new(64, 1 << 20)));
    let Pair { network, a, b, .. } = &pair;
    network.cut(A, B);
    let inside = Cell::new(0);
    let mut turns: Vec<_> = (0..10)
        .map(|amount| {
            let inside = &inside;
            Box::pin(a.turn(move |ledger, out| {
                inside.set(inside.get() + 1);
                for _ in 0..3 {
                    pay(ledger, out, B, amount).unwrap();
                }
            }))
        })
        .collect();
    let begun = until(network, &mut tasks, async {
        poll_fn(|cx| {
            for turn in &mut turns {
                let _ = turn.as_mut().poll(cx);
            }
            Poll::Ready(inside.get())
        })
        .await
    });
    assert_eq!(
        begun, 1,
        "the first turn went over the mark by itself, whole, and the others wait in front of it"
    );
    network.heal(A, B);
    drop(turns.remove(0));
    until(network, &mut tasks, async {
        for done in join_all(turns).await {
            done.unwrap();
        }
        b.handle().snapshot().await.unwrap();
    });
    let expected: Vec<u64> = (0..10).flat_map(|amount| [amount; 3]).collect();
    assert_eq!(b.read(|ledger| ledger.received.clone()), expected, "in line, each turn's messages together");
}

#[test]
fn one_that_was_let_in_and_goes_away_lets_the_next_one_in() {
    let one = Bound::new(1, 1 << 20);
    let (pair, mut tasks) = pair(|builder| builder.outbox(one, Bound::new(64, 1 << 20)));
    let Pair { network, a, .. } = &pair;
    network.cut(A, B);
    let turn = |amount| Box::pin(a.turn(move |ledger, out| pay(ledger, out, B, amount)));
    let (mut first, mut second, mut third) = (turn(1), turn(2), turn(3));
    // The later two are polled where nothing else happens, so that only the node can wake them.
    assert!(first.as_mut().now_or_never().is_some());
    let (wake_second, woken_second) = counting();
    let (wake_third, woken_third) = counting();
    assert!(second.as_mut().poll(&mut std::task::Context::from_waker(&wake_second)).is_pending());
    assert!(third.as_mut().poll(&mut std::task::Context::from_waker(&wake_third)).is_pending());
    network.heal(A, B);
    // No longer than until the first one is let in.
    let let_in = poll_fn(|_| if woken_second.count() > 0 { Poll::Ready(()) } else { Poll::Pending });
    until(network, &mut tasks, let_in);
    assert_eq!((woken_second.count(), woken_third.count()), (1, 0));
    drop(second);
    assert_eq!(woken_third.count(), 1);
    assert!(third.as_mut().now_or_never().is_some());
}

struct Woken(AtomicU64);

impl Woken {
    fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl std::task::Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn counting() -> (std::task::Waker, Arc<Woken>) {
    let woken = Arc::new(Woken(AtomicU64::new(0)));
    (Arc::clone(&woken).into(), woken)
}

#[test]
fn a_turn_wakes_the_driver_where_it_has_left_something_to_do_and_only_there() {
    let (pair, mut tasks) = pair(|builder| builder);
    let (waker, woken) = counting();
    let mut wakes = |turn: &dyn Fn()| {
        assert!(tasks[0].as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending());
        let before = woken.count();
        turn();
        woken.count() > before
    };
    let turn = |turn: fn(&mut Ledger, &mut Out<'_>)| {
        pair.a.turn(turn).now_or_never().expect("there is room").unwrap();
    };
    assert!(!wakes(&|| turn(|ledger, _| ledger.balance += 1)));
    assert!(wakes(&|| turn(|ledger, out| pay(ledger, out, B, 1).unwrap())));
    assert!(wakes(&|| turn(|_, out| out.snapshot())));
}

#[test]
fn drivers_that_are_polled_only_when_they_were_woken_wait_for_nothing_that_has_come() {
    let network = Network::mesh::<2>().0;
    let store = MemoryStore::new();
    let boot = |id| share(&network, builder(&network, id).store(store.clone()));
    let ((a, drive_a), (_b, drive_b)) = (boot(A), boot(B));
    let (_deliveries, drive_b) = drive_b.stream();
    // Each of these has a waker of its own.
    let mut drivers: FuturesUnordered<Task<'_>> =
        [run(drive_a, &Calls::new()), Box::pin(drive_b)].into_iter().collect();
    let handle = a.handle();
    let mut snapshot = pin!(handle.snapshot());
    let done = network.run(select(&mut snapshot, drivers.next()));
    let done = done.expect("nobody sleeps while there is something to do");
    assert!(matches!(done, Either::Left((Ok(_), _))));
}

#[test]
fn all_of_it_shows_by_name() {
    let (pair, _tasks) = pair(|builder| builder);
    let inside = pair.a.turn(|_, out| (format!("{out:?}"), format!("{:?}", out.work())));
    let (outbox, work) = inside.now_or_never().expect("there is room").unwrap();
    for (shown, name) in [(format!("{:?}", pair.a), "SharedNode"), (outbox, "Outbox"), (work, "Work")] {
        assert!(shown.starts_with(name), "{shown}");
    }
}

#[test]
fn a_turn_is_committed_when_a_snapshot_covers_it_and_not_before() {
    let (pair, mut tasks) = pair(|builder| builder);
    let Pair { network, a, .. } = &pair;
    until(network, &mut tasks, async {
        let first = a.turn(|_, out| out.turn()).await.unwrap();
        let early = a.turn(|_, out| out.turn()).await.unwrap();
        assert!(early.turn() > first.turn() && early.generation() == first.generation());
        a.handle().snapshot().await.unwrap();
        a.committed(early).await.unwrap();

        let late = a.turn(|_, out| out.turn()).await.unwrap();
        let mut committed = Box::pin(a.committed(late));
        assert!(committed.as_mut().now_or_never().is_none());
        let handle = a.handle();
        let snapshot = handle.snapshot();
        let (report, committed) = tokio::join!(snapshot, committed);
        report.unwrap();
        committed.unwrap();
        assert_eq!(a.committed(early).await, Ok(()), "what was covered stays so");
    });
}

#[test]
fn after_a_rollback_covered_turns_stand_and_later_ones_never_happened() {
    let (mut pair, mut tasks) = pair(|builder| builder);
    let a = pair.a.clone();
    let (covered, undone) = until(&pair.network, &mut tasks, async {
        let covered = a
            .turn(|ledger, out| {
                ledger.balance += 1;
                out.turn()
            })
            .await
            .unwrap();
        a.handle().snapshot().await.unwrap();
        let undone = a
            .turn(|ledger, out| {
                ledger.balance += 10;
                out.turn()
            })
            .await
            .unwrap();
        (covered, undone)
    });
    let mut waiting = Box::pin(a.committed(undone));
    assert!(waiting.as_mut().now_or_never().is_none());
    pair.restart_b(&mut tasks);
    until(&pair.network, &mut tasks, async {
        assert_eq!(waiting.await, Err(TurnError::RolledBack));
        assert_eq!(a.committed(undone).await, Err(TurnError::RolledBack));
        assert_eq!(a.committed(covered).await, Ok(()));
        assert_eq!(a.read(|ledger| ledger.balance), START + 1);
        let new = a.turn(|_, out| out.turn()).await.unwrap();
        assert!(new.generation() > undone.generation());
        a.handle().snapshot().await.unwrap();
        assert_eq!(a.committed(new).await, Ok(()));
        assert_eq!(a.committed(undone).await, Err(TurnError::RolledBack), "for ever");
    });
}

#[test]
fn late_work_of_a_generation_that_was_left_is_refused() {
    let (mut pair, mut tasks) = pair(|builder| builder);
    let a = pair.a.clone();
    let work = until(&pair.network, &mut tasks, async {
        let work = a.turn(|_, out| out.work()).await.unwrap();
        work.turn(|ledger, _| ledger.balance += 1).await.unwrap();
        a.handle().snapshot().await.unwrap();
        work.turn(|ledger, _| ledger.balance += 1).await.expect("a snapshot changes nothing for it");
        work
    });
    let mut in_vain = Box::pin(work.in_vain());
    assert!(in_vain.as_mut().now_or_never().is_none());
    pair.restart_b(&mut tasks);
    until(&pair.network, &mut tasks, async {
        assert_eq!(in_vain.await, TurnError::RolledBack);
        let late = work.turn(|_, _| panic!("it must not be called")).await;
        assert_eq!(late, Err(TurnError::RolledBack));
        assert_eq!(a.read(|ledger| ledger.balance), START + 1);
    });
}

#[test]
fn a_turn_that_waited_over_a_rollback_is_run_after_it_and_work_is_not() {
    let one = Bound::new(1, 1 << 20);
    let network = Network::builder(&Graph::mesh([A, B])).capacity(1).build().unwrap();
    let (mut pair, mut tasks) = pair_on(network, |builder| builder.outbox(one, Bound::new(64, 1 << 20)));
    let a = pair.a.clone();
    // What A sends stays in its outbox for good, and what it receives arrives.
    pair.network.hold(A, B);
    let work = a.turn(|_, out| out.work()).now_or_never().unwrap().unwrap();
    let sends =
        |ledger: &mut Ledger, out: &mut Out<'_>| (0..4).try_for_each(|amount| pay(ledger, out, B, amount));
    a.turn(sends).now_or_never().unwrap().unwrap().unwrap();
    let mut plain = Box::pin(a.turn(|_, out| out.turn().generation()));
    let mut late = Box::pin(work.turn(|_, _| panic!("it must not be called")));
    assert!(plain.as_mut().now_or_never().is_none());
    assert!(late.as_mut().now_or_never().is_none());
    pair.restart_b(&mut tasks);
    until(&pair.network, &mut tasks, async { assert_eq!(late.await, Err(TurnError::RolledBack)) });
    pair.network.release(A, B);
    until(&pair.network, &mut tasks, async { assert!(plain.await.unwrap() > work.generation()) });
    assert_eq!(a.read(|ledger| ledger.balance), START);
}

async fn ask(pair: &Pair, timeout: Duration) -> Result<u64, CallError> {
    let asked = pair.calls.call(&pair.a, timeout, |_, call, out| out.send(B, Message::Ask(call)));
    asked.await.map(|answer| answer.value)
}

const SOON: Duration = Duration::from_secs(1);

#[test]
fn a_call_brings_the_answer_and_the_turn_that_received_it() {
    let (pair, mut tasks) = pair(|builder| builder);
    until(&pair.network, &mut tasks, async {
        let before = pair.a.turn(|_, out| out.turn()).await.unwrap();
        let asked = pair.calls.call(&pair.a, SOON, |_, call, out| out.send(B, Message::Ask(call)));
        let answer = asked.await.unwrap();
        assert_eq!(answer.value, START);
        assert!(answer.turn > before);
        pair.a.handle().snapshot().await.unwrap();
        pair.a.committed(answer.turn).await.unwrap();
        assert!(pair.calls.is_empty());
    });
}

#[test]
fn a_call_fails_in_time_and_its_late_answer_is_nobodys() {
    let (pair, mut tasks) = pair(|builder| builder);
    pair.network.hold(B, A);
    until(&pair.network, &mut tasks, async {
        assert_eq!(ask(&pair, SOON).await, Err(CallError::TimedOut { after: SOON }));
        assert!(pair.calls.is_empty());
        pair.network.release(B, A);
        assert_eq!(ask(&pair, SOON).await, Ok(START), "the next one gets its own");
    });
}

#[test]
fn the_time_of_a_call_includes_the_wait_for_room() {
    let one = Bound::new(1, 1 << 20);
    let (pair, mut tasks) = pair(|builder| builder.outbox(one, Bound::new(64, 1 << 20)));
    pair.network.cut(A, B);
    until(&pair.network, &mut tasks, async {
        pair.a.turn(|ledger, out| pay(ledger, out, B, 5)).await.unwrap().unwrap();
        assert_eq!(ask(&pair, SOON).await, Err(CallError::TimedOut { after: SOON }));
    });
}

#[test]
fn a_call_that_cannot_be_sent_says_so_and_waits_for_nothing() {
    let (pair, mut tasks) = pair(|builder| builder);
    until(&pair.network, &mut tasks, async {
        let stranger = NodeId(9);
        let asked = pair.calls.call(&pair.a, SOON, |_, call, out| out.send(stranger, Message::Ask(call)));
        let refused = SendError::UnknownPeer { me: A, to: stranger };
        assert_eq!(asked.await, Err(CallError::Send(refused)));
        assert!(pair.calls.is_empty());
    });
}

#[test]
fn a_call_fails_when_the_group_goes_back_and_the_old_answer_is_not_the_new_ones() {
    let (mut pair, mut tasks) = pair(|builder| builder);
    // The request or its answer is in flight when the snapshot is taken, and so there is an answer after the restart too.
    pair.network.hold(B, A);
    let (a, calls) = (pair.a.clone(), pair.calls.clone());
    let mut asked = Box::pin(calls.call(&a, 100 * SOON, |_, call, out| out.send(B, Message::Ask(call))));
    assert!(asked.as_mut().now_or_never().is_none());
    let handle = pair.a.handle();
    let mut snapshot = Box::pin(handle.snapshot());
    assert!(snapshot.as_mut().now_or_never().is_none());
    // B has answered and sent its marker, in whichever order.
    let b_answered =
        poll_fn(|_| if pair.network.in_flight(B, A) >= 2 { Poll::Ready(()) } else { Poll::Pending });
    let waiting = async {
        select(b_answered, pair.network.clock().sleep_until(SOON)).await;
    };
    until(&pair.network, &mut tasks, waiting);
    pair.network.release(B, A);
    until(&pair.network, &mut tasks, async { snapshot.await.unwrap() });
    let first = until(&pair.network, &mut tasks, asked).expect("it was answered");
    assert_eq!(first.value, START);

    let mut second = Box::pin(calls.call(&a, 100 * SOON, |_, call, out| out.send(B, Message::Ask(call))));
    assert!(second.as_mut().now_or_never().is_none());
    pair.restart_b(&mut tasks);
    until(&pair.network, &mut tasks, async {
        assert_eq!(second.await, Err(CallError::RolledBack { request_stands: false }));
        // The replayed answer to the first call finds nobody, and the third call gets its own.
        pair.a.turn(|ledger, out| pay(ledger, out, B, 1)).await.unwrap().unwrap();
        assert_eq!(ask(&pair, SOON).await, Ok(START + 1));
        assert!(calls.is_empty());
    });
}

#[test]
fn a_call_whose_request_is_in_the_snapshot_takes_effect_and_says_so() {
    let network = Network::mesh::<2>().0;
    let (store, calls) = (MemoryStore::new(), Calls::new());
    let boot = |id| share(&network, builder(&network, id).store(store.clone()));
    let ((a, drive_a), (b, drive_b)) = (boot(A), boot(B));
    // B takes nothing: the request waits in its channel, and so it is in the cut.
    let (deliveries, drive_b) = drive_b.stream();
    let mut tasks = vec![run(drive_a, &calls), Box::pin(drive_b) as Task<'_>];
    let request = |_: &mut Ledger, call, out: &mut Out<'_>| {
        out.send(B, Message::Pay(5))?;
        out.send(B, Message::Ask(call))
    };
    let mut asked = Box::pin(calls.call(&a, 100 * SOON, request));
    assert!(asked.as_mut().now_or_never().is_none());
    until(&network, &mut tasks, async { a.handle().snapshot().await.unwrap() });
    assert!(asked.as_mut().now_or_never().is_none());

    drop((b, deliveries));
    network.crash(B);
    tasks.truncate(1);
    let (b, drive_b) = boot(B);
    tasks.push(run(drive_b, &Calls::new()));
    until(&network, &mut tasks, async {
        assert_eq!(asked.await, Err(CallError::RolledBack { request_stands: true }));
        let clock = network.clock();
        clock.sleep_until(clock.now() + SOON).await;
        assert_eq!(b.read(|ledger| ledger.balance), START + 5, "once");
        assert!(calls.is_empty());
    });
}

#[test]
fn reads_need_neither_room_nor_the_network_and_see_whole_turns() {
    let (pair, tasks) = pair(|builder| builder);
    let _ = pair.a.turn(|ledger, out| pay(ledger, out, B, 7)).now_or_never();
    assert_eq!(pair.a.read(|ledger| ledger.balance), START - 7);
    drop(tasks);
    assert_eq!(pair.a.read(|ledger| ledger.balance), START - 7, "the last that there was");
}

#[test]
fn a_turn_within_a_turn_is_a_defect_that_is_named() {
    let (pair, _tasks) = pair(|builder| builder);
    let nested = catch_unwind(AssertUnwindSafe(|| {
        let inner = pair.a.clone();
        pair.a.turn(move |_, _| inner.read(|ledger| ledger.balance)).now_or_never()
    }));
    let text = *nested.unwrap_err().downcast::<&str>().unwrap();
    assert!(text.contains("use the state that the closure was given"), "{text}");
    // One node's state may be read within another's turn.
    let (other, _its_tasks) = self::pair(|builder| builder);
    let b = other.b.clone();
    other.a.turn(|ledger, _| ledger.balance += b.read(|b| b.balance)).now_or_never().unwrap().unwrap();
}

#[test]
fn a_turn_that_panics_ends_the_node() {
    let (pair, mut tasks) = pair(|builder| builder);
    let panicking = pair.a.turn(|ledger, _| {
        ledger.balance = 0;
        panic!("half-way");
    });
    assert!(catch_unwind(AssertUnwindSafe(|| panicking.now_or_never())).is_err());
    let ended =
        until(&pair.network, &mut tasks[1..], async { (pair.a.turn(|_, _| ()).await, pair.a.clone()) });
    assert_eq!(ended.0, Err(TurnError::Ended));
    let error = pair.network.run(&mut tasks[0]).unwrap().unwrap_err();
    assert!(matches!(error, NodeError::Panicked), "{error}");
    assert!(catch_unwind(AssertUnwindSafe(|| ended.1.read(|ledger| ledger.balance))).is_err());
}

#[test]
fn a_handler_that_cannot_send_ends_the_node_with_the_reason() {
    let network = Network::mesh::<2>().0;
    let (a, driver) = share(&network, builder(&network, A));
    let (_b, _not_driven) = share(&network, builder(&network, B));
    let mut node = pin!(driver.run(|_: &mut Ledger, _, out| out.send(NodeId(9), Message::Pay(1))));
    network.crash(B);
    let error = network.run(&mut node).unwrap().unwrap_err();
    assert!(matches!(error, NodeError::Send(SendError::UnknownPeer { .. })), "{error}");
    assert_eq!(a.turn(|_, _| ()).now_or_never().unwrap(), Err(TurnError::Ended));
}

#[test]
fn without_its_driver_the_node_has_ended_for_all_who_wait() {
    let (pair, mut tasks) = pair(|builder| builder);
    let at = pair.a.turn(|_, out| out.turn()).now_or_never().unwrap().unwrap();
    let mut committed = Box::pin(pair.a.committed(at));
    assert!(committed.as_mut().now_or_never().is_none());
    drop(tasks.remove(0));
    assert_eq!(committed.now_or_never(), Some(Err(TurnError::Ended)));
    assert_eq!(ask(&pair, SOON).now_or_never(), Some(Err(CallError::Ended)));
    assert!(pair.a.close().now_or_never().is_some());
}

#[test]
fn close_sends_what_is_queued_and_says_goodbye() {
    let (pair, mut tasks) = pair(|builder| builder);
    let a = pair.a.clone();
    a.turn(|ledger, out| pay(ledger, out, B, 7)).now_or_never().unwrap().unwrap().unwrap();
    until(&pair.network, &mut tasks, async { a.close().await });
    assert_eq!(a.turn(|_, _| ()).now_or_never().unwrap(), Err(TurnError::Ended));
    let b = pair.b.clone();
    let arrived = poll_fn(|_| if b.read(|b| b.balance) > START { Poll::Ready(()) } else { Poll::Pending });
    let clock = pair.network.clock();
    until(&pair.network, &mut tasks[1..], async {
        select(arrived, clock.sleep_until(SOON)).await;
    });
    assert_eq!(b.read(|b| b.balance), START + 7);
}

#[test]
fn without_a_store_nothing_is_committed_and_that_is_said() {
    let network = Network::mesh::<2>().0;
    let (a, _driver) = share(&network, builder(&network, A));
    let at = a.turn(|_, out| out.turn()).now_or_never().unwrap().unwrap();
    assert_eq!(a.committed(at).now_or_never(), Some(Err(TurnError::NoStore)));
}

#[test]
fn a_delivery_that_is_dropped_comes_again_and_one_that_waits_stops_nothing() {
    let network = Network::mesh::<2>().0;
    let store = MemoryStore::new();
    let boot = |id| share(&network, builder(&network, id).store(store.clone()));
    let ((a, drive_a), (b, drive_b)) = (boot(A), boot(B));
    let (mut deliveries, drive_b) = drive_b.stream();
    let mut tasks = vec![run(drive_a, &Calls::new()), Box::pin(drive_b) as Task<'_>];
    until(&network, &mut tasks, async {
        assert!(deliveries.next().now_or_never().is_none(), "nothing has come");
        for amount in 1..=3 {
            a.turn(|ledger, out| pay(ledger, out, B, amount)).await.unwrap().unwrap();
        }
        let waiting = deliveries.next().await.unwrap();
        let mut next = deliveries.next();
        assert!((&mut next).now_or_never().is_none(), "one at a time");
        // Nobody takes anything, and the snapshot is taken all the same, with the messages in their channel.
        let report = a.handle().snapshot().await.unwrap();
        let archive = Archive::<Ledger, Message>::open(store.clone(), Postcard).await.unwrap();
        let cut = archive.read(report.snapshot).await.unwrap();
        assert_eq!(cut.channel(A, B), [1, 2, 3].map(Message::Pay));
        drop(waiting);

        let mut received = Vec::new();
        while received.len() < 3 {
            let delivery = deliveries.next().await.unwrap();
            let taken = delivery.take(|ledger, event, _| {
                let Event::Message { from, message: Message::Pay(amount) } = event else { return };
                ledger.balance += amount;
                received.push((from.id(), amount));
            });
            taken.await.unwrap();
        }
        assert_eq!(received, [(A, 1), (A, 2), (A, 3)]);
        assert_eq!(b.read(|ledger| ledger.balance), START + 6);
    });
}

#[test]
fn the_stream_brings_rollbacks_too_and_ends_with_the_node() {
    let network = Network::mesh::<2>().0;
    let store = MemoryStore::new();
    let boot = |id| share(&network, builder(&network, id).store(store.clone()));
    let ((a, drive_a), (b, drive_b)) = (boot(A), boot(B));
    let (mut deliveries, drive_a) = drive_a.stream();
    let mut tasks = vec![Box::pin(drive_a) as Task<'_>, run(drive_b, &Calls::new())];
    let undone = until(&network, &mut tasks, async { a.turn(|_, out| out.turn()).await.unwrap() });
    drop(b);
    network.crash(B);
    tasks.truncate(1);
    let (_b, drive_b) = boot(B);
    tasks.push(run(drive_b, &Calls::new()));
    until(&network, &mut tasks, async {
        let mut rolled_back = false;
        while !rolled_back {
            let delivery = deliveries.next().await.unwrap();
            rolled_back =
                delivery.take(|_, event, _| matches!(event, Event::RolledBack { .. })).await.unwrap();
        }
        assert_eq!(a.committed(undone).await, Err(TurnError::RolledBack));
        let (closed, last) = tokio::join!(a.close(), async {
            while let Some(delivery) = deliveries.next().await {
                let _ = delivery.take(|_, _, _| ()).await;
            }
            "the end"
        });
        assert_eq!((closed, last), ((), "the end"));
    });
}

/// Real threads, a real race: transfers from many tasks, snapshots all the while.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_tasks_on_many_threads_move_money_and_none_is_made_or_lost() {
    const TASKS: u64 = 32;
    const TRANSFERS: u64 = 200;
    let network = Network::mesh::<3>().0;
    let store = MemoryStore::new();
    let mut nodes = Vec::new();
    for id in (1..=3).map(NodeId) {
        let builder = builder(&network, id)
            .store(store.clone())
            .outbox(Bound::new(8, 1 << 20), Bound::new(512, 1 << 20));
        let ledger = Ledger { balance: TASKS * TRANSFERS, received: Vec::new() };
        let (node, driver) = builder.share(ledger).await.unwrap();
        tokio::spawn(driver.run(|ledger: &mut Ledger, event, _| {
            if let Event::Message { message: Message::Pay(amount), .. } = event {
                ledger.balance += amount;
            }
            Ok(())
        }));
        nodes.push(node);
    }
    let pays = (0..TASKS).map(|task| {
        let node = nodes[task as usize % 3].clone();
        let to = NodeId((task + 1) % 3 + 1);
        tokio::spawn(async move {
            for _ in 0..TRANSFERS {
                node.turn(|ledger, out| pay(ledger, out, to, 1)).await.unwrap().unwrap();
            }
        })
    });
    let pays: Vec<_> = pays.collect();
    let mut reports = Vec::new();
    while reports.len() < 5 || pays.iter().any(|pay| !pay.is_finished()) {
        // One that crosses another is superseded, and that is no failure.
        reports.extend(nodes[reports.len() % 3].handle().snapshot().await);
    }
    for pay in pays {
        pay.await.unwrap();
    }
    let archive = Archive::<Ledger, Message>::open(store, Postcard).await.unwrap();
    let mut read = 0;
    for commit in archive.commits().iter().filter(|commit| commit.kept) {
        let cut = archive.read(commit.snapshot).await.unwrap();
        let held: u64 = cut.states().map(|(_, ledger)| ledger.balance).sum();
        let flying = cut.in_flight().filter(|(_, message)| matches!(message, Message::Pay(1))).count() as u64;
        assert_eq!(held + flying, 3 * TASKS * TRANSFERS, "{}", commit.snapshot);
        read += 1;
    }
    assert!(read >= 1);
}

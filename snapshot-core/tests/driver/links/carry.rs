//! Connections that are a stream and a sink.

use std::task::Wake;

use futures::channel::mpsc;
use futures::executor::block_on;
use futures::future::{join, join4};
use futures::{FutureExt, SinkExt, StreamExt};
use snapshot_core::{
    ConnectError, Event, Flushed, Graph, Inbox, LinkTransport, NodeId, Packet, SnapshotNode, Transport,
};

use super::support::Heard::Frame;
use super::support::*;

const SOON: std::time::Duration = std::time::Duration::from_secs(10);

type Incoming = mpsc::Receiver<Result<Packet<u64>, String>>;
type Outgoing = mpsc::Sender<Packet<u64>>;

/// The other end of a connection: what it writes, and what it reads.
struct Neighbour {
    to_node: mpsc::Sender<Result<Packet<u64>, String>>,
    from_node: mpsc::Receiver<Packet<u64>>,
}

fn connection() -> (Neighbour, Incoming, Outgoing) {
    let ((to_node, incoming), (outgoing, from_node)) = (mpsc::channel(8), mpsc::channel(8));
    (Neighbour { to_node, from_node }, incoming, outgoing)
}

fn why_lost(node: &LinkTransport<u64>) -> String {
    let mut inbox = Inbox::with_capacity(8);
    node.recv(&mut inbox).now_or_never().unwrap().unwrap();
    match std::iter::from_fn(|| inbox.pop()).last() {
        Some(snapshot_core::Incoming::Lost { why, .. }) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_comes_and_what_goes_is_carried_until_the_neighbour_says_goodbye() {
    let (node, links) = node(8);
    let (Neighbour { mut to_node, mut from_node }, incoming, outgoing) = connection();
    let mut carrying = Box::pin(links.carry(TWO, incoming, outgoing));
    assert!(carrying.as_mut().now_or_never().is_none());
    assert_eq!(try_send(&node, TWO, [1, 2]), []);
    to_node.try_send(Ok(Packet::Frame(frame(7)))).unwrap();
    assert!(carrying.as_mut().now_or_never().is_none());
    assert_eq!(hear(&node), [Up(2), Frame(2, 7)]);
    for number in 1..=2 {
        assert_eq!(from_node.next().now_or_never().flatten(), Some(Packet::Frame(frame(number))));
    }
    to_node.try_send(Ok(Packet::Goodbye)).unwrap();
    assert_eq!(carrying.now_or_never(), Some(Ok(())));
    assert_eq!(hear(&node), [Left(2)]);
    assert_eq!(from_node.next().now_or_never(), Some(None), "its side is closed");
}

#[test]
fn a_close_writes_all_and_a_goodbye_and_reads_to_the_end() {
    let (node, links) = node(8);
    let (Neighbour { mut to_node, from_node }, incoming, outgoing) = connection();
    let mut carrying = Box::pin(links.carry(TWO, incoming, outgoing));
    assert!(carrying.as_mut().now_or_never().is_none());
    assert_eq!(try_send(&node, TWO, [1, 2]), []);
    let mut closing = node.close();
    assert!(closing.as_mut().now_or_never().is_none());
    for _ in 0..100 {
        assert!(carrying.as_mut().now_or_never().is_none(), "the neighbour has not closed");
        to_node.try_send(Ok(Packet::Frame(frame(7)))).unwrap();
    }
    drop(to_node);
    assert_eq!(carrying.now_or_never(), Some(Ok(())));
    assert!(closing.now_or_never().is_some());
    let packets: Vec<_> = block_on(from_node.collect());
    assert_eq!(packets, [Packet::Frame(frame(1)), Packet::Frame(frame(2)), Packet::Goodbye]);
}

#[test]
fn a_transport_that_is_dropped_writes_what_was_sent_and_no_goodbye() {
    let (node, links) = node(8);
    let (Neighbour { to_node, from_node }, incoming, outgoing) = connection();
    let mut carrying = Box::pin(links.carry(TWO, incoming, outgoing));
    assert!(carrying.as_mut().now_or_never().is_none());
    assert_eq!(try_send(&node, TWO, [1, 2]), []);
    drop(node);
    assert!(carrying.as_mut().now_or_never().is_none());
    drop(to_node);
    assert_eq!(carrying.now_or_never(), Some(Ok(())));
    let packets: Vec<_> = block_on(from_node.collect());
    assert_eq!(packets, [Packet::Frame(frame(1)), Packet::Frame(frame(2))]);
}

#[test]
fn a_stream_that_ends_or_fails_and_a_sink_that_fails_are_losses_and_say_why() {
    let (node, links) = node(8);
    let (Neighbour { to_node, from_node: _from_node }, incoming, outgoing) = connection();
    drop(to_node);
    assert_eq!(links.carry(TWO, incoming, outgoing).now_or_never(), Some(Ok(())));
    assert!(why_lost(&node).contains("without a goodbye"));

    let (Neighbour { mut to_node, from_node: _from_node }, incoming, outgoing) = connection();
    to_node.try_send(Err("the cable was cut".to_owned())).unwrap();
    assert_eq!(links.carry(TWO, incoming, outgoing).now_or_never(), Some(Ok(())));
    assert!(why_lost(&node).contains("the cable was cut"));

    let (Neighbour { to_node: _to_node, from_node }, incoming, outgoing) = connection();
    let mut carrying = Box::pin(links.carry(TWO, incoming, outgoing.sink_map_err(|_| "the disk is full")));
    assert!(carrying.as_mut().now_or_never().is_none());
    drop(from_node);
    assert_eq!(try_send(&node, TWO, [1]), []);
    assert_eq!(carrying.now_or_never(), Some(Ok(())), "and it does not wait for the stream");
    assert!(why_lost(&node).contains("the disk is full"));
}

/// Neither the stream nor the sink of the older one moves any more.
#[test]
fn a_newer_connection_ends_the_older_one_that_hangs() {
    let (node, links) = node(100);
    let (_neighbour, incoming, outgoing) = connection();
    let carrier = Count::new();
    let mut older = Box::pin(links.carry(TWO, incoming, outgoing));
    assert!(carrier.poll(&mut older).is_pending());
    assert_eq!(try_send(&node, TWO, 1..=50), []);
    assert!(carrier.poll(&mut older).is_pending());
    carrier.take();
    let _newer = links.connect(TWO).unwrap();
    assert!(carrier.take() > 0);
    assert!(carrier.poll(&mut older).is_ready());
    assert_eq!(hear(&node), [Up(2), Lost(2), Up(2)]);
}

#[test]
fn a_node_that_receives_slowly_slows_the_stream() {
    let (node, links) = node(4);
    let (Neighbour { mut to_node, from_node: _from_node }, incoming, outgoing) = connection();
    let mut carrying = Box::pin(links.carry(TWO, incoming, outgoing));
    let mut pushed = 0;
    while to_node.try_send(Ok(Packet::Frame(frame(pushed + 1)))).is_ok() {
        pushed += 1;
        assert!(carrying.as_mut().now_or_never().is_none());
        assert!(pushed < 100, "it took all");
    }
    let received = async {
        for number in 1..=pushed {
            let mut inbox = Inbox::with_capacity(1);
            node.recv(&mut inbox).await.unwrap();
            if number == 1 {
                assert_eq!(inbox.pop().map(in_short), Some(Up(2)));
                node.recv(&mut inbox).await.unwrap();
            }
            assert_eq!(inbox.pop().map(in_short), Some(Frame(2, number)));
        }
        to_node.try_send(Ok(Packet::Goodbye)).unwrap();
    };
    assert_eq!(block_on(join(carrying, received)).0, Ok(()));
}

/// T5: they share one task, and neither a stream nor a node that never stops keeps the other from moving.
#[test]
fn reading_and_writing_take_turns() {
    const MANY: u64 = 100_000;
    let (node, links) = node(2 * MANY as usize);
    let endless =
        futures::stream::iter((1..MANY).map(|number| Ok::<_, String>(Packet::Frame(frame(number)))));
    let (written, taken) = (Count::new(), &Count::new());
    let counting = futures::sink::unfold((), |(), _: Packet<u64>| {
        Wake::wake_by_ref(taken);
        std::future::ready(Ok::<_, String>(()))
    });
    let mut carrying = Box::pin(links.carry(TWO, endless, counting));
    assert!(written.poll(&mut carrying).is_pending());
    let read = hear(&node).len() as u64;
    assert!((1..MANY / 10).contains(&read), "{read} frames were read at one go");

    assert_eq!(try_send(&node, TWO, 1..=MANY), []);
    assert!(written.poll(&mut carrying).is_pending());
    let (read, sent) = (hear(&node).len() as u64, taken.take() as u64);
    assert!((1..MANY / 10).contains(&read) && (1..MANY / 10).contains(&sent), "{read} read, {sent} written");
    assert!(written.take() > 0, "it goes on by itself");
}

#[test]
fn a_stranger_is_not_carried() {
    let (_node, links) = node(8);
    let (_neighbour, incoming, outgoing) = connection();
    let refused = links.carry(NodeId(9), incoming, outgoing).now_or_never();
    assert_eq!(refused, Some(Err(ConnectError::NoNeighbour { peer: NodeId(9), me: ME })));
}

/// The task that carries it has the only `Links`, as is natural where nobody connects anew.
#[test]
fn a_node_whose_only_connection_came_and_went_hands_out_all_that_it_brought() {
    let graph = Graph::mesh([ME, TWO]);
    let (one, links_of_one) = LinkTransport::<u64>::new(graph.at(ME).unwrap());
    let (two, links_of_two) = LinkTransport::<u64>::new(graph.at(TWO).unwrap());
    let ((to_two, from_one), (to_one, from_two)) = (mpsc::channel(8), mpsc::channel(8));
    let at_one = async move { links_of_one.carry(TWO, from_two.map(Ok::<_, String>), to_two).await };
    let at_two = async move { links_of_two.carry(ME, from_one.map(Ok::<_, String>), to_one).await };
    let mut one = block_on(SnapshotNode::builder(one).start(&mut ())).unwrap();
    let mut two = block_on(SnapshotNode::builder(two).start(&mut ())).unwrap();
    one.send(TWO, 7).unwrap();
    // n2 says what it takes, and looks at nothing more for now.
    let greets = async { assert_eq!(two.flush(&mut ()).await.unwrap(), Flushed::All) };
    let over = block_on(join4(greets, one.close(SOON), at_one, at_two));
    assert!(matches!(over, ((), Ok(_), Ok(()), Ok(()))));

    let mut heard = Vec::new();
    while let Some(event) = two.next(&mut ()).now_or_never() {
        heard.push(match event.unwrap() {
            Event::Message { message: 7, .. } => "message",
            Event::PeerLeft { .. } => "left",
            Event::Closed => "closed",
            other => panic!("{other:?}"),
        });
    }
    heard.sort_unstable();
    assert_eq!(heard, ["closed", "left", "message"]);
    assert!(two.close(SOON).now_or_never().is_some_and(|closed| closed.is_ok()));
}

//! The life of a connection, row by row of the table in the docs.

use std::task::Poll;

use futures::FutureExt;
use snapshot_core::{
    ConnectError, Departures, Disconnected, Graph, Inbox, Incoming, LinkTransport, Links, NodeId, Transport,
    TransportError,
};

use super::support::Heard::Frame;
use super::support::*;

#[test]
fn a_connection_is_announced_before_its_frames_and_each_neighbour_for_itself() {
    let (node, links) = node(8);
    assert_eq!(hear(&node), []);
    let (mut from_two, _to_two) = links.connect(TWO).unwrap();
    let (mut from_three, _to_three) = links.connect(THREE).unwrap();
    drop(from_three.push(frame(1)));
    drop(from_two.push(frame(1)));
    drop(from_two.push(frame(2)));
    assert_eq!(hear(&node), [Up(2), Frame(2, 1), Frame(2, 2), Up(3), Frame(3, 1)]);
}

#[test]
fn a_new_connection_replaces_the_older_one_whose_frames_never_come_after_it() {
    let (node, links, mut older, mut to_older) = connected(8);
    drop(older.push(frame(1)));
    let (mut newer, mut to_newer) = links.connect(TWO).unwrap();
    assert_eq!(older.push(frame(2)).now_or_never(), Some(Err(Disconnected::Replaced)));
    drop(newer.push(frame(3)));
    assert_eq!(take(&mut to_older), (vec![], true));
    assert!(!to_older.is_closing());
    assert_eq!(hear(&node), [Up(2), Frame(2, 1), Lost(2), Up(2), Frame(2, 3)]);

    // The tasks of the older one come to their end, and the newer one does not notice.
    older.leave();
    drop(to_older);
    assert_eq!(hear(&node), []);
    assert_eq!(try_send(&node, TWO, [4]), []);
    assert_eq!(take(&mut to_newer), (vec![4], false));
}

#[test]
fn a_reader_that_is_dropped_is_a_loss_after_all_that_it_pushed() {
    let (node, _links, mut arrivals, mut departures) = connected(8);
    drop(arrivals.push(frame(1)));
    drop(arrivals);
    assert_eq!(take(&mut departures), (vec![], true));
    drop(departures);
    assert_eq!(hear(&node), [Up(2), Frame(2, 1), Lost(2)]);
}

#[test]
fn a_writer_that_is_dropped_is_a_loss_after_all_that_was_pushed() {
    let (node, _links, mut arrivals, departures) = connected(8);
    drop(arrivals.push(frame(1)));
    drop(departures);
    assert_eq!(arrivals.push(frame(2)).now_or_never(), Some(Err(Disconnected::Lost)));
    drop(arrivals);
    assert_eq!(hear(&node), [Up(2), Frame(2, 1), Lost(2)]);
}

#[test]
fn what_is_known_of_a_loss_is_told() {
    let (node, links) = node(8);
    for reader in [true, false] {
        let (arrivals, departures) = links.connect(TWO).unwrap();
        if reader {
            arrivals.lost("the cable was cut");
        } else {
            departures.lost("the cable was cut");
        }
        let mut inbox = Inbox::with_capacity(8);
        node.recv(&mut inbox).now_or_never().unwrap().unwrap();
        assert_eq!(inbox.pop(), Some(Incoming::Up(peer(TWO))));
        assert_eq!(
            inbox.pop(),
            Some(Incoming::Lost { peer: peer(TWO), why: "the cable was cut".to_owned() })
        );
        assert!(inbox.is_empty(), "the halves that were dropped after that say nothing more");
    }
}

#[test]
fn a_goodbye_is_no_loss_and_ends_the_writer() {
    let (node, _links, mut arrivals, mut departures) = connected(8);
    drop(arrivals.push(frame(1)));
    arrivals.leave();
    assert_eq!(take(&mut departures), (vec![], true));
    assert!(!departures.is_closing(), "it is the neighbour that has said goodbye");
    drop(departures);
    assert_eq!(hear(&node), [Up(2), Frame(2, 1), Left(2)]);
}

#[test]
fn a_reader_can_wait_for_the_end_of_its_connection() {
    type Way = fn(Links<u64>, Departures<u64>);
    let ends: [(Way, Disconnected); 3] = [
        (|links, _| drop(links.connect(TWO)), Disconnected::Replaced),
        (|_, departures| drop(departures), Disconnected::Lost),
        (|links, _departures| links.fail(TransportError::other("a failure")), Disconnected::Failed),
    ];
    for (end, why) in ends {
        let (_node, links, mut arrivals, departures) = connected(8);
        let reader = Count::new();
        let mut over = Box::pin(arrivals.over());
        assert!(reader.poll(&mut over).is_pending());
        end(links, departures);
        assert_eq!((reader.take(), reader.poll(&mut over)), (1, Poll::Ready(why)));
    }
}

#[test]
fn frames_wait_for_a_connection_and_those_not_given_yet_for_the_next_one() {
    let (node, links) = node(8);
    assert_eq!(try_send(&node, TWO, [1, 2]), [1, 2], "they are not taken where no connection stands");
    let (arrivals, mut departures) = links.connect(TWO).unwrap();
    assert_eq!(try_send(&node, TWO, 1..=3), []);
    assert_eq!(departures.next().now_or_never().flatten(), Some(frame(1)));
    drop(arrivals);
    assert_eq!(take(&mut departures), (vec![], true));
    assert_eq!(try_send(&node, TWO, [4]), [4]);
    let (_arrivals, mut departures) = links.connect(TWO).unwrap();
    assert_eq!(try_send(&node, TWO, [4]), []);
    assert_eq!(take(&mut departures), (vec![2, 3, 4], false));
}

#[test]
fn closing_gives_all_frames_then_none_and_waits_for_both_halves() {
    let (node, links, mut arrivals, mut departures) = connected(8);
    assert_eq!(try_send(&node, TWO, 1..=3), []);
    drop(arrivals.push(frame(1)));
    let (closer, mut close) = (Count::new(), node.close());
    assert!(closer.poll(&mut close).is_pending());
    assert_eq!(hear(&node), [End], "what had arrived is dropped");
    assert!(links.ended().now_or_never().is_some());

    assert_eq!(take(&mut departures), (vec![1, 2, 3], true));
    assert!(departures.is_closing());
    assert_eq!(arrivals.push(frame(2)).now_or_never(), Some(Ok(())), "it reads on, to the neighbour's end");
    drop(departures);
    assert_eq!(arrivals.push(frame(3)).now_or_never(), Some(Ok(())));
    assert!(closer.poll(&mut close).is_pending(), "the reader has not seen the neighbour's end");
    drop(arrivals);
    assert_eq!(closer.take(), 1);
    assert!(closer.poll(&mut close).is_ready());

    assert_eq!(hear(&node), [End]);
    let error = node.send(peer(TWO), &mut frames([4])).now_or_never().unwrap().unwrap_err();
    assert!(error.is_closed() && error.peer() == Some(TWO));
    assert_eq!(links.connect(TWO).unwrap_err(), ConnectError::Closed);
    assert!(node.close().now_or_never().is_some(), "once more has no effect");
}

#[test]
fn closing_does_not_wait_for_connections_that_were_replaced_or_never_came() {
    let (node, links, _older, _to_older) = connected(8);
    let newer = links.connect(TWO).unwrap();
    drop(newer);
    assert!(node.close().now_or_never().is_some());
}

#[test]
fn a_close_that_is_dropped_has_closed() {
    let (node, _links, _arrivals, mut departures) = connected(8);
    assert!(node.close().now_or_never().is_none());
    assert_eq!(take(&mut departures), (vec![], true));
    assert!(departures.is_closing());
}

#[test]
fn a_transport_that_is_dropped_gives_what_was_sent_and_asks_for_no_goodbye() {
    let (node, links, mut arrivals, mut departures) = connected(8);
    assert_eq!(try_send(&node, TWO, 1..=3), []);
    drop(node);
    assert_eq!(arrivals.push(frame(1)).now_or_never(), Some(Ok(())), "it reads on, to the neighbour's end");
    assert_eq!(take(&mut departures), (vec![1, 2, 3], true));
    assert!(!departures.is_closing());
    assert_eq!(links.connect(TWO).unwrap_err(), ConnectError::Closed);
    assert!(links.ended().now_or_never().is_some());
}

#[test]
fn a_failure_ends_the_transport_with_what_it_was() {
    let (node, links, mut arrivals, mut departures) = connected(8);
    assert_eq!(try_send(&node, TWO, 1..=3), []);
    links.fail(TransportError::frame_too_large("too large"));
    links.fail(TransportError::other("this comes too late"));
    let error = node.recv(&mut Inbox::with_capacity(8)).now_or_never().unwrap().unwrap_err();
    assert!(error.is_frame_too_large());
    let error = node.send(peer(TWO), &mut frames([4])).now_or_never().unwrap().unwrap_err();
    assert!(error.to_string().contains("has said why before"));
    assert_eq!(take(&mut departures), (vec![], true));
    assert!(!departures.is_closing());
    assert_eq!(arrivals.push(frame(1)).now_or_never(), Some(Err(Disconnected::Failed)));
    drop((arrivals, departures));
    assert!(node.close().now_or_never().is_some());
}

#[test]
fn where_nobody_can_connect_any_more_the_last_connection_leads_to_the_clean_end() {
    let (node, links, mut arrivals, departures) = connected(8);
    drop(links.clone());
    assert_eq!(hear(&node), [Up(2)], "there is another `Links`");
    drop(links);
    drop(arrivals.push(frame(1)));
    assert_eq!(hear(&node), [Frame(2, 1)]);
    arrivals.leave();
    assert_eq!(hear(&node), [Left(2)], "there is a writer still");
    let (receiver, mut inbox) = (Count::new(), Inbox::with_capacity(8));
    let mut receiving = node.recv(&mut inbox);
    assert!(receiver.poll(&mut receiving).is_pending());
    drop(departures);
    assert_eq!(receiver.take(), 1);
    drop(receiving);
    assert_eq!(hear(&node), [End]);
    assert_eq!(try_send(&node, TWO, [4]), [4], "a send waits, as to any neighbour that is gone (T4)");
    assert!(node.close().now_or_never().is_some());
}

#[test]
fn links_that_are_dropped_before_there_was_a_connection_are_a_mistake_that_is_told() {
    let (node, links) = node(8);
    let (receiver, mut inbox) = (Count::new(), Inbox::with_capacity(8));
    let mut receiving = node.recv(&mut inbox);
    assert!(receiver.poll(&mut receiving).is_pending());
    drop(links);
    assert_eq!(receiver.take(), 1);
    let Poll::Ready(Err(error)) = receiver.poll(&mut receiving) else { panic!("it waits for ever") };
    assert!(error.to_string().contains("keep them where connections are made"), "{error}");
}

#[test]
fn a_node_without_neighbours_needs_no_connection() {
    let topology = Graph::mesh([ME]).at(ME).unwrap();
    let (node, links) = LinkTransport::new(topology);
    assert_eq!(hear(&node), []);
    drop(links);
    assert_eq!(hear(&node), [End]);
}

#[test]
fn whoever_is_no_neighbour_is_refused() {
    let (node, links) = node(8);
    let stranger = NodeId(9);
    assert_eq!(links.connect(stranger).unwrap_err(), ConnectError::NoNeighbour { peer: stranger, me: ME });
    let elsewhere = Graph::mesh([ME, stranger]).at(ME).unwrap().peer(stranger).unwrap();
    let error = node.send(elsewhere, &mut frames([1])).now_or_never().unwrap().unwrap_err();
    assert!(error.to_string().contains("no channel from n1 to n9"), "{error}");
}

/// Otherwise a neighbour that comes and goes while the node does something else would fill the memory.
#[test]
fn connections_that_came_and_went_unnoticed_are_forgotten() {
    let (node, links) = node(8);
    let come = |leaves: bool| {
        let (arrivals, departures) = links.connect(TWO).unwrap();
        drop(departures);
        if leaves { arrivals.leave() } else { drop(arrivals) }
    };
    // The writer goes first: each is a loss.
    (0..10_000).for_each(|_| come(false));
    assert_eq!(hear(&node), [Up(2), Lost(2)]);

    let (mut arrivals, departures) = links.connect(TWO).unwrap();
    drop(arrivals.push(frame(1)));
    arrivals.leave();
    drop(departures);
    for round in 0..10_000 {
        let (arrivals, departures) = links.connect(TWO).unwrap();
        if round % 3 == 0 {
            arrivals.leave();
        } else {
            drop(arrivals);
        }
        drop(departures);
    }
    let heard = hear(&node);
    assert!(heard.len() <= 8, "{heard:?}");
    assert_eq!(heard[..3], [Up(2), Frame(2, 1), Left(2)]);
    assert_eq!(heard.last(), Some(&Left(2)), "the end of the last one");
    for (item, next) in heard.iter().zip(&heard[1..]) {
        assert_eq!(*next == Up(2), matches!(item, Lost(_) | Left(_)), "{heard:?}");
    }
}

/// Likewise those that bring a frame each: more than the bound is given up, and the node is told of a loss, goodbye or not.
#[test]
fn connections_that_came_and_went_unnoticed_keep_no_more_frames_than_the_bound() {
    for leaves in [false, true] {
        let (node, links) = node(2);
        for number in 1..=1000 {
            let (mut arrivals, _departures) = links.connect(TWO).unwrap();
            drop(arrivals.push(frame(number)));
            if leaves {
                arrivals.leave();
            }
        }
        let (mut arrivals, _departures) = links.connect(TWO).unwrap();
        drop(arrivals.push(frame(1001)));
        let heard = hear(&node);
        let frames =
            heard.iter().filter_map(|item| if let Frame(_, number) = item { Some(*number) } else { None });
        assert_eq!(frames.collect::<Vec<_>>(), [1, 2, 1001]);
        assert_eq!(heard[heard.len() - 3..], [Lost(2), Up(2), Frame(2, 1001)], "what was given up is a loss");
        assert!(heard.len() < 16, "{heard:?}");
        assert_eq!(arrivals.push(frame(1002)).now_or_never(), Some(Ok(())), "the last one stands");
    }
}

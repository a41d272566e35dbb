//! Bounds, wake-ups and cancel safety, with counted polls.

use futures::FutureExt;
use snapshot_core::{Disconnected, Inbox, Transport};

use super::support::Heard::Frame;
use super::support::*;

#[test]
fn a_send_waits_at_the_bound_and_is_woken_when_half_of_it_is_taken() {
    let (node, _links, _arrivals, mut departures) = connected(4);
    let (sender, mut batch) = (Count::new(), frames(1..=7));
    let mut sending = node.send(peer(TWO), &mut batch);
    assert!(sender.poll(&mut sending).is_pending());
    for number in 1..=2 {
        assert_eq!(sender.take(), 0);
        assert_eq!(departures.next().now_or_never().flatten(), Some(frame(number)));
    }
    assert_eq!(sender.take(), 1);
    assert!(sender.poll(&mut sending).is_pending());
    assert_eq!(take(&mut departures), (vec![3, 4, 5, 6], false));
    assert_eq!(sender.take(), 1);
    assert!(sender.poll(&mut sending).is_ready());
    drop(sending);
    assert_eq!(take(&mut departures), (vec![7], false), "nothing stays behind (T6)");
}

#[test]
fn a_send_that_waits_for_a_connection_is_woken_by_it() {
    let (node, links) = node(4);
    let (sender, mut batch) = (Count::new(), frames(1..=3));
    let mut sending = node.send(peer(TWO), &mut batch);
    assert!(sender.poll(&mut sending).is_pending());
    let (_arrivals, mut departures) = links.connect(TWO).unwrap();
    assert_eq!(sender.take(), 1);
    assert!(sender.poll(&mut sending).is_ready());
    assert_eq!(take(&mut departures), (vec![1, 2, 3], false));
}

#[test]
fn a_send_that_was_dropped_half_way_has_neither_lost_nor_repeated_a_frame() {
    let (node, _links, _arrivals, mut departures) = connected(4);
    let mut batch = frames(1..=7);
    assert!(node.send(peer(TWO), &mut batch).now_or_never().is_none());
    assert_eq!(batch.iter().map(|frame| number(&frame.cloned())).collect::<Vec<_>>(), [5, 6, 7]);
    assert_eq!(take(&mut departures), (vec![1, 2, 3, 4], false));
    assert!(node.send(peer(TWO), &mut batch).now_or_never().is_some());
    assert_eq!(take(&mut departures), (vec![5, 6, 7], false));
}

#[test]
fn a_neighbour_whose_queue_is_full_delays_only_itself() {
    let (node, links, mut from_two, _to_two) = connected(4);
    let (mut from_three, mut to_three) = links.connect(THREE).unwrap();
    let mut stuck = frames(1..=100);
    assert!(node.send(peer(TWO), &mut stuck).now_or_never().is_none());
    for number in 1..=100 {
        assert_eq!(try_send(&node, THREE, [number]), []);
        assert_eq!(take(&mut to_three), (vec![number], false));
    }
    assert_eq!(stuck.len(), 96);

    // And the other way.
    while from_two.push(frame(1)).now_or_never().is_some() {}
    assert_eq!(from_three.push(frame(1)).now_or_never(), Some(Ok(())));
}

#[test]
fn a_push_waits_at_the_bound_and_is_woken_when_half_of_it_is_received() {
    let (node, _links, mut arrivals, _departures) = connected(4);
    let reader = Count::new();
    for number in 1..=3 {
        assert_eq!(arrivals.push(frame(number)).now_or_never(), Some(Ok(())));
    }
    let mut waiting = arrivals.push(frame(4));
    assert!(reader.poll(&mut waiting).is_pending());
    let mut inbox = Inbox::with_capacity(2);
    node.recv(&mut inbox).now_or_never().unwrap().unwrap();
    assert_eq!(reader.take(), 0, "three wait still");
    let mut inbox = Inbox::with_capacity(1);
    node.recv(&mut inbox).now_or_never().unwrap().unwrap();
    assert_eq!(reader.take(), 1);
    assert!(reader.poll(&mut waiting).is_ready());
    drop(waiting);
    assert_eq!(hear(&node), [Frame(2, 3), Frame(2, 4)]);
}

#[test]
fn a_push_whose_future_is_dropped_unpolled_has_pushed() {
    let (node, _links, mut arrivals, _departures) = connected(4);
    drop(arrivals.push(frame(1)));
    assert_eq!(hear(&node), [Up(2), Frame(2, 1)]);
}

#[test]
fn a_reader_that_never_waits_is_stopped_and_that_is_a_loss() {
    let (node, _links, mut arrivals, mut departures) = connected(4);
    let refused = (1..).find_map(|number| match arrivals.push(frame(number)).now_or_never() {
        Some(Err(why)) => Some((number, why)),
        Some(Ok(())) | None => None,
    });
    assert_eq!(refused, Some((9, Disconnected::Overrun)));
    assert_eq!(take(&mut departures), (vec![], true));
    let heard = hear(&node);
    // No more than the bound is kept of what is over.
    assert_eq!((heard.len(), &heard[4..]), (6, &[Frame(2, 4), Lost(2)][..]));
}

#[test]
fn a_wait_for_room_ends_with_its_connection() {
    let (_node, links, mut arrivals, _departures) = connected(1);
    let reader = Count::new();
    let mut waiting = arrivals.push(frame(1));
    assert!(reader.poll(&mut waiting).is_pending());
    let _newer = links.connect(TWO).unwrap();
    assert_eq!(reader.take(), 1);
    assert_eq!(reader.poll(&mut waiting), std::task::Poll::Ready(Err(Disconnected::Replaced)));
}

#[test]
fn a_next_that_is_dropped_takes_no_frame_with_it() {
    let (node, _links, _arrivals, mut departures) = connected(4);
    let writer = Count::new();
    {
        let mut taking = Box::pin(departures.next());
        assert!(writer.poll(&mut taking).is_pending());
        assert_eq!(try_send(&node, TWO, [1]), []);
        assert_eq!(writer.take(), 1);
    }
    assert_eq!(take(&mut departures), (vec![1], false));
}

#[test]
fn a_writer_that_waits_is_woken_once_for_a_batch_and_by_every_end() {
    for end in 0..3 {
        let (node, links, arrivals, mut departures) = connected(4);
        let writer = Count::new();
        let mut taking = Box::pin(departures.next());
        assert!(writer.poll(&mut taking).is_pending());
        match end {
            0 => drop(links.connect(TWO)),
            1 => drop(arrivals),
            _ => drop(node),
        }
        assert_eq!(writer.take(), 1);
        assert!(writer.poll(&mut taking).is_ready());
    }
    let (node, _links, _arrivals, mut departures) = connected(4);
    let writer = Count::new();
    assert!(writer.poll(&mut Box::pin(departures.next())).is_pending());
    assert_eq!(try_send(&node, TWO, 1..=4), []);
    assert_eq!(writer.take(), 1);
}

#[test]
fn a_recv_that_waits_is_woken_once_however_much_arrives() {
    let (node, _links, mut arrivals, _departures) = connected(8);
    assert_eq!(hear(&node), [Up(2)]);
    let (receiver, mut inbox) = (Count::new(), Inbox::with_capacity(8));
    let mut receiving = node.recv(&mut inbox);
    assert!(receiver.poll(&mut receiving).is_pending());
    for number in 1..=3 {
        drop(arrivals.push(frame(number)));
    }
    assert_eq!(receiver.take(), 1);
    assert!(receiver.poll(&mut receiving).is_ready());
    drop(receiving);
    assert_eq!(inbox.len(), 3);

    let mut receiving = node.recv(&mut inbox);
    assert!(receiver.poll(&mut receiving).is_pending());
    drop(arrivals);
    assert_eq!(receiver.take(), 1);
    assert!(receiver.poll(&mut receiving).is_ready());
}

/// T3, and that none of many is left to the end.
#[test]
fn no_more_is_received_than_there_is_room_for_and_neighbours_take_turns() {
    let (node, links, mut from_two, _to_two) = connected(8);
    let (mut from_three, _to_three) = links.connect(THREE).unwrap();
    for number in 1..=8 {
        drop(from_two.push(frame(number)));
        drop(from_three.push(frame(number)));
    }
    let mut heard = Vec::new();
    while heard.len() < 18 {
        let mut inbox = Inbox::with_capacity(3);
        node.recv(&mut inbox).now_or_never().unwrap().unwrap();
        assert!((1..=3).contains(&inbox.len()));
        heard.extend(std::iter::from_fn(|| inbox.pop()).map(in_short));
    }
    let of = |item: &Heard| matches!(item, Up(3) | Frame(3, _));
    assert_eq!(heard.iter().map(of).collect::<Vec<_>>().chunks(3).filter(|chunk| chunk[0]).count(), 3);
    assert!(heard[3..6].iter().all(of), "{heard:?}");
    let error = node.recv(&mut Inbox::with_capacity(0)).now_or_never().unwrap().unwrap_err();
    assert!(error.to_string().contains("full"));
}

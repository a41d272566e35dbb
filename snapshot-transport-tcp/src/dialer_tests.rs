use std::time::Duration;

use snapshot_core::{Graph, NodeId, RawBytes, Topology};
use tokio::net::TcpListener;

use super::*;
use crate::TcpTransport;
use crate::handshake::{Identity, OwnLife};
use crate::shared::Timing;

/// Only so that a test that hangs says so.
const LONG: Duration = Duration::from_secs(60);

fn topology(group: &str, me: u64) -> Topology {
    Graph::mesh([NodeId(1), NodeId(2)]).named(group).at(NodeId(me)).unwrap()
}

async fn listening(group: &str) -> (TcpTransport<bytes::Bytes>, SocketAddr) {
    let at = "127.0.0.1:0".parse().unwrap();
    let transport = TcpTransport::builder(topology(group, 1), RawBytes).listen(at).bind().await.unwrap();
    let at = transport.local_addr().unwrap();
    (transport, at)
}

/// Node 2, with so much time for a handshake. It dials node 1 at addresses that no resolver has to know.
fn node_two(handshake: Duration) -> Shared {
    let (first_redial, slowest_redial, close) = (LONG, LONG, LONG);
    let timing =
        Timing { handshake, first_redial, slowest_redial, close, silence: LONG, resume: Duration::ZERO };
    let identity = Identity { topology: topology("ours", 2), max_frame: 4096, own: OwnLife::new(2) };
    Shared::new(identity, timing, false)
}

async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn whoever_is_at_an_address_the_next_one_has_its_turn() {
    let shared = node_two(LONG);
    let mut dialer = Dialer::new(&shared, &shared.links[0], "a name:1");
    let (_other, others) = listening("other").await;
    let (one, ours) = listening("ours").await;
    let all = vec![nobody().await, others, ours];
    assert!(dialer.try_all(all.clone()).await);
    assert_eq!(dialer.link.last_seen(), LastSeen::Connected);
    one.connected(LONG).await.unwrap();
    assert_eq!(dialer.turns.order(all)[0], ours, "where it was it is asked first");
}

#[tokio::test]
async fn somebody_who_says_nothing_keeps_nobody_from_having_a_turn() {
    let shared = node_two(Duration::from_millis(100));
    let mut dialer = Dialer::new(&shared, &shared.links[0], "a name:1");
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (_one, ours) = listening("ours").await;
    // On a busy machine the right one may be too slow as well, and has another chance.
    let rounds = async { while !dialer.try_all(vec![silent.local_addr().unwrap(), ours]).await {} };
    timeout(LONG, rounds).await.expect("the test hangs");
}

#[tokio::test]
async fn a_round_without_success_tells_of_each_and_the_next_one_begins_with_another() {
    let shared = node_two(LONG);
    let mut dialer = Dialer::new(&shared, &shared.links[0], "a name:1");
    let (_other, others) = listening("other").await;
    let nobody = nobody().await;
    assert!(!dialer.try_all(vec![nobody, others]).await);
    assert!(matches!(dialer.link.last_seen(), LastSeen::Refused { .. }));
    assert_eq!(dialer.turns.order([nobody, others]), [others, nobody]);
    assert!(!dialer.try_all(vec![nobody, others]).await);
    assert!(matches!(dialer.link.last_seen(), LastSeen::Unreachable { .. }));
    assert_eq!(dialer.told.connected(), 4);
}

#[tokio::test]
async fn an_address_that_the_name_has_again_is_news_again() {
    let shared = node_two(LONG);
    let mut dialer = Dialer::new(&shared, &shared.links[0], "a name:1");
    let (first, second) = (nobody().await, nobody().await);
    dialer.try_all(vec![first]).await;
    let LastSeen::Unreachable { why } = dialer.link.last_seen() else { panic!("{:?}", dialer.link) };
    assert!(!dialer.told.failed(Some(first), why.clone()));
    dialer.try_all(vec![second]).await;
    assert!(dialer.told.failed(Some(first), why));
}

#[tokio::test]
async fn what_is_no_address_is_told_as_such() {
    let shared = node_two(LONG);
    // Longer than a name may be, so that nobody is asked for it.
    let long = format!("{}:1", "x".repeat(64));
    for (text, why) in [
        ("nowhere", "this is not of the form \"host:port\": "),
        ("nowhere:http", "this is not of the form \"host:port\": "),
        (&long, "the name does not resolve: "),
    ] {
        let mut dialer = Dialer::new(&shared, &shared.links[0], text);
        assert!(!dialer.dial().await);
        let seen = dialer.link.last_seen();
        assert!(matches!(&seen, LastSeen::Unreachable { why: found } if found.starts_with(why)), "{seen:?}");
    }
}

#[tokio::test]
async fn a_name_that_comes_to_stand_for_another_machine_gets_no_plain_text() {
    let shared = node_two(LONG);
    let mut dialer = Dialer::new(&shared, &shared.links[0], "localhost:1");
    // An address that is kept for documentation: nobody is there.
    assert!(!dialer.try_all(vec!["192.0.2.1:1".parse().unwrap()]).await);
    let seen = dialer.link.last_seen();
    assert!(matches!(&seen, LastSeen::Unreachable { why } if why.contains("plain text")), "{seen:?}");
}

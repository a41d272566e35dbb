//! Many threads, connections that break and are replaced at random: what is received is in order, nothing is missing but
//! where a loss was told, and nobody sleeps for ever.

use std::sync::mpsc;
use std::thread::{self, Scope};
use std::time::Duration;

use futures::executor::block_on;
use futures::future::join_all;
use snapshot_core::{Arrivals, Departures, Graph, Inbox, LinkTransport, Links, NodeId, Peer, Transport};

use super::support::Heard::Frame;
use super::support::*;

const FRAMES: u64 = 30_000;
const BREAKS: usize = 60;

/// Numbers from a seed (SplitMix64).
#[derive(Clone)]
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn other(&mut self) -> Self {
        Self(self.below(u64::MAX))
    }
}

#[test]
fn storms_of_connections_over_many_threads() {
    let seeds = match std::env::var("SEED") {
        Ok(seed) => {
            let seed = seed.parse().expect("SEED is a number");
            seed..seed + 1
        }
        Err(_) => 0..8,
    };
    for seed in seeds {
        eprintln!("SEED={seed} cargo test -p snapshot-core --test driver links::storm");
        let (done, wait) = mpsc::channel();
        let run = thread::spawn(move || {
            storm(Random(seed));
            let _ = done.send(());
        });
        // Only so that a test that hangs says so.
        if let Err(mpsc::RecvTimeoutError::Timeout) = wait.recv_timeout(Duration::from_secs(120)) {
            panic!("seed {seed} hangs");
        }
        run.join().unwrap_or_else(|_| panic!("seed {seed} failed"));
    }
}

fn storm(mut random: Random) {
    let graph = Graph::mesh([NodeId(1), NodeId(2)]);
    let capacity = [1, 2, 7, 100][random.below(4) as usize];
    let end = |me| LinkTransport::with_capacity(graph.at(NodeId(me)).unwrap(), capacity);
    let (ends, links): (Vec<_>, Vec<_>) = [end(1), end(2)].into_iter().unzip();
    let links: [Links<u64>; 2] = links.try_into().unwrap();
    thread::scope(|scope| {
        let mut tasks = Vec::new();
        for node in &ends {
            let (mut sending, mut receiving) = (random.other(), random.other());
            tasks.push(scope.spawn(move || block_on(send_all(node, &mut sending))));
            tasks.push(scope.spawn(move || block_on(receive_all(node, &mut receiving))));
        }
        connect_all(scope, &links, random);
        tasks.into_iter().for_each(|task| task.join().unwrap());
        // The last connection ends with it.
        block_on(join_all(ends.iter().map(Transport::close))).into_iter().for_each(Result::unwrap);
    });
}

async fn send_all(node: &LinkTransport<u64>, random: &mut Random) {
    let peer = only_peer(node);
    let mut next = 1;
    while next <= FRAMES {
        let numbers = next..(next + 1 + random.below(200)).min(FRAMES + 1);
        next = numbers.end;
        let mut batch = frames(numbers);
        node.send(peer, &mut batch).await.unwrap();
        assert!(batch.is_empty());
    }
}

async fn receive_all(node: &LinkTransport<u64>, random: &mut Random) {
    let (mut last, mut up, mut may_miss) = (0, false, false);
    while last < FRAMES {
        let mut inbox = Inbox::with_capacity(1 + random.below(50) as usize);
        node.recv(&mut inbox).await.unwrap();
        assert!(!inbox.is_empty());
        while let Some(item) = inbox.pop() {
            match in_short(item) {
                Frame(_, number) => {
                    assert!(up, "a frame came where no connection stood");
                    assert!(number == last + 1 || may_miss && number > last, "{number} came after {last}");
                    (last, may_miss) = (number, false);
                }
                Up(_) => assert!(!std::mem::replace(&mut up, true)),
                Lost(_) => {
                    assert!(std::mem::replace(&mut up, false));
                    may_miss = true;
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

/// Makes connections, each of which breaks after some frames or is replaced while it stands; and one that stays.
fn connect_all<'a>(scope: &'a Scope<'a, '_>, links: &[Links<u64>; 2], mut random: Random) {
    for number in 0..=BREAKS {
        let (from_two, to_two) = links[0].connect(NodeId(2)).unwrap();
        let (from_one, to_one) = links[1].connect(NodeId(1)).unwrap();
        let mut limit = || if number == BREAKS { u64::MAX } else { random.below(300) };
        let limits = [limit(), limit()];
        let wires = [
            scope.spawn(move || block_on(carry(to_two, from_one, limits[0]))),
            scope.spawn(move || block_on(carry(to_one, from_two, limits[1]))),
        ];
        if random.below(3) > 0 && number < BREAKS {
            wires.into_iter().for_each(|wire| wire.join().unwrap());
        }
    }
}

/// Carries frames one way, and lets the connection break after so many.
async fn carry(mut departures: Departures<u64>, mut arrivals: Arrivals<u64>, limit: u64) {
    for _ in 0..limit {
        let Some(frame) = departures.next().await else { return };
        if arrivals.push(frame).await.is_err() {
            return;
        }
    }
}

fn only_peer(node: &LinkTransport<u64>) -> Peer {
    node.topology().peers().next().unwrap()
}

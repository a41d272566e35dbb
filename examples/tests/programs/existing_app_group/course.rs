//! A run: clients at work, nodes that are killed and started again, and then the question what has become of the writes.

use std::thread;
use std::time::Duration;

use fastrand::Rng;

use snapshot_examples::key_values::{Clients, verify};

use super::{Group, NODES, Program};

const CLIENTS: usize = 24;

/// How nodes are killed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Schedule {
    /// Any number of them, at any time, also while they start.
    Random,
    /// All together, several times.
    All,
    /// One, again and again, soon after its start.
    Same,
}

/// What a run has shown.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) kills: usize,
    pub(crate) acknowledged: usize,
    pub(crate) failures: usize,
    /// What was acknowledged and did not happen, or was counted twice.
    pub(crate) broken: Vec<String>,
}

/// Runs a group under a schedule of kills.
///
/// The seed decides who is killed, in which order, and how long the pauses are. What the processes do meanwhile is up to the
/// machine, so that a seed that has failed once may need a few more runs.
pub(crate) fn run(program: Program, schedule: Schedule, seed: u64) -> Outcome {
    println!("{program:?}, {schedule:?}, seed {seed}");
    let mut random = Rng::with_seed(seed);
    let mut group = Group::start(program, seed);
    let clients = Clients::start(CLIENTS, &group.clients, seed);
    let rounds = random.usize(3..7);
    let mut kills = 0;
    for _ in 0..rounds {
        // Now and then it hits a group that has not got over the last kill.
        if random.u8(..4) > 0 {
            let more = random.usize(1..40);
            let before: usize = clients.answered().iter().sum();
            group
                .until("clients are answered", |_| clients.answered().iter().sum::<usize>() >= before + more);
        }
        pause(&mut random, 120);
        let victims = victims(schedule, &mut random);
        for &node in &victims {
            group.kill(node);
        }
        kills += victims.len();
        pause(&mut random, 100);
        let mut starting = victims;
        random.shuffle(&mut starting);
        let again = match schedule {
            Schedule::Same => random.usize(1..4),
            Schedule::Random => random.usize(..2) * random.usize(..3),
            Schedule::All => 0,
        };
        for &node in &starting {
            group.start_node(node);
            for _ in 0..again {
                // While it starts.
                pause(&mut random, 60);
                group.kill(node);
                group.start_node(node);
                kills += 1;
            }
            pause(&mut random, 30);
        }
    }
    let before = clients.answered();
    group.until("every client is answered again, now that no node is killed any more", |_| {
        clients.answered().iter().zip(&before).all(|(now, before)| *now >= before + 3)
    });
    let memory = clients.stop();
    let broken = verify(&group.clients, &memory).unwrap_or_else(|error| panic!("{error}\n{}", group.logs()));
    Outcome { kills, acknowledged: memory.acknowledged(), failures: memory.failures, broken }
}

fn victims(schedule: Schedule, random: &mut Rng) -> Vec<usize> {
    let mut nodes: Vec<usize> = (0..NODES).collect();
    random.shuffle(&mut nodes);
    nodes.truncate(match schedule {
        Schedule::Random => random.usize(1..=NODES),
        Schedule::All => NODES,
        Schedule::Same => return vec![1],
    });
    nodes
}

/// Lets a random time pass, so that a kill comes at any moment of a snapshot, a recovery or a start.
fn pause(random: &mut Rng, most: u64) {
    thread::sleep(Duration::from_micros(random.u64(..most * 1000)));
}

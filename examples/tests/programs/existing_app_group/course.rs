//! A run: clients at work, nodes that are killed and started again, and then the question what has become of the writes.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::clients::{Clients, Memory};
use super::{Group, LIMIT, LOOK, Line, NODES, Program};

const CLIENTS: usize = 24;

/// Connections over which is asked in the end. Each answer waits for a snapshot, so many are asked for at a time.
const ASKING: usize = 24;

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
    let broken = verify(&mut group, &memory);
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

/// Compares what the clients were told with what the nodes have now: first as their owners know the keys, then at every node.
fn verify(group: &mut Group, memory: &Memory) -> Vec<String> {
    let mut broken = memory.lies.clone();
    let keys = memory.keys.keys().chain(memory.counters.keys()).chain(memory.registers.keys());
    let found = look_up(group, keys.cloned().collect());
    let value = |key: &str| found[key].strip_prefix("VALUE ");
    for (key, (written, acknowledged)) in &memory.keys {
        match value(key) {
            Some(value) if value == written => {}
            None if !acknowledged => {}
            other => broken.push(format!("{key} is {other:?} and not {written}")),
        }
    }
    for (counter, (answers, unknown)) in &memory.counters {
        let count = value(counter).map_or(Some(0), |value| value.parse().ok()).expect("a number");
        let different: BTreeSet<&u64> = answers.iter().collect();
        if different.len() < answers.len() {
            broken.push(format!("{counter} had the same value after two acknowledged INCRs"));
        }
        let newest = answers.iter().max().copied().unwrap_or(0);
        let acknowledged = answers.len() as u64;
        if count < newest.max(acknowledged) || count > acknowledged + unknown {
            broken.push(format!(
                "{counter} is {count}, after {acknowledged} acknowledged INCRs up to {newest}, and {unknown} others"
            ));
        }
    }
    for (register, (last, unknown)) in &memory.registers {
        let value: Option<u64> = value(register).map(|value| value.parse().expect("a number"));
        if value != *last && !value.is_some_and(|value| unknown.contains(&value)) {
            broken.push(format!("{register} is {value:?} and not {last:?}, nor one of {unknown:?}"));
        }
    }
    if broken.is_empty() {
        let same = |group: &mut Group, node: usize| {
            let Ok(mut line) = Line::open(group.clients[node]) else { return false };
            found
                .iter()
                .all(|(key, answer)| line.ask(&format!("PEEK {key}")).is_ok_and(|here| here == *answer))
        };
        group.until("every node has what the owners have", |group| (0..NODES).all(|node| same(group, node)));
    }
    broken
}

/// What the owners of these keys answer.
fn look_up(group: &Group, keys: Vec<String>) -> BTreeMap<String, String> {
    let part = |index: usize| {
        let (keys, mut line) = (keys.iter().skip(index).step_by(ASKING), None);
        let address = group.clients[index % NODES];
        let end = Instant::now() + LIMIT;
        let mut ask = |key: &String| loop {
            if line.is_none() {
                line = Line::open(address).ok();
            }
            match line.as_mut().map(|line| line.ask(&format!("GET {key}"))) {
                Some(Ok(answer)) if !answer.starts_with("ERR ") => return (key.clone(), answer),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => line = None,
            }
            assert!(Instant::now() < end, "GET {key} is never answered\n{}", group.logs());
            thread::sleep(LOOK);
        };
        keys.map(&mut ask).collect::<Vec<_>>()
    };
    thread::scope(|scope| {
        let asking: Vec<_> = (0..ASKING).map(|index| scope.spawn(move || part(index))).collect();
        asking.into_iter().flat_map(|thread| thread.join().expect("it is answered")).collect()
    })
}

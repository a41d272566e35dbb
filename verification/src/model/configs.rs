//! The worlds that are searched.

use super::config::{Config, Seen, Shape};

const CALM: Config = Config::CALM;

/// All configurations, the small ones first.
pub const ALL: &[Config] = &[
    Config {
        name: "cut",
        about: "2 nodes, no store: one snapshot, messages both ways and replies",
        durable: false,
        sends: &[(0, 1, 2), (1, 0, 1)],
        hops: 1,
        snapshots: &[(0, 1)],
        expects: &[Seen::Cut, Seen::InFlight, Seen::Ahead],
        ..CALM
    },
    Config {
        name: "overlap",
        about: "2 nodes, no store: 3 overlapping snapshots of both, each batch of frames sent at any time",
        durable: false,
        flushes: false,
        sends: &[(0, 1, 1), (1, 0, 1)],
        snapshots: &[(0, 2), (1, 1)],
        aborts: 1,
        expects: &[Seen::Cut, Seen::InFlight, Seen::Ahead, Seen::Overlap, Seen::Aborted],
        ..CALM
    },
    Config {
        name: "mesh",
        about: "3 nodes, no store: 2 initiators at once",
        shape: Shape::Mesh(3),
        durable: false,
        sends: &[(0, 1, 1), (1, 2, 1), (2, 0, 1)],
        snapshots: &[(0, 1), (1, 1)],
        expects: &[Seen::Cut, Seen::InFlight, Seen::Ahead, Seen::Overlap],
        ..CALM
    },
    Config {
        name: "ring",
        about: "3 nodes in a one-way ring, no store: 2 initiators at once, messages that go on",
        shape: Shape::Ring(3),
        durable: false,
        sends: &[(0, 1, 1), (1, 2, 1)],
        hops: 1,
        snapshots: &[(0, 1), (2, 1)],
        expects: &[Seen::Cut, Seen::InFlight, Seen::Ahead, Seen::Overlap],
        ..CALM
    },
    Config {
        name: "line",
        about: "3 nodes in a line with ways back, no store: 2 initiators at once",
        shape: Shape::Line(3),
        durable: false,
        sends: &[(0, 1, 2)],
        hops: 1,
        snapshots: &[(0, 1), (2, 1)],
        expects: &[Seen::Cut, Seen::InFlight, Seen::Ahead, Seen::Overlap],
        ..CALM
    },
    Config {
        name: "commit",
        about: "2 nodes: 3 overlapping snapshots of both want to commit",
        sends: &[(0, 1, 1), (1, 0, 1)],
        snapshots: &[(0, 2), (1, 1)],
        expects: &[Seen::Cut, Seen::InFlight, Seen::Overlap, Seen::Commit, Seen::Superseded, Seen::LostRace],
        ..CALM
    },
    Config {
        name: "crash",
        about: "2 nodes: a snapshot, a crash with the loss of any tail, rollback and replay",
        any_loss: true,
        sends: &[(0, 1, 1), (1, 0, 1)],
        snapshots: &[(0, 1)],
        crashes: (1, &[0, 1]),
        expects: &[Seen::Commit, Seen::Generation, Seen::WentBack, Seen::Replayed, Seen::LostFrame],
        ..CALM
    },
    Config {
        name: "cold",
        about: "2 nodes that start at any time: the race for the first generation, a late start",
        running: false,
        sends: &[(0, 1, 1)],
        snapshots: &[(0, 1)],
        expects: &[Seen::Commit, Seen::LostRace],
        ..CALM
    },
    Config {
        name: "openers",
        about: "2 nodes, 2 crashes: processes that race to open a generation, three generations",
        sends: &[(0, 1, 1)],
        snapshots: &[(1, 1)],
        crashes: (2, &[0, 1]),
        expects: &[Seen::Commit, Seen::Generation, Seen::ThirdGeneration, Seen::LostRace, Seen::WentBack],
        ..CALM
    },
    Config {
        name: "successor",
        about: "2 nodes: the initiator dies between receipts and commit, and what it had asked of the store still happens",
        split: true,
        zombies: true,
        sends: &[(0, 1, 1)],
        snapshots: &[(0, 1)],
        crashes: (1, &[0]),
        expects: &[Seen::FoundSet, Seen::Zombie, Seen::ZombieCommit, Seen::LostRace, Seen::Replayed],
        ..CALM
    },
    Config {
        name: "double",
        about: "2 nodes: a second process of one, while the first lives on and commits late",
        sends: &[(1, 0, 1)],
        snapshots: &[(0, 1)],
        doubles: (1, &[0]),
        silences: 1,
        expects: &[Seen::ZombieCommit, Seen::Replaced, Seen::Generation, Seen::LostRace],
        ..CALM
    },
    Config {
        name: "early",
        about: "2 nodes: frames of a newer generation reach a node with what it had received already",
        eager: true,
        sends: &[(0, 1, 1), (1, 0, 1)],
        snapshots: &[(0, 1)],
        crashes: (1, &[0]),
        expects: &[Seen::Held, Seen::Generation, Seen::WentBack, Seen::Replayed],
        ..CALM
    },
    Config {
        name: "break",
        about: "2 nodes: a connection breaks and loses any tail",
        any_loss: true,
        sends: &[(0, 1, 2)],
        snapshots: &[(1, 1)],
        breaks: 1,
        expects: &[Seen::LostFrame, Seen::Generation, Seen::WentBack, Seen::Aborted],
        ..CALM
    },
    Config {
        name: "again",
        about: "2 nodes, 2 snapshots, 2 crashes: what is handed out again is recorded again",
        sends: &[(0, 1, 1)],
        snapshots: &[(0, 2)],
        crashes: (2, &[1]),
        expects: &[Seen::Replayed, Seen::ThirdGeneration, Seen::Commit],
        ..CALM
    },
    Config {
        name: "retention",
        about: "2 nodes that keep 1 commit, 3 snapshots, a crash; deletions may come late",
        keep: 1,
        zombies: true,
        sends: &[(0, 1, 1)],
        snapshots: &[(0, 2), (1, 1)],
        crashes: (1, &[0]),
        expects: &[Seen::Deleted, Seen::Commit, Seen::Generation, Seen::Superseded],
        ..CALM
    },
    Config {
        name: "ambiguous",
        about: "2 nodes: the store fails once, before or after it has done what was asked, or lags",
        sends: &[(0, 1, 1)],
        snapshots: &[(0, 1)],
        crashes: (1, &[1]),
        store_faults: 1,
        expects: &[Seen::Aborted, Seen::FailedStart, Seen::Commit, Seen::Generation],
        ..CALM
    },
    Config {
        name: "given-up",
        about: "2 nodes: snapshots are given up and pass their deadline at any time",
        sends: &[(0, 1, 1)],
        snapshots: &[(0, 1), (1, 1)],
        aborts: 1,
        deadlines: 1,
        expects: &[Seen::Aborted, Seen::Commit],
        ..CALM
    },
];

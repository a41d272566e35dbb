//! The worlds that are searched.

use super::config::{Config, Effort, Seen, Shape};

const CALM: Config = Config::CALM;

/// All configurations: those without a store, then those with one, each followed by wider ones of its kind.
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
    OVERLAP,
    Config {
        name: "overlap-wide",
        about: "the same with each batch of frames sent at any time, and a snapshot given up",
        flushes: false,
        aborts: 1,
        expects: &[Seen::Cut, Seen::InFlight, Seen::Ahead, Seen::Overlap, Seen::Aborted],
        effort: Effort::Minutes,
        ..OVERLAP
    },
    MESH,
    Config {
        name: "mesh-wide",
        about: "the same with a message from each node",
        sends: &[(0, 1, 1), (1, 2, 1), (2, 0, 1)],
        effort: Effort::Hours,
        ..MESH
    },
    RING,
    Config {
        name: "ring-wide",
        about: "the same with a second message",
        sends: &[(0, 1, 1), (1, 2, 1)],
        effort: Effort::Seconds,
        ..RING
    },
    WINDOW,
    Config {
        name: "window-wide",
        about: "the same with each batch of frames sent at any time, and a message back",
        flushes: false,
        sends: &[(0, 1, 2), (1, 0, 1)],
        snapshots: &[(0, 1), (1, 1)],
        expects: &[Seen::Cut, Seen::InFlight, Seen::Overtaken, Seen::Split],
        effort: Effort::Minutes,
        ..WINDOW
    },
    Config {
        name: "window-flights",
        about: "the same with batches that are under way for a while, and 2 messages",
        flushes: false,
        flights: true,
        sends: &[(0, 1, 2)],
        expects: &[Seen::Cut, Seen::InFlight, Seen::Overtaken, Seen::Split],
        ..WINDOW
    },
    Config {
        name: "window-ask",
        about: "2 nodes, no store: a message that leaves no room for a larger one, so that more is asked for",
        window: (8, 3),
        expects: &[Seen::Cut, Seen::InFlight, Seen::HeldBack, Seen::Overtaken, Seen::Split, Seen::Asked],
        ..WINDOW
    },
    Config {
        name: "window-large",
        about: "2 nodes, no store: messages that are larger than the window go one by one",
        window: (8, 2),
        ..WINDOW
    },
    Config {
        name: "window-relief",
        about: "2 nodes, no store, a window of 1 message: outboxes over their high mark of 2, so that little is handed out",
        high: 2,
        sends: &[(0, 1, 3), (1, 0, 3)],
        snapshots: &[],
        expects: &[Seen::HeldBack, Seen::Relieved],
        ..WINDOW
    },
    Config {
        name: "window-ring",
        about: "3 nodes in a one-way ring, no store: grants go round behind the markers, a window of 1 message",
        shape: Shape::Ring(3),
        sends: &[(0, 1, 2)],
        snapshots: &[(0, 1), (1, 1)],
        ..WINDOW
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
    COMMIT,
    Config {
        name: "commit-wide",
        about: "3 overlapping snapshots of both nodes want to commit, messages both ways",
        sends: &[(0, 1, 1), (1, 0, 1)],
        snapshots: &[(0, 2), (1, 1)],
        effort: Effort::Hours,
        ..COMMIT
    },
    CRASH,
    Config {
        name: "crash-wide",
        about: "the same with messages both ways and either node dying",
        sends: &[(0, 1, 1), (1, 0, 1)],
        crashes: (1, &[0, 1]),
        effort: Effort::Minutes,
        ..CRASH
    },
    Config {
        name: "crash-slow",
        about: "the same with each batch of frames sent at any time, and none or all of what is under way lost",
        any_loss: false,
        flushes: false,
        effort: Effort::Seconds,
        ..CRASH
    },
    Config {
        name: "crash-ring",
        about: "3 nodes in a one-way ring: a snapshot, a crash",
        shape: Shape::Ring(3),
        any_loss: false,
        sends: &[(0, 1, 1)],
        crashes: (1, &[1]),
        effort: Effort::Hours,
        ..CRASH
    },
    Config {
        name: "crash-mesh",
        about: "3 nodes, each with each: a snapshot, a crash",
        shape: Shape::Mesh(3),
        any_loss: false,
        sends: &[(0, 1, 1)],
        crashes: (1, &[1]),
        effort: Effort::Hours,
        ..CRASH
    },
    WINDOW_CRASH,
    Config {
        name: "window-crash-wide",
        about: "the same with a snapshot of either and either node dying",
        snapshots: &[(0, 1), (1, 1)],
        crashes: (1, &[0, 1]),
        effort: Effort::Minutes,
        ..WINDOW_CRASH
    },
    Config {
        name: "window-replay",
        about: "the same with 2 snapshots, on a transport that tells of no connections: what is handed out again takes up the window",
        untold: true,
        snapshots: &[(1, 2)],
        expects: &[Seen::HeldBack, Seen::Split, Seen::Replayed, Seen::Resent, Seen::Asked],
        effort: Effort::Seconds,
        ..WINDOW_CRASH
    },
    Config {
        name: "window-again",
        about: "the same with a second snapshot and a second crash: what is sent again is recorded again",
        snapshots: &[(1, 2)],
        crashes: (2, &[1]),
        effort: Effort::Hours,
        ..WINDOW_CRASH
    },
    UNTOLD,
    Config {
        name: "untold-wide",
        about: "the same with a snapshot",
        snapshots: &[(0, 1)],
        expects: &[Seen::Commit, Seen::Generation, Seen::ThirdGeneration, Seen::WentBack, Seen::Replayed],
        effort: Effort::Seconds,
        ..UNTOLD
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
    OPENERS,
    Config {
        name: "openers-wide",
        about: "the same with a message and a snapshot",
        sends: &[(0, 1, 1)],
        snapshots: &[(1, 1)],
        expects: &[
            Seen::Commit,
            Seen::Generation,
            Seen::ThirdGeneration,
            Seen::LostRace,
            Seen::WentBack,
            Seen::Replayed,
        ],
        effort: Effort::Hours,
        ..OPENERS
    },
    Config {
        name: "again",
        about: "2 nodes, 2 snapshots, 2 crashes: what is handed out again is recorded again",
        sends: &[(0, 1, 1)],
        snapshots: &[(0, 2)],
        crashes: (2, &[1]),
        expects: &[Seen::Replayed, Seen::ThirdGeneration, Seen::Commit],
        effort: Effort::Hours,
        ..CALM
    },
    SUCCESSOR,
    Config {
        name: "successor-wide",
        about: "the same with either node dying, two snapshots",
        snapshots: &[(0, 1), (1, 1)],
        crashes: (1, &[0, 1]),
        effort: Effort::Hours,
        ..SUCCESSOR
    },
    DOUBLE,
    Config {
        name: "double-wide",
        about: "the same with a message and a crash of the other node",
        sends: &[(1, 0, 1)],
        crashes: (1, &[1]),
        expects: &[
            Seen::ZombieCommit,
            Seen::Replaced,
            Seen::GaveWay,
            Seen::ThirdGeneration,
            Seen::LostRace,
            Seen::Replayed,
        ],
        effort: Effort::Hours,
        ..DOUBLE
    },
    EARLY,
    Config {
        name: "early-wide",
        about: "the same with messages both ways",
        sends: &[(0, 1, 1), (1, 0, 1)],
        effort: Effort::Minutes,
        ..EARLY
    },
    Config {
        name: "stale",
        about: "2 nodes: a snapshot, a crash; what is read of the journal can be old when it arrives",
        stale: true,
        any_loss: false,
        sends: &[],
        expects: &[Seen::Commit, Seen::Generation, Seen::WentBack],
        ..CRASH
    },
    BREAK,
    Config {
        name: "break-wide",
        about: "the same with two messages",
        sends: &[(0, 1, 2)],
        effort: Effort::Seconds,
        ..BREAK
    },
    Config {
        name: "break-ways",
        about: "the same with three messages, both ways",
        sends: &[(0, 1, 2), (1, 0, 1)],
        effort: Effort::Hours,
        ..BREAK
    },
    Config {
        name: "break-crash",
        about: "2 nodes: a connection breaks, and a node dies, before, after or meanwhile",
        crashes: (1, &[1]),
        effort: Effort::Hours,
        ..BREAK
    },
    RETENTION,
    Config {
        name: "retention-wide",
        about: "the same with 3 snapshots of both nodes, which cross",
        snapshots: &[(0, 2), (1, 1)],
        expects: &[Seen::Deleted, Seen::Commit, Seen::Generation, Seen::Superseded],
        effort: Effort::Hours,
        ..RETENTION
    },
    AMBIGUOUS,
    Config {
        name: "ambiguous-wide",
        about: "the same with a crash",
        crashes: (1, &[1]),
        expects: &[Seen::Aborted, Seen::FailedStart, Seen::Commit, Seen::Generation],
        effort: Effort::Minutes,
        ..AMBIGUOUS
    },
    Config {
        name: "ambiguous-late",
        about: "the same, with what was reported as failed done at any later time",
        zombies: true,
        expects: &[Seen::Aborted, Seen::Commit, Seen::Zombie, Seen::Discarded],
        effort: Effort::Seconds,
        ..AMBIGUOUS
    },
    GIVEN_UP,
    Config {
        name: "given-up-found",
        about: "the same, and the initiator dies: what was given up is found, or was discarded",
        crashes: (1, &[0]),
        expects: &[Seen::Aborted, Seen::Commit, Seen::FoundSet, Seen::Discarded, Seen::LostRace],
        effort: Effort::Minutes,
        ..GIVEN_UP
    },
    Config {
        name: "given-up-wide",
        about: "the same with 2 snapshots, which overlap",
        snapshots: &[(0, 1), (1, 1)],
        effort: Effort::Seconds,
        ..GIVEN_UP
    },
    Config {
        name: "given-up-late",
        about: "the same with deadlines that pass at any time",
        snapshots: &[(0, 1), (1, 1)],
        deadlines: 1,
        effort: Effort::Hours,
        ..GIVEN_UP
    },
    HISTORY,
    Config {
        name: "history-untold",
        about: "the same on a transport that tells of no connections",
        untold: true,
        ..HISTORY
    },
    Config {
        name: "history-wide",
        about: "the same with 2 snapshots of one name",
        snapshots: &[(0, 2)],
        untold: true,
        effort: Effort::Minutes,
        ..HISTORY
    },
    Config {
        name: "history-crash",
        about: "the same with a crash, before or after",
        crashes: (1, &[1]),
        expects: &[Seen::LeftOver, Seen::Commit, Seen::Generation, Seen::ThirdGeneration],
        effort: Effort::Hours,
        ..HISTORY
    },
];

const OVERLAP: Config = Config {
    name: "overlap",
    about: "2 nodes, no store: 3 overlapping snapshots of both, messages both ways",
    durable: false,
    sends: &[(0, 1, 1), (1, 0, 1)],
    snapshots: &[(0, 2), (1, 1)],
    expects: &[Seen::Cut, Seen::InFlight, Seen::Ahead, Seen::Overlap],
    ..CALM
};

const MESH: Config = Config {
    name: "mesh",
    about: "3 nodes, no store: 2 initiators at once",
    shape: Shape::Mesh(3),
    durable: false,
    sends: &[(0, 1, 1)],
    snapshots: &[(0, 1), (1, 1)],
    expects: &[Seen::Cut, Seen::InFlight, Seen::Ahead, Seen::Overlap],
    ..CALM
};

const RING: Config = Config {
    name: "ring",
    about: "3 nodes in a one-way ring, no store: 3 snapshots of 2 nodes, a message that goes on",
    shape: Shape::Ring(3),
    durable: false,
    sends: &[(0, 1, 1)],
    hops: 1,
    snapshots: &[(0, 2), (2, 1)],
    expects: &[Seen::Cut, Seen::InFlight, Seen::Ahead, Seen::Overlap],
    ..CALM
};

const WINDOW: Config = Config {
    name: "window",
    about: "2 nodes, no store: a window of 1 message, 3 messages, a snapshot of each",
    durable: false,
    window: (1, usize::MAX),
    sends: &[(0, 1, 3)],
    snapshots: &[(0, 1), (1, 1)],
    expects: &[Seen::Cut, Seen::InFlight, Seen::HeldBack, Seen::Overtaken, Seen::Split],
    ..CALM
};

const COMMIT: Config = Config {
    name: "commit",
    about: "2 nodes: 2 overlapping snapshots want to commit, and may cross",
    sends: &[(0, 1, 1)],
    snapshots: &[(0, 1), (1, 1)],
    expects: &[Seen::Cut, Seen::InFlight, Seen::Overlap, Seen::Commit, Seen::Superseded, Seen::LostRace],
    ..CALM
};

const CRASH: Config = Config {
    name: "crash",
    about: "2 nodes: a snapshot, a crash with the loss of any tail, rollback and replay",
    any_loss: true,
    sends: &[(0, 1, 1)],
    snapshots: &[(0, 1)],
    crashes: (1, &[1]),
    expects: &[Seen::Commit, Seen::Generation, Seen::WentBack, Seen::Replayed, Seen::LostFrame],
    ..CALM
};

const WINDOW_CRASH: Config = Config {
    name: "window-crash",
    about: "2 nodes, a window of 1 message: a snapshot, a crash, what had not left is sent again",
    window: (1, usize::MAX),
    any_loss: false,
    sends: &[(0, 1, 2)],
    snapshots: &[(1, 1)],
    expects: &[
        Seen::HeldBack,
        Seen::Overtaken,
        Seen::Split,
        Seen::WentBack,
        Seen::Replayed,
        Seen::Resent,
        Seen::Asked,
    ],
    ..CRASH
};

const UNTOLD: Config = Config {
    name: "untold",
    about: "2 nodes on a transport that tells of no connections: 2 crashes, three generations",
    untold: true,
    any_loss: false,
    sends: &[(0, 1, 1)],
    crashes: (2, &[0, 1]),
    expects: &[Seen::Generation, Seen::ThirdGeneration, Seen::WentBack, Seen::LostFrame],
    ..CALM
};

const OPENERS: Config = Config {
    name: "openers",
    about: "2 nodes, 2 crashes: processes that race to open a generation, three generations",
    crashes: (2, &[0, 1]),
    expects: &[Seen::Generation, Seen::ThirdGeneration, Seen::LostRace, Seen::WentBack],
    ..CALM
};

const SUCCESSOR: Config = Config {
    name: "successor",
    about: "2 nodes: the initiator dies between receipts and commit; what it had asked of the store may still happen",
    split: true,
    zombies: true,
    sends: &[(0, 1, 1)],
    snapshots: &[(0, 1)],
    crashes: (1, &[0]),
    expects: &[Seen::FoundSet, Seen::Zombie, Seen::ZombieCommit, Seen::LostRace, Seen::Replayed],
    ..CALM
};

const DOUBLE: Config = Config {
    name: "double",
    about: "2 nodes: a second process of one, while the first lives on and commits late",
    snapshots: &[(0, 1)],
    doubles: (1, &[0]),
    silences: 1,
    expects: &[Seen::ZombieCommit, Seen::Replaced, Seen::Generation, Seen::LostRace],
    ..CALM
};

const EARLY: Config = Config {
    name: "early",
    about: "2 nodes: frames of a newer generation reach a node with what it had received already",
    eager: true,
    sends: &[(0, 1, 1)],
    snapshots: &[(0, 1)],
    crashes: (1, &[0]),
    expects: &[Seen::Held, Seen::Generation, Seen::WentBack],
    ..CALM
};

const BREAK: Config = Config {
    name: "break",
    about: "2 nodes: a connection breaks and loses any tail",
    any_loss: true,
    sends: &[(0, 1, 1)],
    snapshots: &[(1, 1)],
    breaks: 1,
    expects: &[Seen::LostFrame, Seen::Generation, Seen::WentBack, Seen::Aborted],
    ..CALM
};

const RETENTION: Config = Config {
    name: "retention",
    about: "2 nodes that keep 1 commit, 2 snapshots, a crash; deletions may come late",
    keep: 1,
    zombies: true,
    snapshots: &[(0, 2)],
    crashes: (1, &[0]),
    expects: &[Seen::Deleted, Seen::Commit, Seen::Generation],
    ..CALM
};

const AMBIGUOUS: Config = Config {
    name: "ambiguous",
    about: "2 nodes: the store fails once, before or after it has done what was asked, or lags",
    sends: &[(0, 1, 1)],
    snapshots: &[(0, 1)],
    store_faults: 1,
    expects: &[Seen::Aborted, Seen::Commit],
    ..CALM
};

const HISTORY: Config = Config {
    name: "history",
    about: "2 nodes: the store goes back to what it was, or to nothing, and frames of before are still under way",
    sends: &[(0, 1, 1)],
    snapshots: &[(0, 1)],
    rewinds: 1,
    expects: &[Seen::LeftOver, Seen::Commit, Seen::Generation],
    ..CALM
};

const GIVEN_UP: Config = Config {
    name: "given-up",
    about: "2 nodes: a snapshot that is given up at any time, by anyone",
    sends: &[(0, 1, 1)],
    snapshots: &[(0, 1)],
    aborts: 1,
    expects: &[Seen::Aborted, Seen::Commit, Seen::Discarded],
    ..CALM
};

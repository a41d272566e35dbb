//! What the log says of a neighbour that cannot be reached: each thing once, and again when it is news.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use snapshot_core::{NodeId, Transport};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tracing::field::{Field, Visit};
use tracing::subscriber::DefaultGuard;
use tracing::{Dispatch, Event, Level, Metadata, Subscriber, span};

use crate::common::*;

/// An event of this crate: its level and its fields, the message among them.
#[derive(Clone, Debug)]
struct Line {
    level: Level,
    fields: BTreeMap<&'static str, String>,
}

/// What is logged by the thread of a test.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<Line>>>);

impl Log {
    /// From here on, until the guard is dropped.
    fn begin() -> (Self, DefaultGuard) {
        // While there is one subscriber alone, an event that first comes by in a thread without one is off for all threads. With
        // two that stay, all are asked.
        static TWO: OnceLock<[Dispatch; 2]> = OnceLock::new();
        TWO.get_or_init(|| [Self::default(), Self::default()].map(Dispatch::new));
        let log = Self::default();
        let guard = tracing::subscriber::set_default(log.clone());
        (log, guard)
    }

    /// What node 2 has said at this level.
    fn of(&self, level: Level) -> Vec<Line> {
        let all = self.0.lock().unwrap();
        all.iter().filter(|line| line.level == level && line.get("me") == "n2").cloned().collect()
    }

    /// What node 2 has warned of, once there are so many warnings.
    async fn warnings(&self, count: usize) -> Vec<Line> {
        self.wait(|log| log.of(Level::WARN).len() >= count).await;
        self.of(Level::WARN)
    }

    /// Waits until node 2 has failed three more times for reasons that it has told.
    async fn repeats(&self) {
        let before = self.of(Level::DEBUG).len();
        self.wait(|log| log.of(Level::DEBUG).len() >= before + 3).await;
    }

    async fn wait(&self, until: impl Fn(&Self) -> bool) {
        while !until(self) {
            tokio::task::yield_now().await;
        }
    }
}

impl Line {
    fn get(&self, field: &str) -> &str {
        self.fields.get(field).map_or("", |value| value)
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("snapshot_transport_tcp")
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line { level: *event.metadata().level(), fields: BTreeMap::new() };
        event.record(&mut line);
        self.0.lock().unwrap().push(line);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.fields.insert(field.name(), format!("{value:?}"));
    }
}

/// Node 2, which dials node 1 there.
async fn dialer(at: &str) -> Tcp {
    builder(mesh(&[1, 2], 2)).peer(NodeId(1), at).allow_plain_text_outside_loopback().bind().await.unwrap()
}

async fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn a_failure_is_told_once_and_again_when_it_is_another_one() {
    let (log, _guard) = Log::begin();
    guarded(async {
        let at = free_address().await;
        let text = at.to_string();
        let _two = dialer(&text).await;
        log.repeats().await;
        let warnings = log.of(Level::WARN);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        let line = &warnings[0];
        assert_eq!([line.get("peer"), line.get("at"), line.get("tried")], ["n1", &text, &text]);
        assert!(line.get("why").contains("refused"), "{line:?}");
        assert_eq!(line.get("message"), "a neighbour is out of reach");

        // Somebody listens, and is of another group.
        let other = builder(graph("other", &[1, 2]).at(NodeId(1)).unwrap()).listen(at).bind().await.unwrap();
        let warnings = log.warnings(2).await;
        log.repeats().await;
        assert_eq!(log.of(Level::WARN).len(), 2, "{warnings:?}");
        let line = &warnings[1];
        assert_eq!([line.get("peer"), line.get("at"), line.get("tried")], ["n1", &text, &text]);
        assert!(line.get("why").contains(r#"of group "other""#), "{line:?}");
        assert_eq!(line.get("message"), "a connection was refused");

        // Nobody listens again: that was told once, but something else since.
        drop(other);
        log.wait(|log| log.of(Level::WARN)[2..].iter().any(|line| line.get("why").contains("os error")))
            .await;
    })
    .await;
}

#[tokio::test]
async fn a_connection_after_failures_is_told_and_so_is_the_next_failure() {
    let (log, _guard) = Log::begin();
    guarded(async {
        let at = free_address().await;
        let two = dialer(&at.to_string()).await;
        log.warnings(1).await;
        let one = builder(mesh(&[1, 2], 1)).listen(at).bind().await.unwrap();
        let mut ear = Ear::new(&two);
        ear.up(1).await;
        let told = log.of(Level::INFO);
        let line = told.iter().find(|line| line.get("message") == "connected after failures").unwrap();
        let text = at.to_string();
        assert_eq!([line.get("peer"), line.get("at"), line.get("tried")], ["n1", &text, &text]);
        let refused =
            |log: &Log| log.of(Level::WARN).iter().filter(|line| line.get("why").contains("refused")).count();
        assert_eq!(refused(&log), 1);
        one.connected(Duration::from_secs(60)).await.unwrap();
        let (closed, ()) = tokio::join!(one.close(), ear.left(1));
        closed.unwrap();
        drop(one);
        log.wait(|log| refused(log) == 2).await;
        log.repeats().await;
        assert_eq!(refused(&log), 2, "the same failure as before, but not since");
    })
    .await;
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_told_once() {
    let (log, _guard) = Log::begin();
    guarded(async {
        // Longer than a name may be, so that nobody is asked for it.
        let name = format!("{}:1", "x".repeat(64));
        let _two = dialer(&name).await;
        log.repeats().await;
        let warnings = log.of(Level::WARN);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        let line = &warnings[0];
        assert_eq!([line.get("peer"), line.get("at"), line.get("tried")], ["n1", &name, ""]);
        assert!(line.get("why").starts_with("the name does not resolve"), "{line:?}");
    })
    .await;
}

#[tokio::test]
async fn the_address_behind_a_name_is_told_beside_it() {
    let (log, _guard) = Log::begin();
    guarded(async {
        let at = free_address().await;
        let name = format!("localhost:{}", at.port());
        let _two = dialer(&name).await;
        log.repeats().await;
        log.repeats().await;
        let warnings = log.of(Level::WARN);
        let mut tried: Vec<_> = warnings.iter().map(|line| line.get("tried").to_owned()).collect();
        assert!(tried.contains(&at.to_string()), "{warnings:?}");
        assert!(warnings.iter().all(|line| line.get("at") == name), "{warnings:?}");
        tried.sort();
        let all = tried.len();
        tried.dedup();
        assert_eq!(tried.len(), all, "once for each address: {warnings:?}");
    })
    .await;
}

#[tokio::test]
async fn somebody_who_takes_connections_and_says_nothing_is_told_once() {
    let (log, _guard) = Log::begin();
    guarded(async {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = silent.local_addr().unwrap().to_string();
        let two = builder(mesh(&[1, 2], 2)).handshake_within(Duration::from_millis(20));
        let _two = two.peer(NodeId(1), &at).bind().await.unwrap();
        log.repeats().await;
        let warnings = log.of(Level::WARN);
        let slow = warnings.iter().filter(|line| line.get("why") == "the handshake was not done in time");
        assert_eq!(slow.count(), 1, "{warnings:?}");
    })
    .await;
}

#[tokio::test]
async fn strangers_who_take_turns_are_told_once_each() {
    let (log, _guard) = Log::begin();
    guarded(async {
        let two = builder(mesh(&[1, 2, 3], 2)).peer(NodeId(1), "127.0.0.1:1").bind().await.unwrap();
        let strangers = [8, 9].map(|id| builder(mesh(&[2, id], id)).peer(NodeId(2), address(&two)).bind());
        let _strangers = futures::future::join_all(strangers).await;
        let refusals = |log: &Log, level| {
            log.of(level).iter().filter(|line| line.get("why").contains("is no neighbour of n2")).count()
        };
        log.wait(|log| refusals(log, Level::DEBUG) > 10).await;
        assert_eq!(refusals(&log, Level::WARN), 2);
    })
    .await;
}

#[tokio::test]
async fn strangers_who_say_something_else_each_time_do_not_fill_the_log() {
    let (log, _guard) = Log::begin();
    guarded(async {
        let two = builder(mesh(&[1, 2, 3], 2)).peer(NodeId(1), "127.0.0.1:1").bind().await.unwrap();
        for number in 0..200 {
            let mut socket = TcpStream::connect(two.local_addr().unwrap()).await.unwrap();
            // Every other one says that it is a neighbour.
            let (group, from) = (format!("group {number}"), 3 + number % 2);
            let hello = account(&graph(&group, &[2, from]).at(NodeId(from)).unwrap(), 2, 4096);
            socket.write_all(&handshake(VERSION, HELLO, &hello)).await.unwrap();
            assert_eq!(read_handshake(&mut socket).await.0, REFUSAL);
        }
        let refusals =
            |level| log.of(level).iter().filter(|line| line.get("why").contains("is of group")).count();
        let told = refusals(Level::WARN);
        assert!((20..60).contains(&told), "{told} lines");
        assert_eq!(told + refusals(Level::DEBUG), 200);
    })
    .await;
}

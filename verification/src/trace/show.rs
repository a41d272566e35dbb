//! Lines of a trace, and what stands in them, as text.

use std::fmt::{self, Display};

use snapshot_core::{NodeId, SnapshotId};

use super::line::{
    Answer, Body, Counts, Entry, Event, Frame, Grant, Line, Message, Part, PartKey, Reason, Record, Request,
};

/// Where a generation begins.
pub(super) fn at(snapshot: Option<&SnapshotId>) -> String {
    snapshot.map_or_else(|| "the-beginning".to_owned(), SnapshotId::to_string)
}

/// `n3/g1/2@n3`, or `n3/initial`.
fn key((node, snapshot): &PartKey) -> String {
    snapshot.map_or_else(|| format!("{node}/initial"), |snapshot| format!("{node}/{snapshot}"))
}

/// Things of one kind, between spaces.
pub(super) fn list<T: ToString>(all: impl IntoIterator<Item = T>) -> String {
    let words: Vec<String> = all.into_iter().map(|one| one.to_string()).collect();
    if words.is_empty() { "none".to_owned() } else { words.join(" ") }
}

pub(super) fn messages(all: &[Message]) -> String {
    list(all.iter().map(|message| format!("m{message}")))
}

pub(super) fn parts(all: &[PartKey]) -> String {
    list(all.iter().map(key))
}

pub(super) fn pairs(all: &Counts) -> String {
    list(all.iter().map(|(node, count): (&NodeId, &u64)| format!("{node}:{count}")))
}

fn counts(f: &mut fmt::Formatter<'_>, name: &str, counts: &Counts) -> fmt::Result {
    write!(f, " {name}")?;
    counts.iter().try_for_each(|(node, count)| write!(f, " {node}:{count}"))
}

impl Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member { node } => write!(f, "member {node}"),
            Self::Link { from, to, messages } => {
                write!(f, "link {from} {to} {}", if *messages { "messages" } else { "control" })
            }
            Self::Retention { kept } => write!(f, "retention {kept}"),
            Self::Window { messages, bytes } => write!(f, "window {messages} {bytes}"),
            Self::Left { from, to, frame } => write!(f, "left {from} {to} {frame}"),
            Self::Boot { node } => write!(f, "boot {node}"),
            Self::Crash { node } => write!(f, "crash {node}"),
            Self::Lose { from, to, frames } => write!(f, "lose {from} {to} {frames}"),
            Self::Swallow { from, to, frames } => write!(f, "swallow {from} {to} {frames}"),
            Self::Up { node, peer } => write!(f, "up {node} {peer}"),
            Self::Lost { node, peer } => write!(f, "lost {node} {peer}"),
            Self::Send { node, to, message } => write!(f, "send {node} {to} m{message}"),
            Self::Take { node, from, message } => write!(f, "take {node} {from} m{message}"),
            Self::Turn { node, turn } => write!(f, "turn {node} {turn}"),
            Self::Initiate { node, snapshot } => write!(f, "initiate {node} {snapshot}"),
            Self::Timeout { node } => write!(f, "timeout {node}"),
            Self::Arrive { node, from, frame } => write!(f, "arrive {node} {from} {frame}"),
            Self::Restored { node, sent, taken } => {
                write!(f, "restored {node}")?;
                counts(f, "sent", sent)?;
                counts(f, "taken", taken)
            }
            Self::Do { operation } => write!(f, "do o{operation}"),
            Self::Answer { operation, answer } => write!(f, "answer o{operation} {answer}"),
            Self::Capture { node } => write!(f, "capture {node}"),
            Self::Ask { node, operation, request } => write!(f, "ask {node} o{operation} {request}"),
            Self::Out { node, to, frame } => write!(f, "out {node} {to} {frame}"),
            Self::Told { node, event } => write!(f, "told {node} {event}"),
        }
    }
}

impl Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}~{} {}", self.generation, self.number, self.tag, self.body)
    }
}

impl Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hello { nonce } => write!(f, "hello {nonce}"),
            Self::Message(message) => write!(f, "message m{message}"),
            Self::Marker(snapshot) => write!(f, "marker {snapshot}"),
            Self::Receipt { snapshot, member, turn } => write!(f, "receipt {snapshot} {member}:{turn}"),
            Self::Committed { snapshot, index } => write!(f, "committed {snapshot} {index}"),
            Self::Aborted { snapshot, by, reason } => write!(f, "aborted {snapshot} {by} {reason}"),
            Self::Grant(Grant { sender, receiver, taken, messages, bytes, whole }) => {
                let size = if *whole { "whole" } else { "part" };
                write!(f, "grant {sender} {receiver} {taken} {messages} {bytes} {size}")
            }
            Self::Ask => write!(f, "ask"),
        }
    }
}

impl Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deadline => write!(f, "deadline"),
            Self::PeerLost(peer) => write!(f, "lost-{peer}"),
            Self::StoreFailed => write!(f, "store-failed"),
            Self::Requested => write!(f, "requested"),
            Self::RolledBack => write!(f, "rolled-back"),
            Self::Superseded => write!(f, "superseded"),
            Self::StoreBehind => write!(f, "store-behind"),
            Self::Bound => write!(f, "bound"),
        }
    }
}

impl Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReadJournal(index) => write!(f, "read-journal {index}"),
            Self::CreateJournal(record) => write!(f, "create-journal {record}"),
            Self::CreateSeat { generation, life } => write!(f, "create-seat {generation} {life}"),
            Self::ReadSeat(generation) => write!(f, "read-seat {generation}"),
            Self::WriteInitial { sent, taken } => {
                write!(f, "write-initial")?;
                counts(f, "sent", sent)?;
                counts(f, "taken", taken)
            }
            Self::WritePart { snapshot, part } => write!(f, "write-part {snapshot} {part}"),
            Self::ReadPart(part) => write!(f, "read-part {}", key(part)),
            Self::VerifyPart(part) => write!(f, "verify-part {}", key(part)),
            Self::ListParts(None) => write!(f, "list-parts all"),
            Self::ListParts(Some(generation)) => write!(f, "list-parts {generation}"),
            Self::Delete(keys) => {
                write!(f, "delete")?;
                keys.iter().try_for_each(|part| write!(f, " {}", key(part)))
            }
        }
    }
}

impl Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "turn {}", self.turn)?;
        counts(f, "sent", &self.sent)?;
        counts(f, "taken", &self.taken)?;
        write!(f, " recorded")?;
        for (from, messages) in &self.channels {
            messages.iter().try_for_each(|message| write!(f, " {from}:{message}"))?;
        }
        write!(f, " outgoing")?;
        for (to, messages) in &self.outgoing {
            messages.iter().try_for_each(|message| write!(f, " {to}:{message}"))?;
        }
        Ok(())
    }
}

impl Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} by {} {}", self.index, self.author, self.nonce)?;
        match &self.entry {
            Entry::Open(generation, start) => write!(f, " open {generation} {}", at(start.as_ref()))?,
            Entry::Commit(snapshot, turns) => {
                write!(f, " commit {snapshot}")?;
                counts(f, "turns", turns)?;
            }
            Entry::Discard(upto) => {
                write!(f, " discard")?;
                counts(f, "upto", upto)?;
            }
        }
        write!(f, " kept")?;
        self.kept.iter().try_for_each(|snapshot| write!(f, " {snapshot}"))
    }
}

impl Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => write!(f, "absent"),
            Self::Record(record) => write!(f, "record {record}"),
            Self::Seat(life) => write!(f, "seat {life}"),
            Self::New => write!(f, "new"),
            Self::Exists => write!(f, "exists"),
            Self::Written => write!(f, "written"),
            Self::Found => write!(f, "found"),
            Self::Whole { turn } => write!(f, "whole {turn}"),
            Self::Listed(keys) => {
                write!(f, "listed")?;
                keys.iter().try_for_each(|part| write!(f, " {}", key(part)))
            }
            Self::Deleted => write!(f, "deleted"),
            Self::Failed => write!(f, "failed"),
        }
    }
}

impl Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Committed { snapshot, turn } => write!(f, "committed {snapshot} {turn}"),
            Self::RolledBack { generation, snapshot, turn } => {
                write!(f, "rolled-back {generation} {} {turn}", at(snapshot.as_ref()))
            }
            Self::Aborted { snapshot, by, reason } => write!(f, "aborted {snapshot} {by} {reason}"),
            Self::Report(snapshot) => write!(f, "report {snapshot}"),
            Self::StoreFailed => write!(f, "store-failed"),
            Self::Ended => write!(f, "ended"),
            Self::Broken => write!(f, "broken"),
        }
    }
}

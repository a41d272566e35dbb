//! What is seen at a coordinator's edge, in the words of a trace.

use snapshot_core::{AbortReason, Event as Told, Frame as Sent, Key, PartError, StoreAnswer, StoreRequest};

use super::bytes;
use super::line::{Answer, Body, Counts, Event, Frame, Message, Part, PartKey, Reason, Request};
use super::memory::{App, NEW};

pub(super) fn frame(sent: &Sent<Message>) -> Frame {
    let body = match &sent.body {
        snapshot_core::Body::Message(message) => Body::Message(*message),
        snapshot_core::Body::Control(control) => {
            bytes::control(control).expect("a control frame of this version")
        }
    };
    let tag = sent.stamp.number() & 0xffff;
    Frame { generation: sent.stamp.generation(), number: sent.stamp.count(), tag, body }
}

fn key(key: Key) -> PartKey {
    match key {
        Key::Part { snapshot, node } => (node, Some(snapshot)),
        Key::Initial(node) => (node, None),
        other => unreachable!("{other} is no part"),
    }
}

fn keys(all: &[Key]) -> Vec<PartKey> {
    all.iter().copied().map(key).collect()
}

fn counts(of: &Counts) -> Counts {
    of.iter().filter(|(_, count)| **count > 0).map(|(node, count)| (*node, *count)).collect()
}

pub(super) fn ask(request: &StoreRequest<Message, App>) -> Request {
    match request {
        StoreRequest::Read(Key::Journal(index)) => Request::ReadJournal(*index),
        StoreRequest::Read(Key::Seat { generation, .. }) => Request::ReadSeat(*generation),
        StoreRequest::Create(Key::Seat { generation, .. }, content) => {
            let life = bytes::seat(content).expect("a seat of this version");
            Request::CreateSeat { generation: *generation, life }
        }
        StoreRequest::Create(Key::Journal(_), content) => {
            Request::CreateJournal(bytes::record(content).expect("a record of this version"))
        }
        StoreRequest::Read(other) | StoreRequest::Create(other, _) => {
            unreachable!("{other} is no small object")
        }
        StoreRequest::WriteInitial(App { sent, taken }) => {
            Request::WriteInitial { sent: counts(sent), taken: counts(taken) }
        }
        StoreRequest::WritePart(local) => {
            let (mut channels, mut outgoing) = (local.channels.clone(), local.outgoing.clone());
            channels.retain(|_, messages| !messages.is_empty());
            outgoing.retain(|_, messages| !messages.is_empty());
            let App { sent, taken } = &local.state;
            let (sent, taken) = (counts(sent), counts(taken));
            let part = Part { turn: local.turn.0, sent, taken, channels, outgoing };
            Request::WritePart { snapshot: local.snapshot, part }
        }
        StoreRequest::ReadPart { key: of, .. } => Request::ReadPart(key(*of)),
        StoreRequest::VerifyPart { key: of, .. } => Request::VerifyPart(key(*of)),
        StoreRequest::ListParts(generation) => Request::ListParts(*generation),
        StoreRequest::Delete(all) => Request::Delete(keys(all)),
    }
}

pub(super) fn answer(answer: &StoreAnswer<Message, App>) -> Answer {
    match answer {
        StoreAnswer::Read(None)
        | StoreAnswer::Part(Err(PartError::Missing { .. }))
        | StoreAnswer::Verified(Err(PartError::Missing { .. })) => Answer::Absent,
        StoreAnswer::Read(Some(content)) => match bytes::record(content) {
            Some(record) => Answer::Record(record),
            None => Answer::Seat(bytes::seat(content).expect("a record or a seat")),
        },
        StoreAnswer::Created(NEW) => Answer::New,
        StoreAnswer::Created(_) => Answer::Exists,
        StoreAnswer::Written(_) => Answer::Written,
        StoreAnswer::Part(Ok(_)) => Answer::Found,
        StoreAnswer::Verified(Ok(part)) => Answer::Whole { turn: part.turn.0 },
        StoreAnswer::Listed(all) => Answer::Listed(keys(all)),
        StoreAnswer::Deleted => Answer::Deleted,
        StoreAnswer::Undeleted { .. } | StoreAnswer::Failed(_) => Answer::Failed,
        StoreAnswer::Part(Err(error)) | StoreAnswer::Verified(Err(error)) => {
            unreachable!("nothing is damaged: {error}")
        }
    }
}

/// What concerns connections alone is not in a trace, and neither is what other lines show. What a neighbour did wrong is told once and then
/// counted: what is done about it shows in the other lines.
pub(super) fn told(event: Told<Message, App>) -> Option<Event> {
    Some(match event {
        Told::Committed { snapshot, turn, .. } => Event::Committed { snapshot, turn: turn.0 },
        Told::RolledBack { generation, snapshot, turn } => {
            Event::RolledBack { generation, snapshot, turn: turn.0 }
        }
        Told::SnapshotAborted { snapshot, by, reason } => {
            let reason = match reason {
                AbortReason::Deadline { .. } => Reason::Deadline,
                AbortReason::PeerLost { peer } => Reason::PeerLost(peer),
                AbortReason::StoreFailed { .. } => Reason::StoreFailed,
                AbortReason::Requested => Reason::Requested,
                AbortReason::RolledBack => Reason::RolledBack,
                AbortReason::Superseded => Reason::Superseded,
                AbortReason::StoreBehind => Reason::StoreBehind,
                _ => Reason::Bound,
            };
            Event::Aborted { snapshot, by, reason }
        }
        Told::StoreFailed { .. } => Event::StoreFailed,
        Told::PeerLost { .. }
        | Told::PeerBack { .. }
        | Told::PeerLeft { .. }
        | Told::SnapshotBegun { .. }
        | Told::Violation { .. }
        | Told::PartDurable { .. } => return None,
        _ => Event::Broken,
    })
}

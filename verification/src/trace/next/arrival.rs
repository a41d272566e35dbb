//! Recording, and what a frame does that arrives.

use std::collections::{BTreeMap, BTreeSet};

use snapshot_core::{NodeId, SnapshotId};

use super::{Refusal, Step, sure};
use crate::trace::line::{Body, Event, Frame, Message, Part, Reason};
use crate::trace::state::{Input, Link, Logs, Phase, Queued, Recording, State, Stored};

impl State {
    /// `Begin`: the state, all that is untaken, and a marker on every outgoing channel.
    pub(super) fn begin(&mut self, node: NodeId, id: SnapshotId, brought_by: Option<NodeId>) -> Step {
        let open: BTreeSet<_> = self.graph.incoming(node).filter(|from| Some(*from) != brought_by).collect();
        let out: Vec<_> = self.graph.outgoing(node).collect();
        let process = self.process(node)?;
        process.owed.captures += 1;
        process.note_begun(id);
        let mut channels = BTreeMap::<NodeId, Vec<Message>>::new();
        for (from, message) in &process.untaken {
            channels.entry(*from).or_default().push(*message);
        }
        let logs = process.logs.clone();
        let (sent, taken) = (Logs::counts(&logs.sent), Logs::counts(&logs.taken));
        // The marker overtakes what has not departed: W6.
        let outgoing = process.channels.iter().filter(|(_, channel)| !channel.messages.is_empty());
        let outgoing =
            outgoing.map(|(to, channel)| (*to, channel.messages.iter().copied().collect())).collect();
        let stored = Stored { part: Part { turn: process.turn, sent, taken, channels, outgoing }, logs };
        process.recordings.insert(id, Recording { stored, open });
        for to in out {
            process.push_marker(to, id);
        }
        process.complete(id);
        Ok(())
    }

    /// `GiveUp`, `Superseded`: everyone is told, if there was anything to give up.
    pub(super) fn give_up(&mut self, node: NodeId, id: SnapshotId, reason: Reason) -> Result<bool, Refusal> {
        let children = self.graph.children(node, node);
        let process = self.process(node)?;
        let known = process.drop_snapshot(id, reason);
        if known {
            for to in children {
                process.push(to, Body::Aborted { snapshot: id, by: node, reason });
            }
            process.owed.events.push(Event::Aborted { snapshot: id, by: node, reason });
        }
        Ok(known)
    }

    // ---- arrivals ---------------------------------------------------------------------------------------------------

    pub(super) fn arrive(&mut self, node: NodeId, from: NodeId, frame: &Frame) -> Step {
        let channel = self.network.get_mut(&(from, node)).ok_or("there is no such channel")?;
        let head = channel.pop_front();
        sure(head.as_ref() == Some(frame), || match head {
            Some(head) => format!("the next frame from {from} is `{head}`"),
            None => format!("nothing is under way from {from}"),
        })?;
        let process = self.input(node, Input::Other)?;
        match process.phase {
            Phase::Run => self.accept(node, from, frame.clone()),
            Phase::Over => Ok(()),
            // F3: it holds everything.
            _ => {
                process.held.push_back((from, frame.clone()));
                Ok(())
            }
        }
    }

    /// Exactly one action is for each frame.
    pub(super) fn accept(&mut self, node: NodeId, from: NodeId, frame: Frame) -> Step {
        let back = self.graph.links.contains_key(&(node, from));
        let generation = self.process(node)?.generation;
        let nonce = self.store.nonce(generation);
        let process = self.process(node)?;
        let generation = frame.generation.0;
        let channel = process.channels.entry(from).or_default();
        if generation < process.generation {
            // `Old`: F2, F3a.
            if back && !std::mem::replace(&mut channel.answered, true) {
                let body = Body::Hello { nonce };
                channel.control.push_front(Queued { body, numbered: false, knew: BTreeMap::new() });
            }
            return Ok(());
        }
        if generation > process.generation {
            // `Newer`: F3. Each generation begins with a Hello on each channel: what comes without brings no news.
            if matches!(frame.body, Body::Hello { .. }) {
                process.held.push_back((from, frame));
                process.begin_recovery(Phase::Newer);
            }
            return Ok(());
        }
        let greets_otherwise = matches!(frame.body, Body::Hello { nonce: of } if of != nonce);
        if frame.tag != nonce & 0xffff || greets_otherwise {
            // `OtherHistory`: F5. Nobody goes on in one who has greeted in this one.
            return sure(!greets_otherwise || channel.last_in == 0, || "it lives in two histories".into());
        }
        if frame.number == 0 {
            // `Outside`
            return sure(matches!(frame.body, Body::Hello { .. }), || {
                "a frame without a number that needs one".into()
            });
        }
        if frame.number != channel.last_in + 1 {
            // `Gap`
            process.begin_recovery(Phase::Gap);
            return Ok(());
        }
        channel.last_in = frame.number;
        let named = frame.body.snapshot();
        sure(named.is_none_or(|id| id.generation == frame.generation), || {
            "a snapshot of another generation".into()
        })?;
        match frame.body {
            // Where the transport tells of no connections, it may be a new process, whose predecessor took with it what was sent.
            Body::Hello { .. } if frame.number == 1 && channel.link == Link::Untold && back => {
                self.greet(node, from)
            }
            Body::Hello { .. } => Ok(()),
            Body::Grant(grant) => self.granted(node, grant),
            // Whether and when it is answered is the receiver's to say.
            Body::Ask => Ok(()),
            Body::Message(message) => {
                // `Arrived`
                for recording in
                    process.recordings.values_mut().filter(|recording| recording.open.contains(&from))
                {
                    recording.stored.part.channels.entry(from).or_default().push(message);
                }
                process.untaken.push_back((from, message));
                Ok(())
            }
            Body::Marker(id) => self.marker(node, from, id),
            Body::Receipt { snapshot, member, turn } => self.receipt(node, snapshot, member, turn),
            Body::Committed { snapshot, index } => {
                let children = self.graph.children(snapshot.initiator, node);
                let process = self.process(node)?;
                for to in children {
                    process.push(to, Body::Committed { snapshot, index });
                }
                process.learn_commit(snapshot);
                Ok(())
            }
            Body::Aborted { snapshot, by, reason } => self.aborted(node, snapshot, by, reason),
        }
    }

    /// `Marker`
    fn marker(&mut self, node: NodeId, from: NodeId, id: SnapshotId) -> Step {
        let children = self.graph.children(node, node);
        let process = self.process(node)?;
        let twice = || Err(format!("the marker of {id} came twice from {from}"));
        if let Some(recording) = process.recordings.get_mut(&id) {
            if !recording.open.remove(&from) {
                return twice();
            }
            process.complete(id);
            return Ok(());
        }
        if process.writing.contains_key(&id) || process.awaited.contains_key(&id) {
            return twice();
        }
        if process.has_ended(id) {
            return Ok(());
        }
        let left = self.left(node);
        let process = self.process(node)?;
        let Some(reason) = process.refusal(left) else { return self.begin(node, id, Some(from)) };
        // It could not end: it is given up at once.
        process.note_begun(id);
        for to in children {
            process.push(to, Body::Aborted { snapshot: id, by: node, reason });
        }
        process.owed.events.push(Event::Aborted { snapshot: id, by: node, reason });
        Ok(())
    }

    /// `Receipt`: counted at the initiator, passed on elsewhere.
    pub(super) fn receipt(&mut self, node: NodeId, id: SnapshotId, member: NodeId, turn: u64) -> Step {
        let hop = self.graph.next_hop(node, id.initiator);
        let process = self.process(node)?;
        if id.initiator == node {
            if let Some(tally) = process.tallies.get_mut(&id) {
                tally.insert(member, turn);
            }
        } else if let Some(hop) = hop {
            process.push(hop, Body::Receipt { snapshot: id, member, turn });
        }
        Ok(())
    }

    /// `Aborted`
    fn aborted(&mut self, node: NodeId, id: SnapshotId, by: NodeId, reason: Reason) -> Step {
        let children = self.graph.children(by, node);
        let process = self.process(node)?;
        for to in children {
            process.push(to, Body::Aborted { snapshot: id, by, reason });
        }
        if process.is_committing(id) {
            return Ok(());
        }
        if process.drop_snapshot(id, reason) {
            process.owed.events.push(Event::Aborted { snapshot: id, by, reason });
        } else if !process.has_ended(id) {
            process.largest = process.largest.max(id.sequence);
            process.forestalled.insert(id);
        }
        Ok(())
    }
}

impl Body {
    fn snapshot(&self) -> Option<SnapshotId> {
        match self {
            Self::Hello { .. } | Self::Message(_) | Self::Grant(_) | Self::Ask => None,
            Self::Marker(id) => Some(*id),
            Self::Receipt { snapshot, .. }
            | Self::Committed { snapshot, .. }
            | Self::Aborted { snapshot, .. } => Some(*snapshot),
        }
    }
}

//! What a process learns of the store, and what comes of it.

use snapshot_core::{Generation, NodeId, SnapshotId};

use super::{Step, sure};
use crate::trace::line::{Answer, Body, Counts, Entry, Event, Operation, Reason, Record, Request};
use crate::trace::show;
use crate::trace::state::{Asked, Input, Lane, Loaded, Logs, Phase, Process, Purpose, State, Stored};

impl State {
    pub(super) fn answer(&mut self, operation: Operation, answer: &Answer) -> Step {
        let asked = self.operations.get_mut(&operation).ok_or("nobody has asked for that")?;
        let fits = match (answer, &asked.result) {
            (Answer::Failed, _) => true,
            // A listing may lag.
            (Answer::Listed(keys), Some(Answer::Listed(all))) => keys.iter().all(|key| all.contains(key)),
            (answer, result) => Some(answer) == result.as_ref(),
        };
        sure(fits && !asked.answered, || match &asked.result {
            Some(result) => format!("what came of it is `{result}`, to be told once"),
            None => "it is not done".into(),
        })?;
        asked.answered = true;
        let Asked { node, process: number, request, .. } = asked.clone();
        let process = self.input(node, Input::Other)?;
        sure(process.number == number, || "the process that asked is dead".into())?;
        if process.phase == Phase::Over {
            return Ok(());
        }
        if let Request::WritePart { snapshot, .. } = request {
            return self.part_answered(node, snapshot, answer);
        }
        if process.sweep == Some(operation) {
            process.sweep = None;
            process.sweep_failed |= *answer == Answer::Failed;
            if let Request::Delete(keys) = &request {
                process.own.retain(|id, _| !keys.contains(&(node, Some(*id))));
            }
            if let Answer::Listed(keys) = answer {
                let doomed = self.view(node).doomed(self.retention, keys);
                self.process(node)?.owed.deletes = doomed;
            }
            return Ok(());
        }
        match process.lane.take_if(|(asked, _)| *asked == operation) {
            Some((_, lane)) => self.answered(node, lane, answer),
            None => Ok(()),
        }
    }

    /// `Land`, as its process learns of it: J4.
    fn part_answered(&mut self, node: NodeId, id: SnapshotId, answer: &Answer) -> Step {
        let process = self.process(node)?;
        let Some(writing) = process.writing.remove(&id) else { return Ok(()) };
        process.own.entry(id).and_modify(|own| own.written = true);
        if writing.given_up || id.generation.0 != process.generation {
            return Ok(());
        }
        if *answer == Answer::Failed {
            process.writing.insert(id, writing);
            self.give_up(node, id, Reason::StoreFailed)?;
            self.process(node)?.writing.remove(&id);
            return Ok(());
        }
        let turn = writing.turn;
        process.awaited.insert(id, writing);
        self.receipt(node, id, node, turn)
    }

    fn answered(&mut self, node: NodeId, lane: Lane, answer: &Answer) -> Step {
        let process = self.process(node)?;
        let start = process.phase == Phase::Start;
        match (lane, answer.clone()) {
            (Lane::Find(index), Answer::Record(_)) => process.found(index, true),
            (Lane::Find(index), Answer::Absent) => process.found(index, false),
            (Lane::Read, Answer::Record(record)) => return self.learn(node, &record),
            (Lane::Read, Answer::Absent) => {
                process.at_end = true;
                return self.resume(node);
            }
            (Lane::Append(record, purpose), Answer::New) => return self.appended(node, &record, purpose),
            (Lane::Append(..), Answer::Exists) => process.at_end = false,
            (Lane::Append(record, purpose), Answer::Failed) => {
                process.next = Some(Lane::Confirm(record, purpose));
            }
            (Lane::Confirm(own, purpose), Answer::Record(found)) => {
                if found.nonce == own.nonce && found.author == own.author {
                    return self.appended(node, &own, purpose);
                }
                process.at_end = false;
                return self.learn(node, &found);
            }
            (Lane::Confirm(_, purpose), _) => {
                if process.recovers() {
                    process.store_failed();
                }
                if purpose == Purpose::Discard {
                    self.process(node)?.sweep_failed = true;
                }
                if let Purpose::Receipts(id) = purpose {
                    self.give_up(node, id, Reason::StoreFailed)?;
                }
            }
            (Lane::Seat(generation), Answer::New) => process.seat = generation,
            (Lane::Seat(generation), answer) => {
                let failed = answer == Answer::Failed;
                process.next = Some(Lane::SeatHolder { generation, failed });
            }
            (Lane::SeatHolder { generation, .. }, Answer::Seat(life)) => {
                if process.life == Some(life) {
                    process.seat = generation;
                } else {
                    sure(start, || "S1: it has been replaced, and would end".into())?;
                    (process.taken, process.at_end) = (generation, false);
                }
            }
            (Lane::Look, Answer::Listed(keys)) => {
                let whole = self.view(node).whole(self.graph.members.len(), &keys);
                self.process(node)?.candidates = whole.into();
                return self.next_candidate(node);
            }
            (Lane::Verify { snapshot, mut turns }, Answer::Whole { turn }) => {
                let next = self.graph.members.iter().find(|member| !turns.contains_key(member)).copied();
                turns.extend(next.map(|member| (member, turn)));
                let all = turns.len() == self.graph.members.len();
                let refused = all && self.view(node).may_commit(snapshot, &turns).is_err();
                let lane =
                    if all { Lane::Found { snapshot, turns } } else { Lane::Verify { snapshot, turns } };
                if refused {
                    return self.next_candidate(node);
                }
                self.process(node)?.next = Some(lane);
            }
            (Lane::Verify { .. }, Answer::Absent) => return self.next_candidate(node),
            (Lane::Load, Answer::Found) => {
                let key = (node, self.view(node).start());
                let stored = self.store.parts.get(&key).cloned().ok_or("it was deleted meanwhile")?;
                self.process(node)?.loaded = Some(Loaded { stored, resumed: true });
            }
            (Lane::Load, Answer::Absent) => {
                let first = start && self.view(node).start().is_none();
                let process = self.process(node)?;
                if first {
                    // The very first start.
                    process.owed.captures += 1;
                    process.next = Some(Lane::WriteInitial);
                } else {
                    process.at_end = false;
                }
            }
            (Lane::WriteInitial, Answer::New) => {
                let stored = Stored { logs: process.logs.clone(), ..Stored::default() };
                process.loaded = Some(Loaded { stored, resumed: false });
            }
            (Lane::WriteInitial, Answer::Exists) => {}
            (lane, _) if process.recovers() || lane == Lane::Read => process.store_failed(),
            _ => {}
        }
        Ok(())
    }

    fn next_candidate(&mut self, node: NodeId) -> Step {
        let newest = self.view(node).newest();
        let process = self.process(node)?;
        match process.candidates.pop_back() {
            Some(snapshot) => process.next = Some(Lane::Verify { snapshot, turns: Counts::new() }),
            // The newest first.
            None => (process.looked, process.at_end) = (newest, true),
        }
        Ok(())
    }

    fn appended(&mut self, node: NodeId, record: &Record, purpose: Purpose) -> Step {
        self.process(node)?.sweep_due |= purpose != Purpose::Found;
        self.learn(node, record)?;
        let newest = self.view(node).newest();
        let process = self.process(node)?;
        if matches!(purpose, Purpose::Open | Purpose::Found) {
            process.at_end = true;
        }
        if purpose == Purpose::Found {
            // One is enough.
            process.looked = newest;
        }
        Ok(())
    }

    /// `Learn`: the journal has this record after the last one that the process had read.
    fn learn(&mut self, node: NodeId, record: &Record) -> Step {
        let children = self.graph.children(node, node);
        let process = self.process(node)?;
        sure(record.index == process.view as u64 + 1, || "J1: it is not the next record".into())?;
        process.view += 1;
        if let Entry::Commit(id, _) = &record.entry {
            process.own.remove(id);
        }
        let commit = match record.entry {
            Entry::Commit(id, _) if id.generation.0 == process.generation => Some(id),
            _ => None,
        };
        if let Some(id) = commit {
            process.learn_commit(id);
            if process.tallies.remove(&id).is_some() {
                for to in children {
                    process.push(to, Body::Committed { snapshot: id, index: record.index });
                }
                process.owed.events.push(Event::Report(id));
            }
        }
        let newest = self.view(node).newest();
        let process = self.process(node)?;
        if newest > process.generation && process.phase != Phase::Start {
            process.leave(node);
        }
        Ok(())
    }

    /// `Resume`: the journal, read after the frame had come, has no newer generation. The frame is of another history, and what
    /// came behind it is taken up.
    fn resume(&mut self, node: NodeId) -> Step {
        let newest = self.view(node).newest();
        let process = self.process(node)?;
        if process.phase != Phase::Newer || newest != process.generation {
            return Ok(());
        }
        process.phase = Phase::Run;
        if process.held.front().is_some_and(|(_, frame)| frame.generation.0 > newest) {
            process.held.pop_front();
        }
        self.take_up(node)
    }

    /// What was held while the process did not run, for as long as it runs.
    fn take_up(&mut self, node: NodeId) -> Step {
        for (from, frame) in std::mem::take(&mut self.process(node)?.held) {
            let process = self.process(node)?;
            if process.is_running() {
                self.accept(node, from, frame)?;
            } else {
                process.held.push_back((from, frame));
            }
        }
        let process = self.process(node)?;
        process.reads_again = !process.is_running();
        Ok(())
    }

    /// `Restore`: the state, recorded messages at the head, what had not departed first to depart, then what was held.
    pub(super) fn restore(&mut self, node: NodeId, sent: &Counts, taken: &Counts) -> Step {
        let (newest, start) = (self.view(node).newest(), self.view(node).start());
        let process = self.input(node, Input::Other)?;
        let Loaded { stored, resumed } = process.loaded.take().ok_or("it has nothing to install")?;
        sure(process.seat == newest, || "S1: it has no seat there".into())?;
        process.logs = stored.logs;
        let (was_sent, was_taken) = (Logs::counts(&process.logs.sent), Logs::counts(&process.logs.taken));
        sure(*sent == was_sent && *taken == was_taken, || {
            format!("the part has sent {} and taken {}", show::pairs(&was_sent), show::pairs(&was_taken))
        })?;
        (process.phase, process.generation, process.taken) = (Phase::Run, newest, 0);
        process.turn = stored.part.turn;
        process.largest = start.map_or(0, |id| id.sequence);
        sure(process.speaks == newest, || "it has not said that it goes over".into())?;
        let recorded = stored.part.channels.iter().flat_map(|(from, all)| all.iter().map(|m| (*from, *m)));
        process.untaken = recorded.collect();
        for (from, message) in &process.untaken {
            process.channels.entry(*from).or_default().intake.replay(*message);
        }
        for (to, messages) in stored.part.outgoing {
            process.channels.entry(to).or_default().messages.extend(messages);
        }
        if resumed {
            let (generation, turn) = (Generation(newest), process.turn);
            process.owed.events.push(Event::RolledBack { generation, snapshot: start, turn });
        }
        self.take_up(node)
    }
}

impl Process {
    /// The end of a sequence without holes.
    fn found(&mut self, index: u64, is_there: bool) {
        let Some((exists, absent)) = &mut self.search else { return };
        if is_there {
            *exists = index;
        } else {
            *absent = Some(index);
        }
        if *absent == Some(*exists + 1) {
            self.view = usize::try_from(*exists).unwrap_or(usize::MAX);
            (self.search, self.at_end) = (None, false);
        }
    }

    /// A start ends with that; a node that ran tries again, later if it recovers.
    fn store_failed(&mut self) {
        if self.phase == Phase::Start {
            self.phase = Phase::Over;
            self.owed.events.push(Event::Ended);
        } else {
            self.waits = self.recovers();
            self.owed.events.push(Event::StoreFailed);
        }
    }
}

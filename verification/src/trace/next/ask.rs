//! What a process wants of the store: J1 to J5, S1, retention.

use snapshot_core::{Generation, NodeId, SnapshotId};

use super::{Refusal, Step, sure};
use crate::trace::journal::View;
use crate::trace::line::{Counts, Entry, Operation, PartKey, Record, Request};
use crate::trace::show;
use crate::trace::state::{Asked, Lane, Logs, Own, Phase, Purpose, State};

/// Under `Retention::All` a record names no more commits than this.
const NAMED: usize = 64;

impl State {
    pub(super) fn view(&self, node: NodeId) -> View<'_> {
        let read = self.processes.get(&node).map_or(0, |process| process.view);
        View(&self.store.journal[..read.min(self.store.journal.len())])
    }

    /// `Opens`
    fn opens(&self, node: NodeId) -> bool {
        let newest = self.view(node).newest();
        self.processes.get(&node).is_some_and(|process| {
            process.phase == Phase::Gap && newest == process.generation
                || process.taken == newest && newest > 0
        })
    }

    /// `Superseded`: all receipts are in, and J3 or J5 forbids the record.
    pub(super) fn is_superseded(&self, node: NodeId, id: SnapshotId) -> bool {
        let tally = self.processes.get(&node).filter(|p| p.is_running()).and_then(|p| p.tallies.get(&id));
        tally.is_some_and(|turns| {
            turns.len() == self.graph.members.len() && self.view(node).may_commit(id, turns).is_err()
        })
    }

    pub(super) fn ask(&mut self, node: NodeId, operation: Operation, request: &Request) -> Step {
        sure(self.step.is_some_and(|(of, _)| of == node), || format!("{node} has had no input"))?;
        sure(!self.operations.contains_key(&operation), || "an operation of that number".into())?;
        let mut logs = Logs::default();
        let keep = self.retention;
        let process = self.process(node)?;
        let number = process.number;
        match request {
            Request::WritePart { snapshot, part } => {
                let stored =
                    process.owed.parts.remove(snapshot).ok_or("no recording of it has just ended")?;
                sure(stored.part == *part, || format!("the part is: {}", stored.part))?;
                logs = stored.logs;
            }
            Request::ListParts(None) => {
                // `Sweep`
                // It may have ceased to run since, by what it had held.
                let runs = !matches!(process.phase, Phase::Start | Phase::Over);
                let may = runs && process.sweep.is_none() && keep > 0;
                let again = process.sweep_failed;
                sure(may && (std::mem::take(&mut process.sweep_due) || again), || {
                    "nothing has been committed since".into()
                })?;
                process.sweep = Some(operation);
            }
            Request::Delete(keys) => {
                // `Sweep`, its second half; else `Remove`: its own that are dead, or what could not be deleted before.
                let again = process.sweep_failed;
                let mut listed = std::mem::take(&mut process.owed.deletes);
                let (mut sorted, own) = (keys.clone(), process.own.clone());
                if again {
                    listed.retain(|key| keys.contains(key));
                }
                listed.sort_unstable();
                sorted.sort_unstable();
                sure(process.sweep.is_none() && !keys.is_empty(), || {
                    "it deletes already, or nothing".into()
                })?;
                process.sweep = Some(operation);
                let view = self.view(node);
                let let_go = view.doomed(keep, keys);
                let dead = |key: &&PartKey| {
                    let of = key.1.and_then(|id| Some((id, own.get(&id)?)));
                    let is_dead = of.is_some_and(|(id, own)| own.written && view.is_dead(node, id, own.turn));
                    let was_left = again && (keep == 0 || let_go.contains(key));
                    key.0 == node && is_dead || was_left
                };
                sure(listed == sorted || keys.iter().all(|key| dead(&key)), || {
                    format!("somebody may need {}", show::parts(keys))
                })?;
            }
            _ => {
                let read = process.lane.as_ref().is_some_and(|(_, lane)| *lane == Lane::Read);
                if read && std::mem::take(&mut process.reads_again) {
                    process.lane = None;
                }
                sure(process.lane.is_none(), || "one operation of the journal is under way already".into())?;
                sure(!process.waits && process.phase != Phase::Over, || "it waits, or has ended".into())?;
                let lane = self.lane(node, request)?;
                let process = self.process(node)?;
                process.next = None;
                process.lane = Some((operation, lane));
                if let Request::WriteInitial { sent, taken } = request {
                    let is = |counts: &Counts, log| *counts == Logs::counts(log);
                    let own = is(sent, &process.logs.sent) && is(taken, &process.logs.taken);
                    sure(own, || "the state is another one".into())?;
                    logs = process.logs.clone();
                }
            }
        }
        let asked =
            Asked { node, process: number, request: request.clone(), logs, result: None, answered: false };
        self.operations.insert(operation, asked);
        Ok(())
    }

    /// What the process is about with an operation of which one may be under way.
    fn lane(&mut self, node: NodeId, request: &Request) -> Result<Lane, Refusal> {
        let (opens, newest, start) = (self.opens(node), self.view(node).newest(), self.view(node).start());
        // Who has paused reads once more before it opens a generation (J7).
        let has_paused = self.view(node).pauses();
        let process = self.process(node)?;
        let (next, decides) = (process.next.clone(), process.recovers() && process.at_end);
        if let Some(next) = next {
            let fits = match (&next, request) {
                (Lane::Confirm(record, _), Request::ReadJournal(index)) => record.index == *index,
                (Lane::SeatHolder { generation, .. }, Request::ReadSeat(of)) => *generation == of.0,
                (Lane::Verify { snapshot, turns }, Request::VerifyPart((of, Some(id)))) => {
                    let unseen = self.graph.members.iter().find(|member| !turns.contains_key(member));
                    id == snapshot && Some(of) == unseen
                }
                (Lane::Found { snapshot, turns }, Request::CreateJournal(record)) => {
                    // `CommitFound`
                    let entry = Entry::Commit(*snapshot, turns.clone());
                    sure(record.entry == entry, || format!("{snapshot} is the set that was found"))?;
                    let record = record.clone();
                    self.may_append(node, &record)?;
                    return Ok(Lane::Append(record, Purpose::Found));
                }
                (Lane::WriteInitial, Request::WriteInitial { .. }) => true,
                _ => false,
            };
            return if fits { Ok(next) } else { Err(format!("it must {next} now")) };
        }
        match request {
            Request::ReadJournal(index) => match process.search {
                Some((exists, absent)) => {
                    let fresh = *index > exists && absent.is_none_or(|absent| *index < absent);
                    sure(fresh, || "it knows already what is there".into())?;
                    Ok(Lane::Find(*index))
                }
                None => {
                    // `Read`
                    let following = *index == process.view as u64 + 1;
                    sure(following && (!decides || has_paused) && process.loaded.is_none(), || {
                        "it has read to the end".into()
                    })?;
                    Ok(Lane::Read)
                }
            },
            Request::CreateJournal(record) => self.append(node, record, opens, newest),
            Request::CreateSeat { generation, life } => {
                // `Sit`
                let known = match process.life.replace(*life) {
                    Some(known) => known == *life,
                    None => self.lives.insert(*life),
                };
                let process = self.process(node)?;
                let ready = process.phase != Phase::Start || process.looked == newest;
                let fits = generation.0 == newest && newest > process.generation && process.seat != newest;
                sure(decides && !opens && ready && fits && known, || {
                    "S1: this seat is not its to take now".into()
                })?;
                Ok(Lane::Seat(newest))
            }
            Request::ListParts(Some(generation)) => {
                // `Look`
                let due =
                    (process.looked != newest || has_paused) && (opens || process.phase == Phase::Start);
                let fits = generation.0 == newest && newest > 0;
                sure(decides && due && fits, || "it has no reason to look for whole sets".into())?;
                Ok(Lane::Look)
            }
            Request::ReadPart(key) => {
                // `Restore`, its first half
                let fits = *key == (node, start) && process.seat == newest && newest > 0;
                sure(decides && !opens && fits, || {
                    format!("g{newest} begins at {}, and it needs a seat there", show::at(start.as_ref()))
                })?;
                // The others have as much to read: they hear of it before it is read here.
                self.announce(node, newest)?;
                Ok(Lane::Load)
            }
            _ => Err("it has no reason to ask for that".into()),
        }
    }

    fn append(&mut self, node: NodeId, record: &Record, opens: bool, newest: u64) -> Result<Lane, Refusal> {
        self.may_append(node, record)?;
        let restart = self.view(node).restart();
        let process = self.process(node)?;
        let decides = process.recovers() && process.at_end;
        match &record.entry {
            Entry::Open(generation, start) => {
                // `Open`
                let first = process.view == 0 && process.phase == Phase::Start;
                let ready = first || opens && process.looked == newest;
                sure(decides && ready, || "it has no reason to open a generation".into())?;
                sure(generation.0 == newest + 1, || format!("J2: the newest generation is g{newest}"))?;
                sure(*start == restart, || format!("J2: the last commit is {}", show::at(restart.as_ref())))?;
                Ok(Lane::Append(record.clone(), Purpose::Open))
            }
            Entry::Commit(id, turns) => {
                // `Commit`
                sure(process.is_running(), || "it is not running, and has found no whole set".into())?;
                sure(process.tallies.get(id) == Some(turns), || {
                    format!("these are not the receipts of {id}")
                })?;
                Ok(Lane::Append(record.clone(), Purpose::Receipts(*id)))
            }
            Entry::Discard(upto) => {
                // `Discard`
                sure(process.is_running(), || "it is not running".into())?;
                let (own, process) = (process.own.clone(), process.clone());
                let view = self.view(node);
                let mut news = false;
                for (initiator, sequence) in upto {
                    let generation = Generation(newest);
                    let id = SnapshotId { generation, sequence: *sequence, initiator: *initiator };
                    if view.is_settled(id) {
                        continue;
                    }
                    news = true;
                    let given_up = own.get(&id).is_some_and(|own| own.given_up && !process.is_held(id, *own));
                    sure(given_up, || format!("{node} does not know that {id} was given up"))?;
                    let earlier = own.iter().find(|(earlier, own)| {
                        let is_earlier = earlier.initiator == *initiator && earlier.sequence < *sequence;
                        is_earlier && !own.given_up && !view.is_dead(node, **earlier, own.turn)
                    });
                    sure(earlier.is_none(), || format!("nobody has given up an earlier one than {id}"))?;
                }
                sure(news, || "J6: all of that is settled".into())?;
                Ok(Lane::Append(record.clone(), Purpose::Discard))
            }
        }
    }

    /// How many parts of its own the store still has that shall go.
    pub(super) fn left(&self, node: NodeId) -> usize {
        let view = self.view(node);
        let Some(process) = self.processes.get(&node) else { return 0 };
        let shall_go = |(id, own): &(&SnapshotId, &Own)| {
            view.is_dead(node, **id, own.turn) || own.given_up && !process.is_held(**id, **own)
        };
        process.own.iter().filter(shall_go).count()
    }

    /// J1, and what a record sums up.
    fn may_append(&mut self, node: NodeId, record: &Record) -> Step {
        let view = self.view(node);
        sure(record.index == view.0.len() as u64 + 1, || {
            format!("J1: it has read {} records", view.0.len())
        })?;
        sure(record.author == node, || "it is another one's record".into())?;
        if let Entry::Commit(id, turns) = &record.entry {
            sure(turns.keys().eq(&self.graph.members), || {
                format!("J4: {id} has not one part of each member")
            })?;
            view.may_commit(*id, turns)?;
        }
        let mut records = view.0.to_vec();
        records.push(record.clone());
        let kept = View(&records).kept(self.retention);
        let kept = &kept[kept.len().saturating_sub(if self.retention == 0 { NAMED } else { usize::MAX })..];
        sure(record.kept == kept, || format!("retention keeps {}", show::list(kept)))
    }
}

//! The next-state relation: which line may follow in which state, and the state after it. The methods bear the names of the
//! actions of `spec/Snapshot.tla`.

mod arrival;
mod ask;
mod flow;
mod learn;
mod process;
mod store;

use snapshot_core::{Generation, NodeId, SnapshotId};

use super::line::{Body, Counts, Event, Line, Message, Reason};
use super::state::{Input, Link, Phase, Process, State};

/// Why a line is allowed by no action.
type Refusal = String;
type Step = Result<(), Refusal>;

fn sure(holds: bool, why: impl FnOnce() -> String) -> Step {
    if holds { Ok(()) } else { Err(why()) }
}

impl State {
    /// Takes a step, or says why no action allows it. After a refusal the state is worth nothing.
    pub(super) fn next(&mut self, line: &Line) -> Step {
        // A turn is one step, however much is sent in it.
        let in_turn = matches!(line, Line::Send { .. } | Line::Turn { .. })
            && self.step.is_some_and(|(node, input)| Some(node) == line.node() && input == Input::Turn);
        if !line.is_output() && !in_turn {
            self.settle()?;
        }
        match line {
            Line::Member { node } => sure(self.booted == 0 && self.graph.members.insert(*node), || {
                "a second member of that name".into()
            }),
            Line::Link { from, to, messages } => self.link(*from, *to, *messages),
            Line::Retention { kept } => {
                self.retention = *kept;
                sure(self.booted == 0, || "the group is running".into())
            }
            Line::Window { messages, bytes } => {
                self.window = (*messages, *bytes);
                sure(self.booted == 0, || "the group is running".into())
            }
            Line::Left { from, to, frame } => {
                sure(self.booted == 0, || "the group is running".into())?;
                let channel = self.network.get_mut(&(*from, *to)).ok_or("there is no such channel")?;
                channel.push_back(frame.clone());
                Ok(())
            }
            Line::Boot { node } => self.boot(*node),
            Line::Crash { node } => self.crash(*node),
            Line::Lose { from, to, frames } => self.lose(*from, *to, *frames, false),
            Line::Swallow { from, to, frames } => self.lose(*from, *to, *frames, true),
            Line::Up { node, peer } => self.up(*node, *peer),
            Line::Lost { node, peer } => self.lost(*node, *peer),
            Line::Send { node, to, message } => self.send(*node, *to, *message),
            Line::Take { node, from, message } => self.take(*node, *from, *message),
            Line::Turn { node, turn } => {
                let process = self.input(*node, Input::Other)?;
                process.turn += 1;
                sure(process.turn == *turn, || format!("turn {} is the next to end", process.turn))
            }
            Line::Initiate { node, snapshot } => self.initiate(*node, *snapshot),
            Line::Timeout { node } => self.timeout(*node),
            Line::Arrive { node, from, frame } => self.arrive(*node, *from, frame),
            Line::Restored { node, sent, taken } => self.restore(*node, sent, taken),
            Line::Do { operation } => self.perform(*operation),
            Line::Answer { operation, answer } => self.answer(*operation, answer),
            Line::Capture { node } => {
                let process = self.output(*node)?;
                sure(process.owed.captures > 0, || "nothing asks for a capture".into())?;
                process.owed.captures -= 1;
                Ok(())
            }
            Line::Ask { node, operation, request } => self.ask(*node, *operation, request),
            Line::Out { node, to, frame } => self.out(*node, *to, frame),
            Line::Told { node, event } => self.told(*node, event),
        }
    }

    /// Nothing is left to be seen: where a trace ends.
    pub(super) fn end(&mut self) -> Step {
        self.settle()?;
        let outboxes =
            self.processes.iter().flat_map(|(node, p)| p.channels.values().map(move |c| (node, c)));
        let unsent = outboxes.into_iter().find_map(|(node, channel)| {
            let control = channel.control.front().map(|queued| queued.body.clone());
            let message = channel.messages.front().map(|message| Body::Message(*message));
            Some((node, control.or(message)?))
        });
        unsent.map_or(Ok(()), |(node, body)| Err(format!("{node} has not sent `{body}`")))
    }

    /// All that the last input asked for has been seen.
    pub(super) fn settle(&mut self) -> Step {
        let Some((node, _)) = self.step.take() else { return Ok(()) };
        let pauses = self.view(node).pauses();
        let missing = self.processes.get(&node).and_then(|process| process.missing(pauses));
        missing.map_or(Ok(()), |what| Err(format!("before this, {node} owes {what}")))
    }

    fn process(&mut self, node: NodeId) -> Result<&mut Process, Refusal> {
        self.processes.get_mut(&node).ok_or_else(|| format!("no process of {node} runs"))
    }

    /// A process gets an input; its outputs follow.
    fn input(&mut self, node: NodeId, input: Input) -> Result<&mut Process, Refusal> {
        self.step = Some((node, input));
        let process = self.process(node)?;
        process.reads_again = false;
        Ok(process)
    }

    fn output(&mut self, node: NodeId) -> Result<&mut Process, Refusal> {
        sure(self.step.is_some_and(|(of, _)| of == node), || format!("{node} has had no input"))?;
        self.process(node)
    }

    fn running(&mut self, node: NodeId, input: Input) -> Result<&mut Process, Refusal> {
        let process = self.input(node, input)?;
        sure(process.is_running(), || format!("{node} is not running: it is in phase {:?}", process.phase))?;
        Ok(process)
    }

    fn link(&mut self, from: NodeId, to: NodeId, messages: bool) -> Step {
        let known = self.graph.members.contains(&from) && self.graph.members.contains(&to) && from != to;
        sure(known && self.booted == 0, || "a link joins two members, before any process begins".into())?;
        self.network.entry((from, to)).or_default();
        self.graph.links.insert((from, to), messages);
        Ok(())
    }

    // ---- processes and connections ----------------------------------------------------------------------------------

    /// `Boot`
    fn boot(&mut self, node: NodeId) -> Step {
        let member = self.graph.members.contains(&node);
        sure(member && !self.processes.contains_key(&node), || "a member without a process boots".into())?;
        self.booted += 1;
        self.processes.insert(node, Process::new(self.booted, self.graph.peers(node)));
        self.step = Some((node, Input::Other));
        Ok(())
    }

    /// `Crash`
    fn crash(&mut self, node: NodeId) -> Step {
        sure(self.processes.remove(&node).is_some(), || "nothing is there to crash".into())
    }

    /// A part of `Crash`, `Break` and `Boot`.
    fn lose(&mut self, from: NodeId, to: NodeId, frames: u64, first: bool) -> Step {
        let channel = self.network.get_mut(&(from, to)).ok_or("there is no such channel")?;
        let frames = usize::try_from(frames).map_err(|_| "that many frames")?;
        sure(frames <= channel.len(), || format!("only {} frames are under way", channel.len()))?;
        if first {
            channel.drain(..frames);
        } else {
            channel.truncate(channel.len() - frames);
        }
        Ok(())
    }

    /// `Up`: a numbered `Hello` on every new connection, from who speaks.
    fn up(&mut self, node: NodeId, peer: NodeId) -> Step {
        let link = self.graph.links.contains_key(&(node, peer));
        let process = self.input(node, Input::Other)?;
        let channel = process.channels.get_mut(&peer).ok_or("they are no neighbours")?;
        (channel.link, channel.answered) = (Link::Up, false);
        // Who looks for a generation that is not there goes on in its own.
        let lives = process.is_running() || process.phase == Phase::Newer;
        let speaks = lives || process.speaks > process.generation;
        if speaks && link {
            self.greet(node, peer)?;
        }
        Ok(())
    }

    fn lost(&mut self, node: NodeId, peer: NodeId) -> Step {
        let process = self.input(node, Input::Lost(peer))?;
        process.channels.get_mut(&peer).ok_or("they are no neighbours")?.link = Link::Lost;
        Ok(())
    }

    fn timeout(&mut self, node: NodeId) -> Step {
        let process = self.input(node, Input::Timeout)?;
        if process.recovers() && std::mem::take(&mut process.waits) {
            (process.at_end, process.looked) = (false, 0);
        }
        Ok(())
    }

    // ---- the application --------------------------------------------------------------------------------------------

    /// `Send`
    fn send(&mut self, node: NodeId, to: NodeId, message: Message) -> Step {
        let carries = self.graph.links.get(&(node, to)) == Some(&true);
        sure(carries, || "no channel carries messages there".into())?;
        let process = self.running(node, Input::Turn)?;
        process.logs.sent.entry(to).or_default().push(message);
        process.channels.entry(to).or_default().messages.push_back(message);
        Ok(())
    }

    /// `Take`
    fn take(&mut self, node: NodeId, from: NodeId, message: Message) -> Step {
        let process = self.running(node, Input::Turn)?;
        let head = process.untaken.pop_front();
        sure(head == Some((from, message)), || match head {
            Some((from, message)) => format!("m{message} from {from} is the next to be taken"),
            None => "nothing is untaken".into(),
        })?;
        process.logs.taken.entry(from).or_default().push(message);
        process.channels.entry(from).or_default().intake.take(message);
        Ok(())
    }

    /// `Initiate`
    fn initiate(&mut self, node: NodeId, id: SnapshotId) -> Step {
        self.running(node, Input::Other)?;
        let left = self.left(node);
        let process = self.process(node)?;
        let refused = process.refusal(left);
        sure(refused.is_none(), || {
            format!(
                "it would be given up at once: {}",
                refused.map_or_else(String::new, |why| why.to_string())
            )
        })?;
        let (generation, sequence) = (Generation(process.generation), process.largest + 1);
        let next = SnapshotId { generation, sequence, initiator: node };
        sure(id == next, || format!("I1: {next} is the next name"))?;
        process.tallies.insert(id, Counts::new());
        self.begin(node, id, None)
    }

    // ---- outputs ----------------------------------------------------------------------------------------------------

    fn told(&mut self, node: NodeId, event: &Event) -> Step {
        let input = self.step.map_or(Input::Other, |(_, input)| input);
        let process = self.output(node)?;
        if let Some(at) = process.owed.events.iter().position(|owed| owed == event) {
            process.owed.events.remove(at);
            return Ok(());
        }
        match event {
            Event::StoreFailed if process.sweep_failed => Ok(()),
            Event::Aborted { snapshot, by, reason } if *by == node => {
                let (id, reason) = (*snapshot, *reason);
                sure(!process.is_committing(id), || format!("only the store can say how {id} ends"))?;
                let excused = match input {
                    Input::Timeout => reason == Reason::Deadline && process.is_running(),
                    Input::Lost(peer) => reason == Reason::PeerLost(peer),
                    _ => false,
                };
                sure(excused || reason == Reason::Superseded && self.is_superseded(node, id), || {
                    format!("{node} has no such reason to give up {id}")
                })?;
                sure(self.give_up(node, id, reason)?, || format!("{node} has nothing of {id} to give up"))?;
                self.process(node)?.owed.events.pop();
                Ok(())
            }
            _ => Err("there is no reason to tell that".into()),
        }
    }
}

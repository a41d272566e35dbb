//! State machines without any structure to lean on, and a sequential reference that every cut is compared with.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use snapshot_core::{Graph, LinkUse, NodeId, Peer, PostcardState};
use snapshot_transport_mem::simulation::{Application, Cut, Outgoing, Random};

use super::Judged;

/// One machine a node. What it does depends on all that it has done before.
#[derive(Debug)]
pub struct Machines {
    graph: Graph,
}

/// A message: what the receiver's next state depends on, and how many messages may follow from it one after another.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Impulse {
    value: u64,
    life: u8,
}

/// What a machine was given, in its order: enough to compute it anew.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Input {
    Work(u64),
    Message(NodeId, Impulse),
}

/// A machine, and all that it was given.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Machine {
    neighbours: Vec<NodeId>,
    state: u64,
    inputs: Vec<Input>,
}

impl PostcardState for Machine {}

/// The pure step: the next state, and what is sent.
fn step(me: NodeId, state: u64, input: &Input, neighbours: &[NodeId]) -> (u64, Vec<(NodeId, Impulse)>) {
    let (from, value, life) = match *input {
        Input::Work(value) => (0, value, 4),
        Input::Message(from, Impulse { value, life }) => (from.0, value, life),
    };
    let mut state = mix(mix(mix(state, me.0), from), value);
    let mut sent = Vec::new();
    if life > 0 && !neighbours.is_empty() {
        for _ in 0..state % 3 {
            state = mix(state, 1);
            let to = neighbours[(state >> 32) as usize % neighbours.len()];
            sent.push((to, Impulse { value: state, life: life - 1 }));
        }
    }
    (state, sent)
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood 2014): any change of its input changes half of its output.
fn mix(state: u64, with: u64) -> u64 {
    let mut z = (state ^ with).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Machine {
    fn take(&mut self, input: Input, out: &mut Outgoing<'_, Impulse>) {
        let (state, sent) = step(out.me(), self.state, &input, &self.neighbours);
        self.state = state;
        self.inputs.push(input);
        sent.into_iter().for_each(|(to, impulse)| out.send(to, impulse));
    }
}

impl Application for Machines {
    type State = Machine;
    type Message = Impulse;

    fn start(&mut self, node: NodeId) -> Machine {
        let topology = self.graph.at(node).expect("the group was made of this graph");
        let carries = |peer: &Peer| topology.outgoing_use(*peer) == Some(LinkUse::Messages);
        let neighbours = topology.outgoing().filter(carries).map(Peer::id).collect();
        Machine { neighbours, state: node.0, inputs: Vec::new() }
    }

    fn handle(
        &mut self,
        machine: &mut Machine,
        from: NodeId,
        impulse: Impulse,
        out: &mut Outgoing<'_, Impulse>,
    ) {
        machine.take(Input::Message(from, impulse), out);
    }

    fn work(&mut self, machine: &mut Machine, random: &mut Random, out: &mut Outgoing<'_, Impulse>) {
        machine.take(Input::Work(random.number()), out);
    }
}

impl Judged for Machines {
    const RULE: &str = "the cut is a state of the sequential reference";

    fn new(graph: &Graph) -> Self {
        Self { graph: graph.clone() }
    }

    /// Runs all machines anew in one thread, from what the cut says that each was given: whoever's next input is there takes it.
    /// No order can change the outcome, since a channel has one receiver and keeps its order. All inputs must be used up that
    /// way; then every machine must be in the state that the cut has, and every channel must hold what the cut has in flight.
    fn judge(cut: &Cut<Self>) -> Result<(), String> {
        let neighbours = |id| cut.state(id).map_or(&[][..], |machine| machine.neighbours.as_slice());
        let mut channels: BTreeMap<(NodeId, NodeId), VecDeque<Impulse>> = BTreeMap::new();
        let mut states: BTreeMap<NodeId, u64> = cut.states().map(|(id, _)| (id, id.0)).collect();
        let mut inputs: BTreeMap<NodeId, _> =
            cut.states().map(|(id, machine)| (id, machine.inputs.iter().peekable())).collect();
        let mut moved = true;
        while moved {
            moved = false;
            for (id, rest) in &mut inputs {
                while let Some(input) = rest.peek() {
                    if let Input::Message(from, impulse) = input {
                        let channel = channels.entry((*from, *id)).or_default();
                        match channel.front() {
                            Some(front) if front == impulse => channel.pop_front(),
                            Some(front) => {
                                return Err(format!("{id} took {impulse:?} from {from}, before {front:?}"));
                            }
                            None => break,
                        };
                    }
                    let state = states.entry(*id).or_default();
                    let (next, sent) = step(*id, *state, input, neighbours(*id));
                    *state = next;
                    sent.into_iter()
                        .for_each(|(to, impulse)| channels.entry((*id, to)).or_default().push_back(impulse));
                    rest.next();
                    moved = true;
                }
            }
        }
        if let Some((id, input)) = inputs.iter_mut().find_map(|(id, rest)| Some((id, rest.next()?))) {
            return Err(format!("{id} took {input:?}, which nobody had sent"));
        }
        if let Some((id, machine)) = cut.states().find(|(id, machine)| states[id] != machine.state) {
            return Err(format!(
                "{id} is in the state {:x}, and should be in {:x}",
                machine.state, states[&id]
            ));
        }
        for (channel, there) in cut.channels() {
            let expected = channels.remove(&channel).unwrap_or_default();
            if !there.iter().eq(&expected) {
                let (from, to) = channel;
                return Err(format!(
                    "in flight from {from} to {to} is {there:?}, and should be {expected:?}"
                ));
            }
        }
        match channels.into_iter().find(|(_, rest)| !rest.is_empty()) {
            Some(((from, to), rest)) => Err(format!("{rest:?} from {from} to {to} is nowhere")),
            None => Ok(()),
        }
    }
}

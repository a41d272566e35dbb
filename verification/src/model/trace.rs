//! A counterexample as people read it, and how to walk through it again.

use std::fmt::Write as _;

use snapshot_core::{Body, Frame, FrameKind, StoreRequest};
use stateright::Model as _;

use super::Group;
use super::action::{Action, How};
use super::app::Message;
use super::state::{Item, Request, State, is_ask};
use super::step::Step;

/// A way from the first state of a configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trace {
    /// One line a step.
    pub steps: Vec<String>,
    /// What is wrong at its end, if anything.
    pub ends: Option<String>,
    /// The number of the choice that each step made, with points between them.
    pub choices: String,
}

impl Trace {
    /// Walks a way by its actions.
    pub fn of(group: &Group, actions: &[Action]) -> Self {
        let mut state = group.init_states().swap_remove(0);
        let (mut steps, mut choices) = (Vec::new(), Vec::new());
        for action in actions {
            let mut open = Vec::new();
            group.actions(&state, &mut open);
            let Some(choice) = open.iter().position(|other| other == action) else { break };
            choices.push(choice.to_string());
            steps.push(describe(group, &state, *action));
            state = Step::from(group, state).after(*action);
        }
        let fault = state.fault.as_ref().map(|fault| format!("{}: {}", fault.rule.name(), fault.what));
        let ends = fault.or_else(|| group.unrest(&state).map(|what| format!("at rest, {what}")));
        Self { steps, ends, choices: choices.join(".") }
    }

    /// Walks a way by its choices, as far as they go.
    ///
    /// # Errors
    ///
    /// If these are no choices, or none that this configuration has.
    pub fn replay(group: &Group, choices: &str) -> Result<Self, String> {
        let mut state = group.init_states().swap_remove(0);
        let mut actions = Vec::new();
        for choice in choices.split('.').filter(|choice| !choice.is_empty()) {
            let number: usize = choice.parse().map_err(|_| format!("'{choice}' is no number of a choice"))?;
            let mut open = Vec::new();
            group.actions(&state, &mut open);
            let step = actions.len() + 1;
            let action = open.get(number).copied();
            let action =
                action.ok_or_else(|| format!("step {step} has {} choices, not {choice}", open.len()))?;
            state = Step::from(group, state).after(action);
            actions.push(action);
        }
        Ok(Self::of(group, &actions))
    }

    /// All of it, as text of many lines.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for (number, step) in self.steps.iter().enumerate() {
            let _ = writeln!(text, "{:>4}  {step}", number + 1);
        }
        let _ = writeln!(text, "      → {}", self.ends.as_deref().unwrap_or("nothing is wrong here"));
        text
    }
}

fn describe(group: &Group, state: &State, action: Action) -> String {
    let config = &group.config;
    let process = |place: usize| match state.process(place) {
        Some(process) if place >= group.nodes() => format!("the old n{}", process.node + 1),
        _ => format!("n{}", place + 1),
    };
    match action {
        Action::Deliver { place, from } => {
            let front = state.channel(place, from, group.nodes()).front();
            let item = front.map_or_else(String::new, what);
            format!("{} hears from n{}: {item}", process(place), from + 1)
        }
        Action::Flush { place, to } => format!("{} hands its frames for n{} on", process(place), to + 1),
        Action::Sent { place, to } => format!("{} has handed its frames for n{} on", process(place), to + 1),
        Action::Take { place } => format!("{} takes a message", process(place)),
        Action::Store { place, operation, how } => {
            let request = state.process(place).and_then(|process| process.pending.get(operation));
            let request = request.map_or_else(String::new, |pending| asked(&pending.request));
            let how = match how {
                How::Done => "",
                How::Effect => ", whose answer is under way",
                How::Answer => ": the answer arrives",
                How::Refused => ", which fails",
                How::Late => ", which is reported as failed and may be done later",
                How::Denied => ", which is done and reported as failed",
                How::Lagging => ", which lags and shows nothing",
            };
            format!("{}: {request}{how}", process(place))
        }
        Action::Retry { place } => format!("{} tries the store again", process(place)),
        Action::Start { node, swallowed: 0 } => format!("n{} starts", node + 1),
        Action::Start { node, swallowed } => {
            format!("n{} starts; {swallowed} frames sent to it meanwhile are lost", node + 1)
        }
        Action::Silence => "nothing happens until all timers are due".to_owned(),
        Action::Send { entry } => {
            format!("n{} sends a message to n{}", config.sends[entry].0 + 1, config.sends[entry].1 + 1)
        }
        Action::Initiate { entry } => format!("n{} begins a snapshot", config.snapshots[entry].0 + 1),
        Action::Abort { place, running } => format!("{} gives up snapshot {}", process(place), running + 1),
        Action::Deadline { place } => format!("{}: deadlines pass", process(place)),
        Action::Crash { node, kept } => format!("n{} dies; {kept} of its last frames still arrive", node + 1),
        Action::Break { a, b, lost } => format!(
            "the connection n{}-n{} breaks and comes back; {} and {} frames are lost",
            a + 1,
            b + 1,
            lost.0,
            lost.1
        ),
        Action::Double { node, kept } => {
            format!("a second process of n{} starts; {kept} frames of the first still arrive", node + 1)
        }
        Action::Rewind { copy: 0 } => "all die, and nothing is left in the store".to_owned(),
        Action::Rewind { copy } => {
            let newest = state.histories.copies[copy - 1].1.newest().unwrap_or(0);
            format!("all die, and the store becomes copy {copy}, in generation {newest}")
        }
        Action::Land { orphan } => {
            let (node, request) = &state.orphans[orphan];
            format!("of the dead n{}: {}", node + 1, asked(request))
        }
    }
}

fn what(item: &Item) -> String {
    match item {
        Item::Up => "the connection stands".to_owned(),
        Item::Lost => "the connection is gone".to_owned(),
        Item::Frame(frame) => said(frame),
        Item::LeftOver(frame) => format!("{}, left over", said(frame)),
    }
}

fn said(frame: &Frame<Message>) -> String {
    let what = match (&frame.body, frame.kind()) {
        (Body::Message(message), _) => format!("message {:?}", message.id),
        (_, Ok(FrameKind::Marker(id))) => format!("marker of {id}"),
        (_, Ok(FrameKind::Receipt(id))) => format!("receipt of {id}"),
        (_, Ok(FrameKind::Outcome(id))) => format!("outcome of {id}"),
        (_, Ok(FrameKind::Hello)) => "hello".to_owned(),
        (_, Ok(FrameKind::Flow)) if is_ask(frame) => "ask".to_owned(),
        (_, Ok(FrameKind::Flow)) => "grant".to_owned(),
        (_, other) => format!("{other:?}"),
    };
    format!("{what} ({}#{})", frame.stamp.generation(), frame.stamp.count())
}

fn asked(request: &Request) -> String {
    match request {
        StoreRequest::Read(key) => format!("read {}", short(&key.to_string())),
        StoreRequest::Create(key, _) => format!("create {}", short(&key.to_string())),
        StoreRequest::WriteInitial(_) => "write its initial state".to_owned(),
        StoreRequest::WritePart(local) => format!("write its part of {}", local.snapshot),
        StoreRequest::ReadPart { key, .. } => format!("load {}", short(&key.to_string())),
        StoreRequest::VerifyPart { key, .. } => format!("verify {}", short(&key.to_string())),
        StoreRequest::ListParts(_) => "list the parts".to_owned(),
        StoreRequest::Delete(keys) => {
            let keys: Vec<_> = keys.iter().map(|key| short(&key.to_string())).collect();
            format!("delete {}", keys.join(", "))
        }
    }
}

/// A key without the zeros that make it sort.
fn short(key: &str) -> String {
    let word = |word: &str| match word.trim_start_matches('0') {
        "" => "0".to_owned(),
        rest => rest.to_owned(),
    };
    let words = key.split('/').map(|words| words.split('-').map(word).collect::<Vec<_>>().join("-"));
    words.collect::<Vec<_>>().join("/")
}

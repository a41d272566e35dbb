//! What must hold, judged by an account that shares nothing with the code under test: vector clocks, the names that the
//! model gives to messages, and the order in which records reached the store.
//!
//! The names of snapshots and generations are taken from the code under test as labels, to tell which part belongs to
//! which; nothing is concluded from their order. Journal records are read by [`record`](super::record).

use std::sync::Arc;

use snapshot_core::Key;

use super::app::{App, Captured, Deed, Message};
use super::name::name;
use super::record::{Entry, Name, Summary};

/// A property, and what broke it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Fault {
    /// Which one.
    pub rule: Rule,
    /// How, for people.
    pub what: String,
}

/// What must hold in every state.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Rule {
    /// No part of a snapshot has seen what another had not done yet, by their vector clocks.
    Consistent,
    /// The messages recorded on a channel, by the receiver and then by the sender, are those that were sent before the
    /// sender's capture and not taken before the receiver's, in order.
    Exact,
    /// A snapshot holds all coins, those in flight included.
    Conserved,
    /// Of one channel a receiver records a window at most, or one message that is larger.
    Bounded,
    /// Each commit covers the one before; each generation follows the one before and begins at the last commit.
    Chain,
    /// What a commit record names, and what retention keeps, can be read.
    Readable,
    /// An effect that was announced as covered is never undone.
    Kept,
    /// What a node restores, and hands out again, is its part of what its generation begins at.
    Restored,
    /// No message of another generation is handed out, but those that are in the cut.
    OwnGeneration,
    /// No generation is opened but after a failure, and one for each at most (three for a second process of a node): a group
    /// that is left alone rolls nothing back.
    Cause,
    /// No node fails, panics or is accused without cause.
    Sound,
    /// What nodes have to say to each other has an end: no channel carries more frames in a generation than so little work is
    /// cause for.
    Ends,
    /// At rest all is well: every snapshot has ended, all live nodes run in the newest generation, nobody waits, and every
    /// message that was sent has taken effect exactly once.
    Rest,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Consistent,
        Self::Exact,
        Self::Conserved,
        Self::Bounded,
        Self::Chain,
        Self::Readable,
        Self::Kept,
        Self::Restored,
        Self::OwnGeneration,
        Self::Cause,
        Self::Sound,
        Self::Ends,
        Self::Rest,
    ];

    /// As people read it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Consistent => "every cut is consistent",
            Self::Exact => "every recorded channel is exact",
            Self::Conserved => "every cut conserves the coins",
            Self::Bounded => "no receiver records more than a window",
            Self::Chain => "commits form a chain",
            Self::Readable => "what the journal names can be read",
            Self::Kept => "what was announced as covered is never undone",
            Self::Restored => "what is restored is what was captured",
            Self::OwnGeneration => "no message of an older generation is handed out",
            Self::Cause => "no generation is opened without a cause",
            Self::Sound => "no node fails without cause",
            Self::Ends => "what nodes say to each other has an end",
            Self::Rest => "at rest every snapshot has ended and every message counted once",
        }
    }
}

/// One node's part of a snapshot.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Part {
    /// The state.
    pub app: Captured,
    /// The messages in flight to it, by sender.
    pub channels: Vec<Vec<Message>>,
    /// The messages that had not left it, by receiver.
    pub outgoing: Vec<Vec<Message>>,
}

/// A whole snapshot, by node.
pub type Cut = Arc<Vec<Part>>;

/// The account.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Oracle {
    links: Vec<(u8, u8)>,
    coins: u8,
    /// How many messages, and how many bytes of them, may be outstanding on a channel.
    window: (usize, usize),
    /// Commits in the order in which they reached the journal.
    commits: Vec<(Name, Cut)>,
    /// Generations likewise.
    generations: Vec<Generation>,
    /// By node: the deeds that were announced as covered.
    announced: Vec<Vec<Deed>>,
    /// Without a store: parts of snapshots that are not whole yet.
    pieces: Vec<(Name, Vec<Option<Part>>)>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Generation {
    /// What it is called.
    name: u64,
    /// The nonce of its record.
    nonce: u64,
    /// How many commits were before.
    commits: usize,
}

/// What a node has to hand out again: what its part has of each channel first, then what the sender's part has. By sender.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Replay {
    /// Recorded by the node itself.
    pub recorded: Vec<Vec<Message>>,
    /// Recorded by the senders, which send it again.
    pub resent: Vec<Vec<Message>>,
}

/// What was found to be so, or what broke.
pub type Verdict = Result<(), Fault>;

fn broken(rule: Rule, what: impl Into<String>) -> Fault {
    Fault { rule, what: what.into() }
}

impl Oracle {
    /// The account of a group that has not begun.
    pub fn new(nodes: u8, links: Vec<(u8, u8)>, coins: u8, window: (usize, usize)) -> Self {
        Self {
            links,
            coins,
            window,
            commits: Vec::new(),
            generations: Vec::new(),
            announced: vec![Vec::new(); usize::from(nodes)],
            pieces: Vec::new(),
        }
    }

    /// The newest generation, by name.
    pub fn newest(&self) -> Option<u64> {
        self.generations.last().map(|generation| generation.name)
    }

    /// Whether this is a part of a snapshot that was committed.
    pub fn has_committed(&self, key: Key) -> bool {
        let Key::Part { snapshot, .. } = key else { return false };
        self.commits.iter().any(|(known, _)| *known == name(snapshot))
    }

    /// All parts of a snapshot exist.
    pub fn whole(&self, cut: &[Part]) -> Verdict {
        for (i, seen) in cut.iter().enumerate() {
            for (j, done) in cut.iter().enumerate() {
                if seen.app.clock[j] > done.app.clock[j] {
                    let what = format!(
                        "n{}'s part has seen {} deeds of n{}, whose part has only {}",
                        i + 1,
                        seen.app.clock[j],
                        j + 1,
                        done.app.clock[j]
                    );
                    return Err(broken(Rule::Consistent, what));
                }
            }
        }
        let mut coins = 0;
        for part in cut {
            let in_flight = part.channels.iter().chain(&part.outgoing);
            coins += u32::from(part.app.coins) + in_flight.map(Vec::len).sum::<usize>() as u32;
        }
        for &(from, to) in &self.links {
            let (sender, receiver) = (&cut[usize::from(from)], &cut[usize::from(to)]);
            let sent: Vec<_> = sender.app.sent(to).collect();
            let recorded =
                receiver.channels[usize::from(from)].iter().chain(&sender.outgoing[usize::from(to)]);
            let recorded = recorded.map(|message| message.id);
            let accounted: Vec<_> = receiver.app.took(from).chain(recorded).collect();
            if sent != accounted {
                let what = format!("n{} had sent {sent:?}; taken and recorded are {accounted:?}", from + 1);
                return Err(broken(Rule::Exact, what));
            }
        }
        for (node, part) in cut.iter().enumerate() {
            let is_over = |recorded: &&Vec<Message>| {
                let bytes = recorded.iter().map(Message::weight).sum::<usize>();
                recorded.len() > 1 && (recorded.len() > self.window.0 || bytes > self.window.1)
            };
            if let Some(recorded) = part.channels.iter().find(is_over) {
                return Err(broken(Rule::Bounded, format!("n{} recorded {recorded:?}", node + 1)));
            }
        }
        if coins != u32::from(self.coins) {
            return Err(broken(Rule::Conserved, format!("{coins} coins in place of {}", self.coins)));
        }
        Ok(())
    }

    /// Without a store: a node has given out its part of a snapshot. Returns whether the snapshot is whole with it.
    pub fn piece(&mut self, name: Name, node: u8, part: Part) -> Result<Option<Cut>, Fault> {
        let nodes = self.announced.len();
        let at = self.pieces.iter().position(|(known, _)| *known == name).unwrap_or_else(|| {
            self.pieces.push((name, vec![None; nodes]));
            self.pieces.len() - 1
        });
        if self.pieces[at].1[usize::from(node)].replace(part).is_some() {
            return Err(broken(Rule::Sound, format!("n{} gave two parts of one snapshot", node + 1)));
        }
        let Some(cut) = self.pieces[at].1.iter().cloned().collect::<Option<Vec<_>>>() else {
            return Ok(None);
        };
        self.pieces.swap_remove(at);
        self.whole(&cut)?;
        Ok(Some(Arc::new(cut)))
    }

    /// A record has reached the journal. `stored` reads the parts of a snapshot.
    pub fn appended(
        &mut self,
        index: u64,
        record: Option<Summary>,
        stored: impl Fn(Name) -> Option<Vec<Part>>,
    ) -> Verdict {
        let Some(record) = record.filter(|record| record.index == index) else {
            return Err(broken(Rule::Sound, format!("journal/{index} holds no record of that index")));
        };
        let restart = self.commits.last().map(|(name, _)| *name);
        let newest = self.newest();
        match record.entry {
            Entry::Generation => {
                if record.generation != newest.unwrap_or(0) + 1 {
                    let what = format!("generation {} follows {newest:?}", record.generation);
                    return Err(broken(Rule::Chain, what));
                }
                if record.start != restart {
                    let what =
                        format!("a generation begins at {:?}, the last commit is {restart:?}", record.start);
                    return Err(broken(Rule::Chain, what));
                }
                if record.opened != Some(record.nonce) {
                    let what = format!("{:?} is named in place of {}", record.opened, record.nonce);
                    return Err(broken(Rule::Chain, what));
                }
                let Summary { generation: name, nonce, .. } = record;
                self.generations.push(Generation { name, nonce, commits: self.commits.len() });
            }
            Entry::Discard => {
                if Some(record.generation) != newest {
                    let what =
                        format!("something of generation {} is discarded in {newest:?}", record.generation);
                    return Err(broken(Rule::Chain, what));
                }
            }
            Entry::Commit => {
                let Some(name) = record.last else {
                    return Err(broken(Rule::Sound, format!("journal/{index} commits nothing")));
                };
                if Some(name[0]) != newest || Some(record.generation) != newest {
                    let what = format!("{name:?} is committed while generation {newest:?} is the newest");
                    return Err(broken(Rule::Chain, what));
                }
                let opened = self.generations.last().map(|generation| generation.nonce);
                if record.opened != opened {
                    let what = format!("{name:?} names {:?} in place of {opened:?}", record.opened);
                    return Err(broken(Rule::Chain, what));
                }
                if self.commits.iter().any(|(known, _)| *known == name) {
                    return Err(broken(Rule::Chain, format!("{name:?} is committed twice")));
                }
                let Some(cut) = stored(name) else {
                    return Err(broken(
                        Rule::Readable,
                        format!("{name:?} is committed, and a part is not there"),
                    ));
                };
                self.whole(&cut)?;
                if let Some((before, last)) = self.commits.last() {
                    covers(&cut, last).map_err(|node| {
                        broken(Rule::Chain, format!("{name:?} does not cover {before:?} on n{}", node + 1))
                    })?;
                }
                self.commits.push((name, Arc::new(cut)));
            }
        }
        Ok(())
    }

    /// Parts have been deleted. `stored` reads the parts of a snapshot.
    pub fn deleted(&self, keep: usize, stored: impl Fn(Name) -> Option<Vec<Part>>) -> Verdict {
        match self.commits.iter().rev().take(keep).find(|(name, _)| stored(*name).is_none()) {
            None => Ok(()),
            Some((name, _)) => {
                let what = format!("{name:?} is among the last {keep} commits, and a part is deleted");
                Err(broken(Rule::Readable, what))
            }
        }
    }

    /// A node has announced to its application that effects up to a turn are covered by a commit.
    pub fn announced(&mut self, node: u8, name: Name, turn: u64, app: &App) -> Verdict {
        let Some((_, cut)) = self.commits.iter().find(|(known, _)| *known == name) else {
            return Err(broken(Rule::Kept, format!("{name:?} is announced, and not in the journal")));
        };
        let covered = &cut[usize::from(node)].app.history;
        let let_out: Vec<Deed> = app.history.iter().copied().filter(|deed| deed.turn <= turn).collect();
        if !covered.starts_with(&let_out) {
            let what = format!("{name:?} lets out {let_out:?} on n{} and covers {covered:?}", node + 1);
            return Err(broken(Rule::Kept, what));
        }
        self.let_out(node, let_out)
    }

    /// A node has gone back, and announced that effects up to a turn are covered.
    pub fn rolled_back(&mut self, node: u8, turn: u64, before: &App, after: &App) -> Verdict {
        let let_out: Vec<Deed> = before.history.iter().copied().filter(|deed| deed.turn <= turn).collect();
        if !after.history.starts_with(&let_out) || after.history.iter().any(|deed| deed.turn > turn) {
            let what = format!(
                "n{} went back to turn {turn}, from {:?} to {:?}",
                node + 1,
                before.history,
                after.history
            );
            return Err(broken(Rule::Kept, what));
        }
        self.let_out(node, let_out)
    }

    fn let_out(&mut self, node: u8, deeds: Vec<Deed>) -> Verdict {
        let known = &mut self.announced[usize::from(node)];
        if deeds.starts_with(known) {
            *known = deeds;
        } else if !known.starts_with(&deeds) {
            let what = format!("n{} had let out {known:?}, and now lets out {deeds:?}", node + 1);
            return Err(broken(Rule::Kept, what));
        }
        Ok(())
    }

    /// A node has restored a state in a generation. Returns what was in flight to it.
    pub fn restored(&self, node: u8, generation: u64, app: &App) -> Result<Replay, Fault> {
        let Some(Generation { commits, .. }) = self.generations.iter().find(|known| known.name == generation)
        else {
            return Err(broken(
                Rule::Restored,
                format!("n{} runs in a generation that is not there", node + 1),
            ));
        };
        let cut = commits.checked_sub(1).map(|last| &self.commits[last].1);
        let part = cut.map(|cut| &cut[usize::from(node)]);
        let right = part.map_or_else(|| App::new(node), |part| App::clone(&part.app));
        if *app != right {
            let what = format!("n{} restored {:?} in place of {:?}", node + 1, app.history, right.history);
            return Err(broken(Rule::Restored, what));
        }
        // In an older generation it is a process that has fallen behind: what it restores comes to nothing, and others may have
        // gone further.
        let known = &self.announced[usize::from(node)];
        if self.newest() == Some(generation) && !app.history.starts_with(known) {
            let what = format!("n{} had let out {known:?}, and is now at {:?}", node + 1, app.history);
            return Err(broken(Rule::Kept, what));
        }
        let nothing = || vec![Vec::new(); self.announced.len()];
        let resent = |cut: &Cut| cut.iter().map(|part| part.outgoing[usize::from(node)].clone()).collect();
        Ok(Replay {
            recorded: part.map_or_else(nothing, |part| part.channels.clone()),
            resent: cut.map_or_else(nothing, resent),
        })
    }
}

/// Whether a cut has all that an older one has; else a node where it has not.
fn covers(cut: &[Part], older: &[Part]) -> Result<(), usize> {
    let mut pairs = cut.iter().zip(older).enumerate();
    match pairs.find(|(_, (new, old))| !new.app.history.starts_with(&old.app.history)) {
        None => Ok(()),
        Some((node, _)) => Err(node),
    }
}

#[cfg(test)]
mod tests;

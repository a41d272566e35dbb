//! One token goes round, and there must never be none or two.

use serde::{Deserialize, Serialize};
use snapshot_core::{Graph, NodeId, PostcardState};
use snapshot_transport_mem::simulation::{Application, Cut, Outgoing, Random};

use super::Judged;

/// The token, passed on when work comes to its holder, and then a few times more.
#[derive(Debug)]
pub struct TokenRing {
    first: NodeId,
}

/// The token in flight.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Token {
    /// How often it was passed on since the beginning.
    passed: u64,
    /// How often it is still to be.
    left: u64,
}

/// What a node knows: the token itself, if it has it, and how often it has passed it on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Holder {
    token: Option<u64>,
    passed_on: u64,
}

impl PostcardState for Holder {}

impl Holder {
    fn pass(&mut self, left: u64, out: &mut Outgoing<'_, Token>) {
        let neighbours = out.neighbours();
        if let Some(passed) = self.token
            && !neighbours.is_empty()
        {
            self.token = None;
            self.passed_on += 1;
            let to = neighbours[(passed as usize) % neighbours.len()];
            out.send(to, Token { passed: passed + 1, left });
        }
    }
}

impl Application for TokenRing {
    type State = Holder;
    type Message = Token;

    fn start(&mut self, node: NodeId) -> Holder {
        Holder { token: (node == self.first).then_some(0), passed_on: 0 }
    }

    fn handle(&mut self, holder: &mut Holder, _: NodeId, token: Token, out: &mut Outgoing<'_, Token>) {
        assert!(holder.token.is_none(), "{} has the token, and here it comes again", out.me());
        holder.token = Some(token.passed);
        if token.left > 0 {
            holder.pass(token.left - 1, out);
        }
    }

    fn work(&mut self, holder: &mut Holder, random: &mut Random, out: &mut Outgoing<'_, Token>) {
        holder.pass(random.below(12), out);
    }
}

impl Judged for TokenRing {
    const RULE: &str = "there is exactly one token";

    fn new(graph: &Graph) -> Self {
        Self { first: graph.members()[0] }
    }

    /// The one token was passed on as often as all nodes together remember.
    fn judge(cut: &Cut<Self>) -> Result<(), String> {
        let held = cut.states().filter_map(|(_, holder)| holder.token);
        let tokens: Vec<u64> = held.chain(cut.in_flight().map(|(_, token)| token.passed)).collect();
        let passed: u64 = cut.states().map(|(_, holder)| holder.passed_on).sum();
        if tokens == [passed] {
            Ok(())
        } else {
            Err(format!("tokens that were passed on {tokens:?} times, and the nodes remember {passed}"))
        }
    }
}

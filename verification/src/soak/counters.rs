//! Messages are numbered on each channel: none may be missing, repeated or out of its place.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use snapshot_core::{Graph, NodeId, PostcardState};
use snapshot_transport_mem::simulation::{Application, Cut, Outgoing, Random};

use super::Judged;

/// Numbered messages, one in three of which is answered.
#[derive(Debug)]
pub struct Numbered;

/// The last number sent to, and received from, each neighbour.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Counters {
    sent: BTreeMap<NodeId, u64>,
    received: BTreeMap<NodeId, u64>,
}

impl PostcardState for Counters {}

impl Counters {
    fn send(&mut self, to: NodeId, out: &mut Outgoing<'_, u64>) {
        let sent = self.sent.entry(to).or_default();
        *sent += 1;
        out.send(to, *sent);
    }
}

impl Application for Numbered {
    type State = Counters;
    type Message = u64;

    fn start(&mut self, _: NodeId) -> Counters {
        Counters::default()
    }

    fn handle(&mut self, counters: &mut Counters, from: NodeId, number: u64, out: &mut Outgoing<'_, u64>) {
        let received = counters.received.entry(from).or_default();
        assert_eq!(number, *received + 1, "from {from} to {}: lost, repeated or out of order", out.me());
        *received = number;
        if number.is_multiple_of(3) && out.neighbours().contains(&from) {
            counters.send(from, out);
        }
    }

    fn work(&mut self, counters: &mut Counters, random: &mut Random, out: &mut Outgoing<'_, u64>) {
        for _ in 0..random.below(4).min(out.neighbours().len() as u64) {
            counters.send(*random.pick(out.neighbours()), out);
        }
    }
}

impl Judged for Numbered {
    const RULE: &str = "every number has its place";

    fn new(_: &Graph) -> Self {
        Self
    }

    /// Each channel holds exactly what was sent and not received, in order.
    fn judge(cut: &Cut<Self>) -> Result<(), String> {
        for ((from, to), messages) in cut.channels() {
            let received =
                cut.state(to).and_then(|counters| counters.received.get(&from)).copied().unwrap_or(0);
            let sent = cut.state(from).and_then(|counters| counters.sent.get(&to)).copied().unwrap_or(0);
            if !messages.iter().copied().eq(received + 1..=sent) {
                return Err(format!(
                    "{from} -> {to}: {sent} sent, {received} received, in flight {messages:?}"
                ));
            }
        }
        Ok(())
    }
}

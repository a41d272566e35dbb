//! What the library promises, as an application of its own: every message takes effect once, in its order, and what was
//! covered is never lost.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use snapshot_core::{Graph, NodeId, PostcardState};
use snapshot_transport_mem::simulation::{Application, Cut, Outgoing, Random, SimulatedGroup};

use crate::bank::MEMBERS;

#[derive(Clone, Default, Serialize, Deserialize)]
struct Counters {
    sent: BTreeMap<NodeId, u64>,
    received: BTreeMap<NodeId, u64>,
}

impl PostcardState for Counters {}

/// Messages are numbered on each channel. One in three is answered.
struct Numbered;

impl Numbered {
    fn send(counters: &mut Counters, to: NodeId, out: &mut Outgoing<'_, u64>) {
        let sent = counters.sent.entry(to).or_default();
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
            Self::send(counters, from, out);
        }
    }

    fn work(&mut self, counters: &mut Counters, random: &mut Random, out: &mut Outgoing<'_, u64>) {
        for _ in 0..random.below(4) {
            Self::send(counters, *random.pick(out.neighbours()), out);
        }
    }
}

/// On each channel: received, then in flight, then nothing more was sent.
fn each_message_is_somewhere(cut: &Cut<Numbered>) -> Result<(), String> {
    for ((from, to), messages) in cut.channels() {
        let received = cut.state(to).and_then(|counters| counters.received.get(&from)).copied().unwrap_or(0);
        let sent = cut.state(from).and_then(|counters| counters.sent.get(&to)).copied().unwrap_or(0);
        if !messages.iter().copied().eq(received + 1..=sent) {
            return Err(format!("{from} -> {to}: {sent} sent, {received} received, in flight {messages:?}"));
        }
    }
    Ok(())
}

#[test]
fn messages_take_effect_once_and_in_order_whatever_happens() {
    for graph in [
        Graph::mesh(MEMBERS),
        Graph::ring(MEMBERS),
        Graph::star(MEMBERS),
        Graph::mesh([NodeId(1), NodeId(2)]),
    ] {
        let summary = SimulatedGroup::new(graph, || Numbered)
            .invariant("each message is somewhere", each_message_is_somewhere)
            .at_rest("all have arrived", |_, cut| each_message_is_somewhere(cut))
            .check(0..60);
        assert!(
            summary.replayed || summary.messages > 1000 && summary.commits > 150,
            "too little to say anything: {summary}"
        );
    }
}

//! Whether what was recorded is what was expected; the first difference in words.

use std::collections::BTreeMap;

use crate::expectation::{Expectation, Recorded};
use crate::group::Group;

/// What a run of a case left behind.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// What was recorded, in the order in which the snapshots began.
    pub(crate) snapshots: Vec<Recorded>,
    /// What each server has after the last message has arrived.
    pub(crate) tokens: Vec<u128>,
}

/// Compares, and checks that no token was lost or made. An expectation comes with the name of its file.
pub(crate) fn compare(
    group: &Group,
    outcome: &Outcome,
    expectations: &[(String, Expectation)],
) -> Result<(), String> {
    let mut by_id = BTreeMap::new();
    for (file, expectation) in expectations {
        if let Some((other, _)) = by_id.insert(expectation.snapshot, (file, &expectation.recorded)) {
            return Err(format!("{file} and {other} are both of snapshot {}", expectation.snapshot));
        }
    }
    if outcome.snapshots.len() != expectations.len() {
        let (begun, expected) = (outcome.snapshots.len(), expectations.len());
        return Err(format!("{begun} snapshots were begun, and there are {expected} .snap files"));
    }
    for (id, recorded) in (0_u64..).zip(&outcome.snapshots) {
        let (file, expected) = by_id.get(&id).ok_or_else(|| format!("no .snap file is of snapshot {id}"))?;
        if let Some(difference) = difference(recorded, expected) {
            return Err(format!("snapshot {id} ({file}): {difference}"));
        }
        let held: u128 = recorded.tokens.values().sum();
        let in_flight: u128 = recorded.channels.values().flatten().sum();
        if held + in_flight != group.total() {
            return Err(format!(
                "snapshot {id}: {held} tokens held and {in_flight} in flight, {} at the start",
                group.total()
            ));
        }
    }
    let left: u128 = outcome.tokens.iter().sum();
    if left != group.total() {
        return Err(format!("{left} tokens at the end, {} at the start", group.total()));
    }
    Ok(())
}

fn difference(recorded: &Recorded, expected: &Recorded) -> Option<String> {
    for (server, tokens) in &recorded.tokens {
        match expected.tokens.get(server) {
            None => return Some(format!("{server} recorded {tokens} tokens, and is not expected at all")),
            Some(other) if other != tokens => {
                return Some(format!("{server} recorded {tokens} tokens, expected {other}"));
            }
            Some(_) => {}
        }
    }
    if let Some(server) = expected.tokens.keys().find(|server| !recorded.tokens.contains_key(*server)) {
        return Some(format!("{server} is expected and recorded nothing"));
    }
    let channels = recorded.channels.keys().chain(expected.channels.keys());
    // Ascending, so that the first difference is the same one every time.
    let channels: std::collections::BTreeSet<_> = channels.collect();
    channels.into_iter().find_map(|channel| {
        let [recorded, expected] =
            [recorded, expected].map(|side| side.channels.get(channel).map_or(&[][..], Vec::as_slice));
        let (from, to) = channel;
        (recorded != expected).then(|| {
            format!("the channel {from} -> {to} recorded {}, expected {}", shown(recorded), shown(expected))
        })
    })
}

/// The messages of a channel for people: the first few where there are many.
fn shown(messages: &[u128]) -> String {
    const MOST: usize = 12;
    let some: Vec<String> = messages.iter().take(MOST).map(ToString::to_string).collect();
    match messages.len() {
        0 => "nothing".to_owned(),
        len if len > MOST => format!("[{}, ... {len} messages]", some.join(" ")),
        _ => format!("[{}]", some.join(" ")),
    }
}

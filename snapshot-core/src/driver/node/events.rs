//! Events that wait to be handed out.

use std::collections::VecDeque;

use super::{MAX_EVENTS_AHEAD, SnapshotNode};
use crate::contract::state::StateProvider;
use crate::driver::error::SnapshotError;
use crate::vocabulary::event::Event;

impl<S: StateProvider, M: Clone + Send + 'static> SnapshotNode<S, M> {
    pub(super) fn take_event(&mut self, event: Event<M, S::Captured>) {
        if let Event::SnapshotAborted { snapshot, by, reason } = &event {
            for waiting in self.waiting.remove(snapshot).unwrap_or_default() {
                let aborted = SnapshotError::Aborted { snapshot: *snapshot, by: *by, reason: reason.clone() };
                waiting.end(Err(aborted));
            }
        }
        let committed = match &event {
            Event::Committed { snapshot, .. } => Some(*snapshot),
            Event::SnapshotAborted { snapshot, .. } => {
                self.keeping.aborted(*snapshot);
                None
            }
            _ => None,
        };
        committed.into_iter().for_each(|snapshot| self.keeping.committed(snapshot));
        self.push_event(event);
        if let Some(snapshot) = committed {
            self.note_commit(snapshot);
        }
    }

    /// Nobody who takes no events holds up the node or fills its memory (W1): where too many wait, the newest commit stands for
    /// all before it, and the rest are counted.
    pub(super) fn push_event(&mut self, event: Event<M, S::Captured>) {
        push(&mut self.events, event);
    }
}

fn push<M, C>(events: &mut VecDeque<Event<M, C>>, event: Event<M, C>) {
    // It goes behind all that came before it, and nothing comes behind it until it is handed out.
    let must_be_told = matches!(event, Event::RolledBack { .. } | Event::FellBack { .. } | Event::Closed);
    if must_be_told || events.len() < MAX_EVENTS_AHEAD {
        return events.push_back(event);
    }
    let is_of_this_kind = |waiting: &Event<M, C>| matches!(waiting, Event::Committed { .. });
    if matches!(event, Event::Committed { .. })
        && let Some(at) = events.iter().rposition(is_of_this_kind)
        && !events.range(at..).any(|later| matches!(later, Event::RolledBack { .. }))
    {
        events.remove(at);
        events.push_back(event);
        return skip(events);
    }
    if matches!(event, Event::Committed { .. }) {
        return events.push_back(event);
    }
    skip(events);
}

fn skip<M, C>(events: &mut VecDeque<Event<M, C>>) {
    let counted = events.iter_mut().rev().find_map(|waiting| match waiting {
        Event::Skipped { events } => Some(events),
        _ => None,
    });
    match counted {
        Some(skipped) => *skipped += 1,
        None => events.push_back(Event::Skipped { events: 1 }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::id::{Generation, NodeId, SnapshotId, Turn};

    type Told = Event<u8, ()>;

    fn id(sequence: u64) -> SnapshotId {
        SnapshotId { generation: Generation(1), sequence, initiator: NodeId(1) }
    }

    fn begun(sequence: u64) -> Told {
        Event::SnapshotBegun { snapshot: id(sequence), turn: Turn(1) }
    }

    fn committed(sequence: u64) -> Told {
        Event::Committed { snapshot: id(sequence), turn: Turn(1), report: None }
    }

    fn rolled_back() -> Told {
        Event::RolledBack { generation: Generation(2), snapshot: None, turn: Turn(1) }
    }

    /// As many as are kept one by one: these, and then others.
    fn full(first: &[Told]) -> VecDeque<Told> {
        let mut events = VecDeque::new();
        first.iter().for_each(|event| push(&mut events, event.clone()));
        while events.len() < MAX_EVENTS_AHEAD {
            push(&mut events, begun(60));
        }
        events
    }

    /// What comes of these where no more are kept, beside those that are `left` of the first.
    fn behind(first: &[Told], more: &[Told], left: usize) -> Vec<Told> {
        let mut events = full(first);
        more.iter().for_each(|event| push(&mut events, event.clone()));
        events.drain(..left);
        events.into()
    }

    #[test]
    fn w1_beyond_a_bound_events_are_counted_but_for_those_that_must_be_told() {
        let fell_back = || Event::FellBack { generation: Generation(2), to: None, given_up: Vec::new() };
        let more = [begun(70), fell_back(), rolled_back(), begun(71), Event::Closed];
        let told = [Event::Skipped { events: 2 }, fell_back(), rolled_back(), Event::Closed];
        assert_eq!(behind(&[], &more, MAX_EVENTS_AHEAD), told);
    }

    #[test]
    fn w1_the_newest_commit_stands_for_those_before_it_which_are_counted() {
        // The first is told, though there is no room for it.
        let more = [committed(1), begun(70), committed(2), committed(3)];
        let told = [Event::Skipped { events: 3 }, committed(3)];
        assert_eq!(behind(&[], &more, MAX_EVENTS_AHEAD), told);
        // One that stood among the others goes.
        let told = [committed(2), Event::Skipped { events: 1 }];
        assert_eq!(behind(&[committed(1)], &[committed(2)], MAX_EVENTS_AHEAD - 1), told);
    }

    #[test]
    fn w1_no_commit_behind_a_rollback_stands_for_one_before_it_and_their_number_has_a_bound() {
        let more = [committed(1), rolled_back(), committed(2), committed(3)];
        let told = [committed(1), rolled_back(), committed(3), Event::Skipped { events: 1 }];
        assert_eq!(behind(&[], &more, MAX_EVENTS_AHEAD), told);
    }
}

//! Events that wait to be handed out.

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
        // It goes behind all that came before it, and nothing comes behind it until it is handed out.
        let must_be_told = matches!(event, Event::RolledBack { .. } | Event::FellBack { .. } | Event::Closed);
        if must_be_told || self.events.len() < MAX_EVENTS_AHEAD {
            return self.events.push_back(event);
        }
        let is_of_this_kind = |waiting: &Event<M, S::Captured>| matches!(waiting, Event::Committed { .. });
        if matches!(event, Event::Committed { .. })
            && let Some(at) = self.events.iter().rposition(is_of_this_kind)
            && !self.events.range(at..).any(|later| matches!(later, Event::RolledBack { .. }))
        {
            self.events.remove(at);
            self.events.push_back(event);
            return self.skip_event();
        }
        if matches!(event, Event::Committed { .. }) {
            return self.events.push_back(event);
        }
        self.skip_event();
    }

    fn skip_event(&mut self) {
        let counted = self.events.iter_mut().rev().find_map(|waiting| match waiting {
            Event::Skipped { events } => Some(events),
            _ => None,
        });
        match counted {
            Some(events) => *events += 1,
            None => self.events.push_back(Event::Skipped { events: 1 }),
        }
    }
}

//! Moves data: what the transport, the store, the clock and the handles bring goes to the coordinator, and what it asks for
//! goes to them.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use futures::stream::StreamExt;

use super::{Home, INBOX, SnapshotNode};
use crate::contract::state::StateProvider;
use crate::driver::error::{NodeError, SnapshotError};
use crate::driver::handle::Wishes;
use crate::protocol::coordinator::{
    Capture, InitiateError, Output, SnapshotCoordinator, StoreAnswer, StoreRequest,
};
use crate::vocabulary::event::Event;
use crate::vocabulary::id::Peer;
use crate::vocabulary::inbox::Inbox;

/// Empty buffers of batches that are kept for the next ones. More would only stand there where many neighbours are idle.
const MAX_SPARES: usize = 32;

/// However much there is to read, the rest of the work has its turn after this time.
const MAX_TIME_OF_READING: Duration = Duration::from_millis(1);

type Rules<S, M> = SnapshotCoordinator<M, <S as StateProvider>::Captured>;
type Capturing<'a, S> = crate::protocol::coordinator::CaptureFn<'a, <S as StateProvider>::Captured>;

impl<S: StateProvider, M: Clone + Send + 'static> SnapshotNode<S, M> {
    pub(crate) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        home: &mut impl Home<S>,
    ) -> Poll<Result<Event<M, S::Captured>, NodeError>> {
        if let Some((from, message)) = self.take_at_hand() {
            return Poll::Ready(Ok(Event::Message { from, message }));
        }
        self.poll_network(cx, home)
    }

    /// A message that can be handed out without a look at anything else.
    #[inline(always)]
    pub(super) fn take_at_hand(&mut self) -> Option<(Peer, M)> {
        if !self.may_wait_to_poll() {
            return None;
        }
        let taken = self.coordinator.take_message()?;
        self.pace.hands_out();
        Some(taken)
    }

    /// The next event after a look at everything.
    #[inline(never)]
    pub(super) fn poll_network(
        &mut self,
        cx: &mut Context<'_>,
        home: &mut impl Home<S>,
    ) -> Poll<Result<Event<M, S::Captured>, NodeError>> {
        let now = self.clock.now();
        if self.pace.takes_a_pause(now) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.pace.polls(now);
        let answer = self.poll_answer(cx, home);
        match &answer {
            Poll::Ready(answer) => self.pace.answers(matches!(answer, Ok(Event::Message { .. }))),
            Poll::Pending => self.pace.pauses(),
        }
        answer
    }

    fn poll_answer(
        &mut self,
        cx: &mut Context<'_>,
        home: &mut impl Home<S>,
    ) -> Poll<Result<Event<M, S::Captured>, NodeError>> {
        loop {
            if let Some(error) = self.failed.take() {
                return Poll::Ready(Err(self.end(error)));
            }
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(Ok(event));
            }
            if self.take_room() {
                return Poll::Ready(Ok(Event::Room));
            }
            if self.install(home) {
                continue;
            }
            if self.ended {
                return Poll::Ready(Err(NodeError::Ended));
            }
            let moved = self.poll_all(cx, home, false);
            if self.failed.is_some() || !self.events.is_empty() {
                continue;
            }
            if self.take_room() {
                return Poll::Ready(Ok(Event::Room));
            }
            if !self.poll_lingers(cx)
                && let Some((from, message)) = self.coordinator.take_message()
            {
                return Poll::Ready(Ok(Event::Message { from, message }));
            }
            if !moved {
                return Poll::Pending;
            }
        }
    }

    /// Whether a message waits a little longer, since a snapshot is under way and the application's turns are long.
    fn poll_lingers(&mut self, cx: &mut Context<'_>) -> bool {
        let until = self.pace.lingers(self.clock.now());
        let Some(until) =
            until.filter(|_| self.coordinator.is_snapshotting() && self.coordinator.has_message())
        else {
            self.lingering = None;
            return false;
        };
        if self.lingering.as_ref().is_none_or(|(set, _)| *set != until) {
            let clock = Arc::clone(&self.clock);
            self.lingering = Some((until, Box::pin(async move { clock.sleep_until(until).await })));
        }
        self.lingering.as_mut().is_some_and(|(_, sleep)| sleep.poll_unpin(cx).is_pending())
    }

    /// Moves all that can move while nothing is handed out: for those who fetch events in their own time, by
    /// [`pop_event`](Self::pop_event). Ready when the node has come to its end.
    pub(crate) fn poll_ahead(&mut self, cx: &mut Context<'_>, home: &mut impl Home<S>) -> Poll<NodeError> {
        loop {
            if let Some(error) = self.failed.take() {
                return Poll::Ready(self.end(error));
            }
            if self.ended {
                return Poll::Ready(NodeError::Ended);
            }
            if self.events.is_empty() && self.install(home) {
                continue;
            }
            // Whoever takes the last of the events wakes the driver.
            if !self.poll_all(cx, home, true) && self.failed.is_none() {
                return Poll::Pending;
            }
        }
    }

    /// Whether [`pop_event`](Self::pop_event) would give one.
    pub(crate) fn has_event(&self) -> bool {
        !self.events.is_empty() || self.coordinator.has_message()
    }

    /// What is there to be handed out, without a look at anything else.
    pub(crate) fn pop_event(&mut self) -> Option<Event<M, S::Captured>> {
        self.events.pop_front().or_else(|| {
            self.coordinator.take_message().map(|(from, message)| Event::Message { from, message })
        })
    }

    /// Looks at everything once; whether anything moved.
    pub(super) fn poll_all(&mut self, cx: &mut Context<'_>, home: &mut impl Home<S>, ahead: bool) -> bool {
        self.settle_checks();
        let mut moved = self.serve_handles(cx, home);
        moved |= self.poll_store(cx, home);
        moved |= self.poll_flights(cx);
        let has_come = self.poll_receive(cx, home, ahead) | self.poll_timer(cx, home);
        if has_come {
            // What came of it, a marker or the write of a part, is on its way before a message is handed out: that may take the
            // application a long time.
            self.poll_store(cx, home);
            self.poll_flights(cx);
        }
        moved |= has_come | self.poll_checks(cx);
        self.show_running();
        moved
    }

    /// Whether the next message may be handed out without a look at anything else.
    #[inline]
    fn may_wait_to_poll(&self) -> bool {
        let is_quiet = self.events.is_empty() && !self.desk.is_rung() && !self.asked;
        is_quiet && self.failed.is_none() && !self.ended && self.pace.may_wait_to_poll(|| self.clock.now())
    }

    /// Gives the coordinator one input of this moment, with the state to capture from, and does what it asks.
    fn feed<R>(
        &mut self,
        home: &mut impl Home<S>,
        input: impl FnOnce(&mut Rules<S, M>, Duration, &mut Capturing<'_, S>) -> R,
    ) {
        self.input(self.clock.now(), home, input);
        self.drain();
    }

    /// Gives the coordinator one input; [`drain`](Self::drain) must follow.
    fn input<R>(
        &mut self,
        now: Duration,
        home: &mut impl Home<S>,
        input: impl FnOnce(&mut Rules<S, M>, Duration, &mut Capturing<'_, S>) -> R,
    ) -> R {
        let mut capture = || {
            let begun = self.clock.now();
            let state = home.visit(S::capture);
            Capture { state, took: self.clock.now().saturating_sub(begun) }
        };
        input(&mut self.coordinator, now, &mut capture)
    }

    /// Installs a state that waits for it. Only when all earlier events are handed out: the next one is then the one that
    /// tells of it, in the same poll, so that nobody sees the state gone back and has not been told.
    pub(super) fn install(&mut self, home: &mut impl Home<S>) -> bool {
        let Some(restored) = self.restored.take() else { return false };
        if let Some(restored) = restored {
            home.install(restored);
        }
        self.feed(home, |coordinator, now, capture| coordinator.handle_restored(now, capture));
        true
    }

    pub(super) fn drain(&mut self) {
        while let Some(output) = self.coordinator.poll_output() {
            match output {
                Output::Event(event) => self.take_event(event),
                Output::Report(report) => {
                    for waiting in self.waiting.remove(&report.snapshot).unwrap_or_default() {
                        waiting.end(Ok(report.clone()));
                    }
                }
                Output::Store { ticket, request } => {
                    if let StoreRequest::WritePart(local) = &request {
                        self.keeping.write::<S>(ticket, local);
                    }
                    if let Some(part) = self.keeping.read::<S>(self.id(), &request) {
                        let held = std::future::ready((ticket, StoreAnswer::Part(Ok(part))));
                        self.storing.push(held.boxed());
                    } else if let Some(persistence) = self.persistence.clone() {
                        let coming = self.verifying.look::<S>(&persistence, &request);
                        let perform = async move {
                            if let Some(coming) = coming
                                && let Some(answer) = coming.await
                            {
                                return (ticket, answer);
                            }
                            (ticket, persistence.perform::<S>(request).await)
                        };
                        self.storing.push(perform.boxed());
                    }
                }
                Output::Restore { state } => self.restored = Some(state),
                Output::Failed(failure) => {
                    self.failed.get_or_insert(failure.into());
                }
            }
        }
    }

    pub(super) fn serve_handles(&mut self, cx: &mut Context<'_>, home: &mut impl Home<S>) -> bool {
        self.desk.listen(cx.waker());
        // Until the node runs, wishes stay where their number is bounded.
        if !self.coordinator.is_running() {
            return false;
        }
        let wishes = if self.desk.is_rung() { self.desk.take() } else { Wishes::default() };
        for snapshot in wishes.aborts {
            self.feed(home, |coordinator, _, _| coordinator.abort(snapshot));
        }
        let mut requests = wishes.waiting;
        requests.retain(|request| !request.is_canceled());
        if !std::mem::take(&mut self.asked) && requests.is_empty() {
            return false;
        }
        // Those who wait must be known before the outputs are drained: a group of one may report at once.
        match self
            .input(self.clock.now(), home, |coordinator, now, capture| coordinator.initiate(now, capture))
        {
            Ok(id) => {
                requests.iter_mut().for_each(|request| request.begun(id));
                self.waiting.entry(id).or_default().extend(requests);
            }
            Err(InitiateError::Refused(reason)) => {
                for request in requests {
                    request.end(Err(SnapshotError::Refused { reason: reason.clone() }));
                }
            }
            // It was seen to run a moment ago, and an abort does not change that.
            Err(InitiateError::NotRunning) => {}
        }
        self.drain();
        true
    }

    pub(super) fn poll_store(&mut self, cx: &mut Context<'_>, home: &mut impl Home<S>) -> bool {
        let mut moved = false;
        while let Poll::Ready(Some((ticket, answer))) = self.storing.poll_next_unpin(cx) {
            moved = true;
            self.keeping.answered(ticket, &answer);
            self.feed(home, |coordinator, now, capture| {
                coordinator.handle_store(now, ticket, answer, capture);
            });
        }
        moved
    }

    /// Hands batches to the transport. Costs nothing for neighbours for which there is none, or whose batch cannot go on.
    pub(super) fn poll_flights(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        loop {
            while let Some(peer) = self.coordinator.departing() {
                let mut frames = self.spares.pop().unwrap_or_default();
                self.coordinator.take_outgoing(peer, &mut frames);
                let transport = Arc::clone(&self.transport);
                self.flights.push(Box::pin(async move {
                    let sent = transport.send(peer, &mut frames).await;
                    (peer, frames, sent)
                }));
            }
            let Poll::Ready(Some((peer, frames, sent))) = self.flights.poll_next_unpin(cx) else {
                return moved;
            };
            moved = true;
            if let Err(error) = sent {
                self.failed.get_or_insert(error.into());
                return true;
            }
            if !frames.is_empty() {
                let seen = format!("`send` to {peer} was ready with {} frames not taken", frames.len());
                self.failed.get_or_insert(NodeError::Contract { clause: "T6", seen });
                return true;
            }
            if self.spares.len() < MAX_SPARES {
                self.spares.push(frames);
            }
            self.coordinator.handle_sent(self.clock.now(), peer);
        }
    }

    pub(super) fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        home: &mut impl Home<S>,
        ahead: bool,
    ) -> bool {
        if self.receiving.is_none() && !self.coordinator.wants_frames() {
            return false;
        }
        let now = self.clock.now();
        let lingers = self.lingering.is_some();
        if !ahead && !lingers && self.coordinator.has_message() && self.pace.has_just_read(now) {
            // The message is handed out now, and the next call asks again.
            return false;
        }
        self.pace.reads(now);
        // A slow application would read a part at each turn, and a control frame may stand behind all of them. All that there is
        // is a window of each neighbour at most. A quick one has the rest soon, and would only have it cold.
        let reads_on = !ahead && (lingers || self.pace.is_slow());
        let mut moved = false;
        while self.poll_inbox(cx) {
            moved = true;
            // One look at the clock for all that has come at once.
            let at = self.clock.now();
            self.take_in(at, home);
            let may_go_on = self.failed.is_none() && self.coordinator.wants_frames();
            if !reads_on || !may_go_on || at.saturating_sub(now) >= MAX_TIME_OF_READING {
                break;
            }
        }
        moved
    }

    /// Gives the coordinator all that the transport has brought.
    fn take_in(&mut self, now: Duration, home: &mut impl Home<S>) {
        if self.inbox.len() > 1 {
            self.coordinator.foresee_all(&self.inbox);
        }
        let mut inbox = std::mem::replace(&mut self.inbox, Inbox::with_capacity(0));
        while self.input(now, home, |coordinator, now, capture| {
            coordinator.handle_incoming(now, &mut inbox, capture)
        }) {
            self.drain();
        }
        self.inbox = inbox;
    }

    /// Moves the transport's `recv`; whether it has brought something, be it its end.
    pub(super) fn poll_inbox(&mut self, cx: &mut Context<'_>) -> bool {
        if self.closed {
            return false;
        }
        let receiving = self.receiving.get_or_insert_with(|| {
            let transport = Arc::clone(&self.transport);
            let mut inbox = std::mem::replace(&mut self.inbox, Inbox::with_capacity(0));
            Box::pin(async move {
                let received = transport.recv(&mut inbox).await;
                (inbox, received)
            })
        });
        let Poll::Ready((inbox, received)) = receiving.poll_unpin(cx) else {
            return false;
        };
        self.receiving = None;
        self.inbox = inbox;
        if let Err(error) = received {
            self.failed.get_or_insert(error.into());
        } else if self.inbox.len() > INBOX {
            let seen = format!("`recv` pushed {} items where there was room for {INBOX}", self.inbox.len());
            self.failed.get_or_insert(NodeError::Contract { clause: "T3", seen });
        } else if self.inbox.is_empty() {
            self.closed = true;
            self.push_event(Event::Closed);
        }
        true
    }

    pub(super) fn poll_timer(&mut self, cx: &mut Context<'_>, home: &mut impl Home<S>) -> bool {
        let Some(at) = self.coordinator.poll_timeout() else {
            self.timer = None;
            return false;
        };
        if self.timer.as_ref().is_none_or(|(set, _)| *set != at) {
            let clock = Arc::clone(&self.clock);
            self.timer = Some((at, Box::pin(async move { clock.sleep_until(at).await })));
        }
        let Some((_, sleep)) = &mut self.timer else { return false };
        if sleep.poll_unpin(cx).is_pending() {
            return false;
        }
        self.timer = None;
        self.feed(home, |coordinator, now, capture| coordinator.handle_timeout(now, capture));
        true
    }

    pub(super) fn show_running(&mut self) {
        if self.shown != self.coordinator.revision() {
            self.shown = self.coordinator.revision();
            self.desk.show(self.coordinator.running());
        }
    }

    pub(super) fn end(&mut self, error: NodeError) -> NodeError {
        self.ended = true;
        self.events.clear();
        self.desk.leave();
        self.waiting.clear();
        error
    }
}

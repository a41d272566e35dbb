//! One neighbour, pure: what has arrived and was not received, what is to go out, and the connection, which comes and goes.

use std::collections::VecDeque;
use std::mem;
use std::task::{Context, Poll, Waker};

use super::{ConnectError, Disconnected};
use crate::vocabulary::frame::Frame;
use crate::vocabulary::frames::Frames;
use crate::vocabulary::id::Peer;
use crate::vocabulary::inbox::Inbox;
use crate::vocabulary::life::Life;

/// How a connection came to its end, as the node is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum End {
    Lost(String),
    Left,
}

/// How the transport came to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ending {
    Closed,
    Dropped,
    Failed,
}

/// What is left to do when no lock is held: tasks to wake, and messages to drop, whose `drop` is the application's.
#[derive(Debug)]
#[must_use]
pub(super) struct Aftermath<M> {
    wake: [Option<Waker>; 4],
    dropped: (VecDeque<Arrived<M>>, Frames<M>),
}

#[derive(Debug)]
enum Arrived<M> {
    /// One behind the other, and not empty.
    Frames(Frames<M>),
    Up,
    End(End),
}

/// One neighbour. At most `capacity` frames wait to be received and `outgoing` to be sent, and at most as many again of the connection that
/// stands, where its reader does not wait for room. Between two frames that have arrived there are at most four notices.
#[derive(Debug)]
pub(super) struct Link<M> {
    capacity: usize,
    outgoing: usize,
    /// The number of the newest connection, counted from 1.
    connection: u64,
    /// Which process of the neighbour has the newest connection, as far as that was told, and in which generation it was heard.
    life: Option<Life>,
    /// Why the newest connection does not stand.
    over: Option<Disconnected>,
    /// The halves of the newest connection that their tasks still have.
    halves: usize,
    ending: Option<Ending>,
    arrived: VecDeque<Arrived<M>>,
    /// How many of `arrived` are frames.
    frames: usize,
    departing: Frames<M>,
    /// The reader that waits for room, and the one that waits for the connection's end.
    pushing: Option<Waker>,
    reading: Option<Waker>,
    taking: Option<Waker>,
    sending: Option<Waker>,
}

impl End {
    /// Frames of it were given up.
    fn into_loss(self) -> Self {
        match self {
            Self::Left => Self::Lost("its reader did not wait for room before the goodbye".to_owned()),
            lost @ Self::Lost(_) => lost,
        }
    }
}

impl<M> Aftermath<M> {
    pub(super) fn settle(self) {
        self.wake.into_iter().flatten().for_each(Waker::wake);
        drop(self.dropped);
    }
}

impl<M> Link<M> {
    pub(super) fn new(capacity: usize, outgoing: usize) -> Self {
        Self {
            capacity,
            outgoing,
            connection: 0,
            life: None,
            over: Some(Disconnected::Lost),
            halves: 0,
            ending: None,
            arrived: VecDeque::new(),
            frames: 0,
            departing: Frames::new(),
            pushing: None,
            reading: None,
            taking: None,
            sending: None,
        }
    }

    /// A new connection: its number, and how many halves are more in use than before. `life`: who is at the other end.
    pub(super) fn connect(
        &mut self,
        peer: Peer,
        life: Option<Life>,
    ) -> Result<(u64, usize, Aftermath<M>), ConnectError> {
        if self.ending.is_some() {
            return Err(ConnectError::Closed);
        }
        let standing = self.life.filter(|_| self.over.is_none());
        if let (Some(life), Some(standing)) = (life, standing)
            && life.gives_way_to(standing)
        {
            return Err(ConnectError::OlderLife { peer: peer.id() });
        }
        let why = "a newer connection has taken its place".to_owned();
        let dropped = self.note_end(self.connection, End::Lost(why), Disconnected::Replaced);
        self.arrived.push_back(Arrived::Up);
        self.connection += 1;
        self.life = life;
        self.over = None;
        let more = 2 - mem::replace(&mut self.halves, 2);
        // Those of the older connection, and a sender that waits for this one.
        Ok((self.connection, more, self.aftermath(VecDeque::new(), dropped.unwrap_or_default())))
    }

    /// A connection is over, if it still stood. The node is told after all that has arrived before.
    pub(super) fn end(&mut self, connection: u64, end: End, why: Disconnected) -> Option<Aftermath<M>> {
        let dropped = self.note_end(connection, end, why)?;
        Some(self.aftermath(VecDeque::new(), dropped))
    }

    /// Likewise, by its writer. Where the transport has ended, the writer may go when it has written all, and the reader reads
    /// on, to the neighbour's end.
    pub(super) fn end_by_writer(
        &mut self,
        connection: u64,
        end: End,
        why: Disconnected,
    ) -> Option<Aftermath<M>> {
        if self.ending.is_some() { None } else { self.end(connection, end, why) }
    }

    /// A task has dropped its half; whether it was one that counts.
    pub(super) fn release(&mut self, connection: u64) -> bool {
        let counts = self.connection == connection;
        if counts {
            self.halves -= 1;
        }
        counts
    }

    /// The transport has come to its end.
    pub(super) fn finish(&mut self, ending: Ending) -> Aftermath<M> {
        self.ending = Some(ending);
        self.frames = 0;
        let kept = ending != Ending::Failed && self.over.is_none();
        let unsent = if kept { Frames::new() } else { mem::take(&mut self.departing) };
        let unreceived = mem::take(&mut self.arrived);
        self.aftermath(unreceived, unsent)
    }

    /// Whether there has ever been a connection.
    pub(super) fn was_connected(&self) -> bool {
        self.connection > 0
    }

    /// A frame has arrived on a connection: whether there is room for another; or why it was not taken, and the frame.
    pub(super) fn push(
        &mut self,
        connection: u64,
        frame: Frame<M>,
    ) -> Result<bool, (Disconnected, Frame<M>)> {
        if let Err(why) = self.check(connection) {
            return Err((why, frame));
        }
        if self.ending.is_some() {
            // The node receives no more. The reader goes on to the neighbour's end, so that no unread bytes reset the
            // connection before the last frames have crossed it.
            return Ok(true);
        }
        if self.frames >= self.capacity.saturating_mul(2) {
            return Err((Disconnected::Overrun, frame));
        }
        self.life = self.life.map(|life| life.speaking(frame.stamp.generation()));
        if let Some(Arrived::Frames(frames)) = self.arrived.back_mut() {
            frames.push_back(frame);
        } else {
            let mut frames = Frames::new();
            frames.push_back(frame);
            self.arrived.push_back(Arrived::Frames(frames));
        }
        self.frames += 1;
        Ok(self.frames < self.capacity)
    }

    /// Frames have arrived on a connection: takes them as far as there is room; ready when there is none left. Whether any was taken.
    pub(super) fn poll_push(
        &mut self,
        cx: &Context<'_>,
        connection: u64,
        frames: &mut Frames<M>,
    ) -> (Poll<Result<(), Disconnected>>, bool) {
        if let Err(why) = self.check(connection) {
            return (Poll::Ready(Err(why)), false);
        }
        if self.ending.is_some() {
            // As for one.
            return (Poll::Ready(Ok(())), false);
        }
        let count = self.capacity.saturating_sub(self.frames).min(frames.len());
        if count > 0 {
            // The last of them speaks for all.
            let generation = frames.back().map(|frame| frame.stamp.generation());
            self.life = self.life.map(|life| generation.map_or(life, |generation| life.speaking(generation)));
            if !matches!(self.arrived.back(), Some(Arrived::Frames(_))) {
                self.arrived.push_back(Arrived::Frames(Frames::new()));
            }
            if let Some(Arrived::Frames(arrived)) = self.arrived.back_mut() {
                frames.move_front(count, arrived);
            }
            self.frames += count;
        }
        if frames.is_empty() {
            return (Poll::Ready(Ok(())), count > 0);
        }
        note(&mut self.pushing, cx);
        (Poll::Pending, count > 0)
    }

    /// Waits until another frame may be pushed.
    pub(super) fn poll_room(&mut self, cx: &Context<'_>, connection: u64) -> Poll<Result<(), Disconnected>> {
        if let Err(why) = self.check(connection) {
            return Poll::Ready(Err(why));
        }
        if self.frames < self.capacity {
            return Poll::Ready(Ok(()));
        }
        note(&mut self.pushing, cx);
        Poll::Pending
    }

    /// Waits until the connection is over.
    pub(super) fn poll_over(&mut self, cx: &Context<'_>, connection: u64) -> Poll<Disconnected> {
        match self.check(connection) {
            Err(why) => Poll::Ready(why),
            Ok(()) => {
                note(&mut self.reading, cx);
                Poll::Pending
            }
        }
    }

    /// Hands out what has arrived, as far as there is room; whether more is there, and the reader where there is room now.
    pub(super) fn receive(&mut self, from: Peer, into: &mut Inbox<M>) -> (bool, Option<Waker>) {
        while into.room() > 0 {
            if let Some(Arrived::Frames(frames)) = self.arrived.front_mut() {
                let before = into.len();
                into.append(from, frames);
                self.frames -= into.len() - before;
                if !frames.is_empty() {
                    break;
                }
            }
            let Some(item) = self.arrived.pop_front() else { break };
            match item {
                // All of them are in the inbox.
                Arrived::Frames(_) => {}
                Arrived::Up => into.up(from),
                Arrived::End(End::Lost(why)) => into.lost(from, why),
                Arrived::End(End::Left) => into.left(from),
            }
        }
        // Not at the first free place: the reader would be woken for every frame.
        let reader = if self.frames <= self.capacity / 2 { self.pushing.take() } else { None };
        (!self.arrived.is_empty(), reader)
    }

    /// Takes frames from the front as far as there is room, where a connection stands; ready when there is none left. The
    /// waker is the writer's.
    pub(super) fn poll_send(
        &mut self,
        cx: &Context<'_>,
        frames: &mut Frames<M>,
    ) -> (Poll<Result<(), Ending>>, Option<Waker>) {
        if let Some(ending) = self.ending {
            return (Poll::Ready(Err(ending)), None);
        }
        let mut writer = None;
        if self.over.is_none() {
            let room = self.outgoing - self.departing.len();
            if self.departing.is_empty() && frames.len() <= room {
                mem::swap(&mut self.departing, frames);
            } else {
                frames.drain(room).for_each(|frame| self.departing.push_back(frame));
            }
            writer = self.taking.take();
        }
        if frames.is_empty() {
            return (Poll::Ready(Ok(())), writer);
        }
        note(&mut self.sending, cx);
        (Poll::Pending, writer)
    }

    /// What is to be written next, one frame or more, as `take` takes it from those that wait; `None` where there will be none on
    /// this connection. The waker is the sender's.
    pub(super) fn poll_take<T>(
        &mut self,
        cx: &Context<'_>,
        connection: u64,
        take: impl FnOnce(&mut Frames<M>) -> Option<T>,
    ) -> (Poll<Option<T>>, Option<Waker>) {
        if !self.stands(connection) {
            return (Poll::Ready(None), None);
        }
        if let Some(taken) = take(&mut self.departing) {
            let sender = if self.departing.len() <= self.outgoing / 2 { self.sending.take() } else { None };
            return (Poll::Ready(Some(taken)), sender);
        }
        if self.ending.is_some() {
            return (Poll::Ready(None), None);
        }
        note(&mut self.taking, cx);
        (Poll::Pending, None)
    }

    /// `None` where that is no news; else the frames that were given up for want of room: what is over keeps no more than
    /// `capacity`, or neighbours that come and go would fill the memory.
    fn note_end(&mut self, connection: u64, end: End, why: Disconnected) -> Option<Frames<M>> {
        if !self.stands(connection) {
            return None;
        }
        self.over = Some(why);
        if self.ending.is_some() {
            return Some(Frames::new());
        }
        // They are of this connection, and the last of all, for there were no more than `capacity` when it came.
        let excess = self.frames.saturating_sub(self.capacity);
        let mut dropped = Frames::new();
        if let Some(Arrived::Frames(frames)) = self.arrived.back_mut().filter(|_| excess > 0) {
            let kept = frames.len().saturating_sub(excess);
            frames.move_front(kept, &mut dropped);
            mem::swap(frames, &mut dropped);
            if frames.is_empty() {
                self.arrived.pop_back();
            }
        }
        self.frames -= excess;
        self.push_end(if excess > 0 { end.into_loss() } else { end });
        Some(dropped)
    }

    fn stands(&self, connection: u64) -> bool {
        self.connection == connection && self.over.is_none()
    }

    fn check(&self, connection: u64) -> Result<(), Disconnected> {
        match self.over {
            _ if self.connection != connection => Err(Disconnected::Replaced),
            _ if self.ending == Some(Ending::Failed) => Err(Disconnected::Failed),
            Some(why) => Err(why),
            None => Ok(()),
        }
    }

    fn aftermath(&mut self, unreceived: VecDeque<Arrived<M>>, unsent: Frames<M>) -> Aftermath<M> {
        let wake = [self.pushing.take(), self.reading.take(), self.taking.take(), self.sending.take()];
        Aftermath { wake, dropped: (unreceived, unsent) }
    }

    /// Adds the end of a connection. A connection of which the node has seen nothing yet, and on which nothing came, is
    /// forgotten where the end before it tells the same: otherwise a neighbour that comes and goes over and over, while the
    /// node does something else, would need memory without bound.
    fn push_end(&mut self, end: End) {
        let same = |item: &Arrived<M>| {
            matches!(
                (item, &end),
                (Arrived::End(End::Lost(_)), End::Lost(_)) | (Arrived::End(End::Left), End::Left)
            )
        };
        let from_back = |back: usize| self.arrived.len().checked_sub(back).map(|at| &self.arrived[at]);
        let forgotten = match (from_back(4), from_back(3), from_back(2), from_back(1)) {
            (_, _, Some(older), Some(Arrived::Up)) if same(older) => 1,
            (Some(older), Some(Arrived::Up), Some(Arrived::End(_)), Some(Arrived::Up)) if same(older) => 3,
            _ => {
                self.arrived.push_back(Arrived::End(end));
                return;
            }
        };
        self.arrived.truncate(self.arrived.len() - forgotten);
    }
}

fn note(waker: &mut Option<Waker>, cx: &Context<'_>) {
    if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
        *waker = Some(cx.waker().clone());
    }
}

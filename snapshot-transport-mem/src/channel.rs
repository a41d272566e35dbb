//! One directed channel, pure: what was sent and has not been taken, in order, and what its receiver must be told in between.

use std::collections::VecDeque;
use std::mem;
use std::time::Duration;

use snapshot_core::{Frame, Frames, Inbox, Peer};

use crate::delay::Delay;
use crate::seed::SplitMix64;

/// How a connection came to its end, as the receiver sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    Lost(&'static str),
    Left,
}

#[derive(Debug)]
enum Item<M> {
    Frame(Frame<M>),
    Up,
    End(End),
}

/// One direction between two neighbours. At most `capacity` frames are in it, and at most four notices (up, lost, left)
/// between two frames: connections that came and went without a frame and without being noticed are forgotten.
#[derive(Debug)]
pub(crate) struct Channel<M> {
    capacity: usize,
    delay: Delay,
    random: SplitMix64,
    /// Whether a connection stands.
    open: bool,
    held: bool,
    /// How many frames may pass although it is held; never more than there are.
    passes: usize,
    /// Notices, and frames of connections that have ended. All of it comes before `frames`.
    before: VecDeque<(Duration, Item<M>)>,
    before_frames: usize,
    /// Frames of the connection that stands. A buffer of its own, so that a batch can be swapped in whole.
    frames: Frames<M>,
    /// When each of `frames` arrives; or empty: then all of them have.
    due: VecDeque<Duration>,
    /// When the last item arrives. Nothing later may arrive earlier.
    latest: Duration,
}

impl<M> Channel<M> {
    pub(crate) fn new(capacity: usize, delay: Delay, random: SplitMix64) -> Self {
        Self {
            capacity,
            delay,
            random,
            open: false,
            held: false,
            passes: 0,
            before: VecDeque::new(),
            before_frames: 0,
            frames: Frames::new(),
            due: VecDeque::new(),
            latest: Duration::ZERO,
        }
    }

    /// Takes as many frames from the front of `batch` as fit; none where no connection stands.
    pub(crate) fn accept(&mut self, now: Duration, batch: &mut Frames<M>) {
        if !self.open {
            return;
        }
        let room = self.capacity.saturating_sub(self.len());
        if self.delay.is_none() && self.latest <= now {
            self.due.clear();
            if self.frames.is_empty() && batch.len() <= room {
                mem::swap(&mut self.frames, batch);
            } else {
                batch.drain(room).for_each(|frame| self.frames.push_back(frame));
            }
            return;
        }
        self.due.resize(self.frames.len(), Duration::ZERO);
        for frame in batch.drain(room) {
            let at = now.saturating_add(self.delay.draw(&mut self.random)).max(self.latest);
            self.latest = at;
            self.due.push_back(at);
            self.frames.push_back(frame);
        }
    }

    /// When the item at the front can be taken; `None` where there is none or where it is held.
    pub(crate) fn front(&self) -> Option<Duration> {
        let stopped = self.held && self.passes == 0;
        match self.before.front() {
            Some((_, Item::Frame(_))) if stopped => None,
            Some((due, _)) => Some(*due),
            None if stopped || self.frames.is_empty() => None,
            None => Some(self.due.front().copied().unwrap_or(Duration::ZERO)),
        }
    }

    /// Hands out what has arrived, as far as there is room.
    pub(crate) fn take(&mut self, now: Duration, from: Peer, into: &mut Inbox<M>) {
        if self.before.is_empty() && self.due.is_empty() && !self.held {
            into.append(from, &mut self.frames);
            return;
        }
        while into.room() > 0 && self.front().is_some_and(|due| due <= now) {
            let item = match self.before.pop_front() {
                Some((_, item)) => {
                    self.before_frames -= usize::from(matches!(item, Item::Frame(_)));
                    item
                }
                None => {
                    self.due.pop_front();
                    let Some(frame) = self.frames.pop_front() else { return };
                    Item::Frame(frame)
                }
            };
            match item {
                Item::Frame(frame) => {
                    self.passes = self.passes.saturating_sub(1);
                    into.push(from, frame);
                }
                Item::Up => into.up(from),
                Item::End(End::Lost(why)) => into.lost(from, why),
                Item::End(End::Left) => into.left(from),
            }
        }
    }

    /// A new connection stands.
    pub(crate) fn connect(&mut self, now: Duration) {
        self.open = true;
        // The order keeps it behind what is still under way from the connection before.
        self.before.push_back((now, Item::Up));
    }

    /// The connection ends on the sender's side. What is under way arrives, and the end behind it, which travels like a
    /// frame.
    pub(crate) fn finish(&mut self, now: Duration, end: End) {
        if mem::take(&mut self.open) {
            let delay = if self.delay.is_none() { Duration::ZERO } else { self.delay.draw(&mut self.random) };
            self.latest = now.saturating_add(delay).max(self.latest);
            self.set_aside();
            self.push_end(end);
        }
    }

    /// The connection breaks under way. What has arrived stays; the rest is lost, and returned so that it can be dropped
    /// where no lock is held.
    pub(crate) fn sever(&mut self, now: Duration, why: &'static str) -> Vec<Frame<M>> {
        self.set_aside();
        let mut passes = if self.held { self.passes } else { usize::MAX };
        let mut lost = Vec::new();
        for (due, item) in mem::take(&mut self.before) {
            match item {
                Item::Frame(frame) if due > now || passes == 0 => {
                    lost.push(frame);
                }
                Item::Frame(_) => {
                    passes -= 1;
                    self.before.push_back((due, item));
                }
                Item::Up | Item::End(_) => self.before.push_back((due.min(now), item)),
            }
        }
        self.before_frames -= lost.len();
        self.passes = self.passes.min(self.before_frames);
        self.latest = self.latest.min(now);
        if mem::take(&mut self.open) {
            self.push_end(End::Lost(why));
        }
        lost
    }

    /// The receiving process is gone, and all that was meant for it; returned so that it can be dropped where no lock is
    /// held.
    pub(crate) fn clear(&mut self) -> impl Sized + use<M> {
        self.open = false;
        self.passes = 0;
        self.before_frames = 0;
        self.due.clear();
        self.latest = Duration::ZERO;
        (mem::take(&mut self.before), mem::take(&mut self.frames))
    }

    /// Both processes are gone, and the network is not: its frames stay, and of what became of their connection nobody is told.
    pub(crate) fn outlive(&mut self) {
        self.open = false;
        self.set_aside();
        self.before.retain(|(_, item)| matches!(item, Item::Frame(_)));
    }

    pub(crate) fn hold(&mut self) {
        self.held = true;
        self.passes = 0;
    }

    pub(crate) fn release(&mut self) {
        self.held = false;
        self.passes = 0;
    }

    /// Lets the first `count` frames pass although the channel is held.
    pub(crate) fn let_pass(&mut self, count: usize) {
        if self.held {
            self.passes = self.passes.saturating_add(count).min(self.len());
        }
    }

    pub(crate) fn set_delay(&mut self, delay: Delay) {
        self.delay = delay;
    }

    pub(crate) fn is_held(&self) -> bool {
        self.held
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len() >= self.capacity
    }

    /// How many frames are in it.
    pub(crate) fn len(&self) -> usize {
        self.before_frames + self.frames.len()
    }

    /// The frames that are in it, from front to back.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Frame<&M>> {
        let before = self.before.iter().filter_map(|(_, item)| match item {
            Item::Frame(frame) => Some(frame.as_ref()),
            Item::Up | Item::End(_) => None,
        });
        before.chain(self.frames.iter())
    }

    /// Moves the frames of the connection to those of connections that have ended.
    fn set_aside(&mut self) {
        self.before_frames += self.frames.len();
        let mut due = mem::take(&mut self.due).into_iter();
        let count = self.frames.len();
        for frame in self.frames.drain(count) {
            self.before.push_back((due.next().unwrap_or(Duration::ZERO), Item::Frame(frame)));
        }
    }

    /// Adds the end of a connection. A connection of which the receiver has seen nothing yet, and on which nothing came, is
    /// forgotten where the end before it tells the same: otherwise a pair that breaks and heals over and over, while the
    /// receiver does something else, would need memory without bound.
    fn push_end(&mut self, end: End) {
        let same = |item: &Item<M>| {
            matches!((item, end), (Item::End(End::Lost(_)), End::Lost(_)) | (Item::End(End::Left), End::Left))
        };
        let from_back = |back: usize| self.before.len().checked_sub(back).map(|at| &self.before[at].1);
        let forgotten = match (from_back(4), from_back(3), from_back(2), from_back(1)) {
            (_, _, Some(older), Some(Item::Up)) if same(older) => 1,
            (Some(older), Some(Item::Up), Some(Item::End(_)), Some(Item::Up)) if same(older) => 3,
            _ => {
                self.before.push_back((self.latest, Item::End(end)));
                return;
            }
        };
        self.before.truncate(self.before.len() - forgotten);
    }
}

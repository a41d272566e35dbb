//! A batch of frames on its way to one neighbour.

use std::collections::{VecDeque, vec_deque};
use std::fmt;
use std::hash::{Hash, Hasher};

use bytes::Bytes;

use crate::vocabulary::frame::{Body, Frame, Stamp};
use crate::vocabulary::run::Run;

/// Frames on their way to one neighbour, in the order in which they must arrive.
///
/// Messages that follow each other are one [`Run`] with one stamp; a transport may send it as such
/// ([`front_run`](Self::front_run)), or take frame by frame.
///
/// ```
/// use snapshot_core::{Body, Frame, Frames, Generation, Stamp};
/// let mut frames = Frames::new();
/// for number in 1..=3 {
///     frames.push_back(Frame { stamp: Stamp::new(Generation(1), number), body: Body::Message(number * 7) });
/// }
/// assert_eq!(frames.len(), 3);
/// assert_eq!(frames.pop_front().unwrap().body, Body::Message(7));
/// let (run, messages) = frames.front_run().unwrap();
/// assert_eq!((run.len(), messages.copied().collect::<Vec<_>>()), (2, vec![14, 21]));
/// ```
#[derive(Clone)]
pub struct Frames<M> {
    heads: VecDeque<Head>,
    /// Of all runs, one behind the other.
    messages: VecDeque<M>,
    control: usize,
}

#[derive(Clone)]
enum Head {
    Control {
        stamp: Stamp,
        bytes: Bytes,
    },
    /// Not empty.
    Messages(Run),
}

impl<M> Frames<M> {
    /// None yet.
    pub const fn new() -> Self {
        Self { heads: VecDeque::new(), messages: VecDeque::new(), control: 0 }
    }

    /// Adds one at the back.
    pub fn push_back(&mut self, frame: Frame<M>) {
        let Frame { stamp, body } = frame;
        match body {
            Body::Control(bytes) => {
                self.heads.push_back(Head::Control { stamp, bytes });
                self.control += 1;
            }
            Body::Message(message) => {
                self.messages.push_back(message);
                if let Some(Head::Messages(run)) = self.heads.back_mut()
                    && run.push(stamp)
                {
                    return;
                }
                self.heads.push_back(Head::Messages(Run::of(stamp)));
            }
        }
    }

    /// Adds the first messages of `messages`, as many as there are stamps in `run`.
    pub(crate) fn push_run(&mut self, run: Run, messages: &mut VecDeque<M>) {
        if run.is_empty() {
            return;
        }
        if run.len() == messages.len() && self.messages.is_empty() {
            std::mem::swap(messages, &mut self.messages);
        } else {
            self.messages.extend(messages.drain(..run.len()));
        }
        self.heads.push_back(Head::Messages(run));
    }

    /// Takes the one at the front.
    pub fn pop_front(&mut self) -> Option<Frame<M>> {
        match self.heads.front_mut()? {
            Head::Messages(run) => {
                let stamp = run.split_to(1).first();
                if run.is_empty() {
                    self.heads.pop_front();
                }
                Some(Frame { stamp, body: Body::Message(self.messages.pop_front()?) })
            }
            Head::Control { .. } => {
                let Some(Head::Control { stamp, bytes }) = self.heads.pop_front() else { return None };
                self.control -= 1;
                Some(Frame { stamp, body: Body::Control(bytes) })
            }
        }
    }

    /// The messages at the front that are one run. `None` where a control frame stands there, or nothing.
    pub fn front_run(&self) -> Option<(Run, vec_deque::Iter<'_, M>)> {
        match self.heads.front()? {
            Head::Messages(run) => Some((*run, self.messages.range(..run.len()))),
            Head::Control { .. } => None,
        }
    }

    /// Takes the first messages of the run at the front, at most `count`; none where no run stands there.
    pub fn drain_run(&mut self, count: usize) -> impl Iterator<Item = M> {
        self.take_run(count).into_iter().flat_map(|(_, messages)| messages)
    }

    /// Takes the run at the front, its first `count` messages at most; `None` where no run stands there.
    pub(crate) fn take_run(&mut self, count: usize) -> Option<(Run, impl Iterator<Item = M>)> {
        let Some(Head::Messages(run)) = self.heads.front_mut() else { return None };
        let taken = run.split_to(count);
        if run.is_empty() {
            self.heads.pop_front();
        }
        Some((taken, self.messages.drain(..taken.len())))
    }

    /// Looks at the one at the front.
    pub fn front(&self) -> Option<Frame<&M>> {
        self.iter().next()
    }

    /// Looks at the one at the back.
    pub fn back(&self) -> Option<Frame<&M>> {
        Some(match self.heads.back()? {
            Head::Control { stamp, bytes } => Frame { stamp: *stamp, body: Body::Control(bytes.clone()) },
            Head::Messages(run) => {
                Frame { stamp: run.stamps().last()?, body: Body::Message(self.messages.back()?) }
            }
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.control + self.messages.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// Looks at them from front to back.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Frame<&M>> {
        Iter { heads: self.heads.iter(), run: None, messages: self.messages.iter(), left: self.len() }
    }

    /// Takes the first `count` of them, or all where there are fewer, and keeps the buffers.
    pub fn drain(&mut self, count: usize) -> impl ExactSizeIterator<Item = Frame<M>> {
        let left = count.min(self.len());
        Drain { frames: self, left }
    }

    /// Moves the first `count`, or all where there are fewer, to the end of another batch.
    pub(crate) fn move_front(&mut self, count: usize, to: &mut Self) {
        if to.is_empty() && self.len() <= count {
            return std::mem::swap(self, to);
        }
        let mut left = count.min(self.len());
        while left > 0 {
            let before = to.len();
            if let Some((run, messages)) = self.take_run(left) {
                to.messages.extend(messages);
                to.heads.push_back(Head::Messages(run));
            } else if let Some(frame) = self.pop_front() {
                to.push_back(frame);
            }
            left -= to.len() - before;
        }
    }

    /// Drops all, and keeps the buffers.
    pub fn clear(&mut self) {
        self.heads.clear();
        self.messages.clear();
        self.control = 0;
    }
}

struct Iter<'a, M> {
    heads: vec_deque::Iter<'a, Head>,
    /// What is left of the present run.
    run: Option<Run>,
    messages: vec_deque::Iter<'a, M>,
    left: usize,
}

impl<'a, M> Iterator for Iter<'a, M> {
    type Item = Frame<&'a M>;

    fn next(&mut self) -> Option<Frame<&'a M>> {
        if self.run.is_none() {
            match self.heads.next()? {
                Head::Messages(run) => self.run = Some(*run),
                Head::Control { stamp, bytes } => {
                    self.left -= 1;
                    return Some(Frame { stamp: *stamp, body: Body::Control(bytes.clone()) });
                }
            }
        }
        let run = self.run.as_mut()?;
        let stamp = run.split_to(1).first();
        self.run.take_if(|run| run.is_empty());
        self.left -= 1;
        Some(Frame { stamp, body: Body::Message(self.messages.next()?) })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<M> ExactSizeIterator for Iter<'_, M> {}

struct Drain<'a, M> {
    frames: &'a mut Frames<M>,
    left: usize,
}

impl<M> Iterator for Drain<'_, M> {
    type Item = Frame<M>;

    fn next(&mut self) -> Option<Frame<M>> {
        self.left = self.left.checked_sub(1)?;
        self.frames.pop_front()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<M> ExactSizeIterator for Drain<'_, M> {}

impl<M> Drop for Drain<'_, M> {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}

impl<M> Default for Frames<M> {
    fn default() -> Self {
        Self::new()
    }
}

/// By the frames, however they are kept.
impl<M: PartialEq> PartialEq for Frames<M> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<M: Eq> Eq for Frames<M> {}

impl<M: Hash> Hash for Frames<M> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_usize(self.len());
        self.iter().for_each(|frame| frame.hash(state));
    }
}

impl<M: fmt::Debug> fmt::Debug for Frames<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::id::Generation;

    fn stamp(number: u64) -> Stamp {
        Stamp::new(Generation(1), number)
    }

    fn message(number: u64) -> Frame<u64> {
        Frame { stamp: stamp(number), body: Body::Message(number) }
    }

    fn control(number: u64) -> Frame<u64> {
        Frame { stamp: stamp(number), body: Body::Control(Bytes::from_static(b"c")) }
    }

    fn sample() -> (Vec<Frame<u64>>, Frames<u64>) {
        let frames =
            vec![control(1), message(2), message(3), message(4), message(9), control(10), message(11)];
        let mut batch = Frames::new();
        frames.iter().cloned().for_each(|frame| batch.push_back(frame));
        (frames, batch)
    }

    #[test]
    fn frames_leave_in_the_order_in_which_they_came() {
        let (frames, mut batch) = sample();
        assert_eq!(batch.iter().len(), 7);
        assert_eq!(batch.iter().map(Frame::cloned).collect::<Vec<_>>(), frames);
        assert_eq!(batch.back().map(Frame::cloned), frames.last().cloned());
        for (taken, frame) in frames.iter().enumerate() {
            assert_eq!((batch.len(), batch.is_empty()), (7 - taken, false));
            assert_eq!(batch.front().map(Frame::cloned).as_ref(), Some(frame));
            assert_eq!(batch.pop_front().as_ref(), Some(frame));
        }
        assert_eq!((batch.front(), batch.back(), batch.len()), (None, None, 0));
        assert_eq!(batch.pop_front(), None);
    }

    #[test]
    fn what_a_drain_was_asked_for_is_gone_and_the_rest_is_there() {
        for count in 0..9 {
            let (mut frames, mut batch) = sample();
            let count = count.min(frames.len());
            assert_eq!(batch.drain(count).len(), count);
            frames.drain(..count);
            assert_eq!(batch.iter().map(Frame::cloned).collect::<Vec<_>>(), frames);
        }
        let (frames, mut batch) = sample();
        assert_eq!(batch.drain(usize::MAX).collect::<Vec<_>>(), frames);
        assert!(batch.is_empty());
        batch.push_back(message(1));
        batch.clear();
        assert!(batch.is_empty() && batch.front().is_none());
    }

    #[test]
    fn what_is_moved_from_the_front_keeps_its_order() {
        for count in 0..9 {
            for mut to in [Frames::new(), sample().1] {
                let (_, mut from) = sample();
                let mut expected: Vec<_> = to.iter().map(Frame::cloned).collect();
                expected.extend(from.iter().take(count).map(Frame::cloned));
                let rest: Vec<_> = from.iter().skip(count).map(Frame::cloned).collect();
                from.move_front(count, &mut to);
                assert_eq!(to.iter().map(Frame::cloned).collect::<Vec<_>>(), expected, "{count}");
                assert_eq!(from.iter().map(Frame::cloned).collect::<Vec<_>>(), rest, "{count}");
                assert_eq!((to.len(), from.len()), (expected.len(), rest.len()));
            }
        }
    }

    #[test]
    fn a_run_is_taken_as_one_or_in_pieces() {
        let (_, mut batch) = sample();
        assert!(batch.front_run().is_none());
        assert_eq!(batch.drain_run(5).count(), 0, "control stands first");
        batch.pop_front();
        let (run, messages) = batch.front_run().unwrap();
        assert_eq!((run, messages.copied().collect::<Vec<_>>()), (Run::new(stamp(2), 1, 3), vec![2, 3, 4]));
        assert_eq!(batch.drain_run(1).collect::<Vec<_>>(), [2]);
        assert_eq!(batch.drain_run(9).collect::<Vec<_>>(), [3, 4]);
        assert_eq!(batch.pop_front(), Some(message(9)));
        assert_eq!(batch.pop_front(), Some(control(10)));
    }

    #[test]
    fn equal_batches_are_equal_however_they_came_about() {
        let (frames, mut one) = sample();
        let mut two = Frames::new();
        two.push_back(frames[0].clone());
        two.push_run(Run::new(stamp(2), 1, 2), &mut VecDeque::from([2, 3, 4]));
        two.push_run(Run::of(stamp(4)), &mut VecDeque::from([4]));
        frames[4..].iter().cloned().for_each(|frame| two.push_back(frame));
        assert_eq!(one, two);
        one.pop_front();
        assert_ne!(one, two);
    }

    #[test]
    fn a_run_that_is_all_there_is_changes_hands_without_a_copy() {
        let mut messages = VecDeque::from([7_u64, 8]);
        let at = messages.as_slices().0.as_ptr();
        let mut batch = Frames::new();
        batch.push_back(control(1));
        batch.push_run(Run::new(stamp(2), 1, 2), &mut messages);
        assert!(messages.is_empty());
        assert_eq!(batch.front_run().map(|_| ()), None);
        batch.pop_front();
        let (_, mut run) = batch.front_run().unwrap();
        assert_eq!(run.next().map(std::ptr::from_ref), Some(at));
    }
}

//! Messages that have arrived and that the application has not taken, replayed ones first.

use std::collections::VecDeque;

use crate::vocabulary::id::Peer;
use crate::vocabulary::inbox::Inbox;

/// One queue in the order of arrival, which keeps the order of each channel. In rows, so that a batch moves in as it is.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Untaken<M> {
    messages: VecDeque<M>,
    weights: VecDeque<usize>,
    /// Who sent them: so many of each, the next one of another. None is empty.
    senders: VecDeque<(Peer, usize)>,
}

impl<M> Untaken<M> {
    pub(super) fn new() -> Self {
        Self { messages: VecDeque::new(), weights: VecDeque::new(), senders: VecDeque::new() }
    }

    pub(super) fn push(&mut self, from: Peer, message: M, bytes: usize) {
        self.messages.push_back(message);
        self.weights.push_back(bytes);
        self.are_from(from, 1);
    }

    /// Takes over the run that an inbox has first: of so many messages, from this neighbour, all weighed.
    pub(super) fn push_run(&mut self, from: Peer, len: usize, inbox: &mut Inbox<M>) {
        inbox.move_run(&mut self.messages, &mut self.weights);
        self.are_from(from, len);
    }

    fn are_from(&mut self, from: Peer, count: usize) {
        match self.senders.back_mut() {
            Some((last, messages)) if *last == from => *messages += count,
            _ => self.senders.push_back((from, count)),
        }
    }

    #[inline(always)]
    pub(super) fn pop(&mut self) -> Option<(Peer, M, usize)> {
        let message = self.messages.pop_front()?;
        let bytes = self.weights.pop_front()?;
        let (from, messages) = self.senders.front_mut()?;
        let from = *from;
        *messages -= 1;
        if *messages == 0 {
            self.senders.pop_front();
        }
        Some((from, message, bytes))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.messages.clear();
        self.weights.clear();
        self.senders.clear();
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Peer, &M, usize)> {
        let senders = self.senders.iter().flat_map(|(from, messages)| std::iter::repeat_n(*from, *messages));
        senders.zip(&self.messages).zip(&self.weights).map(|((from, message), bytes)| (from, message, *bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::frame::Stamp;
    use crate::vocabulary::id::{Generation, NodeId};

    #[test]
    fn messages_are_taken_in_the_order_in_which_they_came_one_by_one_or_as_a_run() {
        let [one, two] = [Peer::new(0, NodeId(7)), Peer::new(1, NodeId(8))];
        let mut inbox = Inbox::with_capacity(4);
        for number in 2..=4 {
            inbox.push_message(two, Stamp::new(Generation(1), number), number, number as usize * 10);
        }
        let mut untaken = Untaken::new();
        untaken.push(one, 1, 10);
        untaken.push_run(two, 3, &mut inbox);
        untaken.push(two, 5, 50);
        untaken.push(one, 6, 60);
        let expected = [(one, 1, 10), (two, 2, 20), (two, 3, 30), (two, 4, 40), (two, 5, 50), (one, 6, 60)];
        let seen: Vec<_> = untaken.iter().map(|(from, message, bytes)| (from, *message, bytes)).collect();
        assert_eq!(seen, expected);
        let mut other = untaken.clone();
        assert_eq!(std::iter::from_fn(|| untaken.pop()).collect::<Vec<_>>(), expected);
        assert!(untaken.is_empty());
        other.clear();
        assert_eq!(other, Untaken::new());
    }
}

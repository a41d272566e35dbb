//! Tasks that wait for something, in an order.

use std::collections::BTreeMap;
use std::task::Waker;

/// Tasks that wait, each under a key; those of one key in the order in which they came. Bounded by the tasks that there are.
#[derive(Debug)]
pub(super) struct Waiters<K> {
    waiting: BTreeMap<(K, u64), Waker>,
    count: u64,
}

/// One task's place among [`Waiters`]. Its owner gives it back with [`Waiters::leave`].
#[derive(Debug)]
pub(super) struct Place<K>(Option<(K, u64)>);

impl<K> Place<K> {
    pub(super) fn new() -> Self {
        Self(None)
    }
}

impl<K: Copy + Ord> Waiters<K> {
    pub(super) fn new() -> Self {
        Self { waiting: BTreeMap::new(), count: 0 }
    }

    /// Waits, or goes on waiting, under this key.
    pub(super) fn wait(&mut self, place: &mut Place<K>, key: K, waker: &Waker) {
        let place = *place.0.get_or_insert_with(|| {
            self.count += 1;
            (key, self.count)
        });
        match self.waiting.get_mut(&place) {
            Some(waiting) => waiting.clone_from(waker),
            None => drop(self.waiting.insert(place, waker.clone())),
        }
    }

    /// Waits no longer. Whether the task had been woken since it last waited.
    pub(super) fn leave(&mut self, place: &mut Place<K>) -> bool {
        place.0.take().is_some_and(|place| self.waiting.remove(&place).is_none())
    }

    /// Takes out the first.
    pub(super) fn first(&mut self) -> Option<Waker> {
        self.waiting.pop_first().map(|(_, waker)| waker)
    }

    /// Takes out all up to this key.
    pub(super) fn up_to(&mut self, key: K) -> impl Iterator<Item = Waker> + use<K> {
        let later = self.waiting.split_off(&(key, u64::MAX));
        std::mem::replace(&mut self.waiting, later).into_values()
    }

    /// Takes out all.
    pub(super) fn all(&mut self) -> impl Iterator<Item = Waker> + use<K> {
        std::mem::take(&mut self.waiting).into_values()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// A waker that is told from others.
    fn waker() -> Waker {
        struct Nobody(#[allow(dead_code, reason = "so that each has an address of its own")] u8);
        impl std::task::Wake for Nobody {
            fn wake(self: Arc<Self>) {}
        }
        Arc::new(Nobody(0)).into()
    }

    /// Tasks that wait under these keys, in this order.
    fn waiting<const N: usize>(keys: [u64; N]) -> (Waiters<u64>, [Place<u64>; N], [Waker; N]) {
        let mut waiters = Waiters::new();
        let (mut places, wakers) = (keys.map(|_| Place::new()), keys.map(|_| waker()));
        for ((key, place), waker) in keys.into_iter().zip(&mut places).zip(&wakers) {
            waiters.wait(place, key, waker);
        }
        (waiters, places, wakers)
    }

    fn are(taken: impl IntoIterator<Item = Waker>, wakers: &[&Waker]) -> bool {
        let taken: Vec<Waker> = taken.into_iter().collect();
        taken.len() == wakers.len() && taken.iter().zip(wakers).all(|(a, b)| a.will_wake(b))
    }

    #[test]
    fn they_are_taken_out_by_their_keys_and_in_the_order_in_which_they_came() {
        let (mut waiters, _places, [a, b, c, d]) = waiting([7, 5, 7, 9]);
        assert!(are(waiters.first(), &[&b]));
        assert!(are(waiters.up_to(7), &[&a, &c]));
        assert!(!waiters.is_empty());
        assert!(are(waiters.up_to(8), &[]));
        assert!(are(waiters.all(), &[&d]));
        assert!(waiters.is_empty() && waiters.first().is_none());
    }

    #[test]
    fn one_that_leaves_hears_whether_it_had_been_woken_and_one_that_stays_keeps_its_place() {
        let (mut waiters, [mut first, mut second], [_, b]) = waiting([1, 1]);
        let other = waker();
        waiters.wait(&mut first, 1, &other);
        assert!(are(waiters.first(), &[&other]), "the newest waker of a task counts, at its old place");
        assert!(waiters.leave(&mut first), "it had been woken");
        assert!(!waiters.leave(&mut first), "it has no place any more");
        assert!(!waiters.leave(&mut second), "it had not been woken");
        assert!(waiters.is_empty());
        waiters.wait(&mut second, 1, &b);
        assert!(are(waiters.all(), &[&b]), "it may come again");
    }
}

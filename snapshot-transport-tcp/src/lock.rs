//! Locks that are held for the time of a poll.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A panic of a codec must not spread to others who use the same link.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

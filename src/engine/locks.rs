//! Locks whose holder may have panicked, and a set that threads fill together.
//!
//! Decides that what was behind a lock is still worth having.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A tally is only ever added to, so that one left behind by a panic still says what it counted.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Each kind of failure once.
pub(super) struct Once<T>(Mutex<BTreeSet<T>>);

impl<T: Ord> Once<T> {
    pub(super) fn new() -> Self {
        Once(Mutex::default())
    }

    /// Whether it is new.
    pub(super) fn is_new(&self, kind: T) -> bool {
        lock(&self.0).insert(kind)
    }
}

//! What a lock is to the shared front, so that the same code runs under the operating system's threads and
//! under a scheduler that tries orders of its own.

use std::sync::{Mutex, PoisonError};

/// A kind of locks.
pub trait Locks: 'static {
    /// A lock of this kind around a value.
    type Mutex<T: Send>: Guarded<T>;
}

/// A value behind a lock.
pub trait Guarded<T>: Send + Sync {
    /// The value, with nobody in it.
    fn new(value: T) -> Self;

    /// Does something while nobody else has the value.
    fn with<R>(&self, act: impl FnOnce(&mut T) -> R) -> R;
}

/// The standard library's locks.
#[derive(Debug, Clone, Copy)]
pub struct StdLocks;

impl Locks for StdLocks {
    type Mutex<T: Send> = Mutex<T>;
}

impl<T: Send> Guarded<T> for Mutex<T> {
    fn new(value: T) -> Self {
        Mutex::new(value)
    }

    /// After a panic under the lock the value is as that left it: the checks that follow say what it is worth.
    fn with<R>(&self, act: impl FnOnce(&mut T) -> R) -> R {
        act(&mut self.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

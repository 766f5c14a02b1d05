//! Locks after which a thread now and then lets others go first.
//!
//! A mistake in what a lock covers shows between the end of one hold and the beginning of the next, which is a moment
//! that the operating system seldom picks by itself, the less so on few cores. Decides how often it is offered; the
//! allocator behind the locks is the same.

use std::cell::Cell;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::reference::shared::{Guarded, Locks};
use crate::workload::scatter;

/// Of how many holds one ends with an offer.
const ONE_IN: u64 = 32;

/// The standard library's locks, jostled.
#[derive(Debug, Clone, Copy)]
pub(super) struct Jostled;

impl Locks for Jostled {
    type Mutex<T: Send> = JostledMutex<T>;
}

/// A mutex of the standard library.
#[derive(Debug)]
pub(super) struct JostledMutex<T>(Mutex<T>);

impl<T: Send> Guarded<T> for JostledMutex<T> {
    fn new(value: T) -> Self {
        JostledMutex(Mutex::new(value))
    }

    fn with<R>(&self, act: impl FnOnce(&mut T) -> R) -> R {
        let result = self.0.with(act);
        if offers() {
            std::thread::yield_now();
        }
        result
    }
}

/// Whether this thread lets others go first now; every thread has a sequence of its own.
fn offers() -> bool {
    static THREADS: AtomicU64 = AtomicU64::new(0);
    thread_local! {
        static STATE: Cell<u64> = Cell::new(scatter(THREADS.fetch_add(1, Ordering::Relaxed)));
    }
    let state = STATE.get().wrapping_add(1);
    STATE.set(state);
    scatter(state).is_multiple_of(ONE_IN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_holds_end_with_an_offer_and_most_do_not() {
        let offered = (0..32_000).filter(|_| offers()).count();
        assert!((800..1200).contains(&offered), "{offered}");
        let locked = JostledMutex::new(0);
        (0..100).for_each(|n| locked.with(|value| *value += n));
        assert_eq!(locked.with(|value| *value), 4950);
    }
}

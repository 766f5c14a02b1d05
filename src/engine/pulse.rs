//! The pulse of a thread that runs sequences: that it still gets on, and whether it is inside the target.
//!
//! Decides nothing. `attempt` asks whose a panic was; `watchdog` asks whether a call returns.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::verdict::Reproducer;

use super::locks::lock;

/// What one thread shows of itself. Only that thread writes.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    steps: AtomicU64,
    inside: AtomicBool,
    /// The given step under way, and whether the call is one that the harness added to it.
    place: AtomicUsize,
    added: AtomicBool,
    /// The sequence under way.
    sequence: Mutex<Option<Reproducer>>,
}

impl Pulse {
    /// Moves with every call of the target.
    pub(super) fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }

    /// A call of the target has begun and not returned.
    pub(super) fn is_inside(&self) -> bool {
        self.inside.load(Ordering::Relaxed)
    }

    /// The next call belongs to this step.
    pub(super) fn at(&self, step: usize, added: bool) {
        self.place.store(step, Ordering::Relaxed);
        self.added.store(added, Ordering::Relaxed);
    }

    /// The step under way, unless the call is one that the harness added.
    pub(super) fn place(&self) -> Option<usize> {
        (!self.added.load(Ordering::Relaxed)).then(|| self.place.load(Ordering::Relaxed))
    }

    /// Asks something of the target.
    #[inline]
    pub(super) fn inside<T>(&self, call: impl FnOnce() -> T) -> T {
        self.steps.store(self.steps().wrapping_add(1), Ordering::Relaxed);
        self.inside.store(true, Ordering::Relaxed);
        let answer = call();
        self.inside.store(false, Ordering::Relaxed);
        answer
    }

    /// This sequence is to be run now.
    pub(super) fn runs(&self, sequence: Reproducer) {
        *lock(&self.sequence) = Some(sequence);
    }

    /// The sequence that is run, or was last.
    pub(super) fn sequence(&self) -> Option<Reproducer> {
        lock(&self.sequence).clone()
    }

    /// Whether a panic that was just caught came from inside the target.
    pub(super) fn leave(&self) -> bool {
        self.inside.swap(false, Ordering::Relaxed)
    }
}

thread_local! {
    static OWN: RefCell<Arc<Pulse>> = RefCell::default();
}

/// The pulse of the calling thread.
pub(super) fn own() -> Arc<Pulse> {
    OWN.with_borrow(Arc::clone)
}

//! The addresses of a process, of which all its devices have to make do.
//!
//! Decides whether there are any left. Where a device finds its own is said in `memory`: each looks in a place of its own, so
//! that one device's addresses do not depend on what is asked of another.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::op::PROCESS_ADDRESSES;

/// What is left of a process's addresses.
#[derive(Debug, Clone)]
pub(super) struct Space(Arc<AtomicU64>);

impl Space {
    pub(super) fn new() -> Self {
        Space(Arc::new(AtomicU64::new(PROCESS_ADDRESSES)))
    }

    /// Takes so many; `false` if there are fewer.
    pub(super) fn take(&self, bytes: u64) -> bool {
        let less = |left: u64| left.checked_sub(bytes);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }

    /// Whether there are fewer.
    pub(super) fn lacks(&self, bytes: u64) -> bool {
        self.0.load(Ordering::Relaxed) < bytes
    }

    pub(super) fn give(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

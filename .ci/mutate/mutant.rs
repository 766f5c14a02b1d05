//! Which one of the changes in `reference` is in force. Part of the copied tree only: see `.ci/mutants`.
//!
//! Decides nothing else. The number is read once, before `main`, from `POOLPROOF_MUTANT`; 0 or none is the sound allocator.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::op::PoolKind;

static ACTIVE: AtomicU32 = AtomicU32::new(0);
static REACHED: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Something sound is running on this thread, however deep.
    static SUSPENDED: Cell<u32> = const { Cell::new(0) };
}

extern "C" fn read() {
    let number = std::env::var("POOLPROOF_MUTANT").ok().and_then(|text| text.parse().ok());
    ACTIVE.store(number.unwrap_or(0), Ordering::Relaxed);
}

#[used]
#[unsafe(link_section = ".init_array")]
static READ: extern "C" fn() = read;

/// Which of `count` changes from number `first` on is in force here and now; `u32::MAX` for none.
#[inline(always)]
pub fn at(first: u32, count: u32) -> u32 {
    let nth = ACTIVE.load(Ordering::Relaxed).wrapping_sub(first);
    if nth < count { met(nth) } else { u32::MAX }
}

#[cold]
fn met(nth: u32) -> u32 {
    if SUSPENDED.get() > 0 {
        return u32::MAX;
    }
    REACHED.store(true, Ordering::Relaxed);
    nth
}

/// Whether this change is in force.
#[inline(always)]
pub fn on(number: u32) -> bool {
    at(number, 1) == 0
}

/// Whether it is not.
#[inline(always)]
pub fn off(number: u32) -> bool {
    !on(number)
}

/// How many the change takes away.
#[inline(always)]
pub fn one(number: u32) -> usize {
    usize::from(on(number))
}

/// The other kind of pool.
pub fn other(kind: PoolKind) -> PoolKind {
    match kind {
        PoolKind::Small => PoolKind::Large,
        PoolKind::Large => PoolKind::Small,
    }
}

/// An iterator without its last item, if the change is in force.
pub struct Shortened<I: Iterator> {
    inner: I,
    next: Option<I::Item>,
    shorter: bool,
}

impl<I: Iterator> Shortened<I> {
    pub fn new(number: u32, items: impl IntoIterator<IntoIter = I>) -> Self {
        let mut inner = items.into_iter();
        let shorter = on(number);
        let next = if shorter { inner.next() } else { None };
        Shortened { inner, next, shorter }
    }
}

impl<I: Iterator> Iterator for Shortened<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        let following = self.inner.next();
        if !self.shorter {
            return following;
        }
        let next = self.next.take();
        self.next = following;
        if self.next.is_some() { next } else { None }
    }
}

struct Resumes;

impl Drop for Resumes {
    fn drop(&mut self) {
        SUSPENDED.set(SUSPENDED.get() - 1);
    }
}

/// Does something with every change out of force: what a sound yardstick in the same process does.
pub fn suspend<R>(act: impl FnOnce() -> R) -> R {
    SUSPENDED.set(SUSPENDED.get() + 1);
    let _resumes = Resumes;
    act()
}

/// Puts a change in force from now on.
pub fn set(number: u32) {
    REACHED.store(false, Ordering::Relaxed);
    ACTIVE.store(number, Ordering::Relaxed);
}

/// Whether the change in force was come by since it was set.
pub fn is_reached() -> bool {
    REACHED.load(Ordering::Relaxed)
}

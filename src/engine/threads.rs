//! Work that threads share: each item once, on as many threads as there are jobs.
//!
//! Decides that the first error ends it, and that the calling thread works, too. What an item is, and where results go, is its
//! caller's.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::locks::lock;

/// Does `work` on each of the items, which share nothing. What `enter` makes is kept on each thread as long as it works.
///
/// # Errors
/// The first that `work` answers; items that nobody began are left out then.
pub(crate) fn each<T: Sync, G, E: Send>(
    jobs: usize,
    items: &[T],
    enter: impl Fn() -> G + Sync,
    work: impl Fn(usize, &T) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let next = AtomicUsize::new(0);
    let failed: Mutex<Option<E>> = Mutex::new(None);
    let turn = || {
        let _kept = enter();
        loop {
            let nth = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(nth) else { break };
            if let Err(error) = work(nth, item) {
                next.store(items.len(), Ordering::Relaxed);
                lock(&failed).get_or_insert(error);
                break;
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..jobs.clamp(1, items.len().max(1)) {
            scope.spawn(turn);
        }
        turn();
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_item_is_taken_once_and_an_error_ends_it() {
        let items: Vec<usize> = (0..100).collect();
        for jobs in [0, 1, 3, 200] {
            let seen = Mutex::new(Vec::new());
            let entered = AtomicUsize::new(0);
            let enter = || entered.fetch_add(1, Ordering::Relaxed);
            let done: Result<(), ()> = each(jobs, &items, enter, |nth, &item| {
                lock(&seen).push((nth, item));
                Ok(())
            });
            let seen = seen.into_inner().expect("no panic");
            assert_eq!(done, Ok(()));
            assert_eq!(seen.len(), 100);
            assert_eq!(seen.iter().copied().collect::<BTreeSet<_>>(), items.iter().map(|&i| (i, i)).collect());
            assert_eq!(entered.into_inner(), jobs.clamp(1, 100));
        }
        let begun = AtomicUsize::new(0);
        let work = |nth, _: &usize| {
            begun.fetch_add(1, Ordering::Relaxed);
            if nth == 3 { Err("the fourth") } else { Ok(()) }
        };
        assert_eq!(each(1, &items, || (), work), Err("the fourth"));
        assert_eq!(begun.into_inner(), 4);
    }
}

//! How often an answer is looked for before it is slept for: being woken takes longer than many an answer.
//!
//! Decides that from what came of it before. Each look gives up the processor to whoever waits for it, so that a worker on the same
//! one gets on.

use std::os::fd::BorrowedFd;

use crate::child::is_readable;

/// Looks at most: some tenths of a millisecond. On a virtual machine an idle processor takes nearly as long to be woken.
const MOST: u32 = 1000;

/// Looks at least, for a worker that is slow.
const LEAST: u32 = 4;

/// After so many answers even a slow one is looked for longer.
const AGAIN: u32 = 256;

/// How often one worker's answers are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Eager {
    looks: u32,
    answers: u32,
}

impl Default for Eager {
    fn default() -> Self {
        Eager { looks: MOST, answers: 0 }
    }
}

impl Eager {
    /// Looks for an answer; whether there is one.
    pub(super) fn look(&mut self, on: BorrowedFd<'_>) -> bool {
        self.try_so_often(|| is_readable(on))
    }

    fn try_so_often(&mut self, mut is_there: impl FnMut() -> bool) -> bool {
        self.answers = self.answers.wrapping_add(1);
        if self.answers.is_multiple_of(AGAIN) {
            self.looks = MOST;
        }
        let found = (0..self.looks).any(|_| {
            let found = is_there();
            if !found {
                std::thread::yield_now();
            }
            found
        });
        self.looks = if found { MOST } else { (self.looks / 2).max(LEAST) };
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The looks that it takes to find an answer which is there at the look of that number.
    fn looks(eager: &mut Eager, there_at: u32) -> u32 {
        let mut looks = 0;
        eager.try_so_often(|| {
            looks += 1;
            looks >= there_at
        });
        looks
    }

    #[test]
    fn a_slow_worker_is_slept_for_and_a_quick_one_is_not() {
        let mut eager = Eager::default();
        assert_eq!(looks(&mut eager, 10), 10);
        let slow: Vec<u32> = (0..10).map(|_| looks(&mut eager, u32::MAX)).collect();
        assert_eq!(slow, [1000, 500, 250, 125, 62, 31, 15, 7, 4, 4]);
        let later: Vec<u32> = (0..AGAIN).map(|_| looks(&mut eager, u32::MAX)).collect();
        assert_eq!((later.iter().max(), later.iter().filter(|&&n| n == LEAST).count()), (Some(&1000), 248));
        assert_eq!((looks(&mut eager, 1), looks(&mut eager, 900)), (1, 900), "it is quick again");
    }
}

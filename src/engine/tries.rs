//! How much may go into making one failure small: operations and time, beside the number of sequences.
//!
//! Decides what ran out. How many sequences may be run is counted by who runs them.

use std::cell::Cell;
use std::time::Duration;

use crate::verdict::RanOut;

use super::stamp::Clock;
use super::stop::Patience;

/// How many operations its sequences may have together: of long ones not so many can be tried.
pub(super) const OPERATIONS: u64 = 6_000_000;

/// A try that takes longer is dear: it cost a process, or a device was waited for.
const DEAR: Duration = Duration::from_secs(1);

/// The patience for one failure, and what went into making it small.
pub(super) struct Tries<'a> {
    patience: Patience<'a>,
    operations: Cell<u64>,
    clock: Clock,
    longest: Duration,
}

impl<'a> Tries<'a> {
    /// The time begins now.
    pub(super) fn begin(patience: Patience<'a>) -> Self {
        Tries { patience, operations: Cell::new(0), clock: Clock::start(), longest: patience.longest() }
    }

    pub(super) fn ran(&self, operations: u64) {
        self.patience.ran(operations);
        self.operations.set(self.operations.get().saturating_add(operations));
    }

    /// Whether the first try took so long that a failure which is expected is not worth more of them.
    pub(super) fn are_dear(&self) -> bool {
        self.patience.is_expected() && self.clock.is_past(Some(DEAR))
    }

    /// What there is no more of, if there is something.
    pub(super) fn ran_out(&self) -> Option<RanOut> {
        if !self.patience.may_shrink() {
            Some(RanOut::Run)
        } else if self.operations.get() >= OPERATIONS {
            Some(RanOut::Operations)
        } else {
            self.clock.is_past(Some(self.longest)).then_some(RanOut::Time)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Silent;
    use crate::engine::stop::{Budget, Stop};

    #[test]
    fn what_runs_out_first_is_told() {
        let (stop, watch) = (Stop::default(), Silent);
        let budget = Budget::new(None, &stop, &watch);
        let tries = || Tries::begin(Patience::new(&budget, None));
        assert_eq!(tries().ran_out(), None);
        let long = Tries { longest: Duration::ZERO, ..tries() };
        assert_eq!(long.ran_out(), Some(RanOut::Time));
        let many = tries();
        many.ran(OPERATIONS - 1);
        assert_eq!(many.ran_out(), None);
        many.ran(1);
        assert_eq!(many.ran_out(), Some(RanOut::Operations));
        stop.ask();
        assert_eq!(many.ran_out(), Some(RanOut::Run));
    }
}

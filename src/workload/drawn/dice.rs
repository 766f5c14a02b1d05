//! Dice: the numbers that a world is drawn from.
//!
//! Decides how a number becomes a choice. The same seed, scenario, sequence and candidate give the same numbers.

use std::ops::RangeInclusive;

use crate::workload::seed::{self, scatter};
use crate::workload::size;

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// One stream of numbers.
#[derive(Debug, Clone)]
pub(super) struct Dice {
    state: u64,
    /// Where those start that all candidates have in common.
    shared: u64,
}

impl Dice {
    /// Those of one candidate for the world of a sequence.
    pub(super) fn new(seed: u64, scenario: &str, index: u32, candidate: u32) -> Self {
        let name = scatter(seed ^ seed::hash(scenario).rotate_left(17));
        let place = (u64::from(index) << 32) | u64::from(candidate);
        let start = |place: u64| scatter(name.wrapping_add(place.wrapping_mul(GOLDEN)));
        Dice { state: start(place), shared: start(place | u64::from(u32::MAX)) }
    }

    /// Those that all candidates for the world of a sequence have in common, from the first on.
    pub(super) fn shared(&self) -> Dice {
        Dice { state: self.shared, shared: self.shared }
    }

    pub(super) fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        scatter(self.state)
    }

    /// A position below `count`; 0 if `count` is 0.
    pub(super) fn below(&mut self, count: usize) -> usize {
        let high = (self.number() >> 32) as u32;
        size::below(high, count)
    }

    /// So many times out of a hundred.
    pub(super) fn percent(&mut self, of_hundred: usize) -> bool {
        self.below(100) < of_hundred
    }

    /// One of a list that is not empty.
    pub(super) fn one<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Every doubling in the range equally likely.
    pub(super) fn doubling(&mut self, range: &RangeInclusive<u64>) -> u64 {
        let draw = self.number();
        size::log_uniform(*range.start(), *range.end(), draw)
    }

    /// The same for small numbers, both ends as likely as the rest.
    pub(super) fn few(&mut self, range: &RangeInclusive<u8>) -> u8 {
        let (low, high) = (u64::from(*range.start()), u64::from(*range.end()).max(u64::from(*range.start())));
        // log-uniform below the end after the last, so that the last has a share of its own
        let drawn = self.doubling(&(low + 1..=high + 2)).min(high + 1) - 1;
        u8::try_from(drawn).unwrap_or(*range.end()) // not above the end
    }
}

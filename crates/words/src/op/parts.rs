//! Parts of a table of statistics: its families, what is oversize, its counters. Which of them a step moved, each judge of
//! figures asks, and it is found out once.
//!
//! Decides nothing.

use super::stats::{Family, Stat, Stats};

/// Some parts of a table, one bit each: the families, then oversize quantities, then counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Parts(u16);

const OVERSIZE: u32 = Family::ALL.len() as u32;
const COUNTERS: u32 = OVERSIZE + 1;

impl Parts {
    /// All of them.
    pub const ALL: Parts = Parts((1 << (COUNTERS + 1)) - 1);
    /// None of them.
    pub const NONE: Parts = Parts(0);

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether the family is among them, with any row and column.
    #[must_use]
    pub fn has(self, family: Family) -> bool {
        self.0 >> (family as u32) & 1 == 1
    }

    /// Whether any family is.
    #[must_use]
    pub fn has_families(self) -> bool {
        self.0 & ((1 << OVERSIZE) - 1) != 0
    }

    /// Whether oversize quantities are.
    #[must_use]
    pub fn has_oversize(self) -> bool {
        self.0 >> OVERSIZE & 1 == 1
    }

    /// Whether the counters are.
    #[must_use]
    pub fn has_counters(self) -> bool {
        self.0 >> COUNTERS & 1 == 1
    }

    /// Adds others.
    pub fn add(&mut self, others: Parts) {
        self.0 |= others.0;
    }
}

/// The bits in which figures differ: without branches, so that it runs over several at a time. Nearly all are equal nearly
/// always.
#[inline]
fn unlike<'a>(one: impl IntoIterator<Item = &'a Stat>, other: impl IntoIterator<Item = &'a Stat>) -> i64 {
    one.into_iter().zip(other).fold(0, |bits, (a, b)| {
        bits | (a.current ^ b.current) | (a.peak ^ b.peak) | (a.allocated ^ b.allocated) | (a.freed ^ b.freed)
    })
}

impl Stats {
    /// The parts in which two tables differ.
    #[must_use]
    pub fn parts_unlike(&self, other: &Stats) -> Parts {
        let families = self.families.iter().zip(&other.families).zip(0..);
        let bits = families.fold(0, |bits, ((a, b), at)| bits | u16::from(unlike(a, b) != 0) << at);
        let oversize = u16::from(unlike(&self.oversize, &other.oversize) != 0) << OVERSIZE;
        Parts(bits | oversize | u16::from(self.counters != other.counters) << COUNTERS)
    }
}

impl PartialEq for Stats {
    fn eq(&self, other: &Stats) -> bool {
        let families = unlike(self.families.as_flattened(), other.families.as_flattened());
        families | unlike(&self.oversize, &other.oversize) == 0 && self.counters == other.counters
    }
}

impl Eq for Stats {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::stats::Key;

    #[test]
    fn whatever_figure_differs_its_part_does_and_no_other() {
        let same = Stats::default();
        assert_eq!(same.parts_unlike(&same), Parts::NONE);
        let mut all = Parts::NONE;
        for key in Key::all() {
            let mut moved = same;
            moved.set(key, 7);
            assert_ne!(moved, same, "{key}");
            let parts = moved.parts_unlike(&same);
            let family = Family::ALL.iter().copied().find(|&f| parts.has(f));
            match key {
                Key::Family(of, ..) => assert_eq!(family, Some(of)),
                Key::Oversize(..) => assert!(parts.has_oversize()),
                Key::Counter(_) => assert!(parts.has_counters()),
            }
            assert_eq!(parts.has_families(), family.is_some());
            assert_eq!(parts.0.count_ones(), 1, "{key}");
            all.add(parts);
        }
        assert_eq!(all, Parts::ALL);
    }
}

//! What the garbage collections of a trace tell of the limit that they went by, which no snapshot names.
//!
//! Decides between which thresholds the reference collects what was recorded, and nothing where nothing was. Ages are
//! counted from the start of the history; what was cached then is taken to be of one age.

use super::call_events::{Call, CallEvents, PrecedingEvents};
use super::device_replay::DeviceReplay;
use super::driver;
use crate::op::Family;

/// What would be given back for a request that the cache does not serve, pass by pass, and what was held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Offered {
    reserved: u64,
    passes: Vec<Vec<(u64, u64)>>,
}

/// What collections went by: more than the threshold was held where something was collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::replay) struct Thresholds {
    /// In bytes: the least that is possible, and the first that is not.
    pub least: u64,
    pub below: u64,
    /// How many collections tell so, and how many requests for new memory before which nothing was collected though
    /// something could have been.
    pub collections: u64,
    pub without: u64,
    /// The event of the first request that fits none, or of the collection whose segments are not the oldest.
    pub parted: Option<u32>,
}

impl Default for Thresholds {
    fn default() -> Self {
        Thresholds { least: 0, below: u64::MAX, collections: 0, without: 0, parted: None }
    }
}

impl Thresholds {
    /// With what one request tells; `None` if that is none of the passes.
    fn with(self, offered: &Offered, collected: &[u64]) -> Option<Thresholds> {
        let Offered { reserved, ref passes } = *offered;
        let mut rest = collected;
        let (mut gone, mut before, mut taken) = (0_u64, 0_u64, 0);
        for pass in passes {
            if rest.is_empty() {
                break;
            }
            let (own, others) = rest.split_at_checked(pass.len())?;
            if pass.iter().zip(own).any(|((address, _), own)| address != own) {
                return None;
            }
            (before, gone, taken, rest) =
                (gone, gone + pass.iter().map(|(_, bytes)| bytes).sum::<u64>(), taken + 1, others);
        }
        if !rest.is_empty() {
            return None;
        }
        let mut told = self;
        // What is collected last of all is so however much is still held.
        if taken < passes.len() {
            told.least = told.least.max(reserved.saturating_sub(gone));
        }
        if taken > 0 {
            told.below = told.below.min(reserved.saturating_sub(before));
            told.collections += 1;
        } else {
            told.without += u64::from(!passes.is_empty());
        }
        Some(told)
    }

    fn is_possible(self) -> bool {
        self.least < self.below
    }
}

impl DeviceReplay<'_> {
    /// What would be collected for a request that the driver is called for, as things stand before it.
    pub(super) fn offered(&self, lead: &PrecedingEvents, moment: &CallEvents) -> Option<Offered> {
        let Call::Alloc { bytes, address, .. } = moment.call else { return None };
        let is_miss = lead.acquired > 0 || address.is_none();
        if self.settings.gc_threshold <= 0.0 || !is_miss {
            return None;
        }
        let pool = self.pools.get(moment.end - 1).copied().unwrap_or_default();
        let searched = pool == (0, 0) && !driver::is_small(bytes, &self.settings);
        let reserved = u64::try_from(self.allocator.stats().all(Family::ReservedBytes).current).unwrap_or(0);
        Some(Offered { reserved, passes: self.allocator.collection_passes(searched) })
    }

    /// Whether what a hypothesis takes for collected is what goes by ages, and by a limit that is possible so far.
    pub(super) fn is_by_age(&self, collected: usize, lead: &PrecedingEvents) -> bool {
        let Some(offered) = self.offered.as_ref().filter(|_| self.thresholds.parted.is_none()) else { return true };
        let collected = lead.released.get(..collected).unwrap_or(&lead.released);
        self.thresholds.with(offered, collected).is_some_and(Thresholds::is_possible)
    }

    /// Keeps what a request tells.
    pub(super) fn note_collected(&mut self, collected: usize, lead: &PrecedingEvents, moment: &CallEvents) {
        let Some(offered) = self.offered.take().filter(|_| self.thresholds.parted.is_none()) else { return };
        let collected = lead.released.get(..collected).unwrap_or(&lead.released);
        match self.thresholds.with(&offered, collected).filter(|told| told.is_possible()) {
            Some(told) => self.thresholds = told,
            None => self.thresholds.parted = Some(self.events[moment.end - 1].index),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(reserved: u64, collected: &[u64]) -> Option<(u64, u64)> {
        let passes = vec![vec![(1, 10), (2, 10)], vec![(3, 30)]];
        let told = Thresholds::default().with(&Offered { reserved, passes }, collected)?;
        Some((told.least, told.below))
    }

    #[test]
    fn each_request_bounds_the_threshold() {
        assert_eq!(told(100, &[]), Some((100, u64::MAX)), "nothing went, so that no more was held than allowed");
        assert_eq!(told(100, &[1, 2]), Some((80, 100)), "one pass was enough");
        assert_eq!(told(100, &[1, 2, 3]), Some((0, 80)), "one was not, and after two nothing was left to go");
        for other in [&[1][..], &[2, 1], &[1, 2, 4], &[1, 2, 3, 4]] {
            assert_eq!(told(100, other), None, "{other:?}");
        }
        let nothing = Offered { reserved: 50, passes: Vec::new() };
        assert_eq!(Thresholds::default().with(&nothing, &[]), Some(Thresholds::default()));
    }

    #[test]
    fn requests_that_no_threshold_fits_are_seen() {
        let offered = |reserved| Offered { reserved, passes: vec![vec![(1, 10)], vec![(2, 10)]] };
        let one = Thresholds::default().with(&offered(100), &[]).expect("nothing was collected");
        assert!(one.is_possible());
        let both = one.with(&offered(90), &[1]).expect("the oldest was");
        assert!(!both.is_possible(), "less was held than before, when nothing was");
        let both = one.with(&offered(120), &[1]).expect("the oldest was");
        assert_eq!((both.least, both.below, both.collections, both.without), (110, 120, 1, 1));
    }
}

//! How two looks at a device differ, in words.
//!
//! Decides which part of a look is the allocator's doing: what streams and faults do is not.

use crate::op::stats::Key;
use crate::op::{DeviceView, Observation, Stats};

/// A figure that differs.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Difference {
    pub device: usize,
    /// A statistics key, or `free_bytes`, `total_bytes`, `fraction`.
    pub what: String,
    pub before: String,
    pub after: String,
}

impl Difference {
    fn new(device: usize, what: impl ToString, before: impl ToString, after: impl ToString) -> Self {
        Difference { device, what: what.to_string(), before: before.to_string(), after: after.to_string() }
    }
}

/// Whether the allocator shows the same, streams and faults apart.
pub(super) fn same(before: &DeviceView, after: &DeviceView) -> bool {
    before.free_bytes == after.free_bytes
        && before.total_bytes == after.total_bytes
        && before.fraction.to_bits() == after.fraction.to_bits()
        && before.stats == after.stats
}

/// The first figure of a device that differs.
pub(super) fn difference(device: usize, before: &DeviceView, after: &DeviceView) -> Option<Difference> {
    if same(before, after) {
        return None;
    }
    if let Some((key, b, a)) = moved_key(&before.stats, &after.stats) {
        return Some(Difference::new(device, key, b, a));
    }
    Some(if before.free_bytes != after.free_bytes {
        Difference::new(device, "free_bytes", before.free_bytes, after.free_bytes)
    } else if before.total_bytes != after.total_bytes {
        Difference::new(device, "total_bytes", before.total_bytes, after.total_bytes)
    } else {
        Difference::new(device, "fraction", before.fraction, after.fraction)
    })
}

/// The first figure of any device that differs.
pub(super) fn first_difference(before: &Observation, after: &Observation) -> Option<Difference> {
    let pairs = before.devices.iter().zip(&after.devices).enumerate();
    pairs.filter_map(|(device, (b, a))| difference(device, b, a)).next()
}

/// The first statistic that differs, with both values.
pub(super) fn moved_key(before: &Stats, after: &Stats) -> Option<(Key, i64, i64)> {
    before.entries().zip(after.entries()).find(|(b, a)| b.1 != a.1).map(|((key, b), (_, a))| (key, b, a))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::{Counter, Family, PoolKind};

    #[test]
    fn the_first_figure_that_differs_is_named() {
        let before = DeviceView { fraction: 1.0, ..DeviceView::default() };
        let mut after = DeviceView { idle: 3, faults_fired: 1, ..before };
        assert_eq!(difference(0, &before, &after), None, "streams and faults are not the allocator's");
        after.fraction = 0.5;
        assert_eq!(difference(1, &before, &after).map(|d| d.what), Some("fraction".to_owned()));
        *after.stats.counter_mut(Counter::NumOoms) = 2;
        after.stats.increase(Family::Active, PoolKind::Small, 1);
        let found = difference(1, &before, &after).expect("two figures differ");
        assert_eq!((found.what.as_str(), found.before.as_str(), found.after.as_str()), ("num_ooms", "0", "2"));
    }
}

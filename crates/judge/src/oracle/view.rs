//! How two looks at a device differ, in words.
//!
//! Decides which part of a look is the allocator's doing: what streams and faults do is not.

use super::cite::say;
use crate::op::stats::Key;
use crate::op::{DeviceView, Observation, Reply, Stats, Text, wording};
use crate::verdict::Violation;

/// A figure that differs.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Difference {
    pub device: usize,
    /// A statistics key, or `free_bytes`, `total_bytes`, `fraction`.
    pub what: String,
    /// The same in words, with the device.
    pub name: Text,
    /// Bytes in units, counts as they are.
    pub before: String,
    pub after: String,
}

/// The device's free memory, in words.
pub(super) fn free(device: usize) -> Text {
    say!("free memory of device {device}", "设备 {device} 的空闲内存")
}

/// The device's memory fraction, in words.
pub(super) fn fraction(device: usize) -> Text {
    say!("memory fraction of device {device}", "设备 {device} 的内存比例")
}

/// A refusal that was due: `refused as out_of_memory`.
pub(super) fn refusal(class: &str) -> Text {
    say!("refused as {class}", "以 {class} 拒绝")
}

/// What was answered, a refusal without its message.
pub(super) fn answered(reply: &Reply) -> Text {
    reply.refusal().map_or_else(|| reply.to_line().into(), |r| refusal(r.class.name()))
}

/// Says of a violation that a statistic is what it should not be.
pub(super) fn off(violation: Violation, device: usize, key: Key, expected: i64, actual: i64) -> Violation {
    violation.figure(wording::statistic(key, device), wording::amount(key, expected), wording::amount(key, actual))
}

/// Whether the allocator shows the same, streams and faults apart.
pub(super) fn same(before: &DeviceView, after: &DeviceView) -> bool {
    same_beside_statistics(before, after) && before.stats == after.stats
}

/// The same without a look at the statistics.
pub(super) fn same_beside_statistics(before: &DeviceView, after: &DeviceView) -> bool {
    before.free_bytes == after.free_bytes
        && before.total_bytes == after.total_bytes
        && before.fraction.to_bits() == after.fraction.to_bits()
}

/// The first figure of a device that differs.
pub(super) fn difference(device: usize, before: &DeviceView, after: &DeviceView) -> Option<Difference> {
    if same(before, after) {
        return None;
    }
    let found = |what: &str, name, before, after| Difference { device, what: what.to_owned(), name, before, after };
    if let Some((key, b, a)) = moved_key(&before.stats, &after.stats) {
        let name = wording::statistic(key, device);
        return Some(found(&key.to_string(), name, wording::amount(key, b), wording::amount(key, a)));
    }
    let bytes = |b: u64, a: u64| (wording::bytes(b), wording::bytes(a));
    Some(if before.free_bytes != after.free_bytes {
        let (b, a) = bytes(before.free_bytes, after.free_bytes);
        found("free_bytes", free(device), b, a)
    } else if before.total_bytes != after.total_bytes {
        let (b, a) = bytes(before.total_bytes, after.total_bytes);
        found("total_bytes", say!("total memory of device {device}", "设备 {device} 的总内存"), b, a)
    } else {
        found("fraction", fraction(device), before.fraction.to_string(), after.fraction.to_string())
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

//! Peak: the highest current value since the last reset, and nothing higher, in the whole as in its pools.
//!
//! Figures of free parts (`inactive_split*`) may lawfully overshoot within one operation, and so may segments and
//! reserved bytes where the allocator retried or its counters cannot be seen, and all on a device on which a planned fault fired: there a
//! peak is held to be high enough, and no higher than all increases of the step together. Does not cover: how high
//! exactly in such steps, not even that where a target has no sums of increases, and devices that the operation is
//! not about (`isolation`).

use super::cite::{PEAK_01, PEAK_02, PEAK_03, say};
use super::moved::Pending;
use super::view::{Difference, difference, off};
use super::{Oracle, Seen};
use crate::op::stats::{Column, Key, Oversize, Row};
use crate::op::{Capability, Counter, Family, Op, OracleName, Parts, Stat, Stats, TargetInfo, wording};
use crate::verdict::Violation;

/// How far a peak is known after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rise {
    /// It is the larger of the peak before and the value now.
    Exact,
    /// It is at least that, and no more than all increases of the step can have made of the value before.
    Within,
    /// It is at least that: increases are not told.
    AtLeast,
}

pub(super) struct Peak {
    /// Families that are shown whole: every column, by pool.
    families: Vec<Family>,
    /// Others, of which is shown how much there is now and how much there was at most, in both pools together.
    partly: Vec<Family>,
    counters: bool,
    can_reset: bool,
    /// Sums of increases are told.
    accumulated: bool,
    /// Families whose peaks were not found in order as they stand.
    pending: Pending,
}

impl Peak {
    pub(super) fn new(info: &TargetInfo) -> Self {
        Peak {
            families: Family::ALL.iter().copied().filter(|&f| info.can(Capability::Stats(f))).collect(),
            partly: Family::ALL.iter().copied().filter(|&f| shows_peak(info, f)).collect(),
            counters: info.can(Capability::Counters),
            can_reset: info.can(Capability::PeakReset),
            accumulated: info.can(Capability::AccumulatedReset),
            pending: Pending::new(info.devices.len()),
        }
    }

    fn judge_device(&mut self, seen: &Seen<'_>, device: usize, convictions: &mut Vec<Violation>) {
        let (Some(before), Some(after)) = (seen.before.devices.get(device), seen.after.devices.get(device)) else {
            return;
        };
        let (before, after) = (&before.stats, &after.stats);
        if self.can_reset && matches!(seen.served(), Some(Op::ResetPeak { .. })) {
            if !seen.may_have_noticed(device) {
                self.judge_reset(device, before, after, convictions);
            }
            return;
        }
        let fault = seen.fired_on(device);
        let retried =
            !self.counters || before.counter(Counter::NumAllocRetries) != after.counter(Counter::NumAllocRetries);
        // A reset of the sums hides what they rose by.
        let told = self.accumulated && !matches!(seen.served(), Some(Op::ResetAccumulated { .. }));
        let bounded = if told { Rise::Within } else { Rise::AtLeast };
        let rise = |uncertain| if uncertain { bounded } else { Rise::Exact };
        // A peak in order that did not move, over a value that did not either, is in order however far peaks are known.
        let pending = self.pending.on(device);
        let already = convictions.len();
        for &family in &self.families {
            if !pending.has(family) {
                debug_assert!(stands(after, family), "{family:?} stands as it was judged");
                continue;
            }
            let off = |row: Row| {
                let (b, a) = (before.get(family, row), after.get(family, row));
                a.peak ^ b.peak.max(a.current)
            };
            if off(Row::All) | off(Row::SmallPool) | off(Row::LargePool) == 0 && pools_fit(after, family) {
                continue; // as it should be at best: no need to ask how much is excused
            }
            let rise = match family {
                Family::InactiveSplit | Family::InactiveSplitBytes => bounded,
                Family::Segment | Family::ReservedBytes => rise(fault || retried),
                _ => rise(fault),
            };
            let mut held = true;
            for &row in Row::ALL {
                let (b, a) = (before.get(family, row), after.get(family, row));
                if !holds(b, a, rise) {
                    held = false;
                    convictions.push(self.explain(seen, (device, Key::Family(family, row, Column::Peak)), b, a, rise));
                }
            }
            if held {
                self.judge_pools(device, family, after, convictions);
            }
        }
        for &family in &self.partly {
            let rise = if fault || passes_through(family) { Rise::AtLeast } else { Rise::Exact };
            let (b, a) = (before.all(family), after.all(family));
            if !holds(b, a, rise) {
                convictions.push(self.explain(seen, (device, Key::Family(family, Row::All, Column::Peak)), b, a, rise));
            }
        }
        for &which in Oversize::ALL {
            let (b, a, rise) = (before.oversize(which), after.oversize(which), rise(fault || retried));
            if !holds(b, a, rise) {
                convictions.push(self.explain(seen, (device, Key::Oversize(which, Column::Peak)), b, a, rise));
            }
        }
        if convictions.len() == already {
            self.pending.leave(device, Parts::NONE);
        }
    }

    /// The whole cannot have been higher than both pools together, nor lower than either.
    fn judge_pools(&self, device: usize, family: Family, stats: &Stats, convictions: &mut Vec<Violation>) {
        let [all, small, large] = [Row::All, Row::SmallPool, Row::LargePool].map(|row| stats.get(family, row).peak);
        if !pools_fit(stats, family) {
            let key = Key::Family(family, Row::All, Column::Peak);
            let bounds = [small.max(large), small.saturating_add(large)].map(|value| wording::amount(key, value));
            let [all, small, large] = [all, small, large].map(|value| wording::amount(key, value));
            let message = say!(
                "{key} of device {device} is {all}, which pools with peaks {small} and {large} cannot have reached together",
                "设备 {device} 的 {key} 为 {all}，而小池峰值 {small} 与大池峰值 {large} 不可能合成此值"
            );
            let [low, high] = bounds;
            let expected = say!("between {low} and {high}", "在 {low} 与 {high} 之间");
            let violation = Violation::new(self.name(), Some(PEAK_01), message);
            convictions.push(violation.figure(wording::statistic(key, device), expected, all));
        }
    }

    #[cold]
    fn explain(
        &self,
        seen: &Seen<'_>,
        (device, key): (usize, Key),
        before: &Stat,
        after: &Stat,
        rise: Rise,
    ) -> Violation {
        let wanted = before.peak.max(after.current);
        let values = [before.peak, after.peak, after.current, wanted];
        let [was, peak, current, due] = values.map(|value| wording::amount(key, value));
        let (requirement, message) = if after.peak < wanted {
            let message = say!(
                "{key} of device {device} is {peak} although {due} has been reached: it was {was} before and the current value is {current}",
                "设备 {device} 的 {key} 为 {peak}，但已达到过 {due}：此前峰值 {was}，当前值 {current}"
            );
            (PEAK_01, message)
        } else {
            let message = say!(
                "{key} of device {device} rose to {peak}, a value never reached: it was {was} before and the current value is {current}",
                "设备 {device} 的 {key} 升到从未达到的 {peak}：此前峰值 {was}，当前值 {current}"
            );
            (if seen.reply.refusal().is_some() { PEAK_03 } else { PEAK_01 }, message)
        };
        let violation = Violation::new(self.name(), Some(requirement), message);
        let violation = if rise == Rise::Exact || after.peak < wanted {
            off(violation, device, key, wanted, after.peak)
        } else {
            let most = wording::amount(key, wanted.max(highest(before, after)));
            let expected = say!("at most {most}", "至多 {most}");
            violation.figure(wording::statistic(key, device), expected, peak)
        };
        violation.with("current before", "此前的当前值", wording::amount(key, before.current))
    }

    #[cold]
    fn judge_reset(&self, device: usize, before: &Stats, after: &Stats, convictions: &mut Vec<Violation>) {
        let mut wanted = *before;
        wanted.tracked_mut().for_each(Stat::reset_peak);
        let differs = |key: Key| after.value(key) != wanted.value(key) && self.has(key);
        if let Some(key) = Key::all().find(|&key| differs(key)) {
            let [found, was, due] = [after, before, &wanted].map(|stats| wording::amount(key, stats.value(key)));
            let message = say!(
                "reset_peak left {key} of device {device} at {found} instead of {due}; it was {was} before",
                "reset_peak 之后设备 {device} 的 {key} 为 {found}，而非 {due}；此前为 {was}"
            );
            let violation = Violation::new(self.name(), Some(PEAK_02), message);
            convictions.push(violation.figure(wording::statistic(key, device), due, found));
        }
    }

    fn has(&self, key: Key) -> bool {
        match key {
            Key::Family(family, Row::All, Column::Current | Column::Peak) if self.partly.contains(&family) => true,
            Key::Family(family, ..) => self.families.contains(&family),
            Key::Counter(_) => self.counters,
            Key::Oversize(..) => true,
        }
    }
}

/// Whether the target shows the peak of a family and what it is a peak of, but not the whole family.
fn shows_peak(info: &TargetInfo, family: Family) -> bool {
    !info.can(Capability::Stats(family)) && info.shows(family) && info.can(Capability::Figure(family, Column::Peak))
}

/// Whether a figure may rise and fall again within one operation: a retry reserves more, a cut comes and goes.
fn passes_through(family: Family) -> bool {
    use Family::{InactiveSplit, InactiveSplitBytes, ReservedBytes, Segment};
    matches!(family, InactiveSplit | InactiveSplitBytes | ReservedBytes | Segment)
}

#[inline]
fn holds(before: &Stat, after: &Stat, rise: Rise) -> bool {
    let reached = before.peak.max(after.current);
    after.peak == reached
        || after.peak > reached
            && match rise {
                Rise::Exact => false,
                Rise::Within => after.peak <= highest(before, after),
                Rise::AtLeast => true,
            }
}

/// Whether the peak of the whole is one that those of its pools can have made.
#[inline]
fn pools_fit(stats: &Stats, family: Family) -> bool {
    let [all, small, large] = [Row::All, Row::SmallPool, Row::LargePool].map(|row| stats.get(family, row).peak);
    all <= small.saturating_add(large) && all >= small.max(large)
}

/// Whether a step that moves nothing of the family finds nothing wrong with its peaks.
fn stands(stats: &Stats, family: Family) -> bool {
    let reached = |&row: &Row| stats.get(family, row).peak >= stats.get(family, row).current;
    Row::ALL.iter().all(reached) && pools_fit(stats, family)
}

/// What all increases of the step together can have made of the value before.
fn highest(before: &Stat, after: &Stat) -> i64 {
    before.current.saturating_add(after.allocated.saturating_sub(before.allocated))
}

impl Oracle for Peak {
    fn name(&self) -> OracleName {
        OracleName::Peak
    }

    fn judge(&mut self, seen: &Seen<'_>, convictions: &mut Vec<Violation>) {
        self.pending.note(seen);
        if seen.is_unlawful_service() {
            return;
        }
        for device in seen.scope().positions(seen.after.devices.len()) {
            self.judge_device(seen, device, convictions);
        }
        if matches!(seen.served(), Some(Op::ResetPeak { .. })) {
            let pairs = seen.before.devices.iter().zip(&seen.after.devices).enumerate();
            let moved = pairs.filter_map(|(device, (before, after))| {
                let mut same_stats = *before;
                same_stats.stats = after.stats;
                difference(device, &same_stats, after)
            });
            if let Some(Difference { device, what, name, before, after }) = moved.into_iter().next() {
                let message = say!(
                    "reset_peak moved {what} of device {device} from {before} to {after}",
                    "reset_peak 使设备 {device} 的 {what} 从 {before} 变为 {after}"
                );
                let violation = Violation::new(self.name(), Some(PEAK_02), message);
                convictions.push(violation.figure(name, before, after));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::{DeviceId, PoolKind, Reply};
    use crate::oracle::fixture::{self, Bench, alloc, free, hand_out, oom, refuse, reset_peak, take_back};

    fn bench() -> Bench {
        let mut bench = Bench::new(OracleName::Peak);
        bench.alloc(1, 0x1000, 600).passes();
        bench
    }

    fn reset() -> Op {
        Op::ResetPeak { device: DeviceId(0) }
    }

    #[test]
    fn lawful_steps_pass() {
        let mut bench = bench();
        bench.free(1).passes();
        bench.step(reset(), Reply::Done, |o| reset_peak(&mut o.devices[0].stats)).passes();
        bench.alloc(2, 0x1000, 4 << 20).passes();
        bench.step(alloc(3, 1 << 30), oom(), |o| refuse(&mut o.devices[0])).passes();
    }

    #[test]
    fn a_peak_below_what_was_reached_convicts() {
        let judged = bench().step(alloc(2, 512), Reply::Allocated { address: 0x2000 }, |o| {
            let was = o.devices[0].stats;
            hand_out(&mut o.devices[0], 512);
            o.devices[0].stats.get_mut(Family::ActiveBytes, Row::SmallPool).peak =
                was.get(Family::ActiveBytes, Row::SmallPool).peak;
        });
        let found = judged.convicts("PEAK-01");
        insta::assert_snapshot!(found.message.en, @"active_bytes.small_pool.peak of device 0 is 1 KiB although 1.5 KiB has been reached: it was 1 KiB before and the current value is 1.5 KiB");
    }

    #[test]
    fn a_peak_lost_in_a_free_convicts() {
        let judged = bench().step(free(1), Reply::Done, |o| {
            take_back(&mut o.devices[0], 600);
            o.devices[0].stats.get_mut(Family::Allocation, Row::All).peak = 0;
        });
        judged.convicts("PEAK-01");
    }

    #[test]
    fn a_peak_that_a_refused_request_left_convicts() {
        let judged = bench().step(alloc(2, 1 << 29), oom(), |o| {
            refuse(&mut o.devices[0]);
            o.devices[0].stats.get_mut(Family::AllocatedBytes, Row::All).peak += 1 << 29;
        });
        let found = judged.convicts("PEAK-03");
        insta::assert_snapshot!(found.message.zh, @"设备 0 的 allocated_bytes.all.peak 升到从未达到的 512 MiB (536871936 B)：此前峰值 1 KiB，当前值 1 KiB");
    }

    #[test]
    fn a_whole_that_its_pools_cannot_have_reached_convicts() {
        // before the first step nothing is known of how the peaks came about
        let mut now = fixture::first();
        now.devices[0].stats.get_mut(Family::InactiveSplit, Row::All).peak = 3;
        let mut bench = Bench::starting(&[OracleName::Peak], &fixture::info(), now);
        bench.step(Op::EmptyCache, Reply::Done, |_| {}).convicts("PEAK-01");
    }

    #[test]
    fn a_retry_may_have_reserved_more_in_between() {
        let judged = bench().step(alloc(2, 1 << 29), oom(), |o| {
            refuse(&mut o.devices[0]);
            o.devices[0].stats.increase(Family::ReservedBytes, PoolKind::Large, 1 << 20);
            o.devices[0].stats.decrease(Family::ReservedBytes, PoolKind::Large, 1 << 20);
        });
        judged.passes();
    }

    #[test]
    fn a_retry_reserved_no_more_in_between_than_it_counted() {
        let judged = bench().step(alloc(2, 1 << 29), oom(), |o| {
            refuse(&mut o.devices[0]);
            o.devices[0].stats.increase(Family::ReservedBytes, PoolKind::Large, 1 << 20);
            o.devices[0].stats.decrease(Family::ReservedBytes, PoolKind::Large, 1 << 20);
            o.devices[0].stats.get_mut(Family::ReservedBytes, Row::All).peak += 1;
        });
        let found = judged.convicts("PEAK-03");
        assert_eq!(found.figure.map(|f| f.expected.en).as_deref(), Some("at most 1 MiB (1049600 B)"));
        let judged = bench().step(free(1), Reply::Done, |o| {
            take_back(&mut o.devices[0], 600);
            o.devices[0].stats.get_mut(Family::InactiveSplit, Row::All).peak = 1;
            o.devices[0].stats.get_mut(Family::InactiveSplit, Row::SmallPool).peak = 1;
        });
        judged.convicts("PEAK-01");
    }

    #[test]
    fn a_reset_that_forgets_a_family_or_touches_another_figure_convicts() {
        let mut bench = bench();
        bench.free(1).passes();
        let judged = bench.step(reset(), Reply::Done, |o| {
            let kept = *o.devices[0].stats.all(Family::RequestedBytes);
            reset_peak(&mut o.devices[0].stats);
            *o.devices[0].stats.get_mut(Family::RequestedBytes, Row::All) = kept;
        });
        let found = judged.convicts("PEAK-02");
        insta::assert_snapshot!(found.message.en, @"reset_peak left requested_bytes.all.peak of device 0 at 600 B instead of 0 B; it was 600 B before");
        let judged = bench.step(reset(), Reply::Done, |o| {
            reset_peak(&mut o.devices[0].stats);
            o.devices[0].stats.increase(Family::InactiveSplit, PoolKind::Small, 1);
        });
        judged.convicts("PEAK-02");
    }
}

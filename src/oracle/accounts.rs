//! Accounts: the figures agree with each other and with what the callers did.
//!
//! Never negative; both pools add up; allocated less freed is current; allocated, active and reserved in
//! order; as many allocations as live blocks; no bytes without a count; each event counted once.
//! Does not cover: peaks (`peak`), devices that the operation is not about (`isolation`), the pool that a
//! block should be in and how far a request is rounded (both policy), and accumulated columns of a target
//! that cannot reset them.

use super::accounts_explain as explain;
use super::cite::{OOM_06, STAT_06, STAT_07, say};
use super::view::off;
use super::{Oracle, Seen};
use crate::model::Effect;
use crate::op::stats::{Column, Key, Oversize, Row};
use crate::op::{Capability, Counter, Family, Observation, Op, OracleName, Stats, TargetInfo, Text, Via, told};
use crate::requirement::RequirementId;
use crate::verdict::Violation;

/// Current figures as they would be if nothing had been allocated or freed since the last reset.
pub(super) type Base = [[i64; 3]; 9];

/// Which figures the target has, and what they started from.
pub(super) struct Accounts {
    pub(super) families: Vec<Family>,
    pub(super) has: [bool; 9],
    pub(super) accumulated: bool,
    counters: bool,
    pub(super) segments: bool,
    oom_typed: bool,
    tensor_limit: Option<u64>,
    base: Vec<Base>,
    /// Allocations and their bytes by device at the start, which are not the callers'.
    foreign: Vec<(i64, i64)>,
}

impl Accounts {
    pub(super) fn new(info: &TargetInfo, first: &Observation) -> Self {
        let families: Vec<Family> = Family::ALL.iter().copied().filter(|&f| info.can(Capability::Stats(f))).collect();
        let mut has = [false; 9];
        families.iter().for_each(|&f| has[f as usize] = true);
        let current = |stats: &Stats, family| stats.all(family).current;
        let foreign = first
            .devices
            .iter()
            .map(|d| (current(&d.stats, Family::Allocation), current(&d.stats, Family::AllocatedBytes)));
        Accounts {
            families,
            has,
            accumulated: info.can(Capability::AccumulatedReset),
            counters: info.can(Capability::Counters),
            segments: info.contract.counts_segments,
            oom_typed: info.can(Capability::OomTyped),
            tensor_limit: info.contract.tensor_limit,
            base: first.devices.iter().map(|d| base_of(&d.stats)).collect(),
            foreign: foreign.collect(),
        }
    }

    /// Whether every family's rows and columns agree among themselves. The quick pass; `explain` says why not.
    fn rows_agree(&self, stats: &Stats, base: &Base) -> bool {
        // oversize figures are judged for their sign only: a changed threshold lawfully unbalances them
        Oversize::ALL.iter().all(|&o| stats.oversize(o).current >= 0)
            && self.families.iter().all(|&family| {
                let [all, small, large] = [Row::All, Row::SmallPool, Row::LargePool].map(|row| stats.get(family, row));
                let sums = all.current == small.current + large.current
                    && all.current >= 0
                    && small.current >= 0
                    && large.current >= 0
                    && all.peak <= small.peak.saturating_add(large.peak)
                    && all.peak >= small.peak.max(large.peak);
                let base = &base[family as usize];
                sums && (!self.accumulated
                    || all.allocated == small.allocated + large.allocated
                        && all.freed == small.freed + large.freed
                        && all.current == base[0] + all.allocated - all.freed
                        && small.current == base[1] + small.allocated - small.freed
                        && large.current == base[2] + large.allocated - large.freed)
            })
    }

    /// Whether families agree with one another, row by row.
    fn families_agree(&self, stats: &Stats) -> bool {
        Row::ALL.iter().all(|&row| {
            let current = |family| stats.get(family, row).current;
            let ordered = explain::ORDER.iter().all(|&(less, more, _)| {
                !(self.has[less as usize] && self.has[more as usize]) || current(less) <= current(more)
            });
            ordered
                && explain::COUNTED
                    .iter()
                    .all(|&(count, bytes)| !self.counts(count, bytes) || (current(count) == 0) == (current(bytes) == 0))
        })
    }

    /// Whether the target has both a count and its bytes.
    pub(super) fn counts(&self, count: Family, bytes: Family) -> bool {
        self.has[count as usize] && self.has[bytes as usize] && (count != Family::Segment || self.segments)
    }

    fn judge_device(&mut self, seen: &Seen<'_>, device: usize, convictions: &mut Vec<Violation>) {
        let (Some(before), Some(after)) = (seen.before.devices.get(device), seen.after.devices.get(device)) else {
            return;
        };
        let (before, after) = (&before.stats, &after.stats);
        let reset = matches!(seen.served(), Some(Op::ResetAccumulated { .. }));
        if reset {
            self.judge_reset(device, before, after, convictions);
            self.base[device] = base_of(after);
        }
        if !self.rows_agree(after, &self.base[device]) {
            explain::rows(self, device, after, &self.base[device], convictions);
        }
        if !self.families_agree(after) {
            explain::families(self, device, after, convictions);
        }
        if let Some(state) = seen.model.device(device) {
            let foreign = self.foreign[device];
            explain::live(self, device, after, state, foreign, convictions);
        }
        if !reset {
            self.judge_counters(seen, device, before, after, convictions);
            if self.accumulated && self.has[Family::Allocation as usize] {
                judge_allocation_columns(seen, device, before, after, convictions);
            }
        }
    }

    fn judge_reset(&self, device: usize, before: &Stats, after: &Stats, convictions: &mut Vec<Violation>) {
        let mut wanted = *before;
        wanted.tracked_mut().for_each(crate::op::Stat::reset_accumulated);
        for &which in Counter::ALL.iter().filter(|c| **c != Counter::MaxSplitSize) {
            *wanted.counter_mut(which) = 0;
        }
        let mut seen = *after;
        for &family in Family::ALL.iter().filter(|f| !self.has[**f as usize]) {
            for &row in Row::ALL {
                *seen.get_mut(family, row) = *wanted.get(family, row);
            }
        }
        if let Some((key, wanted, found)) = super::view::moved_key(&wanted, &seen) {
            let [due, is] = [wanted, found].map(|value| told::amount(key, value));
            let message = say!(
                "reset_accumulated left {key} of device {device} at {is} instead of {due}",
                "reset_accumulated 之后设备 {device} 的 {key} 为 {is}，而非 {due}"
            );
            let was = told::amount(key, before.value(key));
            let violation = off(convict(STAT_06, message), device, key, wanted, found);
            convictions.push(violation.with("before the reset", "重置之前", was));
        }
    }

    fn judge_counters(
        &self,
        seen: &Seen<'_>,
        device: usize,
        before: &Stats,
        after: &Stats,
        convictions: &mut Vec<Violation>,
    ) {
        if !self.counters {
            return;
        }
        for which in [Counter::NumAllocRetries, Counter::NumDeviceAlloc, Counter::NumDeviceFree] {
            let (b, a) = (before.counter(which), after.counter(which));
            if a < b {
                let name = which.name();
                let message = say!(
                    "{name} of device {device} fell from {b} to {a} without a reset",
                    "设备 {device} 的 {name} 未经重置却从 {b} 降到 {a}"
                );
                let what = told::change_of(&told::statistic(Key::Counter(which), device));
                let expected = Text::new("at least 0", "至少 0");
                convictions.push(convict(STAT_07, message).figure(what, expected, (a - b).to_string()));
            }
        }
        let (b, a) = (before.counter(Counter::NumOoms), after.counter(Counter::NumOoms));
        let (least, most) = self.ooms(seen, device);
        let moved = a - b;
        if moved < least || moved > most {
            let wanted = if least == most {
                Text::from(most.to_string())
            } else {
                say!("{least} or {most}", "{least} 或 {most}")
            };
            let (line, en, zh) = (seen.reply.to_line(), &wanted.en, &wanted.zh);
            let message = say!(
                "num_ooms of device {device} moved by {moved} instead of {en}: the answer was `{line}`",
                "设备 {device} 的 num_ooms 变化 {moved}，而非 {zh}：应答为 `{line}`"
            );
            let what = told::change_of(&told::statistic(Key::Counter(Counter::NumOoms), device));
            let violation = convict(STAT_07, message).figure(what, wanted, moved.to_string());
            convictions.push(violation.with("num_ooms", "num_ooms", format_args!("{b} → {a}")));
        }
    }

    /// How far `num_ooms` of the device must move: least and most.
    fn ooms(&self, seen: &Seen<'_>, device: usize) -> (i64, i64) {
        if !self.oom_typed && seen.reply.refusal().is_some() {
            return (0, 1);
        }
        if seen.effect != (Effect::Refused { device }) {
            return (0, 0);
        }
        match seen.op {
            Some(Op::Alloc { via: Via::Tensor, bytes, .. }) if self.tensor_limit.is_some_and(|l| *bytes >= l) => (0, 0),
            // refused before rounding, or by the device: both are honest
            Some(Op::Alloc { bytes, .. }) if seen.model.is_unroundable(*bytes) => (0, 1),
            _ => (1, 1),
        }
    }
}

fn judge_allocation_columns(
    seen: &Seen<'_>,
    device: usize,
    before: &Stats,
    after: &Stats,
    convictions: &mut Vec<Violation>,
) {
    let (b, a) = (before.all(Family::Allocation), after.all(Family::Allocation));
    let wanted = match seen.effect {
        Effect::Allocated(_, live) if live.device == device => (1, 0),
        Effect::Freed(_, live) if live.device == device && live.bytes > 0 => (0, 1),
        _ => (0, 0),
    };
    let moves =
        [(Column::Allocated, a.allocated - b.allocated, wanted.0), (Column::Freed, a.freed - b.freed, wanted.1)];
    for (column, moved, wanted) in moves {
        if moved != wanted {
            let (asked, name) = (seen.op.map_or("nothing", Op::name), column.name());
            let message = say!(
                "{asked} moved allocation.all.{name} of device {device} by {moved} instead of {wanted}",
                "{asked} 使设备 {device} 的 allocation.all.{name} 变化 {moved}，而非 {wanted}"
            );
            let key = Key::Family(Family::Allocation, Row::All, column);
            let what = told::change_of(&told::statistic(key, device));
            let violation = convict(super::cite::STAT_04, message);
            convictions.push(violation.figure(what, wanted.to_string(), moved.to_string()));
        }
    }
}

pub(super) fn convict(requirement: RequirementId, message: crate::op::Text) -> Violation {
    Violation::new(OracleName::Accounts, Some(requirement), message)
}

fn base_of(stats: &Stats) -> Base {
    let mut base = Base::default();
    for &family in Family::ALL {
        for &row in Row::ALL {
            let stat = stats.get(family, row);
            base[family as usize][row as usize] = stat.current - stat.allocated + stat.freed;
        }
    }
    base
}

impl Oracle for Accounts {
    fn name(&self) -> OracleName {
        OracleName::Accounts
    }

    fn judge(&mut self, seen: &Seen<'_>, convictions: &mut Vec<Violation>) {
        if seen.is_unlawful_service() {
            return;
        }
        let first = convictions.len();
        for device in seen.scope().positions(self.base.len()) {
            self.judge_device(seen, device, convictions);
        }
        if convictions.len() > first && seen.fault_fired() {
            // what is wrong is how the failing device call was handled
            convictions[first..].iter_mut().for_each(|v| v.requirement = Some(OOM_06));
        }
    }
}

#[cfg(test)]
#[path = "accounts_test.rs"]
mod tests;

//! Accounts: the figures agree with each other and with what the callers did.
//!
//! Never negative; both pools add up; allocated less freed is current; allocated, active and reserved in
//! order; as many allocations as live blocks; no bytes without a count; nothing counted before the first request
//! (here); each event counted once, and device calls with the segments that come and go (`accounts_counters`); what a
//! block moved when it was given out it moves back, in one pool (`accounts_blocks`).
//! Does not cover: peaks (`peak`), devices that the operation is not about (`isolation`), the pool that a
//! block should be in and how far a request is rounded (both policy), how often a request is tried again and streams
//! are waited for (policy), accumulated columns of a target that cannot reset them, the start of a target that
//! holds memory already, and of a family that is not shown whole all but what there is now, in both pools together.

use super::accounts_blocks::Blocks;
use super::accounts_counters as counters;
use super::accounts_explain as explain;
use super::cite::{OOM_06, STAT_06, STAT_08, say};
use super::moved::Pending;
use super::view::off;
use super::{Oracle, Seen};
use crate::model::Effect;
use crate::op::stats::{Column, Key, Oversize, Row};
use crate::op::{Capability, Counter, Family, Observation, Op, OracleName, Parts, Stat, Stats, TargetInfo, wording};
use crate::requirement::RequirementId;
use crate::verdict::Violation;

/// Current figures as they would be if nothing had been allocated or freed since the last reset.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Base {
    pub(super) families: [[i64; 3]; 9],
    pub(super) oversize: [i64; 2],
}

/// What stood there before the first operation.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Foreign {
    /// Allocations, which are not the callers'.
    pub(super) allocations: i64,
    pub(super) bytes: i64,
    pub(super) requested: i64,
}

/// Which figures the target has, and what they started from.
pub(super) struct Accounts {
    /// Families that are shown whole: every column, by pool.
    pub(super) families: Vec<Family>,
    /// Families of which is shown how much there is now, if only in both pools together.
    pub(super) has: [bool; 9],
    /// The rest of `has`: only the sign of what there is can be judged by itself.
    pub(super) partly: Vec<Family>,
    /// Of the relations that `explain` names, those between families that the target has.
    ordered: Vec<(Family, Family)>,
    counted: Vec<(Family, Family)>,
    pub(super) accumulated: bool,
    pub(super) counters: bool,
    pub(super) segments: bool,
    /// The threshold of what is oversize is that from the start.
    pub(super) oversize: bool,
    pub(super) oom_typed: bool,
    pub(super) tensor_limit: Option<u64>,
    base: Vec<Base>,
    foreign: Vec<Foreign>,
    blocks: Blocks,
    /// What was not found to agree as it stands.
    pending: Pending,
    /// A figure of a device that holds nothing at the start, and is not 0; until it was convicted.
    stale: Option<(usize, Key, i64)>,
}

impl Accounts {
    pub(super) fn new(info: &TargetInfo, first: &Observation) -> Self {
        let families: Vec<Family> = Family::ALL.iter().copied().filter(|&f| info.can(Capability::Stats(f))).collect();
        let mut has = [false; 9];
        Family::ALL.iter().for_each(|&f| has[f as usize] = info.shows(f));
        let current = |stats: &Stats, family| stats.all(family).current;
        let foreign = first.devices.iter().map(|d| Foreign {
            allocations: current(&d.stats, Family::Allocation),
            bytes: current(&d.stats, Family::AllocatedBytes),
            requested: current(&d.stats, Family::RequestedBytes),
        });
        let stale = first.devices.iter().enumerate().find_map(|(device, view)| {
            let (key, value) = not_fresh(info, &view.stats)?;
            Some((device, key, value))
        });
        let segments = info.contract.counts_segments;
        let both = |&(one, other): &(Family, Family)| has[one as usize] && has[other as usize];
        let ordered = explain::ORDER.iter().map(|&(less, more, _)| (less, more)).filter(both).collect();
        let is_told = |pair: &(Family, Family)| both(pair) && (pair.0 != Family::Segment || segments);
        Accounts {
            ordered,
            counted: explain::COUNTED.iter().copied().filter(is_told).collect(),
            blocks: Blocks::new(info),
            pending: Pending::new(first.devices.len()),
            stale,
            partly: Family::ALL.iter().copied().filter(|f| has[*f as usize] && !families.contains(f)).collect(),
            families,
            has,
            accumulated: info.can(Capability::AccumulatedReset),
            counters: info.can(Capability::Counters),
            segments,
            oversize: true,
            oom_typed: info.can(Capability::OomTyped),
            tensor_limit: info.contract.tensor_limit,
            base: first.devices.iter().map(|d| base_of(&d.stats)).collect(),
            foreign: foreign.collect(),
        }
    }

    /// Whether the rows and columns of these parts agree among themselves. The quick pass; `explain` says why not.
    fn rows_agree(&self, stats: &Stats, base: &Base, parts: Parts) -> bool {
        let oversize = |(&which, &start): (&Oversize, &i64)| {
            let stat = stats.oversize(which);
            (stat.current >= 0 || !self.oversize)
                && (!self.accumulated || stat.current == start + stat.allocated - stat.freed)
        };
        let negative = |&family: &Family| parts.has(family) && stats.all(family).current < 0;
        (!parts.has_oversize() || Oversize::ALL.iter().zip(&base.oversize).all(oversize))
            && !self.partly.iter().any(negative)
            && self.families.iter().filter(|&&family| parts.has(family)).all(|&family| {
                let [all, small, large] = [Row::All, Row::SmallPool, Row::LargePool].map(|row| stats.get(family, row));
                // Differences, and signs, are gathered without branches: all of it holds nearly always.
                let sum = |of: fn(&Stat) -> i64| of(all).wrapping_sub(of(small)).wrapping_sub(of(large));
                let low = all.current | small.current | large.current;
                let peaks = all.peak <= small.peak.saturating_add(large.peak) && all.peak >= small.peak.max(large.peak);
                let mut off = sum(|stat| stat.current);
                if self.accumulated {
                    let base = &base.families[family as usize];
                    let unbalanced = |start: i64, stat: &Stat| {
                        stat.current.wrapping_sub(start).wrapping_sub(stat.allocated).wrapping_add(stat.freed)
                    };
                    off |= sum(|stat| stat.allocated) | sum(|stat| stat.freed);
                    off |= unbalanced(base[0], all) | unbalanced(base[1], small) | unbalanced(base[2], large);
                }
                off == 0 && low >= 0 && peaks
            })
    }

    /// Whether families agree with one another, row by row.
    fn families_agree(&self, stats: &Stats) -> bool {
        Row::ALL.iter().all(|&row| {
            let current = |family| stats.get(family, row).current;
            let ordered = self.ordered.iter().fold(true, |all, &(less, more)| all & (current(less) <= current(more)));
            let counted = |&(count, bytes): &(Family, Family)| (current(count) == 0) == (current(bytes) == 0);
            ordered & self.counted.iter().fold(true, |all, pair| all & counted(pair)) & self.parts_fit(stats, row)
        })
    }

    /// Whether free parts of segments and what is active have room in what is reserved.
    pub(super) fn parts_fit(&self, stats: &Stats, row: Row) -> bool {
        let current = |family| stats.get(family, row).current;
        let needed = [Family::InactiveSplitBytes, Family::ActiveBytes, Family::ReservedBytes];
        !needed.into_iter().all(|family| self.has[family as usize])
            || current(Family::InactiveSplitBytes).saturating_add(current(Family::ActiveBytes))
                <= current(Family::ReservedBytes)
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
            self.pending.leave(device, Parts::ALL);
        }
        self.judge_agreement(device, after, convictions);
        if let Some(state) = seen.model.device(device) {
            let foreign = self.foreign[device];
            explain::live(self, device, after, state, foreign, convictions);
        }
        if self.counters {
            counters::setting(seen, device, before, after, convictions);
        }
        if !reset {
            counters::judge(self, seen, device, before, after, convictions);
            self.blocks.judge(seen, device, before, after, convictions);
            if self.accumulated && self.families.contains(&Family::Allocation) {
                judge_allocation_columns(seen, device, before, after, convictions);
            }
        }
    }

    /// Figures that agreed with each other, and with what they started from, do so as long as they stand: only what moved
    /// since is held against the rest.
    fn judge_agreement(&mut self, device: usize, stats: &Stats, convictions: &mut Vec<Violation>) {
        let (parts, base) = (self.pending.on(device), &self.base[device]);
        let rows = self.rows_agree(stats, base, parts);
        let families = !parts.has_families() || self.families_agree(stats);
        debug_assert_eq!(rows, self.rows_agree(stats, base, Parts::ALL), "what was not looked at agrees");
        debug_assert_eq!(families, self.families_agree(stats), "what was not looked at agrees");
        if !rows {
            explain::rows(self, device, stats, base, convictions);
        }
        if !families {
            explain::families(self, device, stats, convictions);
        }
        if rows && families {
            self.pending.leave(device, Parts::NONE);
        }
    }

    #[cold]
    fn judge_reset(&self, device: usize, before: &Stats, after: &Stats, convictions: &mut Vec<Violation>) {
        let mut wanted = *before;
        wanted.tracked_mut().for_each(crate::op::Stat::reset_accumulated);
        for &which in Counter::ALL.iter().filter(|c| **c != Counter::MaxSplitSize) {
            *wanted.counter_mut(which) = 0;
        }
        let mut seen = *after;
        for &family in Family::ALL.iter().filter(|f| !self.families.contains(f)) {
            for &row in Row::ALL {
                *seen.get_mut(family, row) = *wanted.get(family, row);
            }
        }
        if let Some((key, wanted, found)) = super::view::moved_key(&wanted, &seen) {
            let [due, is] = [wanted, found].map(|value| wording::amount(key, value));
            let message = say!(
                "reset_accumulated left {key} of device {device} at {is} instead of {due}",
                "reset_accumulated 之后设备 {device} 的 {key} 为 {is}，而非 {due}"
            );
            let was = wording::amount(key, before.value(key));
            let violation = off(convict(STAT_06, message), device, key, wanted, found);
            convictions.push(violation.with("before the reset", "重置之前", was));
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
            let what = wording::change_of(&wording::statistic(key, device));
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
            base.families[family as usize][row as usize] = stat.current - stat.allocated + stat.freed;
        }
    }
    for &which in Oversize::ALL {
        let stat = stats.oversize(which);
        base.oversize[which as usize] = stat.current - stat.allocated + stat.freed;
    }
    base
}

/// The first figure that is not 0 although nothing is held; settings are none.
fn not_fresh(info: &TargetInfo, stats: &Stats) -> Option<(Key, i64)> {
    let shows = |key: Key| match key {
        Key::Family(family, Row::All, column) => info.can(Capability::Figure(family, column)),
        Key::Family(family, ..) => info.can(Capability::Stats(family)),
        Key::Counter(Counter::MaxSplitSize) => false,
        Key::Counter(_) | Key::Oversize(..) => info.can(Capability::Counters),
    };
    let holds = [Family::ReservedBytes, Family::AllocatedBytes, Family::Allocation].into_iter().find(|&family| {
        let key = Key::Family(family, Row::All, Column::Current);
        shows(key) && stats.value(key) != 0
    });
    if holds.is_some() {
        return None;
    }
    stats.entries().find(|&(key, value)| value != 0 && shows(key))
}

impl Oracle for Accounts {
    fn name(&self) -> OracleName {
        OracleName::Accounts
    }

    fn judge(&mut self, seen: &Seen<'_>, convictions: &mut Vec<Violation>) {
        self.pending.note(seen);
        self.oversize &= !seen.model.is_reconfigured();
        if self.segments && !seen.model.contract().counts_segments {
            self.segments = false;
            self.counted.retain(|(count, _)| *count != Family::Segment);
        }
        if seen.is_unlawful_service() {
            return;
        }
        if let Some((device, key, value)) = self.stale.take() {
            let is = wording::amount(key, value);
            let message = say!(
                "before the first request {key} of device {device} was {is}, although the device held nothing",
                "首次申请之前设备 {device} 的 {key} 为 {is}，而该设备并未持有任何内存"
            );
            convictions.push(off(convict(STAT_08, message), device, key, 0, value));
        }
        for device in seen.scope().positions(self.base.len()) {
            let first = convictions.len();
            self.judge_device(seen, device, convictions);
            if convictions.len() > first && seen.fired_on(device) {
                // what is wrong is how the failing device call was handled
                convictions[first..].iter_mut().for_each(|v| v.requirement = Some(OOM_06));
            }
        }
    }
}

#[cfg(test)]
#[path = "accounts_test.rs"]
mod tests;

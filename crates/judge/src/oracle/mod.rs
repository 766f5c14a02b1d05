//! Floor 3, the judges: each oracle has a file of its name, which says what it does not cover; `accounts_*` and `telemetry_*` are parts of one,
//! `cite`, `message`, `moved`, `segments`, `snapshot`, `table` and `view` what they share; `observables` says who judges what, and `excuses`
//! where a judge is silent.
//!
//! Decides whether a step broke a promise. Does not run anything, and asks the target nothing:
//! what must be read from memory (contents) comes as `Fill` and `Verify` steps of the engine.

mod accounts;
mod accounts_blocks;
mod accounts_counters;
mod accounts_explain;
mod alignment;
mod cite;
mod contents;
mod device_calls;
mod excuses;
mod exhaustion;
mod expectation;
mod growth;
mod history;
mod isolation;
mod leak;
mod limit;
mod message;
mod moved;
mod observables;
mod overlap;
mod peak;
mod private_pools;
mod refusal;
mod segments;
mod snapshot;
mod stream_order;
mod summary;
mod table;
mod telemetry;
mod telemetry_card;
mod telemetry_neighbours;
mod telemetry_streams;
mod trim;
mod view;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod lawful_test;

pub use excuses::{EXCUSES, Excuse};
pub use moved::Moved;
pub use observables::judges;

use std::collections::BTreeSet;

use crate::model::{Effect, Law, Model};
use crate::op::stats::Row;
use crate::op::trace::TraceEvent;
use crate::op::{Capability, DeviceView, Expect, Family, Misuse, Observation, Op, OracleName, Reply, TargetInfo};
use crate::verdict::Violation;

/// One executed step as the judges see it. `op` is `None` where the step is an expectation alone
/// (then `before` and `after` are the same).
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// What was asked.
    pub op: Option<&'a Op>,
    /// What was answered.
    pub reply: &'a Reply,
    /// What the scenario says should come of it.
    pub expect: Option<&'a Expect>,
    /// What was seen before.
    pub before: &'a Observation,
    /// What is seen after.
    pub after: &'a Observation,
    /// Which statistics differ between the two.
    pub moved: &'a Moved,
    /// What the model said before the operation was asked.
    pub law: Law,
    /// What it did to the callers' blocks.
    pub effect: Effect,
    /// The model after the operation.
    pub model: &'a Model,
    /// The identical request was refused for lack of memory in the step just before (a probe of the engine).
    pub is_retry: bool,
    /// What the target told of each device in this step, if it tells anything.
    pub events: Option<&'a [Vec<TraceEvent>]>,
    /// Calls of this step that made no sense to a device, where it keeps a ledger of them.
    pub misuse: &'a [Misuse],
    /// The last step of a sequence: everything was freed, waited for and emptied.
    pub is_end: bool,
}

/// The devices that an operation may move figures of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// Nothing was asked of the allocator.
    Nothing,
    One(usize),
    All,
}

impl Scope {
    /// The positions among `count` devices.
    fn positions(self, count: usize) -> std::ops::Range<usize> {
        match self {
            Scope::Nothing => 0..0,
            Scope::One(device) => device.min(count)..(device + 1).min(count),
            Scope::All => 0..count,
        }
    }
}

impl<'a> Seen<'a> {
    /// The operation, if it reached the target.
    fn asked(&self) -> Option<&'a Op> {
        self.op.filter(|_| !self.reply.is_dropped())
    }

    /// The operation, if it was asked and not refused.
    fn served(&self) -> Option<&'a Op> {
        self.asked().filter(|_| self.reply.refusal().is_none())
    }

    /// Whether a planned fault fired in this step, on any device.
    fn fault_fired(&self) -> bool {
        self.before.devices.iter().zip(&self.after.devices).any(|(b, a)| b.faults_fired != a.faults_fired)
    }

    /// Whether a planned fault fired on that device in this step.
    fn fired_on(&self, device: usize) -> bool {
        let fired = |views: &Observation| views.devices.get(device).map_or(0, |d| d.faults_fired);
        fired(self.before) != fired(self.after)
    }

    /// Whether a planned fault fired in this step on a device that the operation is about.
    fn fired_in_scope(&self) -> bool {
        self.fault_fired() && self.scope().positions(self.after.devices.len()).any(|device| self.fired_on(device))
    }

    /// Whether blocks of that device that waited for streams became free in this step, which may have nothing to do with it: a
    /// device call had failed before, and whoever was told so when it asked for events may ask again at any time.
    fn may_have_noticed(&self, device: usize) -> bool {
        let (Some(before), Some(after)) = (self.before.devices.get(device), self.after.devices.get(device)) else {
            return false;
        };
        let count = |view: &DeviceView, family| view.stats.get(family, Row::All).current;
        let waited = count(before, Family::Active) - count(before, Family::Allocation);
        let freed = count(before, Family::Active) - count(after, Family::Active);
        before.faults_fired > 0 && (1..=waited).contains(&freed)
    }

    /// Whether a call was served that must be refused: `refusal` says so, and what the figures of such a
    /// step should be nobody can say.
    fn is_unlawful_service(&self) -> bool {
        matches!(self.law, Law::MustRefuse(_) | Law::MustRefuseAny(_)) && self.served().is_some()
    }

    /// The devices that the operation is about.
    fn scope(&self) -> Scope {
        let Some(op) = self.asked() else { return Scope::Nothing };
        if let Effect::Freed(_, live) | Effect::FreedDirect(_, live) = self.effect {
            return Scope::One(live.device);
        }
        match op {
            Op::SetCurrent { .. } | Op::Caller { .. } | Op::CycleEnd | Op::Fault { .. } => Scope::Nothing,
            _ => self.model.device_of(op).map_or(Scope::All, Scope::One),
        }
    }
}

/// A judge of one promise or a family of them. Built for one sequence and dropped after it.
pub trait Oracle {
    /// Which it is.
    fn name(&self) -> OracleName;

    /// Judges one step; pushes what it convicts.
    fn judge(&mut self, seen: &Seen<'_>, convictions: &mut Vec<Violation>);
}

/// Builds the named oracles for one sequence, leaving out those that the target's capabilities cannot feed and those that
/// compare runs (they are `engine::metamorphic`'s).
/// The order is that of `OracleName::ALL`.
#[must_use]
pub fn build(names: &BTreeSet<OracleName>, info: &TargetInfo, first: &Observation) -> Vec<Box<dyn Oracle>> {
    OracleName::ALL.iter().filter(|name| names.contains(name)).filter_map(|&name| one(name, info, first)).collect()
}

fn one(name: OracleName, info: &TargetInfo, first: &Observation) -> Option<Box<dyn Oracle>> {
    let any = Family::ALL.iter().any(|&f| info.shows(f));
    let reserved = info.shows(Family::ReservedBytes);
    Some(match name {
        OracleName::Expectation => Box::new(expectation::Expectation::new(info)),
        OracleName::Overlap => Box::new(overlap::Overlap),
        OracleName::Alignment => Box::new(alignment::Alignment::new(info)),
        OracleName::Contents if info.can(Capability::Contents) => Box::new(contents::Contents),
        OracleName::StreamOrder if info.can(Capability::StreamControl) => Box::new(stream_order::StreamOrder),
        OracleName::Accounts if any => Box::new(accounts::Accounts::new(info, first)),
        OracleName::Peak if any => Box::new(peak::Peak::new(info)),
        OracleName::Isolation if info.devices.len() > 1 => Box::new(isolation::Isolation::new(info)),
        OracleName::Leak if any => Box::new(leak::Leak::new(info, first)),
        OracleName::Exhaustion if info.can(Capability::OomTyped) => Box::new(exhaustion::Exhaustion::new(info)),
        OracleName::Limit if reserved && limit::Limit::can_judge(info) => Box::new(limit::Limit::new(info)),
        OracleName::Growth if reserved => Box::new(growth::Growth::new(info)),
        OracleName::Refusal => Box::new(refusal::Refusal::new(info)),
        OracleName::Telemetry if info.can(Capability::MemoryInfo) && reserved => {
            Box::new(telemetry::Telemetry::new(info))
        }
        OracleName::PrivatePools
            if info.can(Capability::Counters)
                && (info.can(Capability::PrivatePools) || info.can(Capability::GraphCapture)) =>
        {
            Box::new(private_pools::PrivatePools::new(info))
        }
        OracleName::History if info.can(Capability::DeviceEvents) => Box::new(history::History::new(info)),
        OracleName::DeviceCalls if info.can(Capability::DeviceLedger) => Box::new(device_calls::DeviceCalls),
        OracleName::Trim if info.can(Capability::EmptyCache) && reserved => Box::new(trim::Trim::new(info, first)),
        OracleName::Summary if summary::Summary::can_judge(info) => Box::new(summary::Summary::new(info)),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(info: &TargetInfo) -> Vec<OracleName> {
        let all = OracleName::ALL.iter().copied().collect();
        build(&all, info, &Observation::default()).iter().map(|o| o.name()).collect()
    }

    #[test]
    fn all_oracles_judge_a_target_that_can_everything_in_the_order_of_their_names() {
        let of_steps: Vec<OracleName> = OracleName::ALL.iter().copied().filter(|n| !n.compares_runs()).collect();
        assert_eq!(names(&fixture::info()), of_steps);
    }

    #[test]
    fn a_target_that_can_little_is_judged_by_what_it_shows() {
        let mut info = fixture::info();
        info.capabilities.clear();
        info.devices.truncate(1);
        let left = [OracleName::Expectation, OracleName::Overlap, OracleName::Alignment, OracleName::Refusal];
        assert_eq!(names(&info), left);
    }
}

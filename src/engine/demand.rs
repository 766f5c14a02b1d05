//! What a scenario demands to have been in: situations, and combinations of values.
//!
//! Decides what of it this target never comes to, and what was missed. What that means for the outcome is `outcome`'s.

use std::fmt;

use crate::op::{Capability, Combination, Milestone, State, TargetInfo, Value};
use crate::spec::Scenario;

use super::tally::Tally;

/// One demand.
#[derive(Debug, Clone, Copy)]
pub(super) enum Demand<'a> {
    Situation(Milestone),
    /// By its place among those of the scenario.
    Combination(usize, &'a Combination),
}

impl fmt::Display for Demand<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Demand::Situation(milestone) => f.write_str(&milestone.name()),
            Demand::Combination(_, combination) => combination.fmt(f),
        }
    }
}

/// Steps and conditions that take a device, or what is allowed on it, to run out.
const SCARCE: &[Value] = &[
    Value::Flushed,
    Value::Retried,
    Value::Helped,
    Value::RefusedAtLimit,
    Value::RefusedByDevice,
    Value::RefusedTooLarge,
    Value::RefusedHere,
    Value::RefusedElsewhere,
];

impl<'a> Demand<'a> {
    /// Everything that a scenario demands.
    pub(super) fn of(scenario: &'a Scenario) -> impl Iterator<Item = Demand<'a>> {
        let combinations = scenario.must_combine.iter().enumerate();
        let combinations = combinations.map(|(place, combination)| Demand::Combination(place, combination));
        scenario.must_reach.iter().map(|milestone| Demand::Situation(*milestone)).chain(combinations)
    }

    /// What was demanded and not reached, and could be on a target with so many devices as this one has.
    pub(super) fn missed(scenario: &'a Scenario, tally: &Tally) -> Vec<Demand<'a>> {
        let devices = tally.info.as_ref().map_or(usize::MAX, |info| info.devices.len());
        let can = |d: &Demand<'_>| d.devices() <= devices && d.ruled_out(tally.info.as_ref()).is_none();
        Demand::of(scenario).filter(|demand| can(demand) && !demand.was_reached(tally)).collect()
    }

    pub(super) fn was_reached(self, tally: &Tally) -> bool {
        match self {
            Demand::Situation(milestone) => tally.reached.contains_key(&milestone),
            Demand::Combination(place, _) => tally.combined.get(place).is_some_and(|&sequences| sequences > 0),
        }
    }

    /// What the target says it lacks, and could not be there without.
    pub(super) fn ruled_out(self, info: Option<&TargetInfo>) -> Option<Capability> {
        let info = info?;
        match self {
            Demand::Situation(milestone) => milestone.takes().filter(|&capability| !info.can(capability)),
            Demand::Combination(_, combination) => combination.lacks(info),
        }
    }

    /// Whether it takes a device, or what is allowed on it, to run out.
    pub(super) fn is_scarcity(self) -> bool {
        let scarce = |any: State| any.without(State::from(SCARCE)).is_empty();
        match self {
            Demand::Situation(milestone) => milestone.is_scarcity(),
            Demand::Combination(_, combination) => combination.parts().iter().any(|&(_, any)| scarce(any)),
        }
    }

    /// Whether it takes a refusal that no limit explains.
    pub(super) fn is_device_refusal(self) -> bool {
        match self {
            Demand::Situation(milestone) => milestone == Milestone::DeviceRefusal,
            Demand::Combination(_, combination) => {
                combination.parts().iter().any(|&(_, any)| any == State::of(Value::RefusedByDevice))
            }
        }
    }

    /// How many devices it takes, where that is known beforehand.
    fn devices(self) -> usize {
        match self {
            Demand::Situation(milestone) => milestone.devices(),
            // What it takes is among the capabilities of its values.
            Demand::Combination(..) => 1,
        }
    }
}

//! How much of the suite a target's description opens, and which single capability would open most of the rest.
//!
//! Decides from requirements of scenarios alone; whether a scenario's steps hold in the target's world is not asked.

use std::collections::{BTreeMap, BTreeSet};

use crate::op::{Capability, TargetInfo};
use crate::requirement::RequirementId;
use crate::spec::Scenario;

use super::requires::lacking;

/// What a description opens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// Scenarios that lack nothing.
    pub scenarios: usize,
    /// Of so many.
    pub of: usize,
    /// Requirements that they speak of.
    pub requirements: usize,
    /// Capabilities that are all that some scenarios lack: how many scenarios, and how many requirements that none of the
    /// others speaks of. Those that open most come first.
    pub would_add: Vec<(Capability, usize, usize)>,
}

/// What the description opens of these scenarios.
#[must_use]
pub fn reach(scenarios: &[Scenario], info: &TargetInfo) -> Reach {
    let mut reach = Reach { of: scenarios.len(), ..Reach::default() };
    let mut open: BTreeSet<RequirementId> = BTreeSet::new();
    let mut alone: BTreeMap<Capability, Vec<RequirementId>> = BTreeMap::new();
    for scenario in scenarios {
        let lacking = lacking(scenario, info);
        match lacking.len() {
            0 => {
                reach.scenarios += 1;
                open.insert(scenario.requirement);
            }
            1 => lacking.iter().for_each(|c| alone.entry(*c).or_default().push(scenario.requirement)),
            _ => {}
        }
    }
    reach.requirements = open.len();
    reach.would_add = alone
        .into_iter()
        .map(|(capability, of)| {
            let new: BTreeSet<RequirementId> = of.iter().copied().filter(|r| !open.contains(r)).collect();
            (capability, of.len(), new.len())
        })
        .collect();
    reach.would_add.sort_by_key(|&(_, scenarios, requirements)| std::cmp::Reverse((requirements, scenarios)));
    reach
}

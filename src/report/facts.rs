//! What a record says once it is counted: per requirement, per area, per situation, and as a whole.
//!
//! Decides what counts as executed, covered and open. Does not word anything.

use std::collections::{BTreeMap, BTreeSet};

use crate::op::{Capability, Milestone, OracleName, Text};
use crate::requirement::{ALL, Area, Level, Requirement, RequirementId, Severity};
use crate::verdict::record::{RunRecord, ScenarioRecord};
use crate::verdict::{Finding, Outcome};

/// What a run says of its target, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Promises were broken, or an expectation of failure no longer holds.
    Violated,
    /// Nothing violated, but the harness or the target broke.
    Broken,
    /// Nothing violated, but something ran without reaching what it had to.
    Inconclusive,
    /// No scenario was executed.
    Nothing,
    Clean,
}

/// One requirement and what this run knows of it.
pub(super) struct Standing<'a> {
    pub requirement: &'static Requirement,
    pub scenarios: Vec<&'a ScenarioRecord>,
    /// Findings that name it, whichever scenario found them.
    pub findings: Vec<&'a Finding>,
}

impl Standing<'_> {
    pub fn executed(&self) -> usize {
        self.scenarios.iter().filter(|s| is_executed(s)).count()
    }

    pub fn is_covered(&self) -> bool {
        self.executed() > 0
    }

    pub fn operations(&self) -> u64 {
        self.scenarios.iter().map(|s| s.operations).sum()
    }

    /// The worst of its scenarios; `None` where no scenario of the run cites it.
    pub fn outcome(&self) -> Option<Outcome> {
        const WORST_FIRST: [Outcome; 8] = [
            Outcome::Fail,
            Outcome::UnexpectedPass,
            Outcome::Broken,
            Outcome::Inconclusive,
            Outcome::ExpectedFail,
            Outcome::Pass,
            Outcome::Skipped,
            Outcome::NotApplicable,
        ];
        WORST_FIRST.into_iter().find(|&outcome| self.scenarios.iter().any(|s| s.outcome == outcome))
    }
}

/// Scenarios that gave no verdict for one and the same reason.
pub(super) struct Gap<'a> {
    pub outcome: Outcome,
    pub reason: Text,
    pub scenarios: Vec<&'a ScenarioRecord>,
}

pub(super) struct Facts<'a> {
    pub record: &'a RunRecord,
    /// Every requirement there is, in the order of the registry.
    pub standings: Vec<Standing<'a>>,
}

/// It ran and said something about its requirement.
pub(super) fn is_executed(scenario: &ScenarioRecord) -> bool {
    let said =
        matches!(scenario.outcome, Outcome::Pass | Outcome::Fail | Outcome::ExpectedFail | Outcome::UnexpectedPass);
    said && scenario.operations > 0
}

/// The situations that a scenario had to reach and did not.
pub(super) fn unreached(scenario: &ScenarioRecord) -> Vec<Milestone> {
    let missing = scenario.must_reach.iter().filter(|&m| scenario.reached.get(m).is_none_or(|&n| n == 0));
    missing.copied().collect()
}

impl<'a> Facts<'a> {
    pub fn new(record: &'a RunRecord) -> Self {
        let standing = |requirement: &'static Requirement| Standing {
            requirement,
            scenarios: record.scenarios.iter().filter(|s| s.requirement == requirement.id).collect(),
            findings: record.findings.iter().filter(|f| f.requirement == requirement.id).collect(),
        };
        Facts { record, standings: ALL.iter().map(standing).collect() }
    }

    pub fn verdict(&self) -> Verdict {
        let count = |outcome| self.record.count(outcome);
        let outdated = self.record.outdated().count();
        if count(Outcome::Fail) + count(Outcome::UnexpectedPass) + outdated > 0 || !self.open_findings().is_empty() {
            Verdict::Violated
        } else if count(Outcome::Broken) > 0 {
            Verdict::Broken
        } else if count(Outcome::Inconclusive) > 0 {
            Verdict::Inconclusive
        } else if self.executed() == 0 {
            Verdict::Nothing
        } else {
            Verdict::Clean
        }
    }

    pub fn executed(&self) -> usize {
        self.record.scenarios.iter().filter(|s| is_executed(s)).count()
    }

    pub fn sequences(&self) -> u64 {
        self.record.scenarios.iter().map(|s| s.sequences).sum()
    }

    pub fn operations(&self) -> u64 {
        self.record.scenarios.iter().map(|s| s.operations).sum()
    }

    pub fn dropped(&self) -> u64 {
        self.record.scenarios.iter().map(|s| s.dropped).sum()
    }

    pub fn scenario(&self, id: &str) -> Option<&'a ScenarioRecord> {
        self.record.scenarios.iter().find(|s| s.id == id)
    }

    /// A finding that a written expectation announced.
    pub fn is_expected(&self, finding: &Finding) -> bool {
        self.scenario(&finding.scenario).is_some_and(|s| s.outcome == Outcome::ExpectedFail)
    }

    /// Findings that nobody announced, in the order of the run.
    pub fn open_findings(&self) -> Vec<&'a Finding> {
        self.record.findings.iter().filter(|f| !self.is_expected(f)).collect()
    }

    pub fn open_with(&self, severity: Severity) -> usize {
        self.open_findings().iter().filter(|f| f.severity == severity).count()
    }

    /// Open findings of one severity by the requirement they break.
    pub fn open_by_requirement(&self, severity: Severity) -> BTreeMap<RequirementId, Vec<&'a Finding>> {
        let mut groups: BTreeMap<RequirementId, Vec<&Finding>> = BTreeMap::new();
        for finding in self.open_findings().into_iter().filter(|f| f.severity == severity) {
            groups.entry(finding.requirement).or_default().push(finding);
        }
        groups
    }

    pub fn with_outcome(&self, outcome: Outcome) -> Vec<&'a ScenarioRecord> {
        self.record.scenarios.iter().filter(|s| s.outcome == outcome).collect()
    }

    pub fn covered(&self, level: Option<Level>) -> usize {
        self.of_level(level).filter(|s| s.is_covered()).count()
    }

    pub fn of_level(&self, level: Option<Level>) -> impl Iterator<Item = &Standing<'a>> {
        self.standings.iter().filter(move |s| level.is_none_or(|level| s.requirement.level == level))
    }

    pub fn in_area(&self, area: Area) -> impl Iterator<Item = &Standing<'a>> {
        self.standings.iter().filter(move |s| s.requirement.id.area() == area)
    }

    /// Requirements of which this run says nothing.
    pub fn uncovered(&self) -> Vec<&Standing<'a>> {
        self.standings.iter().filter(|s| !s.is_covered() && s.findings.is_empty()).collect()
    }

    /// In how many sequences and scenarios each situation was reached.
    pub fn situations(&self) -> BTreeMap<Milestone, (u64, usize)> {
        let mut all = BTreeMap::new();
        for scenario in &self.record.scenarios {
            for (&milestone, &sequences) in scenario.reached.iter().filter(|&(_, &n)| n > 0) {
                let entry: &mut (u64, usize) = all.entry(milestone).or_default();
                *entry = (entry.0 + sequences, entry.1 + 1);
            }
        }
        all
    }

    pub fn never_reached(&self) -> Vec<Milestone> {
        let reached = self.situations();
        Milestone::ALL.iter().copied().filter(|m| !reached.contains_key(m)).collect()
    }

    /// How many executed scenarios each oracle judged.
    pub fn oracles(&self) -> BTreeMap<OracleName, usize> {
        let mut all = BTreeMap::new();
        for scenario in self.record.scenarios.iter().filter(|s| is_executed(s)) {
            for &oracle in scenario.oracles.iter().collect::<BTreeSet<_>>() {
                *all.entry(oracle).or_default() += 1;
            }
        }
        all
    }

    /// Scenarios without a verdict, by outcome and reason, in the order of the run.
    pub fn gaps(&self) -> Vec<Gap<'a>> {
        let mut gaps: Vec<Gap<'a>> = Vec::new();
        for outcome in [Outcome::NotApplicable, Outcome::Skipped, Outcome::Inconclusive, Outcome::Broken] {
            for scenario in self.with_outcome(outcome) {
                let reason = scenario.reason.clone().unwrap_or_default();
                match gaps.iter_mut().find(|g| g.outcome == outcome && g.reason == reason) {
                    Some(gap) => gap.scenarios.push(scenario),
                    None => gaps.push(Gap { outcome, reason, scenarios: vec![scenario] }),
                }
            }
        }
        gaps
    }

    /// What the target lacks, by the scenarios that need it: read from the backticked words of reasons.
    pub fn lacking(&self) -> BTreeMap<Capability, Vec<&'a ScenarioRecord>> {
        let mut all: BTreeMap<Capability, Vec<&ScenarioRecord>> = BTreeMap::new();
        for scenario in self.with_outcome(Outcome::NotApplicable) {
            let reason = scenario.reason.as_ref().map_or("", |r| r.en.as_str());
            for capability in reason.split('`').skip(1).step_by(2).filter_map(|word| word.parse().ok()) {
                all.entry(capability).or_default().push(scenario);
            }
        }
        all
    }

    /// Whether the target's place is simulated devices.
    pub fn is_simulated(&self) -> bool {
        let name = &self.record.target.name;
        name.split_once('@').is_some_and(|(_, place)| place.split('?').next() == Some("sim"))
    }
}

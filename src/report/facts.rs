//! What a record says once it is counted: per requirement, per area, per situation, and as a whole.
//!
//! Decides what counts as covered and open. Does not word anything.

use std::collections::{BTreeMap, BTreeSet};

use crate::op::{Milestone, OracleName, Text};
use crate::requirement::{ALL, Area, Level, Requirement, Severity};
use crate::verdict::conclusion::{Conclusion, Musts};
use crate::verdict::record::{RunRecord, ScenarioRecord};
use crate::verdict::{Finding, Outcome};

/// One requirement and what this run knows of it.
pub(super) struct Standing<'a> {
    pub requirement: &'static Requirement,
    pub scenarios: Vec<&'a ScenarioRecord>,
    /// Findings that cite it, whichever scenario found them.
    pub findings: Vec<&'a Finding>,
}

impl Standing<'_> {
    pub fn executed(&self) -> usize {
        self.scenarios.iter().filter(|s| s.is_executed()).count()
    }

    /// Something is known of it: a scenario came to a verdict, or a finding cites it.
    pub fn is_covered(&self) -> bool {
        self.executed() > 0 || !self.findings.is_empty()
    }

    pub fn is_broken(&self) -> bool {
        !self.findings.is_empty() || self.outcome() == Some(Outcome::Fail)
    }

    pub fn operations(&self) -> u64 {
        self.scenarios.iter().map(|s| s.operations).sum()
    }

    /// The worst of its scenarios; `None` where no scenario of the run cites it.
    pub fn outcome(&self) -> Option<Outcome> {
        const WORST_FIRST: [Outcome; 10] = [
            Outcome::Fail,
            Outcome::UnexpectedPass,
            Outcome::Broken,
            Outcome::Inconclusive,
            Outcome::Blocked,
            Outcome::ExpectedFail,
            Outcome::Pass,
            Outcome::Skipped,
            Outcome::NotApplicable,
            Outcome::NotSelected,
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
            findings: record.findings.iter().filter(|f| f.requirements().contains(&requirement.id)).collect(),
        };
        Facts { record, standings: ALL.iter().map(standing).collect() }
    }

    pub fn conclusion(&self) -> Conclusion {
        Conclusion::of(self.record)
    }

    pub fn musts(&self) -> Musts {
        Musts::of(self.record)
    }

    pub fn executed(&self) -> usize {
        self.record.scenarios.iter().filter(|s| s.is_executed()).count()
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
        self.record.scenario(id)
    }

    /// Findings that nobody announced, worst first.
    pub fn open_findings(&self) -> Vec<&'a Finding> {
        self.record.open_findings().collect()
    }

    pub fn open_with(&self, severity: Severity) -> usize {
        self.open_findings().iter().filter(|f| f.severity == severity).count()
    }

    /// Violations that stand under another one's finding.
    pub fn folded(&self) -> usize {
        self.record.findings.iter().map(|f| f.folded.len()).sum()
    }

    pub fn with_outcome(&self, outcome: Outcome) -> Vec<&'a ScenarioRecord> {
        self.record.scenarios.iter().filter(|s| s.outcome == outcome).collect()
    }

    pub fn covered(&self, level: Option<Level>) -> usize {
        let of_level = |s: &&Standing<'_>| level.is_none_or(|level| s.requirement.level == level);
        self.standings.iter().filter(of_level).filter(|s| s.is_covered()).count()
    }

    pub fn in_area(&self, area: Area) -> impl Iterator<Item = &Standing<'a>> {
        self.standings.iter().filter(move |s| s.requirement.id.area() == area)
    }

    /// Requirements of which this run says nothing.
    pub fn uncovered(&self) -> Vec<&Standing<'a>> {
        self.standings.iter().filter(|s| !s.is_covered()).collect()
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
        for scenario in self.record.scenarios.iter().filter(|s| s.is_executed()) {
            for &oracle in scenario.oracles.iter().collect::<BTreeSet<_>>() {
                *all.entry(oracle).or_default() += 1;
            }
        }
        all
    }

    /// Scenarios without a verdict, by outcome and reason, in the order of the run. What the user did not select is
    /// no gap.
    pub fn gaps(&self) -> Vec<Gap<'a>> {
        const OPEN: [Outcome; 5] =
            [Outcome::Broken, Outcome::Inconclusive, Outcome::Blocked, Outcome::Skipped, Outcome::NotApplicable];
        let mut gaps: Vec<Gap<'a>> = Vec::new();
        for outcome in OPEN {
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

    /// What the target lacks, by the scenarios that need it.
    pub fn lacking(&self) -> BTreeMap<String, Vec<&'a ScenarioRecord>> {
        let mut all: BTreeMap<String, Vec<&ScenarioRecord>> = BTreeMap::new();
        for scenario in self.with_outcome(Outcome::NotApplicable) {
            for capability in &scenario.missing {
                all.entry(capability.clone()).or_default().push(scenario);
            }
        }
        all
    }

    /// Whether the target ran on simulated devices, as far as the record says.
    pub fn is_simulated(&self) -> bool {
        self.record.target.simulated == Some(true)
    }
}

//! Which scenarios a run is about: globs over their ids, and a share of them.
//!
//! Decides what is left out and says why. Whether a target *can* run a scenario is found out in `case`.

use std::collections::BTreeSet;

use globset::{Glob, GlobSet, GlobSetBuilder};

use crate::op::OracleName;
use crate::requirement::Area;
use crate::spec::Scenario;
use crate::spec::expect::{self, About};
use crate::target::TargetName;
use crate::verdict::record::{LeftOut, RunRecord, Scope};

use super::SweepPlan;
use super::judged_sequence::EXACT_01;

/// How many near ids an error offers.
const NEAR: usize = 3;

/// Part `index` of `of`, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// Which part, from 1.
    pub index: u32,
    /// How many parts.
    pub of: u32,
}

/// A text that names no part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a share: write K/N with 1 <= K <= N, for example 1/4")]
pub struct ShardError {
    /// The text.
    pub text: String,
}

impl std::str::FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, ShardError> {
        let wrong = || ShardError { text: text.to_owned() };
        let (index, of) = text.split_once('/').ok_or_else(wrong)?;
        let shard = Shard { index: index.parse().map_err(|_| wrong())?, of: of.parse().map_err(|_| wrong())? };
        if shard.index >= 1 && shard.index <= shard.of { Ok(shard) } else { Err(wrong()) }
    }
}

impl std::fmt::Display for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

/// Why a selection was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each says what happened")]
pub enum PlanError {
    #[error("`{glob}` is not a glob: {reason}")]
    BadGlob { glob: String, reason: String },
    #[error("no scenario is called `{glob}`{}", near_text(near))]
    NoMatch { glob: String, near: Vec<String> },
    #[error("two scenarios are called `{id}`: one in {first}, one in {second}")]
    Twice { id: String, first: String, second: String },
    #[error("there is no scenario to run")]
    Nothing,
}

fn near_text(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!(": did you mean {}?", near.join(", ")) }
}

/// A scenario of a plan; with a reason, it is left out.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// What is to run.
    pub scenario: Scenario,
    /// Why it does not.
    pub left_out: Option<LeftOut>,
}

/// The scenarios of a run in the order of its report.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// In the order of the record.
    pub entries: Vec<Planned>,
    /// What narrowed it, as the command line says it.
    pub selection: Vec<String>,
    /// The same, as the record has it.
    pub scope: Scope,
    /// The share of the requirements of level must that a full run has to come to a verdict on.
    pub min_coverage: f64,
    /// Whether device calls are failed in turn, and how much of that.
    pub faults: Option<SweepPlan>,
    /// Each generated sequence is drawn by weights of its own, instead of the scenario's.
    pub swarm: bool,
}

impl Plan {
    /// All scenarios, less what the globs and the share leave out. A share is dealt out over what the globs chose.
    ///
    /// # Errors
    /// A glob that is malformed or matches nothing, two scenarios of one id, no scenario at all.
    pub fn new(scenarios: Vec<Scenario>, globs: &[String], shard: Option<Shard>) -> Result<Self, PlanError> {
        check_ids(&scenarios)?;
        let chosen = compile(&scenarios, globs)?;
        let mut selection: Vec<String> = globs.iter().map(|glob| format!("--scenario {glob}")).collect();
        selection.extend(shard.map(|s| format!("--shard {s}")));
        let mut dealt = 0;
        let entries = scenarios.into_iter().map(|scenario| {
            let left_out = if !globs.is_empty() && !chosen.is_match(&scenario.id) {
                Some(LeftOut::Filter)
            } else {
                dealt += 1;
                shard.filter(|s| (dealt - 1) % s.of + 1 != s.index).map(|_| LeftOut::Share)
            };
            Planned { scenario, left_out }
        });
        let scope = Scope { scenarios: globs.to_vec(), shard: shard.map(|s| s.to_string()), ..Scope::default() };
        let min_coverage = RunRecord::MIN_COVERAGE;
        Ok(Plan { entries: entries.collect(), selection, scope, min_coverage, faults: None, swarm: false })
    }

    /// Leaves out what is about the policy that a target claims.
    pub fn leave_out_exact(&mut self) {
        let about = |e: &&mut Planned| e.left_out.is_none() && e.scenario.requirement.area() == Area::Exact;
        self.entries.iter_mut().filter(about).for_each(|e| e.left_out = Some(LeftOut::NoExact));
    }

    /// Of every scenario only the sequences are left, judged by nobody but the policy that a target claims: they go on past
    /// broken promises.
    pub fn judge_policy_alone(&mut self) {
        self.selection.push("--only-exact".to_owned());
        self.scope.policy_alone = true;
        for Planned { scenario, .. } in &mut self.entries {
            scenario.requirement = EXACT_01;
            scenario.oracles = BTreeSet::from([OracleName::Exact]);
            scenario.must_reach.clear();
            scenario.must_combine.clear();
        }
    }

    /// The plan without what the target is expected to fail wherever it runs: such a scenario cannot tell a mistake that
    /// was planted from the target as it is.
    #[must_use]
    pub fn telling(&self, target: &TargetName) -> Plan {
        let mut plan = self.clone();
        if let Ok(Some(expected)) = expect::built_in(&target.allocator, &target.place) {
            let fails = |id: &str| {
                expected.entries.iter().any(|entry| match &entry.about {
                    About::Scenario(glob) => entry.scope.is_everywhere() && glob.is_match(id),
                    About::Requirement(_) => false,
                })
            };
            plan.entries.retain(|entry| !fails(&entry.scenario.id));
        }
        plan
    }

    /// How many scenarios will be tried.
    #[must_use]
    pub fn chosen(&self) -> usize {
        self.entries.iter().filter(|e| e.left_out.is_none()).count()
    }
}

fn check_ids(scenarios: &[Scenario]) -> Result<(), PlanError> {
    let mut seen = std::collections::BTreeMap::new();
    for scenario in scenarios {
        if let Some(first) = seen.insert(&scenario.id, &scenario.file) {
            let (first, second) = (first.clone(), scenario.file.clone());
            return Err(PlanError::Twice { id: scenario.id.clone(), first, second });
        }
    }
    if scenarios.is_empty() { Err(PlanError::Nothing) } else { Ok(()) }
}

fn compile(scenarios: &[Scenario], globs: &[String]) -> Result<GlobSet, PlanError> {
    for text in globs {
        let one = self::globs(std::slice::from_ref(text))?;
        if !scenarios.iter().any(|s| one.is_match(&s.id)) {
            let near = nearest(text, scenarios.iter().map(|s| s.id.as_str()));
            return Err(PlanError::NoMatch { glob: text.clone(), near });
        }
    }
    self::globs(globs)
}

/// What any of the globs matches.
///
/// # Errors
/// `BadGlob`.
pub fn globs(globs: &[String]) -> Result<GlobSet, PlanError> {
    let bad = |glob: &str, error: &globset::Error| PlanError::BadGlob {
        glob: glob.to_owned(),
        reason: error.kind().to_string(),
    };
    let mut set = GlobSetBuilder::new();
    for text in globs {
        set.add(Glob::new(text).map_err(|e| bad(text, &e))?);
    }
    set.build().map_err(|e| bad(&globs.join(", "), &e))
}

/// The names most like `text`, best first; none if nothing is like it.
pub(crate) fn nearest<'a>(text: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let plain = text.replace(['*', '?'], "");
    let mut scored: Vec<(f64, &str)> = names.map(|name| (strsim::jaro_winkler(&plain, name), name)).collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    let best = scored.first().map_or(0.0, |(score, _)| *score);
    scored.retain(|(score, _)| *score > 0.7 && *score > best - 0.1);
    scored.into_iter().take(NEAR).map(|(_, name)| format!("`{name}`")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tests::scenario;

    fn three() -> Vec<Scenario> {
        ["frac::zero", "frac::out-of-range", "oom::retry"].map(scenario).into()
    }

    fn kept(plan: &Plan) -> Vec<&str> {
        plan.entries.iter().filter(|e| e.left_out.is_none()).map(|e| e.scenario.id.as_str()).collect()
    }

    #[test]
    fn globs_choose_by_id() {
        let plan = Plan::new(three(), &["frac::*".to_owned()], None).expect("matches two");
        assert_eq!(kept(&plan), ["frac::zero", "frac::out-of-range"]);
        assert_eq!(plan.selection, ["--scenario frac::*"]);
    }

    #[test]
    fn a_glob_without_a_match_names_its_neighbours() {
        let error = Plan::new(three(), &["frac::zeor".to_owned()], None).expect_err("no such scenario");
        assert_eq!(error.to_string(), "no scenario is called `frac::zeor`: did you mean `frac::zero`?");
        assert!(matches!(Plan::new(three(), &["[".to_owned()], None), Err(PlanError::BadGlob { .. })));
    }

    #[test]
    fn shares_are_disjoint_and_cover_everything() {
        let mut all: Vec<String> = Vec::new();
        for index in 1..=2 {
            let plan = Plan::new(three(), &[], Some(Shard { index, of: 2 })).expect("well formed");
            all.extend(kept(&plan).into_iter().map(str::to_owned));
        }
        assert_eq!(all, ["frac::zero", "oom::retry", "frac::out-of-range"]);
        for text in ["0/2", "3/2", "1", "a/b", "1/0"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }

    #[test]
    fn one_id_is_one_scenario() {
        let twice = vec![scenario("frac::zero"), scenario("frac::zero")];
        assert!(matches!(Plan::new(twice, &[], None), Err(PlanError::Twice { .. })));
        assert_eq!(Plan::new(Vec::new(), &[], None), Err(PlanError::Nothing));
    }
}

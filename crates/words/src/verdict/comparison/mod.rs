//! Two runs held against each other: what is new, fixed, changed, still failing or no longer told, and what moved.
//!
//! Decides when a finding of one run is that of another, what may be called new or fixed, and what counts as worse. Does not
//! word it (`report`), and runs nothing: what a run did not execute it says nothing of.

mod differences;
mod findings;
mod matching;
mod rows;
mod standings;
mod worse;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::record::{EndedBy, RunRecord, ScenarioRecord};
use super::{Outcome, expectation};
use crate::op::Text;
use crate::requirement::RequirementId;

pub use differences::{Aspect, Difference, FigureRow, Measure, NoPace};
pub use rows::{Changed, Ended, FindingKind, FindingRow, FindingSide, MatchedBy, NotShownBecause};
pub use standings::PromiseState;

/// What two runs come to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Comparison {
    /// `poolproof-comparison/1`.
    pub format: String,
    /// The version of poolproof that compared.
    pub version: String,
    /// What it comes to; the exit code follows it.
    pub came_to: CameTo,
    /// What is worse in the new run, each thing once.
    pub worse: Vec<Worse>,
    /// The run that is held against.
    pub old: Side,
    /// The run that is asked about.
    pub new: Side,
    /// Scenarios that came to a verdict in both.
    pub shared: u64,
    /// What else differs between the two, so that a difference of results need not come of the allocator.
    pub differences: Vec<Difference>,
    /// Every finding of either: new ones first, those that stayed last.
    pub findings: Vec<FindingRow>,
    /// Promises that do not stand as they did, in the order of the registry.
    pub requirements: Vec<RequirementRow>,
    /// Scenarios that did not end as they did, in the order of the new run.
    pub scenarios: Vec<ScenarioRow>,
    /// Expected failures that do not stand as they did.
    pub expectations: Vec<ExpectationRow>,
    /// Figures that moved.
    pub figures: Vec<FigureRow>,
    /// Why operations a second are not among the figures, if they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_pace: Option<NoPace>,
}

/// What a comparison comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CameTo {
    /// Something is worse.
    Worse,
    /// Nothing that the two show is worse.
    NothingWorse,
    /// No scenario came to a verdict in both, and nothing else is worse: they say nothing of each other.
    NothingCompared,
}

/// One thing that is worse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "what")]
pub enum Worse {
    /// A finding that nobody announced and the old run does not have.
    Finding {
        /// Its id in the new run.
        id: String,
    },
    /// A promise that had a verdict has none, although the new run was to ask for it.
    RequirementLost {
        /// Which.
        requirement: RequirementId,
    },
    /// A scenario with the same steps passed, and fails by a finding that the old run has, too.
    ScenarioFails {
        /// Which.
        scenario: String,
    },
    /// A scenario came to a verdict, and now the harness or the target's process breaks.
    ScenarioBreaks {
        /// Which.
        scenario: String,
    },
}

/// One of the two runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Side {
    /// The format of its record.
    pub format: String,
    /// As the user named it.
    pub target: String,
    /// How it came to its end.
    pub ended: EndedBy,
    /// What narrowed it, as the command line says it.
    pub selection: Vec<String>,
    /// Scenarios of its plan.
    pub scenarios: u64,
    /// Those that came to a verdict.
    pub executed: u64,
    /// Those that had more to run when it ended.
    pub unfinished: u64,
    /// Promises with a verdict.
    pub judged: u64,
    /// Findings.
    pub findings: u64,
}

/// A promise that does not stand as it did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RequirementRow {
    /// Which.
    pub requirement: RequirementId,
    /// Before.
    pub old: PromiseState,
    /// Now.
    pub new: PromiseState,
}

/// A scenario that did not end as it did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ScenarioRow {
    /// By id.
    pub scenario: String,
    /// The promise that it is about.
    pub requirement: RequirementId,
    /// How it ended before; absent where the plan lacked it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<Outcome>,
    /// How it ended now; absent where the plan lacks it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<Outcome>,
    /// Its sequences are drawn, and from another seed: another end need not come of the target.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drawn_anew: bool,
    /// Why it came to no verdict now, if it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text>,
}

impl ScenarioRow {
    /// It had a verdict, and has none.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.old.is_some_and(says) && !self.new.is_some_and(says)
    }
}

/// An entry of expected failures that does not stand as it did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExpectationRow {
    /// What it speaks of: a glob over scenarios, or a promise.
    pub about: String,
    /// Why that fails, as the entry says.
    pub reason: Text,
    /// Before; absent where there was no such entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<expectation::Standing>,
    /// Now; absent where there is no such entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<expectation::Standing>,
}

impl Comparison {
    /// What `format` says.
    pub const FORMAT: &'static str = "poolproof-comparison/1";

    /// Holds a new run against an old one.
    #[must_use]
    pub fn of(old: &RunRecord, new: &RunRecord) -> Self {
        let pair = Pair { old, new };
        let findings = findings::rows(&pair);
        let requirements = standings::requirements(&pair);
        let scenarios = standings::scenarios(&pair);
        let worse = worse::all(&pair, &findings, &requirements, &scenarios);
        let executed = |id: &str| old.scenario(id).is_some_and(ScenarioRecord::is_executed);
        let shared = new.scenarios.iter().filter(|s| s.is_executed() && executed(&s.id)).count() as u64;
        let came_to = match (worse.is_empty(), shared) {
            (false, _) => CameTo::Worse,
            (true, 0) => CameTo::NothingCompared,
            (true, _) => CameTo::NothingWorse,
        };
        let no_pace = differences::no_pace(&pair, &findings);
        Comparison {
            format: Comparison::FORMAT.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            came_to,
            worse,
            old: side(old),
            new: side(new),
            shared,
            differences: differences::all(&pair),
            figures: differences::figures(&pair, no_pace.is_none()),
            no_pace,
            findings,
            requirements,
            scenarios,
            expectations: standings::expectations(&pair),
        }
    }

    /// The findings of a kind.
    pub fn with_kind(&self, kind: FindingKind) -> impl Iterator<Item = &FindingRow> {
        self.findings.iter().filter(move |row| row.kind == kind)
    }
}

/// The two runs.
struct Pair<'a> {
    old: &'a RunRecord,
    new: &'a RunRecord,
}

impl Pair<'_> {
    /// Whether a scenario asks the same of both: its steps are explicit, or drawn from one seed.
    fn asks_the_same(&self, scenario: &str) -> bool {
        let explicit = |record: &RunRecord| record.scenario(scenario).is_some_and(|s| !s.generated);
        self.old.seed == self.new.seed || explicit(self.old) && explicit(self.new)
    }
}

/// A verdict on the scenario's promise.
fn says(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Pass | Outcome::Fail | Outcome::ExpectedFail | Outcome::UnexpectedPass)
}

fn passes(scenario: &ScenarioRecord) -> bool {
    scenario.is_executed()
        && !scenario.unfinished
        && matches!(scenario.outcome, Outcome::Pass | Outcome::UnexpectedPass)
}

fn side(record: &RunRecord) -> Side {
    let count = |is: &dyn Fn(&ScenarioRecord) -> bool| record.scenarios.iter().filter(|s| is(s)).count() as u64;
    Side {
        format: record.format.clone(),
        target: record.target.name.clone(),
        ended: record.ended,
        selection: record.selection.clone(),
        scenarios: record.scenarios.len() as u64,
        executed: count(&ScenarioRecord::is_executed),
        unfinished: count(&|s| s.unfinished),
        judged: standings::judged(record),
        findings: record.findings.len() as u64,
    }
}

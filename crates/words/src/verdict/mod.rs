//! Floor 1, what came of it: outcomes, violations, findings and the record of a run.
//!
//! Decides the shape of results and of `run.json`. Does not decide who is guilty (`oracle`) or how it reads (`report`).

pub mod comparison;
pub mod conclusion;
pub mod condition;
pub mod contract;
pub mod expectation;
pub mod interval;
pub mod matrix;
pub mod monitoring;
pub mod record;
pub mod releases;
pub mod standalone;
pub mod states;
pub mod survival;
pub mod sweep;
pub mod unfaithful;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::op::{Names, OracleName, Setup, Step, Text};
use crate::requirement::{RequirementId, Severity};

pub use condition::Condition;
pub use standalone::Standalone;

/// How a scenario ended on a target. Nothing is silently green.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Everything that was asked of it held.
    Pass,
    /// A promise was broken.
    Fail,
    /// Failed as a written expectation said it would.
    ExpectedFail,
    /// Passed although a written expectation said it would fail.
    UnexpectedPass,
    /// A violation of another promise stopped it: it says nothing of its own.
    Blocked,
    /// The target lacks what the scenario needs.
    NotApplicable,
    /// The user's selection leaves it out.
    NotSelected,
    /// Left out for want of time, or because the run was interrupted.
    Skipped,
    /// The harness or the target's process broke.
    Broken,
    /// It ran, but not far enough to say anything.
    Inconclusive,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Outcome; 10] = [
        Outcome::Pass,
        Outcome::Fail,
        Outcome::ExpectedFail,
        Outcome::UnexpectedPass,
        Outcome::Blocked,
        Outcome::NotApplicable,
        Outcome::NotSelected,
        Outcome::Skipped,
        Outcome::Broken,
        Outcome::Inconclusive,
    ];

    /// As records write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Pass => "pass",
            Outcome::Fail => "fail",
            Outcome::ExpectedFail => "expected-fail",
            Outcome::UnexpectedPass => "unexpected-pass",
            Outcome::Blocked => "blocked",
            Outcome::NotApplicable => "not-applicable",
            Outcome::NotSelected => "not-selected",
            Outcome::Skipped => "skipped",
            Outcome::Broken => "broken",
            Outcome::Inconclusive => "inconclusive",
        }
    }
}

/// A figure or observation that supports a violation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// What it is.
    pub label: Text,
    /// The figure, or what was seen.
    pub value: String,
}

/// The first figure that was wrong, in units that people read: what it should have been, and what it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Figure {
    /// What is counted or observed, with its device, pool and family where it has them.
    pub what: Text,
    /// What it should have been.
    pub expected: Text,
    /// What it was.
    pub actual: Text,
}

/// One oracle's conviction at one step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Violation {
    /// Who convicts.
    pub oracle: OracleName,
    /// The promise that was broken; without it the scenario's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requirement: Option<RequirementId>,
    /// What happened, in one sentence with its figures.
    pub message: Text,
    /// The figure that shows it; absent where no single one does, and in records of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub figure: Option<Figure>,
    /// What supports it.
    #[serde(default)]
    pub evidence: Vec<Evidence>,
}

impl Violation {
    /// A conviction without evidence yet.
    #[must_use]
    pub fn new(oracle: OracleName, requirement: Option<RequirementId>, message: Text) -> Self {
        Violation { oracle, requirement, message, figure: None, evidence: Vec::new() }
    }

    /// Says which figure shows it, what it should have been and what it was.
    #[must_use]
    pub fn figure(mut self, what: Text, expected: impl Into<Text>, actual: impl Into<Text>) -> Self {
        self.figure = Some(Figure { what, expected: expected.into(), actual: actual.into() });
        self
    }

    /// Adds a figure.
    #[must_use]
    pub fn with(mut self, en: &str, zh: &str, value: impl ToString) -> Self {
        self.evidence.push(Evidence { label: Text::new(en, zh), value: value.to_string() });
        self
    }
}

/// A sequence that can be run again by itself: the world, the steps, and who judges.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reproducer {
    /// `poolproof-reproducer/1`.
    pub format: String,
    /// The target that it failed on, options included.
    pub target: String,
    /// The scenario it came from, `area::name`.
    pub scenario: String,
    /// The promise that it breaks.
    pub requirement: RequirementId,
    /// The world.
    pub setup: Setup,
    /// Who judges.
    pub oracles: Vec<OracleName>,
    /// What is asked.
    pub steps: Vec<Step>,
    /// What the author of the scenario calls the blocks; absent where nobody named them.
    #[serde(default, skip_serializing_if = "Names::is_empty")]
    pub names: Names,
    /// Whether the closing operations (free everything, wait, empty the cache) follow the steps.
    pub epilogue: bool,
}

impl Reproducer {
    /// What `format` says.
    pub const FORMAT: &'static str = "poolproof-reproducer/1";
}

/// What was asked and answered, in order, up to the violation: the listing of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TranscriptLine {
    /// The operation in one line.
    pub asked: String,
    /// The answer in one line.
    pub answered: String,
    /// Added by the harness (a retry after a refusal, filling and reading blocks, the closing operations).
    pub added: bool,
}

/// How often the same judge convicted of the same promise when a reproducer was run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reproduced {
    /// Runs that failed so.
    pub times: u32,
    /// Runs, each on a fresh target.
    pub of: u32,
}

impl Reproduced {
    /// Not every run failed: the failure comes and goes.
    #[must_use]
    pub fn is_partial(self) -> bool {
        self.times < self.of
    }
}

/// What there was no more of to make a failing sequence shorter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RanOut {
    /// The time that one failure may take.
    Time,
    /// The sequences that may be run for one failure.
    Runs,
    /// The operations that these may have together.
    Operations,
    /// The time of the whole run, or somebody asked it to end.
    Run,
}

/// One mistake of the target: the violation that shows it best, the smallest sequence that does, and whatever else
/// came of the same mistake.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// `STRM-02-4f1c`: the promise, and digits of what was judged. The same mistake has the same id in every run and
    /// share; in records of format 1, `F01` and on.
    pub id: String,
    /// The scenario that the sequence comes from.
    pub scenario: String,
    /// The promise that was broken.
    pub requirement: RequirementId,
    /// The promise's, or more if the scenario says so.
    pub severity: Severity,
    /// What fixing such a finding usually costs.
    pub effort_days: f64,
    /// What happened.
    pub violation: Violation,
    /// What the sequence cannot do without. Empty where it is not minimal, and in records of format 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Whether no step can be left out of the sequence. Explicit steps that an author's expectations hang on are often
    /// not taken apart.
    #[serde(default)]
    pub minimal: bool,
    /// What ended the search for a shorter one before it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ran_out: Option<RanOut>,
    /// The shortest sequence that still shows it.
    pub reproducer: Reproducer,
    /// The reproducer as it ran, up to the violation.
    pub transcript: Vec<TranscriptLine>,
    /// How often the reproducer failed when it was run again; unknown in records of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reproduced: Option<Reproduced>,
    /// Steps of the sequence as it was first found.
    pub original_steps: u64,
    /// What else the same mistake was seen to do, in the order of the plan.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub folded: Vec<Folded>,
    /// Where the reproducer was written, relative to `run.json`.
    pub file: String,
    /// The command that reproduces it from the folder that `run` was called in.
    pub command: String,
    /// The same as a program that needs nothing of the harness, where its target is one that programs are written for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standalone: Option<Standalone>,
}

impl Finding {
    /// Whether a scenario stumbled over it.
    #[must_use]
    pub fn concerns(&self, scenario: &str) -> bool {
        self.scenario == scenario || self.folded.iter().any(|f| f.scenario == scenario)
    }

    /// What was written of it, relative to `run.json`: its sequence, then its program if there is one.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        let program = match &self.standalone {
            Some(Standalone::Program { file, .. }) => Some(file.as_str()),
            _ => None,
        };
        [self.file.as_str()].into_iter().chain(program)
    }

    /// The promises that it was seen to break, its own first.
    #[must_use]
    pub fn requirements(&self) -> Vec<RequirementId> {
        let mut all = vec![self.requirement];
        for folded in &self.folded {
            if !all.contains(&folded.requirement) {
                all.push(folded.requirement);
            }
        }
        all
    }

    /// The scenarios that stumbled over it, that of its sequence first, each once.
    #[must_use]
    pub fn scenarios(&self) -> Vec<&str> {
        let mut all = vec![self.scenario.as_str()];
        for folded in &self.folded {
            if !all.contains(&folded.scenario.as_str()) {
                all.push(&folded.scenario);
            }
        }
        all
    }
}

/// A violation that a finding stands for, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Folded {
    /// The scenario that came upon it, `area::name`.
    pub scenario: String,
    /// The promise that was said to be broken.
    pub requirement: RequirementId,
    /// Who convicted.
    pub oracle: OracleName,
    /// What was promised and what happened.
    pub message: Text,
    /// Steps of its own smallest sequence.
    pub steps: u64,
    /// What shows that it is the same mistake.
    pub because: Because,
}

/// Why two violations are put down to one mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Because {
    /// The same judge, or an author's expectation, saw the same promise broken, under the same settings.
    SamePromise,
    /// Their smallest sequences make the same calls.
    SameCalls,
    /// The finding's sequence breaks that promise, too.
    SequenceBreaksIt,
    /// That violation's sequence breaks the finding's promise, too.
    BreaksInItsSequence,
}

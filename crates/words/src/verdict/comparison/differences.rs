//! What differs between two runs beside their results, and the figures that moved.
//!
//! Decides what is told before any result, and when two runs' operations a second may be held against each other.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::standings::judged;
use super::{FindingKind, FindingRow, Pair};
use crate::op::size;
use crate::verdict::record::{EndedBy, RunRecord, ScenarioRecord};

/// Seconds that both runs must have taken for operations a second to mean something.
const SHORTEST: f64 = 1.0;

/// What may differ beside the results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Aspect {
    /// What stands before the `@` of the target's name; the whole name in records of format 1.
    Target,
    /// Where it ran.
    Place,
    /// What stands after the `?`.
    Options,
    /// The allocator's own version.
    Allocator,
    /// The driver's.
    Driver,
    /// Devices, by name and size.
    Devices,
    /// A mistake that was planted on purpose.
    Planted,
    /// poolproof's own version.
    Poolproof,
    /// The format of the record.
    Format,
    /// What drawn sequences follow from.
    Seed,
    /// What narrowed the run.
    Selection,
    /// How it came to its end.
    Ended,
    /// The operating system.
    System,
    /// The processor and its cores.
    Processor,
}

/// Something that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Difference {
    /// What.
    pub aspect: Aspect,
    /// Before; absent where it is not known, or there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<String>,
    /// Now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<String>,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// Scenarios that came to a verdict.
    Scenarios,
    /// Promises with a verdict.
    Promises,
    /// Sequences that ran.
    Sequences,
    /// Operations that ran, those of the harness included.
    Operations,
    /// Operations that were not asked because what they needed was not there.
    Dropped,
    /// Pairs of values of a step's state that were reached.
    Pairs,
    /// Operations in a second of the whole run.
    OperationsPerSecond,
}

/// A figure that moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FigureRow {
    /// Of what.
    pub measure: Measure,
    /// Before.
    pub old: u64,
    /// Now.
    pub new: u64,
}

/// Why operations a second are not compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NoPace {
    /// One of the runs did not come to its end.
    CutShort,
    /// They ran on other machines, or it is not known.
    OtherMachine,
    /// They did not run the same scenarios.
    OtherScenarios,
    /// Their findings differ, and making sequences small takes time.
    OtherFindings,
    /// One took less than a second.
    TooShort,
}

/// Everything that differs, by aspect.
pub(super) fn all(pair: &Pair<'_>) -> Vec<Difference> {
    let (old, new) = (aspects(pair.old), aspects(pair.new));
    // A record of format 1 does not tell the parts of a target's name.
    let untold = pair.old.is_format_1() || pair.new.is_format_1();
    let is_told = |aspect: Aspect| !(untold && matches!(aspect, Aspect::Place | Aspect::Options));
    let rows = old.into_iter().zip(new).map(|((aspect, old), (_, new))| Difference { aspect, old, new });
    let mut rows: Vec<Difference> = rows.filter(|row| row.old != row.new && is_told(row.aspect)).collect();
    if untold && let Some(row) = rows.iter_mut().find(|row| row.aspect == Aspect::Target) {
        (row.old, row.new) = (Some(pair.old.target.name.clone()), Some(pair.new.target.name.clone()));
    }
    rows.retain(|row| row.old != row.new);
    rows
}

fn aspects(record: &RunRecord) -> Vec<(Aspect, Option<String>)> {
    let some = |text: &str| Some(text.to_owned()).filter(|t| !t.is_empty());
    let target = &record.target;
    let option = |o: &crate::verdict::record::TargetOption| match &o.value {
        Some(value) => format!("{}={value}", o.key),
        None => o.key.clone(),
    };
    let options: Vec<String> = target.options.iter().map(option).collect();
    let devices: Vec<String> =
        target.devices.iter().map(|d| format!("{} ({})", d.name, size::human(d.total_bytes))).collect();
    let stamp = &record.stamp;
    let processor = some(&stamp.cpu).map(|cpu| format!("{cpu}, {} cores", stamp.cores));
    let ended = match record.ended {
        EndedBy::Complete => "complete",
        EndedBy::TimeUp => "time-up",
        EndedBy::Interrupted => "interrupted",
        EndedBy::Killed => "killed",
        EndedBy::Hung => "hung",
    };
    vec![
        (Aspect::Target, some(&target.allocator)),
        (Aspect::Place, some(&target.place)),
        (Aspect::Options, some(&options.join(" & "))),
        (Aspect::Allocator, target.versions.allocator.clone()),
        (Aspect::Driver, target.versions.driver.clone()),
        (Aspect::Devices, some(&devices.join(", "))),
        (Aspect::Planted, target.planted.clone()),
        (Aspect::Poolproof, some(&record.version)),
        (Aspect::Format, some(&record.format)),
        (Aspect::Seed, Some(record.seed.to_string())),
        (Aspect::Selection, some(&record.selection.join(" "))),
        (Aspect::Ended, some(ended)),
        (Aspect::System, some(&stamp.os)),
        (Aspect::Processor, processor),
    ]
}

/// The figures that moved; operations a second only where they say something.
pub(super) fn figures(pair: &Pair<'_>, with_pace: bool) -> Vec<FigureRow> {
    let mut rows: Vec<FigureRow> = counted(pair.old)
        .into_iter()
        .zip(counted(pair.new))
        .filter_map(|((measure, old), (_, new))| Some(FigureRow { measure, old: old?, new: new? }))
        .collect();
    if with_pace {
        rows.push(FigureRow { measure: Measure::OperationsPerSecond, old: pace(pair.old), new: pace(pair.new) });
    }
    rows.retain(|row| row.old != row.new);
    rows
}

fn counted(record: &RunRecord) -> [(Measure, Option<u64>); 6] {
    let sum = |of: &dyn Fn(&ScenarioRecord) -> u64| Some(record.scenarios.iter().map(of).sum::<u64>());
    [
        (Measure::Scenarios, sum(&|s| u64::from(s.is_executed()))),
        (Measure::Promises, Some(judged(record))),
        (Measure::Sequences, sum(&|s| s.sequences)),
        (Measure::Operations, sum(&|s| s.operations)),
        (Measure::Dropped, sum(&|s| s.dropped)),
        (Measure::Pairs, record.states.as_ref().map(|states| states.in_pairs().reached)),
    ]
}

/// Operations in a second.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate of at most some millions, of a run of a second or more"
)]
fn pace(record: &RunRecord) -> u64 {
    let operations: u64 = record.scenarios.iter().map(|s| s.operations).sum();
    (operations as f64 / record.stamp.seconds.max(SHORTEST)).round() as u64
}

/// Why operations a second say nothing, if they do not.
pub(super) fn no_pace(pair: &Pair<'_>, findings: &[FindingRow]) -> Option<NoPace> {
    let (old, new) = (pair.old, pair.new);
    let machine = |r: &RunRecord| (r.stamp.os.clone(), r.stamp.cpu.clone(), r.stamp.cores);
    let ran = |r: &RunRecord| -> Vec<(String, u64)> {
        r.scenarios.iter().filter(|s| s.sequences > 0).map(|s| (s.id.clone(), s.sequences)).collect()
    };
    let stays = |row: &FindingRow| matches!(row.kind, FindingKind::Still | FindingKind::Changed);
    if old.ended != EndedBy::Complete || new.ended != EndedBy::Complete {
        Some(NoPace::CutShort)
    } else if machine(old) != machine(new) || old.stamp.cpu.is_empty() {
        Some(NoPace::OtherMachine)
    } else if ran(old) != ran(new) {
        Some(NoPace::OtherScenarios)
    } else if !findings.iter().all(stays) {
        Some(NoPace::OtherFindings)
    } else if old.stamp.seconds < SHORTEST || new.stamp.seconds < SHORTEST {
        Some(NoPace::TooShort)
    } else {
        None
    }
}

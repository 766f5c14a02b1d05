//! The runs of all releases as one matrix.
//!
//! Decides what a promise came to on a release, from its own run and from what sequences of the others showed there.

use super::Ran;
use super::across::{self, Sequence};
use super::changes::changes;
use crate::engine::{Stop, Watch};
use crate::requirement::{ALL, RequirementId};
use crate::verdict::Outcome;
use crate::verdict::record::{EndedBy, RunRecord, RunStamp, ScenarioRecord};
use crate::verdict::releases::{
    Agreed, Answer, Cell, FindingOf, PromiseRow, ReleaseMatrix, ReleaseRow, SequenceRow, Standing,
};

/// What a matrix is to say of itself beside its runs.
#[derive(Debug, Clone, Default)]
pub struct Meant {
    /// Releases that were meant and are not set up, or have no run.
    pub left_out: Vec<String>,
    /// Some were not run, as somebody asked to stop.
    pub is_cut: bool,
    /// The settings of all.
    pub config: Option<String>,
    /// Whether policies were compared.
    pub exact: bool,
    /// The command line.
    pub command: String,
}

/// Asks every release the sequences of every finding, on so many threads, and puts it all together.
#[must_use]
pub fn compare(runs: &[Ran], meant: Meant, jobs: usize, stop: &Stop, watch: &dyn Watch) -> ReleaseMatrix {
    let mut sequences = across::sequences(runs);
    across::ask_all(runs, &mut sequences, jobs, stop, watch);
    merged(runs, sequences.into_iter().map(|Sequence { row, .. }| row).collect(), meant)
}

/// The matrix of these runs and these answers.
pub(super) fn merged(runs: &[Ran], sequences: Vec<SequenceRow>, meant: Meant) -> ReleaseMatrix {
    let is_unasked = sequences.iter().flat_map(|s| &s.answers).any(|answer| *answer == Answer::NotAsked);
    let ends = runs.iter().map(|ran| ran.record.ended);
    let stopped = meant.is_cut || is_unasked;
    let ended = if stopped { EndedBy::Interrupted } else { ends.max_by_key(|end| weight(*end)).unwrap_or_default() };
    let (rows, agreed) = rows(runs, &sequences);
    let first = runs.first().map(|ran| &ran.record);
    let stamp = RunStamp {
        seconds: runs.iter().map(|ran| ran.record.stamp.seconds).sum(),
        command: meant.command,
        ..first.map(|record| record.stamp.clone()).unwrap_or_default()
    };
    ReleaseMatrix {
        format: ReleaseMatrix::FORMAT.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        seed: first.map_or(0, |record| record.seed),
        selection: first.map(|record| record.selection.clone()).unwrap_or_default(),
        config: meant.config,
        exact: meant.exact,
        ended,
        left_out: meant.left_out,
        releases: runs.iter().map(release).collect(),
        changes: changes(&rows, &sequences),
        rows,
        agreed,
        sequences,
        stamp,
    }
}

/// The end that needs attention most comes last.
fn weight(ended: EndedBy) -> u8 {
    match ended {
        EndedBy::Complete => 0,
        EndedBy::TimeUp => 1,
        EndedBy::Interrupted => 2,
        EndedBy::Killed => 3,
        EndedBy::Hung => 4,
    }
}

fn release(ran: &Ran) -> ReleaseRow {
    let record = &ran.record;
    let count = |is: &dyn Fn(&ScenarioRecord) -> bool| record.scenarios.iter().filter(|s| is(s)).count() as u64;
    ReleaseRow {
        version: ran.release.clone(),
        target: ran.target.to_string(),
        build: record.target.versions.allocator.clone(),
        folder: ran.folder(),
        ended: record.ended,
        executed: count(&ScenarioRecord::is_executed),
        unreached: count(&is_unreached),
        not_applicable: count(&|s| s.outcome == Outcome::NotApplicable),
        unfinished: count(&|s| s.unfinished),
        sequences: record.scenarios.iter().map(|s| s.sequences).sum(),
        operations: record.scenarios.iter().map(|s| s.operations).sum(),
        findings: record.findings.len() as u64,
    }
}

fn is_unreached(scenario: &ScenarioRecord) -> bool {
    use Outcome::{Blocked, Broken, Inconclusive, Skipped};
    matches!(scenario.outcome, Blocked | Broken | Inconclusive | Skipped)
}

/// The promises that stand apart, in the order of the registry, and how many stand the same everywhere.
fn rows(runs: &[Ran], sequences: &[SequenceRow]) -> (Vec<PromiseRow>, Agreed) {
    let (mut rows, mut agreed) = (Vec::new(), Agreed::default());
    for requirement in ALL.iter().map(|r| r.id) {
        let cells: Vec<Option<Cell>> =
            runs.iter().enumerate().map(|(i, ran)| cell(requirement, i, ran, sequences)).collect();
        let Some(first) = cells.iter().flatten().next().map(|cell| cell.standing) else { continue };
        // One plan for all: what nobody selected has no cell anywhere.
        let none = || Cell { standing: Standing::NotReached, found: Vec::new(), shown: Vec::new() };
        let cells: Vec<Cell> = cells.into_iter().map(|cell| cell.unwrap_or_else(none)).collect();
        let is_same = cells.iter().all(|cell| cell.standing == first);
        match first {
            Standing::Pass if is_same => agreed.pass += 1,
            Standing::NotReached if is_same => agreed.not_reached += 1,
            Standing::NotApplicable if is_same => agreed.not_applicable += 1,
            _ => rows.push(PromiseRow { requirement, cells }),
        }
    }
    (rows, agreed)
}

/// What a promise came to on a release; `None` where nobody asked.
fn cell(requirement: RequirementId, i: usize, ran: &Ran, sequences: &[SequenceRow]) -> Option<Cell> {
    let record = &ran.record;
    let cites = record.findings.iter().filter(|f| f.requirements().contains(&requirement));
    let mut found: Vec<String> = cites.map(|f| f.id.clone()).collect();
    let breaks = |s: &&SequenceRow| s.answers.get(i).is_some_and(|a| a.breach_of(requirement).is_some());
    for own in sequences.iter().filter(breaks).flat_map(|s| &s.of).filter(|of| of.release == ran.release) {
        if !found.contains(&own.finding) {
            found.push(own.finding.clone());
        }
    }
    let is_own = |s: &SequenceRow| s.of.iter().any(|of| of.release == ran.release);
    let mut shown: Vec<FindingOf> = Vec::new();
    for of in sequences.iter().filter(|s| breaks(s) && !is_own(s)).filter_map(|s| s.of.first()) {
        if !found.contains(&of.finding) && shown.iter().all(|s| s.finding != of.finding) {
            shown.push(of.clone());
        }
    }
    let is_broken = !(found.is_empty() && shown.is_empty());
    let standing = if is_broken { Standing::Fail } else { standing(record, requirement)? };
    Some(Cell { standing, found, shown })
}

/// What a run says of a promise that it found nobody to break.
fn standing(record: &RunRecord, requirement: RequirementId) -> Option<Standing> {
    let about = || record.scenarios.iter().filter(|s| s.requirement == requirement);
    if about().any(|s| s.is_executed() && matches!(s.outcome, Outcome::Pass | Outcome::UnexpectedPass)) {
        return Some(Standing::Pass);
    }
    // It ran, and what it found is another promise's.
    let is_open = |s: &ScenarioRecord| is_unreached(s) || s.is_executed();
    if about().any(is_open) {
        return Some(Standing::NotReached);
    }
    about().any(|s| s.outcome == Outcome::NotApplicable).then_some(Standing::NotApplicable)
}

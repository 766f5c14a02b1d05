//! The kill matrix: the plan against every planted defect and every legal variation.
//!
//! Decides in which order scenarios are tried on a defect and when a hunt ends. What a scenario is run like
//! is `case`'s: a hunt asks exactly what `poolproof run` asks, one scenario after the other.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use crate::op::Text;
use crate::reference::{Defect, Variation};
use crate::target::TargetName;
use crate::verdict::Outcome;
use crate::verdict::matrix::{Alarm, DefectRow, Kill, KillMatrix, RowStamp, VariationRow};
use crate::verdict::record::{EndedBy, RunStamp};

use super::case::Case;
use super::locks::lock;
use super::opener::Named;
use super::plan::{Plan, Planned};
use super::stamp::{Clock, run_stamp};
use super::stop::{Budget, Stop, Watch};
use super::tally::Tally;
use super::{EngineError, outcome, threads};

/// How often whoever watches is told what has been hunted so far.
const TELL_EVERY: Duration = Duration::from_secs(3);

/// What to hunt and how.
#[derive(Debug, Clone)]
pub struct MatrixOptions {
    /// The target that takes `defect=` and `variation=`.
    pub base: TargetName,
    /// Which scenarios.
    pub plan: Plan,
    /// What every drawn sequence follows from.
    pub seed: u64,
    /// Seeds for each variation, from `seed` on.
    pub seeds: u64,
    /// Whether a departure from PyTorch's policy counts as a kill, too.
    pub exact: bool,
    /// Sequences of each generated scenario, instead of its own number.
    pub cases: Option<u32>,
    /// Threads; at least one is used.
    pub jobs: usize,
    /// For each defect: keep drawing fresh sequences so long if nothing fails.
    pub time: Duration,
    /// Try every scenario on a defect, and count those that fail.
    pub full: bool,
    /// Ends the hunts early, with the rows that are whole.
    pub stop: Stop,
    /// The command line, for the stamp.
    pub command: String,
}

/// What a hunt tells whoever watches it. Called from several threads.
pub trait MatrixProgress: Watch {
    /// So many defects and variations will be tried.
    fn begin(&self, _rows: usize) {}
    /// A defect was hunted.
    fn hunted(&self, _row: &DefectRow) {}
    /// A variation was tried.
    fn varied(&self, _row: &VariationRow) {}
    /// Asks from time to time for the rows that are whole; made by nobody if not here.
    fn so_far(&self, _matrix: &dyn Fn() -> KillMatrix) {}
}

impl MatrixProgress for super::Silent {}

/// Hunts every defect and tries every variation.
///
/// # Errors
/// A base target that takes neither option.
pub fn kill_matrix(options: &MatrixOptions, progress: &dyn MatrixProgress) -> Result<KillMatrix, EngineError> {
    let options = &MatrixOptions { plan: options.plan.telling(&options.base), ..options.clone() };
    let clock = Clock::start();
    let stamp = run_stamp(&options.command);
    let matrix = |ended: EndedBy, defects: Vec<DefectRow>, variations: Vec<VariationRow>| KillMatrix {
        format: KillMatrix::FORMAT.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        base: options.base.to_string(),
        seed: options.seed,
        selection: selection(options),
        ended,
        scenarios: options.plan.entries.iter().filter(|e| e.left_out.is_none()).count() as u64,
        untried_defects: (Defect::ALL.len() - defects.len()) as u64,
        untried_variations: (Variation::ALL.len() - variations.len()) as u64,
        defects,
        variations,
        stamp: RunStamp { seconds: clock.seconds(), ..stamp.clone() },
    };
    progress.begin(Defect::ALL.len() + Variation::ALL.len());
    progress.so_far(&|| matrix(EndedBy::Killed, Vec::new(), Vec::new()));
    let defects = hunt_each(options, &|_| None, progress, &|rows| {
        progress.so_far(&|| matrix(EndedBy::Killed, cloned(rows), Vec::new()));
    })?;
    let variations = vary_each(options, progress, &|rows| {
        progress.so_far(&|| matrix(EndedBy::Killed, defects.clone(), cloned(rows)));
    })?;
    let ended = if options.stop.is_asked() { EndedBy::Interrupted } else { EndedBy::Complete };
    Ok(matrix(ended, defects, variations))
}

/// The rows that are whole, in their order.
fn cloned<R: Clone>(rows: &[Option<R>]) -> Vec<R> {
    rows.iter().flatten().cloned().collect()
}

/// Hunts every defect, each with the scenario that `first` names before all others.
///
/// # Errors
/// As `hunt`.
pub fn hunt_all(
    options: &MatrixOptions,
    first: &(dyn Fn(Defect) -> Option<String> + Sync),
    progress: &dyn MatrixProgress,
) -> Result<Vec<DefectRow>, EngineError> {
    hunt_each(options, first, progress, &|_| {})
}

fn hunt_each(
    options: &MatrixOptions,
    first: &(dyn Fn(Defect) -> Option<String> + Sync),
    progress: &dyn MatrixProgress,
    so_far: &(dyn Fn(&[Option<DefectRow>]) + Sync),
) -> Result<Vec<DefectRow>, EngineError> {
    let work = |&defect: &Defect| {
        let row = hunt(options, defect, first(defect).as_deref(), progress)?;
        row.iter().for_each(|row| progress.hunted(row));
        Ok(row)
    };
    in_parallel(options.jobs, Defect::ALL, work, so_far)
}

/// Tries every variation.
///
/// # Errors
/// As `vary`.
pub fn vary_all(options: &MatrixOptions, progress: &dyn MatrixProgress) -> Result<Vec<VariationRow>, EngineError> {
    vary_each(options, progress, &|_| {})
}

fn vary_each(
    options: &MatrixOptions,
    progress: &dyn MatrixProgress,
    so_far: &(dyn Fn(&[Option<VariationRow>]) + Sync),
) -> Result<Vec<VariationRow>, EngineError> {
    let work = |&variation: &Variation| {
        let row = vary(options, variation, progress)?;
        row.iter().for_each(|row| progress.varied(row));
        Ok(row)
    };
    in_parallel(options.jobs, Variation::ALL, work, so_far)
}

fn selection(options: &MatrixOptions) -> Vec<String> {
    let mut all = options.plan.selection.clone();
    all.extend(options.exact.then(|| "--exact".to_owned()));
    all.extend(options.cases.map(|n| format!("--cases {n}")));
    all
}

/// Each item once, on as many threads as there are jobs; results in the order of the items, less those that were
/// interrupted. `so_far` is told of what there is from time to time.
pub(super) fn in_parallel<T: Sync, R: Send>(
    jobs: usize,
    items: &[T],
    work: impl Fn(&T) -> Result<Option<R>, EngineError> + Sync,
    so_far: &(dyn Fn(&[Option<R>]) + Sync),
) -> Result<Vec<R>, EngineError> {
    let results: Mutex<(Vec<Option<R>>, Clock)> = Mutex::new((items.iter().map(|_| None).collect(), Clock::start()));
    threads::each(
        jobs,
        items,
        || (),
        |nth, item| {
            let answer = work(item)?;
            let mut results = lock(&results);
            results.0[nth] = answer;
            if results.1.is_past(Some(TELL_EVERY)) {
                so_far(&results.0);
                results.1 = Clock::start();
            }
            Ok::<(), EngineError>(())
        },
    )?;
    let rows = std::mem::take(&mut lock(&results).0);
    Ok(rows.into_iter().flatten().collect())
}

/// The base target with one more option.
pub(super) fn with_option(base: &TargetName, key: &str, value: &str) -> TargetName {
    let mut name = base.clone();
    name.options.push((key.to_owned(), Some(value.to_owned())));
    name
}

/// Tries the plan on one defect, the scenario `first` before all others, until something fails; `None` if it was
/// interrupted.
///
/// # Errors
/// A base target that takes no defect.
pub fn hunt(
    options: &MatrixOptions,
    defect: Defect,
    first: Option<&str>,
    watch: &dyn Watch,
) -> Result<Option<DefectRow>, EngineError> {
    let clock = Clock::start();
    let name = with_option(&options.base, "defect", defect.name());
    let target = name.to_string();
    let open = Named(&name);
    let mut chosen: Vec<&Planned> = options.plan.entries.iter().filter(|e| e.left_out.is_none()).collect();
    chosen.sort_by_key(|e| Some(e.scenario.id.as_str()) != first); // stable: the others keep the plan's order
    let budget = Budget::new(None, &options.stop, watch);
    let mut tallies: Vec<Tally> = chosen.iter().map(|_| Tally::default()).collect();
    let (mut operations, mut kill, mut failing) = (0, None, 0);
    let mut round = 0;
    while kill.is_none() && (round == 0 || !clock.is_past(Some(options.time))) {
        let mut tried = false;
        for (entry, tally) in chosen.iter().zip(&mut tallies) {
            let scenario = &entry.scenario;
            let (seed, cases) = (options.seed, options.cases);
            let case = Case {
                scenario,
                open: &open,
                target: &target,
                seed,
                cases,
                stored: None,
                swarm: false,
                exact: options.exact,
                running: None,
            };
            if round > 0 && !case.can_go_on(tally) {
                continue;
            }
            tried = true;
            let before = tally.operations;
            case.pass(tally, round, &budget)?;
            if budget.is_stopped() {
                return Ok(None);
            }
            operations += tally.operations - before;
            if let Some(caught) = tally.caught.as_ref().or(tally.departed.as_ref()) {
                failing += 1;
                kill.get_or_insert_with(|| Kill {
                    requirement: caught.requirement,
                    oracle: caught.violation.oracle,
                    scenario: entry.scenario.id.clone(),
                    message: caught.violation.message.clone(),
                    operations,
                    original_steps: caught.original_steps,
                    minimal_steps: caught.reproducer.steps.len() as u64,
                });
                if !options.full {
                    break;
                }
            }
        }
        if !tried {
            break;
        }
        round += 1;
    }
    Ok(Some(DefectRow {
        name: defect.name().to_owned(),
        copies: defect.copies().to_owned(),
        what: defect.what().to_owned(),
        kill,
        failing: options.full.then_some(failing),
        stamp: RowStamp { seconds: clock.seconds() },
    }))
}

/// Tries the whole plan on one variation, once for each seed; `None` if it was interrupted.
///
/// # Errors
/// A base target that takes no variation.
pub fn vary(
    options: &MatrixOptions,
    variation: Variation,
    watch: &dyn Watch,
) -> Result<Option<VariationRow>, EngineError> {
    let clock = Clock::start();
    let name = with_option(&options.base, "variation", variation.name());
    let target = name.to_string();
    let open = Named(&name);
    let budget = Budget::new(None, &options.stop, watch);
    let mut row = VariationRow {
        name: variation.name().to_owned(),
        what: variation.what().to_owned(),
        seeds: options.seeds.max(1),
        passed: 0,
        not_applicable: 0,
        inconclusive: 0,
        operations: 0,
        alarms: Vec::new(),
        stamp: RowStamp::default(),
    };
    let mut said = BTreeSet::new();
    for seed in (0..row.seeds).map(|number| options.seed.wrapping_add(number)) {
        for entry in options.plan.entries.iter().filter(|e| e.left_out.is_none()) {
            let scenario = &entry.scenario;
            let case = Case {
                scenario,
                open: &open,
                target: &target,
                seed,
                cases: options.cases,
                stored: None,
                swarm: false,
                exact: false,
                running: None,
            };
            let mut tally = Tally::default();
            case.pass(&mut tally, 0, &budget)?;
            if budget.is_stopped() {
                return Ok(None);
            }
            row.operations += tally.operations;
            let record = outcome::record(scenario, &tally, EndedBy::Complete);
            if seed == options.seed {
                match record.outcome {
                    Outcome::Pass => row.passed += 1,
                    Outcome::NotApplicable => row.not_applicable += 1,
                    _ => row.inconclusive += 1,
                }
            }
            let caught = outcome::findings(&tally).next();
            if (caught.is_some() || tally.crash.is_some()) && said.insert(scenario.id.clone()) {
                row.alarms.push(Alarm {
                    seed,
                    scenario: scenario.id.clone(),
                    requirement: caught.map_or(scenario.requirement, |c| c.requirement),
                    oracle: caught.map(|c| c.violation.oracle),
                    message: record.reason.unwrap_or_else(|| Text::new("", "")),
                });
            }
        }
    }
    row.stamp.seconds = clock.seconds();
    Ok(Some(row))
}

//! The kill matrix: the plan against every planted defect and every legal variation.
//!
//! Decides in which order scenarios are tried on a defect and when a hunt ends. What a scenario is run like
//! is `case`'s: a hunt asks exactly what `poolproof run` asks, one scenario after the other.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::op::{Setup, Text};
use crate::reference::{Defect, Variation};
use crate::target::{self, TargetName};
use crate::verdict::Outcome;
use crate::verdict::matrix::{Alarm, DefectRow, Kill, KillMatrix, RowStamp, VariationRow};

use super::case::{Budget, Case, Tally};
use super::plan::{Plan, Planned};
use super::stamp::{Clock, run_stamp};
use super::{EngineError, outcome};

/// What to hunt and how.
#[derive(Debug, Clone)]
pub struct MatrixOptions {
    /// The target that takes `defect=` and `variation=`.
    pub base: TargetName,
    pub plan: Plan,
    pub seed: u64,
    /// Seeds for each variation, from `seed` on.
    pub seeds: u64,
    /// Sequences of each generated scenario, instead of its own number.
    pub cases: Option<u32>,
    /// Threads; at least one is used.
    pub jobs: usize,
    /// For each defect: keep drawing fresh sequences so long if nothing fails.
    pub time: Duration,
    /// Try every scenario on a defect, and count those that fail.
    pub full: bool,
    /// The command line, for the stamp.
    pub command: String,
}

/// What a hunt tells whoever watches it. Called from several threads.
pub trait MatrixProgress: Sync {
    fn begin(&self, _rows: usize) {}
    fn hunted(&self, _row: &DefectRow) {}
    fn varied(&self, _row: &VariationRow) {}
}

impl MatrixProgress for super::Silent {}

/// Hunts every defect and tries every variation.
///
/// # Errors
/// A base target that takes neither option.
pub fn kill_matrix(options: &MatrixOptions, progress: &dyn MatrixProgress) -> Result<KillMatrix, EngineError> {
    let clock = Clock::start();
    let mut stamp = run_stamp(&options.command);
    progress.begin(Defect::ALL.len() + Variation::ALL.len());
    let defects = hunt_all(options, &|_| None, progress)?;
    let variations = vary_all(options, progress)?;
    stamp.seconds = clock.seconds();
    Ok(KillMatrix {
        format: KillMatrix::FORMAT.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        base: options.base.to_string(),
        seed: options.seed,
        selection: selection(options),
        scenarios: options.plan.entries.iter().filter(|e| e.left_out.is_none()).count() as u64,
        defects,
        variations,
        stamp,
    })
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
    in_parallel(options.jobs, Defect::ALL, |&defect| {
        let row = hunt(options, defect, first(defect).as_deref())?;
        progress.hunted(&row);
        Ok(row)
    })
}

/// Tries every variation.
///
/// # Errors
/// As `vary`.
pub fn vary_all(options: &MatrixOptions, progress: &dyn MatrixProgress) -> Result<Vec<VariationRow>, EngineError> {
    in_parallel(options.jobs, Variation::ALL, |&variation| {
        let row = vary(options, variation)?;
        progress.varied(&row);
        Ok(row)
    })
}

fn selection(options: &MatrixOptions) -> Vec<String> {
    let mut all = options.plan.selection.clone();
    all.extend(options.cases.map(|n| format!("--cases {n}")));
    all
}

/// Each item once, on as many threads as there are jobs; results in the order of the items.
pub(super) fn in_parallel<T: Sync, R: Send>(
    jobs: usize,
    items: &[T],
    work: impl Fn(&T) -> Result<R, EngineError> + Sync,
) -> Result<Vec<R>, EngineError> {
    let next = AtomicUsize::new(0);
    let results: Vec<Mutex<Option<Result<R, EngineError>>>> = items.iter().map(|_| Mutex::default()).collect();
    let turn = || {
        while let Some((item, result)) = next_of(&next, items).and_then(|i| Some((items.get(i)?, results.get(i)?))) {
            let answer = work(item);
            if answer.is_err() {
                next.store(items.len(), Ordering::Relaxed);
            }
            *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..jobs.clamp(1, items.len().max(1)) {
            scope.spawn(turn);
        }
        turn();
    });
    // One without a result comes after one that failed.
    results.into_iter().filter_map(|r| r.into_inner().unwrap_or_else(PoisonError::into_inner)).collect()
}

fn next_of<T>(next: &AtomicUsize, items: &[T]) -> Option<usize> {
    Some(next.fetch_add(1, Ordering::Relaxed)).filter(|&i| i < items.len())
}

/// The base target with one more option.
pub(super) fn with_option(base: &TargetName, key: &str, value: &str) -> TargetName {
    let mut name = base.clone();
    name.options.push((key.to_owned(), Some(value.to_owned())));
    name
}

/// Tries the plan on one defect, the scenario `first` before all others, until something fails.
///
/// # Errors
/// A base target that takes no defect.
pub fn hunt(options: &MatrixOptions, defect: Defect, first: Option<&str>) -> Result<DefectRow, EngineError> {
    let clock = Clock::start();
    let name = with_option(&options.base, "defect", defect.name());
    let target = name.to_string();
    let open = |setup: &Setup| target::open(&name, setup);
    let mut chosen: Vec<&Planned> = options.plan.entries.iter().filter(|e| e.left_out.is_none()).collect();
    chosen.sort_by_key(|e| Some(e.scenario.id.as_str()) != first); // stable: the others keep the plan's order
    let budget = Budget { clock, limit: None };
    let mut tallies: Vec<Tally> = chosen.iter().map(|_| Tally::default()).collect();
    let (mut operations, mut kill, mut failing) = (0, None, 0);
    let mut round = 0;
    while kill.is_none() && (round == 0 || !clock.is_past(Some(options.time))) {
        let mut tried = false;
        for (entry, tally) in chosen.iter().zip(&mut tallies) {
            let scenario = &entry.scenario;
            let (seed, cases) = (options.seed, options.cases);
            let case =
                Case { scenario, open: &open, target: &target, seed, cases, stored: None, swarm: false, running: None };
            if round > 0 && !case.can_go_on(tally) {
                continue;
            }
            tried = true;
            let before = tally.operations;
            case.pass(tally, round, &budget)?;
            operations += tally.operations - before;
            if let Some(caught) = &tally.caught {
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
    Ok(DefectRow {
        name: defect.name().to_owned(),
        copies: defect.copies().to_owned(),
        what: defect.what().to_owned(),
        kill,
        failing: options.full.then_some(failing),
        stamp: RowStamp { seconds: clock.seconds() },
    })
}

/// Tries the whole plan on one variation, once for each seed.
///
/// # Errors
/// A base target that takes no variation.
pub fn vary(options: &MatrixOptions, variation: Variation) -> Result<VariationRow, EngineError> {
    let clock = Clock::start();
    let name = with_option(&options.base, "variation", variation.name());
    let target = name.to_string();
    let open = |setup: &Setup| target::open(&name, setup);
    let budget = Budget { clock, limit: None };
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
                running: None,
            };
            let mut tally = Tally::default();
            case.pass(&mut tally, 0, &budget)?;
            row.operations += tally.operations;
            let record = outcome::record(scenario, &tally);
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
    Ok(row)
}

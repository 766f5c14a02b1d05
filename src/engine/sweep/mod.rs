//! The fault sweep: the sequences of a run once more, with each of their device calls failing in turn.
//!
//! Decides which sequences are swept on which settings of the target, which of what failed is reported, and
//! the order of all that. Which faults are tried on a sequence is `trial`'s, single files are `file`'s.

mod file;
mod recorded;
#[cfg(test)]
mod tests;
mod trial;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::op::{Capability, DeviceCall, OracleName, Setup};
use crate::requirement::RequirementId;
use crate::spec::{Body, Scenario};
use crate::target::{self, TargetError, TargetName};
use crate::verdict::sweep::{SweepRecord, SweepStamp, SweptCall};
use crate::workload;

use super::Progress;
use super::attempt::{Opener, inspect};
use super::case::{self, Budget, Case, Tally};
use super::failure;
use super::run::{RunOptions, lock};
use super::stamp::Clock;
use trial::{Failure, Found, Subject, Tried};

pub use file::{SweptFile, sweep_file};

/// How much is swept beside every explicit sequence and every single fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SweepPlan {
    /// The first so many sequences of each generated scenario.
    pub generated: u32,
    /// Pairs of faults, drawn for each sequence.
    pub pairs: u32,
}

impl Default for SweepPlan {
    fn default() -> Self {
        SweepPlan { generated: 2, pairs: 24 }
    }
}

/// The target, or a sibling of it under other settings.
struct Variant<'a> {
    name: String,
    open: Box<Opener<'a>>,
}

impl<'a> Variant<'a> {
    /// The target as given, then its siblings.
    fn all(target: &TargetName, open: &'a Opener<'a>) -> Vec<Self> {
        let mut all = vec![Variant { name: target.to_string(), open: Box::new(move |setup: &Setup| open(setup)) }];
        for sibling in target::siblings(target) {
            let name = sibling.to_string();
            all.push(Variant { name, open: Box::new(move |setup: &Setup| target::open(&sibling, setup)) });
        }
        all
    }

    fn case<'s>(&'s self, scenario: &'s Scenario) -> Case<'s> {
        Case {
            scenario,
            open: &*self.open,
            target: &self.name,
            seed: 0,
            cases: None,
            stored: None,
            swarm: false,
            running: None,
        }
    }
}

/// Sweeps what a run chose, if its plan asks for it; what is found goes to the tallies.
pub(super) fn sweep(
    options: &RunOptions,
    cases: &[Case<'_>],
    tallies: &[Mutex<Tally>],
    budget: &Budget,
    progress: &dyn Progress,
) -> Result<Option<SweepRecord>, TargetError> {
    let (Some(plan), Some(first)) = (options.plan.faults, cases.first()) else { return Ok(None) };
    let clock = Clock::start();
    let variants = Variant::all(&options.target, first.open);
    let scenarios: Vec<Scenario> = cases.iter().map(|c| with_faults(c.scenario)).collect();
    let is_clean = |i: usize| {
        let tally = lock(&tallies[i]);
        options.plan.entries[i].left_out.is_none()
            && tally.crash.is_none()
            && super::outcome::findings(&tally).next().is_none()
    };
    let clean: Vec<usize> = (0..cases.len()).filter(|&i| is_clean(i)).collect();
    let mut swept: Vec<Case<'_>> = Vec::new();
    for variant in &variants {
        for &i in &clean {
            let scenario = &scenarios[i];
            // A target that panics before it can say what it is has been reported by the plain run.
            if case::lacks(&*variant.open, scenario)?.is_some_and(|lacks| lacks.is_empty()) {
                let Case { seed, cases, stored, .. } = cases[i];
                swept.push(Case { seed, cases, stored, ..variant.case(scenario) });
            }
        }
    }
    let mut subjects: Vec<Subject<'_>> =
        swept.iter().map(|case| subjects(&plan, case)).collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
    subjects.iter_mut().for_each(|s| s.as_given = s.case.target == variants[0].name);
    progress.begin_sweep(subjects.len());
    let tried = try_all(options.jobs.max(1), &subjects, plan.pairs, budget, progress)?;
    let kept = keep(&subjects, &tried);
    for (nth, failure) in kept {
        let subject = &subjects[nth];
        let Some(i) = cases.iter().position(|c| c.scenario.id == subject.case.scenario.id) else { continue };
        let mut tally = lock(&tallies[i]);
        match &failure.found {
            Found::Panicked(panicked) => {
                let crash = failure::keep_crash(subject.case, &subject.setup, &failure.steps, panicked.clone());
                tally.crash.get_or_insert(crash);
            }
            Found::Convicted(conviction) => tally.swept.push(subject.pin_down(&failure.steps, conviction)),
        }
    }
    let mut record = record_of(&tried);
    record.targets = variants.into_iter().map(|v| v.name).collect();
    record.stamp = SweepStamp { seconds: clock.seconds() };
    Ok(Some(record))
}

/// The scenario as it is swept: by whoever judges without its author's expectations, and to the very end.
fn with_faults(scenario: &Scenario) -> Scenario {
    let mut scenario = scenario.clone();
    scenario.oracles.remove(&OracleName::Expectation);
    scenario.requires.insert(Capability::Faults);
    scenario.epilogue = true;
    scenario
}

/// The sequences of a scenario that are swept: all explicit ones, the first of the generated ones, and the one
/// that failed once.
///
/// # Errors
/// What the target says where it cannot be built.
fn subjects<'a>(plan: &SweepPlan, case: &'a Case<'a>) -> Result<Vec<Subject<'a>>, TargetError> {
    let scenario = case.scenario;
    let mut all = Vec::new();
    let id = scenario.id.bytes().fold(case.seed, |h, b| workload::scatter(h ^ u64::from(b)));
    let seed = |nth: usize| workload::scatter(id.wrapping_add(nth as u64));
    match &scenario.body {
        Body::Steps(variants) => {
            for variant in variants {
                for world in 0..case::worlds(scenario) {
                    let setup = workload::world(scenario, world);
                    // Faults change what is owed; what parts of a device come to does not depend on them.
                    let Ok((info, _)) = inspect(case.open, &setup)? else { continue };
                    let Ok(steps) = workload::steps_on(variant, &info) else { continue };
                    all.push(Subject::new(case, &variant.label, setup, &steps, seed(all.len())));
                }
            }
        }
        Body::Generate(generate) => {
            let number = case.cases.unwrap_or(generate.sequences).min(plan.generated);
            for index in 0..number {
                let setup = workload::world(scenario, index);
                let steps = workload::sequence(scenario, generate, &setup, case.seed, index);
                all.push(Subject::new(case, "", setup, &steps, seed(all.len())));
            }
        }
    }
    if let Some(stored) = case.stored {
        all.push(Subject::new(case, "", stored.setup.clone(), &stored.steps, seed(all.len())));
    }
    Ok(all)
}

/// Every subject once, on as many threads as there are jobs. They share nothing.
fn try_all(
    jobs: usize,
    subjects: &[Subject<'_>],
    pairs: u32,
    budget: &Budget,
    progress: &dyn Progress,
) -> Result<Vec<Tried>, TargetError> {
    let next = AtomicUsize::new(0);
    let results: Vec<Mutex<Option<Result<Tried, TargetError>>>> = subjects.iter().map(|_| Mutex::default()).collect();
    let work = || {
        while let Some(nth) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|&n| n < subjects.len()) {
            *lock(&results[nth]) = Some(trial::sweep(&subjects[nth], pairs, budget));
            progress.swept();
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..jobs.min(subjects.len()) {
            scope.spawn(work);
        }
        work();
    });
    let result = |cell: Mutex<Option<_>>| cell.into_inner().unwrap_or_default().unwrap_or_else(|| Ok(Tried::default()));
    results.into_iter().map(result).collect()
}

/// The promise that was broken, and who convicted.
type Guilt = (RequirementId, OracleName);

/// Of each kind of failure, by promise, judge and failed call, the first of the run. A mistake in an error path
/// shows in most sequences, and one of them tells all.
fn keep<'t>(subjects: &[Subject<'_>], tried: &'t [Tried]) -> Vec<(usize, &'t Failure)> {
    let mut known: BTreeSet<(Option<Guilt>, Option<DeviceCall>)> = BTreeSet::new();
    let mut kept = Vec::new();
    for (nth, failure) in tried.iter().enumerate().filter_map(|(i, t)| Some((i, t.failure.as_ref()?))) {
        // What fails on a sibling without any fault is for a run on that sibling to report.
        if failure.call.is_none() && !subjects[nth].as_given {
            continue;
        }
        let guilt = match &failure.found {
            Found::Convicted(conviction) => {
                let first = &conviction.violations[0]; // never empty
                Some((first.requirement.unwrap_or(subjects[nth].case.scenario.requirement), first.oracle))
            }
            Found::Panicked(_) => None,
        };
        if known.insert((guilt, failure.call)) {
            kept.push((nth, failure));
        }
    }
    kept
}

/// The figures of all sequences together.
fn record_of(tried: &[Tried]) -> SweepRecord {
    let count = |is: fn(&Tried) -> bool| tried.iter().filter(|t| is(t)).count() as u64;
    let fails_alone = |t: &Tried| t.failure.as_ref().is_some_and(|f| f.call.is_none());
    let call = |call: DeviceCall| {
        let sum = |of: fn(&trial::Count) -> u64| tried.iter().map(|t| of(&t.counts[call as usize])).sum();
        SweptCall {
            call,
            seen: sum(|c| c.seen),
            failed: sum(|c| c.failed),
            errors: if sum(|c| c.failed) > 0 { call.documented_errors().to_vec() } else { Vec::new() },
            singles: sum(|c| c.singles),
            pairs: sum(|c| c.pairs),
            states: sum(|c| c.states),
        }
    };
    SweepRecord {
        targets: Vec::new(),
        sequences: count(|t| t.runs > 1),
        cut_short: count(|t| t.cut_short),
        failing: count(fails_alone),
        convicted: count(|t| t.failure.as_ref().is_some_and(|f| f.call.is_some())),
        runs: tried.iter().map(|t| t.runs).sum(),
        operations: tried.iter().map(|t| t.operations).sum(),
        calls: DeviceCall::ALL.map(call).into(),
        stamp: SweepStamp::default(),
    }
}

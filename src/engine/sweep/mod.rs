//! The fault sweep: the sequences of a run once more, with each of their device calls failing in turn.
//!
//! Decides which sequences are swept on which settings of the target, which of what failed is reported, and
//! the order of all that. Which faults are tried on a sequence is `trial`'s, single files are `file`'s.

mod file;
mod recorded;
#[cfg(test)]
mod tests;
mod trial;

use std::sync::Mutex;

use crate::op::{Capability, DeviceCall, OracleName};
use crate::requirement::RequirementId;
use crate::spec::{Body, Generate, OpKind, Scenario};
use crate::target::{self, TargetError, TargetName};
use crate::verdict::sweep::{SweepRecord, SweepStamp, SweptCall};
use crate::workload::{self, Offers};

use super::Progress;
use super::case::{self, Case};
use super::caught::Caught;
use super::locks::Once;
use super::locks::lock;
use super::opener::{Named, Opener, Same, inspect};
use super::options::RunOptions;
use super::requires;
use super::stamp::Clock;
use super::stop::{Budget, Patience};
use super::tally::Tally;
use super::threads;
use trial::{Failure, Found, Subject, Tried};

pub use file::sweep_file;

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
struct SweptTarget<'a> {
    name: String,
    open: Box<Opener<'a>>,
}

impl<'a> SweptTarget<'a> {
    /// The target as given, then its siblings.
    fn all(target: &TargetName, open: &'a Opener<'a>) -> Vec<Self> {
        let mut all = vec![SweptTarget { name: target.to_string(), open: Box::new(Same(open)) }];
        for sibling in target::siblings(target) {
            let name = sibling.to_string();
            all.push(SweptTarget { name, open: Box::new(Named(sibling)) });
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
            exact: false,
            running: None,
        }
    }
}

/// Operations of a swept sequence where worlds are drawn.
const LONGEST: u32 = 200;

/// Sweeps what a run chose, if its plan asks for it; what is found goes to the tallies. `found` is told at once of the
/// first failure of each kind, as it was found, and the number of its case: which comes first depends on the schedule.
pub(super) fn sweep(
    options: &RunOptions,
    cases: &[Case<'_>],
    tallies: &[Mutex<Tally>],
    budget: &Budget<'_>,
    progress: &dyn Progress,
    found: &(dyn Fn(usize, Caught) + Sync),
) -> Result<Option<SweepRecord>, TargetError> {
    let (Some(plan), Some(first)) = (options.plan.faults, cases.first()) else { return Ok(None) };
    let clock = Clock::start();
    let variants = SweptTarget::all(&options.target, first.open);
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
            if requires::lacks(&*variant.open, scenario)?.is_some_and(|lacks| lacks.is_empty()) {
                let Case { seed, cases, stored, .. } = cases[i];
                swept.push(Case { seed, cases, stored, ..variant.case(scenario) });
            }
        }
    }
    let mut subjects: Vec<Subject<'_>> =
        swept.iter().map(|case| subjects(&plan, case)).collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
    subjects.iter_mut().for_each(|s| s.as_given = s.case.target == variants[0].name);
    progress.begin_sweep(subjects.len());
    let place = |subject: &Subject<'_>| cases.iter().position(|c| c.scenario.id == subject.case.scenario.id);
    let known = Once::new();
    let tried = try_all(options.jobs.max(1), &subjects, plan.pairs, budget, progress, &|subject, failure| {
        let Found::Convicted(conviction) = &failure.found else { return };
        if kind(subject, failure).is_some_and(|kind| known.is_new(kind))
            && let Some(i) = place(subject)
        {
            found(i, subject.as_found(&failure.steps, conviction));
        }
    })?;
    let patience = Patience::new(budget, None);
    for (nth, failure) in keep(&subjects, &tried) {
        let subject = &subjects[nth];
        let Some(i) = place(subject) else { continue };
        let mut tally = lock(&tallies[i]);
        match &failure.found {
            Found::Panicked(panicked) => {
                let Subject { case, setup, names, .. } = subject;
                let crash = super::crash::keep_crash(case, setup, &failure.steps, panicked, names, patience);
                tally.crash.get_or_insert(crash);
            }
            Found::Convicted(conviction) => tally.swept.push(subject.pin_down(&failure.steps, conviction, patience)),
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
                    let subject = Subject::new(case, &variant.label, setup, &steps, seed(all.len()));
                    all.push(Subject { names: variant.names.clone(), ..subject });
                }
            }
        }
        Body::Generate(generate) => {
            let number = case.cases.unwrap_or(generate.sequences).min(plan.generated);
            let Ok((info, _)) = inspect(case.open, &workload::widest_world(scenario))? else {
                return Ok(all);
            };
            let offers = Offers::of(&info, case.is_real());
            let short = shortened(generate);
            for index in 0..number {
                let (setup, steps) = workload::draw(scenario, &short, &offers, (case.seed, index, 0));
                all.push(Subject::new(case, "", setup, &steps, seed(all.len())));
            }
        }
    }
    if let Some(stored) = case.stored {
        let subject = Subject::new(case, "", stored.setup.clone(), &stored.steps, seed(all.len()));
        all.push(Subject { names: stored.names.clone(), ..subject });
    }
    Ok(all)
}

/// The same with sequences of which every call can be failed in turn: the sequences of drawn worlds may be long, and have
/// failing calls of their own.
fn shortened(generate: &Generate) -> Generate {
    let mut short = generate.clone();
    if short.world.is_some() {
        let low = (*short.length.start()).min(LONGEST);
        short.length = low..=(*short.length.end()).min(LONGEST);
        short.weights.entries.retain(|(kind, _)| *kind != OpKind::Fault);
    }
    short
}

/// Every subject once, on as many threads as there are jobs. They share nothing.
fn try_all(
    jobs: usize,
    subjects: &[Subject<'_>],
    pairs: u32,
    budget: &Budget<'_>,
    progress: &dyn Progress,
    failed: &(dyn Fn(&Subject<'_>, &Failure) + Sync),
) -> Result<Vec<Tried>, TargetError> {
    let results: Vec<Mutex<Option<Tried>>> = subjects.iter().map(|_| Mutex::default()).collect();
    threads::each(
        jobs,
        subjects,
        || (),
        |nth, subject| {
            let tried = trial::sweep(subject, pairs, budget)?;
            tried.failures.iter().for_each(|failure| failed(subject, failure));
            *lock(&results[nth]) = Some(tried);
            progress.swept();
            Ok(())
        },
    )?;
    let result = |cell: Mutex<Option<_>>| cell.into_inner().unwrap_or_default().unwrap_or_default();
    Ok(results.into_iter().map(result).collect())
}

/// The promise that was broken and who convicted, if not a panic; and the call that failed.
type Kind = (Option<(RequirementId, OracleName)>, Option<DeviceCall>);

/// `None` for what fails on a sibling without any fault, which is for a run on that sibling to report.
fn kind(subject: &Subject<'_>, failure: &Failure) -> Option<Kind> {
    if failure.call.is_none() && !subject.as_given {
        return None;
    }
    let failure_key = match &failure.found {
        Found::Convicted(conviction) => {
            let first = &conviction.violations[0]; // never empty
            Some((first.requirement.unwrap_or(subject.case.scenario.requirement), first.oracle))
        }
        Found::Panicked(_) => None,
    };
    Some((failure_key, failure.call))
}

/// Of each kind of failure, by promise, judge and failed call, the first of the run. A mistake in an error path
/// shows in most sequences, and one of them tells all.
fn keep<'t>(subjects: &[Subject<'_>], tried: &'t [Tried]) -> Vec<(usize, &'t Failure)> {
    let known = Once::new();
    let failures = tried.iter().enumerate().flat_map(|(i, t)| t.failures.iter().map(move |failure| (i, failure)));
    failures.filter(|&(nth, failure)| kind(&subjects[nth], failure).is_some_and(|kind| known.is_new(kind))).collect()
}

/// The figures of all sequences together.
fn record_of(tried: &[Tried]) -> SweepRecord {
    let count = |is: fn(&Tried) -> bool| tried.iter().filter(|t| is(t)).count() as u64;
    let fails_alone = |t: &Tried| t.failures.iter().any(|f| f.call.is_none());
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
            sequences: sum(|c| c.sequences),
            broken: sum(|c| c.broken),
        }
    };
    SweepRecord {
        targets: Vec::new(),
        sequences: count(|t| t.runs > 1),
        cut_short: count(|t| t.cut_short),
        failing: count(fails_alone),
        convicted: count(|t| t.failures.iter().any(|f| f.call.is_some())),
        runs: tried.iter().map(|t| t.runs).sum(),
        operations: tried.iter().map(|t| t.operations).sum(),
        calls: DeviceCall::ALL.map(call).into(),
        stamp: SweepStamp::default(),
    }
}

//! A run: every chosen scenario on one target, spread over the cores, and the record of it.
//!
//! Decides the order of the record and of findings, which no schedule can change, and when to stop.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::op::Setup;
use crate::target::{self, TargetError, TargetName};
use crate::verdict::record::{RunRecord, TargetRecord};
use crate::verdict::{Finding, Reproducer};

use super::attempt::Opener;
use super::case::{Budget, Case, Tally};
use super::plan::{Plan, Planned};
use super::stamp::{Clock, run_stamp};
use super::{EngineError, Progress, command, files, outcome, regressions};

/// What to run and how.
#[derive(Debug, Clone)]
pub struct RunOptions {
    pub target: TargetName,
    pub plan: Plan,
    pub seed: u64,
    /// Sequences of each generated scenario, instead of its own number.
    pub cases: Option<u32>,
    /// Threads; at least one is used.
    pub jobs: usize,
    /// Use this much time: stop when it is over, and draw fresh sequences until then.
    pub time: Option<Duration>,
    /// Where the results of this target go, as the user would type it: printed commands name files in it,
    /// and sequences that ended in a panic are kept there.
    pub out: PathBuf,
    /// Where failing sequences are kept for the next run; `None` neither reads nor writes any.
    pub regressions: Option<PathBuf>,
    /// The command line, for the stamp.
    pub command: String,
}

/// Runs the plan on the named target.
///
/// # Errors
/// A target that cannot be built, a stored sequence that cannot be read, a file that cannot be written.
pub fn run(options: &RunOptions, progress: &dyn Progress) -> Result<RunRecord, EngineError> {
    let open = |setup: &Setup| target::open(&options.target, setup);
    run_on(&open, options, progress)
}

/// The same with targets from elsewhere than `target::open`.
///
/// # Errors
/// As `run`.
pub fn run_on(open: &Opener<'_>, options: &RunOptions, progress: &dyn Progress) -> Result<RunRecord, EngineError> {
    let budget = Budget { clock: Clock::start(), limit: options.time };
    let mut stamp = run_stamp(&options.command);
    let stored = load_stored(options)?;
    let target = options.target.to_string();
    let cases: Vec<Case<'_>> = options
        .plan
        .entries
        .iter()
        .zip(&stored)
        .map(|(entry, stored)| Case {
            scenario: &entry.scenario,
            open,
            target: &target,
            seed: options.seed,
            cases: options.cases,
            swarm: options.plan.swarm,
            stored: stored.as_ref(),
        })
        .collect();
    let tallies = run_rounds(options, &cases, &budget, progress)?;
    keep_failures(options, &tallies)?;
    let mut record = assemble(options, &tallies);
    stamp.seconds = budget.clock.seconds();
    record.stamp = stamp;
    Ok(record)
}

fn load_stored(options: &RunOptions) -> Result<Vec<Option<Reproducer>>, EngineError> {
    let load = |entry: &Planned| match &options.regressions {
        Some(root) if entry.left_out.is_none() => regressions::load(root, &options.target, &entry.scenario),
        _ => Ok(None),
    };
    options.plan.entries.iter().map(load).collect()
}

/// One pass over everything chosen; then, while time was given and is left, further ones.
fn run_rounds(
    options: &RunOptions,
    cases: &[Case<'_>],
    budget: &Budget,
    progress: &dyn Progress,
) -> Result<Vec<Tally>, TargetError> {
    let pool = Pool { jobs: options.jobs.max(1), cases, budget, progress };
    let tallies: Vec<Mutex<Tally>> = cases.iter().map(|_| Mutex::default()).collect();
    let mut chosen: Vec<usize> = (0..cases.len()).filter(|&i| options.plan.entries[i].left_out.is_none()).collect();
    chosen.sort_by_key(|&i| std::cmp::Reverse(cases[i].weight()));
    progress.begin(chosen.len());
    pool.pass(&chosen, &tallies, 0)?;
    let mut round = 1;
    while budget.limit.is_some() && !budget.is_spent() {
        chosen.retain(|&i| cases[i].can_go_on(&lock(&tallies[i])));
        if chosen.is_empty() {
            break;
        }
        progress.round(round);
        pool.pass(&chosen, &tallies, round)?;
        round += 1;
    }
    Ok(tallies.into_iter().map(|t| t.into_inner().unwrap_or_else(PoisonError::into_inner)).collect())
}

struct Pool<'a> {
    jobs: usize,
    cases: &'a [Case<'a>],
    budget: &'a Budget,
    progress: &'a dyn Progress,
}

impl Pool<'_> {
    /// Each of `chosen` once, on as many threads as there are jobs. Scenarios share nothing, so that which
    /// thread takes which one shows nowhere.
    fn pass(&self, chosen: &[usize], tallies: &[Mutex<Tally>], round: u64) -> Result<(), TargetError> {
        let next = AtomicUsize::new(0);
        let failed: Mutex<Option<TargetError>> = Mutex::default();
        let work = || {
            while let Some(&index) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
                let mut tally = lock(&tallies[index]);
                if let Err(error) = self.cases[index].pass(&mut tally, round, self.budget) {
                    next.store(chosen.len(), Ordering::Relaxed);
                    lock(&failed).get_or_insert(error);
                    return;
                }
                if round == 0 {
                    self.progress.finished(&outcome::record(self.cases[index].scenario, &tally));
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..self.jobs.min(chosen.len()) {
                scope.spawn(work);
            }
            work();
        });
        failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }
}

/// A tally is only ever added to, so that one left behind by a panic still says what it counted.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn keep_failures(options: &RunOptions, tallies: &[Tally]) -> Result<(), EngineError> {
    for (entry, tally) in options.plan.entries.iter().zip(tallies) {
        if let Some(root) = &options.regressions {
            regressions::store(root, &options.target, &entry.scenario, tally)?;
        }
        let path = options.out.join(broken_file(&entry.scenario.id));
        match tally.crash.as_ref().and_then(|c| c.reproducer.as_ref()) {
            Some(reproducer) => files::write_whole(&path, &regressions::to_json(reproducer))?,
            // One of an earlier run would speak of what this one did not see.
            None => files::remove(&path)?,
        }
    }
    Ok(())
}

fn broken_file(id: &str) -> String {
    format!("broken/{}.json", regressions::slug(id))
}

fn assemble(options: &RunOptions, tallies: &[Tally]) -> RunRecord {
    let launcher = command::launcher();
    let mut scenarios = Vec::with_capacity(tallies.len());
    let mut findings: Vec<Finding> = Vec::new();
    for (entry, tally) in options.plan.entries.iter().zip(tallies) {
        let scenario = &entry.scenario;
        if let Some(reason) = &entry.left_out {
            scenarios.push(outcome::left_out(scenario, reason));
            continue;
        }
        let mut record = outcome::record(scenario, tally);
        if let (Some(_), Some(reason)) = (tally.crash.as_ref().and_then(|c| c.reproducer.as_ref()), &mut record.reason)
        {
            let again = command::replay(launcher, &options.out.join(broken_file(&scenario.id)));
            reason.en.push_str(&format!("; `{again}` repeats it"));
            reason.zh.push_str(&format!("；可用 `{again}` 复现"));
        }
        scenarios.push(record);
        if let Some(caught) = outcome::finding(tally) {
            let id = format!("F{:02}", findings.len() + 1);
            let file = format!("findings/{id}-{}.json", regressions::slug(&scenario.id));
            findings.push(Finding {
                scenario: scenario.id.clone(),
                requirement: caught.requirement,
                severity: scenario.severity,
                effort_days: scenario.effort_days,
                violation: caught.violation.clone(),
                reproducer: caught.reproducer.clone(),
                transcript: caught.transcript.clone(),
                original_steps: caught.original_steps,
                command: command::replay(launcher, &Path::new(&options.out).join(&file)),
                id,
                file,
            });
        }
    }
    let selection = selection(options);
    RunRecord {
        format: RunRecord::FORMAT.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        target: describe(&options.target, tallies),
        seed: options.seed,
        selection,
        scenarios,
        findings,
        stamp: crate::verdict::record::RunStamp::default(),
    }
}

fn selection(options: &RunOptions) -> Vec<String> {
    let mut all = options.plan.selection.clone();
    all.extend(options.time.map(|t| format!("--time {}", humantime::format_duration(t))));
    all.extend(options.cases.map(|n| format!("--cases {n}")));
    all
}

/// The target as it was in the largest world of the run.
fn describe(name: &TargetName, tallies: &[Tally]) -> TargetRecord {
    let infos = tallies.iter().filter_map(|t| t.info.as_ref());
    // The first of the largest, so that the order of scenarios alone decides.
    let largest = infos.rev().max_by_key(|info| info.devices.len());
    let planted = name.options.iter().find(|(key, _)| key == "defect").and_then(|(_, value)| value.clone());
    TargetRecord {
        name: name.to_string(),
        devices: largest.map_or_else(Vec::new, |info| info.devices.clone()),
        capabilities: largest.map_or_else(Vec::new, |info| info.capabilities.iter().map(ToString::to_string).collect()),
        planted,
    }
}

//! A run: every chosen scenario on one target, spread over the cores, and the record of it.
//!
//! Decides the order of the record and of findings, which no schedule can change, and when to stop.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::op::Setup;
use crate::target::{self, TargetName};
use crate::verdict::Reproducer;
use crate::verdict::record::{RunRecord, RunStamp};
use crate::verdict::sweep::SweepRecord;

use super::assemble::{Ended, broken_file};
use super::attempt::Opener;
use super::case::{Budget, Case, Tally};
use super::plan::{Plan, Planned};
use super::stamp::{Clock, run_stamp};
use super::{EngineError, Progress, assemble, files, regressions, sweep};

/// The folder of sequences under way, below that of the results.
const RUNNING: &str = "running";

/// How often whoever watches is told what the run has come to.
const TELL_EVERY: Duration = Duration::from_secs(5);

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
            running: options.target.is_apart().then(|| options.out.join(running_file(&entry.scenario.id))),
        })
        .collect();
    let (tallies, swept) = run_rounds(options, &cases, &budget, &stamp, progress)?;
    keep_failures(options, &tallies)?;
    files::remove_folder_if_empty(&options.out.join(RUNNING))?;
    let ended: Vec<Option<Ended>> = cases.iter().zip(&tallies).map(|(c, t)| Some(Ended::of(c.scenario, t))).collect();
    let mut record = assemble::record(options, &ended, Some(open));
    record.sweep = swept;
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

/// One pass over everything chosen; the fault sweep, if one is asked for; then, while time was given and is
/// left, further passes.
fn run_rounds(
    options: &RunOptions,
    cases: &[Case<'_>],
    budget: &Budget,
    stamp: &RunStamp,
    progress: &dyn Progress,
) -> Result<(Vec<Tally>, Option<SweepRecord>), EngineError> {
    let so_far = Mutex::new(SoFar { ended: vec![None; cases.len()], told: None });
    let pool = Pool { jobs: options.jobs.max(1), options, cases, budget, stamp, so_far, progress };
    let tallies: Vec<Mutex<Tally>> = cases.iter().map(|_| Mutex::default()).collect();
    let mut chosen: Vec<usize> = (0..cases.len()).filter(|&i| options.plan.entries[i].left_out.is_none()).collect();
    chosen.sort_by_key(|&i| std::cmp::Reverse(cases[i].weight()));
    progress.begin(chosen.len());
    pool.pass(&chosen, &tallies, 0)?;
    let swept = sweep::sweep(options, cases, &tallies, budget, progress)?;
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
    let tallies = tallies.into_iter().map(|t| t.into_inner().unwrap_or_else(PoisonError::into_inner)).collect();
    Ok((tallies, swept))
}

struct Pool<'a> {
    jobs: usize,
    options: &'a RunOptions,
    cases: &'a [Case<'a>],
    budget: &'a Budget,
    stamp: &'a RunStamp,
    so_far: Mutex<SoFar>,
    progress: &'a dyn Progress,
}

/// What is known while the run is under way, and when it was told last.
struct SoFar {
    ended: Vec<Option<Ended>>,
    told: Option<Clock>,
}

impl Pool<'_> {
    /// Each of `chosen` once, on as many threads as there are jobs. Scenarios share nothing, so that which
    /// thread takes which one shows nowhere.
    fn pass(&self, chosen: &[usize], tallies: &[Mutex<Tally>], round: u64) -> Result<(), EngineError> {
        let next = AtomicUsize::new(0);
        let failed: Mutex<Option<EngineError>> = Mutex::default();
        let work = || {
            while let Some(&index) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
                let mut tally = lock(&tallies[index]);
                if let Err(error) = self.cases[index].pass(&mut tally, round, self.budget) {
                    next.store(chosen.len(), Ordering::Relaxed);
                    lock(&failed).get_or_insert(error);
                    return;
                }
                let ended = Ended::of(self.cases[index].scenario, &tally);
                if round == 0 {
                    self.progress.finished(&ended.record);
                }
                self.tell(index, ended);
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

impl Pool<'_> {
    /// Keeps what a scenario came to, and from time to time says what the run has come to.
    fn tell(&self, index: usize, ended: Ended) {
        let mut so_far = lock(&self.so_far);
        so_far.ended[index] = Some(ended);
        if so_far.told.is_none_or(|told| told.is_past(Some(TELL_EVERY))) {
            so_far.told = Some(Clock::start());
            let mut record = assemble::record(self.options, &so_far.ended, None);
            record.stamp = RunStamp { seconds: self.budget.clock.seconds(), ..self.stamp.clone() };
            self.progress.so_far(&record);
        }
    }
}

/// A tally is only ever added to, so that one left behind by a panic still says what it counted.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where a sequence is while it runs.
fn running_file(id: &str) -> String {
    format!("{RUNNING}/{}.json", regressions::slug(id))
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

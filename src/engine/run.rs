//! A run: every chosen scenario on one target, and the record of it.
//!
//! Decides what is kept of it, and how it came to its end. What runs when is `schedule`'s.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::op::Setup;
use crate::target::{self, TargetName};
use crate::verdict::Reproducer;
use crate::verdict::record::{EndedBy, RunRecord};

use super::assemble::{Ended, broken_file};
use super::attempt::Opener;
use super::case::{Case, Tally};
use super::plan::{Plan, Planned};
use super::schedule::Pool;
use super::stamp::run_stamp;
use super::stop::{Budget, Patience, Stop};
use super::{EngineError, Progress, assemble, failure, files, outcome, regressions};

/// The folder of sequences under way, below that of the results.
const RUNNING: &str = "running";

/// What to run and how.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// What is run.
    pub target: TargetName,
    /// Which scenarios.
    pub plan: Plan,
    /// What every drawn sequence follows from.
    pub seed: u64,
    /// Whether a target that claims a policy is held against the sound reference after every operation.
    pub exact: bool,
    /// Sequences of each generated scenario, instead of its own number.
    pub cases: Option<u32>,
    /// Threads; at least one is used.
    pub jobs: usize,
    /// Use this much time: stop when it is over, and draw fresh sequences until then.
    pub time: Option<Duration>,
    /// Ends the run early, with what it came to so far.
    pub stop: Stop,
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
    let budget = Budget::new(options.time, &options.stop, progress);
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
            exact: options.exact,
            stored: stored.as_ref(),
            running: options.target.is_apart().then(|| options.out.join(running_file(&entry.scenario.id))),
        })
        .collect();
    let pool = Pool::new(options, &cases, &budget, &stamp, progress);
    let swept = pool.run()?;
    let mut tallies = pool.into_tallies();
    pin_departure(&cases, &mut tallies, &budget);
    (0..tallies.len()).try_for_each(|i| keep_failure(options, i, &tallies[i]))?;
    files::remove_folder_if_empty(&options.out.join(RUNNING))?;
    let chosen = options.plan.entries.iter().zip(&tallies).filter(|(entry, _)| entry.left_out.is_none());
    let is_cut =
        chosen.into_iter().any(|(_, tally)| tally.is_unfinished()) || swept.as_ref().is_some_and(|s| s.cut_short > 0);
    // A request that comes when all is done ends nothing.
    let had_more = is_cut || tallies.iter().any(|t| t.pending.is_some()) || budget.has_time_left();
    let by = match (budget.is_stopped() && had_more, is_cut) {
        (true, _) => EndedBy::Interrupted,
        (false, true) => EndedBy::TimeUp,
        (false, false) => EndedBy::Complete,
    };
    let ended: Vec<_> = cases.iter().zip(&tallies).map(|(c, t)| Some(Ended::of(c.scenario, t, by))).collect();
    // Whoever stops a run does not want to wait for more of them.
    let open = (!budget.is_stopped()).then_some(open);
    let mut record = assemble::record(options, &ended, open);
    record.ended = by;
    record.sweep = swept;
    stamp.seconds = budget.clock.seconds();
    record.stamp = stamp;
    Ok(record)
}

/// Makes one departure from the policy small, the shortest sequence that shows one: it stands for all. Where a promise is
/// broken, that shows the mistake better.
fn pin_departure(cases: &[Case<'_>], tallies: &mut [Tally], budget: &Budget<'_>) {
    if tallies.iter().any(|t| outcome::findings(t).next().is_some()) {
        return;
    }
    let departed = |t: &Tally| t.departed.as_ref().map(|d| d.original_steps);
    let shortest = (0..tallies.len()).filter_map(|i| Some((departed(&tallies[i])?, i))).min();
    if let Some((_, i)) = shortest
        && let Some(found) = tallies[i].departed.take()
    {
        tallies[i].departed = Some(failure::pin_departure(&cases[i], found, Patience::new(budget, None)));
    }
}

fn load_stored(options: &RunOptions) -> Result<Vec<Option<Reproducer>>, EngineError> {
    let load = |entry: &Planned| match &options.regressions {
        Some(root) if entry.left_out.is_none() => regressions::load(root, &options.target, &entry.scenario),
        _ => Ok(None),
    };
    options.plan.entries.iter().map(load).collect()
}

/// A tally is only ever added to, so that one left behind by a panic still says what it counted.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where a sequence is while it runs.
fn running_file(id: &str) -> String {
    format!("{RUNNING}/{}.json", regressions::slug(id))
}

/// Keeps the sequence that failed or broke, for the next run and for whoever wants to repeat it.
pub(super) fn keep_failure(options: &RunOptions, i: usize, tally: &Tally) -> Result<(), EngineError> {
    let scenario = &options.plan.entries[i].scenario;
    if let Some(root) = &options.regressions {
        regressions::store(root, &options.target, scenario, tally)?;
    }
    let path = options.out.join(broken_file(&scenario.id));
    match tally.crash.as_ref().and_then(|c| c.reproducer.as_ref()) {
        Some(reproducer) => files::write_whole(&path, &regressions::to_json(reproducer)),
        // One of an earlier run would speak of what this one did not see.
        None => files::remove(&path),
    }
}

//! A run: every chosen scenario on one target, and the record of it.
//!
//! Decides what is kept of it, and how it came to its end. What runs when is `schedule`'s.

use crate::verdict::Reproducer;
use crate::verdict::record::{EndedBy, RunRecord};

use super::assemble::Ended;
use super::case::Case;
use super::keep::{self, keep_failure, running_file};
use super::opener::{Named, Opener};
use super::options::RunOptions;
use super::plan::Planned;
use super::schedule::Pool;
use super::stamp::run_stamp;
use super::stop::{Budget, Patience};
use super::tally::Tally;
use super::{EngineError, Progress, assemble, failure, files, outcome, regressions};

/// Runs the plan on the named target.
///
/// # Errors
/// A target that cannot be built, a stored sequence that cannot be read, a file that cannot be written.
pub fn run(options: &RunOptions, progress: &dyn Progress) -> Result<RunRecord, EngineError> {
    run_on(&Named(&options.target), options, progress)
}

/// The same with targets from elsewhere than `target::open`.
///
/// # Errors
/// As `run`.
pub fn run_on(open: &Opener<'_>, options: &RunOptions, progress: &dyn Progress) -> Result<RunRecord, EngineError> {
    let budget = Budget::new(options.time, &options.stop, progress).minimising(options.minimise.clone());
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
    files::remove_folder_if_empty(&options.out.join(keep::RUNNING))?;
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
    let violations = ended.iter().flatten().map(Ended::violations).sum();
    if open.is_some() && violations > 1 && options.target.is_apart() {
        progress.comparing(violations);
    }
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

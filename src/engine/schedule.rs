//! Which scenario runs when, on as many threads as there are jobs; and what is told while they run.
//!
//! Decides the order: without a time limit one scenario after the other, the longest first; with one every scenario
//! gets its first sequence before any gets a second, and failures are made small in between. No order shows in the
//! results but by what there was no time for. What a scenario runs is `case`'s.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::spec::Body;
use crate::verdict::record::{EndedBy, RunRecord, RunStamp};
use crate::verdict::sweep::SweepRecord;

use super::assemble::Ended;
use super::case::Case;
use super::caught::Caught;
use super::keep::keep_failure;
use super::locks::lock;
use super::options::RunOptions;
use super::stamp::Clock;
use super::stop::{Budget, Patience};
use super::tally::Tally;
use super::watchdog::{Stuck, Watchdog};
use super::{EngineError, Progress, assemble, hang, sweep, threads};

/// How often whoever watches is told what the run has come to, beside every new failure.
const TELL_EVERY: Duration = Duration::from_secs(3);

/// How long a scenario runs before what it came to so far is noted.
const SLICE: Duration = Duration::from_secs(1);

/// The scenarios of a run and what they came to.
pub(super) struct Pool<'a> {
    options: &'a RunOptions,
    cases: &'a [Case<'a>],
    budget: &'a Budget<'a>,
    stamp: &'a RunStamp,
    progress: &'a dyn Progress,
    tallies: Vec<Mutex<Tally>>,
    /// Those that were told of as finished.
    finished: Vec<AtomicBool>,
    so_far: Mutex<SoFar>,
}

/// What is known while the run is under way, and when it was told last.
struct SoFar {
    ended: Vec<Option<Ended>>,
    told: Option<Clock>,
    /// Somebody is telling; whoever has news meanwhile leaves it to them.
    telling: bool,
    news: bool,
}

impl<'a> Pool<'a> {
    pub(super) fn new(
        options: &'a RunOptions,
        cases: &'a [Case<'a>],
        budget: &'a Budget<'a>,
        stamp: &'a RunStamp,
        progress: &'a dyn Progress,
    ) -> Self {
        let tallies: Vec<Tally> = cases.iter().map(Case::tally).collect();
        let ended = cases.iter().zip(&tallies).map(|(c, t)| Some(Ended::of(c.scenario, t, EndedBy::Killed))).collect();
        Pool {
            options,
            cases,
            budget,
            stamp,
            progress,
            tallies: tallies.into_iter().map(Mutex::new).collect(),
            finished: cases.iter().map(|_| AtomicBool::new(false)).collect(),
            so_far: Mutex::new(SoFar { ended, told: None, telling: false, news: false }),
        }
    }

    /// Everything chosen, the fault sweep if one is asked for, and fresh sequences while time was given and is left.
    pub(super) fn run(&self) -> Result<Option<SweepRecord>, EngineError> {
        let mut chosen: Vec<usize> =
            (0..self.cases.len()).filter(|&i| self.options.plan.entries[i].left_out.is_none()).collect();
        self.progress.begin(chosen.len());
        // What an earlier run left would be taken for this one's if it were killed now.
        self.tell(true);
        if self.budget.limit.is_some() {
            self.breadth_first(&mut chosen)?;
        } else {
            chosen.sort_by_key(|&i| std::cmp::Reverse(self.cases[i].weight()));
            self.depth_first(&chosen)?;
        }
        self.tell(true);
        let swept = sweep::sweep(self.options, self.cases, &self.tallies, self.budget, self.progress, &|i, caught| {
            self.swept(i, caught);
        })?;
        if self.budget.limit.is_some() {
            self.fill_up(&mut chosen)?;
            self.pin(&chosen, None)?;
        }
        chosen.iter().for_each(|&i| self.finish(i, &lock(&self.tallies[i])));
        Ok(swept)
    }

    pub(super) fn into_tallies(self) -> Vec<Tally> {
        self.tallies.into_iter().map(|t| t.into_inner().unwrap_or_else(PoisonError::into_inner)).collect()
    }

    /// Each scenario to its end, what fails made small on the spot.
    fn depth_first(&self, chosen: &[usize]) -> Result<(), EngineError> {
        self.each(chosen, |i, tally| {
            self.advance(i, tally, self.cases[i].planned())?;
            self.pin_one(i, tally, None)?;
            self.finish(i, tally);
            Ok(())
        })
    }

    /// A sequence of each scenario, the quickest first; then the other explicit steps; then twice as many sequences of
    /// each again and again. In between, half of what time is left at most goes into making failures small.
    fn breadth_first(&self, chosen: &mut [usize]) -> Result<(), EngineError> {
        chosen.sort_by_key(|&i| self.cases[i].weight_of_one());
        let most = chosen.iter().map(|&i| self.cases[i].planned()).max().unwrap_or(0);
        self.up_to(chosen, 1)?;
        let explicit = |i: &usize| matches!(self.cases[*i].scenario.body, Body::Steps(_));
        let steps: Vec<usize> = chosen.iter().copied().filter(explicit).collect();
        self.up_to(&steps, most)?;
        let mut number: u64 = 1;
        while number < most && !self.budget.is_spent() {
            number = number.saturating_mul(2).min(most);
            self.up_to(chosen, number)?;
        }
        Ok(())
    }

    /// So many of the planned sequences of each.
    fn up_to(&self, chosen: &[usize], number: u64) -> Result<(), EngineError> {
        self.each(chosen, |i, tally| {
            self.advance(i, tally, number.min(self.cases[i].planned()))?;
            if !tally.is_unfinished() {
                self.finish(i, tally);
            }
            Ok(())
        })?;
        self.pin(chosen, self.budget.half_of_the_rest())
    }

    /// Fresh sequences, until the time that was given is over.
    fn fill_up(&self, chosen: &mut Vec<usize>) -> Result<(), EngineError> {
        let mut round: u64 = 1;
        let all = chosen.clone();
        while !self.budget.is_spent() {
            chosen.retain(|&i| self.cases[i].can_go_on(&lock(&self.tallies[i])));
            if chosen.is_empty() {
                break;
            }
            self.progress.round(round);
            round += 1;
            self.each(chosen, |i, tally| self.advance(i, tally, self.cases[i].planned().saturating_mul(round)))?;
            self.pin(chosen, self.budget.half_of_the_rest())?;
        }
        *chosen = all;
        Ok(())
    }

    /// Runs a scenario up to the sequence `end`, and notes what it came to.
    fn advance(&self, i: usize, tally: &mut Tally, end: u64) -> Result<(), EngineError> {
        loop {
            let (before, had_failed) = (tally.sequences, tally.failures());
            self.cases[i].advance(tally, end, self.budget, Some(SLICE))?;
            let is_new = tally.failures() > had_failed;
            if is_new {
                self.budget.found();
                keep_failure(self.options, i, tally)?;
            }
            self.note(i, tally, is_new);
            // A slice in which nothing was run is the last: there is nothing left, or no time for it.
            if tally.sequences == before {
                return Ok(());
            }
        }
    }

    /// Makes what failed small, until so much of the run's time is over.
    fn pin(&self, chosen: &[usize], until: Option<Duration>) -> Result<(), EngineError> {
        let pending: Vec<usize> =
            chosen.iter().copied().filter(|&i| lock(&self.tallies[i]).pending.is_some()).collect();
        self.each(&pending, |i, tally| {
            let is_last = until.is_none();
            if is_last || Patience::new(self.budget, until).may_shrink() {
                self.pin_one(i, tally, until)?;
            }
            Ok(())
        })
    }

    fn pin_one(&self, i: usize, tally: &mut Tally, until: Option<Duration>) -> Result<(), EngineError> {
        if tally.pending.is_some() {
            self.cases[i].pin(tally, Patience::new(self.budget, until));
            keep_failure(self.options, i, tally)?;
            self.note(i, tally, false);
        }
        Ok(())
    }

    /// Tells once that a scenario has run what was planned of it.
    fn finish(&self, i: usize, tally: &Tally) {
        if !self.finished[i].swap(true, Ordering::Relaxed) {
            self.progress.finished(&Ended::of(self.cases[i].scenario, tally, self.ended_by()).record);
        }
    }

    /// Why whatever is unfinished now stays so.
    fn ended_by(&self) -> EndedBy {
        if self.budget.is_stopped() { EndedBy::Interrupted } else { EndedBy::TimeUp }
    }

    /// Each of `chosen` once. Scenarios share nothing, so that which thread takes which one shows nowhere.
    fn each(
        &self,
        chosen: &[usize],
        work: impl Fn(usize, &mut Tally) -> Result<(), EngineError> + Sync,
    ) -> Result<(), EngineError> {
        let watchdog = Watchdog::default();
        std::thread::scope(|scope| {
            // Before the watch begins: it ends when nobody is watched.
            let first = watchdog.join();
            if !self.options.target.is_apart() && !self.options.target.is_forked() {
                scope.spawn(|| watchdog.watch().into_iter().for_each(|stuck| self.hangs(stuck)));
            }
            let one = |_, &index: &usize| work(index, &mut lock(&self.tallies[index]));
            let done = threads::each(self.options.jobs, chosen, || watchdog.join(), one);
            drop(first);
            done
        })
    }

    /// Keeps what a scenario came to so far; a new failure is told at once.
    fn note(&self, i: usize, tally: &Tally, is_news: bool) {
        let ended = Ended::of(self.cases[i].scenario, tally, EndedBy::Killed);
        lock(&self.so_far).ended[i] = Some(ended);
        self.tell(is_news);
    }

    /// What failing device calls led to, as it was found.
    fn swept(&self, i: usize, caught: Caught) {
        self.budget.found();
        if let Some(ended) = &mut lock(&self.so_far).ended[i] {
            ended.push(caught);
        }
        self.tell(true);
    }

    /// Ends the run with a call that never returns. Its sequence is made small in processes that can be ended.
    fn hangs(&self, stuck: Stuck) {
        let Some(i) = self.cases.iter().position(|c| c.scenario.id == stuck.reproducer.scenario) else { return };
        let caught = hang::pin_down(&self.cases[i], &self.options.target, &stuck, self.budget);
        let mut ended = lock(&self.so_far).ended.clone();
        if let Some(ended) = &mut ended[i] {
            ended.push(caught);
        }
        let mut record = self.record(&ended);
        record.ended = EndedBy::Hung;
        self.progress.hangs(record);
    }

    /// From time to time, and where there is news, says what the run has come to.
    fn tell(&self, is_news: bool) {
        let mut so_far = lock(&self.so_far);
        so_far.news |= is_news || so_far.told.is_none_or(|told| told.is_past(Some(TELL_EVERY)));
        if so_far.telling {
            return;
        }
        so_far.telling = true;
        while std::mem::take(&mut so_far.news) {
            so_far.told = Some(Clock::start());
            let ended = so_far.ended.clone();
            drop(so_far);
            self.progress.so_far(&|| self.record(&ended));
            so_far = lock(&self.so_far);
        }
        so_far.telling = false;
    }

    /// The record of a run that is under way: what is left on the disk if it is killed.
    fn record(&self, ended: &[Option<Ended>]) -> RunRecord {
        let mut record = assemble::record(self.options, ended, None);
        record.ended = EndedBy::Killed;
        record.stamp = RunStamp { seconds: self.budget.clock.seconds(), ..self.stamp.clone() };
        record
    }
}

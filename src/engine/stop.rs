//! A request to end early, and who may still do what when one has come or the time is over.
//!
//! Decides how long a failing sequence is made smaller then. Who asks (a signal) is the command line's business.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::minimise::Minimise;
use super::stamp::Clock;
use crate::spec::Scenario;

/// Asked for once, from anywhere; every copy is the same request.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Whoever looks stops as soon as it can.
    pub fn ask(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether somebody has asked.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// What a signal handler sets.
    #[must_use]
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }
}

/// Whoever watches work that takes long. Called from several threads.
pub trait Watch: Sync {
    /// A sequence was run, of so many operations; also one that only makes a failure smaller.
    fn ran(&self, _operations: u64) {}

    /// Something failed that did not before.
    fn found(&self) {}
}

/// The least time for making failures small when the time is over, and all that there is after a request to stop.
const GRACE: Duration = Duration::from_secs(2);

/// The limits of a whole run: the time that was given, if any, and the request to stop.
pub(super) struct Budget<'a> {
    pub(super) clock: Clock,
    pub(super) limit: Option<Duration>,
    stop: &'a Stop,
    watch: &'a dyn Watch,
    minimise: Minimise,
    /// When the request to stop was noticed.
    noticed: OnceLock<Clock>,
}

impl<'a> Budget<'a> {
    pub(super) fn new(limit: Option<Duration>, stop: &'a Stop, watch: &'a dyn Watch) -> Self {
        Budget { clock: Clock::start(), limit, stop, watch, minimise: Minimise::default(), noticed: OnceLock::new() }
    }

    /// The same with so long for each failure.
    pub(super) fn minimising(self, minimise: Minimise) -> Self {
        Budget { minimise, ..self }
    }

    pub(super) fn ran(&self, operations: u64) {
        self.watch.ran(operations);
    }

    pub(super) fn found(&self) {
        self.watch.found();
    }

    pub(super) fn is_stopped(&self) -> bool {
        let asked = self.stop.is_asked();
        if asked {
            self.noticed.get_or_init(Clock::start);
        }
        asked
    }

    /// Whether no further sequence may be drawn.
    pub(super) fn is_spent(&self) -> bool {
        self.is_stopped() || self.clock.is_past(self.limit)
    }

    /// Whether time was given to be used up, and is not.
    pub(super) fn has_time_left(&self) -> bool {
        self.limit.is_some() && !self.clock.is_past(self.limit)
    }

    /// How much of the time that was given is over when half of what is left now is.
    pub(super) fn half_of_the_rest(&self) -> Option<Duration> {
        let limit = self.limit?;
        Some(limit - self.clock.left_of(limit) / 2)
    }

    /// Whether a failing sequence may be made smaller: a little longer than sequences may be drawn, since a finding
    /// of thousands of steps is of little use to anybody.
    fn may_shrink(&self) -> bool {
        !self.is_stopped() && !self.clock.is_past(self.limit.map(|limit| limit.saturating_add(grace(limit))))
    }

    /// Whether one may be run again to see if it always fails: a moment's work, unless it hangs.
    fn may_repeat(&self) -> bool {
        if self.is_stopped() {
            return !self.noticed.get_or_init(Clock::start).is_past(Some(GRACE));
        }
        !self.clock.is_past(self.limit.map(|limit| limit.saturating_add(grace(limit)).saturating_add(grace(limit))))
    }
}

/// How long after its time a run may still make failures small.
fn grace(limit: Duration) -> Duration {
    GRACE.max(limit / 10)
}

/// How long a failure is worked on.
#[derive(Clone, Copy)]
pub(super) struct Patience<'a> {
    budget: &'a Budget<'a>,
    /// How much of the run's time may be over, where others wait for their turn.
    until: Option<Duration>,
    /// It is one that is expected.
    expected: bool,
}

impl<'a> Patience<'a> {
    pub(super) fn new(budget: &'a Budget<'a>, until: Option<Duration>) -> Self {
        Patience { budget, until, expected: false }
    }

    /// The same for a failure of this scenario.
    pub(super) fn of(self, scenario: &Scenario) -> Self {
        Patience { expected: self.budget.minimise.expects(scenario), ..self }
    }

    pub(super) fn may_shrink(self) -> bool {
        self.budget.may_shrink() && !self.budget.clock.is_past(self.until)
    }

    /// How long it may be made smaller.
    pub(super) fn longest(self) -> Duration {
        self.budget.minimise.time(self.expected)
    }

    pub(super) fn is_expected(self) -> bool {
        self.expected
    }

    pub(super) fn may_repeat(self) -> bool {
        self.budget.may_repeat()
    }

    pub(super) fn ran(self, operations: u64) {
        self.budget.ran(operations);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Silent;

    #[test]
    fn a_request_ends_drawing_and_shrinking_at_once_and_leaves_a_moment_to_repeat() {
        let (stop, watch) = (Stop::default(), Silent);
        let budget = Budget::new(None, &stop, &watch);
        let patience = Patience::new(&budget, None);
        assert!(!budget.is_spent() && patience.may_shrink() && patience.may_repeat());
        stop.clone().ask();
        assert!(budget.is_spent() && !patience.may_shrink() && patience.may_repeat());
    }

    #[test]
    fn time_that_is_over_ends_drawing_and_not_yet_shrinking() {
        let (stop, watch) = (Stop::default(), Silent);
        let budget = Budget::new(Some(Duration::ZERO), &stop, &watch);
        assert!(budget.is_spent() && Patience::new(&budget, None).may_shrink());
        assert!(!Patience::new(&budget, Some(Duration::ZERO)).may_shrink(), "others wait");
        assert_eq!(budget.half_of_the_rest(), Some(Duration::ZERO));
        let long = Duration::from_secs(1 << 30);
        let half = Budget::new(Some(long), &stop, &watch).half_of_the_rest().expect("a limit");
        assert!(half >= long / 2 && half < long, "{half:?}");
    }
}

//! A sequence that broke the harness, or lost its target for a reason that is none of the allocator's: kept, to be looked at.
//!
//! Decides nothing of failure_key: what convicts is `failure`'s.

use std::cell::Cell;

use crate::op::{Names, Setup, Step};
use crate::workload;

use super::attempt::{Attempt, Panicked, attempt};
use super::case::Case;
use super::caught::Crash;
use super::failure::{BUDGET, reproducer};
use super::judged_sequence::JudgedSequence;
use super::loss::Loss;
use super::opener::Opener;
use super::stop::Patience;
use super::tries::OPERATIONS;

/// A sequence that ended in a panic, as it was found.
pub(super) fn crash_as_found(
    case: &Case<'_>,
    setup: &Setup,
    steps: &[Step],
    panicked: &Panicked,
    names: &Names,
) -> Crash {
    let operation = steps.get(panicked.step).and_then(|s| s.op.as_ref()).map(|op| names.told(&op.to_line(), &[]));
    let reproducer = Some(reproducer(case, setup.clone(), steps.to_vec(), names.clone()));
    Crash { reproducer, ..Crash::panic(&panicked.text, operation.as_deref()) }
}

/// Keeps a sequence that ended in a panic, as small as it gets.
pub(super) fn keep_crash(
    case: &Case<'_>,
    setup: &Setup,
    steps: &[Step],
    panicked: &Panicked,
    names: &Names,
    patience: Patience<'_>,
) -> Crash {
    let found = crash_as_found(case, setup, steps, panicked, names);
    let still = |setup: &Setup, steps: &[Step]| panics_so(case.open, setup, &case.sequence(steps), &panicked.text);
    if !patience.may_shrink() || !still(setup, steps) {
        return found;
    }
    let goes_on = || patience.may_shrink();
    let operations = Cell::new(0_u64);
    let goes_on = || goes_on() && operations.get() < OPERATIONS;
    let mut fails = |setup: &Setup, steps: &[Step]| {
        operations.set(operations.get().saturating_add(steps.len() as u64));
        still(setup, steps)
    };
    let (setup, small, origins) = workload::minimise(setup, steps, &mut fails, BUDGET, &goes_on);
    Crash { reproducer: Some(reproducer(case, setup, small, names.follow(&origins))), ..found }
}

/// Keeps a sequence in which the target was lost for a reason that is none of the allocator's.
pub(super) fn keep_loss(case: &Case<'_>, setup: &Setup, steps: &[Step], loss: &Loss, names: &Names) -> Crash {
    let during = loss.during.as_ref().map(|op| names.told(op, &[]));
    let text = Loss { during, ..loss.clone() }.text();
    Crash { text, reproducer: Some(reproducer(case, setup.clone(), steps.to_vec(), names.clone())) }
}

fn panics_so(open: &Opener<'_>, setup: &Setup, sequence: &JudgedSequence<'_>, text: &str) -> bool {
    matches!(attempt(open, setup, sequence), Ok(Attempt::Panicked(panicked)) if panicked.text == text)
}

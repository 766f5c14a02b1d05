//! A sequence on a fresh target, with panics caught: they become a value and print nothing.
//!
//! Decides what a panic turns into. What runs in between is `lockstep`'s.

use std::cell::Cell;

use serde::{Deserialize, Serialize};

use crate::op::{Op, Setup};
use crate::target::TargetError;

use super::forked;
use super::lockstep::{self, Conviction, JudgedSequence, Run};
use super::loss::{self, Loss};
use super::metamorphic::{self, Unjudged};
pub use super::opener::{Named, Opener, Opens, inspect};
use super::opener::{catch_panic, lost_by};
use super::pulse;
use super::twin::Twin;

/// A sequence that ended in a panic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Panicked {
    /// The given step under way; the number of steps if it was a closing operation.
    pub step: usize,
    /// What the panic said, and where.
    pub text: String,
}

/// How an attempt at a sequence ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Attempt {
    /// To its end, or to a conviction.
    Ran(Box<Run>),
    /// The harness panicked. A panic of the target is a conviction.
    Panicked(Panicked),
}

impl Attempt {
    /// Operations that were asked; of one that panicked, those before.
    pub(super) fn operations(&self) -> u64 {
        match self {
            Attempt::Ran(run) => run.operations,
            Attempt::Panicked(panicked) => panicked.step as u64,
        }
    }
}

/// Runs one sequence on a target of its own.
///
/// # Errors
/// What the target says where it cannot be built.
pub fn attempt(open: &Opener<'_>, setup: &Setup, sequence: &JudgedSequence<'_>) -> Result<Attempt, TargetError> {
    let at = Cell::new(0);
    let pulse = pulse::own();
    pulse.leave();
    let body = || {
        let mut run = match open.forked() {
            None => {
                let mut target = pulse.inside(|| open.open(setup))?;
                let twin = if sequence.exact { Twin::of(&mut *target, setup) } else { None };
                let run = lockstep::run_beside(&mut *target, twin, sequence, &at);
                pulse.inside(|| drop(target)); // a GPU has one borrower at a time
                run
            }
            Some(name) => match forked::attempt(name, setup, sequence)? {
                Attempt::Ran(run) => *run,
                panicked @ Attempt::Panicked(_) => return Ok(panicked),
            },
        };
        if run.conviction.is_none() && !run.blind {
            match metamorphic::judge(open, setup, sequence.steps, sequence.relations) {
                Ok(compared) => (run.pairs, run.conviction) = (compared.pairs, compared.conviction),
                Err(Unjudged::Target(error)) => return Err(error),
                Err(Unjudged::Panicked(text)) => {
                    return Ok(Attempt::Panicked(Panicked { step: sequence.steps.len(), text }));
                }
            }
        }
        Ok(Attempt::Ran(Box::new(run)))
    };
    match catch_panic(body) {
        // One that cannot be opened now is lost to this sequence; the next may find it again.
        Ok(Err(error)) => {
            let lost = lost_by(error)?;
            Ok(Attempt::Ran(Box::new(Run { lost: Some(Loss { lost, during: None }), ..Run::default() })))
        }
        Ok(Ok(attempt)) => Ok(attempt),
        Err(text) if pulse.leave() => Ok(Attempt::Ran(Box::new(panicked(sequence, at.get(), &text)))),
        Err(text) => Ok(Attempt::Panicked(Panicked { step: at.get(), text })),
    }
}

/// A run that the target ended with a panic at the given step; the number of steps if that was a closing operation.
fn panicked(sequence: &JudgedSequence<'_>, step: usize, text: &str) -> Run {
    let during = sequence.steps.get(step).and_then(|s| s.op.as_ref()).map(Op::to_line);
    let violations = vec![loss::panicked(text, during.as_deref())];
    Run { conviction: Some(Conviction { step, violations }), operations: step as u64, ..Run::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_text_and_the_next_call_is_untouched() {
        let text = catch_panic(|| panic!("bad {}", 7)).map(|(): ()| ()).expect_err("it panics");
        assert!(text.starts_with("bad 7 (") && text.contains("attempt.rs:"), "{text}");
        assert_eq!(catch_panic(|| 3), Ok(3));
    }
}

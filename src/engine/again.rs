//! A finding's final sequence, run again: how often the same judge convicts of the same promise.
//!
//! Decides how many runs that takes and what is kept of them. What counts as the same failure, `failure` says.

use crate::op::Setup;
use crate::verdict::{Reproduced, TranscriptLine, Violation};

use super::attempt::{Attempt, attempt};
use super::lockstep::{JudgedSequence, Run};
use super::opener::Opener;

/// Runs of each finding, each on a fresh target; of a hang, each costs a whole deadline.
const TIMES: u32 = 2;

/// What the runs came to.
#[derive(Debug)]
pub(super) struct Again {
    pub(super) reproduced: Reproduced,
    /// The violation as the first run that shows it has it.
    pub(super) violation: Option<Violation>,
    /// Of that run, or of the last one where none shows it.
    pub(super) transcript: Vec<TranscriptLine>,
    /// What the others came to instead, by their number.
    otherwise: Vec<(u32, String)>,
}

/// Runs a sequence that failed, and looks for the same violation with `find`.
pub(super) fn again(
    open: &Opener<'_>,
    setup: &Setup,
    sequence: &JudgedSequence<'_>,
    find: impl Fn(&Run) -> Option<Violation>,
) -> Again {
    let sequence = JudgedSequence { transcript: true, ..*sequence };
    let reproduced = Reproduced { times: 0, of: TIMES };
    let mut all = Again { reproduced, violation: None, transcript: Vec::new(), otherwise: Vec::new() };
    for number in 1..=TIMES {
        match attempt(open, setup, &sequence) {
            Ok(Attempt::Ran(run)) => {
                let found = find(&run);
                match &found {
                    Some(_) => all.reproduced.times += 1,
                    None => all.otherwise.push((number, what_else(&run))),
                }
                if all.violation.is_none() {
                    (all.violation, all.transcript) = (found, run.transcript);
                }
            }
            Ok(Attempt::Panicked(panicked)) => all.otherwise.push((number, format!("panicked: {}", panicked.text))),
            // What was found stands, also where the target cannot be had any more.
            Err(error) => all.otherwise.push((number, error.to_string())),
        }
    }
    all
}

impl Again {
    /// The violation, the one that was seen first if no run shows it again, with what became of the runs that do not.
    pub(super) fn told(&self, first: &Violation) -> Violation {
        let violation = self.violation.clone().unwrap_or_else(|| first.clone());
        self.otherwise.iter().fold(violation, |violation, (number, what)| {
            violation.with(&format!("Run again, {number}"), &format!("再次运行，第 {number} 次"), what)
        })
    }
}

/// What a run came to that does not show the violation looked for.
fn what_else(run: &Run) -> String {
    if let Some(other) = run.conviction.as_ref().and_then(|c| c.violations.first()) {
        return format!("{}: {}", other.oracle.name(), other.message.en);
    }
    run.lost.as_ref().map_or_else(|| "no violation".to_owned(), |loss| loss.text().en)
}

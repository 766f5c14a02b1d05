//! One sequence on one target, from its first step to its last; stops at the first step with a conviction.
//!
//! Decides when a step is given and when the probes have their turn. How a step is asked and judged is `session`'s; panics are
//! caught in `attempt`.

use std::cell::Cell;

use crate::target::Target;

pub use super::judged_sequence::{Conviction, FailureKey, JudgedSequence, Run};
use super::probes::Probes;
use super::session::{Role, Session, Stop};
use super::twin::Twin;

/// Runs a sequence on a target that was built for it. `at` follows the step under way, for whoever
/// has to say where a panic came from.
pub fn run(target: &mut dyn Target, sequence: &JudgedSequence<'_>, at: &Cell<usize>) -> Run {
    run_beside(target, None, sequence, at)
}

/// The same beside the target's twin, if it has one.
pub(crate) fn run_beside(
    target: &mut dyn Target,
    twin: Option<Twin>,
    sequence: &JudgedSequence<'_>,
    at: &Cell<usize>,
) -> Run {
    target.foresee(sequence.steps);
    let mut session = Session::new(target, twin, sequence);
    if session.before.devices.is_empty() {
        session.run.blind = true;
        return session.run;
    }
    let mut probes = Probes::new(sequence.oracles, &session.info);
    // `Stop` only says that `run.conviction`, `run.departure` or `run.lost` is set.
    let walked: Result<(), Stop> = session.walk(sequence, &mut probes, at);
    session.pulse.closes(sequence.steps.len());
    session.pulse.inside(|| session.target.close());
    if walked.is_ok() {
        let _: Result<(), Stop> = session.ensure_alive(None);
    }
    session.run.reached = session.milestones.reached();
    session.run.states = session.milestones.into_states();
    session.run
}

impl Session<'_> {
    fn walk(&mut self, sequence: &JudgedSequence<'_>, probes: &mut Probes, at: &Cell<usize>) -> Result<(), Stop> {
        for (index, step) in sequence.steps.iter().enumerate() {
            at.set(index);
            match &step.op {
                Some(op) => {
                    // A retry belongs to the step that was refused; expectations without an operation
                    // still speak of that step's figures, so the retry waits for them.
                    probes.retry(self)?;
                    self.step = index;
                    if self.target.wants_plan() {
                        let plan = probes.plan(self, &sequence.steps[index..]);
                        self.target.plan(plan);
                    }
                    probes.before(self, op)?;
                    let answer = self.ask(op, step.expect.as_deref(), Role::Given)?;
                    probes.after(self, op, answer)?;
                }
                None => {
                    self.step = index;
                    self.expect(step.expect.as_deref())?;
                }
            }
        }
        probes.retry(self)?;
        at.set(sequence.steps.len());
        self.step = sequence.steps.len();
        if sequence.epilogue {
            return probes.close(self);
        }
        probes.verify_all(self)?;
        probes.look(self)
    }
}

//! Operations asked of the reference, judged by every oracle after every step.
//!
//! Decides that a conviction of the sound reference is a failure, whoever is wrong: the allocator or the judge.

use std::sync::{Arc, Mutex, PoisonError};

use arbitrary::{Arbitrary, Unstructured};
use poolproof::engine::attempt::{Attempt, attempt};
use poolproof::engine::lockstep::Course;
use poolproof::op::{OracleName, Setup, Step};
use poolproof::target::{self, TargetName};

use super::coverage::{Cells, Watched};
use super::draft::Plan;

pub fn run(data: &[u8], cells: &mut Cells) {
    let Ok(plan) = Plan::arbitrary(&mut Unstructured::new(data)) else { return };
    judge(&reference(&plan.config), &plan, cells);
}

/// The reference under these settings.
pub fn reference(config: &str) -> TargetName {
    let options = if config.is_empty() { Vec::new() } else { vec![("config".to_owned(), Some(config.to_owned()))] };
    TargetName { allocator: "reference".to_owned(), place: "sim".to_owned(), options }
}

/// Runs a plan.
///
/// # Panics
/// A conviction, or a panic of the target.
pub fn judge(name: &TargetName, plan: &Plan, cells: &mut Cells) {
    let steps: Vec<Step> = plan.ops.iter().cloned().map(Step::from).collect();
    if let Some(failure) = failure(name, &plan.setup, &steps, cells) {
        panic!("{name}, {:?}: {failure}", plan.setup);
    }
}

/// What is wrong with a run of these steps, if anything. A target that cannot be opened is no failure.
pub fn failure(name: &TargetName, setup: &Setup, steps: &[Step], cells: &mut Cells) -> Option<String> {
    let oracles = OracleName::ALL.iter().copied().collect();
    let course = Course { steps, oracles: &oracles, epilogue: true, transcript: false };
    let shared = Arc::new(Mutex::new(std::mem::take(cells)));
    let open = |setup: &Setup| {
        let inner = target::open(name, setup)?;
        Ok(Box::new(Watched::new(inner, Arc::clone(&shared))) as Box<dyn target::Target>)
    };
    let ended = attempt(&open, setup, &course);
    *cells = shared.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match ended {
        Err(_) => None,
        Ok(Attempt::Panicked(panicked)) => Some(format!("panicked at step {}: {}", panicked.step, panicked.text)),
        Ok(Attempt::Ran(run)) => {
            run.reached.iter().for_each(|&m| cells.reached(m));
            let conviction = run.conviction?;
            let says = |v: &poolproof::verdict::Violation| format!("{}: {}", v.oracle.name(), v.message.en);
            let all: Vec<String> = conviction.violations.iter().map(says).collect();
            let op = steps.get(conviction.step).and_then(|s| s.op.as_ref()).map(poolproof::op::Op::to_line);
            Some(format!("step {} ({}): {}", conviction.step, op.unwrap_or_default(), all.join("; ")))
        }
    }
}

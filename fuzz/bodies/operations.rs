//! Operations asked of the reference, judged by every oracle after every step.
//!
//! Decides that a conviction of the sound reference is a failure, whoever is wrong: the allocator or the judge.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use arbitrary::{Arbitrary, Unstructured};
use poolproof::device::sim::GRANULE;
use poolproof::engine::attempt::{Attempt, attempt};
use poolproof::engine::lockstep::Course;
use poolproof::op::{DeviceCall, Op, OracleName, Setup, Step};
use poolproof::reference::Settings;
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
        let ops: Vec<String> = plan.ops.iter().map(Op::to_line).collect();
        panic!("{name}, {:?}: {failure}\n{}", plan.setup, ops.join("\n"));
    }
}

/// Every oracle, but for what is known of settings and worlds:
///
/// - expandable segments grow by whole pages, past a limit that the request alone would have kept (PyTorch does so);
/// - pages that the device would neither keep nor take back (a failed growth, then a failed unmap) are in no account
///   until they are tried again;
/// - a device counts memory in granules, which segments of odd sizes are not made of;
/// - a simulated device larger than its addresses says it has what nobody can be given.
fn judges(name: &TargetName, setup: &Setup, steps: &[Step]) -> BTreeSet<OracleName> {
    let config = name.options.iter().find(|(key, _)| key == "config").and_then(|(_, value)| value.as_deref());
    let settings: Settings = config.unwrap_or_default().parse().unwrap_or_default();
    let mut oracles: BTreeSet<OracleName> = OracleName::ALL.iter().copied().collect();
    if settings.expandable_segments {
        oracles.remove(&OracleName::Limit);
    }
    let fails =
        |step: &Step| matches!(step.op, Some(Op::Fault { call: DeviceCall::Unmap | DeviceCall::SetAccess, .. }));
    let strays = settings.expandable_segments && steps.iter().any(fails);
    if strays || !settings.large_segment.is_multiple_of(GRANULE) {
        oracles.remove(&OracleName::Telemetry);
    }
    if setup.device_bytes.iter().any(|&b| b > 1 << 38) || settings.large_segment > 1 << 38 {
        oracles.remove(&OracleName::Exhaustion);
    }
    oracles
}

/// What is wrong with a run of these steps, if anything. A target that cannot be opened is no failure.
pub fn failure(name: &TargetName, setup: &Setup, steps: &[Step], cells: &mut Cells) -> Option<String> {
    let oracles = judges(name, setup, steps);
    // One of them for each input: all would be six times the work.
    let relations = [OracleName::RELATIONS[steps.len() % OracleName::RELATIONS.len()]];
    let course = Course { steps, oracles: &oracles, epilogue: true, transcript: false, relations: &relations };
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
            let op = steps.get(conviction.step).and_then(|s| s.op.as_ref()).map(Op::to_line);
            Some(format!("step {} ({}): {}", conviction.step, op.unwrap_or_default(), all.join("; ")))
        }
    }
}

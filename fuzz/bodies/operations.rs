//! Operations asked of the reference, judged by every oracle after every step.
//!
//! Decides that a conviction of the sound reference is a failure, whoever is wrong: the allocator or the judge.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use arbitrary::{Arbitrary, Unstructured};
use poolproof::engine::attempt::{Attempt, attempt};
use poolproof::engine::lockstep::JudgedSequence;
use poolproof::op::GRANULE;
use poolproof::op::{DeviceCall, Op, OracleName, Setup, Step};
use poolproof::reference::Settings;
use poolproof::target::{self, TargetName};
use poolproof::verdict::Violation;

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

/// The reference under these settings, with a planted defect.
pub fn planted(defect: &str, config: &str) -> TargetName {
    let mut name = reference(config);
    name.options.push(("defect".to_owned(), Some(defect.to_owned())));
    name
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
/// - pages that are not made of granules are mapped by no device: a request that needs one is refused as the device says;
/// - a device counts memory in granules, which segments of odd sizes are not made of;
/// - a simulated device larger than its addresses says it has what nobody can be given.
fn judges(settings: &Settings, setup: &Setup, steps: &[Step]) -> BTreeSet<OracleName> {
    let mut oracles: BTreeSet<OracleName> = OracleName::ALL.iter().copied().collect();
    let odd = !settings.large_segment.is_multiple_of(GRANULE);
    if settings.expandable_segments {
        oracles.remove(&OracleName::Limit);
        if odd {
            oracles.remove(&OracleName::Refusal);
        }
    }
    let fails =
        |step: &Step| matches!(step.op, Some(Op::Fault { call: DeviceCall::Unmap | DeviceCall::SetAccess, .. }));
    let strays = settings.expandable_segments && steps.iter().any(fails);
    if strays || odd {
        oracles.remove(&OracleName::Telemetry);
    }
    if setup.device_bytes.iter().any(|&b| b > 1 << 38) || settings.large_segment > 1 << 38 {
        oracles.remove(&OracleName::Exhaustion);
    }
    oracles
}

fn settings(name: &TargetName) -> Settings {
    let config = name.options.iter().find(|(key, _)| key == "config").and_then(|(_, value)| value.as_deref());
    config.unwrap_or_default().parse().unwrap_or_default()
}

/// What PyTorch is known to do, so that the reference must:
///
/// - with `max_split_size_mb` a large block serves no small request. A request that finds no memory gives back the large
///   blocks of its own pool, and does not ask whether a graph was captured with them;
/// - there too, a flush cuts whole pages out of a free block of an expandable segment; the request that caused it does
///   not look at what is left, which is small now, and is refused, but the same request again finds it;
/// - there too, a request that finds no memory while something is redirected gives back large blocks of its own pool; if
///   these alone are not enough it is refused, whatever was free beside them;
/// - a growth of an expandable segment may be given back in pieces, each of which a private pool counts as one: a dead
///   pool is forgotten too early, and what it has left is never given back.
fn is_known(violation: &Violation, settings: &Settings, steps: &[Step]) -> bool {
    let (pages, splits) = (settings.expandable_segments, settings.max_split == u64::MAX);
    let redirects = steps.iter().filter_map(|s| s.op.as_ref()).any(makes_pool);
    match violation.oracle {
        OracleName::PrivatePools => !splits && violation.requirement.is_some_and(|r| r.to_string() == "CAPT-02"),
        OracleName::Exhaustion if redirects => !splits,
        OracleName::Exhaustion => pages && !splits && violation.message.en.contains("right after, was served"),
        OracleName::Leak | OracleName::Trim => pages && redirects,
        _ => false,
    }
}

fn makes_pool(op: &Op) -> bool {
    matches!(op, Op::PoolCreate { .. } | Op::CaptureBegin { .. })
}

/// What is wrong with a run, and who says so.
pub struct Failure {
    /// The first oracle that convicted; `panic` where the target did.
    pub oracle: String,
    pub text: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// What is wrong with a run of these steps, if anything. A target that cannot be opened is no failure.
pub fn failure(name: &TargetName, setup: &Setup, steps: &[Step], cells: &mut Cells) -> Option<Failure> {
    let settings = settings(name);
    let oracles = judges(&settings, setup, steps);
    // One of them for each input: all would be six times the work.
    let relations = [OracleName::RELATIONS[steps.len() % OracleName::RELATIONS.len()]];
    let course = JudgedSequence {
        steps,
        oracles: &oracles,
        epilogue: true,
        transcript: false,
        relations: &relations,
        only: None,
        exact: false,
    };
    let shared = Arc::new(Mutex::new(std::mem::take(cells)));
    let open = |setup: &Setup| {
        let inner = target::open(name, setup)?;
        Ok(Box::new(Watched::new(inner, Arc::clone(&shared))) as Box<dyn target::Target>)
    };
    let ended = attempt(&open, setup, &course);
    *cells = shared.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match ended {
        Err(_) => None,
        Ok(Attempt::Panicked(panicked)) => {
            let text = format!("panicked at step {}: {}", panicked.step, panicked.text);
            Some(Failure { oracle: "panic".to_owned(), text })
        }
        Ok(Attempt::Ran(run)) => {
            run.reached.iter().for_each(|&m| cells.reached(m));
            let conviction = run.conviction?;
            let unknown: Vec<_> = conviction.violations.iter().filter(|v| !is_known(v, &settings, steps)).collect();
            let oracle = unknown.first()?.oracle.name().to_owned();
            let says = |v: &&Violation| format!("{}: {}", v.oracle.name(), v.message.en);
            let all: Vec<String> = unknown.iter().map(says).collect();
            let op = steps.get(conviction.step).and_then(|s| s.op.as_ref()).map(Op::to_line);
            let text = format!("step {} ({}): {}", conviction.step, op.unwrap_or_default(), all.join("; "));
            Some(Failure { oracle, text })
        }
    }
}

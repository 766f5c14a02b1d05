//! One sequence, swept: run as it is, then once for each of its device calls and each error of that call,
//! then with pairs of faults.
//!
//! Decides which faults are tried and what is counted. Who judges is the scenario's; expectations are none of
//! them, for they speak of a course without faults.

use crate::op::{BlockId, DeviceCall, DeviceId, FaultError, Names, Op, Setup, Step, StreamId, Via};
use crate::target::TargetError;
use crate::verdict::Reproducer;
use crate::workload::scatter;

use crate::engine::attempt::{Attempt, Panicked, attempt};
use crate::engine::case::Case;
use crate::engine::caught::{Author, Caught};
use crate::engine::failure;
use crate::engine::lockstep::Conviction;
use crate::engine::stop::{Budget, Patience};

/// The blocks with which a sequence ends that shows that requests are still served; sequences number theirs
/// from 0, retries theirs from further up.
const AFTERMATH: u32 = 0xE000_0000;

/// A sequence makes fewer calls of one kind than this; a target that never stops is stopped.
const MOST_CALLS: u32 = 1 << 20;

/// A sequence to be swept.
pub(super) struct Subject<'a> {
    pub(super) case: &'a Case<'a>,
    /// The value of `for_each`, for the evidence.
    pub(super) label: String,
    pub(super) names: Names,
    pub(super) setup: Setup,
    /// Operations alone, faults of the scenario's own left out.
    pub(super) steps: Vec<Step>,
    pub(super) seed: u64,
    /// On the target as it was named, not on a sibling.
    pub(super) as_given: bool,
}

impl<'a> Subject<'a> {
    pub(super) fn new(case: &'a Case<'a>, label: &str, setup: Setup, steps: &[Step], seed: u64) -> Self {
        let asked = steps.iter().filter_map(|s| s.op.clone()).filter(|op| !matches!(op, Op::Fault { .. }));
        let mut steps: Vec<Step> = asked.map(Step::from).collect();
        steps.extend(aftermath(setup.device_bytes.len()));
        Subject { case, label: label.to_owned(), names: Names::default(), setup, steps, seed, as_given: true }
    }

    /// A failure made small and run again.
    pub(super) fn pin_down(&self, steps: &[Step], conviction: &Conviction, patience: Patience<'_>) -> Caught {
        failure::pin_down(self.case, &self.setup, steps, conviction, self.author(), patience)
    }

    /// The failure before it is made small.
    pub(super) fn as_found(&self, steps: &[Step], conviction: &Conviction) -> Caught {
        failure::as_found(self.case, &self.setup, steps, conviction, self.author())
    }

    fn author(&self) -> Author<'_> {
        Author { label: &self.label, names: &self.names }
    }

    pub(super) fn reproducer(&self, steps: Vec<Step>) -> Reproducer {
        failure::reproducer(self.case, self.setup.clone(), steps, self.names.clone())
    }

    /// The sequence behind its planned faults.
    fn with(&self, faults: &[Fault]) -> Vec<Step> {
        faults.iter().map(|f| Step::from(f.plan())).chain(self.steps.iter().cloned()).collect()
    }
}

/// A small and a large request on each device, and their return.
fn aftermath(devices: usize) -> Vec<Step> {
    let mut steps = Vec::new();
    for (device, first) in (0..).zip((AFTERMATH..).step_by(2)).take(devices) {
        let blocks = [(BlockId(first), 700), (BlockId(first + 1), 3 << 20)];
        let (device, stream, via) = (Some(DeviceId(device)), StreamId(0), Via::Raw);
        steps.extend(blocks.map(|(block, bytes)| Step::from(Op::Alloc { block, device, stream, bytes, via })));
        steps.extend(blocks.map(|(block, _)| Step::from(Op::Free { block })));
    }
    steps
}

/// The call of a kind on a device, counted from 0, and the error it fails with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fault {
    device: DeviceId,
    call: DeviceCall,
    at: u32,
    error: FaultError,
}

impl Fault {
    fn plan(self) -> Op {
        Op::Fault { device: self.device, call: self.call, skip: self.at, error: Some(self.error) }
    }
}

/// What a sequence led to.
#[derive(Debug, Clone)]
pub(super) enum Found {
    Convicted(Conviction),
    Panicked(Panicked),
}

/// The first failure of a swept sequence by calls of one kind.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) steps: Vec<Step>,
    pub(super) found: Found,
    /// The kind of the first planned fault; `None` if the sequence fails by itself.
    pub(super) call: Option<DeviceCall>,
}

/// The counts of one kind of call.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Count {
    pub(super) seen: u64,
    pub(super) failed: u64,
    pub(super) singles: u64,
    pub(super) pairs: u64,
    pub(super) states: u64,
    /// Whether one of them was failed at all, and whether a promise was broken after that.
    pub(super) sequences: u64,
    pub(super) broken: u64,
}

/// What was counted of one sequence.
#[derive(Debug, Clone, Default)]
pub(super) struct Tried {
    pub(super) counts: [Count; DeviceCall::ALL.len()],
    pub(super) runs: u64,
    pub(super) operations: u64,
    pub(super) cut_short: bool,
    /// The first of each kind of call.
    pub(super) failures: Vec<Failure>,
}

/// Why a sequence is not swept any further.
enum Stop {
    Target(TargetError),
    Failed,
    Late,
}

impl From<TargetError> for Stop {
    fn from(error: TargetError) -> Self {
        Stop::Target(error)
    }
}

/// Sweeps one sequence, up to the first failure of each kind of call.
pub(super) fn sweep(subject: &Subject<'_>, pairs: u32, budget: &Budget<'_>) -> Result<Tried, TargetError> {
    let mut trial = Trial { subject, budget, tried: Tried::default(), calls: Vec::new() };
    match trial.all(pairs) {
        Err(Stop::Target(error)) => return Err(error),
        Err(Stop::Late) => trial.tried.cut_short = true,
        Ok(()) | Err(Stop::Failed) => {}
    }
    Ok(trial.tried)
}

struct Trial<'a> {
    subject: &'a Subject<'a>,
    budget: &'a Budget<'a>,
    tried: Tried,
    /// Kinds of calls by device, and how many there are.
    calls: Vec<(DeviceId, DeviceCall, u32)>,
}

impl Trial<'_> {
    fn all(&mut self, pairs: u32) -> Result<(), Stop> {
        self.run(&[])?;
        let devices = (0..).map(DeviceId).take(self.subject.setup.device_bytes.len());
        for (device, call) in devices.flat_map(|d| DeviceCall::ALL.map(|call| (d, call))) {
            let at = self.fail_all(device, call)?;
            if at > 0 {
                self.calls.push((device, call, at));
            }
        }
        if !self.tried.failures.is_empty() {
            return Err(Stop::Failed);
        }
        let mut draw = Draw(self.subject.seed);
        if !self.calls.is_empty() {
            (0..pairs).try_for_each(|nth| self.fail_two(nth, &mut draw))?;
        }
        Ok(())
    }

    /// Fails the calls of a kind one by one, up to the first after which a promise is broken; answers how many there are.
    fn fail_all(&mut self, device: DeviceId, call: DeviceCall) -> Result<u32, Stop> {
        let mut at = 0;
        let stopped = loop {
            match self.fail_with_each_error(device, call, at) {
                Ok(true) if at + 1 < MOST_CALLS => at += 1,
                Ok(is_there) => break Ok(at + u32::from(is_there)),
                Err(Stop::Failed) => {
                    at += 1;
                    break Err(());
                }
                Err(stop) => return Err(stop),
            }
        };
        let count = &mut self.tried.counts[call as usize];
        count.sequences += u64::from(at > 0);
        count.broken += u64::from(stopped.is_err());
        Ok(stopped.unwrap_or(at))
    }

    /// Whether there is such a call.
    fn fail_with_each_error(&mut self, device: DeviceId, call: DeviceCall, at: u32) -> Result<bool, Stop> {
        for (nth, &error) in call.documented_errors().iter().enumerate() {
            let ran = self.run(&[Fault { device, call, at, error }]);
            let states = match ran {
                Ok((0, _)) => return Ok(false),
                Ok((_, states)) => states,
                Err(Stop::Failed) => 0,
                Err(stop) => return Err(stop),
            };
            let count = &mut self.tried.counts[call as usize];
            if nth == 0 {
                count.seen += 1;
                count.failed += 1;
            }
            count.singles += 1;
            count.states += states;
            ran?;
        }
        Ok(true)
    }

    /// Two faults in one run: every other time in two calls of a kind one after the other, as a second
    /// attempt meets them.
    fn fail_two(&mut self, nth: u32, draw: &mut Draw) -> Result<(), Stop> {
        let mut first = self.pick(draw);
        let mut second = if nth.is_multiple_of(2) {
            let errors = first.call.documented_errors();
            Fault { at: first.at.saturating_add(1), error: errors[draw.below(errors.len())], ..first }
        } else {
            self.pick(draw)
        };
        if (second.device, second.call) == (first.device, first.call) {
            if second.at < first.at {
                std::mem::swap(&mut first, &mut second);
            }
            // the device does not count a call that fails towards the plans behind it
            second.at = second.at.saturating_sub(1).max(first.at);
        }
        let (fired, states) = self.run(&[first, second])?;
        let count = &mut self.tried.counts[first.call as usize];
        count.pairs += u64::from(fired == 2);
        count.states += states;
        Ok(())
    }

    /// Any call that the sequence makes when nothing fails; kinds are drawn alike, however many calls each has.
    fn pick(&self, draw: &mut Draw) -> Fault {
        let (device, call, count) = self.calls[draw.below(self.calls.len())];
        let errors = call.documented_errors();
        let at = draw.below(count as usize);
        Fault { device, call, at: u32::try_from(at).unwrap_or(0), error: errors[draw.below(errors.len())] }
    }

    /// Runs the sequence with these faults: how many fired, and the steps judged after the first.
    fn run(&mut self, faults: &[Fault]) -> Result<(u64, u64), Stop> {
        if self.budget.is_spent() {
            return Err(Stop::Late);
        }
        let steps = self.subject.with(faults);
        let case = self.subject.case;
        let attempt = attempt(case.open, &self.subject.setup, &case.sequence(&steps))?;
        self.tried.runs += 1;
        self.budget.ran(attempt.operations());
        let found = match attempt {
            Attempt::Ran(run) => {
                self.tried.operations += run.operations;
                match run.conviction {
                    None => return Ok((run.fired, run.judged_after_fault)),
                    Some(conviction) => Found::Convicted(conviction),
                }
            }
            Attempt::Panicked(panicked) => Found::Panicked(panicked),
        };
        self.tried.failures.push(Failure { steps, found, call: faults.first().map(|f| f.call) });
        Err(Stop::Failed)
    }
}

/// Numbers drawn from a seed.
struct Draw(u64);

impl Draw {
    /// Below `count`, which is not 0.
    fn below(&mut self, count: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let high = (u128::from(scatter(self.0)) * count as u128) >> 64;
        usize::try_from(high).unwrap_or(0)
    }
}

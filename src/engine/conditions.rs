//! What a minimal sequence cannot do without, read off the sequence: no step of it can be left out, so each says something.
//!
//! Decides which conditions are named. Of sequences that were not taken apart nothing is claimed. Only the size of the
//! largest request is tried anew, for a minimal sequence prefers round sizes to the smallest that fail.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::op::{BlockId, DeviceId, Milestone, Op, OracleName, Setup, Step, StreamId};
use crate::verdict::Condition;

use super::attempt::{Attempt, attempt};
use super::caught::Caught;
use super::failure::relations_of;
use super::fold::OpenNamed;
use super::lockstep::{JudgedSequence, Run};
use super::loss;
use super::stamp::Clock;

/// How long the smallest size that fails is looked for.
const LONGEST: Duration = Duration::from_secs(5);

/// Requests of up to this size are nothing to speak of.
const UNREMARKABLE: u64 = 1 << 20;

/// The conditions of a violation, in the order in which a reader wants them.
pub(super) fn of(caught: &Caught, open: &OpenNamed<'_>) -> Vec<Condition> {
    if !caught.minimal {
        return Vec::new();
    }
    let (setup, steps) = (&caught.reproducer.setup, &caught.reproducer.steps);
    let ops: Vec<&Op> = steps.iter().filter_map(|s| s.op.as_ref()).collect();
    let mut all = Vec::new();
    all.extend(setup.config.clone().map(Condition::Settings));
    all.extend(places(&ops));
    all.extend(steps_that_matter(steps));
    all.extend(counted(&ops));
    all.extend(refused(caught, open));
    all.extend(size(caught, open));
    if closes(caught) {
        all.push(Condition::Closing);
    }
    all
}

/// Devices, streams and threads.
fn places(ops: &[&Op]) -> Vec<Condition> {
    let mut all = Vec::new();
    let devices: BTreeSet<DeviceId> = ops.iter().filter_map(|op| op.device()).collect();
    let streams: BTreeSet<StreamId> = ops.iter().filter_map(|op| op.stream()).collect();
    let callers: BTreeSet<u8> =
        ops.iter().filter_map(|op| if let Op::Caller { caller } = op { Some(*caller) } else { None }).collect();
    if devices.len() > 1 {
        all.push(Condition::Devices(count(devices.len())));
    }
    match (streams.len(), streams.first()) {
        (1, Some(only)) if *only != StreamId(0) => all.push(Condition::SideStream),
        (several, _) if several > 1 => all.push(Condition::Streams(count(several))),
        _ => {}
    }
    if !callers.is_empty() {
        // The first calls come from thread 0.
        let zero = usize::from(!callers.contains(&0));
        all.push(Condition::Threads(count(callers.len() + zero)));
    }
    all
}

/// Steps of which each says something.
fn steps_that_matter(steps: &[Step]) -> Vec<Condition> {
    let mut all: Vec<Condition> = Vec::new();
    for (nth, op) in steps.iter().enumerate().filter_map(|(i, s)| Some((i, s.op.as_ref()?))) {
        let condition = match op {
            Op::Occupy { .. } => Condition::BusyStream { step: count(nth + 1) },
            Op::Neighbour { bytes: 1.., .. } => Condition::Neighbour,
            Op::WaitStream { .. } => Condition::WaitingStream,
            Op::RecordStream { .. } => Condition::RecordedStream,
            Op::SetFraction { fraction, .. } => Condition::Fraction(*fraction),
            Op::Fault { call, skip, error, .. } => {
                Condition::FailingCall { call: *call, number: skip.saturating_add(1), error: *error }
            }
            Op::EmptyCache => Condition::EmptiedCache,
            Op::FreePointer { .. } => Condition::BadPointer,
            Op::ResetPeak { .. } | Op::ResetAccumulated { .. } => Condition::Reset,
            Op::Alloc { bytes: 0, .. } => Condition::EmptyRequest,
            Op::Free { .. } => Condition::Freed,
            _ => continue,
        };
        if !all.contains(&condition) {
            all.push(condition);
        }
    }
    all
}

/// What a number says more of than one step.
fn counted(ops: &[&Op]) -> Vec<Condition> {
    let number = |is: fn(&Op) -> bool| count(ops.iter().filter(|op| is(op)).count());
    let requests = number(|op| matches!(op, Op::Alloc { .. }));
    let pools = number(|op| matches!(op, Op::PoolCreate { .. }));
    let captures = number(|op| matches!(op, Op::CaptureBegin { .. }));
    let mut all = Vec::new();
    if pools > 0 {
        all.push(Condition::PrivatePools(pools));
    }
    if captures > 0 {
        all.push(Condition::Captures(captures));
    }
    if requests > 1 {
        all.push(Condition::Requests(requests));
    }
    all
}

/// Whether a request was refused for lack of memory on the way.
fn refused(caught: &Caught, open: &OpenNamed<'_>) -> Option<Condition> {
    if loss::is_loss(caught.failure_key.oracle) {
        return None; // each run costs a process or a deadline
    }
    let run = run(caught, &caught.reproducer.setup, &caught.reproducer.steps, open)?;
    run.reached.contains(&Milestone::Oom).then_some(Condition::OutOfMemory)
}

/// The smallest size of the largest request that still fails, if it is worth a word.
fn size(caught: &Caught, open: &OpenNamed<'_>) -> Option<Condition> {
    let (setup, steps) = (&caught.reproducer.setup, &caught.reproducer.steps);
    let sizes = steps.iter().filter_map(|s| match s.op {
        Some(Op::Alloc { block, bytes, .. }) => Some((bytes, block)),
        _ => None,
    });
    let (largest, block) = sizes.max()?;
    if largest <= UNREMARKABLE
        || caught.failure_key.oracle == OracleName::Expectation
        || loss::is_loss(caught.failure_key.oracle)
    {
        return None;
    }
    let fails = |bytes: u64| {
        let steps = resized(steps, block, bytes);
        run(caught, setup, &steps, open).is_some_and(|run| caught.failure_key.find(&run).is_some())
    };
    let (mut low, mut high) = (0, largest);
    if fails(512) || !fails(largest) {
        return None; // any size will do, or it comes and goes
    }
    let clock = Clock::start();
    while high - low > 1 {
        if clock.is_past(Some(LONGEST)) {
            return None; // nothing that was learnt is true of every smaller size
        }
        let middle = low + (high - low) / 2;
        if fails(middle) { high = middle } else { low = middle }
    }
    (high > UNREMARKABLE).then_some(Condition::LargeRequest(high))
}

fn resized(steps: &[Step], which: BlockId, to: u64) -> Vec<Step> {
    let mut steps = steps.to_vec();
    for op in steps.iter_mut().filter_map(|s| s.op.as_mut()) {
        if let Op::Alloc { block, bytes, .. } = op
            && *block == which
        {
            *bytes = to;
        }
    }
    steps
}

/// Whether it takes the closing operations: without them nobody convicts.
fn closes(caught: &Caught) -> bool {
    let last = caught.transcript.last();
    caught.reproducer.epilogue && last.is_some_and(|line| line.added && line.asked == Op::EmptyCache.to_line())
}

fn run(caught: &Caught, setup: &Setup, steps: &[Step], open: &OpenNamed<'_>) -> Option<Run> {
    let open = open(&caught.reproducer.target)?;
    let oracles = caught.reproducer.oracles.iter().copied().collect();
    let relations: Vec<OracleName> =
        relations_of(&caught.reproducer.oracles).into_iter().filter(|o| *o == caught.failure_key.oracle).collect();
    let course =
        JudgedSequence { relations: &relations, ..JudgedSequence::new(steps, &oracles, caught.reproducer.epilogue) };
    match attempt(&*open, setup, &course) {
        Ok(Attempt::Ran(run)) => Some(*run),
        _ => None,
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

//! Operations through the whole harness, with every oracle and with none.

use std::collections::BTreeSet;

use super::Draw;
use crate::engine::attempt::{Attempt, Panicked, attempt};
use crate::engine::lockstep::JudgedSequence;
use crate::engine::{Clock, Named, inspect};
use crate::op::{BlockId, Capability, DeviceId, Op, OracleName, Setup, Step, StreamId, Via};
use crate::target::{TargetError, TargetName};

const REPEATS: u32 = 5;

/// Operations a second on one core.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Throughput {
    /// Operations of the sequences, without those the harness adds.
    pub given: u64,
    /// Operations executed with all oracles on: filling and reading blocks included.
    pub executed: u64,
    /// How long the best reading took with all oracles on.
    pub seconds_judged: f64,
    /// And without any.
    pub seconds_bare: f64,
    /// With all oracles and the twin, where the target has one.
    pub seconds_exact: Option<f64>,
}

/// The cost of one operation with so many live blocks, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CurvePoint {
    /// How many blocks.
    pub live: u32,
    /// With all oracles on.
    pub judged: f64,
    /// Without any.
    pub bare: f64,
}

/// A mixed life of a device: requests, frees, streams, resets, now and then a trim.
fn mixed(draw: &mut Draw, length: u32) -> Vec<Step> {
    let device = DeviceId(0);
    let mut live: Vec<BlockId> = Vec::new();
    let mut steps = Vec::new();
    for id in 0..length {
        let stream = StreamId(u8::try_from(draw.below(3)).unwrap_or(0));
        let pick = |draw: &mut Draw, live: &[BlockId]| usize::try_from(draw.below(live.len() as u64)).unwrap_or(0);
        let op = match draw.below(100) {
            0..45 => {
                live.push(BlockId(id));
                Op::Alloc { block: BlockId(id), device: Some(device), stream, bytes: draw.size(), via: Via::Raw }
            }
            45..90 if !live.is_empty() => {
                let at = pick(draw, &live);
                Op::Free { block: live.swap_remove(at) }
            }
            90..94 if !live.is_empty() => Op::RecordStream { block: live[pick(draw, &live)], stream },
            94..97 if !live.is_empty() => Op::Use { block: live[pick(draw, &live)], stream },
            97 => Op::ResetPeak { device },
            98 => Op::GetFraction { device: Some(device) },
            _ => Op::Synchronize { device },
        };
        steps.push(Step::from(op));
    }
    steps
}

/// How many sequences are measured, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    /// Sequences of a reading.
    pub sequences: u32,
    /// Readings, of which the best counts.
    pub repeats: u32,
}

impl Effort {
    /// For simulated devices.
    pub const FULL: Effort = Effort { sequences: 200, repeats: REPEATS };
    /// For targets whose contents are really written.
    pub const SHORT: Effort = Effort { sequences: 40, repeats: 2 };
}

/// Measures the mixed life with all oracles and with none.
///
/// # Errors
/// The target cannot be built.
pub fn throughput(name: &TargetName, effort: Effort) -> Result<Throughput, TargetError> {
    let mut draw = Draw::new(1);
    let sequences: Vec<Vec<Step>> = (0..effort.sequences).map(|_| mixed(&mut draw, 1000)).collect();
    let setup = Setup { device_bytes: vec![4 << 30], streams: 3, config: None };
    let all = OracleName::ALL.iter().copied().collect();
    let none = BTreeSet::new();
    let mut executed = 0;
    let with_twin: BTreeSet<OracleName> = OracleName::ALL.iter().copied().chain([OracleName::Exact]).collect();
    let mut time = |oracles: &BTreeSet<OracleName>| -> Result<f64, TargetError> {
        let clock = Clock::start();
        executed = 0;
        for steps in &sequences {
            executed += run(name, &setup, steps, oracles)?;
        }
        Ok(clock.seconds())
    };
    let (mut judged, mut bare, mut exact) = (f64::INFINITY, f64::INFINITY, f64::INFINITY);
    let info = inspect(&Named(name), &setup)?.map_err(|reason| panicked(name, reason))?.0;
    let has_twin = info.can(Capability::ExactPolicy);
    let mut executed_judged = 0;
    for _ in 0..effort.repeats {
        bare = bare.min(time(&none)?);
        if has_twin {
            exact = exact.min(time(&with_twin)?);
        }
        judged = judged.min(time(&all)?);
    }
    executed_judged += executed;
    let given = sequences.iter().map(|s| s.len() as u64).sum();
    Ok(Throughput {
        given,
        executed: executed_judged,
        seconds_judged: judged,
        seconds_bare: bare,
        seconds_exact: has_twin.then_some(exact),
    })
}

/// Fills a device with `live` blocks, then frees one and asks for one, over and over.
fn churn(live: u32, rounds: u32) -> Vec<Step> {
    let mut draw = Draw::new(u64::from(live));
    let alloc = |draw: &mut Draw, block| {
        let device = Some(DeviceId(0));
        Step::from(Op::Alloc { block, device, stream: StreamId(0), bytes: 512 + draw.below(60_000), via: Via::Raw })
    };
    let mut held: Vec<BlockId> = (0..live).map(BlockId).collect();
    let mut steps: Vec<Step> = held.iter().map(|&block| alloc(&mut draw, block)).collect();
    for round in 0..rounds {
        let at = usize::try_from(draw.below(u64::from(live))).unwrap_or(0);
        let fresh = BlockId(live + round);
        steps.push(Step::from(Op::Free { block: std::mem::replace(&mut held[at], fresh) }));
        steps.push(alloc(&mut draw, fresh));
    }
    steps
}

/// The cost of an operation at each number of live blocks: a filled device with churn, less the filling.
///
/// # Errors
/// The target cannot be built.
pub fn curve(name: &TargetName, points: &[u32]) -> Result<Vec<CurvePoint>, TargetError> {
    const ROUNDS: u32 = 20_000;
    let setup = Setup { device_bytes: vec![1 << 40], streams: 1, config: None };
    let all: BTreeSet<OracleName> = OracleName::ALL.iter().copied().collect();
    let none = BTreeSet::new();
    let cost = |live: u32, oracles: &BTreeSet<OracleName>| -> Result<f64, TargetError> {
        let (filling, whole) = (churn(live, 0), churn(live, ROUNDS));
        let time = |steps: &[Step]| -> Result<f64, TargetError> {
            let mut best = f64::INFINITY;
            for _ in 0..REPEATS {
                let clock = Clock::start();
                run(name, &setup, steps, oracles)?;
                best = best.min(clock.seconds());
            }
            Ok(best)
        };
        Ok((time(&whole)? - time(&filling)?) * 1e9 / f64::from(2 * ROUNDS))
    };
    points.iter().map(|&live| Ok(CurvePoint { live, judged: cost(live, &all)?, bare: cost(live, &none)? })).collect()
}

fn run(name: &TargetName, setup: &Setup, steps: &[Step], oracles: &BTreeSet<OracleName>) -> Result<u64, TargetError> {
    let sequence = JudgedSequence { only: None, ..JudgedSequence::new(steps, oracles, false) };
    let run = match attempt(&Named(name), setup, &sequence)? {
        Attempt::Ran(run) => run,
        Attempt::Panicked(Panicked { text, .. }) => return Err(panicked(name, text)),
    };
    debug_assert!(run.conviction.is_none() && run.departure.is_none(), "a sound target: {run:?}");
    Ok(run.operations)
}

fn panicked(name: &TargetName, text: String) -> TargetError {
    TargetError::Unavailable { target: name.to_string(), reason: format!("it panicked: {text}") }
}

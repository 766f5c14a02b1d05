//! Sequences: what is drawn, what is set up first, where faults go, and how a round is repeated.
//!
//! Decides the order of a generated sequence. What each draft means is decided by `resolve`.

use super::draft::{self, Drafts, FaultDraft};
use super::resolve::{Bounds, Resolver};
use super::seed::{runner, scatter};
use super::size::below;
use super::weights::Table;
use crate::op::{DeviceId, Op, Setup, Step, StreamId};
use crate::spec::{FaultWhen, Generate, OpKind, Scenario};

/// A planned fault lets at most this many calls go ahead, less one.
const SKIPS: usize = 4;

/// More pools at a time than a redirection is likely to come back to.
const MOST_POOLS: usize = 5;

/// Draws one sequence. The same scenario, seed and index give the same operations on every machine.
#[must_use]
pub fn sequence(scenario: &Scenario, generate: &Generate, setup: &Setup, seed: u64, index: u32) -> Vec<Step> {
    let mut runner = runner(seed, &scenario.id, index);
    let drafts = draft::draw(&mut runner, &generate.length, generate.faults.len());
    let bounds = Bounds {
        capacities: &setup.device_bytes,
        streams: within(drafts.streams, &generate.streams, setup.streams.min(StreamId::LIMIT)),
        callers: within(drafts.callers, &generate.callers, u8::MAX),
        pools: MOST_POOLS,
        pages: false,
    };
    let body = if generate.cycles > 1 {
        rounds(scenario, generate, &drafts, bounds)
    } else {
        let table = Table::new(&generate.weights, |_| true);
        let mut resolver = Resolver::new(&scenario.requires, generate, &table, bounds);
        let ops = drafts.ops.iter().filter_map(|d| resolver.resolve(d)).collect();
        plant(ops, generate, &drafts.faults, bounds.devices())
    };
    limits(generate, setup).chain(body).map(Step::from).collect()
}

/// How many of something a sequence uses: drawn from the range, at least 1, at most `most`.
fn within(draw: u32, range: &std::ops::RangeInclusive<u8>, most: u8) -> u8 {
    let low = (*range.start()).clamp(1, most.max(1));
    let high = (*range.end()).clamp(low, most.max(1));
    low + u8::try_from(below(draw, usize::from(high - low) + 1)).unwrap_or(0) // below a u8 plus one
}

/// The memory fraction that leaves `limit_bytes` on each device.
pub(super) fn limits<'a>(generate: &Generate, setup: &'a Setup) -> impl Iterator<Item = Op> + 'a {
    let limit = generate.limit_bytes;
    #[expect(clippy::cast_precision_loss, reason = "a byte more or less in 2^53")]
    let fraction = move |total: u64| limit.map(|l| if l < total { l as f64 / total as f64 } else { 1.0 });
    (0..).zip(&setup.device_bytes).filter_map(move |(device, &total)| {
        Some(Op::SetFraction { device: Some(DeviceId(device)), fraction: fraction(total)? })
    })
}

/// Puts the planned faults between the operations.
pub(super) fn plant(ops: Vec<Op>, generate: &Generate, drafts: &[FaultDraft], devices: usize) -> Vec<Op> {
    if generate.faults.is_empty() {
        return ops;
    }
    let device = |draw| DeviceId(i32::try_from(below(draw, devices)).unwrap_or(0)); // devices are few
    let mut planned: Vec<(usize, Op)> = Vec::new();
    for (plan, draft) in generate.faults.iter().zip(drafts) {
        match plan.when {
            FaultWhen::Seeded => {
                let skip = u32::try_from(below(draft.skip, SKIPS)).unwrap_or(0); // below SKIPS
                let op = Op::Fault { device: device(draft.device), call: plan.call, skip, error: None };
                planned.push((below(draft.position, ops.len() + 1), op));
            }
            FaultWhen::Every(0) => {}
            FaultWhen::Every(n) => {
                for (turn, position) in (0_u64..).zip((n as usize..=ops.len()).step_by(n as usize)) {
                    let draw = u32::try_from(scatter(u64::from(draft.device) + turn) >> 32).unwrap_or(0); // 32 bits
                    planned.push((position, Op::Fault { device: device(draw), call: plan.call, skip: 0, error: None }));
                }
            }
        }
    }
    planned.sort_by_key(|&(position, _)| position); // stable: plans of one position keep their order
    let mut planned = planned.into_iter().peekable();
    let mut all = Vec::with_capacity(ops.len() + planned.len());
    for (position, op) in ops.into_iter().enumerate() {
        while let Some((_, fault)) = planned.next_if(|&(at, _)| at <= position) {
            all.push(fault);
        }
        all.push(op);
    }
    all.extend(planned.map(|(_, fault)| fault));
    all
}

/// One drawn round, again and again with fresh blocks. A round starts from the same callers and current
/// devices, frees what it asked for, and leaves no stream busy, so that any growth is the allocator's.
fn rounds(scenario: &Scenario, generate: &Generate, drafts: &Drafts, bounds: Bounds<'_>) -> Vec<Op> {
    use OpKind::{
        Fault, Neighbour, ResetAccumulated, ResetPeak, SetCaching, SetFraction, SetFractionInvalid, SetSettings,
        SetSettingsInvalid,
    };
    // what a graph held, or a pool with live blocks, stays until a flush
    let leaves =
        |kind| matches!(kind, OpKind::CaptureBegin | OpKind::CaptureEnd | OpKind::GraphReset | OpKind::PoolDelete);
    let flushes = generate.weights.entries.iter().any(|&(kind, weight)| kind == OpKind::EmptyCache && weight > 0);
    let steady = |kind| {
        let moves = matches!(kind, SetFraction | Neighbour | SetFractionInvalid | ResetPeak | ResetAccumulated | Fault)
            || matches!(kind, SetCaching | SetSettings | SetSettingsInvalid);
        !moves && (flushes || !leaves(kind))
    };
    let table = Table::new(&generate.weights, steady);
    let mut resolver = Resolver::new(&scenario.requires, generate, &table, bounds);
    let mut round = start(&table, bounds.callers);
    round.extend(drafts.ops.iter().filter_map(|d| resolver.resolve(d)));
    resolver.end_redirects(&mut round);
    resolver.free_all(&mut round);
    for device in (0..).map(DeviceId).take(bounds.devices()) {
        if round
            .iter()
            .any(|op| matches!(op, Op::Occupy { device: d, .. } | Op::WaitStream { device: d, .. } if *d == device))
        {
            round.push(Op::Synchronize { device });
        }
    }
    resolver.drop_pools(&mut round);
    if flushes && round.iter().any(|op| op.pool().is_some() || op.graph().is_some()) {
        round.push(Op::EmptyCache);
    }
    round.push(Op::CycleEnd);
    let (ids, (pools, graphs)) = (resolver.ids(), resolver.pool_names());
    let by = move |turn: u32| (turn.saturating_mul(ids), turn.saturating_mul(pools), turn.saturating_mul(graphs));
    let again = |turn: u32| round.iter().map(move |op| shifted(op, by(turn)));
    (0..generate.cycles).flat_map(again).collect()
}

fn start(table: &Table, callers: u8) -> Vec<Op> {
    let (moves, switches) = (table.has(OpKind::SetCurrent), table.has(OpKind::Caller));
    let mut ops = Vec::new();
    for caller in (0..if switches { callers } else { 1 }).rev() {
        if switches {
            ops.push(Op::Caller { caller });
        }
        if moves {
            ops.push(Op::SetCurrent { device: DeviceId(0) });
        }
    }
    ops
}

/// The same operation on the blocks, pools and graphs of a later round.
fn shifted(op: &Op, (blocks, pools, graphs): (u32, u32, u32)) -> Op {
    let mut op = op.clone();
    if let Some(block) = op.block_mut() {
        block.0 = block.0.saturating_add(blocks);
    }
    if let Some(pool) = op.pool_mut() {
        pool.0 = pool.0.saturating_add(pools);
    }
    for graph in op.graphs_mut().into_iter().flatten() {
        graph.0 = graph.0.saturating_add(graphs);
    }
    op
}

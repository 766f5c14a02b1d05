//! Growth: a request takes no more from the device than the contract says, and a steady cycle of requests
//! reaches a fixpoint of reserved memory.
//!
//! A cycle is judged at the end, from the figures at each end of a round: it must not reserve more, nor hold more device
//! allocations, than ever before in each of its last three quarters. Any allocator that moves no block needs some rounds
//! to settle, and which block it takes decides how many. Does not cover: growth that stops within the first three
//! quarters, or begins after half; fewer than sixteen rounds; rounds that do not ask the same things in the same order (the first apart); and
//! devices on which, after the first round, a request was refused for lack of memory or retried, a planned fault fired, or a block
//! was freed that had outlived its private pool: what it leaves may wait for the next flush, as it does in PyTorch.

use std::hash::{Hash, Hasher};

use rustc_hash::{FxHashMap, FxHasher};

use super::cite::{GROW_01, GROW_02, say};
use super::{Oracle, Seen};
use crate::model::{Effect, Owner};
use crate::op::{
    BlockId, Capability, Counter, Family, GraphName, Observation, Op, OracleName, PoolName, RefusalClass, TargetInfo,
    wording,
};
use crate::verdict::Violation;

const LEAST_ROUNDS: usize = 16;

/// What a device held at the end of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    reserved: i64,
    /// Device allocations less device frees.
    held: i64,
}

pub(super) struct Growth {
    counters: bool,
    /// Memory goes back in the pieces in which it came, so that the calls balance.
    balanced: bool,
    /// By round, then by device.
    rounds: Vec<Vec<Mark>>,
    /// Devices where the rounds were disturbed.
    disturbed: Vec<bool>,
    /// What each round asked.
    asked: Vec<u64>,
    hasher: FxHasher,
    /// Blocks of this round, by the order in which it asked for them.
    blocks: FxHashMap<BlockId, u32>,
    /// Pools and graphs likewise.
    pools: FxHashMap<PoolName, u32>,
    graphs: FxHashMap<GraphName, u32>,
}

impl Growth {
    pub(super) fn new(info: &TargetInfo) -> Self {
        Growth {
            counters: info.can(Capability::Counters),
            balanced: info.contract.counts_segments,
            rounds: Vec::new(),
            disturbed: vec![false; info.devices.len()],
            asked: Vec::new(),
            hasher: FxHasher::default(),
            blocks: FxHashMap::default(),
            pools: FxHashMap::default(),
            graphs: FxHashMap::default(),
        }
    }

    /// Adds an operation to what this round asked. Looking is not asking.
    fn note(&mut self, op: &Op) {
        let hasher = &mut self.hasher;
        let mut add = |kind: u8, a: u64, b: u64| (kind, a, b).hash(hasher);
        let device = |d: &Option<crate::op::DeviceId>| d.map_or(u64::MAX, |d| u64::from(d.0.cast_unsigned()));
        let order = |block: &BlockId| self.blocks.get(block).map_or(u64::MAX, |&n| u64::from(n));
        match op {
            Op::Alloc { block, device: place, stream, bytes, via } => {
                add(0, *bytes, u64::from(stream.0) << 1 | u64::from(*via == crate::op::Via::Tensor));
                add(1, device(place), 0);
                let next = u32::try_from(self.blocks.len()).unwrap_or(u32::MAX);
                self.blocks.insert(*block, next);
            }
            Op::Free { block } => add(2, order(block), 0),
            Op::RecordStream { block, stream } => add(3, order(block), u64::from(stream.0)),
            Op::Use { block, stream } => add(4, order(block), u64::from(stream.0)),
            Op::Occupy { device, stream } => add(5, u64::from(device.0.cast_unsigned()), u64::from(stream.0)),
            Op::Finish { device, stream } => add(6, u64::from(device.0.cast_unsigned()), u64::from(stream.0)),
            Op::WaitStream { device, stream, on } => {
                add(12, u64::from(device.0.cast_unsigned()), u64::from(stream.0) << 8 | u64::from(on.0));
            }
            Op::Neighbour { device, bytes } => add(13, u64::from(device.0.cast_unsigned()), *bytes),
            Op::Synchronize { device } => add(7, u64::from(device.0.cast_unsigned()), 0),
            Op::EmptyCache => add(8, 0, 0),
            Op::SetFraction { device: place, fraction } => add(9, device(place), fraction.to_bits()),
            Op::SetSettings { settings } => settings.hash(hasher),
            Op::SetCaching { enabled } => add(12, u64::from(*enabled), 0),
            Op::SetCurrent { device } => add(10, u64::from(device.0.cast_unsigned()), 0),
            Op::Caller { caller } => add(11, u64::from(*caller), 0),
            _ => self.note_pools(op),
        }
    }

    /// The same for operations on pools and captures.
    fn note_pools(&mut self, op: &Op) {
        let mut op = op.clone();
        let (pools, graphs) = (&mut self.pools, &mut self.graphs);
        if let Some(pool) = op.pool_mut() {
            let next = u32::try_from(pools.len()).unwrap_or(u32::MAX);
            pool.0 = *pools.entry(*pool).or_insert(next);
        }
        for graph in op.graphs_mut().into_iter().flatten() {
            let next = u32::try_from(graphs.len()).unwrap_or(u32::MAX);
            graph.0 = *graphs.entry(*graph).or_insert(next);
        }
        if op.pool().is_some() || op.graph().is_some() {
            op.to_line().hash(&mut self.hasher);
        }
    }

    /// What a served request took from the device.
    fn judge_request(&self, seen: &Seen<'_>, convictions: &mut Vec<Violation>) {
        let (Some(Op::Alloc { bytes, .. }), Effect::Allocated(block, live)) = (seen.op, seen.effect) else { return };
        let reserved = |views: &Observation| {
            views.devices.get(live.device).map_or(0, |v| v.stats.all(Family::ReservedBytes).current)
        };
        let took = u64::try_from(reserved(seen.after) - reserved(seen.before)).unwrap_or(0);
        if took == 0 {
            return;
        }
        let most = seen.model.at_most(*bytes);
        if took > most {
            let device = live.device;
            let (bytes, took, most) = (wording::bytes(*bytes), wording::bytes(took), wording::bytes(most));
            let message = say!(
                "{block} of {bytes} took {took} from device {device}, more than the {most} that the contract allows",
                "{block}（{bytes}）向设备 {device} 获取了 {took}，超过契约所允许的 {most}"
            );
            let what = say!("memory that {block} took from device {device}", "{block} 向设备 {device} 获取的内存");
            let violation = Violation::new(self.name(), Some(GROW_02), message);
            convictions.push(violation.figure(what, say!("at most {most}", "至多 {most}"), took));
        }
    }

    fn end_round(&mut self, after: &Observation) {
        let counter =
            |d: &crate::op::DeviceView, which| if self.counters && self.balanced { d.stats.counter(which) } else { 0 };
        let marks = after.devices.iter().map(|d| Mark {
            reserved: d.stats.all(Family::ReservedBytes).current,
            held: counter(d, Counter::NumDeviceAlloc) - counter(d, Counter::NumDeviceFree),
        });
        self.rounds.push(marks.collect());
        self.asked.push(std::mem::take(&mut self.hasher).finish());
        self.blocks.clear();
        self.pools.clear();
        self.graphs.clear();
    }

    fn note_disturbances(&mut self, seen: &Seen<'_>) {
        for (device, (before, after)) in seen.before.devices.iter().zip(&seen.after.devices).enumerate() {
            let moved = |which| before.stats.counter(which) != after.stats.counter(which);
            let retried = self.counters && (moved(Counter::NumAllocRetries) || moved(Counter::NumOoms));
            let is_meant = |op: &&Op| seen.model.device_of(op) == Some(device);
            let reset = seen.served().filter(is_meant).is_some_and(|op| matches!(op, Op::ResetAccumulated { .. }));
            if (retried || reset || before.faults_fired != after.faults_fired)
                && let Some(disturbed) = self.disturbed.get_mut(device)
            {
                *disturbed = true;
            }
        }
        // A call that is refused for its arguments changes nothing, and so excuses nothing.
        let class = seen.reply.refusal().map(|r| r.class);
        if matches!(class, Some(RefusalClass::OutOfMemory | RefusalClass::DeviceError | RefusalClass::Unsupported)) {
            seen.scope().positions(self.disturbed.len()).for_each(|device| self.disturbed[device] = true);
        }
    }

    /// What an orphan leaves behind serves nobody, and no round needs it to be given back before a flush.
    fn note_orphan(&mut self, seen: &Seen<'_>) {
        if let Effect::Freed(_, live) = seen.effect
            && let Owner::Private(pool) = live.owner
            && !seen.model.pools().is_alive(pool)
            && let Some(disturbed) = self.disturbed.get_mut(live.device)
        {
            *disturbed = true;
        }
    }

    fn judge_rounds(&self, convictions: &mut Vec<Violation>) {
        let count = self.rounds.len();
        // the first round also holds whatever prepared the cycle, and is not noted
        let steady = self.asked.get(1..).is_some_and(|rest| rest.windows(2).all(|w| w[0] == w[1]));
        if count < LEAST_ROUNDS || !steady {
            return;
        }
        for device in (0..self.disturbed.len()).filter(|&d| !self.disturbed[d]) {
            let marks: Vec<Mark> = self.rounds.iter().filter_map(|round| round.get(device).copied()).collect();
            let grows = |figure: fn(&Mark) -> i64| grows_throughout(&marks, figure);
            if marks.len() < count || !(grows(|m| m.reserved) || grows(|m| m.held)) {
                continue;
            }
            let first = count - 3 * (count / 4);
            let (settled, last) = (highest(&marks[..first]), highest(&marks));
            let (was, is) = (wording::bytes(settled.reserved), wording::bytes(last.reserved));
            let (was_held, held) = (settled.held, last.held);
            let message = say!(
                "after {first} equal rounds device {device} had reserved {was} in {was_held} device allocations, and after {count} {is} in {held}, with more in every quarter between: the cycle did not settle",
                "{first} 轮相同请求后，设备 {device} 以 {was_held} 次设备分配保留 {was}；{count} 轮后以 {held} 次保留 {is}，其间每四分之一均有增长：循环未达到稳定"
            );
            let (what, wanted, found) = if last.reserved > settled.reserved {
                (
                    say!(
                        "reserved memory of device {device} after {count} rounds",
                        "{count} 轮后设备 {device} 的保留内存"
                    ),
                    was,
                    is,
                )
            } else {
                let what = say!(
                    "device allocations of device {device} held after {count} rounds",
                    "{count} 轮后设备 {device} 持有的设备分配数"
                );
                (what, was_held.to_string(), held.to_string())
            };
            let line: Vec<String> = marks.iter().map(|m| m.reserved.to_string()).collect();
            let expected = say!("at most {wanted}", "至多 {wanted}");
            let violation = Violation::new(self.name(), Some(GROW_01), message).figure(what, expected, found);
            convictions.push(violation.with("reserved bytes after each round", "每轮后的保留字节", line.join(", ")));
        }
    }
}

/// The highest of each figure.
fn highest(marks: &[Mark]) -> Mark {
    let most = |figure: fn(&Mark) -> i64| marks.iter().map(figure).max().unwrap_or(0);
    Mark { reserved: most(|m| m.reserved), held: most(|m| m.held) }
}

/// Whether a figure rises above all that was before in each of the last three quarters.
fn grows_throughout(marks: &[Mark], figure: fn(&Mark) -> i64) -> bool {
    let quarter = marks.len() / 4;
    let most = |until: usize| marks[..until].iter().map(figure).max();
    let ends = [3, 2, 1, 0].map(|left| marks.len() - left * quarter);
    ends.windows(2).all(|w| most(w[1]) > most(w[0]))
}

impl Oracle for Growth {
    fn name(&self) -> OracleName {
        OracleName::Growth
    }

    fn judge(&mut self, seen: &Seen<'_>, convictions: &mut Vec<Violation>) {
        self.judge_request(seen, convictions);
        self.balanced &= seen.model.contract().counts_segments;
        if let Some(op) = seen.asked().filter(|_| !seen.is_retry) {
            if *op == Op::CycleEnd {
                self.end_round(seen.after);
            } else if !self.rounds.is_empty() {
                self.note(op);
                self.note_disturbances(seen);
                self.note_orphan(seen);
            }
        }
        if seen.is_end {
            self.judge_rounds(convictions);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::{PoolKind, Reply};
    use crate::oracle::fixture::Bench;

    /// Rounds of one allocation and one free each, that leave so much reserved.
    fn run(kept: &[i64], sizes: &[u64]) -> Vec<Violation> {
        let mut bench = Bench::new(OracleName::Growth);
        for (id, (&kept, &bytes)) in (1..).zip(kept.iter().zip(sizes.iter().cycle())) {
            bench.alloc(id, 0x1000, bytes).passes();
            bench.free(id).passes();
            let keep = |o: &mut Observation| o.devices[0].stats.increase(Family::ReservedBytes, PoolKind::Small, kept);
            bench.step(Op::CycleEnd, Reply::Done, keep).passes();
        }
        bench.end().all()
    }

    #[test]
    fn a_request_that_takes_more_than_the_contract_allows_convicts() {
        let (op, reply) = (crate::oracle::fixture::alloc(1, 600), Reply::Allocated { address: 0x1000 });
        let judged = Bench::new(OracleName::Growth).step(op, reply, |o| {
            crate::oracle::fixture::hand_out(&mut o.devices[0], 600);
            o.devices[0].stats.increase(Family::ReservedBytes, PoolKind::Small, 2 << 20);
        });
        let found = judged.convicts("GROW-02");
        insta::assert_snapshot!(found.message.en, @"b1 of 600 B took 2 MiB (2098176 B) from device 0, more than the 2 MiB that the contract allows");
    }

    /// So much more is kept in these rounds of so many, and nothing in the others.
    fn kept(rounds: usize, grow: &[usize]) -> Vec<i64> {
        (1..=rounds).map(|round| if grow.contains(&round) { 512 } else { 0 }).collect()
    }

    #[test]
    fn cycles_that_settle_pass() {
        assert_eq!(run(&kept(16, &[1, 2, 3, 9, 16]), &[600]), [], "late, but not in every quarter");
        assert_eq!(run(&kept(16, &[1, 5, 9, 12]), &[600]), [], "settled in the last quarter");
        assert_eq!(run(&[512; 15], &[600]), [], "too few rounds to tell");
    }

    #[test]
    fn cycles_that_keep_growing_convict() {
        let found = run(&[512; 16], &[600]);
        assert_eq!(found.len(), 1);
        insta::assert_snapshot!(found[0].message.en, @"after 4 equal rounds device 0 had reserved 2 KiB in 0 device allocations, and after 16 8 KiB in 0, with more in every quarter between: the cycle did not settle");
        assert_eq!(run(&kept(16, &[8, 9, 13]), &[600]).len(), 1, "once in every quarter");
    }

    #[test]
    fn rounds_that_differ_are_not_judged() {
        assert_eq!(run(&[512; 16], &[600, 700]), []);
    }

    /// Rounds in which a pool is deleted before or after its block is freed, and leaves a segment either way.
    fn rounds_with_pools(outlives: bool) -> Vec<Violation> {
        let mut bench = Bench::new(OracleName::Growth);
        let nothing = |_: &mut Observation| {};
        for round in 1..=16 {
            let (pool, device) = (PoolName(round), crate::op::DeviceId(0));
            let create = Op::PoolCreate { pool, device, use_on_oom: false, no_split: false };
            bench.step(create, Reply::Done, nothing).passes();
            bench.step(Op::PoolEnter { pool, device }, Reply::Done, nothing).passes();
            bench.alloc(round, 0x1000, 512).passes();
            bench.step(Op::PoolExit { pool, device }, Reply::Done, nothing).passes();
            if !outlives {
                bench.free(round).passes();
            }
            bench.step(Op::PoolDelete { pool }, Reply::Done, nothing).passes();
            if outlives {
                bench.free(round).passes();
            }
            let keep = |o: &mut Observation| o.devices[0].stats.increase(Family::ReservedBytes, PoolKind::Small, 512);
            bench.step(Op::CycleEnd, Reply::Done, keep).passes();
        }
        bench.end().all()
    }

    #[test]
    fn what_a_block_leaves_that_outlived_its_pool_is_excused() {
        assert_eq!(rounds_with_pools(true), Vec::new());
        assert_eq!(rounds_with_pools(false).len(), 1);
    }
}

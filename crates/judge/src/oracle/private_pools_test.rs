//! Steps that convict, and steps as close as possible that do not.

use super::*;
use crate::op::snapshot::{BlockState, BlockView};
use crate::op::{DeviceId, GraphName, Observation, Op, PoolKind, PoolName, StreamId};
use crate::oracle::fixture::{Bench, GIB, alloc, alloc_on, free, hand_out};

const P: PoolName = PoolName(0);
const G: GraphName = GraphName(0);
const DEVICE: DeviceId = DeviceId(0);

/// A bench on which a pool was made. Freed memory stays reserved.
fn bench(use_on_oom: bool, no_split: bool) -> Bench {
    let mut bench = Bench::new(OracleName::PrivatePools);
    does(&mut bench, Op::PoolCreate { pool: P, device: DEVICE, use_on_oom, no_split });
    bench
}

fn does(bench: &mut Bench, op: Op) {
    bench.step(op, Reply::Done, |_| {}).passes();
}

fn enter(bench: &mut Bench) {
    does(bench, Op::PoolEnter { pool: P, device: DEVICE });
}

fn exit(bench: &mut Bench) {
    does(bench, Op::PoolExit { pool: P, device: DEVICE });
}

/// A block was asked for in the pool and given back: 2 MiB are cached there.
fn cached(use_on_oom: bool) -> Bench {
    let mut bench = bench(use_on_oom, false);
    enter(&mut bench);
    bench.alloc(1, 0x1000, 2 << 20).passes();
    does(&mut bench, free(1));
    exit(&mut bench);
    bench
}

fn served(address: u64) -> Reply {
    Reply::Allocated { address }
}

#[test]
fn cached_memory_serves_its_own_pool_alone() {
    let mut own = cached(false);
    enter(&mut own);
    own.step(alloc(2, 512), served(0x1000), |_| {}).passes();
    let found = cached(false).step(alloc(2, 512), served(0x1000), |_| {}).convicts("PRIV-02");
    insta::assert_snapshot!(found.message.en, @"b2, to be served from the default pools, was given [0x1000, 0x1200), which is cached in p0");
    let gave_back = |o: &mut Observation| {
        *o.devices[0].stats.counter_mut(crate::op::Counter::NumDeviceFree) += 1;
        hand_out(&mut o.devices[0], 512);
    };
    cached(false).step(alloc(2, 512), served(0x1000), gave_back).passes();
}

#[test]
fn what_a_free_gives_back_is_cached_nowhere() {
    let mut bench = bench(false, false);
    bench.alloc(1, 0x1000, 2 << 20).passes();
    bench.free(1).passes(); // a device call with it: without a cache
    enter(&mut bench);
    bench.alloc(2, 0x1000, 512).passes();
    exit(&mut bench);
    bench.step(alloc(3, 512), served(0x9000), |_| {}).passes();
    does(&mut bench, free(3)); // kept
    enter(&mut bench);
    bench.step(alloc(4, 512), served(0x9000), |_| {}).convicts("PRIV-02");
}

#[test]
fn a_pool_helps_only_when_memory_has_run_out() {
    let found = cached(true).step(alloc(2, 512), served(0x1000), |_| {}).convicts("PRIV-04");
    insta::assert_snapshot!(found.message.zh, @"池外的 b2 得到 p0 的 [0x1000, 0x1200)，而该池仅在内存用尽时提供帮助，此时设备尚有 1022 MiB 空闲");
    let mut full = cached(true);
    full.step(Op::CycleEnd, Reply::Done, |o| o.devices[0].free_bytes = 1 << 20).passes();
    full.step(alloc(2, 512), served(0x1000), |_| {}).passes();
}

#[test]
fn a_graph_keeps_its_memory() {
    let captured = || {
        let mut bench = Bench::new(OracleName::PrivatePools);
        does(&mut bench, Op::CaptureBegin { graph: G, device: DEVICE, stream: StreamId(1), pool: None });
        bench.step(alloc_on(1, 1, 2 << 20), served(0x1000), |o| hand_out(&mut o.devices[0], 2 << 20)).passes();
        does(&mut bench, free(1));
        does(&mut bench, Op::CaptureEnd { graph: G });
        bench
    };
    let give_back = |o: &mut Observation| {
        o.devices[0].stats.decrease(Family::ReservedBytes, PoolKind::Large, 2 << 20);
        o.devices[0].free_bytes = GIB;
    };
    let found = captured().step(Op::EmptyCache, Reply::Done, give_back).convicts("CAPT-02");
    insta::assert_snapshot!(found.message.en, @"`empty_cache` left 0 B reserved on device 0, but live blocks and captured graphs need 2 MiB");
    captured().step(alloc_on(2, 1, 512), served(0x1000), |_| {}).convicts("CAPT-02");
    let nothing = Reply::Snapshot(Box::default());
    captured().step(Op::Snapshot, nothing, |_| {}).convicts("CAPT-02");
    let mut reset = captured();
    does(&mut reset, Op::GraphReset { graph: G });
    reset.step(Op::EmptyCache, Reply::Done, give_back).passes();
    reset.step(alloc_on(2, 1, 512), served(0x1000), |_| {}).passes();
}

#[test]
fn a_capture_is_served_from_its_own_memory_and_withholds_recorded_blocks() {
    let capturing = || {
        let mut bench = cached(false);
        does(&mut bench, Op::CaptureBegin { graph: G, device: DEVICE, stream: StreamId(1), pool: None });
        bench
    };
    capturing().step(alloc_on(2, 1, 512), served(0x1000), |_| {}).convicts("CAPT-01");
    let freed = |record: bool| {
        let mut bench = capturing();
        bench.step(alloc_on(2, 1, 512), served(0x80_0000), |o| hand_out(&mut o.devices[0], 512)).passes();
        if record {
            does(&mut bench, Op::RecordStream { block: BlockId(2), stream: StreamId(2) });
        }
        does(&mut bench, free(2));
        bench
    };
    freed(false).step(alloc_on(3, 1, 512), served(0x80_0000), |_| {}).passes();
    let found = freed(true).step(alloc_on(3, 1, 512), served(0x80_0000), |_| {}).convicts("CAPT-03");
    insta::assert_snapshot!(found.message.en, @"b3 was given [0x800000, 0x800200), freed in the capture under way, in which a stream was recorded on it");
}

fn snapshot(pool: (u64, u64), blocks: &[(u64, BlockState)]) -> Reply {
    let address = blocks[0].0;
    let view = |&(address, state): &(u64, BlockState)| BlockView { address, size: 1024, requested_size: 512, state };
    let segment = SegmentView {
        device: 0,
        address,
        total_size: 1024 * blocks.len() as u64,
        allocated_size: 0,
        active_size: 0,
        requested_size: 0,
        stream: 0,
        segment_type: PoolKind::Small,
        segment_pool_id: pool,
        is_expandable: false,
        blocks: blocks.iter().map(view).collect(),
    };
    Reply::Snapshot(Box::new(Snapshot { segments: vec![segment] }))
}

#[test]
fn segments_hold_blocks_of_one_pool() {
    use BlockState::{ActiveAllocated, Inactive};
    let live = |no_split: bool| {
        let mut bench = bench(false, no_split);
        enter(&mut bench);
        bench.alloc(1, 0x1000, 512).passes();
        exit(&mut bench);
        bench
    };
    live(false).step(Op::Snapshot, snapshot((0, 1), &[(0x1000, ActiveAllocated)]), |_| {}).passes();
    live(false).step(Op::Snapshot, snapshot((0, 0), &[(0x1000, ActiveAllocated)]), |_| {}).convicts("PRIV-01");
    let mut mixed = live(false);
    mixed.alloc(2, 0x1400, 512).passes();
    let both = snapshot((0, 1), &[(0x1000, ActiveAllocated), (0x1400, ActiveAllocated)]);
    let found = mixed.step(Op::Snapshot, both, |_| {}).convicts("PRIV-01");
    insta::assert_snapshot!(found.message.en, @"b2 of the default pools lies in the segment at 0x1000, which is shown in pool (0, 1) beside blocks from elsewhere");
    let split = || snapshot((0, 1), &[(0x1000, ActiveAllocated), (0x1400, Inactive)]);
    live(false).step(Op::Snapshot, split(), |_| {}).passes();
    live(true).step(Op::Snapshot, split(), |_| {}).convicts("PRIV-05");
}

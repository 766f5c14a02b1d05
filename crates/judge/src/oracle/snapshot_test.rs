//! Snapshots that agree with the callers' journal and the figures pass; doctored ones convict.

use super::*;
use crate::op::{DeviceId, GraphName, OracleName, PoolKind, PoolName, PoolSource, Reply};
use crate::oracle::fixture::{Bench, Judged, free, hand_out, take_back};

/// A segment of one block of 1 KiB that is filled by 600 B.
fn segment(device: u32, address: u64, state: BlockState) -> SegmentView {
    let in_use = u64::from(state != BlockState::Inactive);
    SegmentView {
        device,
        address,
        total_size: 1024,
        allocated_size: u64::from(state == BlockState::ActiveAllocated) * 1024,
        active_size: in_use * 1024,
        requested_size: in_use * 600,
        stream: 0,
        segment_type: PoolKind::Small,
        segment_pool_id: (0, 0),
        is_expandable: false,
        blocks: vec![BlockView { address, size: 1024, requested_size: 600, state }],
    }
}

/// 600 B live on device 0 at 0x1000.
fn bench() -> Bench {
    let mut bench = Bench::new(OracleName::Summary);
    bench.alloc(1, 0x1000, 600).passes();
    bench
}

fn shows(bench: &mut Bench, segments: Vec<SegmentView>) -> Judged {
    bench.step(Op::Snapshot, Reply::Snapshot(Box::new(Snapshot { segments })), |_| {})
}

fn one(change: impl FnOnce(&mut SegmentView)) -> Judged {
    let mut shown = segment(0, 0x1000, BlockState::ActiveAllocated);
    change(&mut shown);
    shows(&mut bench(), vec![shown])
}

#[test]
fn a_snapshot_that_does_not_add_up_convicts() {
    one(|_| {}).passes();
    let found = one(|s| s.blocks[0].size = 512).convicts("SUMM-03");
    insta::assert_snapshot!(found.message.en, @"the blocks of the segment at 0x1000 of device 0 cover 512 B of its 1 KiB");
    one(|s| s.blocks[0].address = 0x1200).convicts("SUMM-03");
    one(|s| s.requested_size = 601).convicts("SUMM-03");
    let pending = |s: &mut SegmentView| {
        s.blocks[0].state = BlockState::ActivePendingFree;
        s.allocated_size = 0;
    };
    let found = one(pending).convicts("SUMM-03");
    insta::assert_snapshot!(found.message.zh, @"设备 0 的快照合计 allocation.all.current = 0，而统计值为 1");
    one(|s| s.segment_type = PoolKind::Large).convicts("POOL-01");
}

#[test]
fn a_live_block_that_is_not_shown_as_it_is_convicts() {
    let moved = |s: &mut SegmentView| {
        s.address = 0x8000;
        s.blocks[0].address = 0x8000;
    };
    one(moved).convicts("MEM-01");
    let mut two = bench();
    two.alloc(2, 0x2000, 600).passes();
    let both = |first: u64, second: u64| {
        let mut both =
            vec![segment(0, 0x1000, BlockState::ActiveAllocated), segment(0, 0x2000, BlockState::ActiveAllocated)];
        for (segment, bytes) in both.iter_mut().zip([first, second]) {
            (segment.requested_size, segment.blocks[0].requested_size) = (bytes, bytes);
        }
        both
    };
    shows(&mut two, both(600, 600)).passes();
    let found = shows(&mut two, both(599, 601)).convicts("SUMM-03");
    insta::assert_snapshot!(found.message.en, @"600 B were asked for in live b1, but the snapshot shows 599 B as its requested size");
}

#[test]
fn segments_are_in_order_apart_and_on_a_device_that_exists() {
    let mut two = bench();
    two.alloc(2, 0x2000, 600).passes();
    let at = |address| segment(0, address, BlockState::ActiveAllocated);
    let found = shows(&mut two, vec![at(0x2000), at(0x1000)]).convicts("SUMM-03");
    insta::assert_snapshot!(found.message.en, @"the segments of the snapshot are not in order: (device 0, 0x1000) comes after (device 0, 0x2000)");
    let mut elsewhere = at(0x2000);
    elsewhere.device = 2;
    shows(&mut two, vec![at(0x1000), elsewhere]).convicts("SUMM-03");
    let found = shows(&mut two, vec![at(0x1000), at(0x1200)]).convicts("SUMM-03");
    insta::assert_snapshot!(found.message.en, @"the snapshot shows a segment of device 0 at 0x1200, inside the one of device 0 at [0x1000, 0x1400)");
}

#[test]
fn what_the_target_has_not_is_not_shown() {
    let found = one(|s| s.segment_pool_id = (0, 1)).convicts("SUMM-03");
    insta::assert_snapshot!(found.message.en, @"the segment at 0x1000 of device 0 is shown in private pool (0, 1), but none was ever made");
    one(|s| s.is_expandable = true).convicts("SUMM-03");
}

#[test]
fn a_segment_serves_one_stream_where_that_is_promised() {
    let found = one(|s| s.stream = 0x40).convicts("SUMM-03");
    insta::assert_snapshot!(found.message.en, @"live b1 of stream 0 lies in the segment at 0x1000, which is shown on the stream with the handle 0x40, another one");
    let shown = |handles: [u64; 2]| {
        let mut bench = Bench::new(OracleName::Summary);
        for (stream, address) in [(1, 0x1000), (2, 0x2000)] {
            let op = crate::oracle::fixture::alloc_on(u32::from(stream), stream, 600);
            bench.step(op, Reply::Allocated { address }, |o| hand_out(&mut o.devices[0], 600)).passes();
        }
        let mut segments =
            vec![segment(0, 0x1000, BlockState::ActiveAllocated), segment(0, 0x2000, BlockState::ActiveAllocated)];
        segments.iter_mut().zip(handles).for_each(|(s, handle)| s.stream = handle);
        shows(&mut bench, segments)
    };
    shown([0x40, 0x80]).passes();
    shown([0x40, 0x40]).convicts("SUMM-03");
    shown([0x40, 0]).convicts("SUMM-03");
}

/// A segment that is only cached beside a live block, and the cache emptied.
fn emptied(between: &[Op]) -> (Bench, SegmentView) {
    let mut bench = bench();
    let give = |o: &mut crate::op::Observation| {
        let reserved = o.devices[0].stats.all(Family::ReservedBytes).current;
        take_back(&mut o.devices[0], 600);
        let lost = reserved - o.devices[0].stats.all(Family::ReservedBytes).current;
        o.devices[0].stats.increase(Family::ReservedBytes, PoolKind::Small, lost);
        o.devices[0].stats.increase(Family::Segment, PoolKind::Small, 1);
    };
    bench.step(free(1), Reply::Done, give).passes();
    for op in between {
        bench.step(op.clone(), Reply::Done, |_| {}).passes();
    }
    let mut cached = segment(0, 0x1000, BlockState::Inactive);
    cached.requested_size = 0;
    (bench, cached)
}

#[test]
fn what_nobody_uses_is_gone_right_after_the_cache_was_emptied() {
    let (mut before, cached) = emptied(&[]);
    shows(&mut before, vec![cached]).passes();
    let (mut after, cached) = emptied(&[Op::EmptyCache]);
    let found = shows(&mut after, vec![cached]).convicts("TRIM-01");
    insta::assert_snapshot!(found.message.en, @"right after the cache was emptied the snapshot shows the segment at 0x1000 of device 0, 1 KiB in which nothing is in use");
    let (mut later, cached) = emptied(&[Op::EmptyCache, Op::CycleEnd]);
    shows(&mut later, vec![cached]).passes();
}

#[test]
fn a_pool_keeps_what_it_has_cached_while_it_lives() {
    let (pool, device) = (PoolName(0), DeviceId(0));
    let create = Op::PoolCreate { pool, device, use_on_oom: false, no_split: false };
    let enter = [create, Op::PoolEnter { pool, device }, Op::PoolExit { pool, device }];
    let shown = |dies: bool| {
        let mut ops = enter.to_vec();
        ops.extend(dies.then_some(Op::PoolDelete { pool }));
        ops.push(Op::EmptyCache);
        let (mut bench, mut cached) = emptied(&ops);
        cached.segment_pool_id = (0, 1);
        shows(&mut bench, vec![cached])
    };
    shown(false).passes();
    shown(true).convicts("PRIV-06");
    let begin =
        Op::CaptureBegin { graph: GraphName(0), device, stream: StreamId(1), pool: Some(PoolSource::Pool(pool)) };
    let mut ops = enter.to_vec();
    ops.extend([begin, Op::EmptyCache]);
    let (mut redirected, cached) = emptied(&ops);
    shows(&mut redirected, vec![cached]).passes();
}

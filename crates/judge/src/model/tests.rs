//! The model's own tests: liveness, the law, streams, milestones.

use super::*;
use crate::op::{Counter, DeviceInfo, DeviceView, Drop, Family, Milestone, Pointer, Via, contract::Growth};

const GIB: u64 = 1 << 30;

fn info() -> TargetInfo {
    TargetInfo {
        name: "fake".to_owned(),
        devices: vec![DeviceInfo::whole("d", GIB); 2],
        streams: 3,
        capabilities: [Capability::Counters].into(),
        contract: Contract {
            alignment: 512,
            growth: Growth::plain(2 << 20, 2 << 20),
            counts_segments: true,
            tensor_limit: Some(1 << 60),
        },
        config: None,
    }
}

/// A model with an observation that follows what tests do to its streams.
struct World {
    model: Model,
    now: Observation,
    milestones: MilestoneTracker,
}

impl World {
    fn new() -> Self {
        let view = DeviceView { idle: u64::MAX, fraction: 1.0, ..DeviceView::default() };
        World {
            model: Model::new(&info()),
            now: Observation { devices: vec![view; 2] },
            milestones: MilestoneTracker::new(&info()),
        }
    }

    fn busy(&mut self, stream: u8, busy: bool) {
        let idle = &mut self.now.devices[0].idle;
        *idle = if busy { *idle & !(1 << stream) } else { *idle | 1 << stream };
    }

    fn step(&mut self, op: &Op, reply: &Reply) -> Effect {
        assert_eq!(self.model.admits(op), Ok(()), "{op:?}");
        self.model.apply(op, reply, &self.now)
    }

    fn alloc(&mut self, id: u32, stream: u8, address: u64, bytes: u64) -> Effect {
        self.step(&alloc(id, stream, bytes), &Reply::Allocated { address })
    }

    fn free(&mut self, id: u32) -> Effect {
        self.step(&Op::Free { block: BlockId(id) }, &Reply::Done)
    }

    fn record(&mut self, id: u32, stream: u8) {
        self.step(&Op::RecordStream { block: BlockId(id), stream: StreamId(stream) }, &Reply::Done);
    }
}

fn alloc(id: u32, stream: u8, bytes: u64) -> Op {
    Op::Alloc { block: BlockId(id), device: None, stream: StreamId(stream), bytes, via: Via::Raw }
}

fn wrong(pointer: Pointer) -> Op {
    Op::FreePointer { pointer }
}

#[test]
fn blocks_live_from_allocation_to_free() {
    let mut world = World::new();
    world.alloc(7, 0, 0x1000, 600);
    assert!(matches!(world.alloc(3, 1, 0, 0), Effect::AllocatedNothing(BlockId(3))));
    assert_eq!(world.model.live_ids(), [BlockId(3), BlockId(7)]);
    assert_eq!((world.model.devices()[0].live, world.model.devices()[0].bytes), (1, 600));
    assert_eq!(world.model.admits(&alloc(7, 0, 1)), Err(Drop::BlockExists));
    assert_eq!(world.model.admits(&alloc(8, 3, 1)), Err(Drop::NoSuchPlace));
    assert!(matches!(world.free(7), Effect::Freed(BlockId(7), live) if live.bytes == 600));
    assert_eq!(world.model.admits(&Op::Free { block: BlockId(7) }), Err(Drop::NoSuchBlock));
    assert_eq!(world.model.address_of(BlockId(7)), Some(0x1000));
    assert_eq!((world.model.devices()[0].live, world.model.devices()[0].streams_live), (0, 0));
}

#[test]
fn pointers_are_offered_only_where_freeing_them_would_be_wrong() {
    let mut world = World::new();
    let block = BlockId(1);
    world.alloc(1, 0, 0x1000, 600);
    assert_eq!(world.model.admits(&wrong(Pointer::Interior { block, offset: 599 })), Ok(()));
    assert_eq!(world.model.admits(&wrong(Pointer::Interior { block, offset: 0 })), Err(Drop::NoSuchBlock));
    assert_eq!(world.model.admits(&wrong(Pointer::Interior { block, offset: 600 })), Err(Drop::NoSuchBlock));
    assert_eq!(world.model.admits(&wrong(Pointer::Freed { block })), Err(Drop::NoSuchBlock));
    world.free(1);
    assert_eq!(world.model.admits(&wrong(Pointer::Freed { block })), Ok(()));
    world.alloc(2, 0, 0x1000, 8);
    assert_eq!(world.model.admits(&wrong(Pointer::Freed { block })), Err(Drop::NoSuchBlock), "b2 lives there now");
    assert_eq!(world.model.admits(&wrong(Pointer::Wild { address: 0x1000 })), Err(Drop::NoSuchBlock));
}

#[test]
fn the_law_by_operation() {
    let mut world = World::new();
    let law = |op: &Op| World::new().model.law(op);
    let refuse = |class| Law::MustRefuse(class);
    assert_eq!(law(&alloc(1, 0, 0)), Law::MustServe);
    assert_eq!(law(&alloc(1, 0, GIB)), Law::MayLackMemory);
    assert_eq!(law(&alloc(1, 0, GIB + 1)), refuse(RefusalClass::OutOfMemory));
    assert!(matches!(law(&alloc(1, 0, u64::MAX)), Law::MustRefuseAny([RefusalClass::OutOfMemory, _])));
    for fraction in [-0.1, 1.000_000_1, f64::NAN, f64::INFINITY] {
        assert_eq!(law(&Op::SetFraction { device: None, fraction }), refuse(RefusalClass::InvalidArgument));
    }
    assert_eq!(law(&Op::SetFraction { device: None, fraction: -0.0 }), Law::MustServe);
    for device in [DeviceId(-1), DeviceId(2)] {
        assert_eq!(law(&Op::SetCurrent { device }), refuse(RefusalClass::InvalidArgument));
        assert_eq!(law(&Op::ResetPeak { device }), refuse(RefusalClass::InvalidArgument));
    }
    assert_eq!(law(&wrong(Pointer::Null)), Law::MustServe);
    assert_eq!(law(&wrong(Pointer::Wild { address: 1 })), refuse(RefusalClass::InvalidPointer));

    let fault = Op::Fault { device: DeviceId(0), call: crate::op::DeviceCall::Reserve, skip: 0, error: None };
    world.step(&fault, &Reply::Done);
    assert_eq!(world.model.law(&alloc(1, 0, 1)), Law::Any);
    assert_eq!(world.model.law(&Op::EmptyCache), Law::Any);
    assert_eq!(world.model.law(&Op::ResetPeak { device: DeviceId(1) }), Law::MustServe, "armed on device 0");
    assert_eq!(world.model.law(&Op::SetCurrent { device: DeviceId(9) }), refuse(RefusalClass::InvalidArgument));
    world.now.devices[0].faults_fired = 1;
    world.alloc(1, 0, 0x1000, 1);
    assert_eq!(world.model.law(&Op::EmptyCache), Law::MustServe, "it has fired");
}

#[test]
fn segments_of_a_least_size_are_no_reason_to_refuse() {
    let mut info = info();
    info.contract.growth.least = u64::MAX;
    let model = Model::new(&info);
    assert_eq!(model.law(&alloc(0, 0, 12 << 20)), Law::MayLackMemory);
    assert!(matches!(model.law(&alloc(0, 0, u64::MAX)), Law::MustRefuseAny(_)));
}

#[test]
fn each_caller_has_a_current_device() {
    let mut world = World::new();
    world.step(&Op::SetCurrent { device: DeviceId(1) }, &Reply::Done);
    assert_eq!(world.model.device_of(&alloc(1, 0, 1)), Some(1));
    world.step(&Op::Caller { caller: 4 }, &Reply::Done);
    assert_eq!(world.model.current_device(), DeviceId(0));
    world.step(&Op::Caller { caller: 0 }, &Reply::Done);
    assert_eq!(world.model.current_device(), DeviceId(1));
}

#[test]
fn a_freed_block_waits_for_its_own_and_recorded_streams() {
    let mut world = World::new();
    world.alloc(1, 0, 0x1000, 0x1000);
    world.record(1, 1);
    world.busy(1, true);
    world.free(1);
    world.alloc(2, 0, 0x1800, 0x100);
    let found = *world.model.trespass().expect("stream 1 has not finished");
    assert_eq!((found.streams, found.own, found.address, found.end), (0b10, StreamId(0), 0x1000, 0x2000));
    world.alloc(3, 1, 0x1900, 0x100);
    assert_eq!(world.model.trespass(), None, "stream 1 itself may have it");
    world.busy(1, false);
    world.alloc(4, 2, 0x1000, 0x100);
    assert_eq!(world.model.trespass(), None, "stream 1 has finished");
}

#[test]
fn idle_streams_leave_nothing_to_wait_for() {
    let mut world = World::new();
    world.alloc(1, 0, 0x1000, 0x1000);
    world.record(1, 1);
    world.free(1);
    assert!(world.model.retired.is_empty());
}

#[test]
fn more_than_others_leave_must_be_refused() {
    let mut world = World::new();
    let take = |bytes| Op::Neighbour { device: DeviceId(0), bytes };
    world.now.devices[0].free_bytes = GIB - (64 << 20);
    world.step(&take(64 << 20), &Reply::Done);
    let most = GIB - (64 << 20);
    assert_eq!(world.model.law(&alloc(1, 0, most)), Law::MayLackMemory);
    assert_eq!(world.model.law(&alloc(1, 0, most + 1)), Law::MustRefuse(RefusalClass::OutOfMemory));
    world.now.devices[0].free_bytes = GIB;
    world.step(&take(0), &Reply::Done);
    assert_eq!(world.model.law(&alloc(1, 0, GIB)), Law::MayLackMemory);
}

#[test]
fn a_stream_with_more_to_do_is_doubted_once_the_allocator_may_have_waited() {
    let mut world = World::new();
    let occupy = Op::Occupy { device: DeviceId(0), stream: StreamId(1) };
    for waited in [false, true] {
        let id = u32::from(waited) * 10;
        world.busy(1, true);
        world.alloc(id, 0, 0x1000, 0x1000);
        world.record(id, 1);
        world.free(id);
        world.step(&occupy, &Reply::Done);
        *world.now.devices[0].stats.counter_mut(Counter::NumAllocRetries) += i64::from(waited);
        world.alloc(id + 1, 0, 0x1000, 0x1000);
        assert_eq!(world.model.trespass().is_some(), !waited);
        world.free(id + 1);
    }
}

#[test]
fn work_that_was_never_recorded_is_the_callers_error() {
    let mut world = World::new();
    world.alloc(1, 0, 0x1000, 0x1000);
    let work = Op::Use { block: BlockId(1), stream: StreamId(2) };
    assert_eq!(world.model.admits(&work), Err(Drop::NotRecorded));
    assert_eq!(world.model.admits(&Op::Use { block: BlockId(1), stream: StreamId(0) }), Ok(()));
    world.step(&Op::RecordStream { block: BlockId(1), stream: StreamId(2) }, &Reply::Done);
    assert_eq!(world.model.admits(&work), Ok(()));
}

#[test]
fn overlaps_are_found_on_either_side() {
    let mut world = World::new();
    world.alloc(1, 0, 0x1000, 0x1000);
    world.alloc(2, 0, 0x2000, 0x1000);
    assert_eq!(world.model.overlapping(BlockId(2)), None);
    world.alloc(3, 0, 0x1fff, 1);
    assert_eq!(world.model.overlapping(BlockId(3)).map(|(id, _)| id), Some(BlockId(1)));
    world.alloc(4, 0, 0x0fff, 2);
    assert_eq!(world.model.overlapping(BlockId(4)).map(|(id, _)| id), Some(BlockId(1)));
    world.alloc(5, 0, 0x2000, 1);
    assert_eq!(world.model.overlapping(BlockId(5)).map(|(id, _)| id), Some(BlockId(2)), "the same start");
}

#[test]
fn the_journey_reads_situations_off_figures() {
    let mut world = World::new();
    let before = world.now.clone();
    world.now.devices[0].stats.increase(Family::ReservedBytes, crate::op::PoolKind::Small, 2 << 20);
    world.now.devices[0].stats.increase(Family::InactiveSplit, crate::op::PoolKind::Small, 1);
    let op = alloc(1, 0, 512);
    let reply = Reply::Allocated { address: 0x1000 };
    let effect = world.step(&op, &reply);
    world.milestones.note(&op, &reply, &effect, &before, &world.now, &world.model);
    let reached = [Milestone::SegmentReserved, Milestone::Split];
    assert_eq!(world.milestones.reached(), reached.into());

    let op = alloc(2, 0, GIB);
    let reply = Reply::refused(RefusalClass::OutOfMemory, "no");
    let before = world.now.clone();
    let effect = world.step(&op, &reply);
    world.milestones.note(&op, &reply, &effect, &before, &world.now, &world.model);
    assert!(world.milestones.has(Milestone::Oom) && world.milestones.has(Milestone::DeviceRefusal));
    assert!(!world.milestones.has(Milestone::LimitRefusal));
}

/// What a step reaches by its figures alone: `change` moves the statistics of device 0.
fn reached(op: &Op, reply: &Reply, change: impl FnOnce(&mut crate::op::Stats)) -> Vec<Milestone> {
    let mut world = World::new();
    world.alloc(9, 0, 0x9000, 512);
    let before = world.now.clone();
    change(&mut world.now.devices[0].stats);
    let effect = world.step(op, reply);
    world.milestones.note(op, reply, &effect, &before, &world.now, &world.model);
    world.milestones.reached().into_iter().collect()
}

#[test]
fn frees_and_merges_are_told_apart_by_figures() {
    let free = Op::Free { block: BlockId(9) };
    let pool = crate::op::PoolKind::Small;
    let freed = |change: fn(&mut crate::op::Stats, crate::op::PoolKind)| {
        reached(&free, &Reply::Done, |s| {
            s.decrease(Family::Allocation, pool, 1);
            change(s, pool);
        })
    };
    assert_eq!(freed(|_, _| {}), [Milestone::PendingFree]);
    assert_eq!(freed(|s, pool| s.decrease(Family::Active, pool, 1)), []);
    assert_eq!(freed(|s, pool| s.decrease(Family::Active, pool, 2)), [Milestone::PendingResolved]);
    let merged = freed(|s, pool| {
        s.decrease(Family::Active, pool, 1);
        s.increase(Family::InactiveSplitBytes, pool, 512);
    });
    assert_eq!(merged, [Milestone::Merge], "a free part grew and no new one appeared");
}

/// A target that counts no blocks: what its streams do tells the same.
#[test]
fn what_waits_is_told_by_streams_where_it_is_not_counted() {
    let mut world = World::new();
    let reached = |world: &mut World, op: &Op, change: fn(&mut World)| {
        let before = world.now.clone();
        change(world);
        let effect = world.step(op, &Reply::Done);
        world.milestones.note(op, &Reply::Done, &effect, &before, &world.now, &world.model);
        world.milestones.reached().into_iter().collect::<Vec<_>>()
    };
    world.alloc(1, 0, 0x1000, 512);
    world.alloc(2, 0, 0x2000, 512);
    world.record(1, 1);
    world.record(2, 1);
    assert_eq!(reached(&mut world, &Op::Free { block: BlockId(1) }, |_| {}), [], "its stream had nothing left to do");
    world.busy(1, true);
    assert_eq!(reached(&mut world, &Op::Free { block: BlockId(2) }, |_| {}), [Milestone::PendingFree]);
    let wait = Op::Synchronize { device: DeviceId(0) };
    assert_eq!(reached(&mut world, &wait, |_| {}), [Milestone::PendingFree]);
    let both = [Milestone::PendingFree, Milestone::PendingResolved];
    assert_eq!(reached(&mut world, &wait, |world| world.busy(1, false)), both);
}

#[test]
fn refusals_are_told_apart_by_who_had_room() {
    let refused = Reply::refused(RefusalClass::OutOfMemory, "no");
    let reached = |fraction: f64, free_bytes: u64, given_back: i64| {
        let mut world = World::new();
        world.now.devices[0].fraction = fraction;
        world.now.devices[0].free_bytes = free_bytes;
        let before = world.now.clone();
        *world.now.devices[0].stats.counter_mut(Counter::NumDeviceFree) += given_back;
        let op = alloc(1, 0, 4 << 20);
        let effect = world.step(&op, &refused);
        world.milestones.note(&op, &refused, &effect, &before, &world.now, &world.model);
        world.milestones.reached().into_iter().collect::<Vec<_>>()
    };
    assert_eq!(reached(0.0, GIB, 0), [Milestone::Oom, Milestone::LimitRefusal]);
    assert_eq!(reached(1.0, 0, 2), [Milestone::Oom, Milestone::FlushOnOom, Milestone::DeviceRefusal]);
    assert_eq!(reached(0.0, 0, 0), [Milestone::Oom]);
}

#[test]
fn callers_and_calls_are_told_apart() {
    assert_eq!(reached(&Op::Caller { caller: 2 }, &Reply::Done, |_| {}), [Milestone::CallerSwitch]);
    assert_eq!(reached(&Op::Caller { caller: 0 }, &Reply::Done, |_| {}), []);
    let elsewhere = Op::ResetPeak { device: DeviceId(1) };
    assert_eq!(reached(&elsewhere, &Reply::Done, |_| {}), [Milestone::CrossDeviceCall]);
    let nowhere = Op::ResetPeak { device: DeviceId(5) };
    let no = Reply::refused(RefusalClass::InvalidArgument, "no");
    assert_eq!(reached(&nowhere, &no, |_| {}), [Milestone::ArgumentRefused]);
    let zero = Reply::Allocated { address: 0 };
    assert_eq!(reached(&alloc(1, 0, 0), &zero, |_| {}), [Milestone::ZeroServed]);
}

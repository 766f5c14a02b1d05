//! Pools and captures: what makes sense when, where requests go, and whose memory is whose.

use super::*;
use crate::model::Law;
use crate::op::{
    BlockId, Capability, Contract, Counter, DeviceId, DeviceInfo, DeviceView, Drop, Family, GraphName, Observation, Op,
    PoolKind, PoolName, RefusalClass, Reply, StreamId, TargetInfo, Via,
};

struct World {
    model: Model,
    now: Observation,
}

const P: PoolName = PoolName(0);
const Q: PoolName = PoolName(1);
const G: GraphName = GraphName(0);

impl World {
    fn new() -> Self {
        let device = DeviceInfo::whole("d", 1 << 30);
        let model = Model::new(&TargetInfo {
            name: "fake".to_owned(),
            devices: vec![device; 2],
            streams: 3,
            capabilities: [Capability::Counters].into(),
            contract: Contract {
                alignment: 512,
                growth: crate::op::contract::Growth::plain(512, 512),
                counts_segments: true,
                tensor_limit: None,
            },
            config: None,
        });
        let view = DeviceView { idle: u64::MAX, fraction: 1.0, ..DeviceView::default() };
        let mut world = World { model, now: Observation { devices: vec![view; 2] } };
        world.now.devices[0].stats.increase(Family::ReservedBytes, PoolKind::Large, 1 << 20);
        world
    }

    fn does(&mut self, op: &Op) {
        assert_eq!(self.model.admits(op), Ok(()), "{}", op.to_line());
        self.model.apply(op, &Reply::Done, &self.now);
    }

    fn drops(&self, op: &Op, why: Drop) {
        assert_eq!(self.model.admits(op), Err(why), "{}", op.to_line());
    }

    /// What the block has to do with earlier ones.
    fn alloc(&mut self, id: u32, stream: u8, address: u64) -> Option<Claim> {
        let (device, stream) = (Some(DeviceId(0)), StreamId(stream));
        let op = Op::Alloc { block: BlockId(id), device, stream, bytes: 512, via: Via::Raw };
        self.model.apply(&op, &Reply::Allocated { address }, &self.now);
        self.model.claimed_range().map(|i| i.claim)
    }

    fn free(&mut self, id: u32) {
        self.does(&Op::Free { block: BlockId(id) });
    }
}

fn create(pool: PoolName, use_on_oom: bool) -> Op {
    Op::PoolCreate { pool, device: DeviceId(0), use_on_oom, no_split: false }
}

fn enter(pool: PoolName) -> Op {
    Op::PoolEnter { pool, device: DeviceId(0) }
}

fn exit(pool: PoolName) -> Op {
    Op::PoolExit { pool, device: DeviceId(0) }
}

fn capture(graph: u32, pool: Option<PoolSource>) -> Op {
    Op::CaptureBegin { graph: GraphName(graph), device: DeviceId(0), stream: StreamId(1), pool }
}

#[test]
fn what_makes_no_sense_is_dropped() {
    let mut world = World::new();
    world.drops(&enter(P), Drop::NoSuchPool);
    world.does(&create(P, false));
    world.drops(&create(P, false), Drop::PoolExists);
    world.drops(&exit(P), Drop::NotNested);
    world.does(&enter(P));
    world.does(&Op::Caller { caller: 1 });
    world.drops(&enter(P), Drop::NotNested);
    world.does(&Op::Caller { caller: 0 });
    world.drops(&Op::PoolDelete { pool: P }, Drop::PoolInUse);
    world.drops(&capture(0, Some(PoolSource::Pool(P))), Drop::NotNested);
    world.does(&exit(P));
    world.does(&capture(0, Some(PoolSource::Pool(P))));
    world.drops(&capture(1, None), Drop::NotNested);
    world.drops(&Op::Synchronize { device: DeviceId(1) }, Drop::Capturing);
    world.drops(&Op::GraphReset { graph: G }, Drop::NotNested);
    world.does(&Op::CaptureEnd { graph: G });
    world.drops(&Op::CaptureEnd { graph: G }, Drop::NotNested);
    world.drops(&Op::PoolDelete { pool: P }, Drop::PoolInUse);
    world.does(&Op::GraphReset { graph: G });
    let admitted = |world: &World, source| world.model.admits(&capture(1, Some(source)));
    assert_eq!(admitted(&world, PoolSource::Pool(P)), Ok(()));
    assert_eq!(admitted(&world, PoolSource::Graph(G)), Ok(()), "whoever kept the id can name the pool");
    world.does(&Op::PoolDelete { pool: P });
    world.drops(&capture(1, Some(PoolSource::Pool(P))), Drop::NoSuchPool);
    assert_eq!(admitted(&world, PoolSource::Graph(G)), Ok(()), "then there is another in its place");
    world.drops(&create(P, false), Drop::PoolExists);
    let bad = Op::PoolCreate { pool: Q, device: DeviceId(7), use_on_oom: false, no_split: false };
    assert_eq!(world.model.admits(&bad), Ok(()), "it must be refused");
    assert_eq!(world.model.law(&bad), Law::MustRefuse(RefusalClass::InvalidArgument));
}

#[test]
fn a_pool_that_its_caller_enters_twice_is_left_twice() {
    let mut world = World::new();
    world.does(&create(P, false));
    world.does(&create(Q, false));
    assert_eq!(world.model.law(&enter(P)), Law::MustServe);
    world.does(&enter(P));
    assert_eq!(world.model.law(&enter(P)), Law::Any, "PyTorch refuses it");
    world.does(&enter(Q));
    world.does(&enter(P));
    let pool = |world: &mut World, id: u32| {
        world.alloc(id, 0, 0x1000 * u64::from(id));
        world.model.route().map(|r| r.pool)
    };
    assert_eq!(pool(&mut world, 1), Some(PoolSource::Pool(P)));
    world.does(&exit(P));
    assert_eq!(pool(&mut world, 2), Some(PoolSource::Pool(Q)), "the newest was left");
    world.does(&exit(Q));
    assert_eq!(pool(&mut world, 3), Some(PoolSource::Pool(P)));
    world.does(&exit(P));
    assert_eq!(pool(&mut world, 4), None);
    world.drops(&exit(P), Drop::NotNested);
}

#[test]
fn the_newest_redirection_that_accepts_a_request_counts() {
    let mut world = World::new();
    world.does(&create(P, false));
    world.does(&create(Q, false));
    world.does(&enter(P));
    world.does(&enter(Q));
    world.does(&capture(0, None));
    let route = |world: &mut World, id, stream| {
        world.alloc(id, stream, u64::from(id) << 20);
        world.model.route().map(|r| (r.pool, r.captured, r.nested))
    };
    assert_eq!(route(&mut world, 1, 1), Some((PoolSource::Graph(G), true, true)));
    assert_eq!(route(&mut world, 2, 0), Some((PoolSource::Pool(Q), false, true)));
    world.does(&exit(Q));
    assert_eq!(route(&mut world, 3, 0), Some((PoolSource::Pool(P), false, false)));
    world.does(&Op::Caller { caller: 1 });
    assert_eq!(route(&mut world, 4, 0), None);
    let (ends, deaths) = world.model.pools().endings();
    let lines = |ops: Vec<Op>| ops.iter().map(Op::to_line).collect::<Vec<_>>();
    assert_eq!(lines(ends), ["capture_end g0", "pool_exit p0 on device 0"]);
    assert_eq!(lines(deaths), ["graph_reset g0", "pool_delete p0", "pool_delete p1"]);
}

#[test]
fn cached_memory_has_an_owner_until_it_may_have_gone_back() {
    let mut world = World::new();
    world.does(&create(P, false));
    world.does(&enter(P));
    world.alloc(1, 0, 0x1000);
    world.does(&exit(P));
    world.free(1);
    assert_eq!(world.alloc(2, 0, 0x1000), Some(Claim::Cached(Some(PoolSource::Pool(P)))));
    world.free(2);
    world.does(&enter(P));
    assert_eq!(world.alloc(3, 0, 0x1000), Some(Claim::Cached(None)));
    world.free(3);
    assert_eq!(world.alloc(4, 0, 0x1100), None, "its own");
    world.does(&exit(P));
    world.free(4);
    *world.now.devices[0].stats.counter_mut(Counter::NumDeviceFree) += 1;
    assert_eq!(world.alloc(5, 0, 0x1000), None, "the segment may be new");
}

#[test]
fn a_pool_that_helps_is_known_and_a_dead_one_claims_nothing() {
    let mut world = World::new();
    world.does(&create(P, true));
    world.does(&enter(P));
    world.alloc(1, 0, 0x1000);
    world.alloc(2, 0, 0x2000);
    world.free(1);
    world.does(&exit(P));
    assert_eq!(world.alloc(3, 0, 0x1000), Some(Claim::Helper(PoolSource::Pool(P))));
    let owner = |world: &World, id| world.model.block(BlockId(id)).map(|live| live.owner);
    assert_eq!(owner(&world, 3), Some(Owner::Private(PoolSource::Pool(P))));
    world.alloc(4, 0, 0x9000);
    assert_eq!(owner(&world, 4), Some(Owner::Unknown), "the rest of a segment of the pool, or not");
    world.free(2);
    world.does(&Op::PoolDelete { pool: P });
    assert_eq!(world.alloc(5, 0, 0x2000), None);
}

#[test]
fn a_graph_holds_its_memory_and_a_capture_withholds_what_was_recorded() {
    let mut world = World::new();
    world.does(&capture(0, None));
    world.alloc(1, 1, 0x1000);
    world.alloc(2, 1, 0x2000);
    world.does(&Op::RecordStream { block: BlockId(2), stream: StreamId(2) });
    world.free(1);
    world.free(2);
    assert_eq!(world.alloc(3, 1, 0x1000), None, "in the order of the capturing stream");
    assert_eq!(world.alloc(4, 1, 0x2000), Some(Claim::Deferred));
    world.free(3);
    world.free(4);
    world.does(&Op::CaptureEnd { graph: G });
    *world.now.devices[0].stats.counter_mut(Counter::NumDeviceFree) += 1;
    assert_eq!(world.model.must_stay(0), Some(1024));
    assert_eq!(world.alloc(5, 0, 0x1100), Some(Claim::Graph(PoolSource::Graph(G))));
    assert_eq!(world.model.must_stay(0), Some(1024 + 256), "0x1000 to 0x1300, and 0x2000 to 0x2200");
    world.does(&Op::GraphReset { graph: G });
    assert_eq!((world.model.must_stay(0), world.alloc(6, 0, 0x2000)), (None, None));
}

//! Operations reach the reference, and its answers come back.

use super::*;
use crate::op::{RefusalClass, Via};
use crate::target::neighbours::BallastHolder;

fn target(options: &str) -> Box<dyn Target> {
    let name: TargetName = format!("reference@sim{options}").parse().expect("well formed");
    let setup = Setup { device_bytes: vec![256 << 20, 64 << 20], streams: 2, config: None };
    open(&name, &setup).expect("opens")
}

fn alloc(block: u32, device: Option<i32>, bytes: u64) -> Op {
    Op::Alloc { block: BlockId(block), device: device.map(DeviceId), stream: StreamId(0), bytes, via: Via::Raw }
}

#[test]
fn an_allocation_goes_to_the_current_device_of_its_caller() {
    let mut target = target("");
    target.apply(&Op::Caller { caller: 1 });
    target.apply(&Op::SetCurrent { device: DeviceId(1) });
    assert!(matches!(target.apply(&alloc(0, None, 100)), Reply::Allocated { .. }));
    target.apply(&Op::Caller { caller: 0 });
    assert!(matches!(target.apply(&alloc(1, None, 100)), Reply::Allocated { .. }));
    let mut seen = Observation::default();
    target.observe(&mut seen);
    let counts: Vec<i64> = seen.devices.iter().map(|d| d.stats.all(crate::op::Family::Allocation).current).collect();
    assert_eq!(counts, [1, 1]);
}

#[test]
fn refusals_have_their_class() {
    let mut target = target("");
    let class = |reply: Reply| reply.refusal().map(|r| r.class);
    assert_eq!(class(target.apply(&alloc(0, Some(9), 1))), Some(RefusalClass::InvalidArgument));
    assert_eq!(class(target.apply(&alloc(0, Some(1), 65 << 20))), Some(RefusalClass::OutOfMemory));
    assert_eq!(class(target.apply(&alloc(0, Some(1), u64::MAX))), Some(RefusalClass::InvalidArgument));
    let wild = Op::FreePointer { pointer: crate::op::Pointer::Wild { address: 0x10 } };
    assert_eq!(class(target.apply(&wild)), Some(RefusalClass::InvalidPointer));
}

#[test]
fn contents_survive_and_are_checked() {
    let mut target = target("");
    target.apply(&alloc(0, Some(0), 1000));
    assert_eq!(target.apply(&Op::Fill { block: BlockId(0) }), Reply::Done);
    assert_eq!(target.apply(&Op::Verify { block: BlockId(0) }), Reply::Contents(crate::op::ContentsReport::Intact));
}

#[test]
fn pools_belong_to_callers_and_captures_to_streams() {
    use crate::op::{Drop, Family, GraphName, PoolName};
    let mut target = target("");
    let device = DeviceId(0);
    let address = |target: &mut Box<dyn Target>, block, stream| {
        let (device, stream) = (Some(device), StreamId(stream));
        let op = Op::Alloc { block: BlockId(block), device, stream, bytes: 100, via: Via::Raw };
        match target.apply(&op) {
            Reply::Allocated { address } => address >> 21,
            other => panic!("{other:?}"),
        }
    };
    let pool = PoolName(0);
    target.apply(&Op::PoolCreate { pool, device, use_on_oom: false, no_split: false });
    target.apply(&Op::PoolEnter { pool, device });
    let inside = address(&mut target, 0, 0);
    target.apply(&Op::Caller { caller: 1 });
    let outside = address(&mut target, 1, 0);
    let graph = GraphName(0);
    target.apply(&Op::CaptureBegin { graph, device, stream: StreamId(1), pool: None });
    let captured = address(&mut target, 2, 1);
    assert!(inside != outside && captured != inside && captured != outside, "segments of 2 MiB each");
    assert_eq!(address(&mut target, 3, 0), outside);
    assert_eq!(target.apply(&Op::CaptureEnd { graph }), Reply::Done);
    assert_eq!(target.apply(&Op::PoolExit { pool, device }), Reply::Done);
    assert_eq!(target.apply(&Op::GraphReset { graph }), Reply::Done);
    assert_eq!(target.apply(&Op::GraphReset { graph }), Reply::Dropped(Drop::NoSuchPool));
    assert_eq!(target.apply(&Op::PoolDelete { pool }), Reply::Done);
    (0..4).for_each(|n| drop(target.apply(&Op::Free { block: BlockId(n) })));
    target.apply(&Op::EmptyCache);
    let mut seen = Observation::default();
    target.observe(&mut seen);
    assert_eq!(seen.devices[0].stats.all(Family::ReservedBytes).current, 0);
}

#[test]
fn options_are_checked() {
    let refused = |options: &str| {
        let name: TargetName = format!("reference@sim{options}").parse().expect("well formed");
        let setup = Setup { device_bytes: vec![1 << 30], streams: 1, config: None };
        open(&name, &setup).err().map(|e| e.to_string()).unwrap_or_default()
    };
    assert!(refused("?defect=oom-counted-earl").contains("did you mean `oom-counted-early`?"));
    assert!(refused("?speed=9").contains("no option `speed`"));
    assert!(refused("?config=max_split_size_mb:1").contains("at least 20"));
    assert_eq!(refused("?expandable_segments:True"), "");
}

#[test]
fn options_of_a_gpu_are_checked_before_a_gpu_is_looked_for() {
    let read = |options: &str| {
        let name: TargetName = format!("reference@cuda{options}").parse().expect("well formed");
        Options::read(&name, true).map_err(|e| e.to_string())
    };
    let options = read("?device_bytes=4GiB&ballast=real&placement=ordered").expect("all exist");
    assert_eq!(
        (options.gpu.device_bytes, options.gpu.holder, options.ordered),
        (Some(4 << 30), BallastHolder::Here, true)
    );
    let wrong = ["device_bytes=4GB", "device_bytes=1MiB", "ballast=lead", "placement=nice", "speed=9"];
    assert!(wrong.iter().all(|w| read(&format!("?{w}")).is_err()));
    let name: TargetName = "reference@sim?ballast=real".parse().expect("well formed");
    assert!(Options::read(&name, false).is_err(), "a simulated device has no ballast");
}

//! Worlds held against what scenarios are written for.

use super::*;
use crate::engine::tests::scenario;
use crate::op::contract::{DeviceInfo, Growth};
use crate::op::{BlockId, DeviceId};

const MIB: u64 = 1 << 20;

fn alloc(id: u32, mib: u64) -> Op {
    let (block, device) = (BlockId(id), Some(DeviceId(0)));
    Op::Alloc { block, device, stream: StreamId(0), bytes: mib * MIB, via: Via::Raw }
}

fn refused(op: Op) -> Step {
    let expect = crate::op::Expect { refused: Some(RefusalClass::OutOfMemory), ..Default::default() };
    Step { op: Some(op), expect: Some(Box::new(expect)) }
}

fn target(total: u64, least: u64) -> TargetInfo {
    let setup = Setup { device_bytes: vec![total * MIB], streams: 4, config: None };
    let name = "reference@sim".parse().expect("a target name");
    let mut info = crate::target::open(&name, &setup).expect("it opens").info().clone();
    info.contract.growth = Growth::plain(least * MIB, 2 * MIB);
    info
}

/// What is said of these steps, written for a device of 64 MiB, on such a target.
fn said(steps: Vec<Step>, info: &TargetInfo) -> Option<String> {
    let setup = Setup { device_bytes: vec![64 * MIB], streams: 4, config: None };
    let variant = Variant { label: String::new(), steps, names: crate::op::Names::default(), shares: Vec::new() };
    steps_in(&scenario("oom::steps"), &variant, &setup, info).err().map(|text| text.en)
}

#[test]
fn the_world_asked_for_is_taken_at_its_word() {
    let steps = vec![alloc(0, 60).into(), alloc(1, 60).into(), refused(alloc(2, 1))];
    assert_eq!(said(steps, &target(64, 20)), None);
}

#[test]
fn what_is_not_owed_elsewhere_does_not_apply() {
    let steps = || vec![alloc(0, 30).into(), alloc(1, 3).into()];
    assert_eq!(said(steps(), &target(128, 20)), None);
    let text = said(steps(), &target(64, 40)).expect("two segments of 40 MiB are too much");
    assert_eq!(text, "its steps may need 80 MiB on device 0, where 64 MiB may be reserved");
    let limited = TargetInfo {
        devices: vec![DeviceInfo { limit_bytes: Some(32 * MIB), ..DeviceInfo::whole("d", 64 * MIB) }],
        ..target(64, 20)
    };
    assert!(said(steps(), &limited).is_some());
}

#[test]
fn what_need_not_be_refused_elsewhere_does_not_apply() {
    let steps = || vec![alloc(0, 40).into(), refused(alloc(1, 40))];
    assert_eq!(said(steps(), &target(78, 20)), None);
    let text = said(steps(), &target(80, 20)).expect("it fits");
    assert_eq!(
        text,
        "its steps expect 40 MiB to be refused on device 0, where 80 MiB may be reserved and 40 MiB are in use"
    );
}

#[test]
fn memory_that_was_freed_counts_no_more_and_a_block_like_it_needs_none() {
    let free = |id| Step::from(Op::Free { block: BlockId(id) });
    let again = vec![alloc(0, 40).into(), free(0), alloc(1, 50).into()];
    assert_eq!(said(again, &target(66, 20)), None);
    let lowered = Op::SetFraction { device: Some(DeviceId(0)), fraction: 0.0 };
    let cached = |mib| vec![alloc(0, 40).into(), free(0), lowered.clone().into(), alloc(1, mib).into()];
    assert_eq!(said(cached(40), &target(66, 20)), None);
    assert!(said(cached(30), &target(66, 20)).is_some());
}

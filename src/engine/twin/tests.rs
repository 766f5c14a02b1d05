//! The twin sees what departs, names what departed first, and nothing else.

use std::collections::BTreeSet;

use super::*;
use crate::engine::attempt::{Attempt, Named, attempt};
use crate::engine::lockstep::JudgedSequence;
use crate::op::{BlockId, DeviceId, Step, StreamId, Via};

fn alloc(block: u32, bytes: u64) -> Op {
    let (device, stream) = (Some(DeviceId(0)), StreamId(0));
    Op::Alloc { block: BlockId(block), device, stream, bytes, via: Via::Raw }
}

/// What the twin says of a target by its name, over a small device.
fn departure(options: &str, ops: &[Op]) -> Option<Violation> {
    let name: TargetName = format!("reference@sim{options}").parse().expect("well formed");
    let setup = Setup { device_bytes: vec![64 << 20, 64 << 20], streams: 2, config: None };
    let steps: Vec<Step> = ops.iter().cloned().map(Step::from).collect();
    let oracles = BTreeSet::from([OracleName::Exact]);
    let course = JudgedSequence::new(&steps, &oracles, true);
    match attempt(&Named(&name), &setup, &course) {
        Ok(Attempt::Ran(run)) => run.departure.map(|d| d.violations[0].clone()),
        other => panic!("{other:?}"),
    }
}

fn sequence() -> Vec<Op> {
    let pick = |bytes: u64, n: u32| alloc(n, bytes);
    let mut ops = vec![pick(700, 0), pick(3 << 20, 1), pick(12 << 20, 2)];
    ops.extend([Op::Snapshot, Op::Free { block: BlockId(1) }, alloc(3, 1 << 20)]);
    let (device, stream) = (Some(DeviceId(1)), StreamId(0));
    ops.push(Op::Alloc { block: BlockId(4), device, stream, bytes: 80 << 20, via: Via::Raw });
    ops.extend([Op::Summary { device: DeviceId(0), abbreviated: false }, Op::Dictionary { device: DeviceId(0) }]);
    ops.extend([Op::ResetPeak { device: DeviceId(0) }, Op::Snapshot, Op::EmptyCache]);
    ops
}

#[test]
fn the_sound_reference_departs_from_nothing_under_any_settings() {
    for settings in ["", "?expandable_segments:True", "?max_split_size_mb:24", "?roundup_power2_divisions:4"] {
        assert_eq!(departure(settings, &sequence()), None, "{settings}");
    }
}

#[test]
fn what_claims_no_policy_has_no_twin() {
    assert_eq!(departure("?variation=first-fit", &sequence()), None);
    assert_eq!(departure("?variation=coarse-rounding", &sequence()), None);
}

#[test]
fn what_departed_first_is_named() {
    let what = |defect: &str| {
        let found = departure(&format!("?defect={defect}"), &sequence()).unwrap_or_else(|| panic!("{defect} departs"));
        let figure = found.figure.expect("each departure has one");
        format!("{}: {} instead of {}", figure.what.en, figure.actual.en, figure.expected.en)
    };
    for (defect, departs) in [
        (
            "large-requests-doubled",
            "event 1 of the call on device 1: oom 0x4000000, 134217728 B, stream 0 instead of oom 0x4000000, 83886080 B, stream 0",
        ),
        (
            "message-device-zero",
            "the message of the refusal at word 11: \"MiB. GPU 0 has a\" instead of \"MiB. GPU 1 has a\"",
        ),
        ("snapshot-rounds-requests", "requested_size of segment 1 in the snapshot: 1 KiB instead of 700 B"),
        ("requested-is-rounded", "requested bytes of device 0, current: 1 KiB instead of 700 B"),
        ("dictionary-unsorted", "entry 1 of the dictionary: num_alloc_retries = 0 instead of active.all.allocated = 4"),
    ] {
        assert_eq!(what(defect), departs);
    }
}

//! Private pools on a simulated device.

use super::*;
use crate::device::sim::SimDevice;
use crate::op::{Counter, Family};

const MIB: u64 = 1 << 20;
const NONE: StreamHandle = StreamHandle(0);
const CALLER: Catch = Catch::Caller(0);

fn reference(bytes: u64) -> Reference<SimDevice> {
    let settings = "".parse().expect("settings are read");
    Reference::new(vec![SimDevice::new(0, bytes, 2)], &settings, Sound)
}

fn alloc(reference: &mut Reference<SimDevice>, bytes: u64) -> u64 {
    reference.device_mut(0).alloc(bytes, NONE).expect("fits")
}

/// The pool of the segment that an address lies in.
fn pool_of(reference: &Reference<SimDevice>, address: u64) -> PoolId {
    let holds = |s: &&crate::op::snapshot::SegmentView| (s.address..s.address + s.total_size).contains(&address);
    reference.snapshot().segments.iter().find(holds).expect("lies in a segment").segment_pool_id
}

fn current(reference: &Reference<SimDevice>, family: Family) -> i64 {
    reference.device(0).stats().all(family).current
}

#[test]
fn the_newest_redirection_that_catches_a_request_decides() {
    let mut reference = reference(256 * MIB);
    let other = reference.device(0).device().stream_handle(crate::op::StreamId(1));
    reference.device_mut(0).begin_redirection((0, 1), CALLER);
    reference.device_mut(0).begin_redirection((1, 0), Catch::Stream(other));
    let first = alloc(&mut reference, 100);
    let second = reference.device_mut(0).alloc(100, other).expect("fits");
    reference.device_mut(0).end_redirection((1, 0)).expect("is there");
    let third = reference.device_mut(0).alloc(100, other).expect("fits");
    reference.device_mut(0).end_redirection((0, 1)).expect("is there");
    let fourth = alloc(&mut reference, 100);
    let pools = [first, second, third, fourth].map(|address| pool_of(&reference, address));
    assert_eq!(pools, [(0, 1), (1, 0), (0, 1), (0, 0)]);
    let gone = reference.device_mut(0).end_redirection((0, 1));
    assert_eq!(gone, Err(PoolError::NotRecording { id: (0, 1) }));
}

#[test]
fn a_pool_that_helps_out_serves_before_the_cache_is_flushed() {
    for (use_on_oom, expected) in [(true, (0, true)), (false, (1, false))] {
        let mut reference = reference(64 * MIB);
        let device = reference.device_mut(0);
        device.retain_pool((0, 1), PoolFlags { use_on_oom, no_split: false });
        device.begin_redirection((0, 1), CALLER);
        let cached = device.alloc(40 * MIB, NONE).expect("fits");
        device.free(cached).expect("is live");
        device.end_redirection((0, 1)).expect("is there");
        let served = device.alloc(40 * MIB, NONE).is_ok_and(|address| address == cached);
        assert_eq!((device.stats().counter(Counter::NumAllocRetries), served), expected);
    }
}

#[test]
fn a_pool_that_never_splits_hands_out_whole_segments() {
    let mut reference = reference(64 * MIB);
    let device = reference.device_mut(0);
    device.retain_pool((0, 1), PoolFlags { use_on_oom: false, no_split: true });
    device.begin_redirection((0, 1), CALLER);
    device.alloc(100, NONE).expect("fits");
    assert_eq!(current(&reference, Family::AllocatedBytes), 2 << 20);
}

#[test]
fn a_dead_pools_memory_goes_at_once_or_at_the_next_flush() {
    let mut reference = reference(64 * MIB);
    reference.device_mut(0).retain_pool((0, 1), PoolFlags::default());
    reference.device_mut(0).begin_redirection((0, 1), CALLER);
    let (kept, cached) = (alloc(&mut reference, 12 * MIB), alloc(&mut reference, 14 * MIB));
    reference.free(cached).expect("is live");
    reference.empty_cache().expect("no fault is planted");
    assert_eq!(current(&reference, Family::ReservedBytes), 26 << 20, "inside, and the pool lives");
    reference.device_mut(0).end_redirection((0, 1)).expect("is there");
    reference.device_mut(0).release_pool_user((0, 1)).expect("has two");
    reference.drop_pool(0, (0, 1)).expect("has one").expect("no fault is planted");
    assert_eq!(current(&reference, Family::ReservedBytes), 12 << 20);
    reference.free(kept).expect("is live");
    reference.empty_cache().expect("no fault is planted");
    assert_eq!(current(&reference, Family::ReservedBytes), 0);
    assert_eq!(reference.device_mut(0).release_pool_user((0, 1)), Err(PoolError::Unknown { id: (0, 1) }));
}

#[test]
fn a_free_under_a_redirection_is_put_off_and_captured_streams_are_not_waited_for() {
    let mut reference = reference(64 * MIB);
    let other = reference.device(0).device().stream_handle(crate::op::StreamId(1));
    let block = alloc(&mut reference, 100);
    reference.device_mut(0).begin_redirection((0, 1), CALLER);
    reference.record_stream(block, other);
    reference.free(block).expect("is live");
    assert_eq!((current(&reference, Family::Allocation), current(&reference, Family::Active)), (0, 1));
    reference.device_mut(0).end_redirection((0, 1)).expect("is there");
    assert_eq!(alloc(&mut reference, 100), block, "no event was needed");
}

#[test]
fn a_free_forgets_the_captured_streams_of_its_own_block_only() {
    let mut reference = reference(64 * MIB);
    let other = reference.device(0).device().stream_handle(crate::op::StreamId(1));
    let (captured, waiting) = (alloc(&mut reference, 100), alloc(&mut reference, 100));
    reference.device_mut(0).begin_redirection((0, 1), CALLER);
    reference.record_stream(captured, other);
    reference.device_mut(0).end_redirection((0, 1)).expect("is there");
    reference.device_mut(0).device_mut().occupy(crate::op::StreamId(1)).expect("is there");
    reference.record_stream(waiting, other);
    reference.free(waiting).expect("is live");
    reference.device_mut(0).begin_redirection((0, 1), CALLER);
    reference.free(captured).expect("is live");
    reference.device_mut(0).end_redirection((0, 1)).expect("is there");
    assert_eq!(alloc(&mut reference, 100), captured, "what a capture recorded is not waited for");
    assert_eq!(current(&reference, Family::Active), 2, "what was recorded outside of one is");
}

#[test]
fn a_mem_pool_that_is_gone_helps_out_no_more_and_others_still_do() {
    let mut reference = reference(64 * MIB);
    let mut cached = Vec::new();
    for id in [(0, 1), (0, 2)] {
        reference.device_mut(0).retain_pool(id, PoolFlags { use_on_oom: true, no_split: false });
        reference.device_mut(0).begin_redirection(id, CALLER);
        cached.push(alloc(&mut reference, 20 * MIB));
        reference.free(cached[cached.len() - 1]).expect("is live");
        reference.device_mut(0).end_redirection(id).expect("is there");
    }
    alloc(&mut reference, 24 * MIB);
    reference.drop_pool(0, (0, 1)).expect("has two users").expect("no fault is planted");
    assert_eq!(alloc(&mut reference, 20 * MIB), cached[1]);
    let refused = reference.device_mut(0).alloc(20 * MIB, NONE);
    assert!(matches!(refused, Err(AllocError::OutOfMemory(_))), "{refused:?}");
}

#[test]
fn a_pool_must_not_die_while_anything_is_redirected() {
    let mut reference = reference(64 * MIB);
    reference.device_mut(0).retain_pool((0, 1), PoolFlags::default());
    reference.device_mut(0).begin_redirection((0, 2), CALLER);
    assert_eq!(reference.drop_pool(0, (0, 1)), Err(PoolError::DiesRedirected));
}

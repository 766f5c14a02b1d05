//! The reference's parts against simpler ones, and its whole on a simulated device.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::block::{Arena, Block, Slot};
use super::free_index::FreeIndex;
use super::*;
use crate::device::sim::SimDevice;
use crate::op::snapshot::BlockState;
use crate::op::{Counter, DeviceCall, Family};

const MIB: u64 = 1 << 20;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(if cfg!(miri) { 1 } else { 64 }) })]

    /// Against the standard library's ordered map, over every question that is asked.
    #[test]
    fn it_is_an_ordered_map(
        steps in proptest::collection::vec((any::<bool>(), 0_u64..3, 0_u64..40, 0_u64..200), 1..if cfg!(miri) { 200 } else { 2000 }),
    ) {
        let mut arena = Arena::default();
        let mut index = FreeIndex::default();
        let mut model: BTreeMap<(StreamHandle, u64, u64), Slot> = BTreeMap::new();
        for (insert, stream, size, address) in steps {
            // Classes of one size each below 2 MiB, of several above.
            let size = if size < 25 { size * size * 512 } else { (1 << (size - 4)) + address % 3 * 512 };
            let key = (StreamHandle(stream), size, address);
            match model.remove(&key) {
                Some(slot) => {
                    index.remove(&mut arena, slot);
                    arena.remove(slot);
                }
                None if insert => {
                    let slot = arena.insert(Block::whole(address, size, key.0, 0));
                    index.insert(&mut arena, slot);
                    model.insert(key, slot);
                }
                None => {}
            }
            let range = (key.0, size, 0)..(StreamHandle(stream + 1), 0, 0);
            let fit = model.range(range).next().map(|(_, s)| *s);
            prop_assert_eq!(index.first_fit(&arena, key.0, size), fit);
        }
        let all: Vec<_> = model.iter().map(|(k, s)| (*k, *s)).collect();
        prop_assert_eq!(index.slots(&arena).collect::<Vec<_>>(), model.values().copied().collect::<Vec<_>>());
        for size in [20 * 20 * 512, (1 << 24) + 512] {
            let middle = (StreamHandle(1), size, 50);
            let ours = all.iter().copied().filter(|(k, _)| k.0 == middle.0);
            let above: Vec<_> = ours.clone().filter(|(k, _)| *k >= middle).map(|(_, s)| s).collect();
            let mut below: Vec<_> = ours.filter(|(k, _)| *k < middle).map(|(_, s)| s).collect();
            below.reverse();
            prop_assert_eq!(index.from(&arena, middle.0, (size, 50)).collect::<Vec<_>>(), above);
            prop_assert_eq!(index.below_in_reverse(&arena, middle.0, (size, 50)).collect::<Vec<_>>(), below);
        }
    }
}

fn reference(bytes: u64, settings: &str) -> Reference<SimDevice> {
    let settings = settings.parse().expect("settings are read");
    Reference::new(vec![SimDevice::new(0, bytes, 2)], &settings, Sound)
}

fn current(reference: &Reference<SimDevice>, family: Family) -> i64 {
    reference.device(0).stats().all(family).current
}

#[test]
fn a_small_block_takes_a_small_segment_and_gives_its_rest_to_the_next() {
    let mut reference = reference(256 * MIB, "");
    let first = reference.device_mut(0).alloc(100, StreamHandle(0)).expect("fits");
    let second = reference.device_mut(0).alloc(513, StreamHandle(0)).expect("fits");
    assert_eq!(second, first + 512);
    assert_eq!(current(&reference, Family::ReservedBytes), 2 << 20);
    assert_eq!(current(&reference, Family::AllocatedBytes), 512 + 1024);
    reference.free(first).expect("is live");
    assert_eq!(reference.free(first), Err(FreeError::InvalidPointer { address: first }));
}

#[test]
fn the_cache_is_flushed_before_a_request_is_refused() {
    let mut reference = reference(64 * MIB, "");
    let cached = reference.device_mut(0).alloc(40 << 20, StreamHandle(0)).expect("fits");
    reference.free(cached).expect("is live");
    reference.device_mut(0).alloc(60 << 20, StreamHandle(0)).expect("fits once the cache is gone");
    let refused = reference.device_mut(0).alloc(60 << 20, StreamHandle(0)).expect_err("does not fit");
    assert!(matches!(refused, AllocError::OutOfMemory(_)));
    let stats = reference.device(0).stats();
    assert_eq!((stats.counter(Counter::NumOoms), stats.counter(Counter::NumAllocRetries)), (1, 2));
}

#[test]
fn expandable_segments_grow_and_shrink_by_pages() {
    let mut reference = reference(256 * MIB, "expandable_segments:True");
    let block = reference.device_mut(0).alloc(30 << 20, StreamHandle(0)).expect("fits");
    assert_eq!(current(&reference, Family::ReservedBytes), 40 << 20);
    assert_eq!(current(&reference, Family::Segment), 0);
    reference.free(block).expect("is live");
    reference.empty_cache().expect("no fault is planted");
    assert_eq!(current(&reference, Family::ReservedBytes), 0);
    let device = reference.device_mut(0).device_mut();
    assert_eq!(device.free_bytes(), Ok(256 << 20));
}

#[test]
fn a_segment_is_shown_whose_front_has_no_memory_and_whose_rest_is_free() {
    let mut reference = reference(256 * MIB, "expandable_segments:True");
    let first = reference.device_mut(0).alloc(25 * MIB, StreamHandle(0)).expect("fits");
    let second = reference.device_mut(0).alloc(10 * MIB, StreamHandle(0)).expect("fits");
    reference.free(first).expect("is live");
    reference.empty_cache().expect("no fault is planted"); // the first page of 20 MiB goes
    reference.free(second).expect("is live");
    let shown: Vec<_> = reference.snapshot().segments.iter().map(|s| (s.address, s.total_size)).collect();
    assert_eq!(shown, [(first + 20 * MIB, 20 * MIB)]);
}

#[test]
fn pages_that_stay_behind_at_either_end_belong_to_no_request() {
    let mut reference = reference(256 * MIB, "expandable_segments:True");
    let mut alloc = |size| reference.device_mut(0).alloc(size, StreamHandle(0)).expect("fits");
    let (_first, block, _last) = (alloc(30 * MIB), alloc(55 * MIB), alloc(12 * MIB));
    reference.free(block).expect("is live");
    reference.empty_cache().expect("no fault is planted"); // takes the whole pages of 20 MiB, from 40 to 80 MiB
    let segments = reference.snapshot().segments;
    let blocks = segments.iter().flat_map(|s| &s.blocks).filter(|b| b.state == BlockState::Inactive);
    let free: Vec<_> = blocks.map(|b| (b.address - block, b.size, b.requested_size)).collect();
    assert_eq!(free, [(0, 10 * MIB, 0), (50 * MIB, 5 * MIB, 0), (67 * MIB, 3 * MIB, 0)]);
}

#[test]
fn pages_that_nobody_may_touch_are_not_handed_out() {
    let mut reference = reference(256 * MIB, "expandable_segments:True");
    reference.device_mut(0).device_mut().fault(DeviceCall::SetAccess, 0);
    let refused = reference.device_mut(0).alloc(30 * MIB, StreamHandle(0));
    assert!(matches!(refused, Err(AllocError::Device(_))), "{refused:?}");
    assert_eq!(reference.device_mut(0).device_mut().free_bytes(), Ok(256 * MIB));
    reference.device_mut(0).alloc(30 * MIB, StreamHandle(0)).expect("the fault was one call's");
}

#[test]
fn garbage_is_collected_in_rounds_by_the_average_age_of_what_is_left() {
    let mut reference = reference(200 * MIB, "garbage_collection_threshold:0.4,per_process_memory_fraction:0.8");
    let device = reference.device_mut(0);
    let mut alloc = |size| device.alloc(size, StreamHandle(0)).expect("fits");
    let segments = [30, 30, 30].map(|size| alloc(size * MIB));
    let mut clock = alloc(12 * MIB); // each request for it is a search, by which the others age
    for (segment, searches) in segments.into_iter().zip([6, 2, 1]) {
        device.free(segment).expect("is live");
        for _ in 0..searches {
            device.free(clock).expect("is live");
            clock = device.alloc(12 * MIB, StreamHandle(0)).expect("is cached");
        }
    }
    // Ages 10, 4 and 2, and 38 MiB to give back: the first round takes the 10, the second of 4 and 2 the 4.
    device.alloc(40 * MIB, StreamHandle(0)).expect("fits");
    assert_eq!(current(&reference, Family::ReservedBytes), (30 + 12 + 40) << 20);
}

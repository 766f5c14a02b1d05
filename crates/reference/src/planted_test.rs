//! Planted mistakes one by one: wrong as the catalogue says, and right where it says nothing.
//!
//! Decides nothing about who finds them: that is `tests/defects.rs`. A mistake that became a cruder one would
//! still be found there, by anybody.

use super::*;
use crate::device::sim::SimDevice;

const MIB: u64 = 1 << 20;
const NONE: StreamHandle = StreamHandle(0);

fn planted(defect: Defect, settings: &str) -> Reference<SimDevice, Planted> {
    let settings = settings.parse().expect("settings are read");
    Reference::new(vec![SimDevice::new(0, 256 * MIB, 2)], &settings, Planted::Defect(defect))
}

fn alloc<P: Planting>(reference: &mut Reference<SimDevice, P>, bytes: u64) -> u64 {
    reference.device_mut(0).alloc(bytes, NONE).expect("fits")
}

#[test]
fn a_block_too_small_is_one_of_three_quarters() {
    let mut reference = planted(Defect::BlockTooSmall, "");
    let [far_less, enough] = [12 * MIB, 30 * MIB].map(|bytes| alloc(&mut reference, bytes));
    for block in [far_less, enough] {
        reference.free(block).expect("is live");
    }
    assert_eq!(alloc(&mut reference, 40 * MIB), enough);
}

#[test]
fn an_allocator_that_gives_up_after_a_refusal_serves_before_it() {
    let mut reference = planted(Defect::OomSticky, "");
    alloc(&mut reference, 12 * MIB);
    let refused = reference.device_mut(0).alloc(300 * MIB, NONE);
    assert!(matches!(refused, Err(AllocError::OutOfMemory(_))), "{refused:?}");
    let refused = reference.device_mut(0).alloc(12 * MIB, NONE);
    assert!(matches!(refused, Err(AllocError::OutOfMemory(_))), "{refused:?}");
}

#[test]
fn blocks_of_side_streams_alone_are_not_registered() {
    let mut reference = planted(Defect::SideStreamNotRegistered, "");
    let own = alloc(&mut reference, 100);
    let other = reference.device(0).device().stream_handle(crate::op::StreamId(1));
    let side = reference.device_mut(0).alloc(100, other).expect("fits");
    assert_eq!(reference.free(side), Err(FreeError::InvalidPointer { address: side }));
    assert_eq!(reference.free(own), Ok(()));
}

#[test]
fn a_page_that_is_partly_in_use_is_unmapped() {
    let mut reference = planted(Defect::UnmapTakesPartialPages, "expandable_segments:True");
    let (_kept, gone) = (alloc(&mut reference, 30 * MIB), alloc(&mut reference, 50 * MIB));
    reference.free(gone).expect("is live");
    reference.empty_cache().expect("no fault is planted");
    let free = reference.device_mut(0).device_mut().free_bytes();
    assert_eq!(free, Ok(236 * MIB), "the kept block's second page of 20 MiB is gone too");
}

#[test]
fn what_a_private_pool_has_cached_serves_others() {
    let mut reference = planted(Defect::PrivateServesOthers, "");
    let device = reference.device_mut(0);
    device.begin_redirection((0, 1), Catch::Caller(0));
    let cached = device.alloc(12 * MIB, NONE).expect("fits");
    device.free(cached).expect("is live");
    device.end_redirection((0, 1)).expect("is there");
    assert_eq!(alloc(&mut reference, 12 * MIB), cached);
}

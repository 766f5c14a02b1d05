//! A followed device, told of by hand.
//!
//! Decides nothing: what is told is what the device must have done.

use super::*;

fn event(action: Action, address: u64, bytes: u64) -> TraceEvent {
    TraceEvent { action, address, bytes, stream: 7 }
}

fn followed() -> (FollowedDevice, TraceLog) {
    let log = TraceLog::default();
    let streams = vec![(StreamHandle(0), 0), (StreamHandle(7), 35)];
    (FollowedDevice::new("card".to_owned(), 64 << 20, streams, log.clone()), log)
}

#[test]
fn what_was_told_is_what_the_device_did_in_that_operation() {
    let (mut device, log) = followed();
    log.tell(&[event(Action::SegmentFree, 64, 32), event(Action::SegmentAlloc, 128, 32), event(Action::Alloc, 128, 9)]);
    log.begin(false);
    assert_eq!(device.reserve(32), Err(DeviceError::OutOfMemory), "something was given back first");
    assert_eq!((device.release(64), device.reserve(32)), (Ok(()), Ok(128)));
    log.begin(false);
    assert_eq!(device.reserve(32), Err(DeviceError::OutOfMemory), "nothing was told of this one");
    assert_eq!(log.take_events().map(|events| events.len()), Some(3));
    assert_eq!(log.take_events(), None);
    log.tell(&[event(Action::SegmentAlloc, 256, 32)]);
    log.begin(true);
    assert_eq!(device.reserve(32), Err(DeviceError::OutOfMemory), "the first attempt failed");
    assert_eq!(device.reserve(32), Ok(256));
}

#[test]
fn a_segment_may_be_known_by_where_its_first_block_lies_and_its_events_come_later() {
    let (mut device, log) = followed();
    log.lies_at(128, 32);
    log.begin(false);
    assert_eq!((device.reserve(32), log.take_events()), (Ok(128), None));
    log.lies_at(256, 64);
    log.begin(false);
    assert_eq!(device.reserve(32), Err(DeviceError::OutOfMemory), "another size");
    assert_eq!(device.reserve(64), Ok(256));
    log.tell(&[
        event(Action::SegmentAlloc, 128, 32),
        event(Action::SegmentAlloc, 256, 64),
        event(Action::SegmentAlloc, 512, 64),
    ]);
    log.lies_at(1024, 64);
    log.begin(false);
    assert_eq!(device.reserve(64), Ok(512), "only this one is of the operation under way, and it was told");
    assert_eq!(log.take_events().map(|events| events.len()), Some(3));
}

#[test]
fn a_range_lies_where_memory_is_first_mapped_in_it_or_nobody_knows() {
    let (mut device, log) = followed();
    log.tell(&[event(Action::SegmentMap, 2 << 20, 2 << 20)]);
    log.begin(false);
    assert_eq!(device.reserve_addresses(72 << 20), Ok(2 << 20));
    assert_eq!(
        (device.map(2 << 20, 2 << 20), device.set_access(2 << 20, 2 << 20), log.is_lost()),
        (Ok(()), Ok(()), false)
    );
    log.begin(false);
    assert!(device.reserve_addresses(72 << 20).is_ok() && log.is_lost());
}

#[test]
fn events_pass_when_their_streams_were_found_idle() {
    let (mut device, log) = followed();
    log.begin(false);
    assert_eq!(device.occupy(StreamId(1)), Ok(()));
    let event = device.record_event(StreamHandle(7)).expect("there is the stream");
    log.settle(0b01);
    log.begin(false);
    assert_eq!(device.query_event(event), Ok(false));
    log.settle(0b11);
    log.begin(false);
    assert_eq!(device.query_event(event), Ok(true));
}

//! The device as an allocator and its callers see it.

use super::*;
use crate::ControlledDevice;
use crate::op::{GRANULE, PROCESS_ADDRESSES};

const MIB: u64 = 1 << 20;
const S0: StreamId = StreamId(0);
const S1: StreamId = StreamId(1);

fn device() -> SimDevice {
    SimDevice::new(0, 64 * MIB, 4)
}

fn holds(report: &ContentsReport, block: u32) -> bool {
    matches!(report, ContentsReport::Changed { found, .. } if *found == format!("the pattern of b{block}"))
}

#[test]
fn released_addresses_are_used_again_at_once_and_segments_touch() {
    let mut device = device();
    let a = device.reserve(2 * MIB).expect("fits");
    let b = device.reserve(20 * MIB).expect("fits");
    assert_eq!((a, b - a), (0x7f00_0000_0000, 2 * MIB));
    device.release(a).expect("a segment");
    assert_eq!(device.reserve(2 * MIB), Ok(a));
    assert_eq!(device.release(b + 2 * MIB), Err(DeviceError::InvalidValue { call: DeviceCall::Release }));
    assert_eq!(device.reserve(0), Err(DeviceError::InvalidValue { call: DeviceCall::Reserve }));
}

#[test]
fn what_makes_no_sense_is_written_down_and_what_was_to_fail_is_not() {
    let (mut device, mut misuse) = (device(), Vec::new());
    let at = device.reserve_addresses(8 * MIB).expect("there are addresses");
    device.map(at, 2 * MIB).expect("it is vacant");
    for call in [DeviceCall::Map, DeviceCall::Unmap, DeviceCall::Release] {
        device.fault_with(call, 0, Some(FaultError::InvalidValue));
    }
    let planned = [device.map(at + 2 * MIB, 2 * MIB), device.unmap(at, 2 * MIB), device.release(at)];
    assert!(planned.iter().all(Result::is_err), "{planned:?}");
    device.take_misuse(&mut misuse);
    assert_eq!(misuse, []);
    let (twice, nowhere) = (device.map(at, 2 * MIB), device.unmap(at + 4 * MIB, 2 * MIB));
    let wrong =
        [twice, nowhere, device.set_access(at, 4 * MIB), device.release(at), device.free_addresses(at, 8 * MIB)];
    assert!(wrong.iter().all(Result::is_err), "{wrong:?}");
    device.take_misuse(&mut misuse);
    let calls: Vec<&str> = misuse.iter().map(|misuse| misuse.call).collect();
    assert_eq!(calls[..4], ["map", "unmap", "set_access", "release"], "{misuse:?}");
    assert_eq!(calls.len(), wrong.len());
}

#[test]
fn devices_have_addresses_and_handles_of_their_own() {
    let (mut zero, mut one) = (SimDevice::new(0, 4 * MIB, 3), SimDevice::new(1, 4 * MIB, 3));
    assert_eq!(one.reserve(1).expect("fits") - zero.reserve(1).expect("fits"), memory::SPACING);
    for stream in (0..3).map(StreamId) {
        assert_eq!(zero.stream_id(zero.stream_handle(stream)), Some(stream));
        assert_eq!(one.stream_id(zero.stream_handle(stream)).is_some(), stream.0 == 0);
    }
    assert_eq!(zero.stream_handle(S0), StreamHandle(0));
    assert!(zero.stream_handle(StreamId(2)) > zero.stream_handle(S1));
    let unknown = zero.stream_handle(StreamId(3));
    assert_eq!(zero.record_event(unknown), Err(DeviceError::InvalidValue { call: DeviceCall::RecordEvent }));
    assert!(zero.occupy(StreamId(3)).is_err());
}

#[test]
fn memory_is_counted_in_granules_up_to_the_capacity() {
    let mut device = SimDevice::new(0, 5 * MIB, 1);
    let a = device.reserve(1).expect("fits");
    assert_eq!(device.free_bytes(), Ok(3 * MIB));
    device.reserve(2 * MIB).expect("fits");
    assert_eq!((device.free_bytes(), device.reserve(1)), (Ok(MIB), Err(DeviceError::OutOfMemory)));
    device.release(a).expect("a segment");
    assert_eq!(device.free_bytes(), Ok(3 * MIB));
    assert_eq!(device.reserve(u64::MAX), Err(DeviceError::OutOfMemory));
    assert_eq!(device.total_bytes(), 5 * MIB);
    let mut endless = SimDevice::new(0, u64::MAX, 1);
    assert_eq!(endless.reserve(PROCESS_ADDRESSES + 1), Err(DeviceError::OutOfMemory));
    assert_eq!(endless.faults_fired(), 0, "no process could have had so much");
}

#[test]
fn mapped_memory_follows_its_own_rules() {
    let mut device = device();
    let base = device.reserve_addresses(16 * MIB).expect("addresses are plenty");
    assert_eq!(device.free_bytes(), Ok(64 * MIB));
    device.map(base, 4 * MIB).expect("reserved");
    device.map(base + 4 * MIB, 2 * MIB).expect("reserved");
    let no_map = Err(DeviceError::InvalidValue { call: DeviceCall::Map });
    for (at, bytes) in [(base + 2 * MIB, 2 * MIB), (base + 14 * MIB, 4 * MIB), (base + 6 * MIB, MIB), (0, 2 * MIB)] {
        assert_eq!(device.map(at, bytes), no_map, "{at:#x}");
    }
    assert_eq!(device.check(S0, base, MIB, 1), ContentsReport::Unmapped { offset: 0 }, "no access yet");
    device.set_access(base, 6 * MIB).expect("mapped");
    device.write(S0, base, 6 * MIB, 1).expect("stream 0");
    assert!(device.free_addresses(base, 16 * MIB).is_err());
    device.unmap(base + 2 * MIB, 2 * MIB).expect("a part of the first mapping");
    assert_eq!(device.free_bytes(), Ok(60 * MIB));
    assert_eq!(device.check(S0, base, 2 * MIB, 1), ContentsReport::Intact);
    assert_eq!(device.check(S0, base, 6 * MIB, 1), ContentsReport::Unmapped { offset: 2 * MIB });
    assert_eq!(device.check(S0, base + 4 * MIB, 2 * MIB, 1), ContentsReport::Intact);
    assert!(device.unmap(base, 6 * MIB).is_err(), "a hole is not mapped");
    assert_eq!(device.check(S0, base, 2 * MIB, 1), ContentsReport::Intact, "and nothing went");
    device.map(base + 2 * MIB, 2 * MIB).expect("the hole");
    device.unmap(base, 6 * MIB).expect("three mappings at once");
    device.free_addresses(base, 16 * MIB).expect("nothing is mapped");
    assert_eq!((device.free_bytes(), device.reserve(1)), (Ok(64 * MIB), Ok(base)));
    assert!(device.unmap(base, 2 * MIB).is_err(), "a segment is released, not unmapped");
    assert!(device.set_access(base, 2 * MIB).is_err(), "and usable as it is");
}

#[test]
fn fresh_memory_holds_nothing_and_released_contents_go() {
    let mut device = device();
    let a = device.reserve(2 * MIB).expect("fits");
    device.write(S0, a, 512, 3).expect("stream 0");
    assert_eq!(device.check(S0, a, 512, 3), ContentsReport::Intact);
    let report = device.check(S0, a, 1024, 3);
    assert_eq!(report, ContentsReport::Changed { offset: 512, bytes: 512, found: "nothing written".to_owned() });
    device.release(a).expect("a segment");
    assert_eq!(device.memory.intervals(), 0);
    assert_eq!(device.reserve(2 * MIB), Ok(a));
    assert!(matches!(device.check(S0, a, 512, 3), ContentsReport::Changed { offset: 0, bytes: 512, .. }));
}

#[test]
fn two_owners_of_one_byte_are_caught() {
    let mut device = device();
    let a = device.reserve(2 * MIB).expect("fits");
    device.write(S0, a, 1024, 1).expect("stream 0");
    device.write(S0, a + 512, 100, 2).expect("stream 0");
    device.write(S0, a + 612, 10, 7).expect("stream 0");
    let found = "the pattern of b2".to_owned();
    assert_eq!(device.check(S0, a, 1024, 1), ContentsReport::Changed { offset: 512, bytes: 100, found });
}

#[test]
fn two_addresses_of_one_page_are_caught() {
    let mut device = device();
    let a = device.reserve(2 * MIB).expect("fits");
    let b = device.reserve_addresses(4 * MIB).expect("addresses are plenty");
    device.alias(b, a, 2 * MIB).expect("memory behind a");
    device.write(S0, a, 512, 1).expect("stream 0");
    device.write(S0, b, 512, 2).expect("stream 0");
    assert!(holds(&device.check(S0, a, 512, 1), 2));
    device.unmap(b, 2 * MIB).expect("mapped");
    assert_eq!(device.free_bytes(), Ok(62 * MIB));
    assert!(holds(&device.check(S0, a, 512, 1), 2), "the page lives on behind its first address");
}

#[test]
fn work_waits_for_what_occupies_its_stream() {
    let mut device = device();
    let a = device.reserve(2 * MIB).expect("fits");
    let h1 = device.stream_handle(S1);
    device.occupy(S1).expect("stream 1");
    let first = device.record_event(h1).expect("stream 1");
    device.write(S1, a, 512, 1).expect("stream 1");
    device.occupy(S1).expect("stream 1");
    device.write(S1, a, 512, 2).expect("stream 1");
    let second = device.record_event(h1).expect("stream 1");
    assert_eq!(device.idle_mask(), 0b1101);
    assert_eq!((device.query_event(first), device.check(S1, a, 512, 1)), (Ok(false), ContentsReport::Pending));
    assert!(matches!(device.check(S0, a, 512, 1), ContentsReport::Changed { .. }));
    device.finish(S1).expect("stream 1");
    assert_eq!((device.query_event(first), device.query_event(second)), (Ok(true), Ok(false)));
    assert_eq!((device.check(S0, a, 512, 1), device.idle_mask()), (ContentsReport::Intact, 0b1101));
    device.finish(S1).expect("stream 1");
    assert_eq!((device.query_event(second), device.idle_mask()), (Ok(true), 0b1111));
    assert_eq!(device.check(S1, a, 512, 2), ContentsReport::Intact);
    device.finish(S1).expect("an idle stream");
}

#[test]
fn waiting_for_an_event_runs_up_to_the_next_occupation() {
    let mut device = device();
    let a = device.reserve(2 * MIB).expect("fits");
    let h1 = device.stream_handle(S1);
    device.occupy(S1).expect("stream 1");
    device.write(S1, a, 512, 1).expect("stream 1");
    let event = device.record_event(h1).expect("stream 1");
    device.write(S1, a, 512, 2).expect("stream 1");
    device.occupy(S1).expect("stream 1");
    device.wait_event(event).expect("waits");
    assert_eq!(device.query_event(event), Ok(true));
    assert_eq!((device.check(S0, a, 512, 2), device.idle_mask()), (ContentsReport::Intact, 0b1101));
    device.finish(S1).expect("stream 1");
    assert_eq!((device.check(S1, a, 512, 2), device.idle_mask()), (ContentsReport::Intact, 0b1111));
    assert_eq!(device.query_event(Event(u64::MAX)), Ok(true), "unknown events have finished");
}

#[test]
fn a_late_write_lands_on_whoever_owns_the_address_then() {
    let mut device = device();
    let a = device.reserve(2 * MIB).expect("fits");
    device.occupy(S1).expect("stream 1");
    device.write(S1, a, 512, 1).expect("stream 1");
    device.write(S0, a, 512, 2).expect("stream 0");
    assert_eq!(device.check(S0, a, 512, 2), ContentsReport::Intact);
    let handle = device.stream_handle(S1);
    device.wait_stream(handle).expect("stream 1");
    assert!(holds(&device.check(S0, a, 512, 2), 1));
    assert_eq!(device.idle_mask(), 0b1111);
}

#[test]
fn release_waits_for_the_device_and_unmap_does_not() {
    let mut device = device();
    let a = device.reserve(2 * MIB).expect("fits");
    let b = device.reserve_addresses(2 * MIB).expect("addresses are plenty");
    device.map(b, 2 * MIB).and_then(|()| device.set_access(b, 2 * MIB)).expect("reserved");
    device.occupy(S1).expect("stream 1");
    device.write(S1, a, 512, 1).expect("stream 1");
    assert!(device.release(a + 512).is_err());
    assert_eq!(device.idle_mask(), 0b1101, "a refused release waits for nothing");
    device.release(a).expect("a segment");
    assert_eq!((device.idle_mask(), device.take_illegal_access()), (0b1111, None));
    device.occupy(S1).expect("stream 1");
    device.write(S1, b + 4096, 512, 1).expect("stream 1");
    device.unmap(b, 2 * MIB).expect("mapped");
    device.synchronize();
    assert_eq!((device.take_illegal_access(), device.take_illegal_access()), (Some(b + 4096), None));
}

#[test]
fn a_write_past_what_was_asked_for_is_illegal() {
    let mut device = device();
    let a = device.reserve(1000).expect("fits");
    device.write(S0, a, 1024, 1).expect("stream 0");
    assert_eq!(device.take_illegal_access(), Some(a + 1000));
    device.write(S0, u64::MAX - 10, 512, 1).expect("stream 0");
    assert_eq!(device.take_illegal_access(), Some(u64::MAX - 10));
}

#[test]
fn planned_failures_change_nothing() {
    let mut device = device();
    device.fault(DeviceCall::Reserve, 1);
    device.fault(DeviceCall::Release, 0);
    let a = device.reserve(1).expect("the first goes ahead");
    assert_eq!((device.reserve(1), device.free_bytes()), (Err(DeviceError::OutOfMemory), Ok(62 * MIB)));
    device.occupy(S0).expect("stream 0");
    let failed = DeviceError::Failed { call: DeviceCall::Release, code: FAULT_CODE };
    assert_eq!((device.release(a), device.idle_mask()), (Err(failed), 0b1110));
    assert_eq!((device.release(a), device.faults_fired()), (Ok(()), 2));
    assert_eq!((device.calls(DeviceCall::Reserve), device.calls(DeviceCall::Release)), (2, 2));
}

#[test]
fn events_of_idle_streams_leave_nothing_behind() {
    let mut device = SimDevice::new(0, 64 * MIB, 64);
    let last = device.stream_handle(StreamId(63));
    let event = device.record_event(last).expect("the last stream");
    assert_eq!((device.query_event(event), device.idle_mask()), (Ok(true), u64::MAX));
    device.occupy(StreamId(63)).expect("the last stream");
    assert_eq!(device.query_event(event), Ok(true), "recorded before the stream was occupied");
    let later = device.record_event(last).expect("the last stream");
    assert_eq!((device.query_event(later), device.idle_mask()), (Ok(false), u64::MAX >> 1));
    let mut other = SimDevice::new(1, 64 * MIB, 64);
    other.occupy(StreamId(63)).expect("the last stream");
    assert_eq!(other.query_event(later), Ok(true), "an event of another device is unknown");
}

#[test]
fn a_device_on_which_a_stream_captures_lets_nobody_wait_ask_or_give_back() {
    let mut device = SimDevice::new(0, 64 << 20, 2);
    let stream = device.stream_handle(StreamId(1));
    let segment = device.reserve(GRANULE).expect("fits");
    let event = device.record_event(stream).expect("is there");
    device.capture(true);
    let forbidden = |call| DeviceError::Failed { call, code: 900 };
    let (query, release) = (DeviceCall::QueryEvent, DeviceCall::Release);
    assert_eq!(device.query_event(event), Err(forbidden(query)));
    assert_eq!(device.wait_event(event), Err(forbidden(query)));
    assert_eq!(device.wait_stream(stream), Err(forbidden(query)));
    assert_eq!(device.release(segment), Err(forbidden(release)));
    assert!(device.reserve(GRANULE).is_ok(), "memory may be got");
    device.capture(false);
    assert_eq!((device.query_event(event), device.release(segment)), (Ok(true), Ok(())));
    assert_eq!(device.faults_fired(), 0, "nobody planned it");
}

#[test]
fn what_is_free_can_be_made_unreadable_for_the_allocator_alone() {
    let mut device = SimDevice::new(0, 64 << 20, 1);
    device.fault(DeviceCall::MemoryInfo, 0);
    assert_eq!(device.look_at_free_bytes(), Ok(64 << 20));
    assert_eq!(device.free_bytes(), Err(DeviceError::Failed { call: DeviceCall::MemoryInfo, code: FAULT_CODE }));
    assert_eq!(device.free_bytes(), Ok(64 << 20));
}

#[test]
fn a_stream_waits_for_what_another_was_given_before_and_no_longer() {
    let mut device = device();
    let a = device.reserve(2 * MIB).expect("fits");
    let (one, two, three) = (S1, StreamId(2), StreamId(3));
    device.hold_for(one, two).expect("are there");
    assert_eq!(device.idle_mask(), 0b1111, "nobody has anything to do");
    device.occupy(two).expect("is there");
    device.hold_for(one, two).expect("are there");
    device.occupy(two).expect("is there");
    device.write(one, a, 512, 1).expect("is there");
    device.hold_for(three, one).expect("are there");
    device.hold_for(two, two).expect("is there");
    let event = device.record_event(device.stream_handle(three)).expect("is there");
    assert_eq!((device.idle_mask(), device.query_event(event)), (0b0001, Ok(false)));
    device.finish(one).expect("is there");
    assert_eq!(device.idle_mask(), 0b0001, "it has nothing of its own to end");
    device.finish(two).expect("is there");
    assert_eq!((device.idle_mask(), device.query_event(event)), (0b1011, Ok(true)), "one occupation is left");
    assert_eq!(device.check(one, a, 512, 1), ContentsReport::Intact);
    assert!(device.hold_for(one, StreamId(4)).is_err() && device.hold_for(StreamId(4), one).is_err());
}

#[test]
fn waiting_for_an_event_ends_what_it_depends_on_and_nothing_else() {
    let mut device = device();
    let (one, two, three) = (S1, StreamId(2), StreamId(3));
    device.occupy(three).expect("is there");
    device.hold_for(two, three).expect("are there");
    device.occupy(two).expect("is there");
    device.hold_for(one, two).expect("are there");
    device.hold_for(two, one).expect("are there");
    device.occupy(three).expect("is there");
    let event = device.record_event(device.stream_handle(one)).expect("is there");
    device.wait_event(event).expect("there is no capture");
    assert_eq!(device.idle_mask(), 0b0111, "each waited for the other in turn, and the third goes on");
    device.wait_stream(device.stream_handle(three)).expect("there is no capture");
    assert_eq!(device.idle_mask(), 0b1111);
}

#[test]
fn work_behind_a_wait_that_is_ended_early_ends_with_the_wait() {
    let mut device = device();
    let (one, two) = (S1, StreamId(2));
    device.occupy(two).expect("is there");
    device.hold_for(one, two).expect("are there");
    device.occupy(one).expect("is there");
    device.finish(one).expect("is there");
    assert_eq!(device.idle_mask(), 0b1001);
    device.finish(two).expect("is there");
    assert_eq!(device.idle_mask(), 0b1111);
}

#[test]
fn a_neighbour_takes_whole_granules_of_what_is_left_and_gives_them_back() {
    let mut device = SimDevice::new(0, 9 * MIB, 1);
    let a = device.reserve(3 * MIB).expect("fits");
    assert!(device.processes().is_empty());
    device.set_neighbour(1);
    assert_eq!(device.free_bytes(), Ok(3 * MIB));
    let held = |process, bytes| ProcessMemory { process, bytes };
    assert_eq!(device.processes(), [held(Some(NEIGHBOUR), 2 * MIB), held(None, 4 * MIB)]);
    device.set_neighbour(u64::MAX);
    assert_eq!((device.free_bytes(), device.reserve(1)), (Ok(MIB), Err(DeviceError::OutOfMemory)));
    device.release(a).expect("a segment");
    assert_eq!(device.free_bytes(), Ok(5 * MIB), "it keeps what it has");
    device.set_neighbour(0);
    assert_eq!((device.free_bytes(), device.total_bytes()), (Ok(9 * MIB), 9 * MIB));
    assert!(device.processes().is_empty());
}

#[test]
fn the_devices_of_a_process_share_its_addresses() {
    const TIB: u64 = 1 << 40;
    let mut devices = SimDevice::process(&[180 << 30, 180 << 30], 1);
    let mut ranges = Vec::new();
    for at in 0..128 {
        let device = &mut devices[at % 2];
        let range = device.reserve_addresses(TIB).expect("a process has 128 TiB");
        device.map(range, 2 * MIB).expect("is reserved");
        ranges.push(range);
    }
    assert_eq!((ranges[0], ranges[2]), (0x7f00_0000_0000, 0x7f00_0000_0000 + TIB), "as if it were alone");
    for (at, device) in devices.iter_mut().enumerate() {
        assert_eq!(device.reserve_addresses(2 * MIB), Err(DeviceError::OutOfMemory), "device {at}");
        assert_eq!(device.reserve(1), Err(DeviceError::OutOfMemory), "device {at}");
        assert_eq!(device.faults_fired(), 2, "device {at}: none of its allocator's doing");
    }
    devices[1].unmap(ranges[1], 2 * MIB).expect("is mapped");
    devices[1].free_addresses(ranges[1], TIB).expect("nothing is mapped");
    assert!(devices[0].reserve(1).is_ok(), "what one gives back another can have");
    // Another process has its own.
    assert!(SimDevice::new(0, 64 * MIB, 1).reserve_addresses(64 * TIB).is_ok());
}

#[test]
fn who_keeps_addresses_without_memory_runs_out_by_himself() {
    let mut device = SimDevice::new(0, 64 * MIB, 1);
    while device.reserve_addresses(1 << 40).is_ok() {}
    assert_eq!(device.reserve_addresses(1 << 40), Err(DeviceError::OutOfMemory));
    assert_eq!(device.faults_fired(), 0);
}

//! Device calls that fail, one after the other: what the allocator keeps straight whatever the device does.
//!
//! Decides nothing about predictions. Each course of calls runs once for every device call in it, which
//! fails then, alone or with those that follow.

use super::*;
use crate::device::Event;
use crate::device::sim::SimDevice;
use crate::op::snapshot::BlockState;
use crate::op::stats::{Column, Row};
use crate::op::{DeviceCall, Family, StreamId};

const MIB: u64 = 1 << 20;
const TOTAL: u64 = 128 * MIB;

/// A simulated device, a run of whose calls fails.
#[derive(Debug)]
struct Failing {
    inner: SimDevice,
    calls: std::ops::Range<u32>,
    made: u32,
    error: DeviceError,
}

impl Failing {
    fn enter(&mut self) -> Result<(), DeviceError> {
        self.made += 1;
        if self.calls.contains(&(self.made - 1)) { Err(self.error.clone()) } else { Ok(()) }
    }
}

/// Each call passes `enter` and then goes to the simulated device.
macro_rules! passed_on {
    ($($name:ident ( $($arg:ident : $type:ty),* ) -> $answer:ty;)+) => {
        impl Device for Failing {
            fn total_bytes(&self) -> u64 {
                self.inner.total_bytes()
            }
            $(fn $name(&mut self, $($arg: $type),*) -> Result<$answer, DeviceError> {
                self.enter()?;
                self.inner.$name($($arg),*)
            })+
        }
    };
}

passed_on! {
    free_bytes() -> u64;
    reserve(bytes: u64) -> u64;
    release(address: u64) -> ();
    reserve_addresses(bytes: u64) -> u64;
    free_addresses(address: u64, bytes: u64) -> ();
    map(address: u64, bytes: u64) -> ();
    set_access(address: u64, bytes: u64) -> ();
    unmap(address: u64, bytes: u64) -> ();
    record_event(stream: StreamHandle) -> Event;
    query_event(event: Event) -> bool;
    wait_event(event: Event) -> ();
    wait_stream(stream: StreamHandle) -> ();
}

#[derive(Debug, Clone, Copy)]
enum Call {
    /// A number of KiB on a stream.
    Alloc(u64, u8),
    /// The block at this place among the live ones, modulo their number.
    Free(usize),
    Record(usize, u8),
    Occupy(u8),
    Finish(u8),
    Empty,
}

use Call::{Alloc, Empty, Finish, Free, Occupy, Record};

/// Small and large blocks on two streams, waiting blocks, flushes, requests that do not fit at first or at all.
const COURSE: &[Call] = &[
    Alloc(3, 0),
    Alloc(700, 0),
    Alloc(3 << 10, 0),
    Alloc(25 << 10, 0),
    Alloc(11 << 10, 1),
    Occupy(1),
    Record(2, 1),
    Record(0, 1),
    Record(0, 2),
    Free(2),
    Free(0),
    Alloc(3 << 10, 0),
    Free(1),
    Alloc(30 << 10, 0),
    Empty,
    Alloc(60 << 10, 0),
    Record(1, 2),
    Occupy(2),
    Free(1),
    Alloc(22 << 10, 1),
    Finish(1),
    Alloc(2, 1),
    Alloc(90 << 10, 0),
    Free(3),
    Free(0),
    Finish(2),
    Empty,
    Alloc(50 << 10, 1),
    Free(0),
    Alloc(70 << 10, 0),
    Record(0, 1),
    Free(0),
    Free(0),
    Alloc(26 << 10, 0),
    Alloc(21 << 10, 0),
    Free(1),
    Alloc(64 << 10, 0),
    Empty,
];

const SETTINGS: [&str; 4] = [
    "",
    "expandable_segments:True",
    "max_split_size_mb:20,garbage_collection_threshold:0.4,per_process_memory_fraction:0.8",
    "expandable_segments:True,large_segment_size_mb:12,garbage_collection_threshold:0.3,per_process_memory_fraction:0.7",
];

/// A course of calls in progress.
struct Course {
    reference: Reference<Failing>,
    live: Vec<u64>,
    /// What stood where, for the message of a failed check.
    name: String,
}

impl Course {
    fn new(settings: &str, calls: std::ops::Range<u32>, error: DeviceError) -> Self {
        let name = format!("{settings:?}, device calls {calls:?} fail with {error:?}");
        let device = Failing { inner: SimDevice::new(0, TOTAL, 3), calls, made: 0, error };
        let settings = settings.parse().expect("settings are read");
        Course { reference: Reference::new(vec![device], &settings, Sound), live: Vec::new(), name }
    }

    fn sim(&mut self) -> &mut SimDevice {
        &mut self.reference.device_mut(0).device_mut().inner
    }

    fn step(&mut self, call: Call) {
        let nth = |course: &Self, n: usize| n.checked_rem(course.live.len());
        match call {
            Alloc(kib, stream) => {
                let stream = self.sim().stream_handle(StreamId(stream));
                self.live.extend(self.reference.device_mut(0).alloc(kib << 10, stream));
            }
            Free(n) => {
                if let Some(i) = nth(self, n) {
                    let address = self.live.remove(i);
                    let refused = self.reference.free(address);
                    assert!(!matches!(refused, Err(FreeError::InvalidPointer { .. })), "{}", self.name);
                }
            }
            Record(n, stream) => {
                if let Some(i) = nth(self, n) {
                    let stream = self.sim().stream_handle(StreamId(stream));
                    self.reference.record_stream(self.live[i], stream);
                }
            }
            Occupy(stream) => self.sim().occupy(StreamId(stream)).expect("a stream of the device"),
            Finish(stream) => self.sim().finish(StreamId(stream)).expect("a stream of the device"),
            Empty => drop(self.reference.empty_cache()),
        }
    }

    /// What holds of any allocator's books.
    fn check(&self) {
        let name = &self.name;
        let stats = self.reference.device(0).stats();
        for &family in Family::ALL {
            for &column in Column::ALL.iter().filter(|&&c| c != Column::Peak) {
                let [all, small, large] =
                    [Row::All, Row::SmallPool, Row::LargePool].map(|row| stats.get(family, row).column(column));
                assert_eq!(all, small + large, "{name}: {} {}", family.name(), column.name());
            }
        }
        let segments = self.reference.snapshot().segments;
        let mut found = [0_i64; 9];
        let mut add = |family: Family, by: u64| found[family as usize] += signed(by);
        let mut held = Vec::new();
        for segment in &segments {
            let mut end = segment.address;
            add(Family::ReservedBytes, segment.total_size);
            add(Family::Segment, u64::from(!segment.is_expandable));
            let inactive_before = |i: usize| i > 0 && segment.blocks[i - 1].state == BlockState::Inactive;
            for (i, block) in segment.blocks.iter().enumerate() {
                assert_eq!(block.address, end, "{name}: blocks tile their segment");
                end += block.size;
                if block.state == BlockState::Inactive {
                    assert!(!inactive_before(i), "{name}: free neighbours are one block");
                    let split = u64::from(segment.blocks.len() > 1 && !segment.is_expandable);
                    add(Family::InactiveSplit, split);
                    add(Family::InactiveSplitBytes, split * block.size);
                    continue;
                }
                add(Family::Active, 1);
                add(Family::ActiveBytes, block.size);
                add(Family::RequestedBytes, block.requested_size);
                if block.state == BlockState::ActiveAllocated {
                    held.push(block.address);
                    add(Family::Allocation, 1);
                    add(Family::AllocatedBytes, block.size);
                }
            }
            assert_eq!(end, segment.address + segment.total_size, "{name}: blocks tile their segment");
        }
        for &family in Family::ALL {
            assert_eq!(stats.all(family).current, found[family as usize], "{name}: {}", family.name());
        }
        let mut live = self.live.clone();
        live.sort_unstable();
        assert_eq!(live, held, "{name}: the live blocks");
    }

    /// What is in use on the device is reserved, or known to be a stray.
    fn check_device(&mut self) {
        let used = TOTAL - self.sim().free_bytes().expect("a simulated device knows");
        let allocator = self.reference.device(0);
        let strays: u64 = allocator.strays.iter().map(|(_, bytes)| bytes).sum();
        let reserved = allocator.stats().all(Family::ReservedBytes).current;
        assert_eq!(signed(used), reserved + signed(strays), "{}: used on the device", self.name);
    }

    /// The device is well again: everything can be given back, and then got.
    fn finish(mut self) {
        self.reference.device_mut(0).device_mut().calls = 0..0;
        for _ in 0..2 {
            for address in std::mem::take(&mut self.live) {
                assert_eq!(self.reference.free(address), Ok(()), "{}", self.name);
            }
            self.sim().synchronize();
            assert_eq!(self.reference.empty_cache(), Ok(()), "{}", self.name);
            self.check();
            assert_eq!(self.reference.snapshot().segments, [], "{}", self.name);
            assert_eq!(self.sim().free_bytes(), Ok(TOTAL), "{}", self.name);
            for stream in 0..3 {
                let stream = self.sim().stream_handle(StreamId(stream));
                let got = self.reference.device_mut(0).alloc(21 * MIB, stream);
                self.live.push(got.unwrap_or_else(|error| panic!("{}: {error}", self.name)));
            }
        }
    }
}

fn live_through(settings: &str, calls: std::ops::Range<u32>, error: DeviceError) -> u32 {
    let mut course = Course::new(settings, calls, error);
    for &call in COURSE {
        course.step(call);
        course.check();
        course.check_device();
    }
    let made = course.reference.device(0).device().made;
    course.finish();
    made
}

#[test]
fn any_device_call_may_fail_and_the_books_stay_straight() {
    let errors = [DeviceError::OutOfMemory, DeviceError::Failed { call: DeviceCall::Map, code: 700 }];
    // Under an interpreter a few calls of each course.
    let (step, longest) = if cfg!(miri) { (53, 1) } else { (1, 4) };
    for settings in SETTINGS {
        let calls = live_through(settings, 0..0, DeviceError::OutOfMemory);
        assert!(calls > 30, "{settings:?}: only {calls} device calls");
        for at in (0..calls).step_by(step) {
            for length in 1..=longest {
                for error in &errors {
                    live_through(settings, at..at + length, error.clone());
                }
            }
        }
    }
}

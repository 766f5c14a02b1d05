//! What the callers did to one device, and how much of it they may have reserved.
//!
//! Counts; decides nothing.

use super::Live;
pub use crate::op::contract::limit_bytes;
use crate::op::{Counter, DeviceView, Family, StreamId};

/// What the callers did to one device.
#[derive(Debug, Clone)]
pub struct DeviceState {
    /// Live blocks, those of 0 bytes left out.
    pub live: u64,
    /// What was asked for in them.
    pub bytes: u128,
    /// Whether a request was ever refused for lack of memory.
    pub had_oom: bool,
    /// The fraction last set by an answered call; `None` before the first.
    pub fraction: Option<f64>,
    /// Planned faults that have not fired.
    pub armed: u32,
    /// What another process holds, by command.
    pub neighbour: u64,
    /// What was free of the device when it was last seen.
    pub(super) free: Option<u64>,
    /// Faults that had fired at the last observation.
    pub fired: u32,
    /// Streams with live blocks.
    pub streams_live: u8,
    by_stream: [u32; StreamId::LIMIT as usize],
    /// Sum of the counters that move when an allocator may have waited for streams.
    pub(super) waits: i64,
    /// Calls that got memory from the device.
    pub(super) calls: i64,
    /// The latest step made such a call.
    pub(super) grew: bool,
    /// Steps in which memory may have gone back to the device.
    pub(super) returns: u64,
    /// The latest step was one.
    pub(super) returned: bool,
    /// What tells that: calls that gave memory back, and what is reserved.
    held: (i64, i64),
    /// The most that all requests since the start may have taken of the device, saturating, and without end after what may
    /// have made room otherwise.
    most_taken: u64,
    /// What may be taken of it from the start.
    room: u64,
}

impl DeviceState {
    pub(super) fn new(room: u64) -> Self {
        DeviceState {
            live: 0,
            bytes: 0,
            had_oom: false,
            fraction: None,
            neighbour: 0,
            free: None,
            armed: 0,
            fired: 0,
            streams_live: 0,
            by_stream: [0; StreamId::LIMIT as usize],
            waits: 0,
            calls: 0,
            grew: false,
            returns: 0,
            returned: false,
            held: (0, 0),
            most_taken: 0,
            room,
        }
    }

    /// A request may have taken so much.
    pub(super) fn note_taken(&mut self, most: u64) {
        self.most_taken = self.most_taken.saturating_add(most);
    }

    /// No request so far can have needed room that cached memory takes.
    pub(super) fn has_room(&self) -> bool {
        self.most_taken <= self.room
    }

    /// Takes note of what is held after a step. Where nothing tells, by counters or by a promise, memory may have gone back.
    pub(super) fn observe(&mut self, view: &DeviceView, tells: bool) {
        let now = (view.stats.counter(Counter::NumDeviceFree), view.stats.all(Family::ReservedBytes).current);
        let before = std::mem::replace(&mut self.held, now);
        self.returned = !tells || now.0 != before.0 || now.1 < before.1;
        self.returns += u64::from(self.returned);
    }

    pub(super) fn add(&mut self, live: &Live) {
        self.live += 1;
        self.bytes += u128::from(live.bytes);
        let count = &mut self.by_stream[usize::from(live.stream.0 & 63)];
        self.streams_live += u8::from(*count == 0);
        *count += 1;
    }

    pub(super) fn remove(&mut self, live: &Live) {
        self.live -= 1;
        self.bytes -= u128::from(live.bytes);
        let count = &mut self.by_stream[usize::from(live.stream.0 & 63)];
        *count -= 1;
        self.streams_live -= u8::from(*count == 0);
    }
}

/// Moves whenever the allocator may have waited for a stream to get memory back.
pub(super) fn waits(view: &DeviceView) -> i64 {
    let counter = |which| view.stats.counter(which);
    counter(Counter::NumAllocRetries)
        .wrapping_add(counter(Counter::NumOoms))
        .wrapping_add(counter(Counter::NumSyncAllStreams))
        .wrapping_add(counter(Counter::NumDeviceFree))
}

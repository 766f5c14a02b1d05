//! The device under a recording: it gives the addresses the real driver gave, and refuses where the
//! real driver refused. It has no memory and no clock.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use super::stream_activity::{Streams, events_by_streams};
use super::{Device, DeviceError, Event, StreamHandle};
use crate::op::DeviceCall;

/// Memory behind small expandable segments comes in pages of this size; behind large ones in larger pages.
const SMALL_PAGE: u64 = 2 << 20;

/// One thing the real driver did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DriverAct {
    /// A segment was got.
    Reserved,
    /// Memory was mapped.
    Mapped,
    /// A segment was given back.
    Released,
    /// Memory was unmapped.
    Unmapped,
    /// It was asked what is free, for a request that was refused; the answer is in place of an address.
    Asked,
}

/// A driver act of the recording, and the request it was done for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordedAct {
    /// What was done.
    pub act: DriverAct,
    /// Where.
    pub address: u64,
    /// To how many bytes.
    pub bytes: u64,
    /// The stream of the request.
    pub stream: StreamHandle,
    /// How many requests of this device were answered before the one this act was done for.
    pub request: u64,
    /// Which private pool that request went to, by a number of the caller's; 0 for none.
    pub owner: u64,
}

/// The request that the driver is called for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Serving {
    /// How many requests of this device were answered before.
    pub request: u64,
    /// The stream that it names.
    pub stream: StreamHandle,
    /// Of the small pool, whose mappings are 2 MiB long.
    pub small: bool,
    /// As in [`RecordedAct`].
    pub owner: u64,
}

/// The device of one episode of a recording.
#[derive(Debug, Clone)]
pub struct RecordedDevice {
    total_bytes: u64,
    /// Everything the driver did, shared by clones, and how much of it is done.
    acts: Arc<[RecordedAct]>,
    done: usize,
    /// What it does in later episodes, for where ranges of addresses lie that nothing is mapped in before.
    later: Arc<[RecordedAct]>,
    /// Handles by position.
    handles: Arc<[StreamHandle]>,
    streams: Streams,
    serving: Serving,
    /// How many of the next attempts to get memory fail, whatever the recording has next.
    refusals: u32,
    /// Address ranges reserved so far, and where every one of them began.
    ranges: Vec<Range<u64>>,
    /// Where segments begin that stand, if all of them are known.
    segments: Option<BTreeSet<u64>>,
    reserved: Vec<u64>,
    /// Where address ranges go whose place the recording does not tell.
    unknown_ranges: u64,
}

impl RecordedDevice {
    /// A device whose driver does what the recording says, in that order.
    #[must_use]
    pub fn new(total_bytes: u64, streams: &[u64], acts: Vec<RecordedAct>) -> Self {
        RecordedDevice {
            total_bytes,
            acts: acts.into(),
            done: 0,
            later: Arc::default(),
            handles: streams.iter().map(|&handle| StreamHandle(handle)).collect(),
            streams: Streams::default(),
            serving: Serving::default(),
            ranges: Vec::new(),
            segments: None,
            reserved: Vec::new(),
            refusals: 0,
            unknown_ranges: 0,
        }
    }

    /// Goes on with the next episode of the same process: its acts, and those of the episodes after it.
    pub fn go_on(&mut self, streams: &[u64], acts: Vec<RecordedAct>, later: Vec<RecordedAct>) {
        (self.acts, self.later, self.done) = (acts.into(), later.into(), 0);
        self.handles = streams.iter().map(|&handle| StreamHandle(handle)).collect();
    }

    /// The request that the driver is called for from now on.
    pub fn serve(&mut self, serving: Serving) {
        self.serving = serving;
    }

    /// A range of addresses was reserved before the recording began.
    pub fn stand(&mut self, address: u64, bytes: u64) {
        self.ranges.push(address..address.saturating_add(bytes));
    }

    /// The recording begins with nothing: whatever no segment begins at is none, and is not taken back.
    #[must_use]
    pub fn from_nothing(mut self) -> Self {
        self.segments = Some(BTreeSet::new());
        self
    }

    /// The next attempt to get memory fails: the recording shows by its consequences that it did.
    pub fn refuse_once(&mut self) {
        self.refusals += 1;
    }

    /// The next attempt to get memory fails if the recording shows nothing else for it: no memory given back before the request
    /// that is about to be served gets some. Others on the card had taken it for a moment.
    pub fn refuse_a_retry(&mut self) {
        let is_growth = |act: &RecordedAct| matches!(act.act, DriverAct::Reserved | DriverAct::Mapped);
        if self.acts_to_come().first().is_some_and(is_growth) {
            self.refusals += 1;
        }
    }

    fn refuses(&mut self) -> bool {
        let refuses = self.refusals > 0;
        self.refusals = self.refusals.saturating_sub(1);
        refuses
    }

    /// Work was put on a stream that keeps it busy.
    pub fn occupy(&mut self, stream: usize) {
        if let Some(&handle) = self.handles.get(stream) {
            self.streams.occupy(handle);
        }
    }

    /// What is put on a stream from now on waits for what is on another one now.
    pub fn hold_for(&mut self, stream: usize, on: usize) {
        if let (Some(&stream), Some(&on)) = (self.handles.get(stream), self.handles.get(on)) {
            self.streams.hold_for(stream, on);
        }
    }

    /// The recording saw the stream idle.
    pub fn finish(&mut self, stream: usize) {
        if let Some(&handle) = self.handles.get(stream) {
            self.streams.finish(handle);
        }
    }

    /// Everything on the device has finished.
    pub fn synchronize(&mut self) {
        self.streams.synchronize();
    }

    /// The handle of a stream by position; one that nobody has for a position that was not recorded.
    #[must_use]
    pub fn handle(&self, stream: usize) -> StreamHandle {
        self.handles.get(stream).copied().unwrap_or(StreamHandle(u64::MAX))
    }

    /// The position of a stream by its handle.
    #[must_use]
    pub fn position(&self, handle: StreamHandle) -> Option<usize> {
        self.handles.iter().position(|&other| other == handle)
    }

    /// Whether the recording has next, for the request that is served, at least so many bytes mapped.
    #[must_use]
    pub fn has_mapped(&mut self, bytes: u64) -> bool {
        !self.refuses() && self.next(DriverAct::Mapped).is_some_and(|act| bytes <= act.bytes)
    }

    /// Whether the recording tells where a range lies that is reserved now.
    #[must_use]
    pub fn has_range_to_come(&self, bytes: u64) -> bool {
        self.range_to_come(bytes).is_some()
    }

    fn acts_to_come(&self) -> &[RecordedAct] {
        self.acts.get(self.done..).unwrap_or_default()
    }

    /// Where the ranges of addresses began that were reserved, in order.
    #[must_use]
    pub fn reserved(&self) -> &[u64] {
        &self.reserved
    }

    /// Where a new range begins: where memory is first mapped for that stream and those pools outside all ranges
    /// known. The attempt that reserves a range may get no memory at all, so that a later one tells.
    fn range_to_come(&self, bytes: u64) -> Option<u64> {
        let Serving { stream, small, owner, .. } = self.serving;
        let fits = |a: &&RecordedAct| {
            let alike = a.stream == stream && a.owner == owner && (a.bytes == SMALL_PAGE) == small;
            a.act == DriverAct::Mapped && alike
        };
        // One of a later episode may lie where another one still is now.
        let unknown = |a: &&RecordedAct| {
            let range = a.address..a.address.saturating_add(bytes);
            !self.ranges.iter().any(|r| r.start < range.end && range.start < r.end)
        };
        self.acts_to_come().iter().chain(&*self.later).filter(fits).find(unknown).map(|a| a.address)
    }

    /// The act is done, if the recording has it next.
    fn pass(&mut self, act: DriverAct, address: u64) {
        if self.acts_to_come().first().is_some_and(|a| a.act == act && a.address == address) {
            self.done += 1;
        }
    }

    fn next(&self, act: DriverAct) -> Option<&RecordedAct> {
        self.acts_to_come().first().filter(|a| a.act == act && a.request == self.serving.request)
    }
}

impl Device for RecordedDevice {
    fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    fn free_bytes(&mut self) -> Result<u64, DeviceError> {
        let found = self.next(DriverAct::Asked).map(|act| act.address);
        self.done += usize::from(found.is_some());
        Ok(found.unwrap_or(0)) // told at refusals only; nothing decides by it
    }

    fn reserve(&mut self, bytes: u64) -> Result<u64, DeviceError> {
        if self.refuses() {
            return Err(DeviceError::OutOfMemory);
        }
        let found = self.next(DriverAct::Reserved).filter(|a| a.bytes == bytes).map(|a| a.address);
        let address = found.ok_or(DeviceError::OutOfMemory)?;
        self.done += 1;
        self.segments.as_mut().map(|segments| segments.insert(address));
        Ok(address)
    }

    fn release(&mut self, address: u64) -> Result<(), DeviceError> {
        self.pass(DriverAct::Released, address);
        let call = DeviceCall::Release;
        let is_known = self.segments.as_mut().is_none_or(|segments| segments.remove(&address));
        if is_known { Ok(()) } else { Err(DeviceError::InvalidValue { call }) }
    }

    fn reserve_addresses(&mut self, bytes: u64) -> Result<u64, DeviceError> {
        let address = self.range_to_come(bytes).unwrap_or_else(|| {
            self.unknown_ranges = self.unknown_ranges.saturating_add(bytes);
            (1_u64 << 60).saturating_add(self.unknown_ranges)
        });
        self.reserved.push(address);
        self.ranges.push(address..address.saturating_add(bytes));
        Ok(address)
    }

    fn free_addresses(&mut self, address: u64, _bytes: u64) -> Result<(), DeviceError> {
        self.ranges.retain(|r| r.start != address);
        Ok(())
    }

    fn map(&mut self, address: u64, bytes: u64) -> Result<(), DeviceError> {
        if self.refuses() {
            return Err(DeviceError::OutOfMemory);
        }
        let within = |a: &&RecordedAct| {
            a.address <= address && address.saturating_add(bytes) <= a.address.saturating_add(a.bytes)
        };
        self.next(DriverAct::Mapped).filter(within).map(|_| ()).ok_or(DeviceError::OutOfMemory)
    }

    fn set_access(&mut self, _address: u64, _bytes: u64) -> Result<(), DeviceError> {
        self.done += 1; // the whole of one recorded mapping is behind the range now
        Ok(())
    }

    fn unmap(&mut self, address: u64, _bytes: u64) -> Result<(), DeviceError> {
        self.pass(DriverAct::Unmapped, address);
        Ok(())
    }

    events_by_streams!();
}

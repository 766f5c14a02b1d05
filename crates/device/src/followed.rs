//! A device known by what an allocator tells afterwards that it did to it: its trace. For one that lives beside that allocator.
//!
//! Decides which calls were answered how: a segment in the trace was got, one that is not was refused. Everything else succeeds.
//! What was told of an operation has to be there before the same is asked here. Streams are kept busy and let go as there; what was
//! found idle is.

use std::sync::{Arc, Mutex, PoisonError};

use super::recorded::{DriverAct, RecordedAct, RecordedDevice, Serving};
use super::sim::streams::Streams;
use super::{ControlledDevice, Device, DeviceError, Event, ProcessMemory, StreamHandle};
use crate::op::trace::{Action, TraceEvent};
use crate::op::{ContentsReport, DeviceCall, FaultError, StreamId};

/// Memory behind small expandable segments comes in pages of this size; behind large ones in larger pages.
const SMALL_PAGE: u64 = 2 << 20;

/// A stream as PyTorch knows it: by its handle and by a number of its own.
pub type StreamNumber = (StreamHandle, u64);

/// What is told of the device, and not yet taken up.
#[derive(Debug, Default)]
struct Told {
    /// Since the last comparison.
    events: Vec<TraceEvent>,
    /// All of them up to now.
    is_complete: bool,
    /// What was done to the device in the operation under way.
    acts: Vec<RecordedAct>,
    /// Where segments lie that were got before their events were told.
    foretold: Vec<u64>,
    /// An operation began that the device has not heard of.
    is_news: bool,
    /// The first attempt to get memory in it was refused, as its figures show.
    was_refused_first: bool,
    /// The streams that were found idle after the operation before.
    idle: Option<u64>,
    /// A range of addresses was wanted of which nobody told where it lies.
    is_lost: bool,
    /// How the pool is numbered that was made in the operation under way.
    pool: Option<(u64, u64)>,
}

/// What is told of one device. A clone is the same.
#[derive(Debug, Clone, Default)]
pub struct TraceLog {
    told: Arc<Mutex<Told>>,
}

impl TraceLog {
    fn with<R>(&self, act: impl FnOnce(&mut Told) -> R) -> R {
        act(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// All that happened since this was last called, or since the beginning. What concerns segments happened in the operation under
    /// way, but for those of which it is known where they lie.
    pub fn tell(&self, events: &[TraceEvent]) {
        let mut acts: Vec<RecordedAct> = events.iter().filter_map(act).collect();
        self.with(|told| {
            for address in told.foretold.drain(..) {
                let at = acts.iter().position(|act| act.act == DriverAct::Reserved && act.address == address);
                at.map(|at| acts.remove(at));
            }
            told.events.extend_from_slice(events);
            (told.acts, told.is_complete) = (acts, true);
        });
    }

    /// The operation under way got one segment and did nothing else to the device, as its figures show, and the request was
    /// served at its beginning; its events are told later.
    pub fn lies_at(&self, address: u64, bytes: u64) {
        self.with(|told| {
            if told.acts.is_empty() {
                let (act, stream) = (DriverAct::Reserved, StreamHandle(0));
                told.acts.push(RecordedAct { act, address, bytes, stream, request: 0, owner: 0 });
                told.foretold.push(address);
            }
        });
    }

    /// The operation that was told of is asked here next. Whether the first attempt to get memory for it was refused, which
    /// leaves no trace, its figures show.
    pub fn begin(&self, was_refused_first: bool) {
        self.with(|told| (told.is_news, told.was_refused_first) = (true, was_refused_first));
    }

    /// The pool that was made in the operation under way has this number.
    pub fn number_pool(&self, pool: Option<(u64, u64)>) {
        self.with(|told| told.pool = pool);
    }

    /// The number of the pool that was made in the operation under way, if it was told.
    #[must_use]
    pub fn take_pool(&self) -> Option<(u64, u64)> {
        self.with(|told| told.pool.take())
    }

    /// The streams that are idle after it, one bit a stream.
    pub fn settle(&self, idle: u64) {
        self.with(|told| told.idle = Some(idle));
    }

    /// All events since the last call, if all have been told.
    #[must_use]
    pub fn take_events(&self) -> Option<Vec<TraceEvent>> {
        self.with(|told| std::mem::take(&mut told.is_complete).then(|| std::mem::take(&mut told.events)))
    }

    /// Whether the device can be followed no more: what its allocator asked for without success it did not tell.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.with(|told| told.is_lost)
    }
}

/// What an event says was done to the device; the request is the only one.
fn act(event: &TraceEvent) -> Option<RecordedAct> {
    let TraceEvent { action, address, bytes, stream } = *event;
    let act = match action {
        Action::SegmentAlloc => DriverAct::Reserved,
        Action::SegmentMap => DriverAct::Mapped,
        Action::SegmentFree => DriverAct::Released,
        Action::SegmentUnmap => DriverAct::Unmapped,
        Action::Oom => DriverAct::Asked,
        Action::Alloc | Action::FreeRequested | Action::FreeCompleted | Action::Snapshot => return None,
    };
    Some(RecordedAct { act, address, bytes, stream: StreamHandle(stream), request: 0, owner: 0 })
}

/// A device that did what is told.
#[derive(Debug)]
pub struct FollowedDevice {
    name: String,
    log: TraceLog,
    /// Its memory.
    device: RecordedDevice,
    streams: Vec<StreamNumber>,
    /// What is on them.
    work: Streams,
}

impl FollowedDevice {
    /// A device with this name, size and streams, of which the log will tell.
    #[must_use]
    pub fn new(name: String, total_bytes: u64, streams: Vec<StreamNumber>, log: TraceLog) -> Self {
        let handles: Vec<u64> = streams.iter().map(|(handle, _)| handle.0).collect();
        let work = Streams::new(0, u8::try_from(streams.len()).unwrap_or(u8::MAX));
        FollowedDevice { name, log, device: RecordedDevice::new(total_bytes, &handles, Vec::new()), streams, work }
    }

    fn position(&self, handle: StreamHandle) -> Option<usize> {
        self.streams.iter().position(|(known, _)| *known == handle)
    }

    fn place(&self, stream: StreamId) -> Result<usize, DeviceError> {
        let place = usize::from(stream.0);
        (place < self.streams.len()).then_some(place).ok_or(DeviceError::InvalidValue { call: DeviceCall::RecordEvent })
    }

    /// The device as it is in the operation under way.
    fn now(&mut self) -> &mut RecordedDevice {
        let (device, streams, work) = (&mut self.device, &self.streams, &mut self.work);
        self.log.with(|told| {
            if !std::mem::take(&mut told.is_news) {
                return;
            }
            if let Some(idle) = told.idle.take() {
                // Whoever waited for a stream let it go.
                let found = (0..streams.len().min(64)).filter(|stream| idle >> stream & 1 == 1);
                found.for_each(|stream| work.wait_stream(stream, &mut |_| {}));
            }
            let acts = std::mem::take(&mut told.acts);
            let mapped = acts.iter().find(|act| act.act == DriverAct::Mapped);
            device.serve(mapped.map_or_else(Serving::default, |act| Serving {
                stream: act.stream,
                small: act.bytes == SMALL_PAGE,
                ..Serving::default()
            }));
            let handles: Vec<u64> = streams.iter().map(|(handle, _)| handle.0).collect();
            device.go_on(&handles, acts, Vec::new());
            if told.was_refused_first {
                device.refuse_a_retry();
            }
        });
        &mut self.device
    }
}

impl Device for FollowedDevice {
    fn total_bytes(&self) -> u64 {
        self.device.total_bytes()
    }

    fn stream_numbers(&self) -> &[StreamNumber] {
        &self.streams
    }

    fn free_bytes(&mut self) -> Result<u64, DeviceError> {
        self.now().free_bytes()
    }

    /// What each process holds PyTorch asks NVML, and nobody tells.
    fn processes(&mut self) -> Vec<ProcessMemory> {
        Vec::new()
    }

    fn reserve(&mut self, bytes: u64) -> Result<u64, DeviceError> {
        self.now().reserve(bytes)
    }

    fn release(&mut self, address: u64) -> Result<(), DeviceError> {
        self.now().release(address)
    }

    fn reserve_addresses(&mut self, bytes: u64) -> Result<u64, DeviceError> {
        let device = self.now();
        let is_told = device.has_range_to_come(bytes);
        let address = device.reserve_addresses(bytes);
        self.log.with(|told| told.is_lost |= !is_told);
        address
    }

    fn free_addresses(&mut self, address: u64, bytes: u64) -> Result<(), DeviceError> {
        self.now().free_addresses(address, bytes)
    }

    fn map(&mut self, address: u64, bytes: u64) -> Result<(), DeviceError> {
        self.now().map(address, bytes)
    }

    fn set_access(&mut self, address: u64, bytes: u64) -> Result<(), DeviceError> {
        self.now().set_access(address, bytes)
    }

    fn unmap(&mut self, address: u64, bytes: u64) -> Result<(), DeviceError> {
        self.now().unmap(address, bytes)
    }

    fn record_event(&mut self, stream: StreamHandle) -> Result<Event, DeviceError> {
        self.now();
        let stream = self.position(stream).ok_or(DeviceError::InvalidValue { call: DeviceCall::RecordEvent })?;
        Ok(self.work.record(stream))
    }

    fn query_event(&mut self, event: Event) -> Result<bool, DeviceError> {
        self.now();
        Ok(!self.work.is_pending(event))
    }

    fn wait_event(&mut self, event: Event) -> Result<(), DeviceError> {
        self.now();
        self.work.wait_event(event, &mut |_| {});
        Ok(())
    }

    fn wait_stream(&mut self, stream: StreamHandle) -> Result<(), DeviceError> {
        self.now();
        if let Some(stream) = self.position(stream) {
            self.work.wait_stream(stream, &mut |_| {});
        }
        Ok(())
    }
}

/// What a harness does to the device that is told of, it does to this one; contents are that one's alone.
impl ControlledDevice for FollowedDevice {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn stream_handle(&self, stream: StreamId) -> StreamHandle {
        self.device.handle(usize::from(stream.0))
    }

    fn occupy(&mut self, stream: StreamId) -> Result<(), DeviceError> {
        self.now();
        self.work.occupy(self.place(stream)?);
        Ok(())
    }

    fn finish(&mut self, stream: StreamId) -> Result<(), DeviceError> {
        self.now();
        self.work.finish(self.place(stream)?, &mut |_| {});
        Ok(())
    }

    fn hold_for(&mut self, stream: StreamId, on: StreamId) -> Result<(), DeviceError> {
        self.now();
        self.work.hold_for(self.place(stream)?, self.place(on)?);
        Ok(())
    }

    fn synchronize(&mut self) -> Result<(), DeviceError> {
        self.now();
        self.work.wait_all(&mut |_| {});
        Ok(())
    }

    fn idle_mask(&mut self) -> u64 {
        0
    }

    fn write(&mut self, _: StreamId, _: u64, _: u64, _: u32) -> Result<(), DeviceError> {
        Ok(())
    }

    fn check(&mut self, _: StreamId, _: u64, _: u64, _: u32) -> Result<ContentsReport, DeviceError> {
        Ok(ContentsReport::Intact)
    }

    fn take_illegal_access(&mut self) -> Option<u64> {
        None
    }

    fn fault(&mut self, _: DeviceCall, _: u32, _: Option<FaultError>) {}

    fn look_at_free_bytes(&mut self) -> Result<u64, DeviceError> {
        Ok(0)
    }

    fn faults_fired(&self) -> u32 {
        0
    }

    fn poisoned(&self) -> Option<i32> {
        None
    }
}

#[cfg(test)]
#[path = "followed_test.rs"]
mod tests;

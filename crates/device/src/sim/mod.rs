//! A simulated device: capacity, addresses, streams that are busy on command, contents, and planned failures.
//!
//! Decides what a device answers, the same on every machine: it reads no clock and draws nothing.
//! Does not know what an allocator is, nor what should have been asked.

mod contents;
mod controlled;
mod memory;
mod physical;
mod space;
pub(crate) mod streams;
mod tenant;
#[cfg(test)]
mod tests;

use crate::op::{ContentsReport, DeviceCall, FaultError, Misuse, StreamId};

use super::faults::Faults;
use super::{Device, DeviceError, Event, ProcessMemory, StreamHandle};
pub(super) use contents::Contents;
use memory::Memory;
use space::Space;
pub(super) use streams::{Streams, Write};

pub use super::faults::FAULT_CODE;
pub use tenant::Tenant;

/// Where the raw handles of streams other than the default one begin.
const FIRST_HANDLE: u64 = 0x5500_0000_0000;
const HANDLE_STEP: u64 = 0x40;

/// The number of the process that may hold memory of a device beside this one.
pub const NEIGHBOUR: u32 = 4242;

/// CUDA's "operation not permitted when stream is capturing".
const CAPTURE_CODE: i32 = 900;

/// One simulated device.
///
/// Addresses are handed out first fit, so a released range is used again at once; memory is counted in
/// granules of 2 MiB. Memory just got holds nothing that was written before.
#[derive(Debug)]
pub struct SimDevice {
    index: u32,
    memory: Memory,
    streams: Streams,
    faults: Faults,
    /// A stream captures: nothing may be waited for or asked about, nor memory given back.
    captures: bool,
    /// Calls that made no sense, until somebody takes them.
    misuse: Vec<Misuse>,
}

impl SimDevice {
    /// A device of `total_bytes` with that many streams, the default one included (1 to 64; clamped), in a process of its own.
    /// Devices differ in `index`, and so in their addresses.
    #[must_use]
    pub fn new(index: u32, total_bytes: u64, streams: u8) -> Self {
        SimDevice::placed(index, streams, Memory::new(index, total_bytes, memory::SPACING, Space::new()))
    }

    /// The devices of a process, of so many bytes each: as [`SimDevice::new`] by position, and they share what addresses a
    /// process has ([`crate::op::PROCESS_ADDRESSES`]).
    #[must_use]
    pub fn process(total_bytes: &[u64], streams: u8) -> Vec<Self> {
        SimDevice::spaced(0, total_bytes, streams, memory::SPACING)
    }

    /// The same from an index on, with the addresses of one device that many bytes behind those of the one before it.
    #[must_use]
    pub fn spaced(first: u32, total_bytes: &[u64], streams: u8, spacing: u64) -> Vec<Self> {
        let space = Space::new();
        let device = |(index, &bytes): (u32, &u64)| {
            SimDevice::placed(index, streams, Memory::new(index, bytes, spacing, space.clone()))
        };
        (first..).zip(total_bytes).map(device).collect()
    }

    fn placed(index: u32, streams: u8, memory: Memory) -> Self {
        SimDevice {
            index,
            memory,
            streams: Streams::new(index, streams),
            faults: Faults::default(),
            captures: false,
            misuse: Vec::new(),
        }
    }

    /// The raw handle of a stream: 0 for the default one; the others are distinct over all devices and
    /// grow with the stream. A stream the device has not gets a handle that no call accepts.
    #[must_use]
    #[inline]
    pub fn stream_handle(&self, stream: StreamId) -> StreamHandle {
        StreamHandle(if stream.0 == 0 { 0 } else { self.handle_base() + u64::from(stream.0) * HANDLE_STEP })
    }

    /// The stream of a raw handle, if it is one of this device.
    #[must_use]
    #[inline]
    pub fn stream_id(&self, handle: StreamHandle) -> Option<StreamId> {
        if handle.0 == 0 {
            return Some(StreamId(0));
        }
        let offset = handle.0.checked_sub(self.handle_base())?;
        let stream = offset / HANDLE_STEP;
        let known = stream != 0 && offset.is_multiple_of(HANDLE_STEP) && stream < self.streams.count() as u64;
        u8::try_from(stream).ok().filter(|_| known).map(StreamId)
    }

    /// How many streams the device has.
    #[must_use]
    pub fn stream_count(&self) -> u8 {
        u8::try_from(self.streams.count()).unwrap_or(StreamId::LIMIT) // built from a u8
    }

    /// Keeps a stream busy: whatever is enqueued on it from now on waits for `finish` or for a wait.
    ///
    /// # Errors
    /// `InvalidValue` for a stream the device has not.
    pub fn occupy(&mut self, stream: StreamId) -> Result<(), DeviceError> {
        let stream = self.known(stream)?;
        self.streams.occupy(stream);
        Ok(())
    }

    /// The work that keeps a stream busy ends; what waited behind it runs, up to the next such work. Where a wait for
    /// another stream is before that work, it ends when its turn comes. Nothing happens on an idle stream.
    ///
    /// # Errors
    /// `InvalidValue` for a stream the device has not.
    pub fn finish(&mut self, stream: StreamId) -> Result<(), DeviceError> {
        let stream = self.known(stream)?;
        let memory = &mut self.memory;
        self.streams.finish(stream, &mut |write| memory.write(write));
        Ok(())
    }

    /// Whatever is enqueued on `stream` from now on waits for what is enqueued on `on` now. A stream does so for itself anyway.
    ///
    /// # Errors
    /// `InvalidValue` for a stream the device has not.
    pub fn hold_for(&mut self, stream: StreamId, on: StreamId) -> Result<(), DeviceError> {
        let (stream, on) = (self.known(stream)?, self.known(on)?);
        self.streams.hold_for(stream, on);
        Ok(())
    }

    /// Another process holds that much of the device from now on, in whole granules, or as much as is left; 0 gives all back.
    pub fn set_neighbour(&mut self, bytes: u64) {
        self.memory.set_neighbour(bytes);
    }

    /// Waits for everything enqueued on the device, stream after stream.
    pub fn synchronize(&mut self) {
        let memory = &mut self.memory;
        self.streams.wait_all(&mut |write| memory.write(write));
    }

    /// One bit a stream, set where everything enqueued has finished.
    #[must_use]
    #[inline]
    pub fn idle_mask(&self) -> u64 {
        self.streams.idle_mask()
    }

    /// Enqueues a write of the pattern `tag` (a block's number) over a range. It finds its memory when it
    /// runs, not now; if there is none, that is remembered for `take_illegal_access`.
    ///
    /// # Errors
    /// `InvalidValue` for a stream the device has not.
    pub fn write(&mut self, stream: StreamId, address: u64, bytes: u64, tag: u32) -> Result<(), DeviceError> {
        let stream = self.known(stream)?;
        if let Some(write) = self.streams.write(stream, Write { address, bytes, tag }) {
            self.memory.write(write);
        }
        Ok(())
    }

    /// Reads a range and compares it with the pattern `tag`; `Pending` while the stream is busy.
    #[must_use]
    pub fn check(&self, stream: StreamId, address: u64, bytes: u64, tag: u32) -> ContentsReport {
        if self.streams.is_busy(usize::from(stream.0)) {
            return ContentsReport::Pending;
        }
        self.memory.check(address, bytes, tag)
    }

    /// The first address that a write found without memory since this was last asked.
    pub fn take_illegal_access(&mut self) -> Option<u64> {
        self.memory.take_illegal_access()
    }

    /// Puts the memory behind `of` (within one mapping) behind `address` of a reserved range too, usable at
    /// once: a mistake in mapping, made on purpose. The memory goes when its first mapping goes.
    ///
    /// # Errors
    /// `InvalidValue` where `map` would answer it, or if `of` has no memory.
    pub fn alias(&mut self, address: u64, of: u64, bytes: u64) -> Result<(), DeviceError> {
        self.memory.alias(address, of, bytes)
    }

    /// From now on `skip` calls of this kind go ahead and the next one fails: `Reserve` and `Map` for want
    /// of memory, the others with `FAULT_CODE`. The failed call changes nothing. Several may be armed.
    pub fn fault(&mut self, call: DeviceCall, skip: u32) {
        self.fault_with(call, skip, None);
    }

    /// The same with an error of choice.
    pub fn fault_with(&mut self, call: DeviceCall, skip: u32, error: Option<FaultError>) {
        self.faults.arm(call, skip, error);
    }

    /// How many planned failures there have been, and calls for which a process had no addresses left.
    #[must_use]
    pub fn faults_fired(&self) -> u32 {
        self.faults.fired()
    }

    /// How many calls of a kind there have been, failed ones included.
    #[must_use]
    pub fn calls(&self, call: DeviceCall) -> u64 {
        self.faults.calls(call)
    }

    /// Fails as CUDA does while a stream captures.
    fn outside_captures(&self, call: DeviceCall) -> Result<(), DeviceError> {
        if self.captures { Err(DeviceError::Failed { call, code: CAPTURE_CODE }) } else { Ok(()) }
    }

    /// Writes an answer down as misuse, where the call made no sense.
    fn noted<T>(&mut self, answer: Result<T, DeviceError>, about: impl FnOnce() -> String) -> Result<T, DeviceError> {
        if let Err(DeviceError::InvalidValue { call }) = answer {
            self.misuse.push(Misuse { call: call.name(), what: about() });
        }
        answer
    }

    /// That a process has no addresses left is no allocator's doing, so that it counts as a failure of the device.
    fn note_exhausted<T>(&mut self, bytes: u64, answer: &Result<T, DeviceError>) {
        if answer.is_err() && self.memory.exhausts_addresses(bytes) {
            self.faults.note_unplanned();
        }
    }

    fn handle_base(&self) -> u64 {
        FIRST_HANDLE + u64::from(self.index) * (HANDLE_STEP * u64::from(StreamId::LIMIT))
    }

    fn known(&self, stream: StreamId) -> Result<usize, DeviceError> {
        let position = usize::from(stream.0);
        let known = position < self.streams.count();
        if known { Ok(position) } else { Err(DeviceError::InvalidValue { call: DeviceCall::RecordEvent }) }
    }

    fn known_handle(&self, handle: StreamHandle, call: DeviceCall) -> Result<usize, DeviceError> {
        self.stream_id(handle).map(|s| usize::from(s.0)).ok_or(DeviceError::InvalidValue { call })
    }
}

impl Device for SimDevice {
    fn total_bytes(&self) -> u64 {
        self.memory.total()
    }

    fn free_bytes(&mut self) -> Result<u64, DeviceError> {
        self.faults.enter(DeviceCall::MemoryInfo)?;
        Ok(self.memory.free())
    }

    fn processes(&mut self) -> Vec<ProcessMemory> {
        let (own, neighbour) = (self.memory.used(), self.memory.neighbour());
        if neighbour == 0 {
            return Vec::new(); // who is alone needs nobody to tell
        }
        let own = ProcessMemory { process: None, bytes: own };
        vec![ProcessMemory { process: Some(NEIGHBOUR), bytes: neighbour }, own]
    }

    fn reserve(&mut self, bytes: u64) -> Result<u64, DeviceError> {
        self.faults.enter(DeviceCall::Reserve)?;
        let answer = self.memory.reserve(bytes);
        self.note_exhausted(bytes, &answer);
        answer
    }

    fn release(&mut self, address: u64) -> Result<(), DeviceError> {
        self.faults.enter(DeviceCall::Release)?;
        self.outside_captures(DeviceCall::Release)?;
        if self.memory.starts_segment(address) {
            self.synchronize();
        }
        let answer = self.memory.release(address);
        self.noted(answer, || format!("no segment starts at {address:#x}"))
    }

    fn reserve_addresses(&mut self, bytes: u64) -> Result<u64, DeviceError> {
        self.faults.enter(DeviceCall::ReserveAddresses)?;
        let answer = self.memory.reserve_addresses(bytes);
        self.note_exhausted(bytes, &answer);
        answer
    }

    fn free_addresses(&mut self, address: u64, bytes: u64) -> Result<(), DeviceError> {
        let answer = self.memory.free_addresses(address, bytes);
        self.noted(answer, || format!("no free range of {bytes} bytes was reserved at {address:#x}"))
    }

    fn map(&mut self, address: u64, bytes: u64) -> Result<(), DeviceError> {
        self.faults.enter(DeviceCall::Map)?;
        let answer = self.memory.map(address, bytes);
        self.noted(answer, || format!("{bytes} bytes at {address:#x} are not reserved, or have memory already"))
    }

    fn set_access(&mut self, address: u64, bytes: u64) -> Result<(), DeviceError> {
        self.faults.enter(DeviceCall::SetAccess)?;
        let answer = self.memory.set_access(address, bytes);
        self.noted(answer, || format!("{bytes} bytes at {address:#x} are not all mapped"))
    }

    fn unmap(&mut self, address: u64, bytes: u64) -> Result<(), DeviceError> {
        self.faults.enter(DeviceCall::Unmap)?;
        let answer = self.memory.unmap(address, bytes);
        self.noted(answer, || format!("{bytes} bytes at {address:#x} are not what was mapped there"))
    }

    fn record_event(&mut self, stream: StreamHandle) -> Result<Event, DeviceError> {
        self.faults.enter(DeviceCall::RecordEvent)?;
        let stream = self.known_handle(stream, DeviceCall::RecordEvent)?;
        Ok(self.streams.record(stream))
    }

    fn query_event(&mut self, event: Event) -> Result<bool, DeviceError> {
        self.faults.enter(DeviceCall::QueryEvent)?;
        self.outside_captures(DeviceCall::QueryEvent)?;
        Ok(!self.streams.is_pending(event))
    }

    fn wait_event(&mut self, event: Event) -> Result<(), DeviceError> {
        self.outside_captures(DeviceCall::QueryEvent)?;
        let memory = &mut self.memory;
        self.streams.wait_event(event, &mut |write| memory.write(write));
        Ok(())
    }

    fn wait_stream(&mut self, stream: StreamHandle) -> Result<(), DeviceError> {
        let stream = self.known_handle(stream, DeviceCall::QueryEvent)?;
        self.outside_captures(DeviceCall::QueryEvent)?;
        let memory = &mut self.memory;
        self.streams.wait_stream(stream, &mut |write| memory.write(write));
        Ok(())
    }
}

//! What an allocator asks of a GPU: segments, pages, events and waits, each as the calls of the driver that it takes.
//!
//! Decides the order of: planned failure, what makes no sense, the budget, the driver. Memory just got is overwritten,
//! so that nothing written before is found in it.

use super::ballast;
use super::gpu::Gpu;
use super::table::{Backing, Got, whole};
use super::{Ballast, Code, CudaDevice};
use crate::device::pattern::BLANK;
use crate::device::{Device, DeviceError, Event, StreamHandle};
use crate::op::DeviceCall;
use crate::op::GRANULE;

impl CudaDevice {
    /// Overwrites fresh memory, and waits for it.
    fn blank(&self, gpu: &Gpu, address: u64, bytes: u64) -> Result<(), DeviceError> {
        let started = gpu.start_fill(gpu.aside, address, bytes, BLANK, address >> 3);
        started.and_then(|()| gpu.driver.sync_stream(gpu.aside)).map_err(|code| self.work_failed(code))
    }

    /// Physical memory at an address, usable at once if wanted; nothing is left behind if it fails.
    fn back(&self, gpu: &Gpu, address: u64, bytes: u64, usable: bool) -> Result<u64, Code> {
        let handle = gpu.driver.create_memory(gpu.device, bytes)?;
        if let Err(code) = gpu.driver.map(address, bytes, handle) {
            gpu.driver.release_memory(handle)?;
            return Err(code);
        }
        if usable && let Err(code) = gpu.driver.set_access(&self.at_it(), address, bytes) {
            gpu.driver.unmap(address, bytes)?;
            gpu.driver.release_memory(handle)?;
            return Err(code);
        }
        Ok(handle)
    }

    /// Whether the budget has room. If not, it is refused at once where nothing holds the rest of the card, and where the
    /// driver would grant it out of the few granules that the ballast leaves besides: giving those back would wait for
    /// whatever is kept busy. Else the driver is asked, to refuse.
    pub(super) fn fits(&self, bytes: u64) -> Result<bool, DeviceError> {
        match (self.table.can_take(bytes), self.ballast) {
            (Ok(()), _) => Ok(true),
            (Err(error), Ballast::Budget) => Err(error),
            (Err(error), Ballast::Real | Ballast::Neighbour(_)) => {
                let (free, _) = self.enter()?.driver.memory_info().map_err(|code| self.work_failed(code))?;
                if free >= bytes { Err(error) } else { Ok(false) }
            }
        }
    }

    /// The driver granted what is beyond the budget and what it called free: it goes back, or to the ballast where giving
    /// it back would wait.
    fn too_much(&mut self, gpu: &Gpu, address: u64, backing: Backing) -> DeviceError {
        if backing.got == Got::Segment {
            gpu.kept().ballast.push(address);
            if let Some(watch) = &mut self.watch {
                watch.set_apart(whole(backing.bytes));
            }
            return DeviceError::OutOfMemory;
        }
        self.give(gpu, address, backing).map_or_else(|code| self.work_failed(code), |()| DeviceError::OutOfMemory)
    }

    fn get_segment(&mut self, gpu: &Gpu, bytes: u64) -> Result<(u64, Got), DeviceError> {
        match self.table.place(bytes) {
            None => {
                let address = gpu.driver.alloc(bytes).map_err(|code| self.failed(DeviceCall::Reserve, code))?;
                Ok((address, Got::Segment))
            }
            Some(place) => {
                let (address, mapped) = (place?, whole(bytes));
                let got = self.back(gpu, address, mapped, true).map_err(|code| self.failed(DeviceCall::Reserve, code));
                if got.is_err() {
                    self.table.unplace(address, bytes);
                }
                got.map(|handle| (address, Got::Placed { handle, mapped }))
            }
        }
    }

    pub(super) fn give(&self, gpu: &Gpu, address: u64, backing: Backing) -> Result<(), Code> {
        match backing.got {
            Got::Segment => gpu.driver.free(address),
            Got::Foreign => Ok(()),
            Got::Pooled => gpu.driver.free_async(address, gpu.aside),
            Got::Placed { handle, mapped } => {
                gpu.driver.unmap(address, mapped)?;
                gpu.driver.release_memory(handle)
            }
            Got::Released => gpu.driver.unmap(address, backing.bytes),
            Got::Page { handle } => {
                gpu.driver.unmap(address, backing.bytes)?;
                gpu.driver.release_memory(handle)
            }
        }
    }

    /// Gives everything back, as far as that is possible.
    pub(super) fn give_all(&mut self) -> Result<(), DeviceError> {
        let waited = self.with_streams(|streams, gpu| streams.wait_all(gpu));
        if !matches!(waited, Ok(()) | Err(DeviceError::Overdue)) {
            return waited;
        }
        self.drop_unmapped()?;
        let gpu = self.enter()?;
        while let Some((&address, _)) = self.table.backing.first_key_value() {
            let Some(backing) = self.table.remove(address) else { break };
            self.give(gpu, address, backing).map_err(|code| self.work_failed(code))?;
        }
        if !self.table.is_placed() {
            while let Some((address, bytes)) = self.table.reserved.pop_first() {
                gpu.driver.free_addresses(address, bytes).map_err(|code| self.work_failed(code))?;
            }
        }
        Ok(())
    }
}

/// Whether the card has not got this much, besides what can never be had: else it was not for want of memory that it
/// was refused, but of addresses.
pub(super) fn is_short(gpu: &Gpu, bytes: u64) -> bool {
    gpu.driver.memory_info().is_ok_and(|(free, _)| free < bytes.saturating_add(ballast::SLACK))
}

impl Drop for CudaDevice {
    fn drop(&mut self) {
        if let Err(error) = self.give_all() {
            log::warn!("GPU {}: not everything was given back: {error}", self.gpu().ordinal);
        }
        let events = self.streams.take().map(super::streams::Streams::into_events).unwrap_or_default();
        if self.gpu().poisoned().is_none() {
            self.gpu().kept().events.extend(events);
        }
    }
}

impl Device for CudaDevice {
    fn total_bytes(&self) -> u64 {
        self.table.total()
    }

    fn free_bytes(&mut self) -> Result<u64, DeviceError> {
        self.faults.enter(DeviceCall::MemoryInfo)?;
        Ok(self.table.free())
    }

    fn reserve(&mut self, bytes: u64) -> Result<u64, DeviceError> {
        self.faults.enter(DeviceCall::Reserve)?;
        if bytes == 0 {
            return Err(DeviceError::InvalidValue { call: DeviceCall::Reserve });
        }
        let fits = self.fits(bytes)?;
        let gpu = self.enter()?;
        let got = self.get_segment(gpu, bytes);
        self.crowded |= fits && got == Err(DeviceError::OutOfMemory) && is_short(gpu, bytes);
        let (address, got) = got?;
        if !fits {
            self.table.unplace(address, bytes);
            return Err(self.too_much(gpu, address, Backing { bytes, accessible: true, got }));
        }
        self.table.insert(address, Backing { bytes, accessible: true, got });
        self.blank(gpu, address, bytes)?;
        Ok(address)
    }

    fn release(&mut self, address: u64) -> Result<(), DeviceError> {
        self.faults.enter(DeviceCall::Release)?;
        let Some(backing) = self.table.segment(address) else {
            return Err(DeviceError::InvalidValue { call: DeviceCall::Release });
        };
        // The driver would wait here for what is kept busy, and nobody would let it go.
        self.with_streams(|streams, gpu| streams.wait_all(gpu))?;
        let gpu = self.enter()?;
        self.give(gpu, address, backing).map_err(|code| self.failed(DeviceCall::Release, code))?;
        self.table.remove(address);
        self.table.unplace(address, backing.bytes);
        Ok(())
    }

    fn reserve_addresses(&mut self, bytes: u64) -> Result<u64, DeviceError> {
        self.faults.enter(DeviceCall::ReserveAddresses)?;
        if bytes == 0 || !bytes.is_multiple_of(GRANULE) {
            return Err(DeviceError::InvalidValue { call: DeviceCall::ReserveAddresses });
        }
        let gpu = self.enter()?;
        let address = match self.table.place(bytes) {
            Some(place) => place?,
            None => {
                let reserved = gpu.driver.reserve_addresses(bytes);
                reserved.map_err(|code| self.failed(DeviceCall::ReserveAddresses, code))?
            }
        };
        self.table.reserved.insert(address, bytes);
        Ok(address)
    }

    fn free_addresses(&mut self, address: u64, bytes: u64) -> Result<(), DeviceError> {
        self.table.can_free_addresses(address, bytes)?;
        let gpu = self.enter()?;
        if !self.table.is_placed() {
            let freed = gpu.driver.free_addresses(address, bytes);
            freed.map_err(|code| self.failed(DeviceCall::ReserveAddresses, code))?;
        }
        self.table.reserved.remove(&address);
        self.table.unplace(address, bytes);
        Ok(())
    }

    fn map(&mut self, address: u64, bytes: u64) -> Result<(), DeviceError> {
        self.faults.enter(DeviceCall::Map)?;
        self.table.can_map(address, bytes)?;
        let fits = self.fits(bytes)?;
        let gpu = self.enter()?;
        let handle = self.back(gpu, address, bytes, false).map_err(|code| self.failed(DeviceCall::Map, code));
        self.crowded |= fits && handle == Err(DeviceError::OutOfMemory) && is_short(gpu, bytes);
        let handle = handle?;
        let page = Backing { bytes, accessible: false, got: Got::Page { handle } };
        if !fits {
            return Err(self.too_much(gpu, address, page));
        }
        self.table.insert(address, page);
        Ok(())
    }

    fn set_access(&mut self, address: u64, bytes: u64) -> Result<(), DeviceError> {
        self.faults.enter(DeviceCall::SetAccess)?;
        let pages = self.table.pages(address, bytes, DeviceCall::SetAccess)?;
        let gpu = self.enter()?;
        let set = gpu.driver.set_access(&self.at_it(), address, bytes);
        set.map_err(|code| self.failed(DeviceCall::SetAccess, code))?;
        for (page, length, _) in pages {
            let fresh = self.table.backing.get_mut(&page).is_some_and(|b| !std::mem::replace(&mut b.accessible, true));
            if fresh {
                self.blank(gpu, page, length)?;
            }
        }
        Ok(())
    }

    fn unmap(&mut self, address: u64, bytes: u64) -> Result<(), DeviceError> {
        self.faults.enter(DeviceCall::Unmap)?;
        let pages = self.table.pages(address, bytes, DeviceCall::Unmap)?;
        // What nothing holds back has run by now; what is held back finds its memory gone.
        self.with_streams(|streams, gpu| streams.settle_all(gpu))?;
        let gpu = self.enter()?;
        for (page, ..) in pages {
            let Some(&backing) = self.table.backing.get(&page) else { continue };
            self.give(gpu, page, backing).map_err(|code| self.failed(DeviceCall::Unmap, code))?;
            self.table.remove(page);
        }
        Ok(())
    }

    fn record_event(&mut self, stream: StreamHandle) -> Result<Event, DeviceError> {
        self.faults.enter(DeviceCall::RecordEvent)?;
        let lane = self.lane_of(stream, DeviceCall::RecordEvent)?;
        self.with_streams(|streams, gpu| Ok(streams.record(gpu, lane)?))
    }

    fn query_event(&mut self, event: Event) -> Result<bool, DeviceError> {
        self.faults.enter(DeviceCall::QueryEvent)?;
        self.with_streams(|streams, gpu| Ok(streams.query(gpu, event)?))
    }

    fn wait_event(&mut self, event: Event) -> Result<(), DeviceError> {
        self.with_streams(|streams, gpu| streams.wait_event(gpu, event))
    }

    fn wait_stream(&mut self, stream: StreamHandle) -> Result<(), DeviceError> {
        let lane = self.lane_of(stream, DeviceCall::QueryEvent)?;
        self.with_streams(|streams, gpu| streams.wait_stream(gpu, lane))
    }
}

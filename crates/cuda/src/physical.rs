//! Physical memory of a GPU by handle, for programs that call `cuMemCreate` and `cuMemMap` themselves.
//!
//! Decides how it counts against the budget: from its creation until it has neither handle nor address.

use super::CudaDevice;
use super::memory::is_short;
use super::table::{Backing, Got};
use crate::device::DeviceError;
use crate::device::physical::{PhysicalHandle, PhysicalMemory};
use crate::op::{DeviceCall, GRANULE};

fn invalid<T>(call: DeviceCall) -> Result<T, DeviceError> {
    Err(DeviceError::InvalidValue { call })
}

impl PhysicalMemory for CudaDevice {
    fn create(&mut self, bytes: u64) -> Result<PhysicalHandle, DeviceError> {
        self.faults.enter(DeviceCall::Map)?;
        if bytes == 0 || !bytes.is_multiple_of(GRANULE) {
            return invalid(DeviceCall::Map);
        }
        let fits = self.fits(bytes)?;
        let gpu = self.enter()?;
        let got = gpu.driver.create_memory(gpu.device, bytes).map_err(|code| self.failed(DeviceCall::Map, code));
        self.crowded |= fits && got == Err(DeviceError::OutOfMemory) && is_short(gpu, bytes);
        let handle = got?;
        if !fits {
            gpu.driver.release_memory(handle).map_err(|code| self.work_failed(code))?;
            return Err(DeviceError::OutOfMemory);
        }
        self.table.hold(bytes);
        self.created.insert(handle, bytes);
        Ok(PhysicalHandle(handle))
    }

    fn attach(&mut self, address: u64, bytes: u64, handle: PhysicalHandle) -> Result<(), DeviceError> {
        self.table.can_map(address, bytes)?;
        if self.created.get(&handle.0) != Some(&bytes) {
            return invalid(DeviceCall::Map);
        }
        let gpu = self.enter()?;
        gpu.driver.map(address, bytes, handle.0).map_err(|code| self.failed(DeviceCall::Map, code))?;
        let page = Backing { bytes, accessible: false, got: Got::Page { handle: handle.0 } };
        self.table.backing.insert(address, page);
        Ok(())
    }

    fn detach(&mut self, address: u64, bytes: u64) -> Result<(), DeviceError> {
        self.faults.enter(DeviceCall::Unmap)?;
        let pages = self.table.pages(address, bytes, DeviceCall::Unmap)?;
        let [(_, length, handle)] = pages[..] else { return invalid(DeviceCall::Unmap) };
        if length != bytes {
            return invalid(DeviceCall::Unmap);
        }
        // What nothing holds back has run by now; what is held back finds its memory gone.
        self.with_streams(|streams, gpu| streams.settle_all(gpu))?;
        let gpu = self.enter()?;
        gpu.driver.unmap(address, bytes).map_err(|code| self.failed(DeviceCall::Unmap, code))?;
        self.table.backing.remove(&address);
        if !self.created.contains_key(&handle) {
            self.table.let_go(bytes);
        }
        Ok(())
    }

    fn discard(&mut self, handle: PhysicalHandle) -> Result<(), DeviceError> {
        let Some(&bytes) = self.created.get(&handle.0) else { return invalid(DeviceCall::Unmap) };
        let gpu = self.enter()?;
        gpu.driver.release_memory(handle.0).map_err(|code| self.failed(DeviceCall::Unmap, code))?;
        self.created.remove(&handle.0);
        let mapped = self.table.backing.values_mut().find(|backing| backing.got == Got::Page { handle: handle.0 });
        match mapped {
            Some(backing) => backing.got = Got::Released,
            None => self.table.let_go(bytes),
        }
        Ok(())
    }
}

impl CudaDevice {
    /// Releases what has a handle and no address.
    pub(super) fn drop_unmapped(&mut self) -> Result<(), DeviceError> {
        let mapped = |handle: u64| self.table.backing.values().any(|backing| backing.got == Got::Page { handle });
        let unmapped: Vec<u64> = self.created.keys().copied().filter(|&handle| !mapped(handle)).collect();
        self.created.clear();
        let gpu = self.enter()?;
        unmapped
            .into_iter()
            .try_for_each(|handle| gpu.driver.release_memory(handle))
            .map_err(|code| self.work_failed(code))
    }
}

/// A harness may be on another thread than the one that borrowed the GPU.
const _: fn() = || {
    fn may_move<T: Send>() {}
    may_move::<CudaDevice>();
};

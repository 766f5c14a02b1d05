//! Memory by segment, by range of addresses and by handle, and what a program must not do with it.
//!
//! Decides what is misuse. Whether there is memory, the device says.

use crate::codes;
use crate::device::DeviceError;
use crate::device::physical::PhysicalHandle;
use crate::op::DeviceCall;
use crate::world::{Created, Reserved, Runtime, SharedDevice, current_device};

fn code(error: DeviceError) -> i32 {
    codes::of(&error)
}

impl Runtime {
    pub(crate) fn malloc(&mut self, bytes: u64) -> Result<u64, i32> {
        if bytes == 0 {
            return Ok(0);
        }
        let answer = self.current()?.reserve(bytes);
        if let Some(log) = self.log(current_device()) {
            log.reserved(&answer);
        }
        let address = answer.map_err(code)?;
        self.segments.insert(address, current_device());
        if let Some(contents) = &mut self.contents {
            contents.add(address, bytes, current_device());
        }
        Ok(address)
    }

    pub(crate) fn free(&mut self, address: u64) -> Result<(), i32> {
        if address == 0 {
            return Ok(());
        }
        let Some(&device) = self.segments.get(&address) else {
            let refused = Err(DeviceError::InvalidValue { call: DeviceCall::Release });
            self.logs().for_each(|log| log.released(&refused));
            return self.misused("cudaFree", format!("no segment starts at {address:#x}"), codes::INVALID_VALUE);
        };
        let answer = self.at(device)?.release(address);
        if let Some(log) = self.log(device) {
            log.released(&answer);
        }
        answer.map_err(code)?;
        self.segments.remove(&address);
        if let Some(contents) = &mut self.contents {
            contents.remove(address);
        }
        Ok(())
    }

    pub(crate) fn reserve_addresses(&mut self, bytes: u64) -> Result<u64, i32> {
        let device = current_device();
        let answer = self.current()?.reserve_addresses(bytes);
        if let Some(log) = self.log(device) {
            log.reserved_addresses(&answer);
        }
        let address = answer.map_err(code)?;
        self.reserved.insert(address, Reserved { device, bytes });
        Ok(address)
    }

    pub(crate) fn free_addresses(&mut self, address: u64, bytes: u64) -> Result<(), i32> {
        const CALL: &str = "cuMemAddressFree";
        let Some(&Reserved { device, .. }) = self.reserved.get(&address).filter(|reserved| reserved.bytes == bytes)
        else {
            let what = format!("no range of {bytes} bytes was reserved at {address:#x}");
            return self.misused(CALL, what, codes::INVALID_VALUE);
        };
        let what = || format!("memory is still mapped in the range at {address:#x}");
        self.ask(device, CALL, |on| on.free_addresses(address, bytes), what)?;
        self.reserved.remove(&address);
        Ok(())
    }

    /// Asks a device. What makes no sense to it is misuse, unless it was to fail so.
    fn ask(
        &mut self,
        device: usize,
        call: &'static str,
        act: impl FnOnce(&mut SharedDevice) -> Result<(), DeviceError>,
        what: impl FnOnce() -> String,
    ) -> Result<(), i32> {
        let on = self.at(device)?;
        let planned = on.faults_fired();
        let answer = act(on);
        let is_planned = on.faults_fired() != planned;
        match answer {
            Err(DeviceError::InvalidValue { .. }) if !is_planned => self.misused(call, what(), codes::INVALID_VALUE),
            other => other.map_err(code),
        }
    }

    pub(crate) fn create(&mut self, device: usize, bytes: u64) -> Result<u64, i32> {
        let answer = self.at(device)?.create(bytes);
        if let Some(log) = self.log(device) {
            log.mapped(answer.clone().map(|_| ()));
        }
        let handle = answer.map_err(code)?;
        let token = self.next_handle;
        self.next_handle += 1;
        let physical = self.contents.as_mut().map(|contents| contents.create(device));
        self.created.insert(token, Created { device, bytes, handle, physical });
        Ok(token)
    }

    pub(crate) fn release(&mut self, token: u64) -> Result<(), i32> {
        let Some(Created { device, handle, physical, .. }) = self.created.remove(&token) else {
            let what = format!("the handle {token:#x} is not there, or was released");
            return self.misused("cuMemRelease", what, codes::INVALID_VALUE);
        };
        if let (Some(contents), Some(physical)) = (&mut self.contents, physical) {
            contents.release(physical);
        }
        self.at(device)?.discard(handle).map_err(code)
    }

    pub(crate) fn map(&mut self, address: u64, bytes: u64, token: u64) -> Result<(), i32> {
        const CALL: &str = "cuMemMap";
        let Some(&Created { device, handle, bytes: size, physical }) = self.created.get(&token) else {
            let what = format!("the handle {token:#x} is not there, or was released");
            return self.misused(CALL, what, codes::INVALID_VALUE);
        };
        if size != bytes {
            let what = format!("{bytes} bytes of a handle that has {size}");
            return self.misused(CALL, what, codes::INVALID_VALUE);
        }
        self.attach(device, address, bytes, handle)?;
        if let (Some(contents), Some(physical)) = (&mut self.contents, physical) {
            contents.map(address, bytes, physical);
        }
        Ok(())
    }

    fn attach(&mut self, device: usize, address: u64, bytes: u64, handle: PhysicalHandle) -> Result<(), i32> {
        let what = || format!("{bytes} bytes at {address:#x} are not reserved, or have memory already");
        self.ask(device, "cuMemMap", |on| on.attach(address, bytes, handle), what)
    }

    pub(crate) fn unmap(&mut self, address: u64, bytes: u64) -> Result<(), i32> {
        let Some(device) = self.device_of_range(address) else {
            let what = format!("{address:#x} is in no reserved range");
            return self.misused("cuMemUnmap", what, codes::INVALID_VALUE);
        };
        let what = || format!("{bytes} bytes at {address:#x} are not what was mapped there");
        self.ask(device, "cuMemUnmap", |on| on.detach(address, bytes), what)?;
        if let Some(contents) = &mut self.contents {
            contents.remove(address);
        }
        Ok(())
    }

    /// Access of the device that the memory is of, or of another one: of that, nothing is kept.
    pub(crate) fn set_access(&mut self, address: u64, bytes: u64, devices: &[usize]) -> Result<(), i32> {
        let Some(own) = self.device_of_range(address) else {
            let what = format!("{address:#x} is in no reserved range");
            return self.misused("cuMemSetAccess", what, codes::INVALID_VALUE);
        };
        if devices.iter().any(|&device| device >= self.devices.len()) {
            return Err(codes::INVALID_DEVICE);
        }
        if !devices.contains(&own) {
            return Ok(());
        }
        let what = || format!("{bytes} bytes at {address:#x} are not all mapped");
        self.ask(own, "cuMemSetAccess", |on| on.set_access(address, bytes), what)?;
        if let Some(contents) = &mut self.contents {
            contents.allow(address, bytes);
        }
        Ok(())
    }

    fn device_of_range(&self, address: u64) -> Option<usize> {
        let (&start, reserved) = self.reserved.range(..=address).next_back()?;
        (address - start < reserved.bytes).then_some(reserved.device)
    }

    /// The device whose memory an address is in.
    pub(crate) fn device_of_memory(&self, address: u64) -> Option<usize> {
        self.contents.as_ref()?.device_at(address)
    }

    /// Where the memory of the host that was made or registered, and that an address is in, begins.
    pub(crate) fn pinned_around(&self, address: usize) -> Option<usize> {
        let (&start, &(bytes, _)) = self.pinned.range(..=address).next_back()?;
        (address - start < bytes).then_some(start)
    }
}

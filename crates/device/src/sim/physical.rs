//! Physical memory of a simulated device by handle.
//!
//! Decides when it goes back: once its handle is released and it is mapped nowhere.

use super::SimDevice;
use super::memory::Memory;
use crate::DeviceError;
use crate::op::DeviceCall;
use crate::physical::{PhysicalHandle, PhysicalMemory};

/// Memory that belongs to a handle.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owned {
    pub(super) bytes: u64,
    /// How often it is mapped.
    pub(super) mappings: u32,
    pub(super) is_released: bool,
}

impl PhysicalMemory for SimDevice {
    fn create(&mut self, bytes: u64) -> Result<PhysicalHandle, DeviceError> {
        self.faults.enter(DeviceCall::Map)?;
        self.memory.create(bytes).map(PhysicalHandle)
    }

    fn attach(&mut self, address: u64, bytes: u64, handle: PhysicalHandle) -> Result<(), DeviceError> {
        self.memory.attach(address, bytes, handle.0)
    }

    fn detach(&mut self, address: u64, bytes: u64) -> Result<(), DeviceError> {
        self.faults.enter(DeviceCall::Unmap)?;
        self.memory.detach(address, bytes)
    }

    fn discard(&mut self, handle: PhysicalHandle) -> Result<(), DeviceError> {
        self.memory.discard(handle.0)
    }
}

impl Memory {
    fn create(&mut self, bytes: u64) -> Result<u64, DeviceError> {
        self.can_create(bytes)?;
        let physical = self.take(bytes);
        self.handles.insert(physical, Owned { bytes, mappings: 0, is_released: false });
        Ok(physical)
    }

    fn attach(&mut self, address: u64, bytes: u64, handle: u64) -> Result<(), DeviceError> {
        let invalid = DeviceError::InvalidValue { call: DeviceCall::Map };
        self.can_map(address, bytes)?;
        let live = self.handles.get_mut(&handle).filter(|owned| !owned.is_released && owned.bytes == bytes);
        live.ok_or(invalid)?.mappings += 1;
        self.map_physical(address, bytes, handle);
        Ok(())
    }

    fn detach(&mut self, address: u64, bytes: u64) -> Result<(), DeviceError> {
        let invalid = DeviceError::InvalidValue { call: DeviceCall::Unmap };
        let physical = self.physical_behind(address, bytes).ok_or(invalid.clone())?;
        let owned = self.handles.get_mut(&physical).filter(|owned| owned.bytes == bytes).ok_or(invalid)?;
        owned.mappings -= 1; // there is this one
        self.forget_mapping(address);
        self.give_back(physical);
        Ok(())
    }

    fn discard(&mut self, handle: u64) -> Result<(), DeviceError> {
        let live = self.handles.get_mut(&handle).filter(|owned| !owned.is_released);
        live.ok_or(DeviceError::InvalidValue { call: DeviceCall::Unmap })?.is_released = true;
        self.give_back(handle);
        Ok(())
    }

    /// The memory of a handle that nobody can reach any more is the device's again.
    fn give_back(&mut self, handle: u64) {
        let is_over = |owned: &&Owned| owned.is_released && owned.mappings == 0;
        if let Some(&Owned { bytes, .. }) = self.handles.get(&handle).filter(is_over) {
            self.handles.remove(&handle);
            self.lose(handle, bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;
    use crate::op::GRANULE;

    #[test]
    fn memory_goes_back_when_its_handle_is_released_and_it_is_mapped_nowhere() {
        let mut device = SimDevice::new(0, 4 * GRANULE, 1);
        let free = |device: &mut SimDevice| device.free_bytes().expect("no fault is planned") / GRANULE;
        let range = device.reserve_addresses(8 * GRANULE).expect("addresses are plenty");
        let handle = device.create(GRANULE).expect("there is memory");
        assert_eq!(free(&mut device), 3);
        device.attach(range, GRANULE, handle).expect("nothing is mapped there");
        device.set_access(range, GRANULE).expect("it is mapped");
        device.discard(handle).expect("it is live");
        assert_eq!(free(&mut device), 3, "it is still mapped");
        device.detach(range, GRANULE).expect("it is mapped");
        assert_eq!(free(&mut device), 4);

        let handle = device.create(GRANULE).expect("there is memory");
        device.attach(range, GRANULE, handle).expect("it was unmapped");
        device.detach(range, GRANULE).expect("it is mapped");
        assert_eq!(free(&mut device), 3, "its handle is live");
        device.discard(handle).expect("it is live");
        assert_eq!(free(&mut device), 4);
    }

    #[test]
    fn what_makes_no_sense_is_refused_and_changes_nothing() {
        let mut device = SimDevice::new(0, 4 * GRANULE, 1);
        let range = device.reserve_addresses(8 * GRANULE).expect("addresses are plenty");
        let handle = device.create(2 * GRANULE).expect("there is memory");
        assert_eq!(device.create(3 * GRANULE), Err(DeviceError::OutOfMemory));
        assert!(device.create(GRANULE / 2).is_err() && device.create(0).is_err());
        assert!(device.attach(range, GRANULE, handle).is_err(), "a part of it");
        assert!(device.attach(range + 64 * GRANULE, 2 * GRANULE, handle).is_err(), "addresses of nobody");
        device.attach(range, 2 * GRANULE, handle).expect("nothing is mapped there");
        assert!(device.attach(range + GRANULE, 2 * GRANULE, handle).is_err(), "something is mapped there");
        assert!(device.detach(range, GRANULE).is_err() && device.detach(range + GRANULE, GRANULE).is_err());
        assert!(device.free_addresses(range, 8 * GRANULE).is_err(), "memory is mapped there");
        device.detach(range, 2 * GRANULE).expect("it is mapped");
        device.discard(handle).expect("it is live");
        assert!(device.discard(handle).is_err(), "it is gone");
        assert_eq!(device.free_bytes(), Ok(4 * GRANULE));
    }
}

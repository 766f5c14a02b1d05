//! Physical memory apart from addresses: what a program sees that calls `cuMemCreate` and `cuMemMap` itself.
//!
//! Decides the seam. An allocator of ours asks for both in one call (`Device::map`).

use super::{ControlledDevice, DeviceError};

/// Physical memory that was created and is not released yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PhysicalHandle(pub u64);

/// A device whose memory can be had without addresses. Sizes are in bytes, whole granules of [`crate::op::GRANULE`].
pub trait PhysicalMemory: ControlledDevice {
    /// Gets memory that has no address yet (`cuMemCreate`); a [`crate::op::DeviceCall::Map`] as faults count it.
    ///
    /// # Errors
    /// `OutOfMemory`, or whatever the driver answers.
    fn create(&mut self, bytes: u64) -> Result<PhysicalHandle, DeviceError>;

    /// Puts all of a handle's memory behind a part of a reserved range (`cuMemMap`). Not usable before `set_access`.
    ///
    /// # Errors
    /// `InvalidValue` for a handle that is not there, addresses that are not reserved or have memory already.
    fn attach(&mut self, address: u64, bytes: u64, handle: PhysicalHandle) -> Result<(), DeviceError>;

    /// Takes the memory of a handle from behind its addresses (`cuMemUnmap`); it stays the handle's, or goes back if that is
    /// released. Does not wait for any stream.
    ///
    /// # Errors
    /// `InvalidValue` where no handle's memory begins or ends.
    fn detach(&mut self, address: u64, bytes: u64) -> Result<(), DeviceError>;

    /// Releases a handle (`cuMemRelease`): its memory goes back as soon as it is mapped nowhere.
    ///
    /// # Errors
    /// `InvalidValue` for a handle that is not there.
    fn discard(&mut self, handle: PhysicalHandle) -> Result<(), DeviceError>;
}

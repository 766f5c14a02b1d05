//! Floor 1, the ground: memory, streams and events under an allocator.
//!
//! Decides what a device can be asked. Does not know what an allocator is.

pub mod card;
mod controlled;
pub mod faults;
pub mod followed;
pub mod gaps;
pub mod pattern;
pub mod physical;
pub mod played_back;
mod process_memory;
pub mod recorded;
pub mod shadow;
pub mod sim;
mod stream_activity;
pub mod told;

use poolproof_words::op;

use crate::op::DeviceCall;

pub use controlled::ControlledDevice;
pub use faults::FAULT_CODE;

/// A stream by its raw handle; what allocators order their free blocks by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamHandle(pub u64);

/// A point in a stream's work, to be asked for or waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Event(pub u64);

/// What one process holds of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessMemory {
    /// Its number; `None` for this one.
    pub process: Option<u32>,
    /// All that it holds, whatever for.
    pub bytes: u64,
}

/// Why a device call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each says what happened")]
pub enum DeviceError {
    #[error("out of memory")]
    OutOfMemory,
    #[error("{call:?} was given a value that makes no sense")]
    InvalidValue { call: DeviceCall },
    #[error("{call:?} failed with error {code}")]
    Failed { call: DeviceCall, code: i32 },
    /// Work on the device, or a wait for it.
    #[error("work on the device failed with error {code}")]
    Work { code: i32 },
    #[error("work that was kept busy ended by its own deadline before it was stream_activity to")]
    Overdue,
    /// Nothing works on this device any more: only a new process helps.
    #[error("the device has been unusable since error {code}")]
    Poisoned { code: i32 },
}

/// One device. Addresses are virtual and unique over all devices of a process; sizes are in bytes.
pub trait Device {
    /// The device's memory as its properties state it.
    fn total_bytes(&self) -> u64;

    /// The streams as PyTorch numbers them, where that is known: its hash tables go by these numbers.
    fn stream_numbers(&self) -> &[(StreamHandle, u64)] {
        &[]
    }

    /// What the device says is free now.
    ///
    /// # Errors
    /// Whatever the driver answers.
    fn free_bytes(&mut self) -> Result<u64, DeviceError>;

    /// What each process on the device holds, in the order in which they are listed (NVML); empty where nobody tells.
    fn processes(&mut self) -> Vec<ProcessMemory> {
        Vec::new()
    }

    /// Gets a segment (`cuMemAlloc`).
    ///
    /// # Errors
    /// `OutOfMemory`, or whatever the driver answers.
    fn reserve(&mut self, bytes: u64) -> Result<u64, DeviceError>;

    /// Gives a segment back (`cuMemFree`), after everything enqueued on the device has finished.
    ///
    /// # Errors
    /// `InvalidValue` for an address that no segment starts at.
    fn release(&mut self, address: u64) -> Result<(), DeviceError>;

    /// Gets a range of addresses with no memory behind it (`cuMemAddressReserve`).
    ///
    /// # Errors
    /// Whatever the driver answers.
    fn reserve_addresses(&mut self, bytes: u64) -> Result<u64, DeviceError>;

    /// Gives a range of addresses back.
    ///
    /// # Errors
    /// `InvalidValue` if memory is still mapped there.
    fn free_addresses(&mut self, address: u64, bytes: u64) -> Result<(), DeviceError>;

    /// Puts memory behind a part of a reserved range (`cuMemCreate` and `cuMemMap`).
    ///
    /// # Errors
    /// `OutOfMemory`, or whatever the driver answers.
    fn map(&mut self, address: u64, bytes: u64) -> Result<(), DeviceError>;

    /// Makes mapped memory usable (`cuMemSetAccess`).
    ///
    /// # Errors
    /// Whatever the driver answers.
    fn set_access(&mut self, address: u64, bytes: u64) -> Result<(), DeviceError>;

    /// Takes memory from behind a part of a reserved range. Does not wait for any stream.
    ///
    /// # Errors
    /// Whatever the driver answers.
    fn unmap(&mut self, address: u64, bytes: u64) -> Result<(), DeviceError>;

    /// Marks the end of what is enqueued on a stream now.
    ///
    /// # Errors
    /// Whatever the driver answers.
    fn record_event(&mut self, stream: StreamHandle) -> Result<Event, DeviceError>;

    /// Whether the work before the event has finished. A finished event may be forgotten by the device.
    ///
    /// # Errors
    /// Whatever the driver answers.
    fn query_event(&mut self, event: Event) -> Result<bool, DeviceError>;

    /// Waits until the work before the event has finished.
    ///
    /// # Errors
    /// Whatever the driver answers.
    fn wait_event(&mut self, event: Event) -> Result<(), DeviceError>;

    /// Waits until everything enqueued on a stream has finished.
    ///
    /// # Errors
    /// Whatever the driver answers.
    fn wait_stream(&mut self, stream: StreamHandle) -> Result<(), DeviceError>;
}

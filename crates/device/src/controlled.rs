//! What a harness does to a device besides what an allocator asks of it: keep streams busy, write and read
//! patterns, make calls fail.
//!
//! Decides the seam between an allocator's target and its device. Says nothing of how a device does it.

use super::{Device, DeviceError, StreamHandle};
use crate::op::{ContentsReport, DeviceCall, FaultError, Misuse, NvmlView, StreamId};

/// A device that scenarios can be played on.
pub trait ControlledDevice: Device {
    /// The device as reports name it.
    fn name(&self) -> String;

    /// The raw handle of a stream: 0 for the default one. A stream the device has not gets a handle that no call accepts.
    fn stream_handle(&self, stream: StreamId) -> StreamHandle;

    /// Keeps a stream busy: whatever is enqueued on it from now on waits for `finish` or for a wait.
    ///
    /// # Errors
    /// `InvalidValue` for a stream the device has not, or whatever the driver answers.
    fn occupy(&mut self, stream: StreamId) -> Result<(), DeviceError>;

    /// The work that keeps a stream busy ends; what waited behind it runs, up to the next such work. Where a wait for
    /// another stream is before that work, it ends when its turn comes.
    ///
    /// # Errors
    /// As `occupy`.
    fn finish(&mut self, stream: StreamId) -> Result<(), DeviceError>;

    /// Whatever is enqueued on `stream` from now on waits for what is enqueued on `on` now (`cudaStreamWaitEvent` for an
    /// event recorded on `on`). The host does not wait.
    ///
    /// # Errors
    /// As `occupy`.
    fn hold_for(&mut self, stream: StreamId, on: StreamId) -> Result<(), DeviceError>;

    /// Waits for everything enqueued on the device; work that keeps a stream busy ends by itself.
    ///
    /// # Errors
    /// Whatever the driver answers.
    fn synchronize(&mut self) -> Result<(), DeviceError>;

    /// One bit a stream, set where everything enqueued has finished.
    fn idle_mask(&mut self) -> u64;

    /// Enqueues a write of the pattern `tag` (a block's number) over a range. Where it finds no memory, that is
    /// remembered for `take_illegal_access`.
    ///
    /// # Errors
    /// As `occupy`.
    fn write(&mut self, stream: StreamId, address: u64, bytes: u64, tag: u32) -> Result<(), DeviceError>;

    /// Reads a range and compares it with the pattern `tag`; `Pending` while the stream is busy.
    ///
    /// # Errors
    /// Whatever the driver answers.
    fn check(&mut self, stream: StreamId, address: u64, bytes: u64, tag: u32) -> Result<ContentsReport, DeviceError>;

    /// The first address that a write found without memory since this was last asked.
    fn take_illegal_access(&mut self) -> Option<u64>;

    /// From now on `skip` calls of this kind go ahead and the next one fails before it reaches the driver: `Reserve`
    /// and `Map` for want of memory, the others with [`super::FAULT_CODE`], or with the error given. Several may be
    /// armed.
    fn fault(&mut self, call: DeviceCall, skip: u32, error: Option<FaultError>);

    /// Another process holds that much of the device from now on, or as much as is left; 0 gives all back. Whether there is
    /// anybody who could: a real device has others on it only as they are.
    fn set_neighbour(&mut self, _bytes: u64) -> bool {
        false
    }

    /// What is free, as the harness looks at it: no call of the allocator's, and not made to fail.
    ///
    /// # Errors
    /// Whatever the driver answers.
    fn look_at_free_bytes(&mut self) -> Result<u64, DeviceError>;

    /// A stream of the device begins to capture, or the capture ends. Meanwhile calls fail that a real device forbids then,
    /// where a simulated one can tell.
    fn capture(&mut self, _is_under_way: bool) {}

    /// Calls since this was last asked that made no sense to the device, where it keeps a ledger of them.
    fn take_misuse(&mut self, _into: &mut Vec<Misuse>) {}

    /// How many planned failures there have been.
    fn faults_fired(&self) -> u32;

    /// The error that broke the device's context for good, if one did: nothing asked of it since was answered.
    fn poisoned(&self) -> Option<i32>;

    /// Whether others left it less room than it was to have, and a call failed for it.
    fn is_crowded(&self) -> bool {
        false
    }

    /// Whether there is somebody to give a second opinion.
    fn is_watched(&self) -> bool {
        false
    }

    /// What the driver and its management library say of the memory of the whole device, given what the allocator
    /// says it has reserved; `None` where nobody watches.
    fn second_opinion(&mut self, _reserved_bytes: u64) -> Option<NvmlView> {
        None
    }
}

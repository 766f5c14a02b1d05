//! Memory of a GPU that somebody else got: an allocator in this process that calls the driver itself.
//!
//! Decides what is known of it, so that it can be written and read: as much as its allocator says, for as long as it is lent.

use super::CudaDevice;
use super::table::{Backing, Got};
use crate::device::DeviceError;
use crate::op::StreamId;

impl CudaDevice {
    /// Makes calls of this thread, the allocator's too, go to the GPU.
    ///
    /// # Errors
    /// What the driver answers, or that the GPU is broken for this process.
    pub fn make_current(&self) -> Result<(), DeviceError> {
        self.enter().map(|_| ())
    }

    /// From now on there is memory at an address, or somebody says so.
    pub fn adopt(&mut self, address: u64, bytes: u64) {
        self.table.insert(address, Backing { bytes, accessible: true, got: Got::Foreign });
    }

    /// Work was put on a stream by somebody else; of a stream that the GPU has not there is none.
    pub fn note_work(&mut self, stream: StreamId) {
        let Ok(lane) = self.lane(stream) else { return };
        if let Some(streams) = &mut self.streams {
            streams.note_work(lane);
        }
    }

    /// From now on nobody says that there is memory.
    pub fn forget(&mut self, address: u64) {
        self.table.remove(address);
    }
}

//! The simulated device as a harness plays on it.
//!
//! Decides nothing: each call is one of the device's own.

use super::SimDevice;
use crate::op::{ContentsReport, DeviceCall, FaultError, Misuse, StreamId};
use crate::{ControlledDevice, DeviceError, StreamHandle};

impl ControlledDevice for SimDevice {
    fn name(&self) -> String {
        "simulated".to_owned()
    }

    fn stream_handle(&self, stream: StreamId) -> StreamHandle {
        SimDevice::stream_handle(self, stream)
    }

    fn occupy(&mut self, stream: StreamId) -> Result<(), DeviceError> {
        SimDevice::occupy(self, stream)
    }

    fn finish(&mut self, stream: StreamId) -> Result<(), DeviceError> {
        SimDevice::finish(self, stream)
    }

    fn hold_for(&mut self, stream: StreamId, on: StreamId) -> Result<(), DeviceError> {
        SimDevice::hold_for(self, stream, on)
    }

    fn synchronize(&mut self) -> Result<(), DeviceError> {
        SimDevice::synchronize(self);
        Ok(())
    }

    fn idle_mask(&mut self) -> u64 {
        SimDevice::idle_mask(self)
    }

    fn write(&mut self, stream: StreamId, address: u64, bytes: u64, tag: u32) -> Result<(), DeviceError> {
        SimDevice::write(self, stream, address, bytes, tag)
    }

    fn check(&mut self, stream: StreamId, address: u64, bytes: u64, tag: u32) -> Result<ContentsReport, DeviceError> {
        Ok(SimDevice::check(self, stream, address, bytes, tag))
    }

    fn take_illegal_access(&mut self) -> Option<u64> {
        SimDevice::take_illegal_access(self)
    }

    fn fault(&mut self, call: DeviceCall, skip: u32, error: Option<FaultError>) {
        self.fault_with(call, skip, error);
    }

    fn set_neighbour(&mut self, bytes: u64) -> bool {
        SimDevice::set_neighbour(self, bytes);
        true
    }

    fn look_at_free_bytes(&mut self) -> Result<u64, DeviceError> {
        Ok(self.memory.free())
    }

    fn capture(&mut self, is_under_way: bool) {
        self.captures = is_under_way;
    }

    fn take_misuse(&mut self, into: &mut Vec<Misuse>) {
        into.append(&mut self.misuse);
    }

    fn faults_fired(&self) -> u32 {
        SimDevice::faults_fired(self)
    }

    fn poisoned(&self) -> Option<i32> {
        None
    }
}

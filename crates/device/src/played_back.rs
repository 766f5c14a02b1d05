//! A recording's device under a program that calls CUDA itself: memory is created before it has an address.
//!
//! Decides how calls of a runtime become those that `recorded` answers. Who plays a recording back keeps a clone, tells it what
//! is asked for, and puts the next episode's device in its place.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::physical::{PhysicalHandle, PhysicalMemory};
use super::recorded::RecordedDevice;
use super::{ControlledDevice, Device, DeviceError, Event, StreamHandle};
use crate::op::{ContentsReport, DeviceCall, FaultError, StreamId};

/// What is played, and the memory without an address.
#[derive(Debug)]
struct Playing {
    device: RecordedDevice,
    /// Sizes by handle, in bytes.
    created: BTreeMap<u64, u64>,
    next: u64,
    /// Bytes created since something was mapped last.
    waiting: u64,
}

/// The device of a recording that is played back. A clone is the same device.
#[derive(Debug, Clone)]
pub struct PlayedBack {
    playing: Arc<Mutex<Playing>>,
}

impl PlayedBack {
    /// Plays the first episode.
    #[must_use]
    pub fn new(device: RecordedDevice) -> Self {
        let playing = Playing { device, created: BTreeMap::new(), next: 1, waiting: 0 };
        PlayedBack { playing: Arc::new(Mutex::new(playing)) }
    }

    fn with<R>(&self, act: impl FnOnce(&mut Playing) -> R) -> R {
        act(&mut self.playing.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Does something with the recorded device itself: the next episode's is put there, or it is told what is asked for.
    pub fn recorded<R>(&self, act: impl FnOnce(&mut RecordedDevice) -> R) -> R {
        self.with(|playing| act(&mut playing.device))
    }
}

impl Device for PlayedBack {
    fn total_bytes(&self) -> u64 {
        self.recorded(|device| device.total_bytes())
    }

    fn free_bytes(&mut self) -> Result<u64, DeviceError> {
        self.recorded(Device::free_bytes)
    }

    fn reserve(&mut self, bytes: u64) -> Result<u64, DeviceError> {
        self.recorded(|device| device.reserve(bytes))
    }

    fn release(&mut self, address: u64) -> Result<(), DeviceError> {
        self.recorded(|device| device.release(address))
    }

    fn reserve_addresses(&mut self, bytes: u64) -> Result<u64, DeviceError> {
        self.recorded(|device| device.reserve_addresses(bytes))
    }

    fn free_addresses(&mut self, address: u64, bytes: u64) -> Result<(), DeviceError> {
        self.recorded(|device| device.free_addresses(address, bytes))
    }

    fn map(&mut self, address: u64, bytes: u64) -> Result<(), DeviceError> {
        self.recorded(|device| device.map(address, bytes))
    }

    fn set_access(&mut self, address: u64, bytes: u64) -> Result<(), DeviceError> {
        self.with(|playing| {
            playing.waiting = 0;
            playing.device.set_access(address, bytes)
        })
    }

    fn unmap(&mut self, address: u64, bytes: u64) -> Result<(), DeviceError> {
        self.recorded(|device| device.unmap(address, bytes))
    }

    fn record_event(&mut self, stream: StreamHandle) -> Result<Event, DeviceError> {
        self.recorded(|device| device.record_event(stream))
    }

    fn query_event(&mut self, event: Event) -> Result<bool, DeviceError> {
        self.recorded(|device| device.query_event(event))
    }

    fn wait_event(&mut self, event: Event) -> Result<(), DeviceError> {
        self.recorded(|device| device.wait_event(event))
    }

    fn wait_stream(&mut self, stream: StreamHandle) -> Result<(), DeviceError> {
        self.recorded(|device| device.wait_stream(stream))
    }
}

impl PhysicalMemory for PlayedBack {
    /// As much as the recording maps next: where it maps less for this request, or nothing, the driver had no more.
    fn create(&mut self, bytes: u64) -> Result<PhysicalHandle, DeviceError> {
        self.with(|playing| {
            if !playing.device.has_mapped(playing.waiting.saturating_add(bytes)) {
                return Err(DeviceError::OutOfMemory);
            }
            let handle = playing.next;
            playing.next += 1;
            playing.waiting += bytes;
            playing.created.insert(handle, bytes);
            Ok(PhysicalHandle(handle))
        })
    }

    fn attach(&mut self, address: u64, bytes: u64, _: PhysicalHandle) -> Result<(), DeviceError> {
        self.map(address, bytes)
    }

    fn detach(&mut self, address: u64, bytes: u64) -> Result<(), DeviceError> {
        self.unmap(address, bytes)
    }

    fn discard(&mut self, PhysicalHandle(handle): PhysicalHandle) -> Result<(), DeviceError> {
        self.with(|playing| {
            let bytes = playing.created.remove(&handle).ok_or(DeviceError::InvalidValue { call: DeviceCall::Unmap })?;
            playing.waiting = playing.waiting.saturating_sub(bytes);
            Ok(())
        })
    }
}

impl ControlledDevice for PlayedBack {
    fn name(&self) -> String {
        "recorded device".to_owned()
    }

    fn stream_handle(&self, stream: StreamId) -> StreamHandle {
        self.recorded(|device| device.handle(usize::from(stream.0)))
    }

    fn occupy(&mut self, stream: StreamId) -> Result<(), DeviceError> {
        self.recorded(|device| device.occupy(usize::from(stream.0)));
        Ok(())
    }

    fn finish(&mut self, stream: StreamId) -> Result<(), DeviceError> {
        self.recorded(|device| device.finish(usize::from(stream.0)));
        Ok(())
    }

    fn hold_for(&mut self, stream: StreamId, on: StreamId) -> Result<(), DeviceError> {
        self.recorded(|device| device.hold_for(usize::from(stream.0), usize::from(on.0)));
        Ok(())
    }

    fn synchronize(&mut self) -> Result<(), DeviceError> {
        self.recorded(RecordedDevice::synchronize);
        Ok(())
    }

    /// Nobody asks: the recording tells which streams were found idle.
    fn idle_mask(&mut self) -> u64 {
        0
    }

    /// There is no memory behind it.
    fn write(&mut self, _: StreamId, _: u64, _: u64, _: u32) -> Result<(), DeviceError> {
        Ok(())
    }

    fn check(&mut self, _: StreamId, _: u64, _: u64, _: u32) -> Result<ContentsReport, DeviceError> {
        Ok(ContentsReport::Intact)
    }

    fn take_illegal_access(&mut self) -> Option<u64> {
        None
    }

    /// What failed is recorded.
    fn fault(&mut self, _: DeviceCall, _: u32, _: Option<FaultError>) {}

    /// What is free is told at refusals only, and to the allocator.
    fn look_at_free_bytes(&mut self) -> Result<u64, DeviceError> {
        Ok(0)
    }

    fn faults_fired(&self) -> u32 {
        0
    }

    fn poisoned(&self) -> Option<i32> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorded::{DriverAct, RecordedAct, Serving};

    const MIB: u64 = 1 << 20;

    #[test]
    fn as_much_memory_is_created_as_the_recording_maps() {
        let act =
            |act, address, bytes| RecordedAct { act, address, bytes, stream: StreamHandle(0), request: 0, owner: 0 };
        let base = 1 << 40;
        let acts = vec![act(DriverAct::Mapped, base, 4 * MIB)];
        let mut device = PlayedBack::new(RecordedDevice::new(64 * MIB, &[0], acts));
        device.recorded(|recorded| recorded.serve(Serving { small: true, ..Serving::default() }));
        let two = 2 * MIB;
        let handles = [device.create(two), device.create(two)].map(|handle| handle.expect("it was mapped"));
        assert_eq!(device.create(two), Err(DeviceError::OutOfMemory));
        assert_eq!(device.attach(base, two, handles[0]), Ok(()));
        assert_eq!(device.attach(base + two, two, handles[1]), Ok(()));
        assert_eq!(device.set_access(base, 2 * two), Ok(()));
        assert_eq!(device.create(two), Err(DeviceError::OutOfMemory), "nothing more was recorded");
        assert_eq!((device.discard(handles[0]), device.discard(handles[0]).is_err()), (Ok(()), true));
    }
}

//! The device that an operation names, whether or not it exists.

use super::{DeviceId, Op, StreamId};

/// Where an operation says its device.
#[derive(Debug)]
pub enum DeviceSlot<'a> {
    /// It always names one.
    Named(&'a mut DeviceId),
    /// Without one it is about the caller's current device.
    Chosen(&'a mut Option<DeviceId>),
}

impl DeviceSlot<'_> {
    /// The device, if one is named.
    #[must_use]
    pub fn get(&self) -> Option<DeviceId> {
        match self {
            DeviceSlot::Named(device) => Some(**device),
            DeviceSlot::Chosen(device) => **device,
        }
    }

    /// Names another one, where one is named.
    pub fn rename(&mut self, to: DeviceId) {
        match self {
            DeviceSlot::Named(device) => **device = to,
            DeviceSlot::Chosen(device) => **device = device.map(|_| to),
        }
    }
}

impl Op {
    /// The device that the operation names.
    #[must_use]
    pub fn device(&self) -> Option<DeviceId> {
        self.clone().device_slot()?.get()
    }

    /// The stream that the operation names.
    #[must_use]
    pub fn stream(&self) -> Option<StreamId> {
        match self {
            Op::Alloc { stream, .. }
            | Op::RecordStream { stream, .. }
            | Op::Use { stream, .. }
            | Op::Occupy { stream, .. }
            | Op::Finish { stream, .. }
            | Op::WaitStream { stream, .. }
            | Op::CaptureBegin { stream, .. } => Some(*stream),
            _ => None,
        }
    }

    /// Where it says so; `None` for an operation that is about no device, or about that of its block.
    pub fn device_slot(&mut self) -> Option<DeviceSlot<'_>> {
        match self {
            Op::Alloc { device, .. } | Op::SetFraction { device, .. } | Op::GetFraction { device } => {
                Some(DeviceSlot::Chosen(device))
            }
            Op::Occupy { device, .. }
            | Op::Finish { device, .. }
            | Op::WaitStream { device, .. }
            | Op::Neighbour { device, .. }
            | Op::Synchronize { device }
            | Op::ResetPeak { device }
            | Op::ResetAccumulated { device }
            | Op::SetCurrent { device }
            | Op::Dictionary { device }
            | Op::Summary { device, .. }
            | Op::MemoryInfo { device }
            | Op::PoolCreate { device, .. }
            | Op::PoolEnter { device, .. }
            | Op::PoolExit { device, .. }
            | Op::CaptureBegin { device, .. }
            | Op::Fault { device, .. } => Some(DeviceSlot::Named(device)),
            _ => None,
        }
    }
}

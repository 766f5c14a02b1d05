//! Streams that a program made: whose each is, and which stream of the device stands behind it.
//!
//! Decides when a stream of the device is taken for one: once somebody keeps it busy, or it has to wait. Until then it is idle,
//! as the device's last stream is, which is nobody's. So a program makes as many as it likes, and few of them can be busy.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use crate::codes;
use crate::device::StreamHandle;
use crate::op::StreamId;
use crate::world::{Runtime, current_device};

/// What `cudaDeviceGetStreamPriorityRange` answers: the least and the greatest.
pub(crate) const PRIORITIES: RangeInclusive<i32> = -5..=0;

/// Handles look like addresses, apart from those of a device's own streams.
const FIRST: u64 = 0x5600_0000_0000;
const STEP: u64 = 0x40;

/// `cudaStreamLegacy`: the default stream by another name.
const LEGACY: u64 = 1;

#[derive(Debug, Clone, Copy)]
struct Made {
    device: usize,
    priority: i32,
    flags: u32,
    behind: Option<StreamId>,
}

/// All streams that a program made and did not destroy.
#[derive(Debug, Default)]
pub(crate) struct MadeStreams {
    made: BTreeMap<u64, Made>,
    next: u64,
    /// How many streams each device has, the last one always idle; 0 where a program cannot make any.
    pub(crate) per_device: u8,
}

impl Runtime {
    /// Makes a stream of the current device.
    pub(crate) fn create_stream(&mut self, flags: u32, priority: i32) -> Result<u64, i32> {
        self.current()?;
        if self.made.per_device < 2 {
            self.note_unsupported("cudaStreamCreateWithPriority".to_owned());
            return Err(codes::NOT_SUPPORTED);
        }
        let priority = priority.clamp(*PRIORITIES.start(), *PRIORITIES.end());
        let handle = FIRST + self.made.next * STEP;
        self.made.next += 1;
        self.made.made.insert(handle, Made { device: current_device(), priority, flags, behind: None });
        Ok(handle)
    }

    /// Destroys a stream; what is on it is done first.
    pub(crate) fn destroy_stream(&mut self, stream: u64) -> Result<(), i32> {
        let Some(made) = self.made.made.remove(&stream) else {
            let what = format!("no stream has the handle {stream:#x}");
            return self.misused("cudaStreamDestroy", what, codes::INVALID_HANDLE);
        };
        if let Some(behind) = made.behind {
            let device = self.at(made.device)?;
            let handle = device.stream_handle(behind);
            device.wait_stream(handle).map_err(|error| codes::of(&error))?;
        }
        Ok(())
    }

    /// Priority and flags of a stream.
    pub(crate) fn stream_facts(&self, stream: u64) -> Result<(i32, u32), i32> {
        self.device_of(stream)?;
        Ok(self.made.made.get(&stream).map_or((0, 0), |made| (made.priority, made.flags)))
    }

    /// The device of a stream that a program made.
    pub(crate) fn device_of_made(&self, stream: u64) -> Option<usize> {
        self.made.made.get(&stream).map(|made| made.device)
    }

    /// The stream of a device that a handle stands for now.
    pub(crate) fn real(&mut self, stream: u64) -> Result<StreamHandle, i32> {
        let Some(&Made { device, behind, .. }) = self.made.made.get(&stream) else {
            return Ok(StreamHandle(if stream == LEGACY { 0 } else { stream }));
        };
        let id = behind.unwrap_or(StreamId(self.made.per_device.saturating_sub(1)));
        Ok(self.at(device)?.stream_handle(id))
    }

    /// The stream of the device behind a handle, taken for it for good; `NOT_SUPPORTED` where all are taken.
    pub(crate) fn behind(&mut self, stream: u64) -> Result<(usize, StreamId), i32> {
        let device = self.device_of(stream)?;
        let Some(made) = self.made.made.get(&stream) else {
            let handle = self.real(stream)?;
            let own = self.at(device)?;
            let found = (0..StreamId::LIMIT).map(StreamId).find(|&id| own.stream_handle(id) == handle);
            return Ok((device, found.ok_or(codes::INVALID_HANDLE)?));
        };
        if let Some(id) = made.behind {
            return Ok((device, id));
        }
        let taken =
            |id: &StreamId| self.made.made.values().any(|made| made.device == device && made.behind == Some(*id));
        let free = (1..self.made.per_device.saturating_sub(1)).map(StreamId).find(|id| !taken(id));
        let Some(free) = free else {
            self.note_unsupported("so many busy streams".to_owned());
            return Err(codes::NOT_SUPPORTED);
        };
        if let Some(made) = self.made.made.get_mut(&stream) {
            made.behind = Some(free);
        }
        Ok((device, free))
    }

    /// Keeps a stream busy, or ends what does, as work of the program's would.
    ///
    /// # Errors
    /// CUDA's number: no such stream, or too many that are busy.
    pub fn keep_busy(&mut self, stream: u64, is_busy: bool) -> Result<(), i32> {
        let (device, id) = self.behind(stream)?;
        let device = self.at(device)?;
        let done = if is_busy { device.occupy(id) } else { device.finish(id) };
        done.map_err(|error| codes::of(&error))
    }

    /// Whether everything on a stream is done.
    pub(crate) fn is_idle(&mut self, stream: u64) -> Result<bool, i32> {
        let device = self.device_of(stream)?;
        let handle = self.real(stream)?;
        let device = self.at(device)?;
        let is_it = |id: &u8| device.stream_handle(StreamId(*id)) == handle;
        let id = (0..StreamId::LIMIT).find(is_it).ok_or(codes::INVALID_HANDLE)?;
        Ok(device.idle_mask() >> id & 1 == 1)
    }
}

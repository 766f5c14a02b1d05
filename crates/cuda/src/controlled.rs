//! A GPU as a harness plays on it: streams kept busy by spinning kernels, patterns written and read where the memory is.
//!
//! Decides what a change of contents is called. A write that has no memory is not started: it would break the context
//! for good. A write that waits while its memory is taken away does break it, and that is reported.

use super::{CudaDevice, gpu};
use crate::device::pattern::{self, BLANK};
use crate::device::{ControlledDevice, DeviceError, StreamHandle};
use crate::op::{ContentsReport, DeviceCall, FaultError, NvmlView, StreamId};

impl CudaDevice {
    /// What is at an address instead of a pattern, and how far it goes.
    fn describe(&self, address: u64, offset: u64, bytes: u64) -> Result<ContentsReport, DeviceError> {
        let gpu = self.enter()?;
        let at = address + offset;
        let left = bytes - offset;
        let mut raw = [0_u8; 16];
        let length = usize::try_from(left).unwrap_or(raw.len()).min(raw.len());
        let read = gpu.driver.read_bytes(&mut raw[..length], at, gpu.aside);
        read.map_err(|code| self.work_failed(code))?;
        let word = |from: usize| u64::from_le_bytes(std::array::from_fn(|i| raw[from + i]));
        let (tag, index) = pattern::read(word(0));
        let goes_on = length < 16 || word(8) == pattern::word(tag, u64::from(index) + 1);
        let known = length >= 8 && goes_on && (tag == BLANK || self.tags.contains(&tag));
        if !known {
            let found = format!("{:#018x}", word(0));
            return Ok(ContentsReport::Changed { offset, bytes: left.min(8), found });
        }
        let end = gpu.find_change(gpu.aside, at, left, tag, u64::from(index)).map_err(|code| self.work_failed(code))?;
        let found = if tag == BLANK { "nothing written".to_owned() } else { format!("the pattern of b{tag}") };
        Ok(ContentsReport::Changed { offset, bytes: end.min(left), found })
    }
}

impl ControlledDevice for CudaDevice {
    fn name(&self) -> String {
        self.gpu().name.clone()
    }

    fn stream_handle(&self, stream: StreamId) -> StreamHandle {
        let handle = self.streams.as_ref().and_then(|s| s.handle(usize::from(stream.0)));
        StreamHandle(handle.map_or(u64::MAX, |h| h.0 as u64))
    }

    fn occupy(&mut self, stream: StreamId) -> Result<(), DeviceError> {
        let lane = self.lane(stream)?;
        self.with_streams(|streams, gpu| Ok(streams.occupy(gpu, lane)?))
    }

    fn finish(&mut self, stream: StreamId) -> Result<(), DeviceError> {
        let lane = self.lane(stream)?;
        self.with_streams(|streams, gpu| streams.finish(gpu, lane))
    }

    fn hold_for(&mut self, stream: StreamId, on: StreamId) -> Result<(), DeviceError> {
        let (lane, on) = (self.lane(stream)?, self.lane(on)?);
        self.with_streams(|streams, gpu| Ok(streams.hold_for(gpu, lane, on)?))
    }

    fn synchronize(&mut self) -> Result<(), DeviceError> {
        self.with_streams(|streams, gpu| {
            streams.wait_all(gpu)?;
            Ok(gpu.driver.sync_context()?)
        })
    }

    fn idle_mask(&mut self) -> u64 {
        // A stream that cannot be waited for is not idle; the error comes back with the next call.
        if let Err(error) = self.with_streams(|streams, gpu| streams.settle_all(gpu)) {
            log::debug!("GPU {}: {error}", self.gpu().ordinal);
        }
        self.streams.as_ref().map_or(0, super::streams::Streams::idle_mask)
    }

    fn write(&mut self, stream: StreamId, address: u64, bytes: u64, tag: u32) -> Result<(), DeviceError> {
        let lane = self.lane(stream)?;
        let backed = self.table.backed(address, bytes);
        if backed < bytes {
            self.illegal_access.get_or_insert(address.saturating_add(backed));
        }
        if backed == 0 {
            return Ok(());
        }
        self.tags.insert(tag);
        self.with_streams(|streams, gpu| {
            let Some(handle) = streams.handle(lane) else { return Ok(()) };
            gpu.start_fill(handle, address, backed, tag, 0)?;
            streams.note_work(lane);
            Ok(())
        })
    }

    fn check(&mut self, stream: StreamId, address: u64, bytes: u64, tag: u32) -> Result<ContentsReport, DeviceError> {
        let lane = self.lane(stream)?;
        if self.streams.as_ref().is_some_and(|s| s.is_held(lane)) {
            return Ok(ContentsReport::Pending);
        }
        let backed = self.table.backed(address, bytes);
        let changed = self.with_streams(|streams, gpu| {
            streams.settle_all(gpu)?;
            let Some(handle) = streams.handle(lane).filter(|_| backed > 0) else { return Ok(gpu::NOWHERE) };
            Ok(gpu.find_change(handle, address, backed, tag, 0)?)
        })?;
        if changed < backed {
            return self.describe(address, changed, backed);
        }
        if backed > 0
            && let Some((ordinal, offset)) = self.seen_by_peers(address, backed, tag)?
        {
            let found = format!("something else, read by GPU {ordinal}");
            return Ok(ContentsReport::Changed { offset, bytes: (backed - offset).min(8), found });
        }
        Ok(if backed < bytes { ContentsReport::Unmapped { offset: backed } } else { ContentsReport::Intact })
    }

    fn take_illegal_access(&mut self) -> Option<u64> {
        self.illegal_access.take()
    }

    fn look_at_free_bytes(&mut self) -> Result<u64, DeviceError> {
        Ok(self.table.free())
    }

    fn fault(&mut self, call: DeviceCall, skip: u32, error: Option<FaultError>) {
        self.faults.arm(call, skip, error);
    }

    fn faults_fired(&self) -> u32 {
        self.faults.fired()
    }

    fn poisoned(&self) -> Option<i32> {
        self.gpu().poisoned().map(|code| code.0)
    }

    fn is_crowded(&self) -> bool {
        self.crowded
    }

    fn is_watched(&self) -> bool {
        self.watch.is_some()
    }

    fn second_opinion(&mut self, reserved_bytes: u64) -> Option<NvmlView> {
        let gpu = self.gpu();
        let taken = self.table.total().saturating_sub(self.table.free());
        let watch = self.watch.as_mut()?;
        gpu.enter().ok()?;
        Some(watch.look(gpu, reserved_bytes, taken))
    }
}

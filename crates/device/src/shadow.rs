//! A device that only the harness knows of, for an allocator that has none: streams that are busy on command, and what was
//! written where, by record or in the memory of the process that has it.
//!
//! Decides when a write happens and what a read finds. Hands out no memory: addresses are the allocator's.

use super::DeviceError;
pub use super::process_memory::ProcessMemory;
use super::sim::{Contents, Streams, Write};
use crate::op::{ContentsReport, DeviceCall, StreamId};

/// Who holds what was written.
#[derive(Debug)]
enum Bytes {
    Recorded(Contents),
    InProcess(ProcessMemory),
}

impl Bytes {
    /// A write that finds no memory shows when the block is read.
    fn write(&mut self, write: Write) {
        match self {
            Bytes::Recorded(contents) => {
                contents.write(write.address, write.address.saturating_add(write.bytes), write.tag)
            }
            Bytes::InProcess(memory) => drop(memory.write(write.address, write.bytes, write.tag)),
        }
    }
}

/// One device.
#[derive(Debug)]
pub struct ShadowDevice {
    streams: Streams,
    bytes: Bytes,
}

impl ShadowDevice {
    /// A device of that many streams, whose blocks lie in the memory of a process, or nowhere.
    #[must_use]
    pub fn new(index: u32, streams: u8, memory: Option<ProcessMemory>) -> Self {
        let bytes = memory.map_or_else(|| Bytes::Recorded(Contents::default()), Bytes::InProcess);
        ShadowDevice { streams: Streams::new(index, streams), bytes }
    }

    /// Keeps a stream busy: whatever is enqueued on it from now on waits for `finish` or for a wait.
    ///
    /// # Errors
    /// `InvalidValue` for a stream the device has not.
    pub fn occupy(&mut self, stream: StreamId) -> Result<(), DeviceError> {
        self.streams.occupy(self.known(stream)?);
        Ok(())
    }

    /// The work that keeps a stream busy ends; what waited behind it runs.
    ///
    /// # Errors
    /// As `occupy`.
    pub fn finish(&mut self, stream: StreamId) -> Result<(), DeviceError> {
        let stream = self.known(stream)?;
        let bytes = &mut self.bytes;
        self.streams.finish(stream, &mut |write| bytes.write(write));
        Ok(())
    }

    /// Whatever is enqueued on a stream from now on waits for what is enqueued on another one now.
    ///
    /// # Errors
    /// As `occupy`.
    pub fn hold_for(&mut self, stream: StreamId, on: StreamId) -> Result<(), DeviceError> {
        let (stream, on) = (self.known(stream)?, self.known(on)?);
        self.streams.hold_for(stream, on);
        Ok(())
    }

    /// Waits for everything enqueued on the device.
    pub fn synchronize(&mut self) {
        let bytes = &mut self.bytes;
        self.streams.wait_all(&mut |write| bytes.write(write));
    }

    /// Waits for everything enqueued on a stream; one that the device has not has nothing to do.
    pub fn wait_stream(&mut self, stream: StreamId) {
        let bytes = &mut self.bytes;
        self.streams.wait_stream(usize::from(stream.0), &mut |write| bytes.write(write));
    }

    /// One bit a stream, set where everything enqueued has finished.
    #[must_use]
    pub fn idle_mask(&self) -> u64 {
        self.streams.idle_mask()
    }

    /// Whether everything enqueued on any stream has finished.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        (0..self.streams.count()).all(|stream| !self.streams.is_busy(stream))
    }

    /// Enqueues a write of the pattern `tag` (a block's number) over a range.
    ///
    /// # Errors
    /// As `occupy`.
    pub fn write(&mut self, stream: StreamId, address: u64, bytes: u64, tag: u32) -> Result<(), DeviceError> {
        let stream = self.known(stream)?;
        if let Some(write) = self.streams.write(stream, Write { address, bytes, tag }) {
            self.bytes.write(write);
        }
        Ok(())
    }

    /// Reads a range and compares it with the pattern `tag`; `Pending` while the stream is busy. Of a block of more than
    /// 256 KiB in a process's memory the ends are read and the beginning of each MiB.
    #[must_use]
    pub fn check(&mut self, stream: StreamId, address: u64, bytes: u64, tag: u32) -> ContentsReport {
        if self.streams.is_busy(usize::from(stream.0)) {
            return ContentsReport::Pending;
        }
        match &mut self.bytes {
            Bytes::InProcess(memory) => memory.check(address, bytes, tag),
            Bytes::Recorded(contents) => recorded(contents, address, bytes, tag),
        }
    }

    fn known(&self, stream: StreamId) -> Result<usize, DeviceError> {
        let position = usize::from(stream.0);
        let known = position < self.streams.count();
        if known { Ok(position) } else { Err(DeviceError::InvalidValue { call: DeviceCall::RecordEvent }) }
    }
}

fn recorded(contents: &Contents, address: u64, bytes: u64, tag: u32) -> ContentsReport {
    let end = address.saturating_add(bytes);
    if contents.holds(address, end, tag) {
        return ContentsReport::Intact;
    }
    let Some(off) = contents.pieces(address, end).find(|piece| piece.tag != Some(tag)) else {
        return ContentsReport::Intact;
    };
    let found = off.tag.map_or_else(|| "nothing written".to_owned(), |other| format!("the pattern of b{other}"));
    ContentsReport::Changed { offset: off.start - address, bytes: off.end - off.start, found }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S0: StreamId = StreamId(0);

    #[test]
    fn a_late_write_lands_where_its_block_was() {
        let mut device = ShadowDevice::new(0, 2, None);
        device.occupy(StreamId(1)).expect("it has two");
        device.write(StreamId(1), 0x1000, 512, 1).expect("it has two");
        device.write(S0, 0x1100, 512, 2).expect("it has two");
        assert_eq!(device.check(S0, 0x1100, 512, 2), ContentsReport::Intact);
        assert_eq!((device.check(StreamId(1), 0x1000, 512, 1), device.idle_mask()), (ContentsReport::Pending, 1));
        device.finish(StreamId(1)).expect("it has two");
        let found = "the pattern of b1".to_owned();
        assert_eq!(device.check(S0, 0x1100, 512, 2), ContentsReport::Changed { offset: 0, bytes: 256, found });
        assert!(device.occupy(StreamId(2)).is_err());
    }
}

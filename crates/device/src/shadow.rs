//! A device that only the harness knows of, for an allocator that has none: streams that are busy on command, and what was
//! written where, by record or in the memory of the process that has it.
//!
//! Decides when a write happens and what a read finds. Hands out no memory: addresses are the allocator's.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;

use super::DeviceError;
use super::pattern;
use super::sim::{Contents, Streams, Write};
use crate::op::{ContentsReport, DeviceCall, StreamId};

/// Of a larger block only windows are written and read: its ends and the beginning of each MiB.
const WHOLE: u64 = 256 << 10;
/// At either end.
const END: u64 = 64 << 10;
/// At the beginning of each MiB.
const WINDOW: u64 = 4 << 10;
const STRIDE: u64 = 1 << 20;

/// The memory of another process, which must be a child of this one or belong to the same user where that may look.
#[derive(Debug)]
pub struct ProcessMemory {
    file: File,
}

impl ProcessMemory {
    /// Opens the memory of a process.
    ///
    /// # Errors
    /// Whatever the system answers: there is no such process, or it may not be looked at.
    pub fn open(pid: u32) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(format!("/proc/{pid}/mem"))?;
        Ok(ProcessMemory { file })
    }

    fn write(&self, write: Write) -> io::Result<()> {
        let mut bytes = Vec::new();
        for (start, end) in windows(write.bytes) {
            fill(&mut bytes, write.tag, start, end);
            self.file.write_all_at(&bytes, write.address.saturating_add(start))?;
        }
        Ok(())
    }

    fn check(&self, address: u64, bytes: u64, tag: u32) -> ContentsReport {
        let (mut found, mut due) = (Vec::new(), Vec::new());
        for (start, end) in windows(bytes) {
            found.resize(usize::try_from(end - start).unwrap_or(0), 0);
            if self.file.read_exact_at(&mut found, address.saturating_add(start)).is_err() {
                return ContentsReport::Unmapped { offset: start };
            }
            fill(&mut due, tag, start, end);
            // All at once: nearly always nothing is off.
            if found == due {
                continue;
            }
            let is_off = |(is, due): (&u8, &u8)| is != due;
            let Some(first) = found.iter().zip(&due).position(is_off) else { continue };
            let rest = found.iter().zip(&due).skip(first);
            let changed = rest.take_while(|&pair| is_off(pair)).count();
            let what = told(&found, first, start);
            return ContentsReport::Changed { offset: start + first as u64, bytes: changed as u64, found: what };
        }
        ContentsReport::Intact
    }
}

/// What some bytes are, from the first that differs on: another block's pattern, or as they are.
fn told(found: &[u8], first: usize, start: u64) -> String {
    // Blocks begin at multiples of 8 nearly always, and so do the words of their patterns.
    let aligned = first.next_multiple_of(8) - usize::try_from(start % 8).unwrap_or(0);
    let word = found.get(aligned..aligned + 8).and_then(|b| b.try_into().ok()).map(u64::from_le_bytes);
    let tag = word.map(pattern::read).filter(|&(tag, index)| tag < 1 << 24 && u64::from(index) < WHOLE);
    match tag {
        Some((tag, _)) => format!("the pattern of b{tag}"),
        None => format!("{:#04x}", found[first]),
    }
}

/// The bytes of a pattern from one offset to another, in place of what was there.
fn fill(bytes: &mut Vec<u8>, tag: u32, start: u64, end: u64) {
    bytes.clear();
    for index in start / 8..end.div_ceil(8) {
        bytes.extend_from_slice(&pattern::word(tag, index).to_le_bytes());
    }
    // A window need not begin, or end, at a whole word.
    bytes.drain(..usize::try_from(start % 8).unwrap_or(0));
    bytes.truncate(usize::try_from(end - start).unwrap_or(0));
}

/// The parts of a block that are written and read, in order.
fn windows(bytes: u64) -> impl Iterator<Item = (u64, u64)> {
    let is_whole = bytes <= WHOLE;
    let ends = if is_whole { [(0, bytes), (bytes, bytes)] } else { [(0, END), (bytes - END, bytes)] };
    let inner = (1..).map(|n| n * STRIDE).take_while(move |at| !is_whole && at + WINDOW <= bytes - END);
    let [first, last] = ends;
    [first].into_iter().chain(inner.map(|at| (at, at + WINDOW))).chain([last]).filter(|(start, end)| start < end)
}

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
            Bytes::InProcess(memory) => drop(memory.write(write)),
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
    pub fn check(&self, stream: StreamId, address: u64, bytes: u64, tag: u32) -> ContentsReport {
        if self.streams.is_busy(usize::from(stream.0)) {
            return ContentsReport::Pending;
        }
        match &self.bytes {
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

    #[test]
    #[cfg(target_os = "linux")]
    fn the_memory_of_a_process_is_written_and_read() {
        let mut own = vec![0_u8; 3 << 20];
        let address = own.as_mut_ptr() as u64;
        let memory = ProcessMemory::open(std::process::id()).expect("its own memory");
        let mut device = ShadowDevice::new(0, 1, Some(memory));
        for bytes in [1, 7, 512, 70_001, 3 << 20] {
            device.write(S0, address, bytes, 5).expect("it has one");
            assert_eq!(device.check(S0, address, bytes, 5), ContentsReport::Intact, "{bytes}");
        }
        device.write(S0, address + (2 << 20) + 64, 16, 6).expect("it has one");
        let found = "the pattern of b6".to_owned();
        let changed = ContentsReport::Changed { offset: (2 << 20) + 64, bytes: 16, found };
        assert_eq!(device.check(S0, address, 3 << 20, 5), changed);
        assert_eq!(device.check(S0, 8, 16, 5), ContentsReport::Unmapped { offset: 0 });
        assert!(!own.is_empty());
    }

    #[test]
    fn a_pattern_may_begin_and_end_within_a_word() {
        let (mut whole, mut part) = (Vec::new(), Vec::new());
        fill(&mut whole, 7, 0, 64);
        for (start, end) in [(0, 64), (3, 5), (3, 17), (8, 8), (63, 64)] {
            fill(&mut part, 7, start, end);
            let (from, to) = (start as usize, end as usize);
            assert_eq!(part, whole[from..to], "{start}..{end}");
        }
    }

    #[test]
    fn windows_cover_both_ends_and_lie_inside() {
        for bytes in [1, WHOLE, WHOLE + 1, STRIDE + END, STRIDE + WINDOW + END, 5 * STRIDE + 3] {
            let all: Vec<_> = windows(bytes).collect();
            assert_eq!((all[0].0, all[all.len() - 1].1), (0, bytes));
            assert!(all.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{bytes}: {all:?}");
        }
        assert_eq!(windows(0).count(), 0);
    }
}

//! Blocks in the memory of another process: a pattern written there, and read again.
//!
//! Decides how much of a block is written and read, and how: all at once where the system lets a child's memory be copied,
//! a window at a time through its file where it does not, or where a part of the block is no memory.

use std::fs::{File, OpenOptions};
use std::io;
use std::iter::once;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use super::pattern::{self, WORD};
use crate::op::ContentsReport;

/// Of a larger block only windows are written and read: its ends and the beginning of each MiB.
const WHOLE: u64 = 256 << 10;
/// At either end.
const END: u64 = 64 << 10;
/// At the beginning of each MiB.
const WINDOW: u64 = 4 << 10;
const STRIDE: u64 = 1 << 20;

/// A copy names at most so many windows: the system takes 1024.
#[cfg(target_os = "linux")]
const AT_ONCE: usize = 512;

/// The memory of another process, which must be a child of this one or belong to the same user where that may look.
#[derive(Debug)]
pub struct ProcessMemory {
    file: File,
    /// The process, where its number can be nobody else's and its memory can be copied.
    #[cfg(target_os = "linux")]
    child: Option<nix::unistd::Pid>,
    /// Kept from one block to the next: what is written, or was found.
    bytes: Vec<u8>,
}

impl ProcessMemory {
    /// Opens the memory of a process.
    ///
    /// # Errors
    /// Whatever the system answers: there is no such process, or it may not be looked at.
    pub fn open(pid: u32) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(format!("/proc/{pid}/mem"))?;
        Ok(ProcessMemory {
            file,
            #[cfg(target_os = "linux")]
            child: None,
            bytes: Vec::new(),
        })
    }

    /// The same of a child whose end nobody has asked for yet, and nobody does as long as this is used: its number stays its own.
    ///
    /// # Errors
    /// As `open`.
    pub fn of_child(pid: u32) -> io::Result<Self> {
        let memory = ProcessMemory::open(pid)?;
        #[cfg(target_os = "linux")]
        let memory = ProcessMemory { child: i32::try_from(pid).ok().map(nix::unistd::Pid::from_raw), ..memory };
        Ok(memory)
    }

    /// Writes the pattern of a block over it.
    ///
    /// # Errors
    /// Whatever the system answers: there is no memory, or the process is gone.
    pub(super) fn write(&mut self, address: u64, bytes: u64, tag: u32) -> io::Result<()> {
        let mut buffer = std::mem::take(&mut self.bytes);
        let written = self.write_from(&mut buffer, address, bytes, tag);
        self.bytes = buffer;
        written
    }

    fn write_from(&mut self, buffer: &mut Vec<u8>, address: u64, bytes: u64, tag: u32) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        if self.copy_there(buffer, address, bytes, tag) {
            return Ok(());
        }
        for window in windows(bytes) {
            buffer.clear();
            append(buffer, tag, &window);
            self.file.write_all_at(buffer, address.saturating_add(window.start))?;
        }
        Ok(())
    }

    /// Reads a block and compares it with its pattern.
    pub(super) fn check(&mut self, address: u64, bytes: u64, tag: u32) -> ContentsReport {
        let mut found = std::mem::take(&mut self.bytes);
        let report = self.check_in(&mut found, address, bytes, tag);
        self.bytes = found;
        report
    }

    fn check_in(&mut self, found: &mut Vec<u8>, address: u64, bytes: u64, tag: u32) -> ContentsReport {
        #[cfg(target_os = "linux")]
        if self.is_as_written(found, address, bytes, tag) {
            return ContentsReport::Intact;
        }
        for window in windows(bytes) {
            found.resize(size(&window), 0);
            if self.file.read_exact_at(found, address.saturating_add(window.start)).is_err() {
                return ContentsReport::Unmapped { offset: window.start };
            }
            if let Some(report) = difference(found, tag, &window) {
                return report;
            }
        }
        ContentsReport::Intact
    }

    /// Writes all windows of a block by one call for many; whether that came to an end.
    #[cfg(target_os = "linux")]
    fn copy_there(&self, buffer: &mut Vec<u8>, address: u64, bytes: u64, tag: u32) -> bool {
        use nix::sys::uio::process_vm_writev;
        let Some(child) = self.child else { return false };
        in_groups(windows(bytes), |some| {
            buffer.clear();
            some.iter().for_each(|window| append(buffer, tag, window));
            let Some(there) = places(address, some) else { return false };
            process_vm_writev(child, &[io::IoSlice::new(buffer)], &there).is_ok_and(|n| n == buffer.len())
        })
    }

    /// Whether all windows of a block could be read, by one call for many, and hold its pattern.
    #[cfg(target_os = "linux")]
    fn is_as_written(&self, found: &mut Vec<u8>, address: u64, bytes: u64, tag: u32) -> bool {
        use nix::sys::uio::process_vm_readv;
        let Some(child) = self.child else { return false };
        in_groups(windows(bytes), |some| {
            let length = some.iter().map(size).sum();
            if found.len() < length {
                found.resize(length, 0);
            }
            let found = &mut found[..length];
            let Some(there) = places(address, some) else { return false };
            if !process_vm_readv(child, &mut [io::IoSliceMut::new(found)], &there).is_ok_and(|n| n == length) {
                return false;
            }
            let mut rest = &found[..];
            some.iter().all(|window| {
                let (of_it, others) = rest.split_at(size(window));
                rest = others;
                pattern::holds(of_it, tag, window.start / WORD as u64)
            })
        })
    }
}

/// Whether all is well with the windows, as many at a time as one call takes. A block may be said to be of any size, so that
/// they are never listed all at once.
#[cfg(target_os = "linux")]
fn in_groups(mut windows: impl Iterator<Item = Range<u64>>, mut is_well: impl FnMut(&[Range<u64>]) -> bool) -> bool {
    let mut some = Vec::new();
    loop {
        some.clear();
        some.extend(windows.by_ref().take(AT_ONCE));
        if some.is_empty() || !is_well(&some) {
            return some.is_empty();
        }
    }
}

/// Where windows lie in the process; `None` where no memory can.
#[cfg(target_os = "linux")]
fn places(address: u64, windows: &[Range<u64>]) -> Option<Vec<nix::sys::uio::RemoteIoVec>> {
    let place = |window: &Range<u64>| {
        let base = usize::try_from(address.checked_add(window.start)?).ok()?;
        Some(nix::sys::uio::RemoteIoVec { base, len: size(window) })
    };
    windows.iter().map(place).collect()
}

fn size(window: &Range<u64>) -> usize {
    usize::try_from(window.end - window.start).unwrap_or(0)
}

/// What is off in a window; `None` if nothing is.
fn difference(found: &[u8], tag: u32, window: &Range<u64>) -> Option<ContentsReport> {
    let mut due = Vec::new();
    append(&mut due, tag, window);
    let is_off = |(is, due): (&u8, &u8)| is != due;
    let first = found.iter().zip(&due).position(is_off)?;
    let rest = found.iter().zip(&due).skip(first);
    let changed = rest.take_while(|&pair| is_off(pair)).count();
    let what = told(found, first);
    Some(ContentsReport::Changed { offset: window.start + first as u64, bytes: changed as u64, found: what })
}

/// What some bytes are that begin at a whole word, from the first that differs on: another block's pattern, or as they are.
fn told(found: &[u8], first: usize) -> String {
    // Blocks begin at multiples of 8 nearly always, and so do the words of their patterns.
    let aligned = first.next_multiple_of(WORD);
    let word = found.get(aligned..aligned + WORD).and_then(|b| b.try_into().ok()).map(u64::from_le_bytes);
    let tag = word.map(pattern::read).filter(|&(tag, index)| tag < 1 << 24 && u64::from(index) < WHOLE);
    match tag {
        Some((tag, _)) => format!("the pattern of b{tag}"),
        None => format!("{:#04x}", found[first]),
    }
}

/// The bytes of a pattern in a window, which begins at a whole word and need not end at one.
fn append(bytes: &mut Vec<u8>, tag: u32, window: &Range<u64>) {
    let begins = bytes.len();
    bytes.resize(begins + size(window), 0);
    pattern::write(tag, window.start / WORD as u64, &mut bytes[begins..]);
}

/// The parts of a block that are written and read, in order; each begins at a whole word of the pattern.
fn windows(bytes: u64) -> impl Iterator<Item = Range<u64>> {
    let is_whole = bytes <= WHOLE;
    let last = if is_whole { bytes } else { (bytes - END) / WORD as u64 * WORD as u64 };
    let first = if is_whole { 0..bytes } else { 0..END };
    let inner = (1..).map(|n| n * STRIDE).take_while(move |at| !is_whole && at + WINDOW <= last);
    let all = once(first).chain(inner.map(|at| at..at + WINDOW)).chain(once(last..bytes));
    all.filter(|window| window.start < window.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In memory of this process, by way of its file and as a child's is copied.
    #[cfg(target_os = "linux")]
    #[test]
    fn the_memory_of_a_process_is_written_and_read() {
        for open in [ProcessMemory::open, ProcessMemory::of_child] {
            let mut own = vec![0_u8; 3 << 20];
            let address = own.as_mut_ptr() as u64;
            let mut memory = open(std::process::id()).expect("its own memory");
            for bytes in [1, 7, 512, 70_001, 300_003, 3 << 20] {
                memory.write(address, bytes, 5).expect("it is there");
                assert_eq!(memory.check(address, bytes, 5), ContentsReport::Intact, "{bytes}");
            }
            memory.write(address + (2 << 20) + 64, 16, 6).expect("it is there");
            let found = "the pattern of b6".to_owned();
            let changed = ContentsReport::Changed { offset: (2 << 20) + 64, bytes: 16, found };
            assert_eq!(memory.check(address, 3 << 20, 5), changed);
            assert_eq!(memory.check(8, 16, 5), ContentsReport::Unmapped { offset: 0 });
            assert_eq!(memory.check(u64::MAX - 8, 16, 5), ContentsReport::Unmapped { offset: 0 });
            assert!(memory.write(8, 16, 5).is_err());
            assert!(!own.is_empty());
        }
    }

    /// A block whose memory ends within it is read up to there, whichever way.
    #[cfg(target_os = "linux")]
    #[test]
    fn the_first_window_that_is_no_memory_is_told() {
        let own = vec![0_u8; 1 << 20];
        for open in [ProcessMemory::open, ProcessMemory::of_child] {
            let mut memory = open(std::process::id()).expect("its own memory");
            let report = memory.check(own.as_ptr() as u64, 1 << 50, 3);
            assert!(matches!(report, ContentsReport::Changed { offset: 0, .. }), "{report:?}");
        }
        assert!(!own.is_empty());
    }

    #[test]
    fn windows_cover_both_ends_and_lie_inside() {
        for bytes in [1, WHOLE, WHOLE + 1, STRIDE + END, STRIDE + WINDOW + END, 5 * STRIDE + 3] {
            let all: Vec<_> = windows(bytes).collect();
            assert_eq!((all[0].start, all[all.len() - 1].end), (0, bytes));
            assert!(all.windows(2).all(|pair| pair[0].end <= pair[1].start), "{bytes}: {all:?}");
            assert!(all.iter().all(|window| window.start % WORD as u64 == 0), "{bytes}: {all:?}");
        }
        assert_eq!(windows(0).count(), 0);
    }
}

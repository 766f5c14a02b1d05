//! Recorded allocation traces on the bare reference: allocate and free, with all statistics, on a simulated device.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::device::sim::SimDevice;
use crate::device::{Device, StreamHandle};
use crate::engine::Clock;
use crate::op::Family;
use crate::reference::{DeviceAllocator, Reference, Settings, Sound};

/// Records of a slot and a size; 0 bytes free the slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// The path of its file, or the name of a built-in one.
    pub name: String,
    /// Slot and bytes; 0 bytes give the slot back.
    pub records: Vec<(u32, u64)>,
    /// Slots are below this.
    pub slots: usize,
}

/// Why a trace could not be run.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each says what happened")]
pub enum TraceError {
    #[error("{}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{name}: the file is empty, and a trace has records of 12 bytes")]
    Empty { name: String },
    #[error("{name}: {bytes} bytes are not a whole number of records of 12 bytes")]
    Ragged { name: String, bytes: usize },
    #[error("{name}: record {index} names slot {slot}; at most a million slots are allowed")]
    Slot { name: String, index: usize, slot: u32 },
    #[error("{name}: record {index} frees slot {slot}, which holds nothing, or fills one that does")]
    Order { name: String, index: usize, slot: u32 },
    #[error("{name}: record {index}: the reference refused {bytes} bytes: {reason}")]
    Refused { name: String, index: usize, bytes: u64, reason: String },
}

impl Trace {
    /// Reads a trace, gzipped or not.
    ///
    /// # Errors
    /// The file cannot be read, or is not a trace.
    pub fn open(path: &Path) -> Result<Trace, TraceError> {
        let failed = |source| TraceError::Read { path: path.to_owned(), source };
        let mut bytes = Vec::new();
        let file = crate::recording::open(path).map_err(failed)?;
        file.take(crate::input::MOST_BYTES).read_to_end(&mut bytes).map_err(failed)?;
        Trace::parse(&path.display().to_string(), &bytes)
    }

    fn parse(name: &str, bytes: &[u8]) -> Result<Trace, TraceError> {
        let name = name.to_owned();
        let (records, rest) = bytes.as_chunks::<12>();
        if bytes.is_empty() {
            return Err(TraceError::Empty { name });
        }
        if !rest.is_empty() {
            return Err(TraceError::Ragged { name, bytes: bytes.len() });
        }
        let mut live = Vec::new();
        let mut all = Vec::with_capacity(records.len());
        for (index, record) in records.iter().enumerate() {
            let [a, b, c, d, size @ ..] = *record;
            let (slot, bytes) = (u32::from_le_bytes([a, b, c, d]), u64::from_le_bytes(size));
            let place = slot as usize;
            if place >= 1_000_000 {
                return Err(TraceError::Slot { name, index, slot });
            }
            if place >= live.len() {
                live.resize(place + 1, false);
            }
            if live[place] == (bytes > 0) {
                return Err(TraceError::Order { name, index, slot });
            }
            live[place] = bytes > 0;
            all.push((slot, bytes));
        }
        Ok(Trace { name, records: all, slots: live.len() })
    }
}

/// The traces that come with the program.
///
/// # Errors
/// Never for a program that passed its tests: they are part of it.
pub fn built_in_traces() -> Result<Vec<Trace>, TraceError> {
    let files: [(&str, &[u8]); 3] = [
        ("live100", include_bytes!("../../benches/traces/live100.bin.gz")),
        ("live1000", include_bytes!("../../benches/traces/live1000.bin.gz")),
        ("live10000", include_bytes!("../../benches/traces/live10000.bin.gz")),
    ];
    let unpack = |(name, packed): (&str, &[u8])| {
        let mut bytes = Vec::new();
        let failed = |source| TraceError::Read { path: PathBuf::from(name), source };
        flate2::read::MultiGzDecoder::new(packed).read_to_end(&mut bytes).map_err(failed)?;
        Trace::parse(name, &bytes)
    };
    files.into_iter().map(unpack).collect()
}

/// What a trace cost.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceTiming {
    /// The trace's.
    pub name: String,
    /// Of one reading.
    pub operations: usize,
    /// The least of all readings.
    pub nanoseconds_per_operation: f64,
    /// The most blocks that were live at a time.
    pub peak_live_blocks: i64,
}

/// Runs a trace `repeats` times on one reference that stays warm, and takes the best reading.
///
/// # Errors
/// The trace asks for what the reference refuses.
pub fn time_trace(trace: &Trace, repeats: u32) -> Result<TraceTiming, TraceError> {
    let device = SimDevice::new(0, 1 << 40, 1);
    let mut reference = Reference::new(vec![device], &Settings::default(), Sound);
    let allocator = reference.device_mut(0);
    let mut addresses = vec![0; trace.slots];
    let mut readings = Vec::new();
    for _ in 0..repeats.max(1) {
        let clock = Clock::start();
        run(trace, allocator, &mut addresses)?;
        readings.push(clock.seconds());
        drain(allocator, &mut addresses);
    }
    let operations = trace.records.len();
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let per_operation = super::least(readings.into_iter()) * 1e9 / operations.max(1) as f64;
    Ok(TraceTiming {
        name: trace.name.clone(),
        operations,
        nanoseconds_per_operation: per_operation,
        peak_live_blocks: allocator.stats().all(Family::Allocation).peak,
    })
}

/// Resident memory of the reference for each of `live` blocks of the sizes of the traces, in bytes; `None`
/// where the system does not tell. Half as many again were freed in between, so that free blocks count too.
///
/// # Errors
/// The reference refuses, which it does not on a device of this size.
pub fn memory_per_live_block(live: u32) -> Result<Option<f64>, TraceError> {
    let Some(before) = resident_bytes() else { return Ok(None) };
    let device = SimDevice::new(0, 1 << 44, 1);
    let mut reference = Reference::new(vec![device], &Settings::default(), Sound);
    let allocator = reference.device_mut(0);
    let mut draw = super::Draw::new(u64::from(live));
    let refused = |index: usize, bytes: u64, reason: String| TraceError::Refused {
        name: "memory".to_owned(),
        index,
        bytes,
        reason,
    };
    let mut held = 0;
    for index in 0..live as usize + live as usize / 2 {
        let bytes = draw.size();
        let address = allocator.alloc(bytes, StreamHandle(0)).map_err(|e| refused(index, bytes, e.to_string()))?;
        if index % 3 == 2 {
            allocator.free(address).map_err(|e| refused(index, bytes, e.to_string()))?;
        } else {
            held += 1;
        }
    }
    let after = resident_bytes().unwrap_or(before);
    Ok(Some(after.saturating_sub(before) as f64 / f64::from(held.max(1))))
}

/// The process's resident memory as Linux tells it.
fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    text.split_whitespace().nth(1)?.parse::<u64>().ok().map(|pages| pages * 4096)
}

fn run<D: Device>(
    trace: &Trace,
    allocator: &mut DeviceAllocator<D, Sound>,
    addresses: &mut [u64],
) -> Result<(), TraceError> {
    for (index, &(slot, bytes)) in trace.records.iter().enumerate() {
        let refused = |reason: String| TraceError::Refused { name: trace.name.clone(), index, bytes, reason };
        let place = &mut addresses[slot as usize];
        if bytes == 0 {
            let address = std::mem::take(place);
            allocator.free(address).map_err(|e| refused(e.to_string()))?;
        } else {
            *place = allocator.alloc(bytes, StreamHandle(0)).map_err(|e| refused(e.to_string()))?;
        }
    }
    Ok(())
}

/// Frees what a trace that was cut short left behind.
fn drain<D: Device>(allocator: &mut DeviceAllocator<D, Sound>, addresses: &mut [u64]) {
    for address in addresses.iter_mut().map(std::mem::take).filter(|&a| a != 0) {
        // It was handed out above, so it is taken back.
        let _ = allocator.free(address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_traces_run() {
        for trace in built_in_traces().expect("are read") {
            let timing = time_trace(&trace, 1).expect("runs");
            assert!(timing.nanoseconds_per_operation > 0.0 && timing.peak_live_blocks >= 50, "{timing:?}");
        }
    }

    #[test]
    fn what_is_no_trace_is_refused() {
        let record = |slot: u32, bytes: u64| [&slot.to_le_bytes()[..], &bytes.to_le_bytes()[..]].concat();
        let refused = |bytes: Vec<u8>| Trace::parse("t", &bytes).expect_err("is refused").to_string();
        assert!(refused(vec![1; 13]).contains("13 bytes"));
        assert!(refused(record(0, 0)).contains("frees slot 0, which holds nothing"));
        assert!(refused([record(0, 9), record(0, 9)].concat()).contains("record 1"));
        assert!(refused(record(u32::MAX, 9)).contains("a million slots"));
    }
}

//! The same calls under other settings: what they would have come to.
//!
//! Decides what is asked and what is measured. The device is simulated: it has the memory it is told to
//! have, all of it for this one process, and gives addresses of its own.

mod calls;
mod pools;

use std::path::Path;

pub(super) use calls::{Ask, of_recording, of_snapshot};
pub(super) use pools::PoolAsk;

use super::ReplayError;
use crate::device::sim::SimDevice;
use crate::op::{Counter, Family, StreamId};
use crate::reference::{Reference, Settings, Sound};

/// The memory of a device where nothing else is said.
pub const DEVICE_BYTES: u64 = 80 << 30;

/// What one device came to under one setting.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The settings as PyTorch writes them.
    pub config: String,
    /// By position.
    pub device: usize,
    /// The most bytes that were reserved.
    pub peak_reserved: u64,
    /// The most bytes that were allocated.
    pub peak_allocated: u64,
    /// What was allocated when the peak of reserved memory was first reached.
    pub allocated_then: u64,
    /// Calls that got memory from the driver or gave it back.
    pub device_calls: u64,
    /// Requests that were served after the cache was given back.
    pub retries: u64,
    /// Requests that were refused.
    pub refusals: u64,
    /// The first request that was refused: which it was, from 1, and its bytes.
    pub first_refusal: Option<(u64, u64)>,
}

impl Row {
    /// The share of reserved memory that was not allocated when the most was reserved.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a percentage is printed")]
    pub fn fragmentation(&self) -> f64 {
        if self.peak_reserved == 0 { 0.0 } else { 1.0 - self.allocated_then as f64 / self.peak_reserved as f64 }
    }
}

/// What the rows have in common.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// The size that every device had.
    pub device_bytes: u64,
    /// The recorded settings first, then the others as asked.
    pub rows: Vec<Row>,
}

/// Asks the calls of a recording or a snapshot again: under the recorded settings and under each of `configs`.
///
/// # Errors
/// The file cannot be read, or settings are refused.
pub fn compare(path: &Path, configs: &[String], device_bytes: Option<u64>) -> Result<Table, ReplayError> {
    let workload = calls::of(path)?;
    let device_bytes = device_bytes.unwrap_or_else(|| DEVICE_BYTES.max(workload.high_water.next_multiple_of(1 << 30)));
    let mut rows = run(&workload, &workload.config, &workload.settings, device_bytes);
    for config in configs {
        let settings: Settings =
            config.parse().map_err(|source| ReplayError::Config { config: config.clone(), source })?;
        rows.extend(run(&workload, config, &settings, device_bytes));
    }
    Ok(Table { device_bytes, rows })
}

/// The calls of a whole file.
#[derive(Debug, Clone)]
pub(super) struct Workload {
    pub config: String,
    pub settings: Settings,
    /// Most memory held at a time in the recorded run, where that is known.
    pub high_water: u64,
    pub devices: usize,
    pub asks: Vec<(usize, Ask)>,
}

/// Addresses enough for two expandable segments a stream, each an eighth longer than the device: real
/// devices have as many, and no setting is to look bad for want of them.
fn address_span(device_bytes: u64) -> u64 {
    const LEAST: u64 = 1 << 40;
    const MOST: u64 = 1 << 52;
    let segments = u64::from(StreamId::LIMIT) * 2 * 2;
    device_bytes.saturating_mul(segments).clamp(LEAST, MOST)
}

fn run(workload: &Workload, config: &str, settings: &Settings, device_bytes: u64) -> Vec<Row> {
    run_while(workload, config, settings, device_bytes, &mut |_, _| true)
}

/// The same, as long as `go_on` says so after a call, which is given the row of the call's device so far.
pub(super) fn run_while(
    workload: &Workload,
    config: &str,
    settings: &Settings,
    device_bytes: u64,
    go_on: &mut dyn FnMut(Ask, &Row) -> bool,
) -> Vec<Row> {
    let span = address_span(device_bytes);
    let device = |index| SimDevice::spanning(u32::try_from(index).unwrap_or(0), device_bytes, StreamId::LIMIT, span);
    let mut reference = Reference::new((0..workload.devices).map(device).collect(), settings, Sound);
    let mut rows: Vec<Row> = (0..workload.devices)
        .map(|device| Row {
            config: config.to_owned(),
            device,
            peak_reserved: 0,
            peak_allocated: 0,
            allocated_then: 0,
            device_calls: 0,
            retries: 0,
            refusals: 0,
            first_refusal: None,
        })
        .collect();
    let mut asked = calls::Asked::default();
    for &(device, ask) in &workload.asks {
        asked.ask(&mut reference, device, ask, &mut rows[device]);
        let stats = reference.device(device).stats();
        let current = |family| u64::try_from(stats.all(family).current).unwrap_or(0);
        let row = &mut rows[device];
        row.peak_allocated = row.peak_allocated.max(current(Family::AllocatedBytes));
        let reserved = current(Family::ReservedBytes);
        if reserved > row.peak_reserved {
            row.peak_reserved = reserved;
            row.allocated_then = current(Family::AllocatedBytes);
        }
        if !go_on(ask, row) {
            break;
        }
    }
    for row in &mut rows {
        let stats = reference.device(row.device).stats();
        let count = |counter| u64::try_from(stats.counter(counter)).unwrap_or(0);
        row.device_calls = count(Counter::NumDeviceAlloc) + count(Counter::NumDeviceFree);
        row.retries = count(Counter::NumAllocRetries);
    }
    let busy = |row: &Row| workload.devices == 1 || row.peak_reserved > 0 || row.refusals > 0;
    rows.into_iter().filter(busy).collect()
}

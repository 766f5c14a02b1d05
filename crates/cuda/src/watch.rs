//! A second opinion on a GPU's memory: NVML's figures and the driver's beside the allocator's, from a measured baseline.
//!
//! Decides when they are read (whenever reserved memory has moved, and now and then) and how long NVML is given to
//! follow. Judges nothing. Where there is no NVML, or it does not know the GPU, there is no second opinion.

use std::sync::OnceLock;

use super::Ballast;
use super::gpu::Gpu;
use crate::op::{Baseline, Company, NvmlView};
use crate::telemetry::{NvmlMatch, Telemetry, TelemetryError, Uuid, company, places};

/// Readings for the baseline.
const BASELINE: usize = 3;

/// Readings until a figure that does not follow is taken as it is; one takes about 10 us.
const PATIENCE: u32 = 500;

/// While reserved memory stands still, every so many looks are readings.
const IDLE_LOOKS: u32 = 16;

/// NVML and the UUIDs of its devices by index.
#[derive(Debug)]
pub(super) struct Nvml {
    pub(super) telemetry: Telemetry,
    uuids: Vec<(u32, String)>,
}

impl Nvml {
    fn open() -> Result<Self, TelemetryError> {
        let telemetry = Telemetry::open(None)?;
        let uuid = |index| Some((index, telemetry.device(index).ok()?.uuid.ok()?));
        let uuids = (0..telemetry.device_count()?).filter_map(uuid).collect();
        Ok(Nvml { telemetry, uuids })
    }
}

/// NVML of this process, opened at the first call.
pub(super) fn nvml() -> Option<&'static Nvml> {
    static NVML: OnceLock<Option<Nvml>> = OnceLock::new();
    let opened = || Nvml::open().inspect_err(|e| log::info!("no second opinion by NVML: {e}")).ok();
    NVML.get_or_init(opened).as_ref()
}

/// What is watched of one GPU during one sequence.
#[derive(Debug)]
pub(super) struct Watch {
    telemetry: &'static Telemetry,
    index: u32,
    /// A process that holds still on our behalf.
    ours: Vec<u32>,
    seen: NvmlView,
    /// What the allocator had reserved at the last reading.
    reserved: u64,
    /// All that was taken of the device then, whoever counts it.
    taken: u64,
    looks: u32,
}

impl Watch {
    /// Measures the baseline: contexts and streams are there, and nothing has been asked.
    pub(super) fn start(gpu: &Gpu, ballast: Ballast) -> Option<Self> {
        let Nvml { telemetry, uuids } = nvml()?;
        let known: Vec<(u32, &str)> = uuids.iter().map(|(index, uuid)| (*index, uuid.as_str())).collect();
        let index = match places(&[Uuid(gpu.uuid)], &known)[..] {
            [NvmlMatch::Device(index)] => index,
            ref other => {
                log::info!("GPU {}: no second opinion by NVML: {other:?}", gpu.ordinal);
                return None;
            }
        };
        let read = || Some((telemetry.memory(index).ok()?, gpu.driver.memory_info().ok()?.0));
        let readings: Vec<_> = (0..BASELINE).map_while(|_| read()).collect();
        let (memory, driver_free_bytes) = *readings.last()?;
        let figures: Vec<(u64, u64)> = readings.iter().map(|(m, free)| (m.used_bytes, *free)).collect();
        let baseline = Baseline::of(0, &figures)?;
        let ours: Vec<u32> = if let Ballast::Neighbour(pid) = ballast { vec![pid] } else { Vec::new() };
        let company = who(telemetry, index, &ours);
        let seen = NvmlView { memory, driver_free_bytes, baseline, company };
        Some(Watch { telemetry, index, ours, seen, reserved: 0, taken: 0, looks: 0 })
    }

    /// The figures now, `reserved` being the allocator's own and `taken` what it took of the device, with what it does not
    /// count. A figure that does not agree is read again until it
    /// does or patience ends, and who else is there is asked anew.
    pub(super) fn look(&mut self, gpu: &Gpu, reserved: u64, taken: u64) -> NvmlView {
        self.looks = self.looks.wrapping_add(1);
        if (reserved, taken) == (self.reserved, self.taken) && !self.looks.is_multiple_of(IDLE_LOOKS) {
            return self.seen;
        }
        (self.reserved, self.taken) = (reserved, taken);
        for attempt in 0..PATIENCE {
            self.read(gpu);
            if self.seen.agrees(reserved.max(taken)) {
                break;
            }
            if attempt == 0 && self.seen.company == Company::Alone {
                self.seen.company = who(self.telemetry, self.index, &self.ours);
            }
            if self.seen.company != Company::Alone {
                break; // it need not agree
            }
        }
        if taken <= reserved && self.seen.was_given_back(reserved) {
            log::info!("NVML's device {}: somebody who is gone gave memory back, a new baseline is taken", self.index);
            self.rebase(reserved);
        }
        self.seen
    }

    /// Takes the figures of the last reading as those of `reserved`.
    fn rebase(&mut self, reserved: u64) {
        self.seen.baseline.used_bytes = self.seen.memory.used_bytes;
        self.seen.baseline.free_bytes = self.seen.driver_free_bytes;
        self.seen.baseline.reserved_bytes = reserved;
    }

    /// So much is taken from now on, and not for the allocator.
    pub(super) fn set_apart(&mut self, bytes: u64) {
        self.seen.baseline.used_bytes = self.seen.baseline.used_bytes.saturating_add(bytes);
        self.seen.baseline.free_bytes = self.seen.baseline.free_bytes.saturating_sub(bytes);
    }

    /// What the harness makes for itself on a GPU in the course of a sequence does not count.
    pub(super) fn apart<T>(&mut self, gpu: &Gpu, make: impl FnOnce() -> T) -> T {
        self.read(gpu);
        let (used, free) = (self.seen.memory.used_bytes, self.seen.driver_free_bytes);
        let made = make();
        self.read(gpu);
        let base = &mut self.seen.baseline;
        base.used_bytes = base.used_bytes.saturating_add(self.seen.memory.used_bytes.saturating_sub(used));
        base.free_bytes = base.free_bytes.saturating_sub(free.saturating_sub(self.seen.driver_free_bytes));
        made
    }

    /// A figure that cannot be had keeps its last value.
    fn read(&mut self, gpu: &Gpu) {
        if let Ok(memory) = self.telemetry.memory(self.index) {
            self.seen.memory = memory;
        }
        if let Ok((free, _)) = gpu.driver.memory_info() {
            self.seen.driver_free_bytes = free;
        }
    }
}

/// Who is on the device beside this process and those. Others that were there when a sequence began may go in its
/// course, so that being alone is believed only if it was so throughout.
fn who(telemetry: &Telemetry, index: u32, ours: &[u32]) -> Company {
    telemetry.processes(index).map_or(Company::Unknown, |list| company(&list.processes, ours))
}

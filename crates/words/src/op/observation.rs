//! What can be seen of a target between two operations, without changing it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::reply::{FloatText, float_text};
use super::stats::Stats;

/// One device as seen from outside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DeviceView {
    /// The allocator's statistics; what the target does not count is 0.
    pub stats: Stats,
    /// What is free of the device, or of the size that a card plays: not the allocator's figure.
    pub free_bytes: u64,
    /// The size of the device, or the size that a card plays.
    pub total_bytes: u64,
    /// The memory fraction as the target reads it back; 1 where it has none.
    #[serde(with = "float_text")]
    #[schemars(with = "FloatText")]
    pub fraction: f64,
    /// One bit a stream: set where everything enqueued has finished.
    pub idle: u64,
    /// Faults that have fired on this device since the start.
    pub faults_fired: u32,
    /// The card had less room than the size played on it leaves, since others hold it: a refusal is not the allocator's.
    #[serde(default)]
    pub crowded: bool,
    /// A second opinion on a real device's memory; `None` where there is no NVML.
    pub nvml: Option<NvmlView>,
}

impl DeviceView {
    /// Whether everything enqueued on that stream has finished.
    #[must_use]
    pub fn is_idle(&self, stream: super::StreamId) -> bool {
        self.idle >> (stream.0 & 63) & 1 == 1
    }
}

/// A device's memory as NVML states it. What the driver keeps for itself (`reserved_bytes`) is in neither of the others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NvmlMemory {
    /// The size of the device.
    pub total_bytes: u64,
    /// What is in use, by whomever.
    pub used_bytes: u64,
    /// What nobody uses.
    pub free_bytes: u64,
    /// What the driver keeps for itself.
    pub reserved_bytes: u64,
}

/// Who else is on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Company {
    /// Only the target and the harness: every change of the figures is theirs.
    Alone,
    /// That many others, whose memory moves the figures too.
    Neighbours(u32),
    /// The list of processes does not say.
    Unknown,
}

/// Where a device's figures stood before the target did anything, and how still they stood: the least and the
/// most of several readings, with the target's context made and nothing asked of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Baseline {
    /// What the allocator said it had reserved then.
    pub reserved_bytes: u64,
    /// NVML's, the least reading.
    pub used_bytes: u64,
    /// The driver's, the most.
    pub free_bytes: u64,
    /// The most that a figure moved between two readings.
    pub noise_bytes: u64,
}

/// What NVML and the driver say of a device at one moment. Whoever fills it in reads until the figures stand still:
/// NVML may follow the driver late (`poolproof bench --telemetry` says how late).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NvmlView {
    /// NVML's figures.
    pub memory: NvmlMemory,
    /// `cuMemGetInfo`'s, of the whole device; a target may play a smaller one.
    pub driver_free_bytes: u64,
    /// Where both stood before the target did anything.
    pub baseline: Baseline,
    /// Who else was on the device.
    pub company: Company,
}

impl NvmlView {
    /// How far two honest figures may be apart: one granule, and what moved when nothing was asked.
    #[must_use]
    pub fn tolerance_bytes(&self) -> u64 {
        super::GRANULE.saturating_add(self.baseline.noise_bytes)
    }

    /// How far NVML's used bytes and the driver's free bytes have moved from the baseline, both as memory taken.
    #[must_use]
    pub fn taken(&self) -> (i128, i128) {
        let base = &self.baseline;
        let used = i128::from(self.memory.used_bytes) - i128::from(base.used_bytes);
        (used, i128::from(base.free_bytes) - i128::from(self.driver_free_bytes))
    }

    /// Whether both say of what is reserved now what the allocator says.
    #[must_use]
    pub fn agrees(&self, reserved_bytes: u64) -> bool {
        let grew = self.grown(reserved_bytes);
        let (used, taken) = self.taken();
        self.is_near(used, grew) && self.is_near(taken, grew)
    }

    /// Whether both say alike that less is taken than is reserved: a process that ended a moment ago is listed no more,
    /// and its memory comes back piece by piece.
    #[must_use]
    pub fn was_given_back(&self, reserved_bytes: u64) -> bool {
        let grew = self.grown(reserved_bytes);
        let (used, taken) = self.taken();
        self.is_near(used, taken) && !self.is_near(used, grew) && used < grew
    }

    fn grown(&self, reserved_bytes: u64) -> i128 {
        i128::from(reserved_bytes) - i128::from(self.baseline.reserved_bytes)
    }

    fn is_near(&self, a: i128, b: i128) -> bool {
        a.abs_diff(b) <= u128::from(self.tolerance_bytes())
    }
}

impl Baseline {
    /// From readings of NVML's used bytes and the driver's free bytes; `None` from no reading.
    #[must_use]
    pub fn of(reserved_bytes: u64, readings: &[(u64, u64)]) -> Option<Baseline> {
        let used = || readings.iter().map(|(used, _)| *used);
        let free = || readings.iter().map(|(_, free)| *free);
        let (used_bytes, free_bytes) = (used().min()?, free().max()?);
        let noise_bytes = (used().max()? - used_bytes).max(free_bytes - free().min()?);
        Some(Baseline { reserved_bytes, used_bytes, free_bytes, noise_bytes })
    }
}

/// Every device of a target.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Observation {
    /// By position.
    pub devices: Vec<DeviceView>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_baseline_knows_how_still_it_stood() {
        assert_eq!(Baseline::of(0, &[]), None);
        let found = Baseline::of(5, &[(100, 900), (130, 900), (110, 880)]);
        assert_eq!(found, Some(Baseline { reserved_bytes: 5, used_bytes: 100, free_bytes: 900, noise_bytes: 30 }));
        let view = NvmlView {
            memory: NvmlMemory { used_bytes: 100 + MIB, ..NvmlMemory::default() },
            driver_free_bytes: 900,
            baseline: found.unwrap_or_default(),
            company: Company::Alone,
        };
        assert_eq!(view.tolerance_bytes(), (2 << 20) + 30);
        assert_eq!(view.taken(), (i128::from(MIB), 0));
        assert!(view.agrees(5) && view.agrees(MIB) && !view.agrees(4 * MIB), "the driver's free bytes did not move");
    }

    #[test]
    fn what_somebody_else_gave_back_is_told_from_a_leak() {
        let view = |used: u64, driver_free_bytes: u64| NvmlView {
            memory: NvmlMemory { used_bytes: used * MIB, ..NvmlMemory::default() },
            driver_free_bytes: driver_free_bytes * MIB,
            baseline: Baseline {
                reserved_bytes: 100 * MIB,
                used_bytes: 500 * MIB,
                free_bytes: 900 * MIB,
                noise_bytes: 0,
            },
            company: Company::Alone,
        };
        let reserved = 120 * MIB;
        assert!(view(520, 880).agrees(reserved) && !view(520, 880).was_given_back(reserved));
        assert!(view(420, 980).was_given_back(reserved), "100 MiB came back from elsewhere");
        assert!(!view(420, 880).was_given_back(reserved), "the two sources differ");
        assert!(
            !view(560, 840).was_given_back(reserved),
            "40 MiB more than the allocator says, less than it has in all"
        );
    }
}

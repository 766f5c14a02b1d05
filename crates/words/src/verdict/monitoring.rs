//! What tells of device memory, held against NVML and against what was really held: what each row, cost and delay came to.
//!
//! Decides the shape of `monitor.json`, and what counts as kept. Nearly all of it is measured and differs between two runs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::contract::RowOutcome;
use super::expectation::{ExpectationRecord, Standing};
use super::record::RunStamp;
use crate::op::Text;

/// All that was measured on one machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Monitoring {
    /// `poolproof-monitoring/1`.
    pub format: String,
    /// The version of poolproof that measured.
    pub version: String,
    /// What it was measured on.
    pub machine: MonitoredMachine,
    /// The parts that were wanted; all where none is named.
    #[serde(default)]
    pub parts: Vec<String>,
    /// Whether every one of them came to its end.
    pub complete: bool,
    /// Promises, in the order of their ids.
    pub rows: Vec<MonitoringRow>,
    /// What a call costs.
    pub costs: Vec<Cost>,
    /// How late and how wrong figures are.
    pub delays: Vec<Delay>,
    /// What could not be measured.
    #[serde(default)]
    pub missing: Vec<Missing>,
    /// What became of the failures that were expected.
    #[serde(default)]
    pub expectations: Vec<ExpectationRecord>,
    /// When and where.
    pub stamp: RunStamp,
}

impl Monitoring {
    /// The name of this format and its version.
    pub const FORMAT: &'static str = "poolproof-monitoring/1";

    /// Whether promises were wanted.
    #[must_use]
    pub fn has_rows(&self) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|part| part == "processes")
    }

    /// The rows that came to something.
    pub fn judged(&self) -> impl Iterator<Item = &MonitoringRow> {
        self.rows.iter().filter(|row| row.outcome.is_judged())
    }

    /// Whether nothing is broken that was not expected to be, and nothing expected is out of date. What an expectation speaks of
    /// may be missing where the run was cut off.
    #[must_use]
    pub fn is_as_expected(&self) -> bool {
        let is_wrong = |e: &ExpectationRecord| {
            e.standing == Standing::UnexpectedPass
                || e.standing == Standing::Expired
                || (self.complete && e.standing.is_outdated())
        };
        !self.rows.iter().any(MonitoringRow::is_news) && !self.expectations.iter().any(is_wrong)
    }
}

/// The library, the devices and NVML, as the worker found them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MonitoredMachine {
    /// The version of PyTorch.
    pub torch: String,
    /// The CUDA that it was built for.
    #[serde(default)]
    pub cuda: Option<String>,
    /// The version of Python.
    pub python: String,
    /// The devices by name.
    pub names: Vec<String>,
    /// Whether they are the simulated ones of `poolproof simcuda`.
    pub simulated: bool,
    /// The version of pynvml; none where it is not installed.
    #[serde(default)]
    pub pynvml: Option<String>,
    /// The version of the driver, by NVML.
    #[serde(default)]
    pub driver: Option<String>,
    /// NVML's function that lists processes.
    #[serde(default)]
    pub nvml: Option<String>,
    /// Why there is no NVML.
    #[serde(default)]
    pub nvml_missing: Option<String>,
    /// Whether NVML lists a process under the number that it has for itself.
    #[serde(default)]
    pub own_pid_listed: Option<bool>,
}

/// What a row promises, part by part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Promise {
    /// Every process that NVML names is listed, and nobody else.
    Listed,
    /// The bytes of each agree with NVML's.
    Bytes,
    /// The unit that is written is the one that the figure is in.
    Unit,
    /// The heading names the device that was asked for.
    Heading,
    /// A device that is not there ends in an error that names it.
    WrongDevice,
    /// What is missing or fails is named in a text or an error.
    MissingSaid,
    /// A request that memory is too short for ends in `OutOfMemoryError`.
    Refusal,
    /// Its text names every process that NVML names, with its bytes.
    Named,
    /// The process goes on, and allocates and frees as before.
    Alive,
}

/// A promise that was broken, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BrokenPromise {
    /// Which.
    pub promise: Promise,
    /// What is there instead.
    pub what: String,
}

/// One row, and what it came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MonitoringRow {
    /// `group/situation`.
    pub id: String,
    /// The device of CUDA's that it is about, if it is about one.
    #[serde(default)]
    pub device: Option<u32>,
    /// What was asked.
    pub call: String,
    /// What is promised.
    pub promises: Vec<Promise>,
    /// What came.
    pub answered: String,
    /// What NVML, or its stand-in, says at the same time: processes and their bytes, where it tells them, the first few.
    #[serde(default)]
    pub nvml: Option<Vec<(u32, Option<u64>)>>,
    /// How many it names.
    #[serde(default)]
    pub nvml_count: u64,
    /// Processes that hold memory of the device and are not among those that NVML names.
    #[serde(default)]
    pub unlisted: Vec<u32>,
    /// How it ended.
    pub outcome: RowOutcome,
    /// Why it was not judged, or how its process ended: a code, or a text.
    #[serde(default)]
    pub why: Option<String>,
    /// The promises that were broken.
    #[serde(default)]
    pub broken: Vec<BrokenPromise>,
    /// Why that was expected, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<Text>,
}

impl MonitoringRow {
    /// Whether it was broken and nobody expected it to be.
    #[must_use]
    pub fn is_news(&self) -> bool {
        self.outcome.is_failure() && self.known.is_none()
    }
}

/// What one call costs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cost {
    /// The device of CUDA's.
    pub device: u32,
    /// Which call.
    pub call: String,
    /// Blocks that were live meanwhile.
    pub live_blocks: u64,
    /// Nanoseconds a call, the median of the runs; none where it failed.
    pub ns: Option<f64>,
    /// The same of each run.
    pub runs: Vec<f64>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl Cost {
    /// How the worker calls the allocation that the others are held against.
    pub const ALLOCATION: &'static str = "torch.empty + free";
}

/// A figure that tells how much memory is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Figure {
    /// NVML's used bytes of the device.
    NvmlDevice,
    /// NVML's bytes of the process.
    NvmlProcess,
    /// What `mem_get_info` says is not free.
    MemGetInfo,
    /// `memory_reserved`, read in the process itself.
    MemoryReserved,
}

impl Figure {
    /// All, in the order of records.
    pub const ALL: [Figure; 4] = [Figure::NvmlDevice, Figure::NvmlProcess, Figure::MemGetInfo, Figure::MemoryReserved];
}

/// How one figure follows memory that changes at one rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Delay {
    /// The device of CUDA's.
    pub device: u32,
    /// Which figure was read.
    pub figure: Figure,
    /// Changes a second that were asked for.
    pub rate: u32,
    /// Changes a second that came about.
    pub made_rate: f64,
    /// Changes that were made.
    pub changes: u64,
    /// Those that a reading showed before the same level came again.
    pub seen: u64,
    /// Readings in all.
    pub readings: u64,
    /// What a reading takes, the median: no delay can be told more finely.
    pub reading_ns: u64,
    /// From the return of the call that changed memory to the end of the first reading that shows it, over those seen.
    pub delay_median_ns: Option<u64>,
    /// The delay that 95 of 100 do not exceed.
    pub delay_p95_ns: Option<u64>,
    /// How far a reading is off at its end, on average.
    pub error_bytes: Option<f64>,
    /// The most that one is.
    pub error_worst_bytes: Option<u64>,
}

/// What could not be measured, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Missing {
    /// A part, or the name of a figure.
    pub part: String,
    /// The device, if it is about one; a part that is about none did not come to its end.
    pub device: Option<u32>,
    /// In whoever's words refused.
    pub why: String,
}

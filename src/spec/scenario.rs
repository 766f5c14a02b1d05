//! A scenario that cannot be wrong: what `spec` makes of a YAML document.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use crate::op::{Capability, Combination, DeviceCall, DeviceId, Milestone, Names, OracleName, Step, Text};
use crate::requirement::{RequirementId, Severity};

/// One YAML document, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// `area::name`, with the area of its requirement in small letters: `frac::out-of-range`.
    pub id: String,
    /// The file it came from, as given.
    pub file: String,
    /// The promise that it is about.
    pub requirement: RequirementId,
    /// What it says of itself.
    pub title: Text,
    /// That of its promise, or worse.
    pub severity: Severity,
    /// Days that mending a violation usually takes.
    pub effort_days: f64,
    /// What a target must have for it.
    pub requires: BTreeSet<Capability>,
    /// How many devices a world of this scenario has; worlds take turns over the range.
    pub devices: RangeInclusive<u8>,
    /// The capacity of each simulated device, cycled if shorter than the devices.
    pub device_bytes: Vec<u64>,
    /// Streams a device has, the default one included.
    pub streams: u8,
    /// Settings that the allocator starts with.
    pub config: Option<String>,
    /// Who judges.
    pub oracles: BTreeSet<OracleName>,
    /// Situations without which a sequence shows nothing.
    pub must_reach: BTreeSet<Milestone>,
    /// Values of a step's state that must have come together, for the same reason.
    pub must_combine: Vec<Combination>,
    /// Whether the steps hold only in the world asked for.
    pub exact_world: bool,
    /// Whether the closing operations (free all, wait, empty the cache) follow each sequence.
    pub epilogue: bool,
    /// What is asked.
    pub body: Body,
}

/// Where sequences come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// Explicit steps; one variant for each value of `for_each`, or a single one.
    Steps(Vec<Variant>),
    /// Drawn ones.
    Generate(Generate),
}

/// One sequence of explicit steps.
#[derive(Debug, Clone, PartialEq)]
pub struct Variant {
    /// `fraction = NaN`; empty without `for_each`.
    pub label: String,
    /// With 1 B or 0 wherever `shares` has a part of a device.
    pub steps: Vec<Step>,
    /// What the author calls the blocks of these steps.
    pub names: Names,
    /// Where the steps hold parts of a device.
    pub shares: Vec<Shared>,
}

/// A part of a device.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share {
    /// 0.25 is a quarter; below 0 for a figure that falls.
    pub part: f64,
    /// What it is a part of.
    pub of: Whole,
}

/// What a part is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whole {
    /// What may be reserved on the device at that step: all of it, or what its memory fraction leaves.
    Limit,
    /// The whole device.
    Device,
}

/// A place in the steps that holds a part of a device.
#[derive(Debug, Clone, PartialEq)]
pub struct Shared {
    /// By position.
    pub step: usize,
    /// Where in the step.
    pub place: SharePlace,
    /// The part that goes there.
    pub share: Share,
}

/// What of a step can be a part of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "a field is what its name says")]
pub enum SharePlace {
    /// What the request asks for.
    Bytes,
    /// A figure that is expected, or its change in the step.
    Figure { device: DeviceId, name: String, change: bool, bound: Bound },
}

/// How a figure is held against a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// It must be that.
    Exactly,
    /// No less.
    AtLeast,
    /// No more.
    AtMost,
}

/// What kind of sequences to draw.
#[derive(Debug, Clone, PartialEq)]
pub struct Generate {
    /// The world of each sequence is drawn, too; else worlds take turns over the scenario's devices.
    pub world: Option<DrawnWorld>,
    /// How many; `PROPTEST_CASES` overrides.
    pub sequences: u32,
    /// Operations of a sequence, or of a round.
    pub length: RangeInclusive<u32>,
    /// Streams in use, the default one included.
    pub streams: RangeInclusive<u8>,
    /// Threads the calls come from.
    pub callers: RangeInclusive<u8>,
    /// A memory fraction set at the start so that this many bytes are allowed on each device.
    pub limit_bytes: Option<u64>,
    /// How sizes are drawn.
    pub sizes: Vec<SizeClass>,
    /// How often what is asked.
    pub weights: Weights,
    /// Faults to plant, each at a drawn moment of the sequence.
    pub faults: Vec<FaultPlan>,
    /// How often one drawn round is run, each round freeing what it asked for: feeds the growth oracle.
    /// 0 for plain sequences.
    pub cycles: u32,
    /// Fractions for `set_fraction` to draw from.
    pub fractions: Vec<f64>,
    /// Settings strings for `set_settings` to draw from; a drawn world has its own.
    pub settings: Vec<String>,
}

/// From what the world of a sequence is drawn, besides the ranges of devices, streams and callers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrawnWorld {
    /// How much a device may hold.
    pub capacity: RangeInclusive<u64>,
    /// How many settings are in force together, where the target takes any.
    pub settings: RangeInclusive<u8>,
    /// How many private pools there may be at a time.
    pub pools: RangeInclusive<u8>,
    /// In how many parts, each with a mood of its own, a sequence falls.
    pub phases: RangeInclusive<u8>,
}

/// A weighted way to draw a size in bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct SizeClass {
    /// Relative to the others.
    pub weight: u32,
    /// How a size comes about.
    pub draw: SizeDraw,
}

/// A way to draw a size in bytes.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "a field is what its name says")]
pub enum SizeDraw {
    /// Log-uniform over the inclusive range.
    LogUniform(u64, u64),
    /// One of the centres, plus or minus at most `within`.
    Around { centres: Vec<u64>, within: u64 },
    /// One of these.
    Exactly(Vec<u64>),
}

/// Relative weights of generated operations, in thousandths (a YAML weight of 0.2 is 200).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Weights {
    /// Each kind at most once.
    pub entries: Vec<(OpKind, u32)>,
}

/// The operations that can be generated.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "as in `Op`, and what is drawn otherwise by its name")]
pub enum OpKind {
    Alloc,
    AllocTensor,
    AllocZero,
    Free,
    /// Free the block asked for last / first, instead of any.
    FreeNewest,
    FreeOldest,
    FreeInvalid,
    RecordStream,
    Use,
    Occupy,
    Finish,
    /// Of two streams of a device one waits for the other, which is busy where any is.
    WaitStream,
    /// Another process comes to hold more or less of a device.
    Neighbour,
    Synchronize,
    EmptyCache,
    ResetPeak,
    ResetAccumulated,
    SetFraction,
    SetFractionInvalid,
    GetFraction,
    SetSettings,
    SetSettingsInvalid,
    /// All requests of such a sequence are tensors: these know where they came from.
    SetCaching,
    SetCurrent,
    Caller,
    Dictionary,
    Summary,
    Snapshot,
    MemoryInfo,
    BadDevice,
    PoolCreate,
    PoolEnter,
    PoolExit,
    PoolDelete,
    CaptureBegin,
    CaptureEnd,
    GraphReset,
    /// Have a device call fail: any kind, on any device, with any of its documented errors.
    Fault,
}

impl OpKind {
    /// What a target must have to be asked operations of this kind, if that is anything.
    #[must_use]
    pub fn needs(self) -> Option<Capability> {
        use Capability as C;
        Some(match self {
            OpKind::Alloc
            | OpKind::AllocZero
            | OpKind::Free
            | OpKind::FreeNewest
            | OpKind::FreeOldest
            | OpKind::Synchronize
            | OpKind::BadDevice => return None,
            OpKind::AllocTensor => C::Tensors,
            OpKind::FreeInvalid => C::RawFree,
            OpKind::RecordStream => C::RecordStream,
            OpKind::Use => C::Contents,
            OpKind::Occupy | OpKind::Finish | OpKind::WaitStream => C::StreamControl,
            OpKind::Neighbour => C::Neighbours,
            OpKind::EmptyCache => C::EmptyCache,
            OpKind::ResetPeak => C::PeakReset,
            OpKind::ResetAccumulated => C::AccumulatedReset,
            OpKind::SetFraction | OpKind::SetFractionInvalid | OpKind::GetFraction => C::MemoryFraction,
            OpKind::SetSettings | OpKind::SetSettingsInvalid => C::SettingsChange,
            OpKind::SetCaching => C::CachingSwitch,
            OpKind::SetCurrent => C::CurrentDevice,
            OpKind::Caller => C::Callers,
            OpKind::Dictionary => C::Dictionary,
            OpKind::Summary => C::Summary,
            OpKind::Snapshot => C::Snapshot,
            OpKind::MemoryInfo => C::MemoryInfo,
            OpKind::PoolCreate | OpKind::PoolEnter | OpKind::PoolExit | OpKind::PoolDelete => C::PrivatePools,
            OpKind::CaptureBegin | OpKind::CaptureEnd | OpKind::GraphReset => C::GraphCapture,
            OpKind::Fault => C::Faults,
        })
    }
}

/// A device call to fail, once for each plan and sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultPlan {
    /// The kind of call.
    pub call: DeviceCall,
    /// Which one.
    pub when: FaultWhen,
}

/// Which call of a kind fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultWhen {
    /// At a moment drawn from the seed.
    Seeded,
    /// Every so many calls of the kind.
    Every(u32),
}

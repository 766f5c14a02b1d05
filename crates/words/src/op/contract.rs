//! What a target says of itself: its devices, what it can be asked, and the promises that differ between allocators.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use super::growth::Growth;
use super::stats::{Column, Family};

/// One allocator's policy in one version: what holds of it need not hold of the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Policy {
    /// `CUDACachingAllocator` of PyTorch 2.11.
    Pytorch2_11,
}

impl Policy {
    /// Every policy that somebody here knows.
    pub const ALL: &'static [Policy] = &[Policy::Pytorch2_11];

    /// As it is written behind `policy:`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Policy::Pytorch2_11 => "pytorch-2.11",
        }
    }
}

/// One thing a target can be asked. Written as in scenario files: `record_stream`, `stats:segment`, `devices:2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the operation or the figures of that name")]
pub enum Capability {
    /// Streams beside the default one.
    Streams,
    RecordStream,
    /// Streams can be kept busy and released by command.
    StreamControl,
    MemoryFraction,
    EmptyCache,
    PeakReset,
    AccumulatedReset,
    /// One family of statistics: every column, as a whole and by pool.
    Stats(Family),
    /// One column of a family, of both pools together: `stats:allocated_bytes.peak`. A target that shows no more lists it.
    Figure(Family, Column),
    /// The event counters (`num_ooms` and its like).
    Counters,
    Summary,
    Dictionary,
    Snapshot,
    /// A pointer that is not a live block can be offered for freeing.
    RawFree,
    /// Blocks can be written and read back.
    Contents,
    /// Lack of memory is told apart from other refusals.
    OomTyped,
    /// The device's own free and total figures.
    MemoryInfo,
    /// What the driver and its management library say of the whole device is seen after every operation.
    Nvml,
    /// Device calls can be made to fail.
    Faults,
    /// Another process can be made to hold memory of a device.
    Neighbours,
    /// The current device can be changed, and operations may leave the device out.
    CurrentDevice,
    /// Calls can come from several threads.
    Callers,
    /// Allocations can go through the framework's tensors.
    Tensors,
    /// Private pools can be made, entered, left and deleted (`MemPool`, `use_mem_pool`).
    PrivatePools,
    /// Streams can capture graphs, and the allocator knows of it.
    GraphCapture,
    /// A freed block is kept and serves later requests, until the cache is emptied.
    Caching,
    /// The cache can be switched off and on between any two operations.
    CachingSwitch,
    /// What is cached stays so until the cache is emptied or a request needs the room.
    KeepsCached,
    /// A cached block of any size may be cut to serve a smaller request.
    CutsAnyBlock,
    /// Free neighbours become one block as soon as both are free.
    MergesAtFree,
    /// Small requests are served from memory of their own, and counted apart.
    SmallPool,
    /// Memory comes from the device in segments of fixed size, and not page by page.
    FixedSegments,
    /// Freeing a block that recorded streams still use does not wait for them.
    DeferredFree,
    /// Sizes, segments and the choice of free blocks are those of this policy under the settings in force.
    Policy(Policy),
    /// Everything it does is what its policy says, under whatever settings are in force.
    ExactPolicy,
    /// Settings can be given before the first operation, as PyTorch writes them.
    Settings,
    /// Settings can be changed between any two operations, too.
    SettingsChange,
    /// Devices of any number and size cost nothing, and do only what they are asked.
    Simulated,
    /// A fresh target that is asked the same gives the same answers, so that two runs can be compared.
    Repeatable,
    /// What is done to each device can be told, event by event.
    DeviceEvents,
    /// Calls that make no sense to a device are told: what is freed, unmapped or released and is not there.
    DeviceLedger,
    /// At least this many devices.
    Devices(u8),
}

impl Capability {
    const PLAIN: &'static [(Capability, &'static str)] = &[
        (Capability::Streams, "streams"),
        (Capability::RecordStream, "record_stream"),
        (Capability::StreamControl, "stream_control"),
        (Capability::MemoryFraction, "memory_fraction"),
        (Capability::EmptyCache, "empty_cache"),
        (Capability::PeakReset, "peak_reset"),
        (Capability::AccumulatedReset, "accumulated_reset"),
        (Capability::Counters, "counters"),
        (Capability::Summary, "summary"),
        (Capability::Dictionary, "dictionary"),
        (Capability::Snapshot, "snapshot"),
        (Capability::RawFree, "raw_free"),
        (Capability::Contents, "contents"),
        (Capability::OomTyped, "oom_typed"),
        (Capability::MemoryInfo, "memory_info"),
        (Capability::Nvml, "nvml"),
        (Capability::Faults, "faults"),
        (Capability::Neighbours, "neighbours"),
        (Capability::CurrentDevice, "current_device"),
        (Capability::Callers, "callers"),
        (Capability::Tensors, "tensors"),
        (Capability::PrivatePools, "private_pools"),
        (Capability::GraphCapture, "graph_capture"),
        (Capability::Caching, "caching"),
        (Capability::CachingSwitch, "caching_switch"),
        (Capability::KeepsCached, "keeps_cached"),
        (Capability::CutsAnyBlock, "cuts_any_block"),
        (Capability::MergesAtFree, "merges_at_free"),
        (Capability::SmallPool, "small_pool"),
        (Capability::FixedSegments, "fixed_segments"),
        (Capability::DeferredFree, "deferred_free"),
        (Capability::ExactPolicy, "exact_policy"),
        (Capability::Settings, "settings"),
        (Capability::SettingsChange, "settings_change"),
        (Capability::Simulated, "simulated"),
        (Capability::Repeatable, "repeatable"),
        (Capability::DeviceEvents, "device_events"),
        (Capability::DeviceLedger, "device_ledger"),
    ];

    /// Every name that `from_str` reads, for hints and for the published schema.
    #[must_use]
    pub fn names() -> Vec<String> {
        let plain = Self::PLAIN.iter().map(|(capability, _)| *capability);
        let stats = Family::ALL.iter().map(|&family| Capability::Stats(family));
        let figures =
            Family::ALL.iter().flat_map(|&family| Column::ALL.iter().map(move |&c| Capability::Figure(family, c)));
        let devices = (1..=8).map(Capability::Devices);
        let policies = Policy::ALL.iter().map(|&policy| Capability::Policy(policy));
        plain.chain(policies).chain(stats).chain(figures).chain(devices).map(|c| c.to_string()).collect()
    }

    /// Whether who has this has `other` too: a family has each of its columns.
    #[must_use]
    pub fn covers(self, other: Capability) -> bool {
        self == other || matches!((self, other), (Capability::Stats(one), Capability::Figure(two, _)) if one == two)
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Capability::Stats(family) => write!(f, "stats:{}", family.name()),
            Capability::Figure(family, column) => write!(f, "stats:{}.{}", family.name(), column.name()),
            Capability::Devices(count) => write!(f, "devices:{count}"),
            Capability::Policy(policy) => write!(f, "policy:{}", policy.name()),
            plain => f.write_str(Self::PLAIN.iter().find(|(c, _)| c == plain).map_or("", |(_, name)| name)),
        }
    }
}

/// A word that names no capability.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is not a capability")]
pub struct UnknownCapability {
    /// The word.
    pub name: String,
}

impl FromStr for Capability {
    type Err = UnknownCapability;

    fn from_str(name: &str) -> Result<Self, UnknownCapability> {
        let unknown = || UnknownCapability { name: name.to_owned() };
        if let Some((capability, _)) = Self::PLAIN.iter().find(|(_, n)| *n == name) {
            return Ok(*capability);
        }
        match name.split_once(':') {
            // As records and recordings before policies had versions.
            None if name == "pytorch_policy" => Ok(Capability::Policy(Policy::Pytorch2_11)),
            Some(("policy", what)) => {
                let policy = Policy::ALL.iter().find(|policy| policy.name() == what).ok_or_else(unknown)?;
                Ok(Capability::Policy(*policy))
            }
            Some(("stats", what)) => {
                let (family, column) = what.split_once('.').map_or((what, None), |(family, c)| (family, Some(c)));
                let family = *Family::ALL.iter().find(|f| f.name() == family).ok_or_else(unknown)?;
                let Some(column) = column else { return Ok(Capability::Stats(family)) };
                let column = *Column::ALL.iter().find(|c| c.name() == column).ok_or_else(unknown)?;
                Ok(Capability::Figure(family, column))
            }
            Some(("devices", count)) => count.parse().map(Capability::Devices).map_err(|_| unknown()),
            _ => Err(unknown()),
        }
    }
}

impl Serialize for Capability {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Capability {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = Cow::<str>::deserialize(deserializer)?;
        name.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Capability {
    fn schema_name() -> Cow<'static, str> {
        "Capability".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "examples": Capability::names() })
    }
}

/// A device of a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeviceInfo {
    /// What the driver or the simulation calls it.
    pub name: String,
    /// Its size in bytes.
    pub total_bytes: u64,
    /// What may be reserved on it from the start, where its settings begin with a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_bytes: Option<u64>,
    /// What of it nobody can be given from the start: a context's own memory, and what other processes hold.
    #[serde(default, skip_serializing_if = "is_none")]
    pub taken_bytes: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_none(bytes: &u64) -> bool {
    *bytes == 0
}

impl DeviceInfo {
    /// A device without a limit.
    #[must_use]
    pub fn whole(name: impl Into<String>, total_bytes: u64) -> Self {
        DeviceInfo { name: name.into(), total_bytes, limit_bytes: None, taken_bytes: 0 }
    }

    /// What may be reserved on it from the start.
    #[must_use]
    pub fn room(&self) -> u64 {
        self.limit_bytes.map_or(self.total_bytes, |limit| limit.min(self.total_bytes))
    }
}

/// The most that may be reserved under a fraction; `None` for 1, which is no limit at all.
#[must_use]
pub fn limit_bytes(fraction: f64, total: u64) -> Option<u64> {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a double product, truncated, is how the limit is defined"
    )]
    (fraction < 1.0).then_some((fraction * total as f64) as u64)
}

/// The promises that differ between allocators; everything else the model owes to all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Contract {
    /// Every address is a multiple of this.
    pub alignment: u64,
    /// How much a request may take from the device.
    pub growth: Growth,
    /// Segments are counted (`segment.*`): not so where memory is mapped page by page.
    pub counts_segments: bool,
    /// Tensor requests of this size or more never reach the allocator and move no counter.
    pub tensor_limit: Option<u64>,
}

/// What runs under a target's name, as far as it can tell.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Versions {
    /// The allocator's own version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocator: Option<String>,
    /// The driver's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
}

impl Versions {
    /// Nothing is known.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        *self == Versions::default()
    }
}

/// What a target says of itself before the first operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TargetInfo {
    /// Its name as it was opened, options included.
    pub name: String,
    /// By position.
    pub devices: Vec<DeviceInfo>,
    /// Streams a device has, the default one included.
    pub streams: u8,
    /// What can be asked of it, or seen.
    pub capabilities: BTreeSet<Capability>,
    /// What it promises otherwise than others.
    pub contract: Contract,
    /// Settings in force from the start, as PyTorch writes them; none where it takes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
}

impl TargetInfo {
    /// Whether it has this capability.
    #[must_use]
    pub fn can(&self, capability: Capability) -> bool {
        match capability {
            Capability::Devices(count) => self.devices.len() >= usize::from(count),
            Capability::Figure(family, _) => {
                self.capabilities.contains(&capability) || self.capabilities.contains(&Capability::Stats(family))
            }
            other => self.capabilities.contains(&other),
        }
    }

    /// The policies that it says it follows.
    pub fn policies(&self) -> impl Iterator<Item = Policy> {
        let policy = |capability: &Capability| match *capability {
            Capability::Policy(policy) => Some(policy),
            _ => None,
        };
        self.capabilities.iter().filter_map(policy)
    }

    /// Whether it shows how much of a family there is now.
    #[must_use]
    pub fn shows(&self, family: Family) -> bool {
        self.can(Capability::Figure(family, Column::Current))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_capability_reads_back() {
        for name in Capability::names() {
            let capability: Capability = name.parse().expect("listed names are read");
            assert_eq!(capability.to_string(), name);
        }
        assert_eq!("pytorch_policy".parse(), Ok(Capability::Policy(Policy::Pytorch2_11)), "as older records have it");
        for name in
            ["policy:pytorch-1.0", "policy:", "stat:segment", "stats:segment.", "stats:segment.now", "stats:.peak"]
        {
            assert!(name.parse::<Capability>().is_err(), "{name}");
        }
    }
}

//! What a target says of itself: its devices, what it can be asked, and the promises that differ between allocators.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::stats::Family;

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
    /// One family of statistics.
    Stats(Family),
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
    /// Sizes, segments and the choice of free blocks are PyTorch's under the settings in force.
    PytorchPolicy,
    /// Everything it does is what PyTorch's allocator would do, under whatever settings are in force.
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
        (Capability::PytorchPolicy, "pytorch_policy"),
        (Capability::ExactPolicy, "exact_policy"),
        (Capability::Settings, "settings"),
        (Capability::SettingsChange, "settings_change"),
        (Capability::Simulated, "simulated"),
        (Capability::Repeatable, "repeatable"),
        (Capability::DeviceEvents, "device_events"),
    ];

    /// Every name that `from_str` reads, for hints and for the published schema.
    #[must_use]
    pub fn names() -> Vec<String> {
        let plain = Self::PLAIN.iter().map(|(_, name)| (*name).to_owned());
        let stats = Family::ALL.iter().map(|f| format!("stats:{}", f.name()));
        plain.chain(stats).chain((1..=8).map(|n| format!("devices:{n}"))).collect()
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Capability::Stats(family) => write!(f, "stats:{}", family.name()),
            Capability::Devices(count) => write!(f, "devices:{count}"),
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
            Some(("stats", family)) => {
                let family = Family::ALL.iter().find(|f| f.name() == family).ok_or_else(unknown)?;
                Ok(Capability::Stats(*family))
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
}

impl DeviceInfo {
    /// A device without a limit.
    #[must_use]
    pub fn whole(name: impl Into<String>, total_bytes: u64) -> Self {
        DeviceInfo { name: name.into(), total_bytes, limit_bytes: None }
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

/// How much more than asked an allocator may take from the device to serve a request: for `n` bytes at
/// most `max(least, round_up(n * numerator / denominator, granule))`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Growth {
    /// So much may be taken for any request.
    pub least: u64,
    /// What is taken is a multiple of this.
    pub granule: u64,
    /// Requests may grow by this over `denominator` before they are rounded up.
    pub numerator: u64,
    /// See `numerator`.
    pub denominator: u64,
}

impl Growth {
    /// The most that may be taken to serve `bytes`, saturating.
    #[must_use]
    pub fn at_most(&self, bytes: u64) -> u64 {
        self.rounded(bytes).max(self.least)
    }

    /// The most that `bytes` may be rounded to, saturating.
    #[must_use]
    pub fn rounded(&self, bytes: u64) -> u64 {
        // Most contracts scale nothing, and most requests are far from the end of the figures: no wide division then.
        let scales = self.numerator != self.denominator || self.denominator == 0;
        if let Some(rounded) = bytes.checked_next_multiple_of(self.granule.max(1)).filter(|_| !scales) {
            return rounded;
        }
        let scaled = u128::from(bytes) * u128::from(self.numerator) / u128::from(self.denominator.max(1));
        let rounded = scaled.div_ceil(u128::from(self.granule.max(1))) * u128::from(self.granule.max(1));
        u64::try_from(rounded).unwrap_or(u64::MAX)
    }

    /// The largest request that takes no more than `room`; `None` where even the smallest may.
    #[must_use]
    pub fn fits(&self, room: u64) -> Option<u64> {
        let whole = u128::from(room - room % self.granule.max(1));
        let bytes = whole * u128::from(self.denominator.max(1)) / u128::from(self.numerator.max(1));
        let bytes = u64::try_from(bytes).unwrap_or(room).min(room);
        (bytes > 0 && self.at_most(bytes) <= room).then_some(bytes)
    }

    /// Whether it promises no less than segments of 20 MiB and whole pieces of 2 MiB, which steps may count on that
    /// say nothing else.
    #[must_use]
    pub fn is_ordinary(&self) -> bool {
        self.least <= 20 << 20 && self.granule <= 2 << 20 && self.numerator <= self.denominator
    }
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
            other => self.capabilities.contains(&other),
        }
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
        assert!("stat:segment".parse::<Capability>().is_err());
    }

    #[test]
    fn growth_is_the_larger_of_least_and_rounded() {
        let growth = Growth { least: 20 << 20, granule: 2 << 20, numerator: 1, denominator: 1 };
        assert_eq!(growth.at_most(1), 20 << 20);
        assert_eq!(growth.at_most((30 << 20) + 1), 32 << 20);
        assert_eq!(growth.at_most(u64::MAX), u64::MAX);
    }

    #[test]
    fn what_fits_takes_no_more_and_a_byte_more_does() {
        let plain = Growth { least: 20 << 20, granule: 2 << 20, numerator: 1, denominator: 1 };
        let pages = Growth { granule: 20 << 20, ..plain };
        let divided = Growth { numerator: 5, denominator: 4, ..plain };
        for (growth, bytes) in [(plain, 64 << 20), (pages, 60 << 20), (divided, 53_687_091)] {
            assert_eq!(growth.fits(64 << 20), Some(bytes));
            assert!(growth.at_most(bytes) <= 64 << 20 && growth.at_most(bytes + 1) > 64 << 20);
        }
        assert_eq!(plain.fits((20 << 20) - 1), None);
        assert_eq!(plain.fits(u64::MAX), Some(u64::MAX - u64::MAX % (2 << 20)));
    }
}

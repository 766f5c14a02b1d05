//! Steps as written: one operation a step, an expectation, or both.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::pool::{PoolOnDevice, RawCapture, RawPoolCreate};
use super::{Either, Extent, Fraction, Name, RawExpect, Size, Slot, present};
use crate::op::{DeviceCall, FaultError, Via};
use crate::spec::error::Complaint;

/// Writes the fields of a step, what they hold, and the way from one to the other.
macro_rules! operations {
    ($($(#[$doc:meta])* $key:ident, $name:literal, $variant:ident($type:ty);)+) => {
        /// One step: one operation, `expect`, or both.
        #[derive(Debug, Default, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, default, expecting = "a step such as `alloc: { block: a, bytes: 1MiB }`")]
        struct StepFields {
            $($(#[$doc])*
            #[serde(rename = $name, deserialize_with = "present")]
            $key: Option<$type>,)+
            /// What must hold after the operation, or at this point if there is none.
            expect: Option<RawExpect>,
        }

        /// What a step asks.
        #[derive(Debug)]
        pub enum RawOp { $($variant($type)),+ }

        impl From<StepFields> for RawStep {
            fn from(fields: StepFields) -> Self {
                let mut operations = Vec::new();
                $(if let Some(given) = fields.$key { operations.push(($name, RawOp::$variant(given))); })+
                RawStep { operations: operations.into_boxed_slice(), expect: fields.expect.map(Box::new) }
            }
        }
    };
}

operations! {
    /// Ask for memory.
    alloc, "alloc", Alloc(RawAlloc);
    /// Give a block back: `free: a`.
    free, "free", Free(BlockArgument);
    /// Give back a pointer that is no live block: `null`, `{ interior: { block: a, offset: 8 } }`, `{ freed: a }`,
    /// `{ wild: 4096 }`.
    free_pointer, "free_pointer", FreePointer(WrittenPointer);
    /// Tell the allocator that a stream uses the block.
    record_stream, "record_stream", RecordStream(BlockOnStream);
    /// Work on a stream that rewrites the block.
    use_block, "use", Use(BlockOnStream);
    /// Keep a stream busy.
    occupy, "occupy", Occupy(DeviceStream);
    /// Let the work that keeps a stream busy end.
    finish, "finish", Finish(DeviceStream);
    /// Have what is enqueued on a stream from now on wait for what is enqueued on another one now.
    wait_stream, "wait_stream", WaitStream(RawWaitStream);
    /// Another process holds that much of a device from now on: `neighbour: { device: 0, bytes: 1GiB }`; 0 gives all back.
    neighbour, "neighbour", Neighbour(RawNeighbour);
    /// Wait for a device.
    synchronize, "synchronize", Synchronize(DeviceArgument);
    /// Give cached memory back, on every device.
    empty_cache, "empty_cache", EmptyCache(Nothing);
    /// Peaks become the current values.
    reset_peak, "reset_peak", ResetPeak(DeviceArgument);
    /// Accumulated figures become 0.
    reset_accumulated, "reset_accumulated", ResetAccumulated(DeviceArgument);
    /// Set the memory fraction.
    set_fraction, "set_fraction", SetFraction(RawSetFraction);
    /// Read the memory fraction: `get_fraction: { device: 0 }`, or of the current device without one.
    get_fraction, "get_fraction", GetFraction(OptionalDevice);
    /// Put a settings string in force: `set_settings: "max_split_size_mb:64"`.
    set_settings, "set_settings", SetSettings(Slot<String>);
    /// Switch the cache: `set_caching: false`.
    set_caching, "set_caching", SetCaching(Slot<bool>);
    /// Change the caller's current device.
    set_current, "set_current", SetCurrent(DeviceArgument);
    /// From here on another thread calls.
    caller, "caller", Caller(Either<Slot<u8>, RawCaller>);
    /// Read the statistics as a dictionary.
    dictionary, "dictionary", Dictionary(DeviceArgument);
    /// Read the table: `summary: { device: 0, abbreviated: true }`.
    summary, "summary", Summary(RawSummary);
    /// Read segments and blocks.
    snapshot, "snapshot", Snapshot(Nothing);
    /// Read the device's own free and total figures.
    memory_info, "memory_info", MemoryInfo(DeviceArgument);
    /// Make a device call fail, after `skip` more that succeed.
    fault, "fault", Fault(RawFaultStep);
    /// A round of a steady workload ended.
    cycle_end, "cycle_end", CycleEnd(Nothing);
    /// Make a private pool (`MemPool`).
    pool_create, "pool_create", PoolCreate(RawPoolCreate);
    /// What this caller asks for on the device comes from the pool from here on (`use_mem_pool`).
    pool_enter, "pool_enter", PoolEnter(PoolOnDevice);
    /// No more.
    pool_exit, "pool_exit", PoolExit(PoolOnDevice);
    /// The last reference to the pool is gone: `pool_delete: p`.
    pool_delete, "pool_delete", PoolDelete(Name);
    /// A stream begins to capture a graph.
    capture_begin, "capture_begin", CaptureBegin(RawCapture);
    /// It ends: `capture_end: g`.
    capture_end, "capture_end", CaptureEnd(Name);
    /// The graph is gone: `graph_reset: g`.
    graph_reset, "graph_reset", GraphReset(Name);
    /// The same steps several times; blocks asked for inside are new ones each time.
    repeat, "repeat", Repeat(Repeat);
}

/// A step: a mapping, or the bare name of an operation that needs nothing more. A file may hold hundreds of
/// thousands, so that only what was given is kept.
#[derive(Debug)]
pub struct RawStep {
    /// Every operation given, with its key. A right step has one at most.
    pub operations: Box<[(&'static str, RawOp)]>,
    pub expect: Option<Box<RawExpect>>,
}

const BARE: &[&str] = &["empty_cache", "snapshot", "cycle_end"];

struct StepVisitor;

impl<'de> Visitor<'de> for StepVisitor {
    type Value = RawStep;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a step such as `alloc: { block: a, bytes: 1MiB }`")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawStep, A::Error> {
        StepFields::deserialize(MapAccessDeserializer::new(map)).map(RawStep::from)
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<RawStep, E> {
        let mut fields = StepFields::default();
        match name {
            "empty_cache" => fields.empty_cache = Some(Nothing {}),
            "snapshot" => fields.snapshot = Some(Nothing {}),
            "cycle_end" => fields.cycle_end = Some(Nothing {}),
            _ => {
                let complaint = Complaint::new(format!("`{name}` is no step by itself"));
                let hint = format!("by themselves: {}; others take values: `alloc: {{ ... }}`", BARE.join(", "));
                let with_more = name.split_whitespace().next().filter(|word| BARE.contains(word) && *word != name);
                let hint = with_more.map_or(hint, |word| format!("a step with more to it wants a colon: `- {word}:`"));
                return Err(complaint.hint(hint).near(name, BARE.iter().copied()).raise());
            }
        }
        Ok(RawStep::from(fields))
    }
}

impl<'de> Deserialize<'de> for RawStep {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StepVisitor)
    }
}

impl JsonSchema for RawStep {
    fn schema_name() -> Cow<'static, str> {
        "Step".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let fields = generator.subschema_for::<StepFields>();
        json_schema!({ "anyOf": [fields, { "enum": BARE }] })
    }
}

/// Nothing more to say: an empty mapping, or no value at all.
#[derive(Debug, Clone, Copy, Default, JsonSchema)]
pub struct Nothing {}

struct NothingVisitor;

impl<'de> Visitor<'de> for NothingVisitor {
    type Value = Nothing;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing: this operation takes no values")
    }

    fn visit_unit<E: Error>(self) -> Result<Nothing, E> {
        Ok(Nothing {})
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Nothing, A::Error> {
        match map.next_key::<String>()? {
            None => Ok(Nothing {}),
            Some(key) => Err(Complaint::new(format!("unknown key `{key}`: this operation takes no values")).raise()),
        }
    }
}

impl<'de> Deserialize<'de> for Nothing {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NothingVisitor)
    }
}

/// A block by name, bare or under `block`.
pub type BlockArgument = Either<Name, ByBlock>;
/// A device, bare or under `device`.
pub type DeviceArgument = Either<Slot<i32>, ByDevice>;

/// A block by name.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a block, or { block: name }")]
pub struct ByBlock {
    pub block: Name,
}

/// A device by number.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a device, or { device: 0 }")]
pub struct ByDevice {
    pub device: Slot<i32>,
}

/// A caller by number.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a caller, or { caller: 0 }")]
pub struct RawCaller {
    pub caller: Slot<u8>,
}

/// A device by number; without it the caller's current one.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, expecting = "{ device: 0 }, or {} for the current device")]
pub struct OptionalDevice {
    pub device: Option<Slot<i32>>,
}

/// A request for memory.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "{ block: a, device: 0, stream: 0, bytes: 1MiB, via: raw }")]
pub struct RawAlloc {
    /// What the block is called from here on.
    pub block: Name,
    /// The caller's current device unless given.
    #[serde(default)]
    pub device: Option<Slot<i32>>,
    /// The default stream unless given.
    #[serde(default)]
    pub stream: Option<Slot<u8>>,
    pub bytes: Slot<Extent>,
    /// `raw` unless given.
    #[serde(default)]
    pub via: Option<Slot<Via>>,
}

/// A block and a stream of its device.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "{ block: a, stream: 1 }")]
pub struct BlockOnStream {
    pub block: Name,
    pub stream: Slot<u8>,
}

/// A device and one of its streams.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "{ device: 0, stream: 1 }")]
pub struct DeviceStream {
    pub device: Slot<i32>,
    pub stream: Slot<u8>,
}

/// A stream of a device that waits for another one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "{ device: 0, stream: 1, on: 2 }")]
pub struct RawWaitStream {
    pub device: Slot<i32>,
    /// Who waits.
    pub stream: Slot<u8>,
    /// For whom.
    pub on: Slot<u8>,
}

/// What another process holds of a device.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "{ device: 0, bytes: 1GiB }")]
pub struct RawNeighbour {
    pub device: Slot<i32>,
    /// In all: not so much more.
    pub bytes: Slot<Extent>,
}

/// A new memory fraction.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "{ device: 0, to: 0.5 }")]
pub struct RawSetFraction {
    /// The caller's current device unless given.
    #[serde(default)]
    pub device: Option<Slot<i32>>,
    pub to: Slot<Fraction>,
}

/// Which table to read.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "{ device: 0, abbreviated: false }")]
pub struct RawSummary {
    pub device: Slot<i32>,
    #[serde(default)]
    pub abbreviated: bool,
}

/// A device call to fail.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "{ device: 0, call: reserve, skip: 0 }")]
pub struct RawFaultStep {
    pub device: Slot<i32>,
    pub call: Slot<DeviceCall>,
    #[serde(default)]
    pub skip: Option<Slot<u32>>,
    #[serde(default)]
    pub error: Option<Slot<FaultError>>,
}

/// Steps to run several times.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "{ times: 100, steps: [...] }")]
pub struct Repeat {
    pub times: Slot<u32>,
    pub steps: Vec<RawStep>,
}

/// `null`, or a pointer derived from a block or made up.
pub type WrittenPointer = Either<NullWord, RawPointer>;

/// The null pointer.
#[derive(Debug, Clone, Copy, JsonSchema)]
pub struct NullWord;

struct NullVisitor;

impl Visitor<'_> for NullVisitor {
    type Value = NullWord;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("null, { interior: ... }, { freed: block } or { wild: address }")
    }

    fn visit_unit<E: Error>(self) -> Result<NullWord, E> {
        Ok(NullWord)
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<NullWord, E> {
        if word == "null" { Ok(NullWord) } else { Err(E::unknown_variant(word, &["null"])) }
    }
}

impl<'de> Deserialize<'de> for NullWord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NullVisitor)
    }
}

/// A pointer that is no live block: exactly one of the three.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "{ interior: ... }, { freed: block } or { wild: address }")]
pub struct RawPointer {
    /// So many bytes into a live block.
    #[serde(default)]
    pub interior: Option<Interior>,
    /// Where a block was before it was freed.
    #[serde(default)]
    pub freed: Option<Name>,
    /// An address that was never handed out.
    #[serde(default)]
    pub wild: Option<Slot<Size>>,
}

/// Bytes into a live block.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "{ block: a, offset: 512 }")]
pub struct Interior {
    pub block: Name,
    pub offset: Slot<Size>,
}

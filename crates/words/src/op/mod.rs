//! Floor 0, the words: what may be asked of an allocator, and what may be answered.
//!
//! Decides the vocabulary that every other room shares. Does not decide what an answer *should* be:
//! that is said twice, in `reference` (one exact policy) and in `model` (what any policy owes).

pub mod combination;
pub mod contract;
pub mod corruption;
pub mod exclusion;
pub mod fault;
pub mod growth;
pub mod milestone;
mod misuse;
mod names;
pub mod observable;
pub mod observation;
pub mod oracle_name;
mod parts;
mod place;
mod pools;
pub mod reply;
pub mod settings;
pub mod size;
pub mod snapshot;
pub mod state;
pub mod stats;
pub mod step;
pub mod text;
pub mod together;
pub mod trace;
mod wire;
pub mod wording;

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use combination::Combination;
pub use contract::{Capability, Contract, DeviceInfo, Policy, TargetInfo, Versions};
pub use fault::FaultError;
pub use growth::Growth;
pub use milestone::Milestone;
pub use misuse::Misuse;
pub use names::Names;
pub use observation::{Baseline, Company, DeviceView, NvmlMemory, NvmlView, Observation};
pub use oracle_name::OracleName;
pub use parts::Parts;
pub use place::DeviceSlot;
pub use pools::{GraphName, PoolName, PoolSource};
pub use reply::{ContentsReport, Drop, MemoryInfo, Refusal, RefusalClass, Reply};
pub use state::{Dimension, State, Value};
pub use stats::{Counter, Family, PoolKind, Stat, Stats};
pub use step::{Expect, Setup, Step};
pub use text::Text;
pub use together::Together;

/// What a driver counts a device's memory in, in bytes.
pub const GRANULE: u64 = 2 << 20;
/// So many bytes of addresses a process has, for all its devices.
pub const PROCESS_ADDRESSES: u64 = 1 << 47;

/// The name of a block within one sequence. Never reused, so that deleting an operation while
/// shrinking leaves every other operation meaning what it meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct BlockId(pub u32);

impl fmt::Display for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b{}", self.0)
    }
}

/// A device as a caller names it: signed, because callers pass `-1` and `99` and must be refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct DeviceId(pub i32);

impl DeviceId {
    /// The position in a list of `count` devices, or `None` where no such device exists.
    #[must_use]
    pub fn index(self, count: usize) -> Option<usize> {
        usize::try_from(self.0).ok().filter(|&i| i < count)
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "device {}", self.0)
    }
}

/// A stream of a device by position: 0 is the default stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct StreamId(pub u8);

impl StreamId {
    /// How many streams a device may have here: `Observation` keeps one bit for each.
    pub const LIMIT: u8 = 64;
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stream {}", self.0)
    }
}

/// A pointer handed to `free` that no live block starts at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "a field is what its type says")]
pub enum Pointer {
    /// Address 0: freeing it must do nothing.
    Null,
    /// `offset` bytes into a live block.
    Interior { block: BlockId, offset: u64 },
    /// Where a block was before it was freed (a double free).
    Freed { block: BlockId },
    /// An address that no allocator of this target gave out.
    Wild { address: u64 },
}

/// Which of a target's two doors an allocation goes through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// The allocator's own call (`caching_allocator_alloc`).
    #[default]
    Raw,
    /// A framework tensor of that many bytes: sizes of 1 EB and more are refused before the allocator.
    Tensor,
}

/// The calls an allocator makes to its device, as faults and figures name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeviceCall {
    /// Takes a segment: `cudaMalloc`.
    Reserve,
    /// Gives a segment back: `cudaFree`.
    Release,
    /// Takes a range of addresses without memory: `cuMemAddressReserve`.
    ReserveAddresses,
    /// Puts memory behind a part of a range: `cuMemCreate` and `cuMemMap`.
    Map,
    /// Lets a device read and write a mapped part: `cuMemSetAccess`.
    SetAccess,
    /// Takes the memory away again: `cuMemUnmap` and `cuMemRelease`.
    Unmap,
    /// Marks a place in a stream's work: `cudaEventRecord`.
    RecordEvent,
    /// Asks whether work has come to that place: `cudaEventQuery`.
    QueryEvent,
    /// Asks what is free: `cudaMemGetInfo`.
    MemoryInfo,
}

impl DeviceCall {
    /// Every call.
    pub const ALL: [DeviceCall; 9] = [
        DeviceCall::Reserve,
        DeviceCall::Release,
        DeviceCall::ReserveAddresses,
        DeviceCall::Map,
        DeviceCall::SetAccess,
        DeviceCall::Unmap,
        DeviceCall::RecordEvent,
        DeviceCall::QueryEvent,
        DeviceCall::MemoryInfo,
    ];
}

/// One thing asked of a target. `device: None` means the caller's current device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[expect(missing_docs, reason = "a field is what its type says, and its operation says what is done with it")]
pub enum Op {
    /// Ask for `bytes` on a stream; the block that results is called `block` from here on.
    Alloc {
        block: BlockId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        device: Option<DeviceId>,
        stream: StreamId,
        bytes: u64,
        #[serde(default)]
        via: Via,
    },
    /// Give a block back.
    Free { block: BlockId },
    /// Give back a pointer that is not the start of a live block.
    FreePointer { pointer: Pointer },
    /// Tell the allocator that `stream` uses the block, so that a later free waits for it.
    RecordStream { block: BlockId, stream: StreamId },
    /// Enqueue work on `stream` that rewrites the block with its own pattern.
    Use { block: BlockId, stream: StreamId },
    /// Keep a stream busy: whatever is enqueued on it later waits.
    Occupy { device: DeviceId, stream: StreamId },
    /// The work that keeps a stream busy ends by itself.
    Finish { device: DeviceId, stream: StreamId },
    /// What is enqueued on `stream` from now on waits for what is enqueued on `on` now.
    WaitStream { device: DeviceId, stream: StreamId, on: StreamId },
    /// Another process holds `bytes` of the device from now on, or as much as is left; 0 gives all back.
    Neighbour { device: DeviceId, bytes: u64 },
    /// Wait for everything enqueued on a device.
    Synchronize { device: DeviceId },
    /// Give cached memory back to every device.
    EmptyCache,
    /// Every peak becomes the value now.
    ResetPeak { device: DeviceId },
    /// Every sum of increases or decreases becomes 0.
    ResetAccumulated { device: DeviceId },
    /// From now on at most this fraction of the device may be reserved.
    SetFraction {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        device: Option<DeviceId>,
        #[serde(with = "reply::float_text")]
        #[schemars(with = "reply::FloatText")]
        fraction: f64,
    },
    /// Read that fraction back.
    GetFraction {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        device: Option<DeviceId>,
    },
    /// From now on these settings are in force, as a settings string says them.
    SetSettings { settings: String },
    /// From now on requests go through the cache, or each to the device itself (`caching_allocator_enable`).
    SetCaching { enabled: bool },
    /// Change the current device of the calling thread.
    SetCurrent { device: DeviceId },
    /// From here on the calls come from another thread, with a current device of its own.
    Caller { caller: u8 },
    /// Read the statistics as the dictionary that a user gets.
    Dictionary { device: DeviceId },
    /// Read the table that a person gets.
    Summary { device: DeviceId, abbreviated: bool },
    /// Read segments and blocks of every device.
    Snapshot,
    /// Read what is free of a device.
    MemoryInfo { device: DeviceId },
    /// Write the block's pattern to all of its bytes, in the order of its own stream.
    Fill { block: BlockId },
    /// Read all of a block's bytes and compare them with its pattern.
    Verify { block: BlockId },
    /// From now on let `skip` device calls of this kind succeed and fail the next one.
    Fault {
        device: DeviceId,
        call: DeviceCall,
        skip: u32,
        /// Which error; without it lack of memory where memory is asked for, and an unknown error elsewhere.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<FaultError>,
    },
    /// One round of a steady workload ended: the growth oracle compares rounds.
    CycleEnd,
    /// Make a private pool (`MemPool`) on a device.
    PoolCreate {
        pool: PoolName,
        device: DeviceId,
        /// What it has cached serves requests outside of it before these are refused.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        use_on_oom: bool,
        /// Its blocks are whole segments.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        no_split: bool,
    },
    /// From here on what this caller asks for on the device comes from the pool (`use_mem_pool`).
    PoolEnter { pool: PoolName, device: DeviceId },
    /// The end of what `PoolEnter` began.
    PoolExit { pool: PoolName, device: DeviceId },
    /// The last reference to a `MemPool` is gone.
    PoolDelete { pool: PoolName },
    /// A stream begins to record a graph. What is asked for on it comes from `pool`, or from a pool of the graph's own.
    CaptureBegin {
        graph: GraphName,
        device: DeviceId,
        stream: StreamId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pool: Option<PoolSource>,
    },
    /// The graph is recorded.
    CaptureEnd { graph: GraphName },
    /// The graph is gone; so is its claim to the memory it was captured with.
    GraphReset { graph: GraphName },
}

impl Op {
    /// The operation's name, as scenario files and reports write it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Op::Alloc { .. } => "alloc",
            Op::Free { .. } => "free",
            Op::FreePointer { .. } => "free_pointer",
            Op::RecordStream { .. } => "record_stream",
            Op::Use { .. } => "use",
            Op::Occupy { .. } => "occupy",
            Op::Finish { .. } => "finish",
            Op::WaitStream { .. } => "wait_stream",
            Op::Neighbour { .. } => "neighbour",
            Op::Synchronize { .. } => "synchronize",
            Op::EmptyCache => "empty_cache",
            Op::ResetPeak { .. } => "reset_peak",
            Op::ResetAccumulated { .. } => "reset_accumulated",
            Op::SetFraction { .. } => "set_fraction",
            Op::GetFraction { .. } => "get_fraction",
            Op::SetSettings { .. } => "set_settings",
            Op::SetCaching { .. } => "set_caching",
            Op::SetCurrent { .. } => "set_current",
            Op::Caller { .. } => "caller",
            Op::Dictionary { .. } => "dictionary",
            Op::Summary { .. } => "summary",
            Op::Snapshot => "snapshot",
            Op::MemoryInfo { .. } => "memory_info",
            Op::Fill { .. } => "fill",
            Op::Verify { .. } => "verify",
            Op::Fault { .. } => "fault",
            Op::CycleEnd => "cycle_end",
            Op::PoolCreate { .. } => "pool_create",
            Op::PoolEnter { .. } => "pool_enter",
            Op::PoolExit { .. } => "pool_exit",
            Op::PoolDelete { .. } => "pool_delete",
            Op::CaptureBegin { .. } => "capture_begin",
            Op::CaptureEnd { .. } => "capture_end",
            Op::GraphReset { .. } => "graph_reset",
        }
    }

    /// The block that the operation creates or needs.
    #[must_use]
    pub fn block(&self) -> Option<BlockId> {
        match self {
            Op::Alloc { block, .. }
            | Op::Free { block }
            | Op::RecordStream { block, .. }
            | Op::Use { block, .. }
            | Op::Fill { block }
            | Op::Verify { block }
            | Op::FreePointer { pointer: Pointer::Interior { block, .. } | Pointer::Freed { block } } => Some(*block),
            _ => None,
        }
    }

    /// The same, to be renamed.
    pub fn block_mut(&mut self) -> Option<&mut BlockId> {
        match self {
            Op::Alloc { block, .. }
            | Op::Free { block }
            | Op::RecordStream { block, .. }
            | Op::Use { block, .. }
            | Op::Fill { block }
            | Op::Verify { block }
            | Op::FreePointer { pointer: Pointer::Interior { block, .. } | Pointer::Freed { block } } => Some(block),
            _ => None,
        }
    }

    /// The same operation in one line for a person: `alloc b3: 1.5 MiB (1572864 B) on device 0, stream 1`.
    #[must_use]
    pub fn to_line(&self) -> String {
        line::of(self)
    }
}

mod line;

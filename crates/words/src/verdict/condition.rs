//! What a minimal sequence cannot do without: the clue to where a mistake sits.
//!
//! Decides what such conditions are. Which hold of a sequence, `engine` finds out; how they read, `report` says.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::op::{DeviceCall, FaultError};

/// One thing without which the violation does not show.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "a field is what its type says")]
pub enum Condition {
    /// Settings of the allocator, as PyTorch writes them.
    Settings(String),
    /// Blocks on so many devices.
    Devices(u32),
    /// Calls on so many streams of a device, the default one among them or not.
    Streams(u32),
    /// A stream other than the default one.
    SideStream,
    /// A stream that is still at work, at this step (counted from 1).
    BusyStream { step: u32 },
    /// Memory that another process holds.
    Neighbour,
    /// A stream that waits for another one.
    WaitingStream,
    /// A block recorded on another stream.
    RecordedStream,
    /// Calls from so many threads.
    Threads(u32),
    /// A memory fraction.
    Fraction(f64),
    /// A device call that fails: the so-manieth of its kind, counted from 1.
    FailingCall { call: DeviceCall, number: u32, error: Option<FaultError> },
    /// A request that is refused for lack of memory.
    OutOfMemory,
    /// The cache is emptied.
    EmptiedCache,
    /// So many private pools.
    PrivatePools(u32),
    /// So many captured graphs.
    Captures(u32),
    /// A request of at least this many bytes; smaller ones do not show it.
    LargeRequest(u64),
    /// A request of 0 bytes.
    EmptyRequest,
    /// So many requests.
    Requests(u32),
    /// A block that is given back.
    Freed,
    /// A call with a pointer that is no block's start.
    BadPointer,
    /// A device that does not exist is named.
    MissingDevice,
    /// Peaks or accumulated figures are reset.
    Reset,
    /// What the harness does at the end: everything freed, waited for, and emptied.
    Closing,
}

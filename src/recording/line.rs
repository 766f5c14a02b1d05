//! The lines of a recording.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::Error as _;

use super::stats::StatsChange;
use crate::op::Via;
use crate::op::snapshot::SegmentView;
use crate::op::trace::{Action, TraceEvent};

/// No address, and no memory of a device, goes beyond this: what lies above could not be added up.
const ADDRESSES: u64 = 1 << 57;
/// More devices than any machine has.
const MOST_DEVICES: usize = 64;

/// The first line.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Header {
    pub trace: String,
    pub recorded_from: String,
    pub profile: String,
    /// The value of `PYTORCH_CUDA_ALLOC_CONF`.
    pub config: String,
    pub backend: String,
    pub devices: Vec<RecordedDeviceInfo>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RecordedDeviceInfo {
    pub index: usize,
    pub name: String,
    pub total_bytes: u64,
}

/// What an episode starts with, by device.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Episode {
    pub episode: u64,
    pub fraction: BTreeMap<usize, f64>,
    /// Raw handles of the streams, by position.
    pub streams: BTreeMap<usize, Vec<u64>>,
    pub stats: BTreeMap<usize, StatsChange>,
}

/// What an episode ends with.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct End {
    pub end: u64,
    /// Action, device, address, bytes, stream handle; oldest first within a device.
    #[serde(default)]
    pub events: Vec<(Action, usize, u64, u64, u64)>,
    #[serde(default)]
    pub segments: Vec<SegmentView>,
}

impl Header {
    /// What no recording of a real allocator says.
    ///
    /// # Errors
    /// The first of it, in words.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        if self.devices.iter().any(|d| d.index >= MOST_DEVICES) {
            return Err(NO_SUCH_DEVICE);
        }
        if self.devices.iter().any(|d| d.total_bytes > ADDRESSES) {
            return Err("a device of more than 2^57 B");
        }
        Ok(())
    }
}

const NO_SUCH_DEVICE: &str = "a device with a number above 63";

impl Episode {
    fn check(&self) -> Result<(), &'static str> {
        let devices = self.fraction.keys().chain(self.streams.keys()).chain(self.stats.keys());
        if devices.max().is_some_and(|&d| d >= MOST_DEVICES) { Err(NO_SUCH_DEVICE) } else { Ok(()) }
    }
}

/// The events' addresses can be added up; an OOM's are other figures.
fn check_events(events: &[(Action, usize, u64, u64, u64)]) -> Result<(), &'static str> {
    if events.iter().any(|e| e.1 >= MOST_DEVICES) {
        return Err(NO_SUCH_DEVICE);
    }
    let beyond = |e: &&(Action, usize, u64, u64, u64)| e.0 != Action::Oom && (e.2 > ADDRESSES || e.3 > ADDRESSES);
    if events.iter().find(beyond).is_some() { Err("an event beyond the addresses of any device") } else { Ok(()) }
}

/// The value, if the check has no objection.
fn checked<T>(value: T, check: impl Fn(&T) -> Result<(), &'static str>) -> Result<T, serde_json::Error> {
    check(&value).map_err(serde_json::Error::custom)?;
    Ok(value)
}

impl End {
    /// Reads the line.
    ///
    /// # Errors
    /// As [`Line::parse`].
    pub(super) fn parse(text: &[u8]) -> Result<End, serde_json::Error> {
        checked(serde_json::from_slice::<End>(text)?, |end| check_events(&end.events))
    }

    /// The events of one device.
    pub fn events_of(&self, device: usize) -> impl Iterator<Item = TraceEvent> + '_ {
        let own = self.events.iter().filter(move |e| e.1 == device);
        own.map(|&(action, _, address, bytes, stream)| TraceEvent { action, address, bytes, stream })
    }
}

/// What was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    Alloc,
    Free,
    RecordStream,
    Occupy,
    WaitStream,
    Synchronize,
    EmptyCache,
    ResetPeak,
    ResetAccumulated,
    SetFraction,
    SetSettings,
    PoolCreate,
    PoolEnter,
    PoolExit,
    PoolDelete,
    CaptureBegin,
    CaptureEnd,
    GraphReset,
    /// Another process holds so much of the device from now on.
    Neighbour,
    /// What is asked from now on goes to the cache, or past it.
    SetCaching,
}

/// Which private pool an operation names.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum PoolName {
    /// A `MemPool`, by the recorder's number.
    Made(u64),
    /// That of an earlier graph, as `graph:2`.
    Of(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RecordedError {
    #[serde(rename = "type")]
    pub kind: String,
    pub message: String,
}

/// One operation and what it changed.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct RecordedOp {
    pub op: Verb,
    #[serde(default)]
    pub block: Option<u64>,
    #[serde(default)]
    pub device: Option<usize>,
    #[serde(default)]
    pub stream: Option<usize>,
    /// The other stream, which it waits for.
    #[serde(default)]
    pub on: Option<usize>,
    #[serde(default)]
    pub bytes: Option<u64>,
    #[serde(default)]
    pub via: Option<Via>,
    #[serde(default)]
    pub address: Option<u64>,
    #[serde(default)]
    pub error: Option<RecordedError>,
    #[serde(default)]
    pub fraction: Option<f64>,
    /// A settings string that was put in force, or was refused.
    #[serde(default)]
    pub settings: Option<String>,
    /// Whether the cache is used from now on.
    #[serde(default)]
    pub enabled: Option<bool>,
    /// The block is the driver's: it was got, or is given back, while the cache was not used.
    #[serde(default)]
    pub direct: bool,
    /// What the device had free afterwards.
    #[serde(default)]
    pub free_bytes: Option<u64>,
    /// The recorder waited for the whole device afterwards.
    #[serde(default)]
    pub synchronized: bool,
    /// Streams found idle right after the operation, by device.
    #[serde(default)]
    pub idle: BTreeMap<usize, Vec<usize>>,
    #[serde(default)]
    pub pool: Option<PoolName>,
    /// The private pool as PyTorch numbers it.
    #[serde(default)]
    pub id: Option<(u64, u64)>,
    #[serde(default)]
    pub use_on_oom: bool,
    #[serde(default)]
    pub no_split: bool,
    #[serde(default)]
    pub graph: Option<u64>,
    /// Events of blocks that PyTorch got and gave back on its own account; as in [`End::events`].
    #[serde(default)]
    pub internal: Vec<(Action, usize, u64, u64, u64)>,
    #[serde(default)]
    pub stats: BTreeMap<usize, StatsChange>,
}

impl RecordedOp {
    fn check(&self) -> Result<(), &'static str> {
        let named = self.device.iter().chain(self.idle.keys()).chain(self.stats.keys());
        if named.max().is_some_and(|&d| d >= MOST_DEVICES) {
            return Err(NO_SUCH_DEVICE);
        }
        if self.free_bytes.is_some_and(|free| free > ADDRESSES) {
            return Err("more free memory than any device has");
        }
        if self.address.is_some_and(|a| a > ADDRESSES) {
            return Err("an address beyond those of any device");
        }
        check_events(&self.internal)
    }
}

/// Any line after the header.
#[expect(clippy::large_enum_variant, reason = "one line lives at a time; boxing would cost an allocation a line")]
#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    Op(RecordedOp),
    Episode(Episode),
    End(End),
}

impl Line {
    /// Reads a line by its first key, which the format puts first.
    ///
    /// # Errors
    /// Not JSON, not what the key calls for, or figures that no allocator has.
    pub fn parse(text: &str) -> Result<Line, serde_json::Error> {
        if text.starts_with("{\"episode\"") {
            checked(serde_json::from_slice(text.as_bytes())?, Episode::check).map(Line::Episode)
        } else if text.starts_with("{\"end\"") {
            End::parse(text.as_bytes()).map(Line::End)
        } else {
            checked(serde_json::from_slice(text.as_bytes())?, RecordedOp::check).map(Line::Op)
        }
    }
}

//! Memory snapshots of PyTorch: the pickle of `torch.cuda.memory._snapshot()`, read into types.
//!
//! Decides which fields are needed and what is wrong with a file that lacks them. Fields of a newer
//! PyTorch are counted and left alone. Replays nothing, and does not keep stacks, times or annotations.

mod copied;
mod fields;
mod opened;
#[cfg(test)]
mod tests;
pub mod told;

use std::collections::BTreeMap;
use std::path::Path;

use super::StatsChange;
use super::pickle::{Budget, Document, PickleError, Value};
use crate::op::snapshot::{BlockState, BlockView, SegmentView};
use crate::op::stats::PoolKind;
use crate::op::trace::{Action, TraceEvent};
pub use copied::Kept;
pub use fields::FieldPath;
use fields::Record;
pub use opened::Opened;

/// Why a snapshot could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("{file}: {source}")]
    Open { file: String, source: std::io::Error },
    #[error(
        "{file}: a zip archive, and no snapshot kept by torch.save: no pickle was found in it. \
         torch.cuda.memory._dump_snapshot(FILE) writes a snapshot that is read as it is"
    )]
    Archive { file: String },
    #[error("{file}: {source}")]
    Pickle { file: String, source: PickleError },
    #[error(
        "{file}: no memory snapshot: the pickle holds {found}, and a snapshot is a dict with `segments` and `device_traces`"
    )]
    NotASnapshot { file: String, found: &'static str },
    #[error("{file}: {place} has no `{field}`")]
    Missing { file: String, place: FieldPath, field: &'static str },
    #[error("{file}: `{field}` of {place} is {found}; it should be {wanted}")]
    Wrong { file: String, place: FieldPath, field: &'static str, found: String, wanted: &'static str },
    #[error("{file}: {place} has {found} fields; at most {most} make sense")]
    TooManyFields { file: String, place: FieldPath, found: usize, most: usize },
    #[error("{file}: the same values stand in it so often that they unfold to more than a file of its size can hold")]
    Unfolds { file: String },
}

/// No device has as much memory, and no segment is as large.
const MOST_BYTES: u64 = 1 << 44;

/// PyTorch itself knows no more devices than this in a process.
const MOST_DEVICES: usize = 64;

/// An event and its place in the device's trace, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlacedEvent {
    pub index: u32,
    pub event: TraceEvent,
    /// `pool_id`, which PyTorch tells since 2.12: graphs and pools are counted from 1.
    pub pool: Option<(u32, u32)>,
}

impl PlacedEvent {
    /// The private pool, if it is told; (0, 0) for none.
    #[must_use]
    pub fn pool(&self) -> Option<(u64, u64)> {
        self.pool.map(|(graph, pool)| (u64::from(graph), u64::from(pool)))
    }
}

/// What the snapshot says of the settings beside the settings string.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct InForce {
    pub expandable_segments: Option<bool>,
    /// In bytes, -1 for none.
    pub max_split_size: Option<i64>,
    pub gc_threshold: Option<f64>,
    /// By power of two of the request in MiB.
    pub roundup_divisions: Option<[u64; 16]>,
}

/// A snapshot.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MemorySnapshot {
    pub file: String,
    /// The value of `PYTORCH_CUDA_ALLOC_CONF`.
    pub config: String,
    pub in_force: InForce,
    /// What the allocator of each device did, oldest first; without `snapshot` events, which change nothing.
    pub traces: Vec<Vec<PlacedEvent>>,
    pub segments: Vec<SegmentView>,
    /// `poolproof_stats`: `memory_stats()` at the end by device, where the recorder added it.
    pub stats: BTreeMap<usize, StatsChange>,
    /// Fields and actions that this program does not know.
    pub unknown: u64,
    /// The private pools of events are not told by the file, but by addresses.
    pub pools_by_address: bool,
    /// No settings string is told.
    pub without_settings: bool,
    /// The minor version of the least release that writes all that is here; 0 where every release does.
    pub since: u32,
    /// `poolproof_release`: the minor version of the release that was recorded, in an export of this program.
    pub release: Option<u32>,
}

impl MemorySnapshot {
    /// Reads a snapshot, gzipped or not.
    ///
    /// # Errors
    /// The file cannot be read, is no pickle of plain data, or no snapshot.
    pub fn read(path: &Path) -> Result<Self, SnapshotError> {
        Opened::read(path, &mut |_| {})?.snapshot()
    }

    fn of(document: &Document, budget: Budget, file: &str) -> Result<Self, SnapshotError> {
        let root = document.root();
        let Some(entries) = document.entries(root) else {
            return Err(SnapshotError::NotASnapshot { file: file.to_owned(), found: root.kind() });
        };
        let has = |name: &str| entries.get(name).is_some();
        if !has("segments") && !has("device_traces") {
            return Err(SnapshotError::NotASnapshot { file: file.to_owned(), found: "a dict without them" });
        }
        let mut reading = Reading { document, budget, file, unknown: 0, annotated: false };
        let known = [
            "segments",
            "device_traces",
            "allocator_settings",
            "external_annotations",
            "poolproof_stats",
            "poolproof_release",
            "categories",
            "host_segments",
            "host_traces",
        ];
        let top = reading.record(root, FieldPath::Top, &known)?;
        let mut snapshot = MemorySnapshot { file: file.to_owned(), ..MemorySnapshot::default() };
        reading.settings(&top, &mut snapshot)?;
        let traces = top.list("device_traces")?;
        if traces.len() > MOST_DEVICES {
            return Err(top.wrong("device_traces", "a list of at most 64 devices"));
        }
        for (device, trace) in traces.iter().enumerate() {
            snapshot.traces.push(reading.trace(device, trace)?);
        }
        for (index, segment) in top.list("segments")?.iter().enumerate() {
            snapshot.segments.push(reading.segment(index, segment)?);
        }
        reading.stats(&top, &mut snapshot)?;
        snapshot.unknown = reading.unknown;
        let tells_pools = snapshot.traces.iter().flatten().any(|event| event.pool.is_some());
        let tells_hosts = has("host_segments") || has("host_traces") || reading.annotated;
        snapshot.since = if tells_hosts { 14 } else { 12 * u32::from(tells_pools) };
        if let Some(Value::Int(minor)) = top.get("poolproof_release") {
            snapshot.release = u32::try_from(minor).ok();
        }
        Ok(snapshot)
    }

    /// Whether any device has a history.
    #[must_use]
    pub fn has_history(&self) -> bool {
        self.traces.iter().any(|t| !t.is_empty())
    }
}

/// A snapshot on its way from values to types.
struct Reading<'d> {
    document: &'d Document,
    budget: Budget,
    file: &'d str,
    unknown: u64,
    /// A program said something of itself.
    annotated: bool,
}

impl<'d> Reading<'d> {
    fn record(&mut self, value: Value, place: FieldPath, known: &[&str]) -> Result<Record<'d>, SnapshotError> {
        let record = Record::of(self.document, value, place, self.file)?;
        self.unknown += record.unknown(known);
        Ok(record)
    }

    fn charge<T>(&mut self) -> Result<(), SnapshotError> {
        let charged = self.budget.charge(2 * size_of::<T>() as u64, 0);
        charged.map_err(|_| SnapshotError::Unfolds { file: self.file.to_owned() })
    }

    fn settings(&mut self, top: &Record<'d>, snapshot: &mut MemorySnapshot) -> Result<(), SnapshotError> {
        let Some(value) = top.get("allocator_settings") else {
            snapshot.without_settings = true;
            return Ok(());
        };
        let known = [
            "PYTORCH_CUDA_ALLOC_CONF",
            "PYTORCH_ALLOC_CONF",
            "max_split_size",
            "garbage_collection_threshold",
            "expandable_segments",
            "pinned_num_register_threads",
            "release_lock_on_cudamalloc",
            "pinned_use_cuda_host_register",
            "graph_capture_record_stream_reuse",
            "roundup_power2_divisions",
        ];
        let settings = self.record(value, FieldPath::Settings, &known)?;
        let old = settings.optional_text("PYTORCH_CUDA_ALLOC_CONF")?;
        let new = settings.optional_text("PYTORCH_ALLOC_CONF")?;
        snapshot.without_settings = old.is_none() && new.is_none();
        snapshot.config = old.filter(|t| !t.is_empty()).or(new).unwrap_or_default().to_owned();
        snapshot.in_force = InForce {
            expandable_segments: settings.optional_bool("expandable_segments")?,
            max_split_size: settings.optional_int("max_split_size")?,
            gc_threshold: settings.optional_float("garbage_collection_threshold")?,
            roundup_divisions: self.divisions(&settings),
        };
        Ok(())
    }

    /// A dict from powers of two to divisions, all sixteen.
    fn divisions(&self, settings: &Record<'d>) -> Option<[u64; 16]> {
        let entries = self.document.entries(settings.get("roundup_power2_divisions")?)?;
        let mut table = [None; 16];
        for (key, value) in entries.iter().take(64) {
            let power: u64 = self.document.text(key)?.parse().ok().filter(|p: &u64| p.is_power_of_two())?;
            let Value::Int(divisions) = value else { return None };
            let divisions = u64::try_from(divisions).ok().filter(|&d| d == 0 || d.is_power_of_two())?;
            *table.get_mut(power.ilog2() as usize)? = Some(divisions);
        }
        let known: Vec<u64> = table.into_iter().flatten().collect();
        known.try_into().ok()
    }

    fn trace(&mut self, device: usize, value: Value) -> Result<Vec<PlacedEvent>, SnapshotError> {
        const KNOWN: [&str; 10] = [
            "pool_id",
            "action",
            "addr",
            "device_free",
            "size",
            "stream",
            "time_us",
            "compile_context",
            "user_metadata",
            "frames",
        ];
        let items = self.document.items(value).ok_or_else(|| SnapshotError::Wrong {
            file: self.file.to_owned(),
            place: FieldPath::Trace { device },
            field: "device_traces",
            found: value.kind().to_owned(),
            wanted: "a list of events",
        })?;
        let mut events = Vec::new();
        for (at, item) in items.iter().enumerate() {
            self.charge::<PlacedEvent>()?;
            let record = self.record(item, FieldPath::Event { device, at }, &KNOWN)?;
            let name = record.text("action")?;
            let Some(action) = Action::ALL.into_iter().find(|a| a.name() == name) else {
                self.unknown += u64::from(name != ANNOTATE);
                self.annotated |= name == ANNOTATE;
                continue;
            };
            if action == Action::Snapshot {
                continue;
            }
            let address = record.unsigned(if action == Action::Oom { "device_free" } else { "addr" })?;
            let (bytes, stream) = (record.unsigned("size")?, record.unsigned("stream")?);
            if action.concerns_segments() && bytes > MOST_BYTES {
                return Err(record.wrong("size", "at most 16 TiB: no segment is larger"));
            }
            let index = u32::try_from(at).unwrap_or(u32::MAX); // the budget ends long before
            let counted = |(graph, pool): (u64, u64)| Some((u32::try_from(graph).ok()?, u32::try_from(pool).ok()?));
            let pool = record.optional_pair("pool_id").and_then(counted);
            events.push(PlacedEvent { index, event: TraceEvent { action, address, bytes, stream }, pool });
        }
        Ok(events)
    }

    fn segment(&mut self, index: usize, value: Value) -> Result<SegmentView, SnapshotError> {
        const KNOWN: [&str; 12] = [
            "device",
            "address",
            "total_size",
            "allocated_size",
            "active_size",
            "requested_size",
            "stream",
            "segment_type",
            "segment_pool_id",
            "is_expandable",
            "frames",
            "blocks",
        ];
        self.charge::<SegmentView>()?;
        let record = self.record(value, FieldPath::Segment { index }, &KNOWN)?;
        let kind = record.text("segment_type")?;
        let mut view = SegmentView {
            device: u32::try_from(record.unsigned("device")?)
                .ok()
                .filter(|&device| (device as usize) < MOST_DEVICES)
                .ok_or_else(|| record.wrong("device", "a device from 0 to 63"))?,
            address: record.unsigned("address")?,
            total_size: record.unsigned("total_size")?,
            allocated_size: record.unsigned("allocated_size")?,
            active_size: record.unsigned("active_size")?,
            requested_size: record.unsigned("requested_size")?,
            stream: record.unsigned("stream")?,
            segment_type: match kind {
                "small" => PoolKind::Small,
                "large" => PoolKind::Large,
                _ => return Err(record.wrong("segment_type", "`small` or `large`")),
            },
            segment_pool_id: record.pair("segment_pool_id")?,
            is_expandable: record.optional_bool("is_expandable")?.unwrap_or(false),
            blocks: Vec::new(),
        };
        if view.total_size > MOST_BYTES {
            return Err(record.wrong("total_size", "at most 16 TiB: no segment is larger"));
        }
        let mut address = view.address;
        for (at, block) in record.list("blocks")?.iter().enumerate() {
            let block = self.block(index, at, (address, block))?;
            address = block.address.saturating_add(block.size);
            view.blocks.push(block);
        }
        Ok(view)
    }

    /// PyTorch 2.0 tells no addresses of blocks: they lie one behind the other.
    fn block(&mut self, segment: usize, at: usize, (behind, value): (u64, Value)) -> Result<BlockView, SnapshotError> {
        self.charge::<BlockView>()?;
        let known = ["address", "size", "requested_size", "state", "frames", "history"];
        let record = self.record(value, FieldPath::Block { segment, at }, &known)?;
        let state = match record.text("state")? {
            "active_allocated" => BlockState::ActiveAllocated,
            "active_pending_free" | "active_awaiting_free" => BlockState::ActivePendingFree,
            "inactive" => BlockState::Inactive,
            _ => return Err(record.wrong("state", "a state of a block")),
        };
        Ok(BlockView {
            address: if record.get("address").is_some() { record.unsigned("address")? } else { behind },
            size: record.unsigned("size")?,
            requested_size: record.unsigned("requested_size")?,
            state,
        })
    }

    fn stats(&mut self, top: &Record<'d>, snapshot: &mut MemorySnapshot) -> Result<(), SnapshotError> {
        let Some(value) = top.get("poolproof_stats") else { return Ok(()) };
        let by_device = self.document.entries(value).ok_or_else(|| top.wrong("poolproof_stats", "a dict by device"))?;
        for (key, value) in by_device.iter().take(MOST_DEVICES) {
            let Value::Int(device) = key else { return Err(top.wrong("poolproof_stats", "a dict by device")) };
            let Ok(device) = usize::try_from(device) else { continue };
            let record = Record::of(self.document, value, FieldPath::Stats { device }, self.file)?;
            let mut change = StatsChange::default();
            for (name, value) in record.named_ints() {
                change.push(name, value);
            }
            snapshot.stats.insert(device, change);
        }
        Ok(())
    }
}

/// What a program says of itself since PyTorch 2.14; nothing happens to memory.
const ANNOTATE: &str = "annotate";

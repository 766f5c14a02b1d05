//! The same calls under other settings: what they would have come to.
//!
//! Decides what is asked and what is measured, and whether there is a table at all: only where the reference, under
//! the settings and on the card of the recorded run, comes to what that run came to. The card has the memory that the
//! recorded one had, as far as anything tells it, all of it for this one process.

mod ask;
mod held_back;
mod limit;
mod others;
mod pools;
mod recording;
mod snapshot;
mod verdict;

use std::collections::BTreeMap;
use std::path::Path;

pub(super) use ask::Ask;
use ask::Asked;
pub(super) use limit::Pick;
pub use limit::{Fitted, Unfitted};
use others::run;
pub(super) use others::run_while;
pub(super) use pools::PoolAsk;
pub use verdict::{Disagreement, Figure, Reason};

use super::{Divergence, Note, Progress, Reading, ReplayError, is_pickle};
use crate::device::StreamHandle;
use crate::device::card::{Card, Given};
use crate::op::{Counter, Family};
use crate::recording::MemorySnapshot;
use crate::reference::{PoolFlags, PoolId, Reference, Rules, Settings, Sound, Standing};
pub(super) use recording::workload as calls_of_recording;
pub use snapshot::ASSUMED as DEVICE_BYTES;
pub(super) use snapshot::workload as calls_of_snapshot;

/// What one device came to under one setting.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Row {
    /// The settings as PyTorch writes them.
    pub config: String,
    /// By position.
    pub device: usize,
    /// The most bytes that were reserved.
    pub peak_reserved: u64,
    /// The most bytes that were allocated.
    pub peak_allocated: u64,
    /// What was allocated when the peak of reserved memory was first reached.
    pub allocated_then: u64,
    /// What of that were blocks that stood when the history began.
    pub standing_then: u64,
    /// Calls that got memory from the driver or gave it back.
    pub device_calls: u64,
    /// Requests that were served after the cache was given back.
    pub retries: u64,
    /// Requests that were refused.
    pub refusals: u64,
    /// The first request that was refused: which it was, from 1, and its bytes.
    pub first_refusal: Option<(u64, u64)>,
    /// The most that was reserved between two calls.
    reached: u64,
    /// Device calls between the episodes of a recording, which are none of its run.
    between: u64,
}

impl Row {
    fn new(config: &str, device: usize) -> Self {
        Row { config: config.to_owned(), device, ..Row::default() }
    }

    /// Whether more is reserved than ever before; takes note of it.
    fn at_most_reserved(&mut self, reserved: u64, allocated: u64) -> bool {
        if reserved <= self.reached {
            return false;
        }
        (self.reached, self.allocated_then) = (reserved, allocated);
        true
    }

    /// The share of reserved memory that was not allocated when the most was reserved.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a percentage is printed")]
    pub fn fragmentation(&self) -> f64 {
        if self.peak_reserved == 0 { 0.0 } else { 1.0 - self.allocated_then as f64 / self.peak_reserved as f64 }
    }
}

/// How much memory a device has, and what tells so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CardSize {
    /// As its properties state it; lengths of address ranges and fractions go by it.
    pub total: u64,
    /// What the process can have.
    pub bytes: u64,
    /// Who says so.
    pub from: SizeFrom,
}

/// What tells how much memory a device has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SizeFrom {
    /// The header of the recording.
    Header,
    /// What was held and free when a recording was refused memory: somebody else held the rest.
    Refusals,
    /// What was held and free, as the recorder said where others held memory; this is the least.
    Others {
        /// The most that could be had.
        most: u64,
    },
    /// What was held and free at a refusal.
    Refusal {
        /// The event of the refusal.
        index: u32,
    },
    /// So much was held, and so much was refused.
    Between {
        /// That much there was.
        least: u64,
        /// That much there was not.
        below: u64,
    },
    /// At one time less was refused than was held at another.
    Changing,
    /// Nothing: it is assumed to be enough.
    Nothing,
    /// Whoever asks.
    Asked,
}

/// What the rows have in common.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// The size of every device in the recorded run.
    pub cards: Vec<CardSize>,
    /// What the recorded run came to, by device.
    pub recorded: Vec<Row>,
    /// What the reference comes to under the same settings on the same cards.
    pub reference: Vec<Row>,
    /// Why there are no rows of other settings.
    pub disagreement: Option<Disagreement>,
    /// On the size asked for: first the recorded settings, if another size than the cards' was asked for, then the others.
    pub rows: Vec<Row>,
    /// The size asked for.
    pub asked_bytes: Option<u64>,
    /// How many blocks stood when the history began: in the rows of other settings they are asked for first, by address.
    pub standing: u64,
    /// What else is to be known.
    pub notes: Vec<Note>,
}

/// Asks the calls of a recording or a snapshot again: under the recorded settings and, if that comes to what was recorded,
/// under each of `configs`.
///
/// # Errors
/// The file cannot be read, or settings are refused.
pub fn compare(
    path: &Path,
    configs: &[String],
    device_bytes: Option<u64>,
    how: Reading<'_>,
) -> Result<Table, ReplayError> {
    if is_pickle(path)? {
        return of_snapshot(how.snapshot(path)?, configs, device_bytes, how.progress);
    }
    how.refuse_recording(path)?;
    table(recording::workload(path)?, configs, device_bytes)
}

/// As [`compare`], of a snapshot that was read.
pub(super) fn of_snapshot(
    snapshot: MemorySnapshot,
    configs: &[String],
    device_bytes: Option<u64>,
    progress: &dyn Progress,
) -> Result<Table, ReplayError> {
    let (workload, _) = snapshot::workload(&snapshot, progress)?;
    drop(snapshot);
    table(workload, configs, device_bytes)
}

fn table(mut workload: Workload, configs: &[String], device_bytes: Option<u64>) -> Result<Table, ReplayError> {
    let parsed = configs.iter().map(|config| {
        let settings = config.parse().map_err(|source| ReplayError::Config { config: config.clone(), source })?;
        Ok((config, settings))
    });
    let parsed: Vec<(&String, Settings)> = parsed.collect::<Result<_, ReplayError>>()?;
    for remark in configs.iter().flat_map(|config| Settings::without_effect(config)).map(Note::Setting) {
        if !workload.notes.contains(&remark) {
            workload.notes.push(remark);
        }
    }
    let (reference, mut disagreement) = limit::reference(&workload, &workload.recorded);
    let mut rows = Vec::new();
    if disagreement.is_none() {
        let recorded = (workload.config.clone(), workload.at_the_end);
        let others = parsed.into_iter().map(|(config, settings)| (config.clone(), settings));
        for (config, settings) in device_bytes.map(|_| recorded).into_iter().chain(others) {
            match run(&mut workload, &config, &settings, device_bytes) {
                Ok(more) => rows.extend(more),
                Err(matters) => disagreement = disagreement.or(Some(matters)),
            }
        }
    }
    if disagreement.is_some() {
        rows.clear();
    } else {
        let fitted: Vec<Note> = workload.fitted_notes().map(|(_, note)| note).collect();
        workload.notes.extend(fitted);
    }
    let busy = |row: &Row| workload.cards.len() == 1 || row.peak_reserved > 0 || row.refusals > 0;
    let kept = |rows: Vec<Row>| -> Vec<Row> { rows.into_iter().filter(busy).collect() };
    Ok(Table {
        recorded: kept(workload.recorded.clone()),
        reference: kept(reference),
        rows: kept(rows),
        disagreement,
        asked_bytes: device_bytes,
        standing: workload.standing,
        cards: workload.cards,
        notes: workload.notes,
    })
}

/// The calls of a whole file.
#[derive(Debug, Clone, Default)]
pub(super) struct Workload {
    pub config: String,
    /// At the start, and at the end.
    pub settings: Settings,
    pub at_the_end: Settings,
    pub cards: Vec<CardSize>,
    pub recorded: Vec<Row>,
    given: Vec<Given>,
    /// What stood when the history began, by device.
    pub starts: BTreeMap<usize, Start>,
    /// How many blocks stood; their numbers are below this.
    standing: u64,
    /// Private pools whose blocks are never split.
    pub uncut: Vec<PoolId>,
    pub asks: Vec<(usize, Ask)>,
    pub notes: Vec<Note>,
    /// The limits that garbage collections went by, by device: of a snapshot, which does not name them.
    limits: Vec<Option<Result<Fitted, Unfitted>>>,
    /// Which of these is assumed where other settings are asked.
    pub pick: Pick,
    /// Those of the release that was recorded, as far as that is known.
    rules: Rules,
    /// Where the reference parted from the recorded run.
    pub diverged: Option<Divergence>,
}

impl Workload {
    /// How many blocks stood on the devices that are asked.
    pub fn standing(&self) -> u64 {
        self.starts.values().map(|start| start.blocks.len() as u64).sum()
    }

    /// Nothing is known of limits from here on.
    pub fn forget_limits(&mut self) {
        self.limits.clear();
    }
}

/// What stood on a device when its history began.
#[derive(Debug, Clone)]
pub(super) struct Start {
    standing: Vec<Standing>,
    /// By address: number, address, request, stream and private pool.
    blocks: Vec<(u64, u64, u64, StreamHandle, PoolId)>,
    /// Those that waited for streams.
    waiting: Vec<u64>,
    /// In the calls that the history has cut: device calls, refusals, and the most that was held.
    outside: u64,
    refused: u64,
    most: u64,
}

/// The recorded settings on the recorded cards. Answers also the first moment at which it held other memory.
fn again(workload: &Workload, pick: Pick) -> (Vec<Row>, Option<(usize, ask::RecordedUsage, ask::RecordedUsage)>) {
    let card = |(size, given): (&CardSize, &Given)| Card::new(size.total, size.bytes, given.clone());
    let cards = workload.cards.iter().zip(&workload.given).map(card).collect();
    let settings = Settings { fraction: 1.0, ..workload.settings };
    let mut reference = Reference::new(cards, &settings, Sound).by(workload.rules).as_recorded();
    let mut asked = Asked::new(workload.standing, &workload.uncut);
    for device in 0..workload.cards.len() {
        workload.limit(device, pick).into_iter().for_each(|bytes| reference.device_mut(device).limit_to(bytes));
    }
    for (&device, start) in &workload.starts {
        let allocator = reference.device_mut(device);
        for &id in &workload.uncut {
            allocator.retain_pool(id, PoolFlags { no_split: true, ..PoolFlags::default() });
        }
        hold(allocator.device_mut(), &start.standing);
        // It was primed so before, when the trace was followed.
        let _ = allocator.prime(&start.standing);
        for &(block, address, ..) in &start.blocks {
            asked.holds(device, block, address);
        }
    }
    let mut rows: Vec<Row> = (0..workload.cards.len()).map(|device| Row::new(&workload.config, device)).collect();
    for row in &mut rows {
        let (reserved, allocated) = held(&reference, row.device);
        // Those that wait are freed first of all, and allocated no more.
        let waiting = workload.starts.get(&row.device).into_iter().flat_map(|start| &start.waiting);
        let waiting: u64 = waiting.filter_map(|&address| reference.device(row.device).size_of(address)).sum();
        row.at_most_reserved(reserved, allocated.saturating_sub(waiting));
    }
    let mut parted = None;
    for (device, ask) in &workload.asks {
        let device = *device;
        asked.ask(&mut reference, device, ask, &mut rows[device]);
        let (reserved, allocated) = held(&reference, device);
        rows[device].at_most_reserved(reserved, allocated);
        if let Ask::RecordedUsage(recorded) = *ask
            && parted.is_none()
            && (reserved, allocated) != (recorded.reserved, recorded.allocated)
        {
            parted = Some((device, recorded, ask::RecordedUsage { reserved, allocated, ..recorded }));
        }
    }
    counted(&reference, &mut rows);
    for (&device, start) in &workload.starts {
        rows[device].device_calls += start.outside;
        rows[device].refusals += start.refused;
        if start.refused > 0 {
            rows[device].first_refusal = workload.recorded[device].first_refusal;
        }
        rows[device].peak_reserved = rows[device].peak_reserved.max(start.most);
    }
    (rows, parted)
}

/// The card holds what stood.
fn hold(card: &mut Card, standing: &[Standing]) {
    for segment in standing {
        if segment.page.is_none() {
            card.hold(segment.address, segment.bytes);
            continue;
        }
        card.hold_range(segment.address, segment.bytes);
        let mut at = segment.address;
        for part in &segment.parts {
            if part.holds != crate::reference::Holds::Nothing {
                card.hold_mapped(at, part.bytes);
            }
            at += part.bytes;
        }
    }
}

fn held(reference: &Reference<Card>, device: usize) -> (u64, u64) {
    let stats = reference.device(device).stats();
    let current = |family| u64::try_from(stats.all(family).current).unwrap_or(0);
    (current(Family::ReservedBytes), current(Family::AllocatedBytes))
}

fn counted(reference: &Reference<Card>, rows: &mut [Row]) {
    for row in rows {
        let stats = reference.device(row.device).stats();
        let unsigned = |value: i64| u64::try_from(value).unwrap_or(0);
        let count = |counter| unsigned(stats.counter(counter));
        row.peak_reserved = unsigned(stats.all(Family::ReservedBytes).peak);
        row.peak_allocated = unsigned(stats.all(Family::AllocatedBytes).peak);
        row.device_calls = ask::calls_of(reference.device(row.device)) - row.between;
        row.retries = count(Counter::NumAllocRetries);
    }
}

/// The recorded settings on the recorded cards, and the first disagreement with what was recorded of one device.
pub(super) fn baseline(workload: &Workload, device: usize) -> (Row, Option<Disagreement>) {
    let recorded: Vec<Row> = workload.recorded.iter().filter(|row| row.device == device).cloned().collect();
    let (rows, disagreement) = limit::reference(workload, &recorded);
    (rows.into_iter().next().unwrap_or_default(), disagreement)
}

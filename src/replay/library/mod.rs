//! A recording played back to a released allocator itself: the library is asked what was asked on the GPU, on a driver that
//! answers as the recorded one did.
//!
//! Decides which operation of a target each recorded one is, and what of its answers has to be the recording's.

mod apart;
mod asked;
mod figures;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;

pub use apart::{Apart, apart};
use asked::device_id;
use figures::Ahead;

use super::closing;
use super::divergence::{Divergence, DivergenceKind, FilePosition};
use super::episode::describe;
use super::{ReplayError, ReplayReport, driver, header_of, pools, streams_of};
use crate::device::played_back::PlayedBack;
use crate::device::recorded::{RecordedAct, RecordedDevice};
use crate::op::snapshot::SegmentView;
use crate::op::trace::TraceEvent;
use crate::op::{BlockId, DeviceId, GraphName, Observation, Op, PoolName, Reply, Setup, Stats, StreamId};
use crate::recording::{self, End, Episode, Header, Line, Reader, RecordedOp};
use crate::reference::{PoolId, Settings};
use crate::target::{self, Target, TargetName};

/// Plays a recording back to the library that a target's name asks for, which is opened in this process: there must have been
/// none before.
///
/// # Errors
/// The file cannot be read, was made under settings that nobody here knows, or the library is not there.
pub fn on_library(path: &Path, name: &TargetName) -> Result<ReplayReport, ReplayError> {
    let mut ends = VecDeque::from(recording::endings(path)?);
    let mut reader = Reader::open(path)?;
    let (header, settings) = header_of(&mut reader)?;
    let owners = if settings.expandable_segments { pools::owners(path)? } else { Vec::new() };
    let mut owners = VecDeque::from(owners);
    let mut report = ReplayReport::default();
    let mut library: Option<Library> = None;
    let mut is_open = false;
    recording::ahead::each_line(reader, |place, line| -> Result<(), ReplayError> {
        match line {
            Line::Episode(start) => {
                let end = ends.pop_front().ok_or_else(|| place.out_of_place("this episode is never closed"))?;
                let mut owned = owners.pop_front().unwrap_or_default();
                owned.resize(header.devices.len(), Vec::new());
                let to_come = (0..header.devices.len()).map(|device| {
                    let owners_of = |owners: &Vec<Vec<u64>>| owners.get(device).cloned().unwrap_or_default();
                    let later = ends.iter().zip(owners.iter().map(owners_of).chain(std::iter::repeat(Vec::new())));
                    let later = later.flat_map(|(end, owners)| driver::acts(end.events_of(device), &owners)).collect();
                    (driver::acts(end.events_of(device), &owned[device]), later)
                });
                let to_come = to_come.collect();
                let library = match &mut library {
                    Some(library) => library,
                    empty => empty.insert(Library::open(name, &header, start)?),
                };
                library.begin(&header, start, to_come);
                (library.end, library.owners) = (end, owned);
                is_open = true;
            }
            Line::Op(op) => {
                report.operations += 1;
                let library = library.as_mut().filter(|_| is_open);
                let library = library.ok_or_else(|| place.out_of_place("an operation before any episode"))?;
                library.step(place.line, op, &mut report);
            }
            Line::End(_) => {
                let library = library.as_mut().filter(|_| is_open);
                library.ok_or_else(|| place.out_of_place("no episode is open here"))?.finish(place.line, &mut report);
                is_open = false;
            }
        }
        Ok(())
    })?;
    Ok(report)
}

/// The library over the devices of a recording.
struct Library {
    target: Box<dyn Target>,
    devices: Vec<PlayedBack>,
    settings: Settings,
    /// What the recording says the statistics are now, and by how much they were ahead of the library's own.
    recorded: Vec<Stats>,
    ahead: Vec<Ahead>,
    seen: Observation,
    /// Live blocks by recorded id; blocks of PyTorch's own by address.
    blocks: BTreeMap<u64, BlockId>,
    own: BTreeMap<u64, BlockId>,
    pools: BTreeSet<PoolName>,
    /// Pools that requests go to now, oldest first.
    entered: Vec<(PoolName, DeviceId)>,
    graphs: BTreeSet<GraphName>,
    next_block: u32,
    requests: Vec<u64>,
    owners: Vec<Vec<u64>>,
    end: End,
    events: Vec<Vec<TraceEvent>>,
    traces: Vec<Vec<TraceEvent>>,
    diverged: bool,
    /// Several events passed in one step somewhere: PyTorch goes through them by the addresses of its streams.
    hash_order: bool,
}

impl Library {
    fn open(name: &TargetName, header: &Header, start: &Episode) -> Result<Self, ReplayError> {
        let count = header.devices.len();
        let devices: Vec<PlayedBack> = header
            .devices
            .iter()
            .map(|info| {
                PlayedBack::new(RecordedDevice::new(info.total_bytes, streams_of(start, info.index), Vec::new()))
            })
            .collect();
        let streams = start.streams.values().map(Vec::len).max().unwrap_or(1);
        let setup = Setup {
            device_bytes: header.devices.iter().map(|info| info.total_bytes).collect(),
            streams: u8::try_from(streams).unwrap_or(u8::MAX).clamp(1, StreamId::LIMIT),
            config: Some(header.config.clone()).filter(|config| !config.is_empty()),
        };
        let boxed = devices.iter().map(|device| Box::new(device.clone()) as Box<_>).collect();
        let target = target::open_library(name, boxed, &setup).map_err(Box::new)?;
        let settings = header.config.parse().unwrap_or_default();
        Ok(Library {
            target,
            devices,
            settings,
            recorded: vec![Stats::default(); count],
            ahead: vec![Ahead::default(); count],
            seen: Observation::default(),
            blocks: BTreeMap::new(),
            own: BTreeMap::new(),
            pools: BTreeSet::new(),
            entered: Vec::new(),
            graphs: BTreeSet::new(),
            next_block: 0,
            requests: vec![0; count],
            owners: Vec::new(),
            end: End { end: 0, events: Vec::new(), segments: Vec::new() },
            events: Vec::new(),
            traces: Vec::new(),
            diverged: false,
            hash_order: false,
        })
    }

    /// The next episode: its driver, and where its statistics start from.
    fn begin(&mut self, header: &Header, start: &Episode, to_come: Vec<(Vec<RecordedAct>, Vec<RecordedAct>)>) {
        self.clear();
        let count = self.devices.len();
        for ((info, device), (acts, later)) in header.devices.iter().zip(&self.devices).zip(to_come) {
            device.recorded(|device| device.go_on(streams_of(start, info.index), acts, later));
        }
        for (&device, &fraction) in start.fraction.iter().filter(|&(&d, _)| d < count) {
            let device = Some(device_id(device));
            self.target.apply(&Op::SetFraction { device, fraction });
        }
        self.target.take_events(&mut self.events);
        self.target.observe(&mut self.seen);
        self.recorded = vec![Stats::default(); count];
        driver::take_over(&start.stats, &mut self.recorded);
        let views = self.recorded.iter().zip(&self.seen.devices);
        self.ahead = views.map(|(recorded, own)| Ahead::at_begin(recorded, &own.stats)).collect();
        self.requests = vec![0; count];
        self.traces = vec![Vec::new(); count];
        (self.diverged, self.hash_order) = (false, false);
    }

    /// Gives back what the episode before left, as the recorder does without recording it. What comes of it shows in what the
    /// next episode starts from.
    fn clear(&mut self) {
        let blocks = std::mem::take(&mut self.blocks).into_values().chain(std::mem::take(&mut self.own).into_values());
        let exits = std::mem::take(&mut self.entered).into_iter().rev();
        let exits = exits.map(|(pool, device)| Op::PoolExit { pool, device });
        let graphs = std::mem::take(&mut self.graphs).into_iter();
        let pools = std::mem::take(&mut self.pools).into_iter();
        let frees = blocks.map(|block| Op::Free { block });
        let resets = graphs.map(|graph| Op::GraphReset { graph });
        let deletes = pools.map(|pool| Op::PoolDelete { pool });
        let devices = || (0..self.devices.len()).map(device_id);
        let waits = devices().map(|device| Op::Synchronize { device });
        let peaks = devices().map(|device| Op::ResetPeak { device });
        let all: Vec<Op> =
            exits.chain(frees).chain(resets).chain(deletes).chain(waits).chain([Op::EmptyCache]).chain(peaks).collect();
        for op in &all {
            self.target.apply(op);
        }
    }

    /// Asks one operation and compares.
    fn step(&mut self, line: u64, op: &RecordedOp, report: &mut ReplayReport) {
        if self.diverged {
            return;
        }
        let mut kinds = Vec::new();
        self.got_on_its_own_account(op, &mut kinds);
        match self.ask(op) {
            Ok(answer) => kinds.extend(answer),
            Err(field) => kinds.push(DivergenceKind::Incomplete { field }),
        }
        self.given_back_on_its_own_account(op, &mut kinds);
        driver::take_over(&op.stats, &mut self.recorded);
        self.compare_stats(&mut kinds, report);
        let count = self.devices.len();
        for (&device, idle) in op.idle.iter().filter(|&(&d, _)| d < count) {
            self.devices[device].recorded(|device| idle.iter().for_each(|&stream| device.finish(stream)));
        }
        if !kinds.is_empty() {
            self.diverged = true;
            report.diverged(Divergence { place: FilePosition::Line(line), at: describe(op), kinds });
        }
    }

    /// Compares what stands at the end.
    fn finish(&mut self, line: u64, report: &mut ReplayReport) {
        if self.diverged {
            return;
        }
        let end_of = |report: &mut ReplayReport, kinds| {
            let (place, at) = (FilePosition::Line(line), "end of the episode".to_owned());
            report.diverged(Divergence { place, at, kinds });
        };
        let mut snapshot = match self.target.apply(&Op::Snapshot) {
            Reply::Snapshot(snapshot) => snapshot,
            other => {
                let (recorded, predicted) = ("a snapshot".to_owned(), other.to_line());
                return end_of(report, vec![DivergenceKind::Refusal { recorded, predicted }]);
            }
        };
        number_alike(&mut snapshot.segments, &self.end.segments);
        let traces: Vec<_> = std::mem::take(&mut self.traces).into_iter().map(|trace| (trace, Vec::new())).collect();
        let kinds = closing::compare(&traces, &snapshot.segments, &self.end, self.hash_order);
        if !kinds.is_empty() {
            end_of(report, kinds);
        }
    }
}

/// Gives private pools the numbers that they have in the recording: PyTorch counts those of graphs, the harness graphs.
fn number_alike(own: &mut [SegmentView], recorded: &[SegmentView]) {
    let mut numbers: BTreeMap<PoolId, PoolId> = BTreeMap::new();
    for (own, recorded) in own.iter_mut().zip(recorded).filter(|(own, recorded)| own.address == recorded.address) {
        let is_taken = numbers.values().any(|number| *number == recorded.segment_pool_id);
        let number = match numbers.get(&own.segment_pool_id) {
            Some(&number) => number,
            None if is_taken => continue,
            None => *numbers.entry(own.segment_pool_id).or_insert(recorded.segment_pool_id),
        };
        own.segment_pool_id = number;
    }
}

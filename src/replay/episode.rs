//! One episode of a recording: the reference on the recorded driver, compared after every operation.

use std::collections::BTreeMap;

use super::ReplayReport;
use super::closing;
use super::divergence::{Divergence, DivergenceKind, FilePosition};
use super::driver;
use super::onlooker::{Onlooker, Put};
use super::pools::Pools;
use crate::device::StreamHandle;
use crate::device::recorded::{RecordedDevice, Serving};
use crate::op::snapshot::SegmentView;
use crate::op::stats::{Column, Family, Key};
use crate::op::trace::{Action, TraceEvent};
use crate::op::{Stats, Via};
use crate::recording::{End, Episode, Header, RecordedOp, Verb};
use crate::reference::{AllocError, PoolId, Reference, Settings, TENSOR_LIMIT, TENSOR_LIMIT_MESSAGE};

/// A device's events, and the private pool of each.
type Traced = (Vec<TraceEvent>, Vec<PoolId>);

/// What the reference did in an episode, by device, and what stands at its end.
pub(super) struct Stood {
    pub traces: Vec<Traced>,
    pub segments: Vec<SegmentView>,
    /// Where it reserved ranges of addresses.
    pub ranges: Vec<Vec<u64>>,
}

/// An episode on its way.
pub(super) struct Replayed {
    pub(super) reference: Reference<RecordedDevice>,
    settings: Settings,
    streams: BTreeMap<usize, Vec<u64>>,
    /// Addresses of live blocks by recorded id.
    blocks: BTreeMap<u64, u64>,
    pools: Pools,
    /// What the recording says the statistics are now.
    recorded: Vec<Stats>,
    /// Requests answered so far, by device.
    requests: Vec<u64>,
    owners: Vec<Vec<u64>>,
    end: End,
    diverged: bool,
    /// Several events passed in one step somewhere: their order is not to be compared.
    hash_order: bool,
    /// What was asked for in this step, by device, for whoever looks on.
    put: Vec<(usize, Put)>,
}

impl Replayed {
    /// `owners`: the private pool of each request, by device.
    pub fn start(
        (header, settings): (&Header, &Settings),
        start: &Episode,
        end: End,
        mut owners: Vec<Vec<u64>>,
        report: &mut ReplayReport,
    ) -> Self {
        let count = header.devices.len();
        owners.resize(count, Vec::new());
        let devices = header.devices.iter().enumerate().map(|(i, info)| {
            let streams = super::streams_of(start, info.index);
            RecordedDevice::new(info.total_bytes, streams, driver::acts(end.events_of(i), &owners[i])).from_nothing()
        });
        let mut reference = super::by_release(header, devices.collect(), settings);
        reference.record_trace();
        let mut recorded = vec![Stats::default(); count];
        for (&device, change) in &start.stats {
            report.unknown_keys += u64::from(change.unknown);
            if let Some(stats) = recorded.get_mut(device) {
                change.apply(stats);
                // What earlier episodes left (none of it current) is where this one starts from.
                reference.device_mut(device).adopt(*stats);
            }
        }
        for (&device, &fraction) in start.fraction.iter().filter(|&(&d, _)| d < count) {
            // A fraction PyTorch accepted is one the reference accepts.
            let _ = reference.set_fraction(device, fraction);
        }
        Replayed {
            reference,
            settings: *settings,
            streams: start.streams.clone(),
            blocks: BTreeMap::new(),
            pools: Pools::default(),
            recorded,
            requests: vec![0; count],
            owners,
            end,
            diverged: false,
            hash_order: false,
            put: Vec::new(),
        }
    }

    /// The settings in force.
    pub fn settings(&self) -> Settings {
        self.settings
    }

    /// Shows somebody every device as it is at the start.
    pub fn show(&self, onlooker: &mut dyn Onlooker) {
        for device in 0..self.reference.device_count() {
            let refusals = self.end.events_of(device).filter(|e| e.action == Action::Oom);
            onlooker.begins(device, self.reference.device(device), refusals.map(|e| e.address).collect());
        }
    }

    /// As [`Replayed::step`], with somebody looking on.
    pub fn shown_step(&mut self, line: u64, op: &RecordedOp, report: &mut ReplayReport, onlooker: &mut dyn Onlooker) {
        self.step(line, op, report);
        for device in (0..self.reference.device_count()).filter(|_| !self.diverged) {
            let put: Vec<Put> = self.put.iter().filter(|(d, _)| *d == device).map(|(_, put)| *put).collect();
            onlooker.saw(FilePosition::Line(line), device, &put, self.reference.device(device));
        }
    }

    /// Asks one operation and compares.
    pub fn step(&mut self, line: u64, op: &RecordedOp, report: &mut ReplayReport) {
        self.put.clear();
        if self.diverged {
            return;
        }
        let mut kinds = Vec::new();
        self.got_on_its_own_account(op, &mut kinds);
        match if op.direct { self.past_the_cache(op) } else { self.ask(op) } {
            Ok(answer) => kinds.extend(answer),
            Err(field) => kinds.push(DivergenceKind::Incomplete { field }),
        }
        self.given_back_on_its_own_account(op, &mut kinds);
        driver::take_over(&op.stats, &mut self.recorded);
        self.compare_stats(&mut kinds, report);
        self.settle_streams(op);
        if !kinds.is_empty() {
            self.diverged = true;
            report.diverged(Divergence { place: FilePosition::Line(line), at: describe(op), kinds });
        }
    }

    /// Compares what stands at the end; answers what the reference did and what stands.
    pub fn finish(self, line: u64, report: &mut ReplayReport) -> Stood {
        let Replayed { mut reference, end, hash_order, diverged, .. } = self;
        let traces: Vec<_> =
            (0..reference.device_count()).map(|device| reference.device_mut(device).taken_trace_and_pools()).collect();
        let segments = reference.snapshot().segments;
        if !diverged {
            let kinds = closing::compare(&traces, &segments, &end, hash_order);
            if !kinds.is_empty() {
                let (place, at) = (FilePosition::Line(line), "end of the episode".to_owned());
                report.diverged(Divergence { place, at, kinds });
            }
        }
        let ranges = reference.devices().map(|device| device.device().reserved().to_vec()).collect();
        Stood { traces, segments, ranges }
    }

    fn device_of(&self, op: &RecordedOp) -> Result<usize, &'static str> {
        op.device.filter(|&d| d < self.reference.device_count()).ok_or("device")
    }

    fn stream_of(&self, op: &RecordedOp) -> Result<(usize, StreamHandle), &'static str> {
        self.stream_at(op, op.stream.ok_or("stream")?)
    }

    /// A stream of the device that the operation names.
    fn stream_at(&self, op: &RecordedOp, position: usize) -> Result<(usize, StreamHandle), &'static str> {
        let device = self.device_of(op)?;
        let handle = self.streams.get(&device).and_then(|s| s.get(position)).ok_or("stream")?;
        Ok((position, StreamHandle(*handle)))
    }

    fn ask(&mut self, op: &RecordedOp) -> Result<Option<DivergenceKind>, &'static str> {
        let block = || op.block.ok_or("block");
        match op.op {
            Verb::Alloc => return self.alloc(op),
            Verb::Free => {
                let address = self.blocks.remove(&block()?).ok_or("block")?;
                let predicted = self.reference.free(address);
                if let Err(error) = predicted {
                    let recorded = "served".to_owned();
                    return Ok(Some(DivergenceKind::Refusal { recorded, predicted: error.to_string() }));
                }
                if op.synchronized {
                    let device = self.device_of(op)?;
                    self.reference.device_mut(device).device_mut().synchronize();
                }
            }
            Verb::RecordStream => {
                let address = *self.blocks.get(&block()?).ok_or("block")?;
                let (_, stream) = self.stream_of(op)?;
                self.reference.record_stream(address, stream);
            }
            Verb::Occupy | Verb::WaitStream | Verb::Synchronize => self.of_streams(op)?,
            Verb::EmptyCache => {
                if let Err(error) = self.reference.empty_cache() {
                    let recorded = "served".to_owned();
                    return Ok(Some(DivergenceKind::Refusal { recorded, predicted: error.to_string() }));
                }
            }
            Verb::ResetPeak => {
                let device = self.device_of(op)?;
                self.reference.device_mut(device).reset_peak();
            }
            Verb::ResetAccumulated => {
                let device = self.device_of(op)?;
                self.reference.device_mut(device).reset_accumulated();
            }
            Verb::SetFraction => {
                let device = self.device_of(op)?;
                if let Err(error) = self.reference.set_fraction(device, op.fraction.ok_or("fraction")?) {
                    let recorded = "served".to_owned();
                    return Ok(Some(DivergenceKind::Refusal { recorded, predicted: error.to_string() }));
                }
            }
            Verb::SetSettings => {
                let changed = self.reference.change_settings(op.settings.as_deref().ok_or("settings")?);
                self.settings = *self.reference.settings();
                let served = || "served".to_owned();
                let predicted = changed.map_or_else(|error| error.as_raised(), |()| served());
                let recorded = op.error.as_ref().map_or_else(served, |error| error.message.clone());
                // Only whether it was refused: what PyTorch says then was not recorded for every mistake.
                if op.error.is_some() == (predicted == "served") {
                    return Ok(Some(DivergenceKind::Refusal { recorded, predicted }));
                }
            }
            // What others hold shows in what the driver refuses, and what goes past the cache is said of each block.
            Verb::Neighbour | Verb::SetCaching => {}
            Verb::PoolCreate | Verb::PoolEnter | Verb::PoolExit => {
                let device = self.device_of(op)?;
                return self.pools.of_pool(&mut self.reference, op, device);
            }
            Verb::PoolDelete => return self.pools.delete(&mut self.reference, op),
            Verb::CaptureBegin => {
                let (_, stream) = self.stream_of(op)?;
                let device = self.device_of(op)?;
                return self.pools.capture(&mut self.reference, op, device, stream);
            }
            Verb::CaptureEnd | Verb::GraphReset => {
                let device = self.device_of(op)?;
                return self.pools.of_graph(&mut self.reference, op, device);
            }
        }
        Ok(None)
    }

    /// A block of the driver's own: where it lies is nothing that an allocator decides, and no figure moves.
    fn past_the_cache(&mut self, op: &RecordedOp) -> Result<Option<DivergenceKind>, &'static str> {
        let device = self.device_of(op)?;
        match op.op {
            Verb::Alloc if op.error.is_some() => {}
            Verb::Alloc => {
                let (address, bytes) = (op.address.ok_or("address")?, op.bytes.ok_or("bytes")?);
                let end = address.saturating_add(bytes);
                let reserved = self.reference.device(device).segments();
                let cached =
                    reserved.iter().find(|s| s.address < end && address < s.address.saturating_add(s.total_size));
                if let Some(segment) = cached.filter(|_| bytes > 0) {
                    let what = format!(
                        "a block past the cache at [{address:#x}, {end:#x}) lies in the segment at {:#x}",
                        segment.address
                    );
                    return Ok(Some(DivergenceKind::Invariant { what }));
                }
            }
            Verb::Free | Verb::RecordStream => {}
            _ => return Err("op"),
        }
        if op.synchronized {
            self.reference.device_mut(device).device_mut().synchronize();
        }
        Ok(None)
    }

    /// What happens to streams.
    fn of_streams(&mut self, op: &RecordedOp) -> Result<(), &'static str> {
        let index = self.device_of(op)?;
        match op.op {
            Verb::Occupy => {
                let (position, _) = self.stream_of(op)?;
                self.reference.device_mut(index).device_mut().occupy(position);
            }
            Verb::WaitStream => {
                let (position, _) = self.stream_of(op)?;
                let (on, _) = self.stream_at(op, op.on.ok_or("on")?)?;
                self.reference.device_mut(index).device_mut().hold_for(position, on);
            }
            _ => self.reference.device_mut(index).device_mut().synchronize(),
        }
        Ok(())
    }

    /// A request of a caller or of PyTorch itself, served by the recorded driver.
    pub(super) fn request(&mut self, device: usize, bytes: u64, stream: StreamHandle) -> Result<u64, String> {
        let allocator = self.reference.device_mut(device);
        let small = driver::is_small(bytes, &self.settings);
        let request = self.requests[device];
        let owner = driver::owner(&self.owners[device], request);
        allocator.device_mut().serve(Serving { request, stream, small, owner });
        let answer = allocator.alloc(bytes, stream);
        if bytes > 0 {
            self.requests[device] += 1;
        }
        self.put.push((device, Put { bytes, stream, address: answer.as_ref().ok().copied(), pool: None }));
        answer.map_err(|error| match error {
            AllocError::OutOfMemory(refusal) => refusal.to_string(),
            other => other.to_string(),
        })
    }

    fn alloc(&mut self, op: &RecordedOp) -> Result<Option<DivergenceKind>, &'static str> {
        let device = self.device_of(op)?;
        let (_, stream) = self.stream_of(op)?;
        let bytes = op.bytes.ok_or("bytes")?;
        let predicted = if op.via == Some(Via::Tensor) && bytes >= TENSOR_LIMIT {
            Err(TENSOR_LIMIT_MESSAGE.to_owned())
        } else {
            let allocator = self.reference.device_mut(device);
            allocator.set_current_stream((op.via == Some(Via::Tensor)).then_some(stream));
            if driver::was_refused_first(op, device) {
                allocator.device_mut().refuse_a_retry();
            }
            let answer = self.request(device, bytes, stream);
            self.reference.device_mut(device).set_current_stream(None);
            answer
        };
        if let Ok(address) = predicted {
            self.blocks.insert(op.block.ok_or("block")?, address);
        }
        driver::unlike(op, predicted)
    }

    /// Every key of every device. Within the tolerance, the recording's figures are taken over.
    fn compare_stats(&mut self, kinds: &mut Vec<DivergenceKind>, report: &mut ReplayReport) {
        for (device, recorded) in self.recorded.iter().enumerate() {
            let allocator = self.reference.device_mut(device);
            let several = allocator.passed_together() > 1;
            self.hash_order |= several;
            if allocator.stats() == recorded {
                continue;
            }
            let predicted = *allocator.stats();
            let differing: Vec<Key> = Key::all().filter(|&k| predicted.value(k) != recorded.value(k)).collect();
            if several && differing.iter().all(|&k| depends_on_hash_order(k)) {
                report.hash_order += 1;
                allocator.adopt(*recorded);
                continue;
            }
            kinds.extend(differing.into_iter().map(|key| DivergenceKind::Stat {
                device,
                key: key.to_string(),
                recorded: recorded.value(key),
                predicted: predicted.value(key),
            }));
        }
    }

    /// What the recorder saw of the streams afterwards.
    fn settle_streams(&mut self, op: &RecordedOp) {
        let count = self.reference.device_count();
        for (&device, idle) in op.idle.iter().filter(|&(&d, _)| d < count) {
            for &stream in idle {
                self.reference.device_mut(device).device_mut().finish(stream);
            }
        }
    }
}

/// Whether a figure depends on the order in which blocks became free in one step.
pub(super) fn depends_on_hash_order(key: Key) -> bool {
    matches!(key, Key::Family(Family::InactiveSplit | Family::InactiveSplitBytes, _, column) if column != Column::Current)
}

/// What a recorded operation asks, in a line.
pub(super) fn describe(op: &RecordedOp) -> String {
    let mut text = format!("{:?}", op.op).to_lowercase();
    if let Some(pool) = &op.pool {
        text.push_str(&format!(" {pool:?}").to_lowercase());
    }
    for (name, value) in [("block", op.block), ("bytes", op.bytes), ("graph", op.graph)] {
        if let Some(value) = value {
            text.push_str(&format!(" {name} {value}"));
        }
    }
    if let Some(device) = op.device {
        text.push_str(&format!(" device {device}"));
    }
    if let Some(stream) = op.stream {
        text.push_str(&format!(" stream {stream}"));
    }
    text
}

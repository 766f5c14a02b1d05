//! The calls of a recording or a snapshot, apart from what was answered.

use std::collections::BTreeMap;
use std::path::Path;

use super::super::history::moment::{Call, Lead, Moment, Survey};
use super::super::{ReplayError, header_of, history, is_pickle};
use super::pools::{self, PoolAsk};
use super::{Row, Workload};
use crate::device::StreamHandle;
use crate::device::sim::SimDevice;
use crate::op::StreamId;
use crate::recording::{Line, MemorySnapshot, PlacedEvent, Reader, RecordedOp, Verb};
use crate::reference::{Reference, Sound};

/// One thing asked of a device's allocator, or done on the device.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::replay) enum Ask {
    /// A block that the recorded run was refused is given back at once if it is served here.
    Alloc {
        block: u64,
        bytes: u64,
        stream: u8,
        refused: bool,
    },
    Free {
        block: u64,
    },
    Record {
        block: u64,
        stream: u8,
    },
    Occupy {
        stream: u8,
    },
    Finish {
        stream: u8,
    },
    Synchronize,
    Flush,
    Limit {
        fraction: f64,
    },
    /// On private pools and captures.
    Pool(PoolAsk),
    /// Everything is given back.
    Clear,
}

/// Blocks on their way through the calls.
#[derive(Debug, Default)]
pub(super) struct Asked {
    blocks: BTreeMap<(usize, u64), u64>,
    requests: u64,
}

impl Asked {
    /// Asks one call. A failure of the simulated device is none of the settings' doing, and there is none.
    pub fn ask(&mut self, reference: &mut Reference<SimDevice, Sound>, device: usize, ask: Ask, row: &mut Row) {
        let allocator = reference.device_mut(device);
        match ask {
            Ask::Alloc { block, bytes, stream, refused } => {
                self.requests += 1;
                let handle = allocator.device().stream_handle(StreamId(stream));
                match allocator.alloc(bytes, handle) {
                    Ok(address) if refused => drop(allocator.free(address)),
                    Ok(address) => drop(self.blocks.insert((device, block), address)),
                    Err(_) => {
                        row.refusals += 1;
                        row.first_refusal.get_or_insert((self.requests, bytes));
                    }
                }
            }
            Ask::Free { block } => {
                if let Some(address) = self.blocks.remove(&(device, block)) {
                    let _ = allocator.free(address);
                }
            }
            Ask::Record { block, stream } => {
                let handle = allocator.device().stream_handle(StreamId(stream));
                if let Some(&address) = self.blocks.get(&(device, block)) {
                    allocator.record_stream(address, handle);
                }
            }
            Ask::Occupy { stream } => drop(allocator.device_mut().occupy(StreamId(stream))),
            Ask::Finish { stream } => drop(allocator.device_mut().finish(StreamId(stream))),
            Ask::Synchronize => allocator.device_mut().synchronize(),
            Ask::Flush => drop(allocator.release_cached()),
            Ask::Pool(asked) => asked.ask(reference, device),
            Ask::Limit { fraction } => drop(reference.set_fraction(device, fraction)),
            Ask::Clear => {
                for (_, address) in self.blocks.extract_if((device, 0)..=(device, u64::MAX), |_, _| true) {
                    let _ = allocator.free(address);
                }
                allocator.device_mut().synchronize();
                let _ = allocator.release_cached();
            }
        }
    }
}

/// Reads the calls of a file.
pub(super) fn of(path: &Path) -> Result<Workload, ReplayError> {
    if is_pickle(path)? { of_snapshot(&MemorySnapshot::read(path)?) } else { of_recording(path) }
}

pub(in crate::replay) fn of_recording(path: &Path) -> Result<Workload, ReplayError> {
    let mut reader = Reader::open(path)?;
    let (header, settings) = header_of(&mut reader)?;
    let devices = header.devices.len();
    let mut asks = Vec::new();
    let mut names = pools::Names::default();
    while let Some(line) = reader.next_line()? {
        match line {
            Line::Episode(start) => {
                for device in 0..devices {
                    asks.push((device, Ask::Clear));
                    if let Some(&fraction) = start.fraction.get(&device) {
                        asks.push((device, Ask::Limit { fraction }));
                    }
                }
            }
            Line::Op(op) => {
                asks_of(&op, devices, &mut asks);
                let asked = names.asked(&op).filter(|&(device, _)| device < devices);
                asks.extend(asked.map(|(device, ask)| (device, Ask::Pool(ask))));
            }
            Line::End(_) => {}
        }
    }
    Ok(Workload { config: header.config, settings, high_water: 0, devices, asks })
}

fn asks_of(op: &RecordedOp, devices: usize, asks: &mut Vec<(usize, Ask)>) {
    let device = op.device.filter(|&d| d < devices);
    let stream = op.stream.and_then(|s| u8::try_from(s).ok()).filter(|&s| s < StreamId::LIMIT);
    let mut push = |ask: Option<Ask>| asks.extend(device.zip(ask));
    match op.op {
        Verb::Alloc => push(op.block.zip(op.bytes).zip(stream).map(|((block, bytes), stream)| {
            let refused = op.error.is_some();
            Ask::Alloc { block, bytes, stream, refused }
        })),
        Verb::Free => {
            push(op.block.map(|block| Ask::Free { block }));
            push(op.synchronized.then_some(Ask::Synchronize));
        }
        Verb::RecordStream => push(op.block.zip(stream).map(|(block, stream)| Ask::Record { block, stream })),
        Verb::Occupy => push(stream.map(|stream| Ask::Occupy { stream })),
        Verb::Synchronize => push(Some(Ask::Synchronize)),
        Verb::EmptyCache => asks.extend((0..devices).map(|device| (device, Ask::Flush))),
        Verb::SetFraction => push(op.fraction.map(|fraction| Ask::Limit { fraction })),
        Verb::ResetPeak | Verb::ResetAccumulated => {} // the rows count for themselves
        Verb::PoolCreate
        | Verb::PoolEnter
        | Verb::PoolExit
        | Verb::PoolDelete
        | Verb::CaptureBegin
        | Verb::CaptureEnd
        | Verb::GraphReset => asks.extend(pools::on_its_own_account(op, devices)),
    }
    for (&device, idle) in op.idle.iter().filter(|&(&d, _)| d < devices) {
        let streams = idle.iter().filter_map(|&s| u8::try_from(s).ok());
        asks.extend(streams.map(|stream| (device, Ask::Finish { stream })));
    }
}

pub(in crate::replay) fn of_snapshot(snapshot: &MemorySnapshot) -> Result<Workload, ReplayError> {
    let settings = history::settings(snapshot)?;
    if !snapshot.has_history() {
        return Err(ReplayError::NoHistory { file: snapshot.file.clone() });
    }
    let mut workload = Workload {
        config: snapshot.config.clone(),
        settings,
        high_water: 0,
        devices: snapshot.traces.len(),
        asks: Vec::new(),
    };
    for (device, trace) in snapshot.traces.iter().enumerate() {
        let survey = Survey::of(trace, &[]);
        workload.high_water = workload.high_water.max(survey.high_water);
        let mut life = Calls::new(snapshot, trace, &survey)?;
        for moment in Moment::all(trace) {
            life.moment(trace, &moment);
        }
        workload.asks.extend(life.asks.into_iter().map(|ask| (device, ask)));
    }
    Ok(workload)
}

/// A trace on its way to calls.
struct Calls {
    asks: Vec<Ask>,
    /// Positions of the streams that requests name.
    streams: BTreeMap<StreamHandle, u8>,
    /// Streams that stand in for those that blocks wait for. Where they do not suffice, a block is given
    /// back only when it became free.
    unused: Vec<u8>,
    live: BTreeMap<u64, u64>,
    waiting: BTreeMap<u64, Result<u8, u64>>,
    blocks: u64,
    reserved: u64,
    high_water: u64,
}

impl Calls {
    fn new(snapshot: &MemorySnapshot, trace: &[PlacedEvent], survey: &Survey) -> Result<Self, ReplayError> {
        let mut streams = BTreeMap::from([(StreamHandle(0), 0)]);
        for handle in trace.iter().map(|e| StreamHandle(e.event.stream)) {
            let next = streams.len();
            if let std::collections::btree_map::Entry::Vacant(entry) = streams.entry(handle) {
                let most = usize::from(StreamId::LIMIT);
                let too_many = || ReplayError::Streams { file: snapshot.file.clone(), streams: next + 1, most };
                let position = u8::try_from(next).ok().filter(|&p| p < StreamId::LIMIT).ok_or_else(too_many)?;
                entry.insert(position);
            }
        }
        let first = u8::try_from(streams.len()).unwrap_or(StreamId::LIMIT);
        Ok(Calls {
            asks: Vec::new(),
            streams,
            unused: (first..StreamId::LIMIT).collect(),
            live: BTreeMap::new(),
            waiting: BTreeMap::new(),
            blocks: 0,
            reserved: 0,
            high_water: survey.high_water,
        })
    }

    fn moment(&mut self, trace: &[PlacedEvent], moment: &Moment) {
        let lead = Lead::of(&trace[moment.lead.clone()]);
        for address in lead.early.iter().chain(&lead.late) {
            self.complete(*address);
        }
        if self.was_flushed(&lead, moment.call) {
            self.asks.push(Ask::Flush);
        }
        let released = lead.released_bytes.saturating_add(lead.unmapped);
        self.reserved = self.reserved.saturating_add(lead.acquired).saturating_sub(released);
        match moment.call {
            Call::Alloc { bytes, stream, address } => {
                self.blocks += 1;
                let (block, refused) = (self.blocks, address.is_none());
                let stream = self.streams.get(&StreamHandle(stream)).copied().unwrap_or(0);
                self.live.extend(address.map(|address| (address, block)));
                self.asks.push(Ask::Alloc { block, bytes, stream, refused });
            }
            Call::Free { address, waits } => self.free(address, waits),
            Call::End => {}
        }
    }

    fn free(&mut self, address: u64, waits: bool) {
        let Some(block) = self.live.remove(&address) else { return };
        if !waits {
            self.asks.push(Ask::Free { block });
        } else if let Some(stream) = self.unused.pop() {
            self.asks.extend([Ask::Occupy { stream }, Ask::Record { block, stream }, Ask::Free { block }]);
            self.waiting.insert(address, Ok(stream));
        } else {
            self.waiting.insert(address, Err(block));
        }
    }

    fn complete(&mut self, address: u64) {
        match self.waiting.remove(&address) {
            Some(Ok(stream)) => {
                self.asks.push(Ask::Finish { stream });
                self.unused.push(stream);
            }
            Some(Err(block)) => self.asks.push(Ask::Free { block }),
            None => {}
        }
    }

    /// As the trace alone tells it; see `history::life` for the rule.
    fn was_flushed(&self, lead: &Lead, call: Call) -> bool {
        match call {
            Call::End | Call::Free { .. } => !lead.is_empty(),
            Call::Alloc { address: None, .. } => false,
            Call::Alloc { .. } if !lead.is_open(call) => lead.releases(),
            Call::Alloc { .. } => {
                lead.late.is_empty() && self.reserved.saturating_add(lead.acquired) <= self.high_water
            }
        }
    }
}

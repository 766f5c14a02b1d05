//! One device's trace, lived again: each call asked of the reference, its events held against the trace.
//!
//! Decides what the trace leaves open: whether memory given back before a request was a flush of its own
//! or the request's, and when waiting blocks became free.

use std::collections::BTreeMap;

use super::moment::{Call, Lead, Moment, Survey};
use crate::device::StreamHandle;
use crate::device::recorded::{RecordedDevice, Serving};
use crate::op::snapshot::BlockState;
use crate::op::trace::TraceEvent;
use crate::op::{Counter, Family, Stats};
use crate::recording::PlacedEvent;
use crate::reference::{DeviceAllocator, Settings, Sound, rounding};
use crate::replay::divergence::{Divergence, DivergenceKind, Place};
use crate::replay::{ReplayReport, closing, driver};

/// A stand-in for the streams that a block waits for: one stream for each block that waits.
pub(super) fn stand_in(slot: usize) -> StreamHandle {
    StreamHandle(u64::MAX - slot as u64)
}

/// A device on its way through its trace.
pub(super) struct Life<'r> {
    pub device: usize,
    pub allocator: &'r mut DeviceAllocator<RecordedDevice, Sound>,
    pub settings: &'r Settings,
    pub events: &'r [PlacedEvent],
    pub survey: Survey,
    /// What the recorder counted in the end, if it did.
    pub counted: Option<Stats>,
    /// Requests answered so far.
    requests: u64,
    /// Blocks that wait, by address, and the stand-ins not in use.
    waiting: BTreeMap<u64, usize>,
    unused: Vec<usize>,
    /// Several blocks became free in a flush: in which order is PyTorch's hash order.
    pub hash_order: bool,
    /// What the allocator did, if it is to be kept.
    pub kept: Option<Vec<TraceEvent>>,
}

impl<'r> Life<'r> {
    pub fn new(
        device: usize,
        allocator: &'r mut DeviceAllocator<RecordedDevice, Sound>,
        settings: &'r Settings,
        events: &'r [PlacedEvent],
        survey: Survey,
    ) -> Self {
        let unused = (0..survey.most_waiting).collect();
        Life {
            device,
            allocator,
            settings,
            events,
            survey,
            counted: None,
            requests: 0,
            waiting: BTreeMap::new(),
            unused,
            hash_order: false,
            kept: None,
        }
    }

    /// Lives the whole trace, up to the first divergence.
    pub fn live(&mut self, report: &mut ReplayReport) -> Option<Divergence> {
        let mut cursor = 0;
        while let Some(moment) = Moment::at(self.events, cursor) {
            let divergence = self.step(cursor, &moment, report);
            if divergence.is_some() {
                return divergence;
            }
            cursor = moment.end;
        }
        None
    }

    fn step(&mut self, start: usize, moment: &Moment, report: &mut ReplayReport) -> Option<Divergence> {
        let lead = Lead::of(&self.events[moment.lead.clone()]);
        let mut kinds: Vec<DivergenceKind> = Vec::new();
        let flushed = self.lead_up(&lead, moment.call, &mut kinds);
        report.operations += u64::from(flushed);
        match moment.call {
            Call::Alloc { bytes, stream, address } => {
                report.operations += 1;
                kinds.extend(self.alloc(bytes, stream, address));
            }
            Call::Free { address, waits } => {
                report.operations += 1;
                kinds.extend(self.free(address, waits));
            }
            Call::End => {}
        }
        for address in lead.early.iter().chain(&lead.late) {
            self.unused.extend(self.waiting.remove(address));
        }
        let place = self.compare(start..moment.end, &mut kinds, report);
        (!kinds.is_empty()).then(|| Divergence { place, at: describe(moment.call), kinds })
    }

    /// What happened between the calls. Answers whether that was a flush.
    fn lead_up(&mut self, lead: &Lead, call: Call, kinds: &mut Vec<DivergenceKind>) -> bool {
        if lead.is_empty() {
            return false;
        }
        let inside = self.frees_inside(lead, call);
        if inside {
            if !lead.releases() && lead.acquired > 0 {
                self.allocator.device_mut().refuse_once();
            }
            return false;
        }
        for address in &lead.early {
            let Some(&slot) = self.waiting.get(address) else { continue };
            self.allocator.device_mut().finish(slot);
            if let Err(error) = self.allocator.process_events() {
                kinds.push(DivergenceKind::Refusal { recorded: "served".to_owned(), predicted: error.to_string() });
            }
        }
        if !self.was_flushed(lead, call) {
            return false;
        }
        if let Err(error) = self.allocator.release_cached() {
            kinds.push(DivergenceKind::Refusal { recorded: "served".to_owned(), predicted: error.to_string() });
        }
        true
    }

    /// Whether the waiting blocks became free inside the request: had they been free before, it would have
    /// been served with one of them and not have called the driver.
    fn frees_inside(&self, lead: &Lead, call: Call) -> bool {
        let Call::Alloc { bytes, stream, address } = call else { return false };
        let calls_driver = lead.acquired > 0 || address.is_none();
        let Some(size) = rounding::block_size(bytes, self.settings) else { return false };
        if lead.early.is_empty() || !calls_driver {
            return false;
        }
        let kind = rounding::pool_kind(size);
        let fitting = |s: &&crate::op::snapshot::SegmentView| s.segment_type == kind && s.stream == stream;
        self.allocator.segments().iter().filter(fitting).any(|segment| {
            let mut run = 0;
            segment.blocks.iter().any(|block| {
                let free = block.state == BlockState::Inactive || lead.early.contains(&block.address);
                run = if free { run + block.size } else { 0 };
                run >= size
            })
        })
    }

    /// Whether a flush was asked for between the calls.
    fn was_flushed(&mut self, lead: &Lead, call: Call) -> bool {
        let open = lead.is_open(call);
        let (left, refusals) = (self.survey.open, self.survey.refusals);
        self.survey.open -= i64::from(open);
        match call {
            Call::End | Call::Free { .. } => return true, // nothing else comes between
            Call::Alloc { address: None, .. } => {
                self.survey.refusals -= 1;
                return false;
            }
            Call::Alloc { .. } if !open => return lead.releases(),
            Call::Alloc { .. } => {}
        }
        if !lead.late.is_empty() || !self.releases_all(lead) {
            return false;
        }
        let now = *self.allocator.stats();
        if let Some(counted) = self.counted {
            let to_come = |counter| counted.counter(counter) - now.counter(counter) - refusals;
            if to_come(Counter::NumSyncAllStreams) <= 0 || to_come(Counter::NumAllocRetries) >= left {
                return false;
            }
            if to_come(Counter::NumAllocRetries) <= 0 {
                return true;
            }
        }
        // What the driver once gave it would have given again, with no need to flush first.
        let reserved = u64::try_from(now.all(Family::ReservedBytes).current).unwrap_or(0);
        reserved.saturating_add(lead.acquired) <= self.survey.high_water
    }

    /// Whether all that a flush would give back was: garbage collection and the like leave something.
    fn releases_all(&self, lead: &Lead) -> bool {
        let segments = self.allocator.segments();
        let whole = segments.iter().filter(|s| !s.is_expandable);
        let mut cached: Vec<u64> = whole
            .filter(|s| s.blocks.iter().all(|b| b.state == BlockState::Inactive))
            .map(|segment| segment.address)
            .collect();
        let mut released = lead.released.clone();
        cached.sort_unstable();
        released.sort_unstable();
        cached == released
    }

    fn alloc(&mut self, bytes: u64, stream: u64, recorded: Option<u64>) -> Option<DivergenceKind> {
        let (stream, small) = (StreamHandle(stream), driver::is_small(bytes, self.settings));
        self.allocator.device_mut().serve(Serving { request: self.requests, stream, small });
        self.requests += 1;
        match (recorded, self.allocator.alloc(bytes, stream)) {
            (Some(recorded), Ok(predicted)) => {
                (recorded != predicted).then_some(DivergenceKind::Address { recorded, predicted })
            }
            (Some(recorded), Err(error)) => {
                Some(DivergenceKind::RefusedInstead { recorded, predicted: error.to_string() })
            }
            (None, Ok(predicted)) => {
                Some(DivergenceKind::ServedInstead { recorded: "out of memory".to_owned(), predicted })
            }
            (None, Err(_)) => None, // the event tells whether it is the same refusal
        }
    }

    fn free(&mut self, address: u64, waits: bool) -> Option<DivergenceKind> {
        if waits && let Some(slot) = self.unused.pop() {
            self.allocator.device_mut().occupy(slot);
            self.allocator.record_stream(address, stand_in(slot));
            self.waiting.insert(address, slot);
        }
        let error = self.allocator.free(address).err()?;
        Some(DivergenceKind::Refusal { recorded: "served".to_owned(), predicted: error.to_string() })
    }

    /// Holds what the allocator did against the trace. Answers the place of the call, or of the first
    /// event that differs.
    fn compare(
        &mut self,
        range: std::ops::Range<usize>,
        kinds: &mut Vec<DivergenceKind>,
        report: &mut ReplayReport,
    ) -> Place {
        let (start, last) = (range.start, range.end - 1);
        let predicted = self.allocator.take_trace();
        if let Some(kept) = &mut self.kept {
            kept.extend(&predicted);
        }
        let recorded: Vec<TraceEvent> = self.events[range].iter().map(|e| e.event).collect();
        let mut differs = closing::first_event(self.device, recorded.clone(), predicted.clone(), false);
        if differs.is_some() && self.allocator.passed_together() > 1 {
            differs = closing::first_event(self.device, recorded, predicted, true);
            let tolerated = differs.is_none();
            self.hash_order |= tolerated;
            report.hash_order += u64::from(tolerated);
        }
        let Some(DivergenceKind::Event { device, index, recorded, predicted }) = differs else {
            return Place::Event { device: self.device, index: self.events[last].index };
        };
        let at = self.events.get(start + index).map_or(self.events[last].index + 1, |e| e.index);
        kinds.push(DivergenceKind::Event { device, index: at as usize, recorded, predicted });
        Place::Event { device: self.device, index: at }
    }
}

fn describe(call: Call) -> String {
    match call {
        Call::Alloc { bytes, stream, address: Some(_) } => format!("alloc of {bytes} bytes on stream {stream}"),
        Call::Alloc { bytes, stream, address: None } => format!("refused alloc of {bytes} bytes on stream {stream}"),
        Call::Free { address, .. } => format!("free of {address:#x}"),
        Call::End => "end of the trace".to_owned(),
    }
}

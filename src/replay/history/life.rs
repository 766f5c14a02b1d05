//! One device's trace, lived again: each call asked of the reference, its events held against the trace.
//!
//! Decides what is asked when. What the trace leaves open is tried: each course on a copy, until one gives
//! the recorded events.

use std::collections::BTreeMap;

use super::course::{self, Course};
use super::moment::{Call, Lead, Moment, Survey};
use crate::device::StreamHandle;
use crate::device::recorded::{RecordedDevice, Serving};
use crate::op::Stats;
use crate::op::trace::{Action, TraceEvent};
use crate::recording::PlacedEvent;
use crate::reference::{DeviceAllocator, Settings, Sound};
use crate::replay::divergence::{Divergence, DivergenceKind, Place};
use crate::replay::onlooker::{Onlooker, Put};
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
    pub fn live(&mut self, report: &mut ReplayReport, onlooker: &mut dyn Onlooker) -> Option<Divergence> {
        let refusals = self.events.iter().filter(|e| e.event.action == Action::Oom);
        onlooker.begins(self.device, self.allocator, refusals.map(|e| e.event.address).collect());
        let mut cursor = 0;
        while let Some(moment) = Moment::at(self.events, cursor) {
            let divergence = self.step(cursor, &moment, report, onlooker);
            if divergence.is_some() {
                return divergence;
            }
            cursor = moment.end;
        }
        None
    }

    fn step(
        &mut self,
        start: usize,
        moment: &Moment,
        report: &mut ReplayReport,
        onlooker: &mut dyn Onlooker,
    ) -> Option<Divergence> {
        let lead = Lead::of(&self.events[moment.lead.clone()]);
        let recorded: Vec<TraceEvent> = self.events[start..moment.end].iter().map(|e| e.event).collect();
        let course = self.choose(&lead, moment.call, &recorded);
        let mut kinds = self.act(course, &lead, moment.call);
        report.operations += u64::from(course.flush) + u64::from(moment.call != Call::End);
        self.requests += u64::from(matches!(moment.call, Call::Alloc { .. }));
        if let Call::Free { address, waits: true } = moment.call
            && let Some(slot) = self.unused.pop()
        {
            self.waiting.insert(address, slot);
        }
        for address in lead.early.iter().chain(&lead.late) {
            self.unused.extend(self.waiting.remove(address));
        }
        let predicted = self.allocator.taken_trace();
        let place = self.compare(start..moment.end, recorded, &predicted, &mut kinds, report);
        if let Some(kept) = &mut self.kept {
            kept.extend(predicted);
        }
        if kinds.is_empty() {
            let put = match moment.call {
                Call::Alloc { bytes, stream, address } => Some(Put { bytes, stream: StreamHandle(stream), address }),
                Call::Free { .. } | Call::End => None,
            };
            onlooker.saw(place, self.device, put.as_slice(), self.allocator);
        }
        (!kinds.is_empty()).then(|| Divergence { place, at: describe(moment.call), kinds })
    }

    /// The course that explains the events before the call; where none does, the likeliest.
    fn choose(&mut self, lead: &Lead, call: Call, recorded: &[TraceEvent]) -> Course {
        let open = lead.is_open(call);
        let likely = open && course::likely_flushed(lead, self.allocator.stats(), self.counted.as_ref(), &self.survey);
        self.survey.open -= i64::from(open);
        self.survey.refusals -= i64::from(matches!(call, Call::Alloc { address: None, .. }));
        let courses = course::possible(lead, call, likely);
        if courses.len() == 1 {
            return courses[0];
        }
        let before = self.allocator.clone();
        let fits = |course: &&Course| {
            let kinds = self.act(**course, lead, call);
            let predicted = self.allocator.taken_trace();
            let several = self.allocator.passed_together() > 1;
            self.allocator.clone_from(&before);
            let differs = closing::first_event(self.device, recorded.to_vec(), predicted, several);
            kinds.is_empty() && differs.is_none()
        };
        courses.iter().find(fits).copied().unwrap_or(courses[0])
    }

    /// Asks what a course says, then the call.
    fn act(&mut self, course: Course, lead: &Lead, call: Call) -> Vec<DivergenceKind> {
        let failed = |error: &dyn std::fmt::Display| DivergenceKind::Refusal {
            recorded: "served".to_owned(),
            predicted: error.to_string(),
        };
        let mut kinds = Vec::new();
        for address in lead.early.iter().filter(|_| course.finished) {
            let Some(&slot) = self.waiting.get(address) else { continue };
            self.allocator.device_mut().finish(slot);
            kinds.extend(self.allocator.process_events().err().map(|e| failed(&e)));
        }
        if course.flush {
            kinds.extend(self.allocator.release_cached().err().map(|e| failed(&e)));
        }
        if course.refused {
            self.allocator.device_mut().refuse_once();
        }
        match call {
            Call::Alloc { bytes, stream, address } => kinds.extend(self.alloc(bytes, stream, address)),
            Call::Free { address, waits } => {
                if let Some(&slot) = self.unused.last().filter(|_| waits) {
                    self.allocator.device_mut().occupy(slot);
                    self.allocator.record_stream(address, stand_in(slot));
                }
                kinds.extend(self.allocator.free(address).err().map(|e| failed(&e)));
            }
            Call::End => {}
        }
        kinds
    }

    fn alloc(&mut self, bytes: u64, stream: u64, recorded: Option<u64>) -> Option<DivergenceKind> {
        let (stream, small) = (StreamHandle(stream), driver::is_small(bytes, self.settings));
        self.allocator.device_mut().serve(Serving { request: self.requests, stream, small, owner: 0 });
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

    /// Holds what the allocator did against the trace. Answers the place of the call, or of the first
    /// event that differs.
    fn compare(
        &mut self,
        range: std::ops::Range<usize>,
        recorded: Vec<TraceEvent>,
        predicted: &[TraceEvent],
        kinds: &mut Vec<DivergenceKind>,
        report: &mut ReplayReport,
    ) -> Place {
        let last = self.events[range.end - 1].index;
        let mut differs = closing::first_event(self.device, recorded.clone(), predicted.to_vec(), false);
        if differs.is_some() && self.allocator.passed_together() > 1 {
            differs = closing::first_event(self.device, recorded, predicted.to_vec(), true);
            let tolerated = differs.is_none();
            self.hash_order |= tolerated;
            report.hash_order += u64::from(tolerated);
        }
        let Some(DivergenceKind::Event { device, index, recorded, predicted }) = differs else {
            return Place::Event { device: self.device, index: last };
        };
        let at = self.events[range].get(index).map_or(last + 1, |e| e.index);
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

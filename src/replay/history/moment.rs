//! A trace cut into calls: each with the events that lead up to it and those that are its own.
//!
//! Decides which events belong to which call, as far as the trace alone tells.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::op::snapshot::SegmentView;
use crate::op::trace::{Action, TraceEvent};
use crate::recording::PlacedEvent;

/// What the program asked of the allocator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::replay) enum Call {
    /// Answered with an address, or refused.
    Alloc { bytes: u64, stream: u64, address: Option<u64> },
    /// `waits`: other streams had still to finish with the block.
    Free { address: u64, waits: bool },
    /// Nothing: here the trace ends.
    End,
}

/// A call and the places of its events in the trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::replay) struct Moment {
    /// Since the call before: what streams finished, what the driver did, perhaps for a flush of its own.
    pub lead: Range<usize>,
    pub call: Call,
    /// Past the call's last event.
    pub end: usize,
}

impl Moment {
    /// The call whose events begin at `start`; `None` at the end of the trace.
    pub fn at(events: &[PlacedEvent], start: usize) -> Option<Moment> {
        let rest = events.get(start..).filter(|rest| !rest.is_empty())?;
        let asked = |e: &PlacedEvent| matches!(e.event.action, Action::Alloc | Action::Oom | Action::FreeRequested);
        let Some(place) = rest.iter().position(asked).map(|p| start + p) else {
            return Some(Moment { lead: start..events.len(), call: Call::End, end: events.len() });
        };
        let TraceEvent { action, address, bytes, stream } = events[place].event;
        let (call, end) = match action {
            Action::Alloc => (Call::Alloc { bytes, stream, address: Some(address) }, place + 1),
            Action::Oom => (Call::Alloc { bytes, stream, address: None }, place + 1),
            _ => {
                let next = events.get(place + 1).map(|e| (e.event.action, e.event.address));
                let waits = next != Some((Action::FreeCompleted, address));
                (Call::Free { address, waits }, place + if waits { 1 } else { 2 })
            }
        };
        Some(Moment { lead: start..place, call, end })
    }

    /// All calls of a trace.
    pub fn all(events: &[PlacedEvent]) -> impl Iterator<Item = Moment> + '_ {
        let mut cursor = 0;
        std::iter::from_fn(move || {
            let moment = Moment::at(events, cursor)?;
            cursor = moment.end;
            Some(moment)
        })
    }
}

/// What leads up to a call, sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::replay) struct Lead {
    /// Blocks that became free before the driver was called.
    pub early: Vec<u64>,
    /// Blocks that became free after it was: only a flush inside a request does that.
    pub late: Vec<u64>,
    /// Segments given back, and how much memory was unmapped.
    pub released: Vec<u64>,
    pub released_bytes: u64,
    pub unmapped: u64,
    /// Memory got.
    pub acquired: u64,
}

impl Lead {
    pub fn of(events: &[PlacedEvent]) -> Lead {
        let mut lead = Lead::default();
        for TraceEvent { action, address, bytes, .. } in events.iter().map(|e| e.event) {
            match action {
                Action::FreeCompleted if lead.releases() || lead.acquired > 0 => lead.late.push(address),
                Action::FreeCompleted => lead.early.push(address),
                Action::SegmentFree => {
                    lead.released.push(address);
                    lead.released_bytes = lead.released_bytes.saturating_add(bytes);
                }
                Action::SegmentUnmap => lead.unmapped = lead.unmapped.saturating_add(bytes),
                Action::SegmentAlloc | Action::SegmentMap => lead.acquired = lead.acquired.saturating_add(bytes),
                Action::Alloc | Action::Oom | Action::FreeRequested | Action::Snapshot => {}
            }
        }
        lead
    }

    pub fn releases(&self) -> bool {
        !self.released.is_empty() || self.unmapped > 0
    }

    pub fn is_empty(&self) -> bool {
        *self == Lead::default()
    }

    /// Memory was given back and got again for one request: the request's own flush, or one asked for before it.
    pub fn is_open(&self, call: Call) -> bool {
        matches!(call, Call::Alloc { address: Some(_), .. }) && self.releases() && self.acquired > 0
    }
}

/// What a look over the whole trace of a device tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::replay) struct Survey {
    /// Most blocks that waited for streams at a time.
    pub most_waiting: usize,
    /// Most memory held at a time, as far as events tell.
    pub high_water: u64,
    pub refusals: i64,
    /// Calls of which the trace leaves open whose flush it was: see [`Lead::is_open`].
    pub open: i64,
    /// Blocks freed that no event allocated.
    pub strange_blocks: u64,
    /// Bytes held at the end, or given back, that no event got.
    pub strange_bytes: u64,
}

impl Survey {
    pub fn of(events: &[PlacedEvent], segments: &[&SegmentView]) -> Survey {
        let mut survey = Survey::default();
        let (mut live, mut waiting) = (BTreeSet::new(), BTreeSet::new());
        let mut held = Held::default();
        for TraceEvent { action, address, bytes, .. } in events.iter().map(|e| e.event) {
            match action {
                Action::Alloc => {
                    live.insert(address);
                }
                Action::FreeRequested => {
                    survey.strange_blocks += u64::from(!live.remove(&address));
                    waiting.insert(address);
                    survey.most_waiting = survey.most_waiting.max(waiting.len());
                }
                Action::FreeCompleted => {
                    survey.strange_blocks += u64::from(!waiting.remove(&address));
                }
                Action::SegmentAlloc => held.reserve(address, bytes),
                Action::SegmentFree => survey.strange(held.release(address, bytes)),
                Action::SegmentMap => held.mapped = held.mapped.saturating_add(bytes),
                Action::SegmentUnmap => survey.strange(held.unmap(bytes)),
                Action::Oom => survey.refusals += 1,
                Action::Snapshot => {}
            }
            if matches!(action, Action::SegmentAlloc | Action::SegmentMap) {
                survey.high_water = survey.high_water.max(held.bytes());
            }
        }
        for moment in Moment::all(events) {
            survey.open += i64::from(Lead::of(&events[moment.lead.clone()]).is_open(moment.call));
        }
        survey.strange(held.unexplained(segments));
        survey
    }

    fn strange(&mut self, bytes: u64) {
        self.strange_bytes = self.strange_bytes.saturating_add(bytes);
    }

    /// Every block and all memory come from events of the trace.
    pub fn is_whole(&self) -> bool {
        self.strange_blocks == 0 && self.strange_bytes == 0
    }
}

/// Memory held, by what the events say.
#[derive(Debug, Default)]
struct Held {
    segments: BTreeMap<u64, u64>,
    in_segments: u64,
    mapped: u64,
}

impl Held {
    fn reserve(&mut self, address: u64, bytes: u64) {
        self.segments.insert(address, bytes);
        self.in_segments = self.in_segments.saturating_add(bytes);
    }

    /// What of it no event had got.
    fn release(&mut self, address: u64, bytes: u64) -> u64 {
        let Some(known) = self.segments.remove(&address) else { return bytes };
        self.in_segments = self.in_segments.saturating_sub(known);
        0
    }

    /// What of it no event had mapped.
    fn unmap(&mut self, bytes: u64) -> u64 {
        let strange = bytes.saturating_sub(self.mapped);
        self.mapped = self.mapped.saturating_sub(bytes);
        strange
    }

    fn bytes(&self) -> u64 {
        self.in_segments.saturating_add(self.mapped)
    }

    fn unexplained(&self, segments: &[&SegmentView]) -> u64 {
        let unknown = segments.iter().filter(|s| !s.is_expandable && !self.segments.contains_key(&s.address));
        let expandable = segments.iter().filter(|s| s.is_expandable);
        let sum = |sum: u64, s: &&SegmentView| sum.saturating_add(s.total_size);
        let mapped = expandable.fold(0, sum);
        unknown.fold(0, sum).saturating_add(mapped.saturating_sub(self.mapped))
    }
}

//! A trace cut into calls: each with the events that lead up to it and those that are its own.
//!
//! Decides which events belong to which call, as far as the trace alone tells.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::op::snapshot::{BlockState, SegmentView};
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

impl Call {
    /// A request that was refused.
    pub fn is_refused(self) -> bool {
        matches!(self, Call::Alloc { address: None, .. })
    }
}

/// A call and the places of its events in the trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::replay) struct CallEvents {
    /// Since the call before: what streams finished, what the driver did, perhaps for a flush of its own.
    pub lead: Range<usize>,
    pub call: Call,
    /// Past the call's last event.
    pub end: usize,
}

/// Actions that the recorder was told to leave out (`skip_actions`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::replay) struct Left {
    /// `free_requested`: a free shows only when the block became free.
    pub requested: bool,
    /// `free_completed`: that a block became free does not show.
    pub completed: bool,
}

impl Left {
    /// What a trace leaves out, as far as it shows: frees of blocks that it allocated lack their other half.
    pub fn out_of(events: &[PlacedEvent], segments: &[&SegmentView]) -> Left {
        let has = |action| events.iter().any(|e| e.event.action == action);
        let (requested, completed) = (has(Action::FreeRequested), has(Action::FreeCompleted));
        if requested == completed {
            return Left::default();
        }
        if completed {
            let mut given = BTreeSet::new();
            let twice = events.iter().any(|e| match e.event.action {
                Action::Alloc => !given.insert(e.event.address),
                Action::FreeCompleted => given.contains(&e.event.address),
                _ => false,
            });
            return Left { requested: twice, completed: false };
        }
        let waits = |address: u64| {
            let blocks = segments.iter().flat_map(|s| &s.blocks);
            blocks.filter(|b| b.state == BlockState::ActivePendingFree).any(|b| b.address == address)
        };
        let freed = events.iter().filter(|e| e.event.action == Action::FreeRequested);
        Left { requested: false, completed: freed.into_iter().any(|e| !waits(e.event.address)) }
    }

    /// Whether events of an action are left out.
    pub fn has(self, action: Action) -> bool {
        match action {
            Action::FreeRequested => self.requested,
            Action::FreeCompleted => self.completed,
            _ => false,
        }
    }
}

impl CallEvents {
    /// The call whose events begin at `start`; `None` at the end of the trace.
    pub fn at(events: &[PlacedEvent], start: usize, left: Left) -> Option<CallEvents> {
        let rest = events.get(start..).filter(|rest| !rest.is_empty())?;
        let asked = |e: &PlacedEvent| match e.event.action {
            Action::Alloc | Action::Oom | Action::FreeRequested => true,
            action => action == Action::FreeCompleted && left.requested,
        };
        let Some(place) = rest.iter().position(asked).map(|p| start + p) else {
            return Some(CallEvents { lead: start..events.len(), call: Call::End, end: events.len() });
        };
        let TraceEvent { action, address, bytes, stream } = events[place].event;
        let (call, end) = match action {
            Action::Alloc => (Call::Alloc { bytes, stream, address: Some(address) }, place + 1),
            Action::Oom => (Call::Alloc { bytes, stream, address: None }, place + 1),
            _ if left != Left::default() => (Call::Free { address, waits: false }, place + 1),
            _ => {
                let next = events.get(place + 1).map(|e| (e.event.action, e.event.address));
                let waits = next != Some((Action::FreeCompleted, address));
                (Call::Free { address, waits }, place + if waits { 1 } else { 2 })
            }
        };
        Some(CallEvents { lead: start..place, call, end })
    }

    /// All calls of a trace.
    pub fn all(events: &[PlacedEvent], left: Left) -> impl Iterator<Item = CallEvents> + '_ {
        let mut cursor = 0;
        std::iter::from_fn(move || {
            let moment = CallEvents::at(events, cursor, left)?;
            cursor = moment.end;
            Some(moment)
        })
    }
}

/// What leads up to a call, sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::replay) struct PrecedingEvents {
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

impl PrecedingEvents {
    pub fn of(events: &[PlacedEvent]) -> PrecedingEvents {
        let mut lead = PrecedingEvents::default();
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
        *self == PrecedingEvents::default()
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
    /// Most memory held at a time.
    pub high_water: u64,
    pub refusals: i64,
    /// Calls of which the trace leaves open whose flush it was: see [`PrecedingEvents::is_open`].
    pub open: i64,
}

impl Survey {
    /// `held` and `waiting`: memory, and blocks that waited, before the first event.
    pub fn of(events: &[PlacedEvent], left: Left, held: u64, waiting: impl Iterator<Item = u64>) -> Survey {
        let mut waiting: BTreeSet<u64> = waiting.collect();
        let mut survey = Survey { most_waiting: waiting.len(), high_water: held, ..Survey::default() };
        let mut reserved = held;
        for TraceEvent { action, address, bytes, .. } in events.iter().map(|e| e.event) {
            match action {
                Action::FreeRequested if !left.completed => {
                    waiting.insert(address);
                    survey.most_waiting = survey.most_waiting.max(waiting.len());
                }
                Action::FreeCompleted => {
                    waiting.remove(&address);
                }
                Action::SegmentAlloc | Action::SegmentMap => reserved = reserved.saturating_add(bytes),
                Action::SegmentFree | Action::SegmentUnmap => reserved = reserved.saturating_sub(bytes),
                Action::Oom => survey.refusals += 1,
                Action::Alloc | Action::FreeRequested | Action::Snapshot => {}
            }
            survey.high_water = survey.high_water.max(reserved);
        }
        for moment in CallEvents::all(events, left) {
            survey.open += i64::from(PrecedingEvents::of(&events[moment.lead.clone()]).is_open(moment.call));
        }
        survey
    }
}

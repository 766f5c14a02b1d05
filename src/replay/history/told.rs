//! What was asked in the course of a trace, to be asked again.
//!
//! Decides what is kept of a call: little, as there are millions.

use super::call_events::{Call, PrecedingEvents};
use super::device_replay::{Ahead, DeviceReplay};
use super::hypothesis::Hypothesis;
use crate::op::Family;
use crate::reference::{PoolId, Settings};

/// Calls are kept in parts of so many, so that each can be let go when it was made into something else.
const PART: usize = 1 << 19;

/// A call that was lived, and what stood after it.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::replay) struct Told {
    /// Of its last event.
    pub index: u32,
    pub call: Call,
    pub hypothesis: Hypothesis,
    pub pool: PoolId,
    pub reserved: u64,
    pub allocated: u64,
    /// What came before it; most calls have nothing before them.
    pub before: Option<Box<Before>>,
}

/// What came before a call.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::replay) struct Before {
    pub lead: PrecedingEvents,
    /// Private pools that were dead then.
    pub dead: Vec<PoolId>,
    /// Settings that are in force from this call on.
    pub settings: Option<Settings>,
}

impl DeviceReplay<'_> {
    /// Keeps what was asked, and what stood after it.
    pub(super) fn tell(&mut self, hypothesis: Hypothesis, ahead: &Ahead<'_>, before: Settings) {
        let dead = self.dead(ahead.moment);
        let Some(told) = &mut self.told else { return };
        let current = |family| u64::try_from(self.allocator.stats().all(family).current).unwrap_or(0);
        let last = ahead.moment.end - 1;
        let settings = (self.settings != before).then_some(self.settings);
        let is_plain = ahead.lead.is_empty() && dead.is_empty() && settings.is_none();
        let call = Told {
            index: self.events[last].index,
            call: ahead.moment.call,
            hypothesis,
            pool: self.pools.get(last).copied().unwrap_or_default(),
            before: (!is_plain).then(|| Box::new(Before { lead: ahead.lead.clone(), dead, settings })),
            reserved: current(Family::ReservedBytes),
            allocated: current(Family::AllocatedBytes),
        };
        if told.last().is_none_or(|part| part.len() == PART) {
            told.push(if told.is_empty() { Vec::new() } else { Vec::with_capacity(PART) });
        }
        if let Some(part) = told.last_mut() {
            part.push(call);
        }
    }
}

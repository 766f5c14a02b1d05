//! What may have happened between two calls: a few hypotheses, of which the trace shows which it was.
//!
//! Decides which hypotheses are possible, and which is likelier where the trace fits several.

use super::call_events::{Call, PrecedingEvents, Survey};
use crate::op::{Counter, Family, Stats};

/// What was given back before a call, because the program asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::replay) enum Flush {
    Nothing,
    /// All of the cache.
    Whole,
    /// What private pools had cached that nobody used any more.
    Dead,
}

/// One way in which the events between two calls may have come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::replay) struct Hypothesis {
    /// Streams that blocks waited for had finished before the call. Otherwise the call's own flush waited.
    pub finished: bool,
    pub flush: Flush,
    /// The driver had no memory at first. Shown only by what followed: a refusal has no event.
    pub refused: bool,
    /// How many of the segments given back were a garbage collection of the request's.
    pub collected: usize,
    /// Requests of somebody were sent to a private pool meanwhile, so that nothing is flushed.
    pub redirected: bool,
}

const PLAIN: Hypothesis =
    Hypothesis { finished: true, flush: Flush::Nothing, refused: false, collected: 0, redirected: false };
const FLUSHED: Hypothesis = Hypothesis { flush: Flush::Whole, ..PLAIN };
const WAITED: Hypothesis = Hypothesis { finished: false, ..PLAIN };
const REFUSED: Hypothesis = Hypothesis { refused: true, ..WAITED };

/// What is known beside the events before a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// See [`likely_flushed`].
    pub likely_flushed: bool,
    /// Garbage collection is in force, and by ages or a limit that nothing tells.
    pub collects: bool,
    /// There are private pools.
    pub private: bool,
    /// Memory of private pools was given back.
    pub died: bool,
}

/// The hypotheses that may explain the events before a call, the likeliest first.
pub(super) fn possible(lead: &PrecedingEvents, call: Call, known: Known) -> Vec<Hypothesis> {
    let mut hypotheses = of_default_pools(lead, call, known.likely_flushed);
    let is_request = matches!(call, Call::Alloc { .. });
    if known.died {
        let dead =
            hypotheses.iter().filter(|c| c.flush == Flush::Whole).map(|c| Hypothesis { flush: Flush::Dead, ..*c });
        let dead: Vec<Hypothesis> = dead.collect();
        hypotheses.extend(dead);
    }
    if known.collects && is_request && !lead.released.is_empty() {
        let collected = (1..=lead.released.len()).rev().map(|collected| Hypothesis { collected, ..PLAIN });
        hypotheses = collected.chain(hypotheses).collect();
    }
    if known.private && is_request && (!lead.is_empty() || call.is_refused()) {
        let redirected: Vec<Hypothesis> = hypotheses.iter().map(|c| Hypothesis { redirected: true, ..*c }).collect();
        hypotheses.extend(redirected);
    }
    hypotheses
}

fn of_default_pools(lead: &PrecedingEvents, call: Call, likely_flushed: bool) -> Vec<Hypothesis> {
    if lead.is_empty() {
        return vec![PLAIN];
    }
    let Call::Alloc { address, .. } = call else {
        // A free and the end have nothing before them but a flush, or what was left of a call that the trace has cut.
        return if lead.releases() || lead.acquired > 0 { vec![FLUSHED] } else { vec![FLUSHED, PLAIN] };
    };
    let calls_driver = lead.acquired > 0 || address.is_none();
    if !calls_driver {
        // Served from the cache, so that no flush of its own was needed.
        return vec![if lead.releases() { FLUSHED } else { PLAIN }];
    }
    let mut hypotheses = Vec::new();
    if lead.releases() || !lead.late.is_empty() {
        hypotheses.extend([PLAIN, WAITED, FLUSHED]);
        if likely_flushed {
            hypotheses.rotate_right(1);
        }
    } else {
        hypotheses.extend([PLAIN, WAITED]);
    }
    if address.is_some() && !lead.early.is_empty() {
        hypotheses.push(REFUSED);
    }
    if lead.early.is_empty() {
        hypotheses.retain(|&c| c != WAITED); // the same as the plain one
    }
    hypotheses
}

/// Where memory was given back and got again for one request: whether a flush asked for before it is
/// likelier than its own.
pub(super) fn likely_flushed(lead: &PrecedingEvents, now: &Stats, counted: Option<&Stats>, left: &Survey) -> bool {
    if let Some(counted) = counted {
        let to_come = |counter| counted.counter(counter) - now.counter(counter) - left.refusals;
        if to_come(Counter::NumSyncAllStreams) <= 0 || to_come(Counter::NumAllocRetries) >= left.open {
            return false;
        }
        if to_come(Counter::NumAllocRetries) <= 0 {
            return true;
        }
    }
    // What the driver once gave it would have given again, with no need to flush first.
    let reserved = u64::try_from(now.all(Family::ReservedBytes).current).unwrap_or(0);
    reserved.saturating_add(lead.acquired) <= left.high_water
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVED: Call = Call::Alloc { bytes: 512, stream: 0, address: Some(1 << 30) };
    const OOM: Call = Call::Alloc { bytes: 512, stream: 0, address: None };
    const FREE: Call = Call::Free { address: 1 << 30, waits: false };

    fn hypotheses(lead: &PrecedingEvents, call: Call, likely_flushed: bool) -> Vec<Hypothesis> {
        possible(lead, call, Known { likely_flushed, ..Known::default() })
    }

    #[test]
    fn a_trace_that_leaves_nothing_open_has_one_course() {
        let nothing = PrecedingEvents::default();
        let freed = PrecedingEvents { early: vec![1], ..PrecedingEvents::default() };
        let released = PrecedingEvents { released: vec![1], ..PrecedingEvents::default() };
        for call in [SERVED, OOM, FREE, Call::End] {
            assert_eq!(hypotheses(&nothing, call, true), [PLAIN]);
        }
        assert_eq!(hypotheses(&freed, SERVED, true), [PLAIN]);
        assert_eq!(hypotheses(&released, SERVED, false), [FLUSHED]);
        assert_eq!(hypotheses(&released, FREE, false), [FLUSHED]);
        assert_eq!(hypotheses(&freed, Call::End, false), [FLUSHED, PLAIN]);
    }

    #[test]
    fn what_is_open_is_tried_the_likelier_first() {
        let regained = PrecedingEvents { released: vec![1], acquired: 2 << 20, ..PrecedingEvents::default() };
        assert_eq!(hypotheses(&regained, SERVED, false), [PLAIN, FLUSHED]);
        assert_eq!(hypotheses(&regained, SERVED, true), [FLUSHED, PLAIN]);
        let waited = PrecedingEvents { early: vec![1], acquired: 2 << 20, ..PrecedingEvents::default() };
        assert_eq!(hypotheses(&waited, SERVED, false), [PLAIN, WAITED, REFUSED]);
        assert_eq!(hypotheses(&waited, OOM, false), [PLAIN, WAITED]);
    }

    #[test]
    fn collections_and_pools_open_more_courses() {
        let released = PrecedingEvents { released: vec![1, 2], acquired: 2 << 20, ..PrecedingEvents::default() };
        let collected = |collected| Hypothesis { collected, ..PLAIN };
        let collects = Known { collects: true, ..Known::default() };
        assert_eq!(possible(&released, SERVED, collects), [collected(2), collected(1), PLAIN, FLUSHED]);
        let private = Known { private: true, ..Known::default() };
        let redirected = Hypothesis { redirected: true, ..PLAIN };
        assert_eq!(possible(&PrecedingEvents::default(), OOM, private), [PLAIN, redirected]);
        assert_eq!(possible(&PrecedingEvents::default(), SERVED, private), [PLAIN]);
        let died = Known { died: true, ..private };
        let dead = Hypothesis { flush: Flush::Dead, ..PLAIN };
        assert_eq!(
            possible(&PrecedingEvents { released: vec![1], ..PrecedingEvents::default() }, FREE, died),
            [FLUSHED, dead]
        );
    }
}

//! What may have happened between two calls: a few courses, of which the trace shows which it was.
//!
//! Decides which courses are possible, and which is likelier where the trace fits several.

use super::moment::{Call, Lead, Survey};
use crate::op::{Counter, Family, Stats};

/// One way in which the events between two calls may have come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Course {
    /// Streams that blocks waited for had finished before the call. Otherwise the call's own flush waited.
    pub finished: bool,
    /// A flush was asked for before the call.
    pub flush: bool,
    /// The driver had no memory at first. Shown only by what followed: a refusal has no event.
    pub refused: bool,
}

const PLAIN: Course = Course { finished: true, flush: false, refused: false };
const FLUSHED: Course = Course { flush: true, ..PLAIN };
const WAITED: Course = Course { finished: false, ..PLAIN };
const REFUSED: Course = Course { refused: true, ..WAITED };

/// The courses that may explain the events before a call, the likeliest first.
pub(super) fn possible(lead: &Lead, call: Call, likely_flushed: bool) -> Vec<Course> {
    if lead.is_empty() {
        return vec![PLAIN];
    }
    let Call::Alloc { address, .. } = call else { return vec![FLUSHED] }; // nothing else comes before a free
    let calls_driver = lead.acquired > 0 || address.is_none();
    if !calls_driver {
        // Served from the cache, so that no flush of its own was needed.
        return vec![if lead.releases() { FLUSHED } else { PLAIN }];
    }
    let mut courses = Vec::new();
    if lead.releases() || !lead.late.is_empty() {
        courses.extend([PLAIN, WAITED, FLUSHED]);
        if likely_flushed {
            courses.rotate_right(1);
        }
    } else {
        courses.extend([PLAIN, WAITED]);
    }
    if address.is_some() && !lead.early.is_empty() {
        courses.push(REFUSED);
    }
    if lead.early.is_empty() {
        courses.retain(|&c| c != WAITED); // the same as the plain one
    }
    courses
}

/// Where memory was given back and got again for one request: whether a flush asked for before it is
/// likelier than its own.
pub(super) fn likely_flushed(lead: &Lead, now: &Stats, counted: Option<&Stats>, left: &Survey) -> bool {
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

    #[test]
    fn a_trace_that_leaves_nothing_open_has_one_course() {
        let nothing = Lead::default();
        let freed = Lead { early: vec![1], ..Lead::default() };
        let released = Lead { released: vec![1], ..Lead::default() };
        for call in [SERVED, OOM, FREE, Call::End] {
            assert_eq!(possible(&nothing, call, true), [PLAIN]);
        }
        assert_eq!(possible(&freed, SERVED, true), [PLAIN]);
        assert_eq!(possible(&released, SERVED, false), [FLUSHED]);
        assert_eq!(possible(&released, FREE, false), [FLUSHED]);
        assert_eq!(possible(&freed, Call::End, false), [FLUSHED]);
    }

    #[test]
    fn what_is_open_is_tried_the_likelier_first() {
        let regained = Lead { released: vec![1], acquired: 2 << 20, ..Lead::default() };
        assert_eq!(possible(&regained, SERVED, false), [PLAIN, FLUSHED]);
        assert_eq!(possible(&regained, SERVED, true), [FLUSHED, PLAIN]);
        let waited = Lead { early: vec![1], acquired: 2 << 20, ..Lead::default() };
        assert_eq!(possible(&waited, SERVED, false), [PLAIN, WAITED, REFUSED]);
        assert_eq!(possible(&waited, OOM, false), [PLAIN, WAITED]);
    }
}

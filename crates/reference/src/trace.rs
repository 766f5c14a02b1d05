//! Recording what the allocator does.

use super::private::PoolId;
use crate::op::trace::TraceEvent;

/// Events, and the private pool of each.
#[derive(Debug, Clone, Default)]
pub(super) struct Trace {
    pub events: Vec<TraceEvent>,
    pub pools: Vec<PoolId>,
}

impl<D, P> super::DeviceAllocator<D, P> {
    /// Records from now on.
    pub(super) fn start_trace(&mut self) {
        self.trace = Some(Trace::default());
    }

    /// What happened since the trace was last taken.
    pub fn taken_trace(&mut self) -> Vec<TraceEvent> {
        self.taken_trace_and_pools().0
    }

    /// The same, with the private pool of each event, (0, 0) for none.
    pub fn taken_trace_and_pools(&mut self) -> (Vec<TraceEvent>, Vec<PoolId>) {
        let Trace { events, pools } = self.trace.as_mut().map(std::mem::take).unwrap_or_default();
        (events, pools)
    }

    /// Puts what happened since the trace was last taken in place of what is there.
    pub fn take_trace(&mut self, into: &mut Vec<TraceEvent>) {
        into.clear();
        if let Some(trace) = &mut self.trace {
            std::mem::swap(&mut trace.events, into);
            trace.pools.clear();
        }
    }
}

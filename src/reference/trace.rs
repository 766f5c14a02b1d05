//! Recording what the allocator does.

use crate::op::trace::TraceEvent;

impl<D, P> super::DeviceAllocator<D, P> {
    /// Records from now on.
    pub(super) fn start_trace(&mut self) {
        self.trace = Some(Vec::new());
    }

    /// What happened since the trace was last taken.
    pub fn taken_trace(&mut self) -> Vec<TraceEvent> {
        self.trace.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Puts what happened since the trace was last taken in place of what is there.
    pub fn take_trace(&mut self, into: &mut Vec<TraceEvent>) {
        into.clear();
        if let Some(trace) = &mut self.trace {
            std::mem::swap(trace, into);
        }
    }
}

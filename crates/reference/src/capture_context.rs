//! Whom a capture binds: who must not give memory back to the device meanwhile, and whose frees are put off.
//!
//! Decides what of PyTorch's `is_capture_context` (2.13) follows from who calls on which stream; before, from any redirection.

use super::allocator::DeviceAllocator;
use super::defect::Planting;
use super::private::{Catch, PrivatePools};
use crate::device::{Device, StreamHandle};

/// What decides whether a call is made in a capture.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct CaptureContext {
    /// See [`super::Rules`].
    pub captures_alone: bool,
    /// The thread that began the last capture, whose current stream has been the one that captures ever since.
    pub begun_by: u64,
    /// The stream that the call has made current for itself, if it did.
    current: Option<StreamHandle>,
}

impl PrivatePools {
    /// Whether frees are put off and the cache is kept: while memory is redirected, or only while a stream captures that is the
    /// calling thread's current one.
    pub fn is_redirecting(&self) -> bool {
        let CaptureContext { captures_alone, begun_by, current } = self.context;
        if !captures_alone {
            return self.has_redirections();
        }
        self.redirections.iter().any(|&(_, catch)| match (catch, current) {
            (Catch::Caller(_), _) => false,
            (Catch::Stream(captures), Some(current)) => captures == current,
            (Catch::Stream(_), None) => self.caller == begun_by,
        })
    }
}

impl<D: Device, P: Planting> DeviceAllocator<D, P> {
    /// Calls come from this thread from now on.
    pub fn set_caller(&mut self, caller: u64) {
        self.private.caller = caller;
    }

    /// The caller makes a stream current for what it asks next, as a tensor's allocation does; `None`: what was current before.
    pub fn set_current_stream(&mut self, stream: Option<StreamHandle>) {
        self.private.context.current = stream;
    }
}

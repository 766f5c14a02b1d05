//! One request of a trace, asked of the reference: from which pool, and what came of it.
//!
//! Decides how a request reaches a private pool whose users a trace does not show, and keeps what refusals tell of
//! the memory that there was.

use super::call_events::{Call, CallEvents};
use super::device_replay::DeviceReplay;
use crate::device::StreamHandle;
use crate::device::recorded::Serving;
use crate::op::{Counter, Family, PoolKind, Stats};
use crate::reference::{AllocError, Catch, PoolFlags, PoolId, rounding};
use crate::replay::divergence::DivergenceKind;
use crate::replay::driver;

/// A private pool that no request goes to: what is sent there is sent by nobody.
const ELSEWHERE: PoolId = (u64::MAX, u64::MAX);
const NOBODY: Catch = Catch::Caller(u64::MAX);
/// Who asks here.
const CALLER: Catch = Catch::Caller(0);

/// A moment at which the driver, or a limit, gave no memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::replay) struct Refusal {
    /// OwnedBlock then, and asked for beyond it.
    pub reserved: u64,
    pub asked: u64,
    /// What the device had free, where the event tells.
    pub free: Option<u64>,
    /// The position of the event that shows it.
    pub index: u32,
}

/// Where a request goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Towards {
    pub pool: PoolId,
    pub redirected: bool,
}

impl DeviceReplay<'_> {
    pub(super) fn alloc(
        &mut self,
        bytes: u64,
        stream: u64,
        recorded: Option<u64>,
        to: Towards,
    ) -> Option<DivergenceKind> {
        let (stream, small) = (StreamHandle(stream), driver::is_small(bytes, &self.settings));
        let owner = driver::owner_of(to.pool);
        self.allocator.device_mut().serve(Serving { request: self.requests, stream, small, owner });
        match (recorded, self.answer(bytes, stream, to)) {
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

    fn answer(&mut self, bytes: u64, stream: StreamHandle, to: Towards) -> Result<u64, AllocError> {
        let private = to.pool != (0, 0);
        let (id, catch) = if private { (to.pool, CALLER) } else { (ELSEWHERE, NOBODY) };
        if (private || to.redirected) && !self.allocator.has_pool(id) {
            self.allocator.retain_pool(id, PoolFlags::default());
        }
        if !to.redirected {
            return if private {
                self.allocator.alloc_in(id, bytes, stream)
            } else {
                self.allocator.alloc(bytes, stream)
            };
        }
        self.allocator.begin_redirection(id, catch);
        let answer = self.allocator.alloc(bytes, stream);
        // Both were begun just now.
        let _ = self.allocator.end_redirection(id);
        let _ = self.allocator.release_pool_user(id);
        answer
    }

    /// Keeps at how much memory a request was refused more: at first (if nothing was given back for other reasons
    /// since `before`), and in the end.
    pub(super) fn note_refusals(&mut self, before: Option<&Stats>, moment: &CallEvents) {
        let Call::Alloc { bytes, address, .. } = moment.call else { return };
        let reserved = |stats: &Stats| u64::try_from(stats.all(Family::ReservedBytes).current).unwrap_or(0);
        let retries = |stats: &Stats| stats.counter(Counter::NumAllocRetries);
        let Some(size) = rounding::block_size(bytes, &self.settings) else { return };
        let segment = rounding::segment_size(size, &self.settings);
        let small = rounding::pool_kind(size) == PoolKind::Small;
        let page = if small { rounding::SMALL_SEGMENT } else { self.settings.large_segment };
        let pages = size.checked_next_multiple_of(page).unwrap_or(size);
        let asked = if self.settings.expandable_segments { segment.max(pages) } else { segment };
        let last = self.events[moment.end - 1];
        let now = *self.allocator.stats();
        if let Some(before) = before.filter(|before| retries(before) < retries(&now)) {
            self.refusals.push(Refusal { reserved: reserved(before), asked, free: None, index: last.index });
        }
        if address.is_none() {
            let free = Some(last.event.address);
            self.refusals.push(Refusal { reserved: reserved(&now), asked, free, index: last.index });
        }
    }
}

//! Streams that wait for each other, as a planted defect or a variation remembers them. PyTorch's allocator is not told of
//! such waits: it asks events, and what waits has not come to them.
//!
//! Decides which block of another stream such an allocator takes. The sound one never reads what stands here.

use super::allocator::{DeviceAllocator, Request};
use super::block::Slot;
use super::defect::{Defect, Planting};
use super::variation::Variation;
use crate::device::{Device, StreamHandle};

/// One stream was told to wait for another.
#[derive(Debug, Clone)]
struct Wait {
    stream: StreamHandle,
    on: StreamHandle,
    /// How many blocks had become free by then, by pool.
    frees: Vec<u32>,
}

/// The latest wait of each two streams.
#[derive(Debug, Clone, Default)]
pub(super) struct Waits(Vec<Wait>);

impl Waits {
    /// Whether the stream was ever told to wait for another.
    pub(super) fn has(&self, stream: StreamHandle) -> bool {
        self.0.iter().any(|wait| wait.stream == stream)
    }
}

impl<D: Device, P: Planting> DeviceAllocator<D, P> {
    /// A stream was told to wait for what another one was given before.
    pub fn note_wait(&mut self, stream: StreamHandle, on: StreamHandle) {
        if self.planted.heeds_waits() && stream != on {
            self.waits.0.retain(|wait| (wait.stream, wait.on) != (stream, on));
            let frees = self.pools.iter().map(|pool| pool.searches).collect();
            self.waits.0.push(Wait { stream, on, frees });
        }
    }

    /// The free block of another stream that a wait is taken to make safe.
    pub(super) fn borrow_ordered(&self, request: &Request, size: u64) -> Option<Slot> {
        let lawful = self.planted.varies(Variation::FollowsWaits);
        if lawful && self.private.is_redirecting() {
            return None;
        }
        let free = &self.pools[usize::from(request.pool)].free;
        let before = |slot: Slot, wait: &Wait| {
            let frees = wait.frees.get(usize::from(request.pool)).copied().unwrap_or(0);
            self.arena[slot].searches_at_free <= frees
        };
        let of = |lender: StreamHandle, wait: &Wait| {
            if lawful {
                // A smaller one that was freed too late must not hide it.
                let mut all = free.from(&self.arena, lender, (size, 0));
                return all.find(|&slot| self.fits(request, slot) && before(slot, wait));
            }
            free.first_fit(&self.arena, lender, size).filter(|&slot| self.fits(request, slot))
        };
        let mut lent = self.waits.0.iter().filter_map(|wait| match request.stream {
            own if own == wait.stream => of(wait.on, wait),
            own if own == wait.on && self.planted.has(Defect::WaitOrdersBothWays) => of(wait.stream, wait),
            _ => None,
        });
        lent.next()
    }

    /// Whether the request may have a block of that size at all.
    fn fits(&self, request: &Request, slot: Slot) -> bool {
        let most = self.settings.max_split;
        request.size >= most || self.arena[slot].size < most
    }
}

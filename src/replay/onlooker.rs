//! Who looks on while a recorded life is lived again: told of every call, and shown the allocator as it then is.
//!
//! Decides when somebody looks, and what he is told. Does not decide what is made of it.

use super::Progress;
use super::divergence::FilePosition;
use crate::device::StreamHandle;
use crate::device::recorded::RecordedDevice;
use crate::reference::{DeviceAllocator, PoolId, Sound};

/// A device's allocator, as it is shown.
pub(super) type Shown = DeviceAllocator<RecordedDevice, Sound>;

/// A request for memory, as it was put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Put {
    pub bytes: u64,
    pub stream: StreamHandle,
    /// Where it was served, if it was.
    pub address: Option<u64>,
    /// The private pool that it went to, where that is told apart from redirections.
    pub pool: Option<PoolId>,
}

/// One that looks on. A call may concern several devices: each is shown after it.
pub(super) trait Onlooker {
    /// A device's life begins, or begins anew with another episode. `free` is what the driver had free at each refusal.
    fn begins(&mut self, device: usize, allocator: &Shown, free: Vec<u64>);

    /// A call was answered; `put` holds the requests of this device in it, in order.
    fn saw(&mut self, place: FilePosition, device: usize, put: &[Put], allocator: &Shown);
}

/// When nobody does.
pub(super) struct Nobody;

impl Onlooker for Nobody {
    fn begins(&mut self, _: usize, _: &Shown, _: Vec<u64>) {}

    fn saw(&mut self, _: FilePosition, _: usize, _: &[Put], _: &Shown) {}
}

/// After so many calls whoever waits is told.
const TOLD_EVERY: u64 = 1 << 14;

/// Tells whoever waits how many calls were lived again.
pub(super) struct Ticking<'o> {
    onlooker: &'o mut dyn Onlooker,
    progress: &'o dyn Progress,
    calls: u64,
}

impl<'o> Ticking<'o> {
    pub fn new(onlooker: &'o mut dyn Onlooker, progress: &'o dyn Progress) -> Self {
        Ticking { onlooker, progress, calls: 0 }
    }
}

impl Onlooker for Ticking<'_> {
    fn begins(&mut self, device: usize, allocator: &Shown, free: Vec<u64>) {
        self.onlooker.begins(device, allocator, free);
    }

    fn saw(&mut self, place: FilePosition, device: usize, put: &[Put], allocator: &Shown) {
        self.calls += 1;
        if self.calls == TOLD_EVERY {
            self.progress.ran(std::mem::take(&mut self.calls));
        }
        self.onlooker.saw(place, device, put, allocator);
    }
}

impl Drop for Ticking<'_> {
    fn drop(&mut self) {
        self.progress.ran(self.calls);
    }
}

//! The reference behind its locks, for calls from several threads.
//!
//! Decides what a lock covers, as PyTorch does: one lock a device, held for the whole of a call, the calls of the
//! device included; and a table of pointers in shards with locks of their own. A pointer enters the table after the
//! device's lock was let go (nobody else can know it yet) and leaves it before that lock is taken, so that of two
//! frees of one pointer one is refused. No two locks are ever held together. So a call takes effect at one moment, in
//! its hold of the device's lock; `empty_cache`, which takes the devices one after the other, at one on each. Other
//! than in PyTorch the limit is set under the lock.
//! Not modelled: `release_lock_on_cudamalloc`, the lock around `cudaFree` that NCCL shares, observers, and pools.

mod act;
mod race;
mod sync;

use rustc_hash::FxHashMap;

pub use act::{Act, Departure, Order, Outcome, live_again};
pub use race::Race;
pub use sync::{Guarded, Locks, StdLocks};

use super::{AllocError, DeviceAllocator, FreeError, Planting, Settings};
use crate::device::{Device, DeviceError, StreamHandle};
use crate::op::Stats;

/// PyTorch has as many.
const SHARDS: usize = 67;

/// One device's allocator and, if wanted, the order of what was done to it.
struct Guard<D, P> {
    allocator: DeviceAllocator<D, P>,
    order: Option<Order<D>>,
}

impl<D: Device, P: Planting> Guard<D, P> {
    fn act(&mut self, act: Act<D>) -> Outcome {
        let outcome = self.allocator.act(act);
        self.note(act, outcome.clone());
        outcome
    }

    fn note(&mut self, act: Act<D>, outcome: Outcome) {
        if let Some(order) = &mut self.order {
            order.push((act, outcome));
        }
    }
}

/// The allocator of a process whose threads share it.
pub struct Shared<D: Device + Send, P: Planting + Send, L: Locks = StdLocks> {
    devices: Vec<L::Mutex<Guard<D, P>>>,
    /// The device of each live block, by address.
    table: Vec<L::Mutex<FxHashMap<u64, usize>>>,
    race: Option<Race>,
}

impl<D: Device + Send, P: Planting + Send, L: Locks> Shared<D, P, L> {
    /// With `keeps_order`, what is done under each device's lock is written down.
    #[must_use]
    pub fn new(devices: Vec<D>, settings: &Settings, planted: P, race: Option<Race>, keeps_order: bool) -> Self {
        let guard = |(i, device)| Guard {
            allocator: DeviceAllocator::new(i, device, *settings, planted),
            order: keeps_order.then(Vec::new),
        };
        Shared {
            devices: devices.into_iter().enumerate().map(guard).map(Guarded::new).collect(),
            table: (0..SHARDS).map(|_| Guarded::new(FxHashMap::default())).collect(),
            race,
        }
    }

    /// How many devices there are.
    #[must_use]
    pub fn device_count(&self) -> usize {
        self.devices.len()
    }

    fn shard(&self, address: u64) -> &L::Mutex<FxHashMap<u64, usize>> {
        // blocks begin at multiples of 512
        let nth = usize::try_from((address >> 9) % SHARDS as u64).unwrap_or(0);
        &self.table[nth]
    }

    /// Serves a request on a device.
    ///
    /// # Errors
    /// As [`DeviceAllocator::alloc`].
    pub fn alloc(&self, device: usize, bytes: u64, stream: StreamHandle) -> Result<u64, AllocError> {
        let address = match self.race {
            Some(Race::StatsOutsideLock) => self.alloc_and_count_later(device, bytes, stream),
            Some(Race::CacheCheckedFirst) => self.alloc_as_seen(device, bytes, stream),
            _ => self.locked_alloc(device, bytes, stream),
        }?;
        if address != 0 {
            self.shard(address).with(|table| table.insert(address, device));
        }
        Ok(address)
    }

    fn locked_alloc(&self, device: usize, bytes: u64, stream: StreamHandle) -> Result<u64, AllocError> {
        self.devices[device].with(|guard| {
            let result = guard.allocator.alloc(bytes, stream);
            note_alloc(guard, bytes, stream, &result);
            result
        })
    }

    fn alloc_and_count_later(&self, device: usize, bytes: u64, stream: StreamHandle) -> Result<u64, AllocError> {
        let address = self.locked_alloc(device, bytes, stream)?;
        let counted = self.stats(device);
        self.devices[device].with(|guard| guard.allocator.adopt(counted));
        Ok(address)
    }

    fn alloc_as_seen(&self, device: usize, bytes: u64, stream: StreamHandle) -> Result<u64, AllocError> {
        let seen = self.devices[device].with(|guard| guard.allocator.peek(bytes, stream));
        let Some(slot) = seen else { return self.locked_alloc(device, bytes, stream) };
        self.devices[device].with(|guard| {
            let result = guard.allocator.take_seen(slot, bytes, stream);
            note_alloc(guard, bytes, stream, &result);
            result
        })
    }

    /// Takes a block back, whichever device it is on.
    ///
    /// # Errors
    /// As [`DeviceAllocator::free`].
    pub fn free(&self, address: u64) -> Result<(), FreeError> {
        if address == 0 {
            return Ok(());
        }
        let late = self.race == Some(Race::TableErasedLate);
        let owner =
            self.shard(address).with(|table| if late { table.get(&address).copied() } else { table.remove(&address) });
        let owner = owner.ok_or(FreeError::InvalidPointer { address })?;
        let result = self.devices[owner].with(|guard| {
            let result = guard.allocator.free(address);
            let outcome = result.as_ref().map_or_else(|e| Outcome::Refused(e.to_string()), |()| Outcome::Done);
            guard.note(Act::Free { address }, outcome);
            result
        });
        if late {
            self.shard(address).with(|table| table.remove(&address));
        }
        result
    }

    /// Records that a stream uses a live block; an unknown address is passed over.
    pub fn record_stream(&self, address: u64, stream: StreamHandle) {
        let owner = self.shard(address).with(|table| table.get(&address).copied());
        if let Some(owner) = owner {
            self.devices[owner].with(|guard| guard.act(Act::RecordStream { address, stream }));
        }
    }

    /// Gives the cache of every device back, one after the other.
    ///
    /// # Errors
    /// The first device call that failed; the other devices were emptied all the same.
    pub fn empty_cache(&self) -> Result<(), DeviceError> {
        let mut result = Ok(());
        for device in &self.devices {
            if self.race == Some(Race::TrimListsFirst) {
                let listed = device.with(|guard| {
                    guard.note(Act::EmptyCache, Outcome::Done);
                    guard.allocator.list_cached()
                });
                for (slot, address) in listed {
                    device.with(|guard| guard.allocator.release_listed(slot, address));
                }
                continue;
            }
            result = result.and(device.with(|guard| {
                let result = guard.allocator.release_cached();
                let outcome = result.as_ref().map_or_else(|e| Outcome::Refused(e.to_string()), |()| Outcome::Done);
                guard.note(Act::EmptyCache, outcome);
                result
            }));
        }
        result
    }

    /// The statistics of a device, all of one moment.
    #[must_use]
    pub fn stats(&self, device: usize) -> Stats {
        self.devices[device].with(|guard| *guard.allocator.stats())
    }

    /// Every peak of the device becomes the value now.
    pub fn reset_peak(&self, device: usize) {
        if self.race == Some(Race::PeakResetTorn) {
            let seen = self.stats(device);
            self.devices[device].with(|guard| {
                guard.note(Act::ResetPeak, Outcome::Done);
                guard.allocator.lower_peaks(&seen);
            });
            return;
        }
        self.act(device, Act::ResetPeak);
    }

    /// One call on a device that concerns no table of pointers.
    pub fn act(&self, device: usize, act: Act<D>) -> Outcome {
        self.devices[device].with(|guard| guard.act(act))
    }

    /// Something about the device itself, which is no call of the allocator.
    pub fn device<R>(&self, device: usize, ask: impl FnOnce(&mut D) -> R) -> R {
        self.devices[device].with(|guard| ask(guard.allocator.device_mut()))
    }

    /// The order so far of what was done to a device, and its statistics then; empty if none is kept.
    #[must_use]
    pub fn order(&self, device: usize) -> (Order<D>, Stats) {
        self.devices[device].with(|guard| (guard.order.clone().unwrap_or_default(), *guard.allocator.stats()))
    }
}

fn note_alloc<D: Device, P: Planting>(
    guard: &mut Guard<D, P>,
    bytes: u64,
    stream: StreamHandle,
    result: &Result<u64, AllocError>,
) {
    let outcome = result.as_ref().map_or_else(|e| Outcome::Refused(e.to_string()), |&a| Outcome::Address(a));
    guard.note(Act::Alloc { bytes, stream }, outcome);
}

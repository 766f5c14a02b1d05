//! Private pools: memory kept apart for whoever asked for it (MemPool, graph capture).
//!
//! Decides which pool a request goes to, and what becomes of a pool that nobody uses any more. A device has a
//! stack of redirections; while any is there, events are not asked for, frees of blocks with recorded
//! streams are put off, and a request that finds nothing does not flush the cache.

use super::allocator::{AllocError, DeviceAllocator, LARGE, Request, SMALL, kind_of};
use super::block::{Slot, State};
use super::capture_context::CaptureContext;
use super::defect::{Defect, Planting};
use super::flat_table::FlatTable;
use super::pool::Pool;
use crate::device::{Device, DeviceError, StreamHandle};
use crate::op::{Counter, Family, PoolKind};

/// PyTorch keeps dead pools, and pools that help out, in hash tables (`ska::flat_hash_map`) by the number in the
/// id, and goes through them in the order of this product: Fibonacci hashing takes its highest bits.
fn table_order(id: PoolId) -> (u64, PoolId) {
    (number(id).wrapping_mul(0x9e37_79b9_7f4a_7c15), id)
}

/// Pools that a process had at once before it is followed (`workers/torch/worker_device.py`).
const LIVED: u64 = 24;

/// `MempoolIdHash`.
fn number(id: PoolId) -> u64 {
    if id.0 == 0 { id.1 } else { id.0 }
}

/// A pool's id as PyTorch numbers them: (0, n) made by a user, (n, 0) made by a capture, (0, 0) the default pools.
pub type PoolId = (u64, u64);

/// Which requests a redirection catches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Catch {
    /// Those of one calling thread (`use_mem_pool`).
    Caller(u64),
    /// Those on one stream (graph capture).
    Stream(StreamHandle),
}

/// What a pool is made with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PoolFlags {
    /// Its cached blocks serve requests of the default pools before these are refused.
    pub use_on_oom: bool,
    /// Its blocks are never split.
    pub no_split: bool,
}

/// Why a pool call was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each says what happened")]
pub enum PoolError {
    #[error("there is no pool ({}, {}) on this device", id.0, id.1)]
    Unknown { id: PoolId },
    /// PyTorch fails this assertion in a destructor, and the process ends.
    #[error("captures_underway.empty() INTERNAL ASSERT FAILED: a pool died while the device is redirected")]
    DiesRedirected,
    /// PyTorch's own assertion: an id stands for a dead pool until a flush forgets it; pinned memory never forgets it.
    #[error("it->second->use_count > 0 INTERNAL ASSERT FAILED: pool ({}, {}) lost its last user", id.0, id.1)]
    Spent { id: PoolId },
    /// The pool keeps the user that it got before this was looked at.
    #[error("beginAllocateToPool: already recording to mempool_id")]
    AlreadyRecording,
    #[error("endAllocatePool: not currently recording to mempool_id ({}, {})", id.0, id.1)]
    NotRecording { id: PoolId },
}

#[derive(Debug, Clone, Copy)]
pub(super) struct PrivatePool {
    pub id: PoolId,
    /// 0 for a dead pool, whose memory goes at the next flush.
    users: u32,
    /// Growths less what was given back; a dead pool at 0 is forgotten. In expandable segments one growth can be
    /// given back in several pieces, so that a pool is forgotten while blocks in it live: PyTorch then works on
    /// freed memory, and nothing is known of these blocks' pool any more.
    pub growths: i64,
    small: u16,
    large: u16,
    flags: PoolFlags,
}

/// The private pools and redirections of a device.
#[derive(Debug, Clone, Default)]
pub(super) struct PrivatePools {
    pools: Vec<PrivatePool>,
    /// Oldest first; the newest that catches a request decides.
    pub redirections: Vec<(PoolId, Catch)>,
    /// The thread that calls now.
    pub caller: u64,
    /// Freed blocks whose streams are not marked before the last redirection ends, in order.
    pub put_off: Vec<Slot>,
    /// Streams recorded while a redirection was there: dropped when the free is taken up.
    pub captured: Vec<(Slot, StreamHandle)>,
    pub context: CaptureContext,
    /// A block was freed outside of captures that a stream was recorded on in one. PyTorch keeps that by the address of the
    /// block's object, for whoever gets the object next.
    pub kept_by_object: bool,
    /// From here on PyTorch's answers follow from addresses of its heap, or one of its own assertions has failed.
    pub unforeseeable: bool,
    /// A pool that helps out was deleted. Until 2.10 PyTorch asks it all the same, and an assertion fails.
    pub deleted_helper: bool,
    /// Dead pools in the order in which PyTorch goes through them.
    dead: FlatTable<PoolId>,
    /// The same of pools that help out.
    helpers: FlatTable<PoolId>,
}

impl PrivatePools {
    /// Whether any request may go to a private pool.
    pub fn has_redirections(&self) -> bool {
        !self.redirections.is_empty()
    }

    pub fn of(&self, pool: u16) -> Option<&PrivatePool> {
        self.pools.iter().find(|p| p.small == pool || p.large == pool)
    }

    /// The tables of a process that has lived keep the room that they had for so many pools at once.
    pub fn stretch(&mut self) {
        let ids = (1..=LIVED).map(|n| (0, n));
        for table in [&mut self.dead, &mut self.helpers] {
            ids.clone().for_each(|id| table.insert(id, number(id)));
            ids.clone().for_each(|id| table.remove(id));
        }
    }

    /// The id of a private pool; (0, 0) for one that is forgotten.
    pub fn id_of(&self, pool: u16) -> PoolId {
        self.of(pool).map_or((0, 0), |p| p.id)
    }
}

impl<D: Device, P: Planting> DeviceAllocator<D, P> {
    /// Makes a pool, or adds a user to it.
    pub fn retain_pool(&mut self, id: PoolId, flags: PoolFlags) {
        if let Some(pool) = self.private.pools.iter_mut().find(|p| p.id == id) {
            pool.users += 1;
            self.private.dead.remove(id);
            return;
        }
        let next = u16::try_from(self.pools.len()).unwrap_or(u16::MAX - 1);
        self.pools.extend([Pool::default(), Pool::default()]);
        if flags.use_on_oom {
            self.private.helpers.insert(id, number(id));
        }
        self.private.pools.push(PrivatePool { id, users: 1, growths: 0, small: next, large: next + 1, flags });
    }

    /// Whether there is a pool of that id.
    #[must_use]
    pub fn has_pool(&self, id: PoolId) -> bool {
        self.private.pools.iter().any(|p| p.id == id)
    }

    /// The place of a pool; of the default ones where there is no private pool of that id.
    pub(super) fn index_of(&self, id: PoolId, kind: PoolKind) -> u16 {
        match (self.private.pools.iter().find(|p| p.id == id), kind) {
            (None, PoolKind::Small) => SMALL,
            (None, PoolKind::Large) => LARGE,
            (Some(pool), PoolKind::Small) => pool.small,
            (Some(pool), PoolKind::Large) => pool.large,
        }
    }

    /// Serves a request from a pool without sending anything else there: events are asked for and the cache is given
    /// back before a refusal, as PyTorch does since 2.13 where nothing is captured.
    ///
    /// # Errors
    /// As [`DeviceAllocator::alloc`].
    pub fn alloc_in(&mut self, id: PoolId, bytes: u64, stream: StreamHandle) -> Result<u64, AllocError> {
        let request = self.request(bytes, stream).ok_or(AllocError::Unrepresentable { bytes })?;
        let pool = self.index_of(id, kind_of(request.pool));
        self.process_events()?;
        self.serve(&Request { pool, ..request })
    }

    /// Whether a pool of that id is still there, though nobody uses it.
    pub(super) fn is_dead(&self, id: PoolId) -> bool {
        self.private.pools.iter().any(|p| p.id == id && p.users == 0)
    }

    /// Sends what it catches to a pool from now on; adds a user to the pool, and makes it if need be.
    pub fn begin_redirection(&mut self, id: PoolId, catch: Catch) {
        self.retain_pool(id, PoolFlags::default());
        self.note_redirection(id, catch);
        self.private.redirections.push((id, catch));
        if matches!(catch, Catch::Stream(_)) {
            self.private.context.begun_by = self.private.caller;
        }
    }

    /// The same for whoever may name a pool that is dead. Only the library alone refuses it: where the reference stands for all of
    /// PyTorch it keeps this promise to its callers.
    ///
    /// # Errors
    /// It lost its last user before, and was not forgotten yet; or memory is redirected to it already.
    pub fn enter_pool(&mut self, id: PoolId, catch: Catch) -> Result<(), PoolError> {
        if self.library_alone && self.is_dead(id) {
            return Err(PoolError::Spent { id });
        }
        if self.library_alone && self.private.redirections.iter().any(|(redirected, _)| *redirected == id) {
            self.retain_pool(id, PoolFlags::default());
            return Err(PoolError::AlreadyRecording);
        }
        self.begin_redirection(id, catch);
        Ok(())
    }

    /// Ends the newest redirection to a pool. The pool keeps its user.
    ///
    /// # Errors
    /// Nothing is redirected to that pool.
    pub fn end_redirection(&mut self, id: PoolId) -> Result<(), PoolError> {
        let place = self.private.redirections.iter().rposition(|(i, _)| *i == id);
        self.private.redirections.remove(place.ok_or(PoolError::NotRecording { id })?);
        Ok(())
    }

    /// Takes a user from a pool.
    ///
    /// # Errors
    /// There is no such pool, or it is dead.
    pub fn release_pool_user(&mut self, id: PoolId) -> Result<(), PoolError> {
        let pool = self.private.pools.iter_mut().find(|p| p.id == id && p.users > 0);
        let pool = pool.ok_or(PoolError::Unknown { id })?;
        if !(self.planted.has(Defect::GraphPoolKept) && id.1 == 0) {
            pool.users -= 1;
            if pool.users == 0 {
                self.private.dead.insert(id, number(id));
            }
        }
        Ok(())
    }

    /// A `MemPool` is gone: it no longer helps out, and if nobody else uses it its memory is given back.
    ///
    /// # Errors
    /// There is no such pool; or it dies while something is redirected. Inside: a device call failed.
    pub fn drop_pool(&mut self, id: PoolId) -> Result<Result<(), DeviceError>, PoolError> {
        self.release_pool_user(id)?;
        self.passed_together = 0;
        let dies = |p: &PrivatePool| p.id == id && p.users == 0;
        if self.private.is_redirecting() && self.private.pools.iter().any(dies) {
            return Err(PoolError::DiesRedirected);
        }
        if let Some(pool) = self.private.pools.iter_mut().find(|p| p.id == id) {
            self.private.deleted_helper |= pool.flags.use_on_oom;
            pool.flags.use_on_oom = false;
            self.private.helpers.remove(id);
        }
        Ok(self.release_dead(Some(id)))
    }

    /// The pool that a request of a kind goes to.
    pub(super) fn pool_for(&self, kind: PoolKind, stream: StreamHandle) -> u16 {
        let caller = self.private.caller;
        let catches = |catch: &Catch| match *catch {
            Catch::Caller(thread) => thread == caller,
            Catch::Stream(captured) => captured == stream,
        };
        let newest = self.private.redirections.iter().rev().find(|(_, catch)| catches(catch));
        self.index_of(newest.map_or((0, 0), |(id, _)| *id), kind)
    }

    /// The id of the pool that a block lies in.
    pub(super) fn pool_id(&self, slot: Slot) -> PoolId {
        self.private.id_of(self.arena[slot].pool)
    }

    pub(super) fn never_splits(&self, pool: u16) -> bool {
        pool > LARGE
            && !self.planted.has(Defect::NoSplitIgnored)
            && self.private.of(pool).is_some_and(|p| p.flags.no_split)
    }

    /// A private pool got memory (+1) or gave some back (-1).
    pub(super) fn note_growth(&mut self, pool: u16, by: i64) {
        if pool > LARGE
            && let Some(owner) = self.private.pools.iter_mut().find(|p| p.small == pool || p.large == pool)
        {
            owner.growths += by;
            // PyTorch counts a growth by several ranges as one and each range that is unmapped, and asserts that the count
            // is not below 0 (`unmap_block`). What it is in after that, nobody can foresee.
            self.private.unforeseeable |= self.library_alone && owner.growths < 0;
        }
    }

    /// What pools that help out have cached for a request of the default pools.
    ///
    /// # Errors
    /// PyTorch borrows from a pool by redirecting to it, and cannot where that is under way already (`try_mempool_fallback`);
    /// the pool keeps the user that it got for it.
    pub(super) fn find_in_helpers(&mut self, request: &Request) -> Result<Option<Slot>, AllocError> {
        if request.pool > LARGE || self.private.pools.is_empty() {
            return Ok(None);
        }
        let mut helpers: Vec<&PrivatePool> = self.private.pools.iter().filter(|p| p.flags.use_on_oom).collect();
        let place = |p: &PrivatePool| self.private.helpers.keys().position(|id| id == p.id);
        helpers.sort_by_key(|p| (place(p), table_order(p.id)));
        let pools = helpers.into_iter().map(|p| (p.id, if request.pool == SMALL { p.small } else { p.large }));
        let helpers: Vec<(PoolId, u16)> = pools.collect();
        for (id, pool) in helpers {
            if self.library_alone && self.private.redirections.iter().any(|(redirected, _)| *redirected == id) {
                self.retain_pool(id, PoolFlags::default());
                return Err(AllocError::PoolBusy);
            }
            let expandable = std::mem::replace(&mut self.settings.expandable_segments, false);
            let found = self.find_free(&Request { pool, ..*request });
            self.settings.expandable_segments = expandable;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The defect that takes what any private pool has cached.
    pub(super) fn find_anywhere(&mut self, request: &Request) -> Option<Slot> {
        let pools =
            self.private.pools.iter().map(|p| if kind_of(request.pool) == PoolKind::Small { p.small } else { p.large });
        let pools: Vec<u16> = pools.collect();
        pools.into_iter().find_map(|pool| self.find_free(&Request { pool, ..*request }))
    }

    /// Gives back what dead pools have cached: of all of them, or of one, whose events are waited for.
    pub(super) fn release_dead(&mut self, only: Option<PoolId>) -> Result<(), DeviceError> {
        let mut result = Ok(());
        let flushed = |p: &&PrivatePool| p.users == 0 || self.planted.has(Defect::GraphMemoryFlushed);
        let mut dead: Vec<PrivatePool> = self.private.pools.iter().filter(flushed).copied().collect();
        let place = |p: &PrivatePool| self.private.dead.keys().position(|id| id == p.id);
        dead.sort_by_key(|p| (place(p), table_order(p.id)));
        for pool in dead.into_iter().filter(|p| only.is_none_or(|id| id == p.id)) {
            if only.is_some() {
                *self.stats.counter_mut(Counter::NumSyncAllStreams) += 1;
                result = result.and(self.wait_for_events(|block| block == pool.small || block == pool.large));
            }
            result = result.and(self.release_pool(pool.small)).and_then(|()| self.release_pool(pool.large));
        }
        let is_over = |p: &mut PrivatePool| only.is_none_or(|id| id == p.id) && p.users == 0 && p.growths == 0;
        for gone in self.private.pools.extract_if(.., is_over) {
            self.private.dead.remove(gone.id);
        }
        result
    }

    /// Whether PyTorch's answers may have followed from addresses of its heap by now, or from what a failed assertion of its
    /// own left behind, which nobody can foresee.
    #[must_use]
    pub fn is_unforeseeable(&self) -> bool {
        self.private.unforeseeable
    }

    /// Free bytes that private pools have cached.
    pub(super) fn cached_privately(&self) -> u64 {
        let pools = self.private.pools.iter().flat_map(|p| [p.small, p.large]);
        let bytes: u64 = pools.clone().map(|p| self.pools[usize::from(p)].free.bytes()).sum();
        let one_by_one = || pools.flat_map(|p| self.pools[usize::from(p)].free.slots(&self.arena));
        debug_assert_eq!(bytes, one_by_one().map(|slot| self.arena[slot].size).sum::<u64>());
        bytes
    }

    /// Takes up the frees that were put off, once nothing is redirected any more.
    pub(super) fn take_up_put_off(&mut self) -> Result<(), DeviceError> {
        if self.planted.has(Defect::DeferredFreeForgotten) {
            return Ok(());
        }
        let put_off = std::mem::take(&mut self.private.put_off);
        // They are a set of objects by address, and what a capture recorded on an object is taken off whoever has it now.
        self.private.unforeseeable |= put_off.len() > 1 || self.private.kept_by_object;
        let captured = std::mem::take(&mut self.private.captured);
        for (i, &slot) in put_off.iter().enumerate() {
            let of_capture = |s: &StreamHandle| captured.contains(&(slot, *s));
            if let Some(streams) = self.recorded.get_mut(&slot) {
                *streams = self.events.sorted(std::mem::take(streams));
                streams.retain(|s| !of_capture(s));
            }
            self.passed_together += 1;
            if let Err(error) = self.await_streams(slot) {
                self.private.put_off = put_off[i + 1..].to_vec();
                return Err(error);
            }
        }
        // Streams captured on blocks that live on stay captured.
        let lives = |slot: &Slot| self.arena[*slot].state == State::Allocated;
        self.private.captured = captured.into_iter().filter(|(slot, _)| lives(slot)).collect();
        Ok(())
    }

    /// Bytes allocated and not, as an out-of-memory message counts them with private pools.
    pub(super) fn message_figures(&self) -> (u64, u64, u64) {
        let private = self.cached_privately();
        let current = |family| u64::try_from(self.stats.all(family).current).unwrap_or(0);
        let allocated = current(Family::AllocatedBytes) + private;
        (allocated, private, current(Family::ReservedBytes).saturating_sub(allocated))
    }
}

//! One device's allocator: its state, and the ladder a request climbs until it is served or refused.
//!
//! Decides the order of steps. What each step does is said in `grow`, `release`, `free` and `hand_out`.

use rustc_hash::FxHashMap;

use super::block::{Arena, Block, Slot};
use super::defect::{Defect, Planting};
use super::events::Events;
use super::expandable::ExpandableSegment;
use super::live::Live;
use super::oom::{Advice, OutOfMemory};
use super::pool::Pool;
use super::private::PrivatePools;
use super::settings::Settings;
use super::trace::Trace;
use super::variation::Variation;
use super::{defect_bodies, rounding, variation};
use crate::device::{Device, DeviceError, StreamHandle};
use crate::op::trace::{Action, TraceEvent};
use crate::op::{Counter, PoolKind, Stats};

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each says what happened")]
pub enum AllocError {
    #[error("{0}")]
    OutOfMemory(Box<OutOfMemory>),
    /// Refused before any state moves.
    #[error("a request of {bytes} bytes cannot be represented")]
    Unrepresentable { bytes: u64 },
    /// PyTorch's words for a pool that helps out while memory is redirected to it already.
    #[error("beginAllocateToPool: already recording to mempool_id")]
    PoolBusy,
    #[error("the device failed: {0}")]
    Device(#[from] DeviceError),
}

/// A request on its way up the ladder.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request {
    pub bytes: u64,
    /// Rounded.
    pub size: u64,
    pub stream: StreamHandle,
    pub pool: u16,
}

impl Request {
    /// What is asked of the device for it.
    pub fn segment(&self, settings: &Settings) -> u64 {
        rounding::segment_size(self.size, settings)
    }
}

pub(super) const SMALL: u16 = 0;
pub(super) const LARGE: u16 = 1;

/// Pools come in pairs, the small one first.
#[inline]
pub(super) fn kind_of(pool: u16) -> PoolKind {
    const KINDS: [PoolKind; 2] = [PoolKind::Small, PoolKind::Large];
    KINDS[usize::from(pool & 1)]
}

/// The allocator of one device. A clone goes its own way: what is tried on it leaves no mark.
#[derive(Debug, Clone)]
pub struct DeviceAllocator<D, P> {
    pub(super) index: usize,
    pub(super) device: D,
    pub(super) settings: Settings,
    pub(super) planted: P,
    pub(super) stats: Stats,
    /// No growth beyond this; `None` where the fraction is 1.
    pub(super) limit: Option<u64>,
    pub(super) arena: Arena,
    pub(super) pools: Vec<Pool>,
    /// Blocks that callers hold, by address.
    pub(super) live: Live,
    /// Streams recorded on blocks, for the few that have any.
    pub(super) recorded: FxHashMap<Slot, Vec<StreamHandle>>,
    pub(super) events: Events,
    pub(super) segments: Vec<ExpandableSegment>,
    pub(super) private: PrivatePools,
    /// Pages (address, bytes) of a growth that failed and could not be undone: in no block, not counted.
    pub(super) strays: Vec<(u64, u64)>,
    pub(super) trace: Option<Trace>,
    /// How many events passed in the last processing step: above 1 the order was PyTorch's to choose.
    pub(super) passed_together: u32,
    /// Bases of segments in order of reservation; kept only for a planted defect.
    pub(super) bases: Vec<u64>,
    pub(super) varied: variation::Memory,
    /// An error that is never forgotten; kept only for a planted defect.
    pub(super) stuck: Option<DeviceError>,
    pub(super) habits: super::needless_segments::DefectState,
    pub(super) waits: super::waits::Waits,
    /// Another device is current: whoever waits for the default stream waits for that of the other.
    pub(super) elsewhere: bool,
    /// The default stream of the current device is still to be waited for.
    pub(super) wait_due: bool,
    /// See `Reference::library_alone`.
    pub(super) library_alone: bool,
    /// See `Reference::as_recorded`.
    pub(super) raises_for_parts: bool,
    /// See [`super::Rules`].
    pub(super) limit_rounds: bool,
    pub(super) waits_elsewhere: bool,
    pub(super) ranges_hold_requests: bool,
    pub(super) helpers_last: bool,
    pub(super) large_segments_known: bool,
    pub(super) advice: Advice,
}

impl<D: Device, P: Planting> DeviceAllocator<D, P> {
    pub(super) fn new(index: usize, device: D, settings: Settings, planted: P) -> Self {
        let settings = variation::settings(defect_bodies::settings(settings, planted), planted);
        let mut stats = Stats::default();
        *stats.counter_mut(Counter::MaxSplitSize) = i64::try_from(settings.max_split).unwrap_or(-1);
        let mut allocator = DeviceAllocator {
            index,
            device,
            settings,
            planted,
            stats,
            limit: None,
            arena: Arena::default(),
            pools: vec![Pool::default(), Pool::default()],
            live: Live::default(),
            recorded: FxHashMap::default(),
            events: Events::default(),
            segments: Vec::new(),
            private: PrivatePools::default(),
            strays: Vec::new(),
            trace: None,
            passed_together: 0,
            bases: Vec::new(),
            varied: variation::Memory::default(),
            stuck: None,
            habits: super::needless_segments::DefectState::default(),
            waits: super::waits::Waits::default(),
            elsewhere: false,
            wait_due: false,
            raises_for_parts: false,
            limit_rounds: false,
            waits_elsewhere: true,
            ranges_hold_requests: false,
            helpers_last: false,
            large_segments_known: true,
            library_alone: false,
            advice: Advice::Expandable,
        };
        allocator.set_limit(settings.fraction);
        allocator
    }

    /// Serves a request of `bytes` (0 gives address 0 and moves nothing).
    ///
    /// # Errors
    /// No memory, a size that cannot be represented, or a device call that failed.
    pub fn alloc(&mut self, bytes: u64, stream: StreamHandle) -> Result<u64, AllocError> {
        if bytes == 0 && !self.planted.has(Defect::ZeroSizeTakesBlock) {
            return Ok(0);
        }
        if self.planted.has(Defect::ErrorSticks)
            && let Some(error) = &self.stuck
        {
            return Err(error.clone().into());
        }
        let request = self.request(bytes, stream).ok_or(AllocError::Unrepresentable { bytes })?;
        if self.private.is_redirecting() {
            self.passed_together = 0;
        } else if !self.planted.varies(Variation::PollsLate) {
            self.process_events()?;
        }
        self.serve(&request)
    }

    #[inline(always)]
    pub(super) fn serve(&mut self, request: &Request) -> Result<u64, AllocError> {
        let found = match self.find_free(request) {
            Some(slot) => slot,
            None => self.find_memory(request)?,
        };
        Ok(self.hand_out(found, request))
    }

    pub(super) fn request(&self, bytes: u64, stream: StreamHandle) -> Option<Request> {
        if self.planted.has(Defect::HugeSizeWraps) {
            let size = bytes.wrapping_add(511) & !511;
            return Some(Request { bytes, size, stream, pool: u16::from(size > rounding::SMALL_LIMIT) });
        }
        let size = rounding::block_size(bytes, &self.settings)?;
        if size > rounding::LARGEST {
            return None;
        }
        let mut pool = u16::from(size > rounding::SMALL_LIMIT);
        if self.private.has_redirections() {
            pool = self.pool_for(kind_of(pool), stream);
        }
        let mut request = Request { bytes, size, stream, pool };
        self.misround(&mut request);
        self.vary(&mut request);
        Some(request)
    }

    /// The steps after a search that found nothing.
    fn find_memory(&mut self, request: &Request) -> Result<Slot, AllocError> {
        if self.settings.gc_threshold > 0.0 && self.limit.is_some() {
            self.collect_garbage()?;
        }
        if self.planted.has(Defect::PrivateServesOthers)
            && let Some(slot) = self.find_anywhere(request)
        {
            return Ok(slot);
        }
        if let Some(slot) = self.search_otherwise(request)? {
            return Ok(slot);
        }
        if let Some(slot) = self.grow(request)? {
            self.get_spare(request);
            return Ok(slot);
        }
        if !self.helpers_last
            && let Some(slot) = self.find_in_helpers(request)?
        {
            return Ok(slot);
        }
        if self.planted.has(Defect::OomCountedEarly) {
            *self.stats.counter_mut(Counter::NumOoms) += 1;
        }
        if self.settings.max_split != u64::MAX
            && self.release_oversize(request)?
            && let Some(slot) = self.grow(request)?
        {
            return Ok(slot);
        }
        if self.private.is_redirecting() {
            return self.last_resort(request);
        }
        if let Some(slot) = self.give_back_part(request)? {
            return Ok(slot);
        }
        if !self.planted.has(Defect::NoFlushBeforeOom) {
            self.flush_for(request)?;
        }
        if !self.planted.has(Defect::RetryNotCounted) {
            *self.stats.counter_mut(Counter::NumAllocRetries) += 1;
        }
        if let Some(slot) = self.search_after_flush(request) {
            return Ok(slot);
        }
        if !self.planted.has(Defect::NoSecondTry)
            && let Some(slot) = self.grow(request)?
        {
            return Ok(slot);
        }
        self.last_resort(request)
    }

    /// Best fit over the free blocks of the request's pool and stream.
    #[inline(always)]
    pub(super) fn find_free(&mut self, request: &Request) -> Option<Slot> {
        let pool = &mut self.pools[usize::from(request.pool)];
        if self.limit.is_some() && self.settings.gc_threshold > 0.0 {
            pool.searches = pool.searches.wrapping_add(1);
        }
        let size = if self.planted.has(Defect::BlockTooSmall) { request.size / 4 * 3 } else { request.size };
        let mut slot = if self.planted.chooses() {
            self.choose(request, size)?
        } else {
            pool.free.first_fit(&self.arena, request.stream, size)?
        };
        if self.arena[slot].expandable {
            slot = self.choose_expandable(request, slot)?;
        }
        let found = self.arena[slot].size;
        let max_split = self.settings.max_split;
        if request.size < max_split && found >= max_split && !self.planted.has(Defect::OversizeServesSmall) {
            return None;
        }
        let most = request.size.saturating_add(self.settings.max_non_split_rounding);
        if request.size >= max_split && found >= most && !self.planted.has(Defect::NonSplitRoundingIgnored) {
            return None;
        }
        self.pools[usize::from(request.pool)].free.remove(&mut self.arena, slot);
        Some(slot)
    }

    /// Puts a block into its pool's free set.
    #[inline(always)]
    pub(super) fn insert_free(&mut self, slot: Slot) {
        let block = &mut self.arena[slot];
        let pool = &mut self.pools[usize::from(block.pool)];
        pool.searches = pool.searches.wrapping_add(u32::from(self.planted.counts_frees()));
        block.searches_at_free = pool.searches;
        pool.free.insert(&mut self.arena, slot);
    }

    pub(super) fn kind(&self, slot: Slot) -> PoolKind {
        kind_of(self.arena[slot].pool)
    }

    pub(super) fn note(&mut self, action: Action, address: u64, bytes: u64, stream: StreamHandle, pool: u16) {
        let Some(trace) = &mut self.trace else { return };
        trace.events.push(TraceEvent { action, address, bytes, stream: stream.0 });
        trace.pools.push(if pool > LARGE { self.private.id_of(pool) } else { (0, 0) });
    }

    /// Whether a remainder is cut off when `size` is taken from a block.
    pub(super) fn splits(&self, block: &Block, size: u64) -> bool {
        if block.pool > LARGE && self.never_splits(block.pool) {
            return false;
        }
        if self.hands_out_whole(block) {
            return false;
        }
        let remaining = block.size.saturating_sub(size);
        if kind_of(block.pool) == PoolKind::Small || self.settings.expandable_segments {
            remaining >= rounding::MIN_BLOCK + u64::from(self.planted.has(Defect::LastGranuleKept))
        } else {
            let least =
                if self.planted.has(Defect::SliverCutOff) { rounding::MIN_BLOCK } else { rounding::SMALL_LIMIT };
            (size < self.settings.max_split || self.planted.has(Defect::MaxSplitIgnored)) && remaining > least
        }
    }

    /// The statistics now.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The device below.
    #[must_use]
    pub fn device(&self) -> &D {
        &self.device
    }

    /// The same, to be worked on.
    pub fn device_mut(&mut self) -> &mut D {
        &mut self.device
    }

    /// How many events passed in the last processing step. With more than one, PyTorch's own order is a
    /// hash order, and what depends on it cannot be predicted.
    #[must_use]
    pub fn passed_together(&self) -> u32 {
        self.passed_together
    }

    /// The settings are these from now on. The limit and what was counted stay, as in PyTorch.
    pub fn change_settings(&mut self, settings: Settings) {
        self.settings = variation::settings(defect_bodies::settings(settings, self.planted), self.planted);
        self.mischange();
    }

    /// The settings in force.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Takes figures from a recording where the allocator's order could not be predicted.
    pub fn adopt(&mut self, stats: Stats) {
        self.stats = stats;
    }

    /// Sets every peak to its current value.
    pub fn reset_peak(&mut self) {
        let before = self.stats;
        self.stats.tracked_mut().for_each(crate::op::Stat::reset_peak);
        self.misreset_peaks(&before);
    }

    /// Clears what was accumulated: allocated, freed and the event counters.
    pub fn reset_accumulated(&mut self) {
        let before = self.stats;
        self.stats.tracked_mut().for_each(crate::op::Stat::reset_accumulated);
        for &counter in Counter::ALL.iter().filter(|&&c| c != Counter::MaxSplitSize) {
            *self.stats.counter_mut(counter) = 0;
        }
        self.misreset_accumulated(&before);
    }
}

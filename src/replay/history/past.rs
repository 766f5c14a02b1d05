//! What stood when a history began: its events walked backwards from what stood when it ended.
//!
//! Decides with what the reference is primed. What the past does not tell is counted, not made up: how large a block
//! was whose request alone is known, when cached blocks became free, and what had been counted before.

use super::call_events::Left;
use super::guess::Guess;
use super::ranges::{Ranges, whose};
use super::shape::{Ground, Hint, Hints, Shape, Trouble};
use std::collections::{BTreeMap, BTreeSet};

use crate::device::StreamHandle;
use crate::op::PoolKind;
use crate::op::snapshot::{BlockState, BlockView, SegmentView};
use crate::op::trace::{Action, TraceEvent};
use crate::recording::PlacedEvent;
use crate::reference::{Holds, Part, PoolId, Settings, Standing, rounding};

/// A device at the start of its history.
#[derive(Debug)]
pub(in crate::replay) struct Past {
    shape: Shape,
    ranges: Ranges,
    /// The private pool of each event, by position; empty where there are none.
    pub pools: Vec<PoolId>,
    /// Of how many blocks the size could not be told for sure.
    pub guessed: u64,
    /// Private pools of which nothing shows that their blocks are ever split: they may be of `no_split`.
    pub uncut: Vec<PoolId>,
}

/// An event that what stands afterwards cannot have come of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::replay) struct Undone {
    /// Its position in the trace; `None` if what stands makes no sense by itself.
    pub at: Option<usize>,
    pub trouble: Trouble,
}

impl Past {
    /// Walks a trace of a device back to the event at position `start`.
    pub fn before(
        events: &[PlacedEvent],
        segments: &[&SegmentView],
        settings: &Settings,
        (left, guess, device): (Left, &Guess, usize),
        start: usize,
    ) -> Result<Past, Undone> {
        let mut shape = Shape::of(segments).map_err(|trouble| Undone { at: None, trouble })?;
        let private = segments.iter().any(|s| s.segment_pool_id != (0, 0))
            || events.iter().any(|e| e.pool().is_some_and(|pool| pool != (0, 0)));
        let mut hints = hints(events, &shape, settings);
        let mut owners = vec![None; if private { events.len() } else { 0 }];
        for (at, placed) in events.iter().enumerate().skip(start).rev() {
            hints.now = at;
            let undone = shape.undo(&placed.event, left, settings, &hints);
            let owner = undone.map_err(|trouble| Undone { at: Some(at), trouble })?;
            if let (Some(owner), Some(pool)) = (owner, placed.pool()) {
                shape.owners[owner] = Some(pool);
            }
            if private {
                owners[at] = owner;
            }
        }
        let guessed = shape.fit_guesses(settings, guess, device);
        let pool_of = |(placed, owner): (&PlacedEvent, Option<usize>)| {
            placed.pool().or(owner.and_then(|owner| shape.owners[owner])).unwrap_or_default()
        };
        let pools: Vec<PoolId> = events.iter().zip(owners).map(pool_of).collect();
        let ranges = Ranges::over(
            &shape,
            events.get(start..).unwrap_or_default(),
            pools.get(start..).unwrap_or_default(),
            settings,
        );
        let views: Vec<SegmentView> = shape.views(0, &BTreeMap::new());
        let views: Vec<&SegmentView> = views.iter().filter(|_| private).chain(segments.iter().copied()).collect();
        let uncut = uncut(events, &pools, &views, settings);
        Ok(Past { shape, ranges, pools, guessed, uncut })
    }

    /// Nothing stood: the history is whole, or began when everything had been given back.
    pub fn is_empty(&self) -> bool {
        self.shape.grounds.is_empty()
    }

    /// Memory that stood.
    pub fn reserved(&self) -> u64 {
        self.shape.reserved()
    }

    /// How many blocks were live or waited, and their bytes.
    pub fn held(&self) -> (u64, u64) {
        let blocks = &self.shape.blocks;
        (blocks.len() as u64, blocks.values().fold(0, |sum, held| sum.saturating_add(held.bytes)))
    }

    /// A block of unknown size that is taken to end at an address: where it is, its size, and how much is free behind it.
    pub fn guessed_before(&self, end: u64) -> Option<(u64, u64, u64)> {
        let (&address, held) = self.shape.blocks.range(..end).next_back()?;
        let (start, ground) = self.shape.ground(address)?;
        let next = self.shape.blocks.range(end..).next().map_or(u64::MAX, |(&next, _)| next);
        let room = next.min(start + ground.bytes).checked_sub(end)?;
        (held.guessed && address + held.bytes == end).then_some((address, held.bytes, room))
    }

    /// What the block at an address was asked for.
    pub fn requested(&self, address: u64) -> Option<u64> {
        self.shape.blocks.get(&address).map(|held| held.requested)
    }

    /// The blocks that waited for streams.
    pub fn waiting(&self) -> impl Iterator<Item = u64> + '_ {
        self.shape.blocks.iter().filter(|(_, held)| held.waits).map(|(&address, _)| address)
    }

    /// The bytes of the blocks that waited.
    pub fn waiting_bytes(&self) -> u64 {
        let waiting = self.shape.blocks.values().filter(|held| held.waits);
        waiting.fold(0, |sum, held| sum.saturating_add(held.bytes))
    }

    /// The blocks that were live or waited, by address: request, stream and private pool.
    pub fn blocks(&self) -> impl Iterator<Item = (u64, u64, u64, PoolId)> + '_ {
        self.shape.blocks.iter().filter_map(|(&address, held)| {
            let (_, ground) = self.shape.ground(address)?;
            let (stream, _, pool) = whose(&self.shape, &ground);
            Some((address, held.requested, stream, pool))
        })
    }

    /// A size of the device for which no ranges overlap.
    pub fn total_bytes(&self) -> u64 {
        self.ranges.total_bytes()
    }

    /// As the reference is primed with it.
    pub fn standing(&self, settings: &Settings) -> Vec<Standing> {
        let total = self.total_bytes();
        let longest = total.saturating_add(total / 8);
        let mut all: Vec<Standing> = Vec::new();
        for (&address, ground) in self.shape.grounds.iter().filter(|(_, ground)| !ground.expandable) {
            let parts = parts(&self.shape, address, ground);
            all.push(self.segment(address, ground, None, parts));
        }
        for &(of, base, end) in &self.ranges.at_start {
            let page = if of.1 == PoolKind::Small { rounding::SMALL_SEGMENT } else { settings.large_segment };
            let bytes = longest.max(end - base).div_ceil(page).saturating_mul(page);
            let mut at = base;
            let mut parts = Vec::new();
            let runs = self.shape.grounds.range(base..end).filter(|(_, ground)| ground.expandable);
            for (&run, ground) in runs.filter(|(_, ground)| whose(&self.shape, ground) == of) {
                parts.extend((run > at).then(|| Part { bytes: run - at, holds: Holds::Nothing }));
                parts.extend(self::parts(&self.shape, run, ground));
                at = run + ground.bytes;
            }
            let rest = base.saturating_add(bytes).saturating_sub(at);
            parts.extend((rest > 0).then_some(Part { bytes: rest, holds: Holds::Nothing }));
            let (stream, kind, pool) = of;
            let stream = StreamHandle(stream);
            all.push(Standing { address: base, bytes, stream, kind, pool, page: Some(page), parts });
        }
        all.sort_by_key(|segment| segment.address);
        for at in 1..all.len() {
            let next = all[at].address;
            shorten(&mut all[at - 1], next);
        }
        all
    }

    fn segment(&self, address: u64, ground: &Ground, page: Option<u64>, parts: Vec<Part>) -> Standing {
        let (stream, kind, pool) = whose(&self.shape, ground);
        Standing { address, bytes: ground.bytes, stream: StreamHandle(stream), kind, pool, page, parts }
    }

    /// As a snapshot would have shown it. `sizes`: of blocks by address, for those whose size was not told for sure.
    pub fn views(&self, device: usize, sizes: &BTreeMap<u64, u64>) -> Vec<SegmentView> {
        self.shape.views(device, sizes)
    }
}

impl Shape {
    fn views(&self, device: usize, sizes: &BTreeMap<u64, u64>) -> Vec<SegmentView> {
        let mut shape = self.clone();
        for (address, held) in shape.blocks.iter_mut().filter(|(_, held)| held.guessed) {
            held.bytes = sizes.get(address).copied().unwrap_or(held.bytes);
        }
        let shape = &shape;
        let view = |(&address, ground): (&u64, &Ground)| {
            let (stream, segment_type, segment_pool_id) = whose(shape, ground);
            let mut view = SegmentView {
                device: u32::try_from(device).unwrap_or(u32::MAX),
                address,
                total_size: ground.bytes,
                allocated_size: 0,
                active_size: 0,
                requested_size: 0,
                stream,
                segment_type,
                segment_pool_id,
                is_expandable: ground.expandable,
                blocks: Vec::new(),
            };
            let mut at = address;
            for part in parts(shape, address, ground) {
                let held = shape.blocks.get(&at).filter(|_| part.holds != Holds::Free);
                let (requested_size, state) = held.map_or((0, BlockState::Inactive), |held| {
                    let state = if held.waits { BlockState::ActivePendingFree } else { BlockState::ActiveAllocated };
                    (held.requested, state)
                });
                if state != BlockState::Inactive {
                    view.active_size += part.bytes;
                    view.requested_size = view.requested_size.saturating_add(requested_size);
                }
                if state == BlockState::ActiveAllocated {
                    view.allocated_size += part.bytes;
                }
                view.blocks.push(BlockView { address: at, size: part.bytes, requested_size, state });
                at += part.bytes;
            }
            view
        };
        shape.grounds.iter().map(view).collect()
    }
}

/// Blocks, and what is free between them.
fn parts(shape: &Shape, start: u64, ground: &Ground) -> Vec<Part> {
    let end = start + ground.bytes;
    let mut parts = Vec::new();
    let mut at = start;
    for (&address, held) in shape.blocks.range(start..end) {
        parts.extend((address > at).then(|| Part { bytes: address - at, holds: Holds::Free }));
        parts.push(Part { bytes: held.bytes, holds: Holds::Block { requested: held.requested } });
        at = address + held.bytes;
    }
    parts.extend((at < end).then(|| Part { bytes: end - at, holds: Holds::Free }));
    parts
}

/// Takes from a range of addresses what reaches beyond the next segment, as far as nothing is mapped there.
fn shorten(range: &mut Standing, next: u64) {
    let beyond = range.address.saturating_add(range.bytes).saturating_sub(next);
    if let Some(last) = range.parts.last_mut().filter(|part| part.holds == Holds::Nothing && beyond > 0) {
        let taken = beyond.min(last.bytes);
        last.bytes -= taken;
        range.bytes -= taken;
        if last.bytes == 0 {
            range.parts.pop();
        }
    }
}

/// The private pools whose requests were all given whole segments or pages, and whose segments hold one block each.
fn uncut(events: &[PlacedEvent], pools: &[PoolId], segments: &[&SegmentView], settings: &Settings) -> Vec<PoolId> {
    let mut starts: BTreeSet<u64> = segments.iter().map(|s| s.address).collect();
    let standing = segments.iter().map(|s| s.segment_pool_id).filter(|&pool| pool != (0, 0));
    let (mut seen, mut cut): (BTreeSet<PoolId>, BTreeSet<PoolId>) = (standing.collect(), BTreeSet::new());
    let grown = |action| {
        matches!(action, Action::SegmentAlloc | Action::SegmentMap | Action::SegmentFree | Action::SegmentUnmap)
    };
    starts.extend(events.iter().filter(|e| grown(e.event.action)).map(|e| e.event.address));
    for (placed, &pool) in
        events.iter().zip(pools).filter(|(e, pool)| e.event.action == Action::Alloc && **pool != (0, 0))
    {
        let TraceEvent { address, bytes, .. } = placed.event;
        let small = rounding::pool_kind(rounding::block_size(bytes, settings).unwrap_or(bytes)) == PoolKind::Small;
        let page = if small { rounding::SMALL_SEGMENT } else { settings.large_segment };
        let start = starts.range(..=address).next_back().copied().unwrap_or_default();
        let whole = address == start || settings.expandable_segments && (address - start).is_multiple_of(page);
        seen.insert(pool);
        cut.extend((!whole).then_some(pool));
    }
    let blocks = |view: &SegmentView| view.blocks.iter().filter(|b| b.state != BlockState::Inactive).count();
    cut.extend(segments.iter().filter(|s| blocks(s) > 1 && !s.is_expandable).map(|s| s.segment_pool_id));
    seen.difference(&cut).copied().collect()
}

/// What events and segments tell of the addresses of expandable segments.
fn hints(events: &[PlacedEvent], shape: &Shape, settings: &Settings) -> Hints {
    let mut hints = Hints::default();
    // They are asked for only where memory was unmapped.
    if events.iter().all(|placed| placed.event.action != Action::SegmentUnmap) {
        return hints;
    }
    for (at, placed) in events.iter().enumerate() {
        let TraceEvent { action, address, bytes, stream } = placed.event;
        let kind = match action {
            Action::SegmentMap if bytes == rounding::SMALL_SEGMENT => PoolKind::Small,
            Action::SegmentMap => PoolKind::Large,
            Action::Alloc => rounding::pool_kind(rounding::block_size(bytes, settings).unwrap_or(bytes)),
            _ => continue,
        };
        hints.of.insert((address, at), Hint { stream, kind, owner: None });
    }
    for (&address, ground) in shape.grounds.iter().filter(|(_, ground)| ground.expandable) {
        let &Ground { stream, kind, owner, .. } = ground;
        hints.of.insert((address, events.len()), Hint { stream, kind, owner: Some(owner) });
    }
    hints
}

//! Whose memory an address is, as far as earlier blocks tell: that of the pool that a freed block came from,
//! that of a graph that was captured with it, or nobody's until a capture ends.
//!
//! Decides from addresses, and from figures that show that memory may have gone back to the device: what was
//! freed there is forgotten then. Memory that no block ever lay in is not known, nor what was freed before
//! the first private pool was made.

use std::collections::BTreeMap;

use super::Live;
use super::pools::{Pools, Route};
use crate::op::{Counter, DeviceView, Family, Op, PoolSource};

/// Where a block lies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Owner {
    /// The pools that everybody uses.
    #[default]
    Default,
    /// One private pool.
    Private(PoolSource),
    /// In the default pools or in one that helped out: nothing tells which.
    Unknown,
}

/// Why a range should not have been handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// It is cached for another pool (`None`: for the default ones).
    Cached(Option<PoolSource>),
    /// It is cached for a pool that helps out when memory has run out.
    Helper(PoolSource),
    /// A graph was captured with it.
    Graph(PoolSource),
    /// It was freed in the capture under way, in which a stream was recorded on it.
    Deferred,
}

/// A range handed out although somebody has a claim on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimedRange {
    /// Where the overlap starts.
    pub address: u64,
    /// One past its last byte.
    pub end: u64,
    /// Whose it is.
    pub claim: Claim,
    /// Where the request was to be served from.
    pub wanted: Option<PoolSource>,
}

#[derive(Debug, Clone, Copy)]
struct Range<T> {
    end: u64,
    device: usize,
    of: T,
}

/// Disjoint ranges by address.
#[derive(Debug)]
struct Ranges<T>(BTreeMap<u64, Range<T>>);

impl<T: Copy> Ranges<T> {
    fn overlapping(&self, start: u64, end: u64) -> impl Iterator<Item = (u64, Range<T>)> {
        let before = self.0.range(..start).next_back().filter(move |(_, range)| range.end > start);
        before.into_iter().chain(self.0.range(start..end.max(start))).map(|(&at, &range)| (at, range))
    }

    /// Takes `[start, end)` out of every range.
    fn cut(&mut self, start: u64, end: u64) {
        let touched: Vec<(u64, Range<T>)> = self.overlapping(start, end).collect();
        for (at, range) in touched {
            self.0.remove(&at);
            if at < start {
                self.0.insert(at, Range { end: start, ..range });
            }
            if range.end > end {
                self.0.insert(end, range);
            }
        }
    }

    fn put(&mut self, live: &Live, of: T) {
        self.cut(live.address, live.end());
        self.0.insert(live.address, Range { end: live.end(), device: live.device, of });
    }
}

/// What is known of memory.
#[derive(Debug)]
pub(super) struct PoolOwnership {
    cached: Ranges<Option<PoolSource>>,
    graphs: Ranges<PoolSource>,
    deferred: Ranges<()>,
    /// By device, calls that gave memory back and what is reserved.
    seen: Vec<(i64, i64)>,
}

impl PoolOwnership {
    pub(super) fn new(devices: usize) -> Self {
        let (cached, graphs, deferred) = (Ranges(BTreeMap::new()), Ranges(BTreeMap::new()), Ranges(BTreeMap::new()));
        PoolOwnership { cached, graphs, deferred, seen: vec![(0, 0); devices] }
    }

    /// Forgets what may have gone back to the device: all, where nothing tells what did.
    pub(super) fn observe(&mut self, device: usize, view: &DeviceView, tells: bool) {
        let now = (view.stats.counter(Counter::NumDeviceFree), view.stats.all(Family::ReservedBytes).current);
        let Some(before) = self.seen.get_mut(device).map(|seen| std::mem::replace(seen, now)) else { return };
        if now.0 != before.0 || now.1 < before.1 || !tells {
            self.cached.0.retain(|_, range| range.device != device);
        }
    }

    /// A block is handed out: what of it should not have been.
    pub(super) fn take(&mut self, live: &Live, route: Option<Route>, pools: &Pools) -> Option<ClaimedRange> {
        let wanted = route.map(|r| r.pool);
        let (start, end) = (live.address, live.end());
        let claimed_range = |at: u64, end: u64, claim| ClaimedRange { address: at, end, claim, wanted };
        let deferred =
            self.deferred.overlapping(start, end).map(|(at, r)| claimed_range(at, r.end, Claim::Deferred)).next();
        let helps = |pool| wanted.is_none() && pools.helps_out(pool, live.device);
        let claimed = |pool, claim| if helps(pool) { Claim::Helper(pool) } else { claim };
        let graph = self.graphs.overlapping(start, end).find(|(_, r)| Some(r.of) != wanted);
        let graph = graph.map(|(at, r)| claimed_range(at, r.end, claimed(r.of, Claim::Graph(r.of))));
        let cached = self.cached.overlapping(start, end).find(|(_, r)| r.of != wanted);
        let cached = cached.map(|(at, r)| {
            let claim = Claim::Cached(r.of);
            claimed_range(at, r.end, r.of.map_or(claim, |pool| claimed(pool, claim)))
        });
        self.cached.cut(start, end);
        if let Some(route) = route.filter(|r| r.captured) {
            self.graphs.put(live, route.pool);
        }
        deferred.or(graph).or(cached)
    }

    /// A block is given back, and with it memory may have `returned` to the device: what is freed there is not known
    /// to be cached.
    pub(super) fn put(&mut self, live: &Live, pools: &Pools, returned: bool) {
        if live.redirected != 0 && pools.is_capturing_on(live.device) {
            self.deferred.put(live, ());
        }
        match live.owner {
            Owner::Unknown => {}
            _ if returned => self.cached.cut(live.address, live.end()),
            Owner::Default => self.cached.put(live, None),
            // what is left of a dead pool is nobody's
            Owner::Private(pool) if !pools.is_alive(pool) => {}
            Owner::Private(pool) => self.cached.put(live, Some(pool)),
        }
    }

    /// Pools or captures came to an end by an operation: their claims go with them. Nothing else ends any, and what is put
    /// here is somebody's then.
    pub(super) fn settle(&mut self, op: &Op, pools: &Pools) {
        if matches!(op, Op::CaptureEnd { .. }) {
            self.deferred.0.retain(|_, range| pools.is_capturing_on(range.device));
        }
        if matches!(op, Op::GraphReset { .. }) {
            self.graphs.0.retain(|_, range| pools.has_graph(range.of));
        }
        if matches!(op, Op::GraphReset { .. } | Op::PoolDelete { .. }) {
            self.cached.0.retain(|_, range| range.of.is_none_or(|pool| pools.is_alive(pool)));
        }
    }

    /// Whether a graph holds memory in which no block lives, and how much at least the device must have
    /// reserved for graphs and live blocks.
    pub(super) fn must_stay(&self, device: usize, live: impl Iterator<Item = (u64, u64)>) -> Option<u64> {
        let held = self.graphs.0.iter().filter(|(_, r)| r.device == device).map(|(&at, r)| (at, r.end));
        let mut ranges: Vec<(u64, u64)> = held.collect();
        if ranges.is_empty() {
            return None;
        }
        ranges.extend(live);
        ranges.sort_unstable();
        let (mut sum, mut reached) = (0_u64, 0_u64);
        for (start, end) in ranges {
            sum = sum.saturating_add(end.saturating_sub(start.max(reached)));
            reached = reached.max(end);
        }
        Some(sum)
    }

    /// The ranges of a device that are cached, as far as is known, each with its pool.
    pub(super) fn of_cached(&self, device: usize) -> impl Iterator<Item = (u64, u64, Option<PoolSource>)> + '_ {
        self.cached.0.iter().filter(move |(_, r)| r.device == device).map(|(&at, r)| (at, r.end, r.of))
    }

    /// The ranges that graphs hold on a device.
    pub(super) fn of_graphs(&self, device: usize) -> impl Iterator<Item = (u64, u64, PoolSource)> + '_ {
        self.graphs.0.iter().filter(move |(_, r)| r.device == device).map(|(&at, r)| (at, r.end, r.of))
    }
}

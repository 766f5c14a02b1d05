//! Which pool a new block lies in, and what oracles and probes may ask about pools.
//!
//! Decides nothing that `pools` (where requests go) and `pool_ownership` (whose memory it is) do not.

use super::pool_ownership::{Claim, ClaimedRange, Owner};
use super::pools::{Pools, Route};
use super::{Live, Model};
use crate::op::PoolSource;

impl Model {
    pub(super) fn settle_in(&mut self, live: &mut Live) {
        let route = self.pools.route(live.device, self.caller, live.stream);
        self.route = route;
        self.pools.note_served(route, live.device);
        self.claimed_range = self.pool_ownership.take(live, route, &self.pools);
        let grew = self.contract.counts_segments && self.counters && self.devices[live.device].grew;
        live.owner = match (route, self.claimed_range.map(|i| i.claim)) {
            (_, Some(Claim::Helper(pool))) => Owner::Private(pool),
            (Some(route), _) => Owner::Private(route.pool),
            (None, _) if self.pools.has_helper(live.device) && !grew => Owner::Unknown,
            (None, _) => Owner::Default,
        };
    }

    /// The private pools and captures, and what is redirected now.
    #[must_use]
    pub fn pools(&self) -> &Pools {
        &self.pools
    }

    /// Where the latest request was to be served from; `None` for the default pools, and if it was refused.
    #[must_use]
    pub fn route(&self) -> Option<Route> {
        self.route
    }

    /// What the block of the latest operation was given although somebody else has a claim on it.
    #[must_use]
    pub fn claimed_range(&self) -> Option<&ClaimedRange> {
        self.claimed_range.as_ref()
    }

    /// The least that the device must have reserved for live blocks and graphs together; `None` if no graph
    /// holds memory there.
    #[must_use]
    pub fn must_stay(&self, device: usize) -> Option<u64> {
        let live = self.held.values().filter(|live| live.device == device && live.bytes > 0 && !live.direct);
        self.pool_ownership.must_stay(device, live.map(|live| (live.address, live.end())))
    }

    /// The ranges of a device that graphs hold, with the pool of each.
    pub fn held_by_graphs(&self, device: usize) -> impl Iterator<Item = (u64, u64, PoolSource)> + '_ {
        self.pool_ownership.of_graphs(device)
    }

    /// The ranges of a device that were freed since the first pool was made and have stayed cached, with the pool that each
    /// is cached for.
    pub fn cached(&self, device: usize) -> impl Iterator<Item = (u64, u64, Option<PoolSource>)> + '_ {
        self.pool_ownership.of_cached(device)
    }

    /// Whether a graph holds memory of the device in which no block lives now.
    #[must_use]
    pub fn has_graph_memory_alone(&self, device: usize) -> bool {
        let is_used = |start: u64, end: u64| {
            let mut live = self.held.values().filter(|live| live.device == device && live.bytes > 0 && !live.direct);
            live.any(|live| live.address < end && start < live.end())
        };
        self.held_by_graphs(device).any(|(start, end, _)| !is_used(start, end))
    }
}

#[cfg(test)]
#[path = "pools_test.rs"]
mod tests;

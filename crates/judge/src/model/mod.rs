//! Floor 2, what any allocator owes its callers: a reading of the law that knows no policy.
//!
//! Decides what is live, what waits, what a caller's current device is and which answers are legal.
//! Knows nothing of small and large pools, splitting or caching, and never looks at `reference`.

mod device;
mod former;
mod journal;
mod lanes;
mod law;
pub mod milestones;
mod owner;
mod pair;
mod pool_ownership;
mod pools;
mod progress;
mod states;
mod unfinished;

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use crate::op::{BlockId, Capability, Contract, DeviceId, Observation, Op, RefusalClass, Reply, StreamId, TargetInfo};

pub use device::{DeviceState, limit_bytes};
#[cfg(test)]
pub use milestones::MilestoneTracker;
pub use pool_ownership::{Claim, ClaimedRange, Owner};
pub use pools::{Pools, Route};
pub use unfinished::Unfinished;

/// A block that its caller holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Live {
    /// Position of its device.
    pub device: usize,
    /// That it was asked for on.
    pub stream: StreamId,
    /// Where it starts.
    pub address: u64,
    /// As many as were asked for.
    pub bytes: u64,
    /// Streams recorded on it, one bit each.
    pub recorded: u64,
    /// Streams recorded on it while requests on its device were redirected.
    pub redirected: u64,
    /// Which pool it lies in.
    pub owner: Owner,
    /// Which caller asked for it.
    pub caller: u8,
    /// It was asked for while caching was off, and is the device's alone: no figure counts it.
    pub direct: bool,
}

impl Live {
    /// One past its last byte.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.address.saturating_add(self.bytes)
    }
}

/// Which answers to an operation are legal, as far as no policy has a say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Law {
    /// It must be refused with this class.
    MustRefuse(RefusalClass),
    /// It must be refused, and each of these classes is honest.
    MustRefuseAny(&'static [RefusalClass]),
    /// It must not be refused.
    MustServe,
    /// It may be served or refused for lack of memory, and not otherwise.
    MayLackMemory,
    /// A device call was made to fail: any honest answer is legal.
    Any,
}

/// What an answered operation did to the callers' side of the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It did nothing to them.
    None,
    /// A block was handed out.
    Allocated(BlockId, Live),
    /// A request of 0 bytes was answered.
    AllocatedNothing(BlockId),
    /// A block came back.
    Freed(BlockId, Live),
    /// The same of a block that came from the device itself, and goes back there.
    AllocatedDirect(BlockId, Live),
    /// A block of the device itself came back.
    FreedDirect(BlockId, Live),
    /// A request was refused for lack of memory.
    Refused {
        /// Position of the device.
        device: usize,
    },
}

/// The callers' side of the world.
#[derive(Debug)]
pub struct Model {
    contract: Contract,
    /// Other settings were asked for since the start, whatever came of it.
    reconfigured: bool,
    /// Requests go through the cache.
    caching: bool,
    totals: Vec<u64>,
    streams: u8,
    counters: bool,
    /// It promises that freed memory stays cached until the cache is emptied or a request needs the room.
    keeps_cached: bool,
    held: FxHashMap<BlockId, Live>,
    /// Ends of live blocks of at least one byte, by start; the id keeps double bookings apart.
    ranges: BTreeMap<(u64, BlockId), u64>,
    former: former::FormerBlocks,
    devices: Vec<DeviceState>,
    /// The current device of each caller, as far as any has changed it.
    current: Vec<usize>,
    caller: u8,
    retired: unfinished::Retired,
    /// What the latest block was given although work on it had not finished.
    trespass: Option<Unfinished>,
    pools: Pools,
    pool_ownership: pool_ownership::PoolOwnership,
    /// Where the latest request was to be served from.
    route: Option<Route>,
    /// What the latest block was given although somebody else has a claim on it.
    claimed_range: Option<ClaimedRange>,
}

impl Model {
    /// A world in which nothing has been asked yet.
    #[must_use]
    pub fn new(info: &TargetInfo) -> Self {
        Model {
            contract: info.contract,
            reconfigured: false,
            caching: true,
            totals: info.devices.iter().map(|d| d.total_bytes).collect(),
            streams: info.streams,
            counters: info.can(Capability::Counters),
            keeps_cached: info.can(Capability::Caching) && info.can(Capability::KeepsCached),
            held: FxHashMap::default(),
            ranges: BTreeMap::new(),
            former: former::FormerBlocks::default(),
            devices: info.devices.iter().map(|d| DeviceState::new(d.limit_bytes.unwrap_or(d.total_bytes))).collect(),
            current: Vec::new(),
            caller: 0,
            retired: unfinished::Retired::new(info.devices.len(), info.streams),
            trespass: None,
            pools: Pools::default(),
            pool_ownership: pool_ownership::PoolOwnership::new(info.devices.len()),
            route: None,
            claimed_range: None,
        }
    }

    /// Takes note of an answer.
    pub fn apply(&mut self, op: &Op, reply: &Reply, after: &Observation) -> Effect {
        (self.trespass, self.route, self.claimed_range) = (None, None, None);
        if reply.is_dropped() {
            return Effect::None;
        }
        let served = !matches!(reply, Reply::Refused(_));
        if let Reply::Terms(contract) = reply {
            self.contract = **contract;
        }
        self.reconfigured |= matches!(op, Op::SetSettings { .. });
        self.note_progress(op, served, after);
        let effect = match (op, reply) {
            (Op::Alloc { block, device, stream, bytes, .. }, Reply::Allocated { address }) => {
                self.allocated(*block, *device, *stream, *bytes, *address)
            }
            (Op::Alloc { device, .. }, _) if reply.is_out_of_memory() && self.caching => match self.position(*device) {
                Some(device) => {
                    self.devices[device].had_oom = true;
                    Effect::Refused { device }
                }
                None => Effect::None,
            },
            (Op::Free { block }, _) if served => self.freed(*block, after),
            _ => {
                if served {
                    self.note_setting(op);
                }
                Effect::None
            }
        };
        self.note_faults(op, served, after);
        effect
    }

    fn allocated(
        &mut self,
        block: BlockId,
        device: Option<DeviceId>,
        stream: StreamId,
        bytes: u64,
        address: u64,
    ) -> Effect {
        let Some(device) = self.position(device) else { return Effect::None };
        let (owner, caller, direct) = (Owner::Default, self.caller, !self.caching && bytes > 0);
        let mut live = Live { device, stream, address, bytes, recorded: 0, redirected: 0, owner, caller, direct };
        if bytes == 0 {
            self.held.insert(block, live);
            return Effect::AllocatedNothing(block);
        }
        if direct {
            self.ranges.insert((address, block), live.end());
            self.held.insert(block, live);
            return Effect::AllocatedDirect(block, live);
        }
        if !self.retired.is_empty() {
            self.trespass = self.retired.take(&live);
        }
        if !self.pools.is_empty() {
            self.settle_in(&mut live);
        }
        self.devices[device].add(&live);
        self.ranges.insert((address, block), live.end());
        self.held.insert(block, live);
        Effect::Allocated(block, live)
    }

    fn freed(&mut self, block: BlockId, after: &Observation) -> Effect {
        let Some(live) = self.held.remove(&block) else { return Effect::None };
        let mut waited = false;
        if live.direct {
            self.ranges.remove(&(live.address, block));
            self.former.put(block, &live, false, &self.devices[live.device]);
            return Effect::FreedDirect(block, live);
        }
        if live.bytes > 0 {
            self.devices[live.device].remove(&live);
            self.ranges.remove(&(live.address, block));
            // the allocator may mark the end of the work on the recorded streams
            self.retired.enqueued(live.device, live.recorded);
            let busy = after.devices.get(live.device).map_or(0, |view| !view.idle);
            let own = 1 << (live.stream.0 & 63);
            // a stream recorded under a redirection counts for captured work, which does not run
            let redirected = if self.pools.is_redirected(live.device) { live.redirected } else { 0 };
            let duty = (own | live.recorded & !redirected) & busy;
            waited = duty != 0;
            if !self.pools.is_empty() {
                self.pool_ownership.put(&live, &self.pools, self.devices[live.device].returned);
            }
            if duty != 0 {
                self.retired.put(&live, duty);
            }
        }
        self.former.put(block, &live, waited, &self.devices[live.device]);
        Effect::Freed(block, live)
    }

    /// Answered calls that change what the callers have set.
    fn note_setting(&mut self, op: &Op) {
        match *op {
            Op::RecordStream { block, stream } => {
                if let Some(live) = self.held.get_mut(&block) {
                    let bit = 1 << (stream.0 & 63);
                    live.recorded |= bit;
                    let counts = live.stream != stream && self.pools.is_redirected(live.device);
                    live.redirected |= if counts { bit } else { 0 };
                }
            }
            Op::SetFraction { device, fraction } => {
                if let Some(device) = self.position(device) {
                    self.devices[device].fraction = Some(fraction);
                }
            }
            Op::SetCurrent { device } => {
                if let Some(device) = device.index(self.devices.len()) {
                    let caller = usize::from(self.caller);
                    if self.current.len() <= caller {
                        self.current.resize(caller + 1, 0);
                    }
                    self.current[caller] = device;
                }
            }
            Op::SetCaching { enabled } => self.caching = enabled,
            Op::Caller { caller } => self.caller = caller,
            Op::PoolCreate { .. }
            | Op::PoolEnter { .. }
            | Op::PoolExit { .. }
            | Op::PoolDelete { .. }
            | Op::CaptureBegin { .. }
            | Op::CaptureEnd { .. }
            | Op::GraphReset { .. } => {
                self.pools.apply(op, self.caller, self.devices.len());
                self.pool_ownership.settle(op, &self.pools);
            }
            _ => {}
        }
    }

    fn note_faults(&mut self, op: &Op, served: bool, after: &Observation) {
        for (state, view) in self.devices.iter_mut().zip(&after.devices) {
            if view.faults_fired != state.fired {
                state.armed = state.armed.saturating_sub(view.faults_fired.saturating_sub(state.fired));
                state.fired = view.faults_fired;
            }
        }
        if let Op::Fault { device, .. } = op
            && served
            && let Some(device) = device.index(self.devices.len())
        {
            self.devices[device].armed += 1;
        }
    }

    /// A live block by its id.
    #[must_use]
    pub fn block(&self, block: BlockId) -> Option<&Live> {
        self.held.get(&block)
    }

    /// Where a block is, or was if it is among the latest freed.
    #[must_use]
    pub fn address_of(&self, block: BlockId) -> Option<u64> {
        let former = || self.former.get(block).map(|former| former.address);
        self.block(block).map(|live| live.address).or_else(former)
    }

    /// Whether a live block starts at this address.
    #[must_use]
    pub fn is_live_start(&self, address: u64) -> bool {
        self.ranges.range((address, BlockId(0))..=(address, BlockId(u32::MAX))).next().is_some()
    }

    /// What the block of the latest operation was given although work on it had not finished.
    #[must_use]
    pub fn trespass(&self) -> Option<&Unfinished> {
        self.trespass.as_ref()
    }

    /// What the callers did to the device at this position.
    #[must_use]
    pub fn device(&self, position: usize) -> Option<&DeviceState> {
        self.devices.get(position)
    }

    /// What is known of each device.
    #[must_use]
    pub fn devices(&self) -> &[DeviceState] {
        &self.devices
    }

    /// The caller that the next operation comes from.
    #[must_use]
    pub fn caller(&self) -> u8 {
        self.caller
    }

    /// The current device of the current caller.
    #[must_use]
    pub fn current_device(&self) -> DeviceId {
        DeviceId(i32::try_from(self.current_position()).unwrap_or(i32::MAX))
    }

    fn current_position(&self) -> usize {
        self.current.get(usize::from(self.caller)).copied().unwrap_or(0)
    }

    fn position(&self, device: Option<DeviceId>) -> Option<usize> {
        device.map_or(Some(self.current_position()), |d| d.index(self.devices.len()))
    }
}

#[cfg(test)]
mod tests;

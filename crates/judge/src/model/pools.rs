//! Private pools and captures as their callers see them: which there are, who uses them, where requests go.
//!
//! Decides which pool a request must be served from, and which operations on pools make sense. Knows nothing
//! of memory: `pool_ownership` does.

use std::collections::BTreeMap;

use crate::op::{DeviceId, Drop, GraphName, Op, PoolName, PoolSource, StreamId};

/// Which requests a redirection accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Catch {
    Caller(u8),
    /// On a stream, for a graph.
    Stream(StreamId, GraphName),
}

/// A device in a set; those from the 64th on share a bit.
fn bit(device: usize) -> u64 {
    1 << device.min(63)
}

#[derive(Debug, Clone, Copy)]
struct Redirection {
    device: usize,
    pool: PoolSource,
    catch: Catch,
}

/// A `MemPool`, or the pool of a graph.
#[derive(Debug, Clone, Copy)]
struct Private {
    home: usize,
    /// Devices on which requests were ever redirected to it, one bit each.
    places: u64,
    use_on_oom: bool,
    no_split: bool,
    /// It is a `MemPool`, and was not deleted.
    held: bool,
    /// Graphs that were captured with it and not reset.
    graphs: u32,
}

impl Private {
    fn is_alive(&self) -> bool {
        self.held || self.graphs > 0
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Capturing,
    Captured,
    Reset,
}

#[derive(Debug, Clone, Copy)]
struct Graph {
    device: usize,
    pool: PoolSource,
    phase: Phase,
    /// A request was served in its capture.
    served: bool,
}

/// Where a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Which pool it is.
    pub pool: PoolSource,
    /// By a capture: what is served belongs to a graph.
    pub captured: bool,
    /// An older redirection accepts it too.
    pub nested: bool,
}

/// The private pools and graphs of a sequence, and what is redirected now.
#[derive(Debug, Clone, Default)]
pub struct Pools {
    pools: BTreeMap<PoolSource, Private>,
    graphs: BTreeMap<GraphName, Graph>,
    /// Oldest first; the newest that accepts a request decides.
    redirections: Vec<Redirection>,
}

impl Pools {
    /// Whether no pool and no capture was ever made.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pools.is_empty()
    }

    /// Whether the pool has a user: a `MemPool` not deleted, or a graph not reset.
    #[must_use]
    pub fn is_alive(&self, pool: PoolSource) -> bool {
        self.pools.get(&pool).is_some_and(Private::is_alive)
    }

    /// Whether some living pool may have memory on the device: requests on it were redirected to one.
    #[must_use]
    pub fn any_alive_on(&self, device: usize) -> bool {
        self.pools.values().any(|p| p.is_alive() && p.places & bit(device) != 0)
    }

    /// How many pools were ever made.
    #[must_use]
    pub fn made(&self) -> usize {
        self.pools.len()
    }

    /// Whether the pool serves requests from outside when memory has run out.
    #[must_use]
    pub fn helps_out(&self, pool: PoolSource, device: usize) -> bool {
        self.pools.get(&pool).is_some_and(|p| p.use_on_oom && p.home == device)
    }

    /// Whether any pool of the device was made to help out.
    #[must_use]
    pub fn has_helper(&self, device: usize) -> bool {
        self.pools.values().any(|p| p.use_on_oom && p.home == device)
    }

    /// Whether a pool hands segments out whole.
    #[must_use]
    pub fn never_splits(&self, pool: PoolSource, device: usize) -> bool {
        self.pools.get(&pool).is_some_and(|p| p.no_split && p.home == device)
    }

    /// Whether a graph that was not reset was captured with the pool.
    #[must_use]
    pub fn has_graph(&self, pool: PoolSource) -> bool {
        self.pools.get(&pool).is_some_and(|p| p.graphs > 0)
    }

    /// Whether requests on a device go to a private pool.
    #[must_use]
    pub fn is_redirected(&self, device: usize) -> bool {
        self.redirections.iter().any(|r| r.device == device)
    }

    /// Whether a stream of any device captures.
    #[must_use]
    pub fn is_capturing(&self) -> bool {
        self.redirections.iter().any(|r| matches!(r.catch, Catch::Stream(..)))
    }

    /// Whether a capture is under way on a device.
    #[must_use]
    pub fn is_capturing_on(&self, device: usize) -> bool {
        self.redirections.iter().any(|r| r.device == device && matches!(r.catch, Catch::Stream(..)))
    }

    /// Whether a graph was captured, and something was asked for meanwhile.
    #[must_use]
    pub fn is_captured(&self, graph: GraphName) -> bool {
        self.graphs.get(&graph).is_some_and(|g| g.phase == Phase::Captured && g.served)
    }

    /// Whether a graph was captured and not reset.
    #[must_use]
    pub fn keeps_graph(&self) -> bool {
        self.graphs.values().any(|g| g.phase == Phase::Captured)
    }

    /// The device that a `MemPool` was made on.
    pub(super) fn home_of(&self, pool: PoolName) -> Option<usize> {
        self.pools.get(&PoolSource::Pool(pool)).map(|p| p.home)
    }

    /// The pool that a graph was captured with.
    #[must_use]
    pub fn pool_of(&self, graph: GraphName) -> Option<PoolSource> {
        self.graphs.get(&graph).map(|g| g.pool)
    }

    pub(super) fn device_of(&self, graph: GraphName) -> Option<usize> {
        self.graphs.get(&graph).map(|g| g.device)
    }

    /// Where a request goes; `None` for the default pools.
    pub(super) fn route(&self, device: usize, caller: u8, stream: StreamId) -> Option<Route> {
        let accepts = |r: &&Redirection| {
            r.device == device
                && match r.catch {
                    Catch::Caller(thread) => thread == caller,
                    Catch::Stream(captured, _) => captured == stream,
                }
        };
        let mut accepting = self.redirections.iter().rev().filter(accepts);
        let newest = accepting.next()?;
        let captured = matches!(newest.catch, Catch::Stream(..));
        Some(Route { pool: newest.pool, captured, nested: accepting.next().is_some() })
    }

    pub(super) fn note_served(&mut self, route: Option<Route>, device: usize) {
        if route.is_some_and(|r| r.captured) {
            self.graphs.values_mut().filter(|g| g.device == device && g.phase == Phase::Capturing).for_each(|g| {
                g.served = true;
            });
        }
    }

    /// Takes note of a served operation on pools.
    pub(super) fn apply(&mut self, op: &Op, caller: u8, devices: usize) {
        match *op {
            Op::PoolCreate { pool, device, use_on_oom, no_split } => {
                let Some(home) = device.index(devices) else { return };
                let made = Private { home, places: 0, use_on_oom, no_split, held: true, graphs: 0 };
                self.pools.insert(PoolSource::Pool(pool), made);
            }
            Op::PoolEnter { pool, device } => {
                let Some(device) = device.index(devices) else { return };
                self.redirect(Redirection { device, pool: PoolSource::Pool(pool), catch: Catch::Caller(caller) });
            }
            Op::PoolExit { pool, device } => {
                let place = device.index(devices).and_then(|d| self.place(PoolSource::Pool(pool), d));
                place.map(|place| self.redirections.remove(place));
            }
            Op::PoolDelete { pool } => {
                if let Some(pool) = self.pools.get_mut(&PoolSource::Pool(pool)) {
                    pool.held = false;
                }
            }
            Op::CaptureBegin { graph, device, stream, pool } => {
                let Some(device) = device.index(devices) else { return };
                self.begin(graph, device, stream, pool);
            }
            Op::CaptureEnd { graph } => {
                self.redirections.retain(|r| !matches!(r.catch, Catch::Stream(_, g) if g == graph));
                if let Some(graph) = self.graphs.get_mut(&graph) {
                    graph.phase = Phase::Captured;
                }
            }
            Op::GraphReset { graph } => {
                let Some(graph) = self.graphs.get_mut(&graph) else { return };
                graph.phase = Phase::Reset;
                if let Some(pool) = self.pools.get_mut(&graph.pool) {
                    pool.graphs = pool.graphs.saturating_sub(1);
                }
            }
            _ => {}
        }
    }

    fn begin(&mut self, graph: GraphName, device: usize, stream: StreamId, source: Option<PoolSource>) {
        let pool = self.root(source).unwrap_or(PoolSource::Graph(graph));
        let own = Private { home: device, places: 0, use_on_oom: false, no_split: false, held: false, graphs: 0 };
        self.pools.entry(pool).or_insert(own).graphs += 1;
        self.graphs.insert(graph, Graph { device, pool, phase: Phase::Capturing, served: false });
        self.redirect(Redirection { device, pool, catch: Catch::Stream(stream, graph) });
    }

    fn redirect(&mut self, redirection: Redirection) {
        if let Some(pool) = self.pools.get_mut(&redirection.pool) {
            pool.places |= bit(redirection.device);
        }
        self.redirections.push(redirection);
    }

    /// The pool behind a name: a graph may have been captured into a `MemPool`, or into the pool of another.
    fn root(&self, source: Option<PoolSource>) -> Option<PoolSource> {
        match source? {
            PoolSource::Graph(graph) => self.pool_of(graph),
            pool => Some(pool),
        }
    }

    /// Whether a caller's requests on the device are redirected to the pool.
    pub(super) fn is_entered(&self, pool: PoolName, device: Option<usize>) -> bool {
        device.is_some_and(|device| self.place(PoolSource::Pool(pool), device).is_some())
    }

    /// The newest redirection of a caller to the pool.
    fn place(&self, pool: PoolSource, device: usize) -> Option<usize> {
        let entered = |r: &Redirection| r.pool == pool && r.device == device && matches!(r.catch, Catch::Caller(_));
        self.redirections.iter().rposition(entered)
    }

    /// Whether an operation on pools, or one that captures forbid, makes sense now. A device that does not
    /// exist does: it must be refused.
    pub(super) fn admits(&self, op: &Op, caller: u8, devices: usize) -> Result<(), Drop> {
        let held = |pool: PoolName| {
            let found = self.pools.get(&PoolSource::Pool(pool)).filter(|p| p.held);
            found.ok_or(Drop::NoSuchPool)
        };
        match *op {
            Op::PoolCreate { pool, .. } if self.pools.contains_key(&PoolSource::Pool(pool)) => Err(Drop::PoolExists),
            Op::PoolEnter { pool, device } => {
                held(pool)?;
                let own = |r: &Redirection| r.catch == Catch::Caller(caller);
                self.is_free_on(PoolSource::Pool(pool), device.index(devices), own)
            }
            Op::PoolExit { pool, device } => {
                let Some(device) = device.index(devices) else { return Ok(()) };
                self.place(PoolSource::Pool(pool), device).map(|_| ()).ok_or(Drop::NotNested)
            }
            Op::PoolDelete { pool } => {
                let used = held(pool)?.graphs > 0;
                if used || !self.redirections.is_empty() { Err(Drop::PoolInUse) } else { Ok(()) }
            }
            Op::CaptureBegin { graph, device, stream, pool } => {
                self.admits_capture(graph, device, stream, pool, devices)
            }
            Op::CaptureEnd { graph } => self.is_in(graph, Phase::Capturing),
            Op::GraphReset { graph } => self.is_in(graph, Phase::Captured),
            Op::Use { .. }
            | Op::Fill { .. }
            | Op::Verify { .. }
            | Op::Occupy { .. }
            | Op::WaitStream { .. }
            | Op::Synchronize { .. }
                if self.is_capturing() =>
            {
                Err(Drop::Capturing)
            }
            _ => Ok(()),
        }
    }

    fn admits_capture(
        &self,
        graph: GraphName,
        device: DeviceId,
        stream: StreamId,
        source: Option<PoolSource>,
        devices: usize,
    ) -> Result<(), Drop> {
        if self.graphs.contains_key(&graph) {
            return Err(Drop::PoolExists);
        }
        if stream.0 == 0 {
            return Err(Drop::NoSuchPlace);
        }
        if self.is_capturing() {
            return Err(Drop::NotNested);
        }
        let Some(device) = device.index(devices) else { return Ok(()) };
        match source {
            None => return Ok(()),
            Some(PoolSource::Pool(_)) => {}
            Some(PoolSource::Graph(shared)) if self.is_in(shared, Phase::Reset).is_ok() => {}
            Some(PoolSource::Graph(shared)) => self.is_in(shared, Phase::Captured)?,
        }
        let root = self.root(source).ok_or(Drop::NoSuchPool)?;
        // The pool of a graph that was reset may be gone: then there is to be another in its place.
        let fits = |p: &&Private| p.home == device && (p.is_alive() || matches!(source, Some(PoolSource::Graph(_))));
        self.pools.get(&root).filter(fits).ok_or(Drop::NoSuchPool)?;
        self.is_free_on(root, Some(device), |_| false)
    }

    /// Whether nothing on the device is redirected to the pool yet, redirections that do not matter apart.
    fn is_free_on(
        &self,
        pool: PoolSource,
        device: Option<usize>,
        may_be: impl Fn(&Redirection) -> bool,
    ) -> Result<(), Drop> {
        let taken = self.redirections.iter().any(|r| r.pool == pool && Some(r.device) == device && !may_be(r));
        if taken { Err(Drop::NotNested) } else { Ok(()) }
    }

    fn is_in(&self, graph: GraphName, phase: Phase) -> Result<(), Drop> {
        match self.graphs.get(&graph).map(|g| g.phase) {
            Some(found) if found == phase => Ok(()),
            None | Some(Phase::Reset) => Err(Drop::NoSuchPool),
            Some(_) => Err(Drop::NotNested),
        }
    }

    /// What is left to end, in the order in which it can be: captures and entered pools, newest first, then
    /// graphs, then pools.
    #[must_use]
    pub fn endings(&self) -> (Vec<Op>, Vec<Op>) {
        let device = |position: usize| DeviceId(i32::try_from(position).unwrap_or(i32::MAX));
        let end = |r: &Redirection| match (r.catch, r.pool) {
            (Catch::Stream(_, graph), _) => Some(Op::CaptureEnd { graph }),
            (Catch::Caller(_), PoolSource::Pool(pool)) => Some(Op::PoolExit { pool, device: device(r.device) }),
            (Catch::Caller(_), PoolSource::Graph(_)) => None,
        };
        let ends = self.redirections.iter().rev().filter_map(end).collect();
        let graphs = self.graphs.iter().filter(|(_, g)| g.phase != Phase::Reset);
        let resets = graphs.map(|(&graph, _)| Op::GraphReset { graph });
        let held = self.pools.iter().filter(|(_, p)| p.held);
        let deletes = held.filter_map(|(&source, _)| match source {
            PoolSource::Pool(pool) => Some(Op::PoolDelete { pool }),
            PoolSource::Graph(_) => None,
        });
        (ends, resets.chain(deletes).collect())
    }
}

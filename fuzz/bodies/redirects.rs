//! Private pools and captures of a drawn sequence: which there are, and what is redirected.
//!
//! Decides which operation a draw stands for, so that most are what a caller may do: what begins ends once, one stream
//! captures at a time, and a pool goes when nothing is redirected and no graph uses it. Where the drawn kind makes no
//! sense yet, another that leads there is asked for instead.

use poolproof::op::{DeviceId, GraphName, Op, PoolName, PoolSource, StreamId};

/// Pools at a time.
const MOST: usize = 6;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pool {
    name: PoolName,
    home: DeviceId,
    graphs: u32,
    /// A graph of it was reset: it takes no further capture.
    spent: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Graph {
    name: GraphName,
    device: DeviceId,
    /// The pool, or the first graph, that its memory belongs to.
    root: PoolSource,
    spent: bool,
}

/// What a draft says of an operation on pools.
#[derive(Debug, Clone, Copy)]
pub struct Draw {
    pub device: DeviceId,
    pub pick: u16,
    /// Three bits to choose by.
    pub turn: u8,
    /// Three bits of a stream.
    pub stream: u8,
    /// Streams of a device.
    pub streams: u8,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Redirects {
    pools: Vec<Pool>,
    graphs: Vec<Graph>,
    entered: Vec<(PoolName, DeviceId)>,
    capturing: Option<(Graph, StreamId)>,
    /// Names given out.
    made: (u32, u32),
}

fn pick<T: Copy>(from: &[T], draw: u16) -> Option<T> {
    usize::from(draw).checked_rem(from.len()).map(|i| from[i])
}

impl Redirects {
    /// Where a capture wants its requests.
    pub fn captured(&self) -> Option<(DeviceId, StreamId)> {
        self.capturing.map(|(graph, stream)| (graph.device, stream))
    }

    /// The operation, or none where this world has no stream to capture.
    pub fn op(&mut self, kind: &str, draw: &Draw) -> Option<Op> {
        match kind {
            "pool_create" if self.pools.len() < MOST => Some(self.create(draw)),
            "pool_enter" => Some(self.enter(draw)),
            "pool_exit" => Some(self.exit(draw).unwrap_or_else(|| self.enter(draw))),
            "pool_create" | "pool_delete" => Some(self.delete(draw).unwrap_or_else(|| self.create(draw))),
            "graph_reset" => self.reset(draw).or_else(|| self.end()).or_else(|| self.begin(draw)),
            _ => self.end().or_else(|| self.begin(draw)),
        }
    }

    fn create(&mut self, draw: &Draw) -> Op {
        let name = PoolName(self.made.0);
        self.made.0 += 1;
        self.pools.push(Pool { name, home: draw.device, graphs: 0, spent: false });
        let (use_on_oom, no_split) = (draw.turn & 1 == 1, draw.turn & 6 == 6);
        Op::PoolCreate { pool: name, device: draw.device, use_on_oom, no_split }
    }

    /// Enters a pool where it was made, or on the device drawn.
    fn enter(&mut self, draw: &Draw) -> Op {
        let place = |p: &Pool| (p.name, if draw.turn < 6 { p.home } else { draw.device });
        let open: Vec<_> =
            self.pools.iter().map(place).filter(|&(p, d)| !self.is_taken(PoolSource::Pool(p), d)).collect();
        let Some((pool, device)) = pick(&open, draw.pick) else { return self.create(draw) };
        self.entered.push((pool, device));
        Op::PoolEnter { pool, device }
    }

    /// Whether something on the device goes to the pool already.
    fn is_taken(&self, root: PoolSource, on: DeviceId) -> bool {
        let captured = self.capturing.is_some_and(|(g, _)| g.root == root && g.device == on);
        captured || self.entered.iter().any(|&(p, d)| PoolSource::Pool(p) == root && d == on)
    }

    /// Leaves the pool entered last, or one drawn.
    fn exit(&mut self, draw: &Draw) -> Option<Op> {
        let last = self.entered.len().checked_sub(1)?;
        let place = if draw.turn < 6 { last } else { usize::from(draw.pick) % self.entered.len() };
        let (pool, device) = self.entered.remove(place);
        Some(Op::PoolExit { pool, device })
    }

    /// Deletes a pool; first ends what is redirected.
    fn delete(&mut self, draw: &Draw) -> Option<Op> {
        if let Some(op) = self.end().or_else(|| self.exit(draw)) {
            return Some(op);
        }
        let unused: Vec<PoolName> = self.pools.iter().filter(|p| p.graphs == 0).map(|p| p.name).collect();
        let Some(pool) = pick(&unused, draw.pick) else { return self.reset(draw) };
        self.pools.retain(|p| p.name != pool);
        Some(Op::PoolDelete { pool })
    }

    /// Begins a capture: into a pool of its own, a private pool, or the pool of an earlier graph.
    fn begin(&mut self, draw: &Draw) -> Option<Op> {
        let stream = StreamId(1 + draw.stream.checked_rem(draw.streams.checked_sub(1)?)?);
        let device = draw.device;
        let name = GraphName(self.made.1);
        self.made.1 += 1;
        let pools = self.pools.iter().filter(|p| p.home == device && !p.spent).map(|p| PoolSource::Pool(p.name));
        let pools: Vec<_> = pools.map(|p| (p, p)).filter(|&(_, root)| !self.is_taken(root, device)).collect();
        let graphs = self.graphs.iter().filter(|g| g.device == device && !g.spent && !self.is_taken(g.root, device));
        let graphs: Vec<_> = graphs.map(|g| (PoolSource::Graph(g.name), g.root)).collect();
        let found = match draw.turn {
            0..=2 => pick(&pools, draw.pick),
            3..=4 => pick(&graphs, draw.pick),
            _ => None,
        };
        let root = found.map_or(PoolSource::Graph(name), |(_, root)| root);
        if let Some(pool) = self.pools.iter_mut().find(|p| PoolSource::Pool(p.name) == root) {
            pool.graphs += 1;
        }
        self.capturing = Some((Graph { name, device, root, spent: false }, stream));
        Some(Op::CaptureBegin { graph: name, device, stream, pool: found.map(|(source, _)| source) })
    }

    fn end(&mut self) -> Option<Op> {
        let (graph, _) = self.capturing.take()?;
        self.graphs.push(graph);
        Some(Op::CaptureEnd { graph: graph.name })
    }

    fn reset(&mut self, draw: &Draw) -> Option<Op> {
        let gone = pick(&self.graphs, draw.pick)?;
        self.graphs.retain(|g| g.name != gone.name);
        if let Some(pool) = self.pools.iter_mut().find(|p| PoolSource::Pool(p.name) == gone.root) {
            pool.graphs = pool.graphs.saturating_sub(1);
            pool.spent = true;
        }
        self.graphs.iter_mut().filter(|g| g.root == gone.root).for_each(|g| g.spent = true);
        Some(Op::GraphReset { graph: gone.name })
    }

    /// A call that must be refused, since it names a device that does not exist.
    pub fn bad(&self, draw: &Draw, device: DeviceId) -> Op {
        let pool = pick(&self.pools, draw.pick).map(|p| p.name);
        match (draw.turn & 3, pool) {
            (1, Some(pool)) => Op::PoolEnter { pool, device },
            (2, Some(pool)) => Op::PoolExit { pool, device },
            (3, _) if self.capturing.is_none() => {
                // Its name is never used: nothing was made by that call.
                Op::CaptureBegin { graph: GraphName(u32::MAX), device, stream: StreamId(1), pool: None }
            }
            _ => Op::PoolCreate { pool: PoolName(u32::MAX), device, use_on_oom: false, no_split: false },
        }
    }
}

//! Private pools and captures that a sequence has made so far.
//!
//! Decides which pool operation a draw stands for, so that sequences are well formed: what begins ends once, at
//! most one stream captures, and a pool goes only when nothing is redirected and no graph uses it. Where the
//! drawn kind makes no sense yet, its counterpart is asked for instead.

use super::draft::Draft;
use super::size::below;
use crate::op::{DeviceId, GraphName, Op, PoolName, PoolSource, StreamId};
use crate::spec::OpKind;

#[derive(Debug, Clone, Copy)]
struct Pool {
    name: PoolName,
    home: DeviceId,
    graphs: u32,
    /// All its graphs were reset, of which there were some. PyTorch 2.11 takes no further capture into it (`specs/expect`).
    spent: bool,
}

#[derive(Debug, Clone, Copy)]
struct Graph {
    name: GraphName,
    device: DeviceId,
    /// The pool or the first graph that the memory belongs to.
    root: PoolSource,
}

/// The pools and graphs that are there, and what is redirected.
#[derive(Debug, Default)]
pub(super) struct Redirects {
    pools: Vec<Pool>,
    graphs: Vec<Graph>,
    /// Graphs that were reset.
    gone: Vec<Graph>,
    entered: Vec<(PoolName, DeviceId)>,
    capturing: Option<(Graph, StreamId)>,
    /// Names given out.
    made: (u32, u32),
    /// How many pools there are at a time at most.
    most: usize,
    /// Some pools help out when memory runs out.
    helps: bool,
}

fn pick<T: Copy>(from: &[T], draw: u32) -> Option<T> {
    from.get(below(draw, from.len())).copied()
}

impl Redirects {
    pub(super) fn new(most: usize, helps: bool) -> Self {
        Redirects { most, helps, ..Redirects::default() }
    }

    /// Whether some requests go to a private pool.
    pub(super) fn is_redirecting(&self) -> bool {
        !self.entered.is_empty() || self.is_capturing()
    }

    pub(super) fn is_capturing(&self) -> bool {
        self.capturing.is_some()
    }

    /// Most requests during a capture are those of the capture.
    pub(super) fn steer(&self, draft: &Draft) -> Option<(DeviceId, StreamId)> {
        let (graph, stream) = self.capturing.as_ref()?;
        (draft.twist & 3 != 3).then_some((graph.device, *stream))
    }

    /// The operation a draw stands for; `device` and `streams` are what it can name.
    pub(super) fn resolve(&mut self, kind: OpKind, draft: &Draft, device: DeviceId, streams: u8) -> Option<Op> {
        Some(match kind {
            OpKind::PoolCreate if self.pools.len() >= self.most => return self.delete(draft),
            OpKind::PoolCreate => self.create(draft, device),
            OpKind::PoolEnter => self.enter(draft, device),
            OpKind::PoolExit => self.exit(draft).unwrap_or_else(|| self.enter(draft, device)),
            OpKind::PoolDelete => return self.delete(draft).or_else(|| Some(self.create(draft, device))),
            OpKind::CaptureBegin => return self.end().or_else(|| self.begin(draft, device, streams)),
            OpKind::CaptureEnd => return self.end().or_else(|| self.begin(draft, device, streams)),
            _ => return self.reset(draft).or_else(|| self.end()).or_else(|| self.begin(draft, device, streams)),
        })
    }

    fn create(&mut self, draft: &Draft, home: DeviceId) -> Op {
        let name = PoolName(self.made.0);
        self.made.0 += 1;
        self.pools.push(Pool { name, home, graphs: 0, spent: false });
        let (use_on_oom, no_split) = (self.helps && draft.twist >> 8 & 3 == 0, draft.twist >> 16 & 7 == 0);
        Op::PoolCreate { pool: name, device: home, use_on_oom, no_split }
    }

    /// Enters a pool, on the device that it was made on three times out of four.
    fn enter(&mut self, draft: &Draft, device: DeviceId) -> Op {
        let elsewhere = draft.twist & 3 == 3;
        let place = |p: &Pool| (p.name, if elsewhere { device } else { p.home });
        let taken = |name: PoolName, on: DeviceId| {
            let captured = |(g, _): &(Graph, StreamId)| g.root == PoolSource::Pool(name) && g.device == on;
            self.entered.contains(&(name, on)) || self.capturing.as_ref().is_some_and(captured)
        };
        let open: Vec<_> = self.pools.iter().map(place).filter(|&(name, on)| !taken(name, on)).collect();
        let Some((pool, device)) = pick(&open, draft.pick) else { return self.create(draft, device) };
        self.entered.push((pool, device));
        Op::PoolEnter { pool, device }
    }

    /// Leaves the pool entered last; one time in four, any.
    fn exit(&mut self, draft: &Draft) -> Option<Op> {
        let last = self.entered.len().checked_sub(1)?;
        let place = if draft.twist & 3 == 0 { below(draft.pick, self.entered.len()) } else { last };
        let (pool, device) = self.entered.remove(place);
        Some(Op::PoolExit { pool, device })
    }

    /// Deletes a pool, once all that is redirected has ended.
    fn delete(&mut self, draft: &Draft) -> Option<Op> {
        if let Some(op) = self.end().or_else(|| self.exit(draft)) {
            return Some(op);
        }
        let unused: Vec<usize> = (0..self.pools.len()).filter(|&i| self.pools[i].graphs == 0).collect();
        let place = pick(&unused, draft.pick)?;
        Some(Op::PoolDelete { pool: self.pools.remove(place).name })
    }

    /// Begins a capture: into a pool of its own, a private pool, or the pool of an earlier graph.
    fn begin(&mut self, draft: &Draft, device: DeviceId, streams: u8) -> Option<Op> {
        let stream = StreamId(1 + u8::try_from(below(draft.stream, usize::from(streams.checked_sub(1)?))).ok()?);
        if stream.0 >= streams {
            return None;
        }
        let name = GraphName(self.made.1);
        self.made.1 += 1;
        let free = |root: PoolSource| !self.entered.iter().any(|&(p, d)| PoolSource::Pool(p) == root && d == device);
        let pools = self.pools.iter().filter(|p| p.home == device && !p.spent);
        let pools: Vec<_> = pools.map(|p| PoolSource::Pool(p.name)).filter(|&root| free(root)).collect();
        // The pool of a graph that was reset is there as long as another graph has it.
        let lives = |root: PoolSource| self.graphs.iter().any(|g| g.root == root);
        let graphs = self.graphs.iter().chain(self.gone.iter().filter(|g| lives(g.root)));
        let graphs = graphs.filter(|g| g.device == device && free(g.root));
        let graphs: Vec<_> = graphs.map(|g| (PoolSource::Graph(g.name), g.root)).collect();
        let found = match draft.twist >> 24 & 3 {
            0 => pick(&pools, draft.pick).map(|pool| (pool, pool)),
            1 => pick(&graphs, draft.pick),
            _ => None,
        };
        let root = found.map_or(PoolSource::Graph(name), |(_, root)| root);
        if let Some(pool) = self.pools.iter_mut().find(|p| PoolSource::Pool(p.name) == root) {
            pool.graphs += 1;
        }
        self.capturing = Some((Graph { name, device, root }, stream));
        Some(Op::CaptureBegin { graph: name, device, stream, pool: found.map(|(source, _)| source) })
    }

    fn end(&mut self) -> Option<Op> {
        let (graph, _) = self.capturing.take()?;
        self.graphs.push(graph);
        Some(Op::CaptureEnd { graph: graph.name })
    }

    fn reset(&mut self, draft: &Draft) -> Option<Op> {
        let place = (!self.graphs.is_empty()).then(|| below(draft.pick, self.graphs.len()))?;
        let gone = self.graphs.remove(place);
        if let Some(pool) = self.pools.iter_mut().find(|p| PoolSource::Pool(p.name) == gone.root) {
            pool.graphs = pool.graphs.saturating_sub(1);
            pool.spent |= pool.graphs == 0;
        }
        self.gone.push(gone);
        Some(Op::GraphReset { graph: gone.name })
    }

    /// Ends what is redirected.
    pub(super) fn end_all(&mut self, ops: &mut Vec<Op>) {
        ops.extend(self.end());
        while let Some((pool, device)) = self.entered.pop() {
            ops.push(Op::PoolExit { pool, device });
        }
    }

    /// Lets graphs and pools go, after `end_all`.
    pub(super) fn drop_all(&mut self, ops: &mut Vec<Op>) {
        ops.extend(self.graphs.drain(..).map(|g| Op::GraphReset { graph: g.name }));
        ops.extend(self.pools.drain(..).map(|p| Op::PoolDelete { pool: p.name }));
    }

    /// Names of pools and graphs given out so far.
    pub(super) fn names(&self) -> (u32, u32) {
        self.made
    }
}

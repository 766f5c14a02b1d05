//! Names of private pools and graphs in explicit steps.
//!
//! Decides which pool or graph a name stands for. What may be done to it in which order is the engine's to
//! drop, except for what cannot be meant: names that were never given or are gone.

use std::collections::BTreeMap;

use super::steps::Pass;
use crate::op::{GraphName, Op, PoolName, PoolSource};
use crate::spec::error::Complaint;
use crate::spec::locate::Path;
use crate::spec::raw::pool::{PoolOnDevice, RawCapture, RawPoolCreate};
use crate::spec::raw::{Name, RawOp};

/// What a name stands for.
#[derive(Debug, Clone, Copy)]
struct Bound {
    id: u32,
    gone: bool,
    /// The round of a repetition that gave it.
    round: u32,
}

/// Names of one kind of thing: "pool" or "graph".
#[derive(Debug)]
pub(super) struct Names {
    what: &'static str,
    bound: BTreeMap<String, Bound>,
    next: u32,
}

impl Names {
    pub(super) fn of(what: &'static str) -> Self {
        Names { what, bound: BTreeMap::new(), next: 0 }
    }

    /// A new id for the name, which may be used again once its thing is gone, or in a later round.
    fn bind(&mut self, name: &Name, round: u32) -> Result<u32, Complaint> {
        let what = self.what;
        if name.0.starts_with('$') {
            return Err(Complaint::new(format!("a {what}'s name cannot be a variable")));
        }
        if self.bound.get(&name.0).is_some_and(|b| !b.gone && b.round == round) {
            return Err(Complaint::new(format!("{what} `{}` exists already", name.0)).hint("give it another name"));
        }
        let id = self.next;
        self.next += 1;
        self.bound.insert(name.0.clone(), Bound { id, gone: false, round });
        Ok(id)
    }

    /// The id of a name, gone or not.
    fn find_even_gone(&self, name: &Name, hints: bool) -> Result<u32, Complaint> {
        self.bound.get(&name.0).map(|bound| bound.id).ok_or_else(|| self.unknown(name, hints))
    }

    fn unknown(&self, name: &Name, hints: bool) -> Complaint {
        let complaint = Complaint::new(format!("{} `{}` is used before it is made", self.what, name.0));
        if hints { complaint.near(&name.0, self.bound.keys().map(String::as_str)) } else { complaint }
    }

    fn find(&mut self, name: &Name, ends: bool, hints: bool) -> Result<u32, Complaint> {
        let what = self.what;
        if !self.bound.contains_key(&name.0) {
            return Err(self.unknown(name, hints));
        }
        let Some(bound) = self.bound.get_mut(&name.0) else { return Err(self.unknown(name, false)) };
        if bound.gone {
            return Err(Complaint::new(format!("{what} `{}` is gone", name.0)));
        }
        bound.gone = ends;
        Ok(bound.id)
    }
}

impl Pass<'_> {
    fn said<T>(&mut self, found: Result<T, Complaint>, path: &Path<'_>) -> Option<T> {
        found.map_err(|complaint| self.problems.add(path, complaint)).ok()
    }

    fn pool(&mut self, name: &Name, ends: bool, path: &Path<'_>) -> Option<PoolName> {
        let found = self.pools.find(name, ends, !self.problems.is_full());
        self.said(found, path).map(PoolName)
    }

    fn graph(&mut self, name: &Name, ends: bool, path: &Path<'_>) -> Option<GraphName> {
        let found = self.graphs.find(name, ends, !self.problems.is_full());
        self.said(found, path).map(GraphName)
    }

    /// Operations on pools and graphs.
    pub(super) fn pool_operation(&mut self, op: &RawOp, expects_refusal: bool, path: &Path<'_>) -> Option<Op> {
        match op {
            RawOp::PoolCreate(raw) => self.pool_create(raw, expects_refusal, path),
            RawOp::PoolEnter(raw) => {
                let (pool, device) = self.pool_on_device(raw, expects_refusal, path)?;
                Some(Op::PoolEnter { pool, device })
            }
            RawOp::PoolExit(raw) => {
                let (pool, device) = self.pool_on_device(raw, expects_refusal, path)?;
                Some(Op::PoolExit { pool, device })
            }
            RawOp::PoolDelete(name) => self.pool(name, true, path).map(|pool| Op::PoolDelete { pool }),
            RawOp::CaptureBegin(raw) => self.capture(raw, expects_refusal, path),
            RawOp::CaptureEnd(name) => self.graph(name, false, path).map(|graph| Op::CaptureEnd { graph }),
            RawOp::GraphReset(name) => self.graph(name, true, path).map(|graph| Op::GraphReset { graph }),
            _ => None,
        }
    }

    fn pool_create(&mut self, raw: &RawPoolCreate, expects_refusal: bool, path: &Path<'_>) -> Option<Op> {
        let bound = self.pools.bind(&raw.pool, self.round);
        let pool = self.said(bound, &path.key("pool")).map(PoolName);
        let device = self.device(&raw.device, expects_refusal, &path.key("device"));
        let (use_on_oom, no_split) = (raw.use_on_oom, raw.no_split);
        Some(Op::PoolCreate { pool: pool?, device: device?, use_on_oom, no_split })
    }

    fn pool_on_device(
        &mut self,
        raw: &PoolOnDevice,
        expects_refusal: bool,
        path: &Path<'_>,
    ) -> Option<(PoolName, crate::op::DeviceId)> {
        let pool = self.pool(&raw.pool, false, &path.key("pool"));
        let device = self.device(&raw.device, expects_refusal, &path.key("device"));
        Some((pool?, device?))
    }

    fn capture(&mut self, raw: &RawCapture, expects_refusal: bool, path: &Path<'_>) -> Option<Op> {
        let pool = match (&raw.pool, &raw.pool_of) {
            (None, None) => None,
            (Some(name), None) => Some(PoolSource::Pool(self.pool(name, false, &path.key("pool"))?)),
            (None, Some(name)) => {
                let found = self.graphs.find_even_gone(name, !self.problems.is_full());
                Some(PoolSource::Graph(self.said(found, &path.key("pool_of")).map(GraphName)?))
            }
            (Some(_), Some(_)) => {
                self.problems.add(&path.key("pool_of"), Complaint::new("`pool` and `pool_of`: a capture has one pool"));
                None
            }
        };
        let bound = self.graphs.bind(&raw.graph, self.round);
        let graph = self.said(bound, &path.key("graph")).map(GraphName);
        let device = self.device(&raw.device, expects_refusal, &path.key("device"));
        let stream = self.stream(&raw.stream, &path.key("stream"));
        if stream.is_some_and(|s| s.0 == 0) {
            let complaint = Complaint::new("the default stream cannot capture").hint("for example `stream: 1`");
            self.problems.add(&path.key("stream"), complaint);
        }
        Some(Op::CaptureBegin { graph: graph?, device: device?, stream: stream?, pool })
    }
}

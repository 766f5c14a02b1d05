//! Private pools and captures as calls of the reference.
//!
//! Decides ids and which call an operation stands for. Which operations make sense is the engine's to say.

use super::apply::ReplyResult;
use super::{PoolHome, ReferenceTarget};
use crate::device::ControlledDevice;
use crate::op::{DeviceId, Drop, GraphName, Op, PoolName, PoolSource, RefusalClass, Reply, StreamId};
use crate::reference::{Catch, Defect, Planting, PoolError, PoolFlags, PoolId};
use crate::target::played::device_failed;

/// PyTorch numbers pools of users (0, n) and pools of captures (n, 0), both from 1.
fn user_id(pool: PoolName) -> PoolId {
    (0, u64::from(pool.0) + 1)
}

pub(in crate::target) fn graph_id(graph: GraphName) -> PoolId {
    (u64::from(graph.0) + 1, 0)
}

fn pool_failed(error: PoolError) -> Reply {
    Reply::refused(RefusalClass::InvalidArgument, error.to_string())
}

impl<D: ControlledDevice, P: Planting> ReferenceTarget<D, P> {
    pub(super) fn pool_operation(&mut self, op: &Op) -> ReplyResult {
        match *op {
            Op::PoolCreate { pool, device, use_on_oom, no_split } => {
                let device = self.place(Some(device))?;
                self.pools_made += 1;
                // The library numbers pools as they come, whatever they are called.
                let usual = if self.library_alone { (0, self.pools_made) } else { user_id(pool) };
                let id = self.next_pool.take().unwrap_or(usual);
                self.reference.device_mut(device).retain_pool(id, PoolFlags { use_on_oom, no_split });
                self.pools.insert(pool, PoolHome { device, id });
            }
            Op::PoolEnter { pool, device } => {
                let (device, id) = (self.place(Some(device))?, self.pool(pool)?.id);
                let catch = Catch::Caller(u64::from(self.caller));
                self.reference.device_mut(device).enter_pool(id, catch).map_err(pool_failed)?;
            }
            Op::PoolExit { pool, device } => {
                let (device, id) = (self.place(Some(device))?, self.pool(pool)?.id);
                let allocator = self.reference.device_mut(device);
                allocator.end_redirection(id).and_then(|()| allocator.release_pool_user(id)).map_err(pool_failed)?;
            }
            Op::PoolDelete { pool } => {
                let home = self.pool(pool)?;
                let flushed = self.reference.drop_pool(home.device, home.id).map_err(pool_failed)?;
                self.pools.remove(&pool);
                flushed.map_err(|e| device_failed(&e))?;
            }
            Op::CaptureBegin { graph, device, stream, pool } => self.capture(graph, device, stream, pool)?,
            Op::CaptureEnd { graph } => {
                let home = self.graph(graph)?;
                let allocator = self.reference.device_mut(home.device);
                allocator.device_mut().capture(false);
                self.capturing.remove(&home.device);
                allocator.end_redirection(home.id).map_err(pool_failed)?;
            }
            Op::GraphReset { graph } => {
                let home = self.graph(graph)?;
                self.reference.reset_graph(home.device, home.id).map_err(pool_failed)?;
                self.graphs.remove(&graph);
                self.former_graphs.insert(graph, home);
            }
            _ => {}
        }
        Ok(Reply::Done)
    }

    fn capture(
        &mut self,
        graph: GraphName,
        device: DeviceId,
        stream: StreamId,
        pool: Option<PoolSource>,
    ) -> Result<(), Reply> {
        let device = self.place(Some(device))?;
        let former = |shared| self.former_graphs.get(&shared).copied();
        let id = match pool {
            None => self.next_pool.take().unwrap_or(graph_id(graph)),
            Some(PoolSource::Pool(pool)) => self.pool(pool)?.id,
            Some(PoolSource::Graph(shared)) => {
                self.misnamed(former(shared).map_or_else(|| self.graph(shared), Ok)?.id, graph, shared)
            }
        };
        let handle = self.reference.device(device).device().stream_handle(stream);
        self.reference.begin_capture(device, id, handle).map_err(pool_failed)?;
        self.mishold(device, id, pool);
        self.reference.device_mut(device).device_mut().capture(true);
        self.capturing.insert(device);
        self.graphs.insert(graph, PoolHome { device, id });
        Ok(())
    }

    /// The pool that a capture into that of another graph goes to.
    fn misnamed(&self, id: PoolId, graph: GraphName, shared: GraphName) -> PoolId {
        let renewed =
            self.reference.planted().has(Defect::ResetPoolRenewed) && self.former_graphs.contains_key(&shared);
        if renewed { graph_id(graph) } else { id }
    }

    /// The use that a capture makes of a pool is taken away again.
    fn mishold(&mut self, device: usize, id: PoolId, source: Option<PoolSource>) {
        if let Some(PoolSource::Graph(shared)) = source
            && self.reference.planted().has(Defect::ResetPoolNotHeld)
            && self.former_graphs.contains_key(&shared)
        {
            // There is a user: this capture.
            let _ = self.reference.device_mut(device).release_pool_user(id);
        }
    }

    /// Devices on which a stream captures forbid from now on what a real one forbids then, or no more.
    pub(super) fn forbid_in_captures(&mut self, forbids: bool) {
        for &device in &self.capturing {
            self.reference.device_mut(device).device_mut().capture(forbids);
        }
    }

    /// The engine names pools and graphs that exist; anything else is answered, not assumed away.
    fn pool(&self, pool: PoolName) -> Result<PoolHome, Reply> {
        self.pools.get(&pool).copied().ok_or(Reply::Dropped(Drop::NoSuchPool))
    }

    fn graph(&self, graph: GraphName) -> Result<PoolHome, Reply> {
        self.graphs.get(&graph).copied().ok_or(Reply::Dropped(Drop::NoSuchPool))
    }

    /// The reference hears which device is current.
    pub(super) fn tell_current(&mut self) {
        let current = self.current().index(self.reference.device_count());
        self.reference.set_current(current.unwrap_or(0));
    }

    /// Calls come from this thread from now on.
    pub(super) fn switch_caller(&mut self, caller: u8) {
        self.caller = caller;
        for device in 0..self.reference.device_count() {
            self.reference.device_mut(device).set_caller(u64::from(caller));
        }
        self.tell_current();
    }
}

//! Private pools and captures, as `torch.cuda.MemPool`, `use_mem_pool` and `CUDAGraph` call the allocator for them.
//!
//! Decides ids, which streams' requests go to a pool, and the order of calls (PyTorch 2.11: `MemPool.cpp`, `CUDAGraph.cpp`).

use std::cell::Cell;
use std::ffi::{c_int, c_void};

use super::apply::{number, refused};
use super::library::{PoolId, ThrownKind};
use super::{C10Target, PoolHome};
use crate::cudart;
use crate::device::StreamHandle;
use crate::op::{DeviceId, Drop, GraphName, Op, PoolName, PoolSource, Reply, StreamId};
use crate::target::reference::{ReplyResult, graph_id};

thread_local! {
    /// The thread that calls, as the sequence has it.
    pub(super) static CALLER: Cell<u8> = const { Cell::new(0) };
}

/// What a thread asks for, on any stream.
extern "C" fn of_caller(caller: *mut c_void, _stream: u64) -> c_int {
    c_int::from(caller.addr() == usize::from(CALLER.get()))
}

/// What is asked for on the stream that captures.
extern "C" fn of_stream(captures: *mut c_void, stream: u64) -> c_int {
    c_int::from(captures.addr() as u64 == stream)
}

impl C10Target {
    pub(super) fn pool_operation(&mut self, op: &Op) -> ReplyResult {
        match *op {
            Op::PoolCreate { pool, device, use_on_oom, no_split } => {
                let device = self.place(Some(device))?;
                let id = self.shim.pool_create(number(device)).map_err(refused)?;
                if use_on_oom {
                    self.shim.use_on_oom(number(device), id).map_err(refused)?;
                }
                if no_split {
                    self.shim.no_split(number(device), id).map_err(refused)?;
                }
                self.pools.insert(pool, PoolHome { device, id });
            }
            Op::PoolEnter { pool, device } => {
                let (device, id) = (self.place(Some(device))?, self.pool(pool)?.id);
                let caller = usize::from(self.caller);
                self.shim.begin_to_pool(number(device), id, of_caller, caller).map_err(refused)?;
            }
            Op::PoolExit { pool, device } => {
                let (device, id) = (self.place(Some(device))?, self.pool(pool)?.id);
                self.shim.end_to_pool(number(device), id).map_err(refused)?;
                self.shim.release_pool(number(device), id).map_err(refused)?;
            }
            Op::PoolDelete { pool } => {
                let PoolHome { id, .. } = self.pool(pool)?;
                self.pools.remove(&pool);
                self.shim.pool_destroy(id).map_err(refused)?;
            }
            Op::CaptureBegin { graph, device, stream, pool } => self.capture(graph, device, stream, pool)?,
            Op::CaptureEnd { graph } => self.end_capture(graph)?,
            Op::GraphReset { graph } => {
                let (home, _) = self.graph(graph)?;
                self.graphs.remove(&graph);
                self.former_graphs.insert(graph, home);
                self.shim.release_pool(number(home.device), home.id).map_err(refused)?;
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
        let id: PoolId = match pool {
            None => graph_id(graph),
            Some(PoolSource::Pool(pool)) => self.pool(pool)?.id,
            Some(PoolSource::Graph(shared)) => {
                former(shared).map_or_else(|| self.graph(shared).map(|(home, _)| home), Ok)?.id
            }
        };
        let handle = C10Target::on(device, |device| device.stream_handle(stream)).unwrap_or_default();
        let user = usize::try_from(handle.0).unwrap_or(usize::MAX);
        self.shim.begin_to_pool(number(device), id, of_stream, user).map_err(refused)?;
        set_capturing(device, handle, true);
        self.shim.current_stream(number(device), handle.0).map_err(refused)?;
        self.mark(device, true)?;
        self.graphs.insert(graph, (PoolHome { device, id }, stream));
        self.capturing.insert(device, (self.caller, handle.0));
        Ok(())
    }

    fn end_capture(&mut self, graph: GraphName) -> Result<(), Reply> {
        let (PoolHome { device, id }, stream) = self.graph(graph)?;
        let handle = C10Target::on(device, |device| device.stream_handle(stream)).unwrap_or_default();
        set_capturing(device, handle, false);
        self.mark(device, false)?;
        self.capturing.remove(&device);
        self.shim.current_stream(number(device), 0).map_err(refused)?;
        self.shim.end_to_pool(number(device), id).map_err(refused)
    }

    /// Since PyTorch 2.13 the allocator is told of captures apart from pools.
    fn mark(&self, device: usize, begins: bool) -> Result<(), Reply> {
        let device = number(device);
        let marked = if begins { self.shim.capture_begin(device) } else { self.shim.capture_end(device) };
        marked.or_else(|thrown| if thrown.kind == ThrownKind::Lacking { Ok(()) } else { Err(refused(thrown)) })
    }

    /// Each thread has its own current stream: that which captures, or the default one.
    pub(super) fn set_current_streams(&self) {
        for (&device, &(caller, stream)) in &self.capturing {
            // A stream that captures is there.
            let _ = self.shim.current_stream(number(device), if caller == self.caller { stream } else { 0 });
        }
    }

    /// The engine names pools and graphs that exist; anything else is answered, not assumed away.
    fn pool(&self, pool: PoolName) -> Result<PoolHome, Reply> {
        self.pools.get(&pool).copied().ok_or(Reply::Dropped(Drop::NoSuchPool))
    }

    fn graph(&self, graph: GraphName) -> Result<(PoolHome, StreamId), Reply> {
        self.graphs.get(&graph).copied().ok_or(Reply::Dropped(Drop::NoSuchPool))
    }
}

/// A stream begins to capture, or ends: the device forbids meanwhile what a real one forbids.
fn set_capturing(device: usize, stream: StreamHandle, captures: bool) {
    cudart::with(|runtime| {
        runtime.set_capturing(stream, captures);
        if let Some(device) = runtime.device_mut(device) {
            device.capture(captures);
        }
    });
}

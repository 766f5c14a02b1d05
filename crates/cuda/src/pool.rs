//! A memory pool of the driver's (`cuMemPool`) on a borrowed GPU: an allocator that nobody here wrote.
//!
//! Decides how the pool is set up: it keeps what is freed until it is trimmed, and never makes one stream wait for
//! another to reuse memory; and how a block that other streams use is freed: on a side stream that waits for them, as
//! PyTorch does on `cudaMallocAsync`. (There one side stream serves all, so that one busy stream holds back every such
//! free.) What the pool serves and when is the driver's.

use std::collections::BTreeSet;

use cudarc::driver::sys::CUmemPool_attribute as Attribute;

use super::driver::Handle;
use super::gpu::Gpu;
use super::streams::set_of;
use super::table::{Backing, Got};
use super::{Ballast, Code, CudaDevice, CudaError, CudaOptions};
use crate::device::{Device, DeviceError};
use crate::op::{DeviceCall, StreamId};

/// What the pool says of itself, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PoolFigures {
    /// Bytes handed out.
    pub used: u64,
    /// The most of them since it was reset.
    pub used_high: u64,
    /// Bytes that the pool holds.
    pub reserved: u64,
    /// The most of them since it was reset.
    pub reserved_high: u64,
}

/// The context that a caller's calls come from.
#[derive(Clone, Copy)]
pub struct CudaContext(&'static Gpu);

impl std::fmt::Debug for CudaContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("CudaContext").field(&self.0.ordinal).finish()
    }
}

/// A pool that can grow to the size that the GPU plays.
#[derive(Debug)]
pub struct CudaPool {
    device: CudaDevice,
    pool: Handle,
}

impl CudaPool {
    /// Borrows a GPU and makes a pool on it. With ballast the pool has no limit of its own.
    ///
    /// # Errors
    /// What is missing, or what the driver answers.
    pub fn open(options: CudaOptions) -> Result<Self, CudaError> {
        let device = CudaDevice::open(options)?;
        let at = |call| move |code| CudaError::Call { call, code };
        let gpu = device.gpu();
        let most = if options.ballast == Ballast::Budget { options.total_bytes } else { 0 };
        let pool = gpu.driver.create_pool(gpu.device, most).map_err(at("cuMemPoolCreate"))?;
        let made = CudaPool { device, pool };
        let set =
            |attribute, value| gpu.driver.set_pool_figure(pool, attribute, value).map_err(at("cuMemPoolSetAttribute"));
        set(Attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, u64::MAX)?;
        // A stream that silently waits for another cannot be told from one that hangs.
        let off = |attribute| gpu.driver.switch_pool_off(pool, attribute).map_err(at("cuMemPoolSetAttribute"));
        off(Attribute::CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES)?;
        Ok(made)
    }

    /// The GPU under the pool, for streams and contents.
    pub fn device_mut(&mut self) -> &mut CudaDevice {
        &mut self.device
    }

    /// The GPU below.
    #[must_use]
    pub fn device(&self) -> &CudaDevice {
        &self.device
    }

    /// The context of the pool's own GPU.
    #[must_use]
    pub fn context(&self) -> CudaContext {
        CudaContext(self.device.gpu())
    }

    /// Serves a request in the order of a stream, asked for with `from` as the current context.
    ///
    /// # Errors
    /// Whatever the driver answers.
    pub fn alloc(&mut self, bytes: u64, stream: StreamId, from: CudaContext) -> Result<u64, DeviceError> {
        let (lane, pool) = (self.device.lane(stream)?, self.pool);
        let handle = self.handle(lane)?;
        let gpu = self.enter_from(from, handle)?;
        let address = gpu.driver.pool_alloc(pool, bytes, handle);
        if address == Err(Code::OUT_OF_MEMORY) {
            self.device.crowded |= self.is_short();
        }
        let address = address.map_err(|code| self.device.failed(DeviceCall::Reserve, code))?;
        self.device.table.insert(address, Backing { bytes, accessible: true, got: Got::Pooled });
        self.device.with_streams(|streams, _| {
            streams.note_work(lane);
            Ok(())
        })?;
        Ok(address)
    }

    /// Gives memory back in the order of a stream, with `from` as the current context.
    ///
    /// # Errors
    /// Whatever the driver answers.
    pub fn free(&mut self, address: u64, stream: StreamId, from: CudaContext) -> Result<(), DeviceError> {
        let lane = self.device.lane(stream)?;
        let handle = self.handle(lane)?;
        let gpu = self.enter_from(from, handle)?;
        gpu.driver.free_async(address, handle).map_err(|code| self.device.failed(DeviceCall::Release, code))?;
        self.device.table.remove(address);
        self.device.with_streams(|streams, _| {
            streams.note_work(lane);
            Ok(())
        })
    }

    /// Gives memory back once what is enqueued on these streams now has run; waits for none of them.
    ///
    /// # Errors
    /// Whatever the driver answers.
    pub fn free_after(
        &mut self,
        address: u64,
        streams: impl IntoIterator<Item = StreamId>,
        from: CudaContext,
    ) -> Result<(), DeviceError> {
        let lanes = streams.into_iter().map(|stream| self.device.lane(stream)).collect::<Result<BTreeSet<_>, _>>()?;
        self.make_side(&lanes)?;
        let freed = self.device.with_streams(|streams, gpu| {
            let free = |side| {
                from.0.enter()?;
                let freed = gpu.driver.free_async(address, side);
                gpu.enter().and(freed)
            };
            Ok(streams.after(gpu, &lanes, free))
        })?;
        freed.map_err(|code| self.device.failed(DeviceCall::Release, code))?;
        self.device.table.remove(address);
        Ok(())
    }

    /// Makes the side stream for these: the driver takes memory of the card for a new one, which is no part of the pool.
    fn make_side(&mut self, lanes: &BTreeSet<usize>) -> Result<(), DeviceError> {
        let gpu = self.device.enter()?;
        let set = set_of(lanes);
        if gpu.has_side(set) {
            return Ok(());
        }
        let made = match &mut self.device.watch {
            Some(watch) => watch.apart(gpu, || gpu.side(set)),
            None => gpu.side(set),
        };
        made.map(|_| ()).map_err(|code| self.device.work_failed(code))
    }

    /// Waits for everything on the GPU and gives all that is not used back to it.
    ///
    /// # Errors
    /// Whatever the driver answers.
    pub fn trim(&mut self) -> Result<(), DeviceError> {
        let pool = self.pool;
        self.device.with_streams(|streams, gpu| {
            streams.wait_all(gpu)?;
            gpu.driver.sync_context()?;
            Ok(gpu.driver.trim_pool(pool, 0)?)
        })
    }

    /// # Errors
    /// Whatever the driver answers.
    pub fn figures(&mut self) -> Result<PoolFigures, DeviceError> {
        let gpu = self.device.enter()?;
        let read = || -> Result<PoolFigures, Code> {
            let figure = |attribute| gpu.driver.pool_figure(self.pool, attribute);
            Ok(PoolFigures {
                used: figure(Attribute::CU_MEMPOOL_ATTR_USED_MEM_CURRENT)?,
                used_high: figure(Attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH)?,
                reserved: figure(Attribute::CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT)?,
                reserved_high: figure(Attribute::CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH)?,
            })
        };
        read().map_err(|code| self.device.work_failed(code))
    }

    /// Sets both high-water marks to the current figures.
    ///
    /// # Errors
    /// Whatever the driver answers.
    pub fn reset_high(&mut self) -> Result<(), DeviceError> {
        let gpu = self.device.enter()?;
        let marks = [Attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH, Attribute::CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH];
        let reset = marks.into_iter().try_for_each(|mark| gpu.driver.set_pool_figure(self.pool, mark, 0));
        reset.map_err(|code| self.device.work_failed(code))
    }

    /// What is free of the size that the GPU plays: what the pool has not got.
    #[must_use]
    pub fn free_bytes(&self, figures: PoolFigures) -> u64 {
        self.total_bytes().saturating_sub(figures.reserved)
    }

    /// Whether the card has less than the pool may still take.
    fn is_short(&mut self) -> bool {
        let Ok(figures) = self.figures() else { return false };
        let left = self.free_bytes(figures);
        self.device.gpu().driver.memory_info().is_ok_and(|(free, _)| free < left)
    }

    /// The size that the GPU plays.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.device.total_bytes()
    }

    /// Makes calls of this thread come from that context. A stream without a handle of its own is the current context's:
    /// it can only be named from the pool's.
    fn enter_from(&self, from: CudaContext, stream: Handle) -> Result<&'static Gpu, DeviceError> {
        let gpu = self.device.enter()?;
        if stream != Handle(0) {
            from.0.enter().map_err(|code| self.device.work_failed(code))?;
        }
        Ok(gpu)
    }

    fn handle(&self, lane: usize) -> Result<Handle, DeviceError> {
        let handle = self.device.streams.as_ref().and_then(|s| s.handle(lane));
        handle.ok_or(DeviceError::InvalidValue { call: DeviceCall::RecordEvent })
    }
}

impl Drop for CudaPool {
    fn drop(&mut self) {
        let given = self.device.give_all().and_then(|()| {
            let gpu = self.device.enter()?;
            let destroyed = gpu.driver.sync_stream(gpu.aside).and_then(|()| gpu.driver.destroy_pool(self.pool));
            destroyed.map_err(|code| self.device.work_failed(code))
        });
        if let Err(error) = given {
            log::warn!("a pool was not given back: {error}");
        }
    }
}

//! The CUDA driver's own stream-ordered allocator as a target: one explicit memory pool a GPU.
//!
//! Decides how operations become calls of the pool, and what it can be asked. It has no limits that can be moved, no
//! counters and no view of its blocks: scenarios that need those do not apply. Recorded streams are kept here; that a
//! block waits for them is left to the driver, by events. The caller's current device is the current context of its calls,
//! whichever pool and stream they name.

use rustc_hash::FxHashMap;

use super::on_gpu::OnGpu;
use super::registry::unknown_option;
use super::{Target, TargetError, TargetName};
use crate::cuda::{self, CudaOptions, CudaPool};
use crate::device::{ControlledDevice, DeviceError};
use crate::op::Growth;
use crate::op::stats::{Column, Row};
use crate::op::{
    BlockId, Capability, Contract, DeviceId, DeviceInfo, DeviceView, Drop, Family, MemoryInfo, Observation, Op,
    Pointer, RefusalClass, Reply, Setup, Stat, StreamId, TargetInfo,
};

/// The driver takes memory for a pool in pieces of this size.
const CHUNK: u64 = 32 << 20;

/// A block as its caller knows it.
#[derive(Debug, Clone, Copy)]
struct HeldBlock {
    device: usize,
    stream: StreamId,
    address: u64,
    bytes: u64,
    /// Other streams that use it, one bit each.
    recorded: u64,
}

/// Pools on one or more GPUs.
#[derive(Debug)]
struct DriverPool {
    info: TargetInfo,
    pools: Vec<CudaPool>,
    held: FxHashMap<BlockId, HeldBlock>,
    /// Where freed blocks were, for double frees.
    former: FxHashMap<BlockId, (usize, u64)>,
    /// The device that the caller's calls come from, and that they mean where they name none.
    current: usize,
}

/// Builds `driver-pool@cuda`. Options: those of `OnGpu`. Without ballast the pool is limited to the size that the scenario
/// asks for, in whole pieces of those in which it grows: the driver rounds a limit up to them.
///
/// # Errors
/// An option that does not exist, or what is missing for a GPU to be used.
pub(super) fn open(name: &TargetName, setup: &Setup) -> Result<Box<dyn Target>, TargetError> {
    let mut options = OnGpu::default();
    for (key, value) in &name.options {
        if !options.take(name, key, value.as_deref())? {
            return Err(unknown_option(name, key));
        }
    }
    let unavailable = TargetError::without_gpu(name);
    let streams = setup.streams.clamp(1, StreamId::LIMIT);
    let gpus = cuda::count().map_err(&unavailable)?;
    let borrow = |(ordinal, &bytes): (u32, &u64)| {
        let (total_bytes, ballast) = options.prepare(ordinal, streams, bytes, CHUNK)?;
        CudaPool::open(CudaOptions { ordinal, total_bytes, streams, ballast, ordered: false })
    };
    let pools: Vec<CudaPool> =
        (0..gpus).zip(&setup.device_bytes).map(borrow).collect::<Result<_, _>>().map_err(unavailable)?;
    let devices = pools.iter().map(|p| DeviceInfo::whole(p.device().name(), p.total_bytes())).collect();
    let watched = pools.iter().all(|p| p.device().is_watched());
    let info = TargetInfo {
        name: name.to_string(),
        devices,
        streams,
        capabilities: CAPABILITIES.into_iter().chain(watched.then_some(Capability::Nvml)).collect(),
        contract: contract(),
        config: None,
    };
    Ok(Box::new(DriverPool { info, pools, held: FxHashMap::default(), former: FxHashMap::default(), current: 0 }))
}

const CAPABILITIES: [Capability; 16] = [
    Capability::Streams,
    Capability::RecordStream,
    Capability::StreamControl,
    Capability::EmptyCache,
    Capability::PeakReset,
    Capability::Figure(Family::AllocatedBytes, Column::Current),
    Capability::Figure(Family::AllocatedBytes, Column::Peak),
    Capability::Figure(Family::ReservedBytes, Column::Current),
    Capability::Figure(Family::ReservedBytes, Column::Peak),
    Capability::Contents,
    Capability::RawFree,
    Capability::OomTyped,
    Capability::MemoryInfo,
    Capability::CurrentDevice,
    Capability::Caching,
    Capability::DeferredFree,
];

/// The driver documents addresses that suit every type.
fn contract() -> Contract {
    Contract { alignment: 256, growth: Growth::plain(CHUNK, CHUNK), counts_segments: false, tensor_limit: None }
}

impl DriverPool {
    fn try_answer(&mut self, op: &Op) -> Result<Reply, Reply> {
        match op {
            Op::Alloc { block, device, stream, bytes, .. } => {
                let device = device.map_or(Ok(self.current), |named| self.place(named))?;
                let from = self.pools[self.current].context();
                let address = self.pools[device].alloc(*bytes, *stream, from).map_err(|e| refused(&e))?;
                let held = HeldBlock { device, stream: *stream, address, bytes: *bytes, recorded: 0 };
                self.held.insert(*block, held);
                Ok(Reply::Allocated { address })
            }
            Op::Free { block } => self.free(*block),
            Op::RecordStream { block, stream } => self.record(*block, *stream),
            Op::SetCurrent { device } => {
                self.current = self.place(*device)?;
                Ok(Reply::Done)
            }
            Op::FreePointer { pointer } => self.free_pointer(*pointer),
            Op::Use { block, stream } => self.write(*block, Some(*stream)),
            Op::Fill { block } => self.write(*block, None),
            Op::Verify { block } => {
                let held = self.held(*block)?;
                let device = self.pools[held.device].device_mut();
                let report = device.check(held.stream, held.address, held.bytes, block.0).map_err(|e| refused(&e))?;
                Ok(Reply::Contents(report))
            }
            Op::EmptyCache => {
                self.pools.iter_mut().try_for_each(CudaPool::trim).map_err(|e| refused(&e))?;
                Ok(Reply::Done)
            }
            Op::CycleEnd => Ok(Reply::Done),
            Op::Occupy { device, .. }
            | Op::Finish { device, .. }
            | Op::WaitStream { device, .. }
            | Op::Synchronize { device }
            | Op::ResetPeak { device }
            | Op::MemoryInfo { device } => {
                let device = self.place(*device)?;
                self.on_device(device, op).map_err(|e| refused(&e))
            }
            other => Err(Reply::refused(
                RefusalClass::Unsupported,
                format!("a memory pool of the driver has no {}", other.name()),
            )),
        }
    }

    fn on_device(&mut self, index: usize, op: &Op) -> Result<Reply, DeviceError> {
        let pool = &mut self.pools[index];
        match op {
            Op::Occupy { stream, .. } => pool.device_mut().occupy(*stream)?,
            Op::Finish { stream, .. } => pool.device_mut().finish(*stream)?,
            Op::WaitStream { stream, on, .. } => pool.device_mut().hold_for(*stream, *on)?,
            Op::Synchronize { .. } => pool.device_mut().synchronize()?,
            Op::ResetPeak { .. } => pool.reset_high()?,
            _ => {
                let figures = pool.figures()?;
                let (free_bytes, total_bytes) = (pool.free_bytes(figures), pool.total_bytes());
                return Ok(Reply::MemoryInfo(MemoryInfo { free_bytes, total_bytes }));
            }
        }
        Ok(Reply::Done)
    }

    /// Gives a block back: where other streams use it, after all that they have been given so far.
    fn free(&mut self, block: BlockId) -> Result<Reply, Reply> {
        let held = self.held(block)?;
        let from = self.pools[self.current].context();
        let pool = &mut self.pools[held.device];
        let freed = if held.recorded == 0 || held.address == 0 {
            pool.free(held.address, held.stream, from)
        } else {
            let recorded = (0..StreamId::LIMIT).filter(|stream| held.recorded >> stream & 1 == 1).map(StreamId);
            pool.free_after(held.address, recorded.chain([held.stream]), from)
        };
        freed.map_err(|e| refused(&e))?;
        self.held.remove(&block);
        self.former.insert(block, (held.device, held.address));
        Ok(Reply::Done)
    }

    fn record(&mut self, block: BlockId, stream: StreamId) -> Result<Reply, Reply> {
        if stream.0 >= self.info.streams {
            return Err(Reply::refused(RefusalClass::InvalidArgument, format!("{stream} does not exist")));
        }
        let held = self.held.get_mut(&block).ok_or(Reply::Dropped(Drop::NoSuchBlock))?;
        if stream != held.stream {
            held.recorded |= 1 << (stream.0 & 63);
        }
        Ok(Reply::Done)
    }

    /// Offers a pointer that no live block starts at, in the order of the default stream.
    fn free_pointer(&mut self, pointer: Pointer) -> Result<Reply, Reply> {
        let (device, address) = match pointer {
            Pointer::Null => (0, 0),
            Pointer::Wild { address } => (0, address),
            Pointer::Interior { block, offset } => self.held(block).map(|h| (h.device, h.address + offset))?,
            Pointer::Freed { block } => *self.former.get(&block).ok_or(Reply::Dropped(Drop::NoSuchBlock))?,
        };
        let from = self.pools[self.current].context();
        let freed = self.pools[device].free(address, StreamId(0), from);
        freed.map(|()| Reply::Done).map_err(|error| match error {
            DeviceError::InvalidValue { .. } => Reply::refused(RefusalClass::InvalidPointer, error.to_string()),
            other => refused(&other),
        })
    }

    fn place(&self, device: DeviceId) -> Result<usize, Reply> {
        device.index(self.pools.len()).ok_or_else(|| {
            Reply::refused(
                RefusalClass::InvalidArgument,
                format!("{device} does not exist: there are {}", self.pools.len()),
            )
        })
    }

    fn held(&self, block: BlockId) -> Result<HeldBlock, Reply> {
        self.held.get(&block).copied().ok_or(Reply::Dropped(Drop::NoSuchBlock))
    }

    /// Puts a write of the block's own pattern on a stream, its own if none is named.
    fn write(&mut self, block: BlockId, stream: Option<StreamId>) -> Result<Reply, Reply> {
        let held = self.held(block)?;
        let device = self.pools[held.device].device_mut();
        let stream = stream.unwrap_or(held.stream);
        device.write(stream, held.address, held.bytes, block.0).map_err(|e| refused(&e))?;
        Ok(Reply::Done)
    }
}

fn refused(error: &DeviceError) -> Reply {
    let class = match error {
        DeviceError::OutOfMemory => RefusalClass::OutOfMemory,
        DeviceError::InvalidValue { .. } => RefusalClass::InvalidArgument,
        _ => RefusalClass::DeviceError,
    };
    Reply::refused(class, error.to_string())
}

/// A figure of the pool in the two columns that it has.
fn stat(current: u64, peak: u64) -> Stat {
    let signed = |bytes| i64::try_from(bytes).unwrap_or(i64::MAX);
    Stat { current: signed(current), peak: signed(peak), ..Stat::default() }
}

impl Target for DriverPool {
    fn info(&self) -> &TargetInfo {
        &self.info
    }

    fn apply(&mut self, op: &Op) -> Reply {
        self.try_answer(op).unwrap_or_else(|refusal| refusal)
    }

    fn observe(&mut self, into: &mut Observation) {
        into.devices.resize(self.pools.len(), DeviceView::default());
        for (pool, view) in self.pools.iter_mut().zip(&mut into.devices) {
            // A pool that cannot tell any more is broken, which its next answer says.
            let figures = pool.figures().unwrap_or_default();
            *view.stats.get_mut(Family::AllocatedBytes, Row::All) = stat(figures.used, figures.used_high);
            *view.stats.get_mut(Family::ReservedBytes, Row::All) = stat(figures.reserved, figures.reserved_high);
            view.fraction = 1.0;
            view.total_bytes = pool.total_bytes();
            view.free_bytes = pool.free_bytes(figures);
            let device = pool.device_mut();
            view.idle = device.idle_mask();
            view.crowded = device.is_crowded();
            view.nvml = device.second_opinion(figures.reserved);
        }
    }

    fn poisoned(&self) -> Option<i32> {
        self.pools.iter().find_map(|p| p.device().poisoned())
    }
}

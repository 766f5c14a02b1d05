//! GPUs under a library that allocates on them: their streams, and contents of its blocks.
//!
//! Decides what the harness does on a GPU in the library's process. The memory is the library's.

use super::super::on_gpu::OnGpu;
use super::super::{TargetError, TargetName};
use super::unsupported;
use crate::cuda::{self, Ballast, CudaDevice, CudaOptions};
use crate::device::{ControlledDevice, Device, DeviceError};
use crate::op::{
    BlockId, Capability, DeviceId, DeviceInfo, Drop, Observation, Op, RefusalClass, Reply, Setup, StreamId,
};

/// The GPUs of a sequence.
#[derive(Debug)]
pub(super) struct Cards {
    devices: Vec<CudaDevice>,
    /// The driver is full when the size that each plays is.
    are_full: bool,
}

impl Cards {
    pub(super) fn open(name: &TargetName, setup: &Setup, options: OnGpu) -> Result<Self, TargetError> {
        let unavailable = TargetError::without_gpu(name);
        let streams = setup.streams.clamp(1, StreamId::LIMIT);
        let gpus = cuda::count().map_err(&unavailable)?;
        let mut are_full = true;
        let borrow = |(ordinal, &bytes): (u32, &u64)| {
            let (total_bytes, ballast) = options.prepare(ordinal, streams, bytes, 1)?;
            are_full &= ballast != Ballast::Budget;
            CudaDevice::open(CudaOptions { ordinal, total_bytes, streams, ballast, ordered: false })
        };
        let devices = (0..gpus).zip(&setup.device_bytes).map(borrow).collect::<Result<_, _>>().map_err(unavailable)?;
        Ok(Cards { devices, are_full })
    }

    pub(super) fn devices(&self) -> Vec<DeviceInfo> {
        self.devices.iter().map(|d| DeviceInfo::whole(d.name(), d.total_bytes())).collect()
    }

    /// What the harness can do on them.
    #[expect(clippy::unused_self, reason = "there are GPUs, or there would be no such claims")]
    pub(super) fn claims(&self) -> [Capability; 2] {
        [Capability::Contents, Capability::StreamControl]
    }

    pub(super) fn are_full(&self) -> bool {
        self.are_full
    }

    pub(super) fn stream(&self, device: usize, stream: StreamId) -> usize {
        let handle = self.devices.get(device).map(|card| card.stream_handle(stream).0);
        handle.and_then(|handle| usize::try_from(handle).ok()).unwrap_or(usize::MAX)
    }

    pub(super) fn enter(&mut self, device: usize) -> Result<(), Reply> {
        self.card(device)?.make_current().map_err(|error| refused(&error))
    }

    /// The library says that there is memory.
    pub(super) fn adopt(&mut self, device: usize, address: u64, bytes: u64) {
        if let Some(card) = self.devices.get_mut(device) {
            card.adopt(address, bytes);
        }
    }

    pub(super) fn forget(&mut self, device: usize, address: u64) {
        if let Some(card) = self.devices.get_mut(device) {
            card.forget(address);
        }
    }

    /// The library may have put work of its own on a stream.
    pub(super) fn note_work(&mut self, device: usize, stream: StreamId) {
        if let Some(card) = self.devices.get_mut(device) {
            card.note_work(stream);
        }
    }

    /// Ends all work, also what is held back.
    pub(super) fn synchronize(&mut self) -> Result<(), Reply> {
        self.devices.iter_mut().try_for_each(|card| card.synchronize().map_err(|error| refused(&error)))
    }

    fn card(&mut self, device: usize) -> Result<&mut CudaDevice, Reply> {
        self.devices.get_mut(device).ok_or(Reply::Dropped(Drop::NoSuchPlace))
    }

    fn named(&mut self, device: DeviceId) -> Result<&mut CudaDevice, Reply> {
        let count = self.devices.len();
        let refused =
            || Reply::refused(RefusalClass::InvalidArgument, format!("{device} does not exist: there are {count}"));
        self.card(device.index(count).ok_or_else(refused)?)
    }

    /// What is the harness's to do; `block` says where a block is: device, stream, address and bytes.
    pub(super) fn answer(
        &mut self,
        op: &Op,
        block: impl Fn(BlockId) -> Option<(usize, StreamId, u64, u64)>,
    ) -> Result<Reply, Reply> {
        let held = |id: BlockId| block(id).ok_or(Reply::Dropped(Drop::NoSuchBlock));
        let done = |result: Result<(), DeviceError>| result.map(|()| Reply::Done).map_err(|error| refused(&error));
        match *op {
            Op::Occupy { device, stream } => done(self.named(device)?.occupy(stream)),
            Op::Finish { device, stream } => done(self.named(device)?.finish(stream)),
            Op::WaitStream { device, stream, on } => done(self.named(device)?.hold_for(stream, on)),
            Op::Synchronize { device } => done(self.named(device)?.synchronize()),
            Op::Fill { block } => {
                let (device, stream, address, bytes) = held(block)?;
                done(self.card(device)?.write(stream, address, bytes, block.0))
            }
            Op::Use { block, stream } => {
                let (device, _, address, bytes) = held(block)?;
                done(self.card(device)?.write(stream, address, bytes, block.0))
            }
            Op::Verify { block } => {
                let (device, stream, address, bytes) = held(block)?;
                let report = self.card(device)?.check(stream, address, bytes, block.0);
                report.map(Reply::Contents).map_err(|error| refused(&error))
            }
            _ => Err(unsupported(op)),
        }
    }

    pub(super) fn observe(&mut self, into: &mut Observation) {
        for (card, view) in self.devices.iter_mut().zip(&mut into.devices) {
            view.idle = card.idle_mask();
            view.crowded = card.is_crowded();
        }
    }

    pub(super) fn poisoned(&self) -> Option<i32> {
        self.devices.iter().find_map(ControlledDevice::poisoned)
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

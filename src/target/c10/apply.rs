//! Each operation as a call of the allocator's, or of the device beside it.
//!
//! Decides what is asked before the allocator is, as Python's side does.

use super::library::{Thrown, ThrownKind};
use super::{C10Target, HeldBlock};
use crate::cudart;
use crate::op::{BlockId, DeviceId, Drop, Op, Pointer, RefusalClass, Reply, StreamId, Via};
use crate::target::played;
use crate::target::reference::{self, ReplyResult};

/// What was thrown, as an answer.
pub(super) fn refused(thrown: Thrown) -> Reply {
    let Thrown { kind, message } = thrown;
    let has = |words: &str| message.contains(words);
    let class = match kind {
        ThrownKind::OutOfMemory => RefusalClass::OutOfMemory,
        ThrownKind::Lacking => RefusalClass::Unsupported,
        // Without a cache, lack of memory is an error of CUDA's like others.
        ThrownKind::Other if has("CUDA error: out of memory") => RefusalClass::OutOfMemory,
        ThrownKind::Other if has("invalid device ordinal") => RefusalClass::InvalidArgument,
        ThrownKind::Other if has("CUDA error: ") || has("CUDA driver error: ") => RefusalClass::DeviceError,
        ThrownKind::Other if has("invalid device pointer") => RefusalClass::InvalidPointer,
        ThrownKind::Other => RefusalClass::InvalidArgument,
    };
    let names = || cudart::with(|runtime| runtime.unsupported().iter().cloned().collect::<Vec<_>>().join(", "));
    let lacking = if has("not supported") { names() } else { None };
    match lacking.filter(|names| !names.is_empty()) {
        Some(names) => Reply::refused(class, format!("{message}\n(the harness's runtime has no {names})")),
        None => Reply::refused(class, message),
    }
}

impl C10Target {
    pub(super) fn try_answer(&mut self, op: &Op) -> ReplyResult {
        let done = |()| Reply::Done;
        match *op {
            Op::Alloc { block, device, stream, bytes, via } => self.alloc(block, device, stream, bytes, via),
            Op::Free { block } => self.free(block),
            Op::FreePointer { pointer } => self.free_pointer(pointer),
            Op::RecordStream { block, stream } => self.record_stream(block, stream),
            Op::Use { block, stream } => self.write(block, Some(stream)),
            Op::Fill { block } => self.write(block, None),
            Op::Verify { block } => self.verify(block),
            Op::EmptyCache => self.empty_cache(),
            Op::SetFraction { device, fraction } => self.set_fraction(device, fraction),
            Op::GetFraction { device } => {
                let index = self.place(device)?;
                Ok(Reply::Fraction(self.fraction(index)))
            }
            Op::SetSettings { ref settings } => self.change_settings(settings),
            Op::SetCaching { enabled } => self.shim.enable(i32::from(enabled)).map(done).map_err(refused),
            Op::SetCurrent { device } => {
                self.place(Some(device))?;
                self.current.insert(self.caller, device);
                Ok(Reply::Done)
            }
            Op::Caller { caller } => {
                self.switch_caller(caller);
                Ok(Reply::Done)
            }
            Op::PoolCreate { .. }
            | Op::PoolEnter { .. }
            | Op::PoolExit { .. }
            | Op::PoolDelete { .. }
            | Op::CaptureBegin { .. }
            | Op::CaptureEnd { .. }
            | Op::GraphReset { .. } => self.pool_operation(op),
            Op::Snapshot => self.snapshot(),
            Op::CycleEnd => Ok(Reply::Done),
            Op::ResetPeak { device } => self.shim.reset_peak(self.named(device)?).map(done).map_err(refused),
            Op::ResetAccumulated { device } => {
                self.shim.reset_accumulated(self.named(device)?).map(done).map_err(refused)
            }
            Op::Dictionary { .. } | Op::Summary { .. } => {
                Err(Reply::refused(RefusalClass::Unsupported, "PyTorch makes this in Python"))
            }
            Op::Occupy { device, .. }
            | Op::Finish { device, .. }
            | Op::WaitStream { device, .. }
            | Op::Neighbour { device, .. }
            | Op::Synchronize { device }
            | Op::Fault { device, .. }
            | Op::MemoryInfo { device } => {
                let index = self.place(Some(device))?;
                let pages = self.settings.expandable_segments;
                C10Target::on(index, |device| played::on_device(device, op, pages)).unwrap_or(Ok(Reply::Done))
            }
        }
    }

    /// The position of a device: the one named, or the caller's current one.
    pub(super) fn place(&self, device: Option<DeviceId>) -> Result<usize, Reply> {
        let device = device.unwrap_or_else(|| self.current());
        let count = self.info.devices.len();
        device.index(count).ok_or_else(|| reference::no_such_device(device, count))
    }

    /// The number of a device, as the allocator is given it.
    fn named(&self, device: DeviceId) -> Result<i32, Reply> {
        self.place(Some(device)).map(|_| device.0)
    }

    /// The engine asks about live blocks only; anything else is answered, not assumed away.
    fn held(&self, block: BlockId) -> Result<HeldBlock, Reply> {
        self.held.get(&block).copied().ok_or(Reply::Dropped(Drop::NoSuchBlock))
    }

    fn handle(device: usize, stream: StreamId) -> u64 {
        C10Target::on(device, |device| device.stream_handle(stream).0).unwrap_or(0)
    }

    fn alloc(
        &mut self,
        block: BlockId,
        device: Option<DeviceId>,
        stream: StreamId,
        bytes: u64,
        via: Via,
    ) -> ReplyResult {
        let index = self.place(device)?;
        played::ensure_stream(stream, self.info.streams)?;
        let handle = C10Target::handle(index, stream);
        let address = self.shim.alloc(number(index), handle, via == Via::Tensor, bytes).map_err(refused)?;
        self.held.insert(block, HeldBlock { device: index, stream, address, bytes, via });
        Ok(Reply::Allocated { address })
    }

    fn free(&mut self, block: BlockId) -> ReplyResult {
        let held = self.held(block)?;
        self.shim.free(held.address, held.via == Via::Tensor).map_err(refused)?;
        self.held.remove(&block);
        self.former.insert(block, held.address);
        Ok(Reply::Done)
    }

    fn free_pointer(&mut self, pointer: Pointer) -> ReplyResult {
        let live = |block| self.held.get(&block).map(|held| held.address);
        let address = played::address_of(pointer, live, |block| self.former.get(&block).copied())?;
        self.shim.free(address, false).map(|()| Reply::Done).map_err(refused)
    }

    fn record_stream(&mut self, block: BlockId, stream: StreamId) -> ReplyResult {
        let held = self.held(block)?;
        let handle = C10Target::handle(held.device, stream);
        self.shim.record_stream(held.address, number(held.device), handle).map(|()| Reply::Done).map_err(refused)
    }

    /// Puts a write of the block's own pattern on a stream: its own, where none is named.
    fn write(&mut self, block: BlockId, stream: Option<StreamId>) -> ReplyResult {
        let held = self.held(block)?;
        let stream = stream.unwrap_or(held.stream);
        let written =
            C10Target::on(held.device, |device| played::write(device, stream, held.address, held.bytes, block));
        written.unwrap_or(Ok(Reply::Done))
    }

    fn verify(&mut self, block: BlockId) -> ReplyResult {
        let held = self.held(block)?;
        let read =
            C10Target::on(held.device, |device| played::verify(device, held.stream, held.address, held.bytes, block));
        read.unwrap_or(Ok(Reply::Done))
    }

    fn empty_cache(&mut self) -> ReplyResult {
        // Who empties the cache in a capture is taken to have seen to it that the device lets it.
        cudart::with(|runtime| runtime.lift_captures(true));
        let emptied = self.shim.empty_cache();
        cudart::with(|runtime| runtime.lift_captures(false));
        emptied.map(|()| Reply::Done).map_err(refused)
    }

    fn set_fraction(&mut self, device: Option<DeviceId>, fraction: f64) -> ReplyResult {
        let index = self.place(device)?;
        self.shim.set_fraction(number(index), fraction).map_err(refused)?;
        self.fractions[index] = fraction;
        Ok(Reply::Done)
    }

    pub(super) fn fraction(&self, device: usize) -> f64 {
        self.shim.fraction(number(device)).unwrap_or(self.fractions[device])
    }

    fn change_settings(&mut self, text: &str) -> ReplyResult {
        self.shim.change_settings(text).map_err(refused)?;
        // A text that the allocator takes and the reference does not know changes no promise.
        let mut wanted = self.settings;
        if wanted.change(text).is_ok() {
            self.settings = wanted;
        }
        self.page = reference::page(&self.settings, self.page);
        Ok(Reply::Terms(Box::new(reference::contract(&self.settings, self.page))))
    }

    fn switch_caller(&mut self, caller: u8) {
        self.caller = caller;
        super::pools::CALLER.set(caller);
        self.set_current_streams();
        cudart::set_current_device(self.current().index(self.info.devices.len()).unwrap_or(0));
    }
}

/// A device's number: there are at most as many as `open` was given.
pub(super) fn number(device: usize) -> i32 {
    i32::try_from(device).unwrap_or(i32::MAX)
}

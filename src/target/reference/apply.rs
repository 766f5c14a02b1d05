//! Each operation as calls of the reference and of its devices.

use super::{HeldBlock, ReferenceTarget};
use crate::device::ControlledDevice;
use crate::op::{BlockId, DeviceId, Drop, Op, Pointer, RefusalClass, Reply, StreamId, Via};
use crate::reference::{AllocError, Defect, FreeError, Planting, TENSOR_LIMIT, TENSOR_LIMIT_MESSAGE};
use crate::target::played::{self, device_failed};

/// An answer, or the refusal that ends the call early.
pub(in crate::target) type ReplyResult = Result<Reply, Reply>;

impl<D: ControlledDevice, P: Planting> ReferenceTarget<D, P> {
    pub(super) fn answer(&mut self, op: &Op) -> Reply {
        self.try_answer(op).unwrap_or_else(|refusal| refusal)
    }

    fn try_answer(&mut self, op: &Op) -> ReplyResult {
        match op {
            Op::Alloc { block, device, stream, bytes, via } => self.alloc(*block, *device, *stream, *bytes, *via),
            Op::Free { block } => self.free(*block),
            Op::FreePointer { pointer } => self.free_pointer(*pointer),
            Op::RecordStream { block, stream } => self.record_stream(*block, *stream),
            Op::Use { block, stream } => {
                let held = self.held(*block)?;
                self.write(held, *stream, *block)
            }
            Op::Fill { block } => {
                let held = self.held(*block)?;
                self.write(held, held.stream, *block)
            }
            Op::Verify { block } => self.verify(*block),
            Op::EmptyCache => self.empty_cache(),
            Op::SetFraction { device, fraction } => self.set_fraction(*device, *fraction),
            Op::GetFraction { device } => {
                let index = self.place(*device)?;
                let index = self.instead(Defect::FractionReadOnCurrent, index);
                Ok(Reply::Fraction(self.reference.device(index).fraction()))
            }
            Op::SetSettings { settings } => self.change_settings(settings),
            Op::SetCaching { enabled } => {
                self.uncached = self.never_caches || !enabled;
                Ok(Reply::Done)
            }
            Op::SetCurrent { device } => {
                self.place(Some(*device))?;
                self.current.insert(self.caller(), self.misplaced(*device));
                self.tell_current();
                Ok(Reply::Done)
            }
            Op::Caller { caller } => {
                self.switch_caller(*caller);
                Ok(Reply::Done)
            }
            Op::PoolCreate { .. }
            | Op::PoolEnter { .. }
            | Op::PoolExit { .. }
            | Op::PoolDelete { .. }
            | Op::CaptureBegin { .. }
            | Op::CaptureEnd { .. }
            | Op::GraphReset { .. } => self.pool_operation(op),
            Op::Snapshot => {
                for index in 0..self.reference.device_count() {
                    if self.reference.planted().has(Defect::SnapshotAsksEvents) {
                        self.reference.device_mut(index).process_events().map_err(|e| device_failed(&e))?;
                    }
                }
                Ok(Reply::Snapshot(Box::new(self.reference.snapshot())))
            }
            Op::CycleEnd => Ok(Reply::Done),
            Op::Occupy { device, .. }
            | Op::Finish { device, .. }
            | Op::WaitStream { device, .. }
            | Op::Neighbour { device, .. }
            | Op::Synchronize { device }
            | Op::Fault { device, .. }
            | Op::ResetPeak { device }
            | Op::ResetAccumulated { device }
            | Op::Dictionary { device }
            | Op::Summary { device, .. }
            | Op::MemoryInfo { device } => {
                let index = self.place(Some(*device))?;
                self.on_device(index, op)
            }
        }
    }

    fn empty_cache(&mut self) -> ReplyResult {
        // Who empties the cache in a capture is taken to have seen to it that the device lets it.
        self.forbid_in_captures(false);
        let emptied = match self.mistrim() {
            Some(mistaken) => mistaken,
            None => self.reference.empty_cache(),
        };
        self.forbid_in_captures(true);
        emptied.map(|()| Reply::Done).map_err(|e| device_failed(&e))
    }

    /// Operations that name an existing device and no block.
    fn on_device(&mut self, index: usize, op: &Op) -> ReplyResult {
        match op {
            Op::Dictionary { .. } => return Ok(self.dictionary(index)),
            Op::Summary { abbreviated, .. } => return Ok(self.table(index, *abbreviated)),
            Op::ResetPeak { .. } => {
                let index = self.instead(Defect::PeakResetOnCurrent, index);
                self.reference.device_mut(index).reset_peak();
                return Ok(Reply::Done);
            }
            Op::ResetAccumulated { .. } => {
                Self::reset_accumulated(&mut self.reference, index);
                return Ok(Reply::Done);
            }
            Op::MemoryInfo { .. } => return self.memory_info(index, op),
            _ => {}
        }
        let pages = self.reference.settings().expandable_segments;
        let allocator = self.reference.device_mut(index);
        let answer = played::on_device(allocator.device_mut(), op, pages)?;
        if let Op::WaitStream { stream, on, .. } = op {
            let handle = |stream| allocator.device().stream_handle(stream);
            let (stream, on) = (handle(*stream), handle(*on));
            allocator.note_wait(stream, on);
        }
        Ok(answer)
    }

    fn memory_info(&mut self, index: usize, op: &Op) -> ReplyResult {
        let index = self.instead(Defect::MemoryInfoOfCurrent, index);
        let answer = played::on_device(self.reference.device_mut(index).device_mut(), op, false)?;
        Ok(match answer {
            Reply::MemoryInfo(answer) => Reply::MemoryInfo(self.figures(index, answer)),
            other => other,
        })
    }

    /// The position of a device: the one named, or the caller's current one.
    pub(super) fn place(&self, device: Option<DeviceId>) -> Result<usize, Reply> {
        let device = match device {
            Some(device) => self.misplaced(device),
            None if self.reference.planted().has(Defect::DefaultDeviceZero) => DeviceId(0),
            None => self.current(),
        };
        let count = self.reference.device_count();
        device.index(count).ok_or_else(|| no_such_device(device, count))
    }

    /// The engine asks about live blocks only; anything else is answered, not assumed away.
    fn held(&self, block: BlockId) -> Result<HeldBlock, Reply> {
        self.held.get(&block).copied().ok_or(Reply::Dropped(Drop::NoSuchBlock))
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
        let guarded = !self.reference.planted().has(Defect::ExabyteReachesAllocator);
        if via == Via::Tensor && bytes >= TENSOR_LIMIT && guarded {
            return Err(Reply::refused(RefusalClass::OutOfMemory, TENSOR_LIMIT_MESSAGE));
        }
        self.reach_over(index, device.is_some());
        if let Some(answer) = self.nothing(bytes) {
            self.held.insert(block, HeldBlock { device: index, stream, address: 0, bytes, direct: false, via });
            return Ok(answer);
        }
        if self.uncached && bytes > 0 && !self.is_cached_all_the_same(bytes) {
            return self.alloc_direct(block, HeldBlock { device: index, stream, address: 0, bytes, direct: true, via });
        }
        let visited = self.latest.replace(index).is_some_and(|latest| latest != index);
        let allocator = self.reference.device_mut(index);
        allocator.note_visit(visited);
        let handle = allocator.device().stream_handle(stream);
        if via == Via::Tensor {
            allocator.set_current_stream(Some(handle));
        }
        let served = allocator.alloc(bytes, handle);
        allocator.set_current_stream(None);
        let address = served.map_err(|e| self.refused(alloc_refused(&e)))?;
        self.held.insert(block, HeldBlock { device: index, stream, address, bytes, direct: false, via });
        let header = u64::from(self.reference.planted().has(Defect::AddressAfterHeader) && bytes > 0) * 8;
        Ok(Reply::Allocated { address: address + header })
    }

    fn free(&mut self, block: BlockId) -> ReplyResult {
        let held = self.held(block)?;
        if let Some(refusal) = self.unfreeable(held.address, held.device) {
            return Err(refusal);
        }
        if held.address != 0 && self.goes_to_device(held) {
            return self.free_direct(block, held);
        }
        if held.direct {
            // The allocator does not know it: the block stays where it is.
            return self.reference.free(held.address).map(|()| Reply::Done).map_err(|e| free_refused(&e));
        }
        let answer = self.reference.free(held.address).map_err(|e| free_refused(&e));
        // A block whose stream could not be marked was taken back all the same: it waits.
        let taken = !self.reference.device(held.device).owns(held.address);
        if taken {
            self.held.remove(&block);
            self.former.insert(block, held.address);
        }
        answer.map(|()| Reply::Done)
    }

    fn free_pointer(&mut self, pointer: Pointer) -> ReplyResult {
        let live = |block| self.held.get(&block).map(|held| held.address);
        let address = played::address_of(pointer, live, |block| self.former.get(&block).copied())?;
        if self.is_null_refused(address) {
            return Err(Reply::refused(RefusalClass::InvalidPointer, "invalid pointer: 0x0"));
        }
        if self.library_alone && self.uncached && address != 0 {
            // Past the cache a pointer is a device's to take or not.
            let mut answer = Err(Reply::Dropped(Drop::NoSuchBlock));
            for index in 0..self.reference.device_count() {
                answer = self.reference.device_mut(index).device_mut().release(address).map_err(|e| device_failed(&e));
                if answer.is_ok() {
                    break;
                }
            }
            return answer.map(|()| Reply::Done);
        }
        self.reference.free(address).map(|()| Reply::Done).map_err(|e| free_refused(&e))
    }

    fn record_stream(&mut self, block: BlockId, stream: StreamId) -> ReplyResult {
        let held = self.held(block)?;
        if self.reference.planted().has(Defect::RecordOnFirstDevice) && held.device > 0 {
            return Ok(Reply::Done);
        }
        let handle = self.reference.device(held.device).device().stream_handle(stream);
        self.reference.record_stream(held.address, handle);
        Ok(Reply::Done)
    }

    /// Puts a write of the block's own pattern on a stream.
    fn write(&mut self, held: HeldBlock, stream: StreamId, block: BlockId) -> ReplyResult {
        let device = self.reference.device_mut(held.device).device_mut();
        played::write(device, stream, held.address, held.bytes, block)
    }

    fn verify(&mut self, block: BlockId) -> ReplyResult {
        let held = self.held(block)?;
        let device = self.reference.device_mut(held.device).device_mut();
        played::verify(device, held.stream, held.address, held.bytes, block)
    }

    fn set_fraction(&mut self, device: Option<DeviceId>, fraction: f64) -> ReplyResult {
        let mut index = self.place(device)?;
        if self.reference.planted().has(Defect::LimitOnCurrentDevice) {
            index = self.place(None)?;
        }
        for other in 0..self.reference.device_count() {
            if self.reference.planted().has(Defect::FractionOnAllDevices) {
                // Whether the fraction is allowed is said below, once.
                let _ = self.reference.set_fraction(other, fraction);
            }
        }
        let set = self.reference.set_fraction(index, fraction);
        set.map(|()| Reply::Done).map_err(|e| Reply::refused(RefusalClass::InvalidArgument, e.to_string()))
    }
}

/// PyTorch's words for a device that is not there.
pub(in crate::target) fn no_such_device(device: DeviceId, count: usize) -> Reply {
    let message = format!("Invalid device argument {}: did you call init? There are {count} devices.", device.0);
    Reply::refused(RefusalClass::InvalidArgument, message)
}

fn alloc_refused(error: &AllocError) -> Reply {
    match error {
        AllocError::OutOfMemory(_) => Reply::refused(RefusalClass::OutOfMemory, error.to_string()),
        AllocError::Unrepresentable { .. } | AllocError::PoolBusy => {
            Reply::refused(RefusalClass::InvalidArgument, error.to_string())
        }
        AllocError::Device(error) => device_failed(error),
    }
}

fn free_refused(error: &FreeError) -> Reply {
    match error {
        FreeError::InvalidPointer { .. } => Reply::refused(RefusalClass::InvalidPointer, error.to_string()),
        FreeError::Device(error) => device_failed(error),
    }
}

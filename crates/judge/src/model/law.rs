//! Which operations can be asked, and which answers to them are legal.
//!
//! Decides from the operation, the devices and the current device alone. Does not judge an answer: `oracle` does.

use super::{Law, Live, Model};
use crate::op::{BlockId, Contract, Drop, Op, Pointer, RefusalClass, StreamId, settings};

/// A size whose rounding no signed figure can hold: both readings of it are honest.
const UNROUNDABLE: &[RefusalClass] = &[RefusalClass::OutOfMemory, RefusalClass::InvalidArgument];
/// Too large for the device while a device call is made to fail.
const TOO_LARGE_WITH_FAULT: &[RefusalClass] = &[RefusalClass::OutOfMemory, RefusalClass::DeviceError];
const UNROUNDABLE_WITH_FAULT: &[RefusalClass] =
    &[RefusalClass::OutOfMemory, RefusalClass::InvalidArgument, RefusalClass::DeviceError];

impl Model {
    /// Whether the operation can be asked at all: `Err` where the block, pool or graph it names is not there, its id is
    /// taken, it begins or ends out of turn, or the stream it names does not exist, so that the engine drops it. Bad devices are *not*
    /// dropped: they must be refused. (What only the harness does to a device, `Occupy`, `Finish`,
    /// `WaitStream` and `Fault`, is no call that could be refused, and is dropped.)
    ///
    /// # Errors
    /// Why it is dropped.
    pub fn admits(&self, op: &Op) -> Result<(), Drop> {
        self.pools.admits(op, self.caller, self.devices.len())?;
        match *op {
            Op::CaptureBegin { stream, .. } => self.has_stream(stream),
            Op::Alloc { block, stream, .. } => {
                if self.held.contains_key(&block) {
                    return Err(Drop::BlockExists);
                }
                self.has_stream(stream)
            }
            Op::Free { block } | Op::Fill { block } | Op::Verify { block } => self.is_live(block),
            Op::RecordStream { block, stream } => {
                self.is_live(block)?;
                self.has_stream(stream)
            }
            Op::Use { block, stream } => {
                self.is_live(block)?;
                self.has_stream(stream)?;
                let told = |live: &Live| live.stream == stream || live.recorded >> (stream.0 & 63) & 1 == 1;
                if self.block(block).is_none_or(told) { Ok(()) } else { Err(Drop::NotRecorded) }
            }
            Op::FreePointer { pointer } => self.admits_pointer(pointer),
            Op::Occupy { device, stream } | Op::Finish { device, stream } => {
                device.index(self.devices.len()).ok_or(Drop::NoSuchPlace)?;
                self.has_stream(stream)
            }
            Op::WaitStream { device, stream, on } => {
                device.index(self.devices.len()).ok_or(Drop::NoSuchPlace)?;
                self.has_stream(stream)?;
                self.has_stream(on)
            }
            Op::Neighbour { device, .. } | Op::Fault { device, .. } => {
                device.index(self.devices.len()).map(|_| ()).ok_or(Drop::NoSuchPlace)
            }
            _ => Ok(()),
        }
    }

    fn is_live(&self, block: BlockId) -> Result<(), Drop> {
        if self.held.contains_key(&block) { Ok(()) } else { Err(Drop::NoSuchBlock) }
    }

    fn has_stream(&self, stream: StreamId) -> Result<(), Drop> {
        if stream.0 < self.streams { Ok(()) } else { Err(Drop::NoSuchPlace) }
    }

    /// A pointer that is, by now, the start of a live block would be a lawful free of that one.
    fn admits_pointer(&self, pointer: Pointer) -> Result<(), Drop> {
        let address = match pointer {
            Pointer::Null => return Ok(()),
            Pointer::Interior { block, offset } => {
                let live = self.block(block).ok_or(Drop::NoSuchBlock)?;
                if offset == 0 || offset >= live.bytes {
                    return Err(Drop::NoSuchBlock);
                }
                live.address.saturating_add(offset)
            }
            Pointer::Freed { block } => {
                if self.held.contains_key(&block) {
                    return Err(Drop::NoSuchBlock);
                }
                self.former.get(block).map(|former| former.address).ok_or(Drop::NoSuchBlock)?
            }
            Pointer::Wild { address } => address,
        };
        if address == 0 || self.is_live_start(address) { Err(Drop::NoSuchBlock) } else { Ok(()) }
    }

    /// Which answers are legal, before the operation is asked.
    #[must_use]
    pub fn law(&self, op: &Op) -> Law {
        let law = self.law_without_faults(op);
        if !self.is_fault_armed(op) {
            return law;
        }
        match law {
            Law::MustServe | Law::MayLackMemory | Law::Any => Law::Any,
            Law::MustRefuse(RefusalClass::OutOfMemory) => Law::MustRefuseAny(TOO_LARGE_WITH_FAULT),
            Law::MustRefuseAny(_) => Law::MustRefuseAny(UNROUNDABLE_WITH_FAULT),
            // an argument is wrong whatever the device does
            Law::MustRefuse(_) => law,
        }
    }

    /// Which answers are legal if no fault fires in the operation. The same before and after it.
    #[must_use]
    pub fn law_without_faults(&self, op: &Op) -> Law {
        if op.device().is_some_and(|device| device.index(self.devices.len()).is_none()) {
            return Law::MustRefuse(RefusalClass::InvalidArgument);
        }
        match *op {
            Op::SetFraction { fraction, .. } if !(0.0..=1.0).contains(&fraction) => {
                Law::MustRefuse(RefusalClass::InvalidArgument)
            }
            Op::SetSettings { settings: ref text } if settings::begins_unknown(text) => {
                Law::MustRefuse(RefusalClass::InvalidArgument)
            }
            // which values a setting takes is the target's to know
            Op::SetSettings { .. } => Law::Any,
            // PyTorch refuses a second time, and others may count
            Op::PoolEnter { pool, device } if self.pools.is_entered(pool, device.index(self.devices.len())) => Law::Any,
            Op::FreePointer { pointer: Pointer::Null } => Law::MustServe,
            Op::FreePointer { .. } => Law::MustRefuse(RefusalClass::InvalidPointer),
            Op::Alloc { bytes: 0, .. } => Law::MustServe,
            Op::Alloc { bytes, .. } if self.is_unroundable(bytes) => Law::MustRefuseAny(UNROUNDABLE),
            Op::Alloc { device, bytes, .. } => {
                let most = self.position(device).map_or(0, |d| self.total_bytes(d) - self.held_by_others(d));
                if bytes > most { Law::MustRefuse(RefusalClass::OutOfMemory) } else { Law::MayLackMemory }
            }
            _ => Law::MustServe,
        }
    }

    fn is_fault_armed(&self, op: &Op) -> bool {
        if self.devices.iter().all(|d| d.armed == 0) {
            return false;
        }
        match self.device_of(op) {
            Some(device) => self.devices[device].armed > 0,
            None => self.devices.iter().any(|d| d.armed > 0),
        }
    }

    /// The position of the device an operation is about: the one it names, its block's, or the caller's
    /// current one. `None` where it is about no device, about all, or about one that does not exist.
    #[must_use]
    pub fn device_of(&self, op: &Op) -> Option<usize> {
        match op {
            Op::Alloc { device, .. } | Op::SetFraction { device, .. } | Op::GetFraction { device } => {
                self.position(*device)
            }
            Op::SetCurrent { .. } => None,
            Op::CaptureEnd { graph } | Op::GraphReset { graph } => self.pools.device_of(*graph),
            Op::Free { block }
            | Op::RecordStream { block, .. }
            | Op::Use { block, .. }
            | Op::Fill { block }
            | Op::Verify { block }
            | Op::FreePointer { pointer: Pointer::Interior { block, .. } } => self.block(*block).map(|l| l.device),
            other => other.device().and_then(|d| d.index(self.devices.len())),
        }
    }

    /// What the target promises now.
    #[must_use]
    pub fn contract(&self) -> &Contract {
        &self.contract
    }

    /// Whether other settings were asked for since the start, whatever came of it.
    #[must_use]
    pub fn is_reconfigured(&self) -> bool {
        self.reconfigured
    }

    /// Whether requests go through the cache.
    #[must_use]
    pub fn is_caching(&self) -> bool {
        self.caching
    }

    /// The contract's most for a request, for oracles that ask whether it had to fit.
    #[must_use]
    pub fn at_most(&self, bytes: u64) -> u64 {
        self.contract.growth.at_most(bytes)
    }

    /// How much must be free for a request to be owed by the contract.
    #[must_use]
    pub fn owed_from(&self, bytes: u64) -> u64 {
        self.contract.growth.owed_from(bytes)
    }

    /// Whether a rounded request does not fit the signed 64-bit figures that statistics are kept in. That the
    /// allocator may also take more, in segments of some least size, is no reason to refuse.
    #[must_use]
    pub fn is_unroundable(&self, bytes: u64) -> bool {
        i64::try_from(self.contract.growth.rounded(bytes)).is_err()
    }

    /// What another process holds of the device at this position, by command.
    #[must_use]
    pub fn held_by_others(&self, position: usize) -> u64 {
        self.devices.get(position).map_or(0, |d| d.neighbour.min(self.total_bytes(position)))
    }

    /// The memory of the device at this position.
    #[must_use]
    pub fn total_bytes(&self, position: usize) -> u64 {
        self.totals.get(position).copied().unwrap_or(0)
    }
}

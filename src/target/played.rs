//! What a harness does to a controlled device on behalf of any target: streams, neighbours, failing calls, contents.
//!
//! Decides how a device's errors read as answers.

use super::reference::ReplyResult;
use crate::device::{ControlledDevice, DeviceError};
use crate::op::{BlockId, ContentsReport, DeviceCall, Drop, MemoryInfo, Op, Pointer, RefusalClass, Reply, StreamId};

/// A failed call of the device's.
pub(super) fn device_failed(error: &DeviceError) -> Reply {
    let class = match error {
        DeviceError::OutOfMemory => RefusalClass::OutOfMemory,
        _ => RefusalClass::DeviceError,
    };
    Reply::refused(class, error.to_string())
}

/// Refuses a stream that the devices have not.
pub(super) fn ensure_stream(stream: StreamId, count: u8) -> Result<(), Reply> {
    if stream.0 < count {
        return Ok(());
    }
    Err(Reply::refused(RefusalClass::InvalidArgument, format!("{stream} does not exist")))
}

/// Where a pointer that is no live block points; `live` and `former` know where blocks are and were.
pub(super) fn address_of(
    pointer: Pointer,
    live: impl Fn(BlockId) -> Option<u64>,
    former: impl Fn(BlockId) -> Option<u64>,
) -> Result<u64, Reply> {
    let there = |address: Option<u64>| address.ok_or(Reply::Dropped(Drop::NoSuchBlock));
    match pointer {
        Pointer::Null => Ok(0),
        Pointer::Wild { address } => Ok(address),
        Pointer::Interior { block, offset } => Ok(there(live(block))? + offset),
        Pointer::Freed { block } => there(former(block)),
    }
}

/// Operations that name an existing device and no block, and that no allocator has a part in; `pages` where memory is mapped
/// page by page.
pub(super) fn on_device(device: &mut dyn ControlledDevice, op: &Op, pages: bool) -> ReplyResult {
    let failed = |error: DeviceError| device_failed(&error);
    match *op {
        Op::Occupy { stream, .. } => device.occupy(stream).map_err(failed)?,
        Op::Finish { stream, .. } => device.finish(stream).map_err(failed)?,
        Op::WaitStream { stream, on, .. } => device.hold_for(stream, on).map_err(failed)?,
        Op::Synchronize { .. } => device.synchronize().map_err(failed)?,
        Op::Neighbour { bytes, .. } if !device.set_neighbour(bytes) => {
            return Err(Reply::refused(RefusalClass::Unsupported, "other processes are on this device as they are"));
        }
        Op::Fault { call, skip, error, .. } => {
            // Memory is got by another call where it is mapped page by page.
            let call = if call == DeviceCall::Reserve && pages { DeviceCall::Map } else { call };
            device.fault(call, skip, error);
        }
        Op::MemoryInfo { .. } => {
            let free_bytes = device.free_bytes().map_err(failed)?;
            return Ok(Reply::MemoryInfo(MemoryInfo { free_bytes, total_bytes: device.total_bytes() }));
        }
        _ => {}
    }
    Ok(Reply::Done)
}

/// Puts a write of a block's own pattern on a stream.
pub(super) fn write(
    device: &mut dyn ControlledDevice,
    stream: StreamId,
    address: u64,
    bytes: u64,
    block: BlockId,
) -> ReplyResult {
    if bytes == 0 {
        return Ok(Reply::Done);
    }
    device.write(stream, address, bytes, block.0).map_err(|error| device_failed(&error))?;
    Ok(device
        .take_illegal_access()
        .map_or(Reply::Done, |at| Reply::Contents(ContentsReport::Unmapped { offset: at.saturating_sub(address) })))
}

/// Reads a block's bytes in the order of its stream.
pub(super) fn verify(
    device: &mut dyn ControlledDevice,
    stream: StreamId,
    address: u64,
    bytes: u64,
    block: BlockId,
) -> ReplyResult {
    if bytes == 0 {
        return Ok(Reply::Contents(ContentsReport::Intact));
    }
    device.check(stream, address, bytes, block.0).map(Reply::Contents).map_err(|error| device_failed(&error))
}

//! What a harness does to a controlled device on behalf of any target: streams, neighbours, failing calls, contents.
//!
//! Decides how a device's errors read as answers.

use super::reference::ReplyResult;
use crate::device::{ControlledDevice, DeviceError};
use crate::op::{BlockId, ContentsReport, DeviceCall, MemoryInfo, Op, RefusalClass, Reply, StreamId};

/// A failed call of the device's.
pub(super) fn device_failed(error: &DeviceError) -> Reply {
    let class = match error {
        DeviceError::OutOfMemory => RefusalClass::OutOfMemory,
        _ => RefusalClass::DeviceError,
    };
    Reply::refused(class, error.to_string())
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

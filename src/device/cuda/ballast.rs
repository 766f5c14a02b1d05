//! Ballast: allocations that hold the rest of a card, so that the driver itself refuses what is beyond a small size.
//!
//! Decides how much is held. It leaves `SLACK` more than is asked for: of the free memory that a driver states, the last
//! granules cannot be had.

use super::error::Code;
use super::gpu::Gpu;
use crate::device::sim::GRANULE;

const TRIES: u32 = 64;

/// On an H200 requests of 2 MiB are refused with 3.1 MiB free.
pub(super) const SLACK: u64 = 2 * GRANULE;

/// Leaves `leave` bytes to be had, taking or giving back what it needs to.
pub(super) fn hold(gpu: &Gpu, leave: u64) -> Result<(), Code> {
    let leave = leave.saturating_add(SLACK);
    let mut kept = gpu.kept();
    let (free, _) = gpu.driver.memory_info()?;
    if free < leave {
        for address in kept.ballast.drain(..) {
            gpu.driver.free(address)?;
        }
    }
    let mut chunk = u64::MAX;
    for _ in 0..TRIES {
        let (free, _) = gpu.driver.memory_info()?;
        chunk = chunk.min(free.saturating_sub(leave) / GRANULE * GRANULE);
        if chunk == 0 {
            break;
        }
        match gpu.driver.alloc(chunk) {
            Ok(address) => {
                kept.ballast.push(address);
                chunk = u64::MAX;
            }
            Err(Code::OUT_OF_MEMORY) => chunk = chunk / 2 / GRANULE * GRANULE,
            Err(code) => return Err(code),
        }
    }
    Ok(())
}

/// Gives all ballast back.
pub(super) fn drop_all(gpu: &Gpu) -> Result<(), Code> {
    let mut kept = gpu.kept();
    kept.ballast.drain(..).try_for_each(|address| gpu.driver.free(address))
}

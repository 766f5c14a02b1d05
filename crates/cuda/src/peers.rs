//! Peer access: GPUs that get at each other's memory, so that contents are read from both sides.
//!
//! Decides that every block is read by the other GPUs as well once its own has found it intact. Writes stay with the
//! GPU that a block is on: their order is that of its streams.

use std::ffi::c_int;

use super::gpu::{Gpu, NOWHERE};
use super::{CudaDevice, CudaError, DeviceError};

/// Enables peer access between borrowed GPUs, both ways. One alone has nobody to be linked with.
///
/// # Errors
/// `NoPeer` where the machine has one GPU, `NoPeerAccess`, or what the driver answers.
pub fn link(devices: &mut [CudaDevice]) -> Result<(), CudaError> {
    let gpus: Vec<&'static Gpu> = devices.iter().map(CudaDevice::gpu).collect();
    if gpus.first().is_some_and(|gpu| gpu.driver.devices < 2) {
        return Err(CudaError::NoPeer);
    }
    for device in devices {
        let gpu = device.gpu();
        let at = |call| move |code| CudaError::Call { call, code };
        gpu.enter().map_err(at("cuCtxSetCurrent"))?;
        device.peers = gpus.iter().copied().filter(|peer| peer.ordinal != gpu.ordinal).collect();
        for peer in &device.peers {
            let reaches = gpu.driver.can_access_peer(gpu.device, peer.device).map_err(at("cuDeviceCanAccessPeer"))?;
            if !reaches {
                return Err(CudaError::NoPeerAccess { ordinal: gpu.ordinal, peer: peer.ordinal });
            }
            gpu.driver.enable_peer(peer.context).map_err(at("cuCtxEnablePeerAccess"))?;
        }
    }
    Ok(())
}

impl CudaDevice {
    /// The devices whose kernels get at this one's mapped memory.
    pub(super) fn at_it(&self) -> Vec<c_int> {
        std::iter::once(self.gpu()).chain(self.peers.iter().copied()).map(|gpu| gpu.device).collect()
    }

    /// Reads a range from every other side; the first that sees something else, and where.
    pub(super) fn seen_by_peers(&self, address: u64, bytes: u64, tag: u32) -> Result<Option<(u32, u64)>, DeviceError> {
        for peer in &self.peers {
            let found = peer.enter().and_then(|()| peer.find_change(peer.aside, address, bytes, tag, 0));
            let offset = found.map_err(|code| {
                if code.is_sticky() {
                    peer.poison(code);
                    return DeviceError::Poisoned { code: code.0 };
                }
                DeviceError::Work { code: code.0 }
            })?;
            if offset != NOWHERE {
                return Ok(Some((peer.ordinal, offset)));
            }
        }
        Ok(None)
    }
}

//! NVML's functions that tell who is on a device.
//!
//! Decides how a list of processes is written. Devices are told apart by their order, which is their PCI bus.

use std::ffi::{c_char, c_int, c_uint};
use std::ptr::without_provenance_mut;

use crate::world::with;

type Code = c_int;

const SUCCESS: Code = 0;
const UNINITIALIZED: Code = 1;
const INVALID_ARGUMENT: Code = 2;
pub(crate) const NOT_SUPPORTED: Code = 3;
const NOT_FOUND: Code = 6;
const INSUFFICIENT_SIZE: Code = 7;

/// `nvmlProcessInfo_v1_t`.
#[repr(C)]
pub(crate) struct ProcessInfo {
    process: c_uint,
    used: u64,
}

pub(crate) extern "C" fn init() -> Code {
    with(|_| SUCCESS).unwrap_or(UNINITIALIZED)
}

/// Which device is meant is not read off the bus: `cudaGetDeviceProperties` writes none. It is the current one.
pub(crate) extern "C" fn device_get_handle_by_pci_bus_id(_bus: *const c_char, handle: *mut *mut u8) -> Code {
    if handle.is_null() {
        return INVALID_ARGUMENT;
    }
    let device = crate::world::current_device();
    // SAFETY: not null, and the caller's room for a handle.
    unsafe { handle.write(without_provenance_mut(device + 1)) };
    SUCCESS
}

/// No device is in a fabric: what the caller has cleared stays so, and its state 0 says that there is none.
pub(crate) extern "C" fn device_get_gpu_fabric_info(_handle: *mut u8, _info: *mut u8) -> Code {
    SUCCESS
}

pub(crate) extern "C" fn device_get_compute_running_processes(
    handle: *mut u8,
    count: *mut c_uint,
    processes: *mut ProcessInfo,
) -> Code {
    if count.is_null() {
        return INVALID_ARGUMENT;
    }
    let device = handle.addr().wrapping_sub(1);
    let found = with(|runtime| {
        let found = runtime.device_mut(device)?.processes();
        if let Some(log) = runtime.log(device) {
            log.processes(&found);
        }
        Some(found)
    });
    let Some(found) = found else { return UNINITIALIZED };
    let Some(found) = found else { return NOT_FOUND };
    // SAFETY: not null, and the caller's own number: how much room there is.
    let room = unsafe { count.read() } as usize;
    // SAFETY: as above; what is written is how many there are.
    unsafe { count.write(found.len() as c_uint) };
    if found.len() > room || (processes.is_null() && !found.is_empty()) {
        return INSUFFICIENT_SIZE;
    }
    for (place, process) in found.iter().enumerate() {
        let info = ProcessInfo { process: process.process.unwrap_or_else(std::process::id), used: process.bytes };
        // SAFETY: the caller said that there is room for so many.
        unsafe { processes.add(place).write(info) };
    }
    SUCCESS
}

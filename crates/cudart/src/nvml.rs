//! NVML's functions that tell which devices there are, and who is on each.
//!
//! Decides how a list of processes is written. A handle is a device's number and one more.

use std::ffi::{CStr, c_char, c_int, c_uint};
use std::ptr::without_provenance_mut;

use crate::properties;
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

pub(crate) extern "C" fn init_with_flags(_flags: c_uint) -> Code {
    init()
}

/// The words of NVML's own numbers.
pub(crate) extern "C" fn error_string(code: Code) -> *const c_char {
    let text = match code {
        SUCCESS => c"Success",
        UNINITIALIZED => c"Uninitialized",
        INVALID_ARGUMENT => c"Invalid Argument",
        NOT_SUPPORTED => c"Not Supported",
        NOT_FOUND => c"Not Found",
        INSUFFICIENT_SIZE => c"Insufficient Size",
        _ => c"Unknown Error",
    };
    text.as_ptr()
}

pub(crate) extern "C" fn device_get_count(count: *mut c_uint) -> Code {
    let Some(all) = with(|runtime| runtime.listed()) else { return UNINITIALIZED };
    if count.is_null() {
        return INVALID_ARGUMENT;
    }
    // SAFETY: not null, and the caller's number.
    unsafe { count.write(all as c_uint) }; // there are few
    SUCCESS
}

fn put_handle(handle: *mut *mut u8, device: Option<usize>) -> Code {
    let Some(all) = with(|runtime| runtime.listed()) else { return UNINITIALIZED };
    match device.filter(|&device| device < all) {
        None => NOT_FOUND,
        Some(_) if handle.is_null() => INVALID_ARGUMENT,
        Some(device) => {
            // SAFETY: not null, and the caller's room for a handle.
            unsafe { handle.write(without_provenance_mut(device + 1)) };
            SUCCESS
        }
    }
}

pub(crate) extern "C" fn device_get_handle_by_index(index: c_uint, handle: *mut *mut u8) -> Code {
    put_handle(handle, usize::try_from(index).ok())
}

pub(crate) extern "C" fn device_get_handle_by_pci_bus_id(bus: *const c_char, handle: *mut *mut u8) -> Code {
    if bus.is_null() {
        return INVALID_ARGUMENT;
    }
    // SAFETY: not null, and a place on the bus is a C string.
    let bus = unsafe { CStr::from_ptr(bus) }.to_string_lossy();
    put_handle(handle, properties::device_at(&bus))
}

/// Writes words about a device where there is room for them.
fn put_text(handle: *mut u8, into: *mut c_char, length: c_uint, words: impl FnOnce(usize) -> Option<String>) -> Code {
    let device = handle.addr().wrapping_sub(1);
    let length = c_int::try_from(length).unwrap_or(c_int::MAX);
    match words(device) {
        None => NOT_FOUND,
        Some(_) if into.is_null() => INVALID_ARGUMENT,
        Some(words) => match properties::write_text(into, length, &words) {
            Ok(()) => SUCCESS,
            Err(_) => INSUFFICIENT_SIZE,
        },
    }
}

/// `GPU-` and the 16 bytes of the device's properties.
pub(crate) extern "C" fn device_get_uuid(handle: *mut u8, text: *mut c_char, length: c_uint) -> Code {
    put_text(handle, text, length, |device| {
        let hex: Vec<String> = properties::unique(device).iter().map(|byte| format!("{byte:02x}")).collect();
        let part = |range: std::ops::Range<usize>| hex[range].concat();
        let parts = [part(0..4), part(4..6), part(6..8), part(8..10), part(10..16)];
        (with(|runtime| device < runtime.listed()) == Some(true)).then(|| format!("GPU-{}", parts.join("-")))
    })
}

pub(crate) extern "C" fn device_get_name(handle: *mut u8, text: *mut c_char, length: c_uint) -> Code {
    put_text(handle, text, length, |device| with(|runtime| Some(runtime.numbered(device)?.name())).flatten())
}

/// `nvmlMemory_t`: total, free, used.
pub(crate) extern "C" fn device_get_memory_info(handle: *mut u8, memory: *mut [u64; 3]) -> Code {
    let device = handle.addr().wrapping_sub(1);
    let found = with(|runtime| {
        let device = runtime.numbered(device)?;
        let (total, free) = (device.total_bytes(), device.look_at_free_bytes().ok()?);
        Some([total, free, total - free])
    });
    let Some(found) = found else { return UNINITIALIZED };
    let Some(found) = found else { return NOT_FOUND };
    if memory.is_null() {
        return INVALID_ARGUMENT;
    }
    // SAFETY: not null, and the caller's structure of three numbers.
    unsafe { memory.write(found) };
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
        let found = runtime.numbered(device)?.processes();
        if let Some(log) = runtime.place_of(device).and_then(|place| runtime.log(place)) {
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

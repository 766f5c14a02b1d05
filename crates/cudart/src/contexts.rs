//! Devices and contexts of the driver's, as a C program finds them by name.
//!
//! Decides what a context is here: each device has one, its primary one, from its first use on. A thread's current context is that of
//! its current device.

use std::ffi::{CStr, c_char, c_int, c_uint, c_ulonglong, c_void};

use crate::codes;
use crate::driver::put;
use crate::properties::{unique, write_text};
use crate::world::{current_device, driver_call, set_current_device};

type Code = c_int;

/// Contexts look like addresses. Nobody follows one.
const FIRST: u64 = 0x5700_0000_0000;
const STEP: u64 = 0x40;

const INVALID_CONTEXT: c_int = 201;

fn context_of(device: usize) -> u64 {
    FIRST + device as u64 * STEP
}

fn device_of(context: u64, count: usize) -> Result<usize, i32> {
    (0..count).find(|&device| context_of(device) == context).ok_or(INVALID_CONTEXT)
}

fn known(device: c_int, count: usize) -> Result<usize, i32> {
    usize::try_from(device).ok().filter(|&index| index < count).ok_or(codes::INVALID_DEVICE)
}

pub(crate) extern "C" fn device_get_count(count: *mut c_int) -> Code {
    driver_call(|runtime| put(count, runtime.device_count() as c_int)) // as many as were installed
}

pub(crate) extern "C" fn device_get_name(name: *mut c_char, length: c_int, device: c_int) -> Code {
    driver_call(|runtime| {
        let index = known(device, runtime.device_count())?;
        let words = runtime.at(index)?.name();
        write_text(name, length, &words)
    })
}

pub(crate) extern "C" fn device_get_uuid(into: *mut [u8; 16], device: c_int) -> Code {
    driver_call(|runtime| {
        let index = known(device, runtime.device_count())?;
        put(into, unique(runtime.number(index)))
    })
}

pub(crate) extern "C" fn device_total_mem(bytes: *mut usize, device: c_int) -> Code {
    driver_call(|runtime| {
        let index = known(device, runtime.device_count())?;
        put(bytes, runtime.at(index)?.total_bytes() as usize)
    })
}

pub(crate) extern "C" fn primary_get_state(device: c_int, flags: *mut c_uint, active: *mut c_int) -> Code {
    driver_call(|runtime| {
        let index = known(device, runtime.device_count())?;
        put(flags, 0)?;
        put(active, c_int::from(runtime.has_context(index)))
    })
}

pub(crate) extern "C" fn primary_retain(context: *mut u64, device: c_int) -> Code {
    driver_call(|runtime| {
        let index = known(device, runtime.device_count())?;
        runtime.enter(index);
        put(context, context_of(index))
    })
}

/// Whoever releases it does not use it; it stays until the process ends.
pub(crate) extern "C" fn primary_release(device: c_int) -> Code {
    driver_call(|runtime| known(device, runtime.device_count()).map(|_| ()))
}

pub(crate) extern "C" fn get_current(context: *mut u64) -> Code {
    driver_call(|runtime| {
        let device = current_device();
        put(context, if runtime.has_context(device) { context_of(device) } else { 0 })
    })
}

/// No context makes none current: the thread's device stays, which has no other meaning here.
pub(crate) extern "C" fn set_current(context: u64) -> Code {
    driver_call(|runtime| {
        if context != 0 {
            set_current_device(device_of(context, runtime.device_count())?);
        }
        Ok(())
    })
}

pub(crate) extern "C" fn get_device(device: *mut c_int) -> Code {
    driver_call(|runtime| {
        let current = current_device();
        if runtime.has_context(current) { put(device, current as c_int) } else { Err(INVALID_CONTEXT) }
    })
}

pub(crate) extern "C" fn get_error_name(code: c_int, text: *mut *const c_char) -> Code {
    driver_call(|_| put(text, codes::name(code).as_ptr()))
}

/// `cuGetProcAddress` as it is since CUDA 12: a function by its name. `CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND` is 1.
pub(crate) extern "C" fn get_proc_address(
    name: *const c_char,
    function: *mut *mut c_void,
    _version: c_int,
    _flags: c_ulonglong,
    status: *mut c_int,
) -> Code {
    driver_call(|runtime| {
        if name.is_null() {
            return Err(codes::INVALID_VALUE);
        }
        // SAFETY: not null, and a name is a C string.
        let name = unsafe { CStr::from_ptr(name) };
        let found = crate::exports::find(name);
        put(function, found.unwrap_or(std::ptr::null_mut()))?;
        if !status.is_null() {
            put(status, c_int::from(found.is_none()))?;
        }
        if found.is_none() {
            runtime.note_not_found(&name.to_string_lossy());
            return Err(codes::NOT_FOUND);
        }
        Ok(())
    })
}

/// `cuMemGetAddressRange`: the memory that an address is in.
pub(crate) extern "C" fn mem_get_address_range(base: *mut u64, bytes: *mut usize, address: u64) -> Code {
    driver_call(|runtime| {
        let Some(contents) = &runtime.contents else {
            runtime.note_unsupported("cuMemGetAddressRange".to_owned());
            return Err(codes::NOT_SUPPORTED);
        };
        let (start, length) = contents.around(address).ok_or(codes::INVALID_VALUE)?;
        if !base.is_null() {
            put(base, start)?;
        }
        if bytes.is_null() { Ok(()) } else { put(bytes, length as usize) }
    })
}

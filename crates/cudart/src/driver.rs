//! The driver's functions, as a C program finds them by name.
//!
//! Decides how C's structures are read: of each only the fields that matter here, at their places in `cuda.h`.

use std::ffi::{c_char, c_int, c_uint, c_ulonglong};

use crate::codes;
use crate::op::GRANULE;
use crate::properties;
use crate::world::driver_call;

type Code = c_int;

/// `CUmemLocation`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Location {
    kind: c_int,
    id: c_int,
}

/// `CUmemAllocationProp`: 32 bytes.
#[repr(C)]
pub(crate) struct AllocationProperties {
    kind: c_int,
    handle_types: c_int,
    location: Location,
    win32: usize,
    flags: [u8; 8],
}

/// `CUmemAccessDesc`: 12 bytes.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Access {
    location: Location,
    flags: c_int,
}

pub(crate) fn put<T>(into: *mut T, value: T) -> Result<(), i32> {
    if into.is_null() {
        return Err(codes::INVALID_VALUE);
    }
    // SAFETY: not null, and a C program that calls a function of this signature gives it room for one `T`.
    unsafe { into.write(value) };
    Ok(())
}

pub(crate) extern "C" fn init(_flags: c_uint) -> Code {
    driver_call(|_| Ok(()))
}

pub(crate) extern "C" fn device_get(device: *mut c_int, ordinal: c_int) -> Code {
    driver_call(|runtime| {
        let known = usize::try_from(ordinal).is_ok_and(|index| index < runtime.device_count());
        if known { put(device, ordinal) } else { Err(codes::INVALID_DEVICE) }
    })
}

/// What is not known here is not supported: no sharing, no multicast, no fabric.
pub(crate) extern "C" fn device_get_attribute(value: *mut c_int, attribute: c_int, device: c_int) -> Code {
    driver_call(|runtime| {
        let index = usize::try_from(device).map_err(|_| codes::INVALID_DEVICE)?;
        put(value, properties::attribute(runtime.number(index), attribute).unwrap_or(0))
    })
}

pub(crate) extern "C" fn mem_address_reserve(
    address: *mut u64,
    bytes: usize,
    _alignment: usize,
    _hint: u64,
    _flags: c_ulonglong,
) -> Code {
    driver_call(|runtime| put(address, runtime.reserve_addresses(bytes as u64)?))
}

pub(crate) extern "C" fn mem_address_free(address: u64, bytes: usize) -> Code {
    driver_call(|runtime| runtime.free_addresses(address, bytes as u64))
}

pub(crate) extern "C" fn mem_create(
    handle: *mut u64,
    bytes: usize,
    properties: *const AllocationProperties,
    _flags: c_ulonglong,
) -> Code {
    driver_call(|runtime| {
        if properties.is_null() {
            return Err(codes::INVALID_VALUE);
        }
        // SAFETY: not null, and the caller's structure is as `cuda.h` has it.
        let Location { id, .. } = unsafe { (*properties).location };
        let device = usize::try_from(id).map_err(|_| codes::INVALID_DEVICE)?;
        put(handle, runtime.create(device, bytes as u64)?)
    })
}

pub(crate) extern "C" fn mem_release(handle: u64) -> Code {
    driver_call(|runtime| runtime.release(handle))
}

pub(crate) extern "C" fn mem_map(address: u64, bytes: usize, offset: usize, handle: u64, _flags: c_ulonglong) -> Code {
    driver_call(|runtime| {
        if offset != 0 {
            return Err(codes::INVALID_VALUE);
        }
        runtime.map(address, bytes as u64, handle)
    })
}

pub(crate) extern "C" fn mem_unmap(address: u64, bytes: usize) -> Code {
    driver_call(|runtime| runtime.unmap(address, bytes as u64))
}

pub(crate) extern "C" fn mem_set_access(address: u64, bytes: usize, access: *const Access, count: usize) -> Code {
    driver_call(|runtime| {
        if access.is_null() || count == 0 {
            return Err(codes::INVALID_VALUE);
        }
        // SAFETY: not null, and the caller has that many of them there.
        let all = unsafe { std::slice::from_raw_parts(access, count) };
        let devices: Result<Vec<usize>, i32> =
            all.iter().map(|access| usize::try_from(access.location.id).map_err(|_| codes::INVALID_DEVICE)).collect();
        runtime.set_access(address, bytes as u64, &devices?)
    })
}

pub(crate) extern "C" fn mem_get_allocation_granularity(
    granularity: *mut usize,
    _properties: *const AllocationProperties,
    _option: c_int,
) -> Code {
    driver_call(|_| put(granularity, GRANULE as usize))
}

pub(crate) extern "C" fn get_error_string(code: c_int, text: *mut *const c_char) -> Code {
    driver_call(|_| put(text, codes::text(code).as_ptr()))
}

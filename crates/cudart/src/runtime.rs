//! The runtime's functions, as a C program calls them.
//!
//! Decides how C's arguments are read and answers written: a pointer that is null is an invalid value. What a call does is
//! `memory`'s, `events`' and the device's.

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int, c_uint, c_ulonglong, c_void};

use crate::codes;
use crate::streams::PRIORITIES;
use crate::world::{self, Runtime, call, set_current_device};

type Code = c_int;

/// Version of the runtime and the driver that is claimed to be there: 13.0.
const VERSION: c_int = 13_000;

/// Writes an answer where the program wants it.
fn put<T>(into: *mut T, value: T) -> Result<(), i32> {
    if into.is_null() {
        return Err(codes::INVALID_VALUE);
    }
    // SAFETY: not null, and a C program that calls a function of this signature gives it room for one `T`.
    unsafe { into.write(value) };
    Ok(())
}

pub(crate) extern "C" fn get_device_count(count: *mut c_int) -> Code {
    call(|runtime| put(count, runtime.device_count() as c_int)) // as many as were installed
}

pub(crate) extern "C" fn get_device(device: *mut c_int) -> Code {
    call(|_| put(device, world::current_device() as c_int)) // an index of a device
}

pub(crate) extern "C" fn set_device(device: c_int) -> Code {
    call(|runtime| {
        let index = usize::try_from(device).ok().filter(|&index| index < runtime.device_count());
        let index = index.ok_or(codes::INVALID_DEVICE)?;
        set_current_device(index);
        runtime.enter(index);
        Ok(())
    })
}

pub(crate) extern "C" fn get_last_error() -> Code {
    let code = world::latest();
    world::set_latest(codes::SUCCESS);
    code
}

pub(crate) extern "C" fn peek_at_last_error() -> Code {
    world::latest()
}

pub(crate) extern "C" fn get_error_name(code: c_int) -> *const c_char {
    codes::name(code).as_ptr()
}

pub(crate) extern "C" fn get_error_string(code: c_int) -> *const c_char {
    codes::text(code).as_ptr()
}

pub(crate) extern "C" fn malloc(pointer: *mut usize, bytes: usize) -> Code {
    call(|runtime| put(pointer, runtime.malloc(bytes as u64)? as usize))
}

pub(crate) extern "C" fn free(pointer: usize) -> Code {
    call(|runtime| runtime.free(pointer as u64))
}

pub(crate) extern "C" fn mem_get_info(free: *mut usize, total: *mut usize) -> Code {
    call(|runtime| {
        let device = runtime.current()?;
        let (answer, size) = (device.free_bytes(), device.total_bytes());
        if let Some(log) = runtime.log(world::current_device()) {
            log.free_bytes(&answer);
        }
        put(free, answer.map_err(|error| codes::of(&error))? as usize)?;
        put(total, size as usize)
    })
}

pub(crate) extern "C" fn driver_get_version(version: *mut c_int) -> Code {
    call(|_| put(version, VERSION))
}

pub(crate) extern "C" fn device_synchronize() -> Code {
    call(|runtime| runtime.current()?.synchronize().map_err(|error| codes::of(&error)))
}

pub(crate) extern "C" fn device_get_stream_priority_range(least: *mut c_int, greatest: *mut c_int) -> Code {
    call(|_| {
        put(least, *PRIORITIES.end())?;
        put(greatest, *PRIORITIES.start())
    })
}

pub(crate) extern "C" fn device_can_access_peer(can: *mut c_int, device: c_int, peer: c_int) -> Code {
    call(|runtime| {
        let count = runtime.device_count() as c_int;
        if !(0..count).contains(&device) || !(0..count).contains(&peer) {
            return Err(codes::INVALID_DEVICE);
        }
        put(can, 0)
    })
}

pub(crate) extern "C" fn event_create_with_flags(event: *mut usize, _flags: c_uint) -> Code {
    call(|runtime| put(event, runtime.create_event()?))
}

pub(crate) extern "C" fn event_create(event: *mut usize) -> Code {
    event_create_with_flags(event, 0)
}

pub(crate) extern "C" fn event_record_with_flags(event: usize, stream: usize, _flags: c_uint) -> Code {
    event_record(event, stream)
}

pub(crate) extern "C" fn event_destroy(event: usize) -> Code {
    call(|runtime| runtime.destroy_event(event))
}

pub(crate) extern "C" fn event_record(event: usize, stream: usize) -> Code {
    call(|runtime| runtime.record_event(event, stream as u64))
}

pub(crate) extern "C" fn event_query(event: usize) -> Code {
    call(|runtime| if outside_captures(runtime, |r| r.query_event(event))? { Ok(()) } else { Err(codes::NOT_READY) })
}

pub(crate) extern "C" fn event_synchronize(event: usize) -> Code {
    call(|runtime| runtime.wait_event(event))
}

pub(crate) extern "C" fn stream_create(stream: *mut u64) -> Code {
    call(|runtime| put(stream, runtime.create_stream(0, 0)?))
}

pub(crate) extern "C" fn stream_create_with_flags(stream: *mut u64, flags: c_uint) -> Code {
    call(|runtime| put(stream, runtime.create_stream(flags, 0)?))
}

pub(crate) extern "C" fn stream_create_with_priority(stream: *mut u64, flags: c_uint, priority: c_int) -> Code {
    call(|runtime| put(stream, runtime.create_stream(flags, priority)?))
}

pub(crate) extern "C" fn stream_destroy(stream: u64) -> Code {
    call(|runtime| runtime.destroy_stream(stream))
}

pub(crate) extern "C" fn stream_get_priority(stream: u64, priority: *mut c_int) -> Code {
    call(|runtime| put(priority, runtime.stream_facts(stream)?.0))
}

pub(crate) extern "C" fn stream_get_flags(stream: u64, flags: *mut c_uint) -> Code {
    call(|runtime| put(flags, runtime.stream_facts(stream)?.1))
}

pub(crate) extern "C" fn stream_synchronize(stream: usize) -> Code {
    call(|runtime| {
        let device = runtime.device_of(stream as u64)?;
        let handle = runtime.real(stream as u64)?;
        runtime.at(device)?.wait_stream(handle).map_err(|error| codes::of(&error))
    })
}

pub(crate) extern "C" fn stream_query(stream: usize) -> Code {
    call(|runtime| if runtime.is_idle(stream as u64)? { Ok(()) } else { Err(codes::NOT_READY) })
}

pub(crate) extern "C" fn stream_wait_event(stream: usize, event: usize, _flags: c_uint) -> Code {
    call(|runtime| runtime.hold_for_event(stream as u64, event))
}

/// Streams: `cudaStreamCaptureStatusNone` is 0, `cudaStreamCaptureStatusActive` 1.
pub(crate) extern "C" fn stream_is_capturing(stream: usize, status: *mut c_int) -> Code {
    call(|runtime| put(status, c_int::from(runtime.is_capturing(stream as u64))))
}

/// The form that CUDA 12 calls `cudaStreamGetCaptureInfo_v2`; a capture's number is its stream's.
pub(crate) extern "C" fn stream_get_capture_info(
    stream: usize,
    status: *mut c_int,
    id: *mut c_ulonglong,
    graph: *mut *mut c_void,
    dependencies: *mut *const c_void,
    count: *mut usize,
) -> Code {
    capture_info(stream, status, id, graph, dependencies, count)
}

/// The form of CUDA 13, which tells of edges, too.
pub(crate) extern "C" fn stream_get_capture_info_with_edges(
    stream: usize,
    status: *mut c_int,
    id: *mut c_ulonglong,
    graph: *mut *mut c_void,
    dependencies: *mut *const c_void,
    edges: *mut *const c_void,
    count: *mut usize,
) -> Code {
    if !edges.is_null() {
        // SAFETY: not null, and it is the caller's room for a pointer.
        unsafe { edges.write(std::ptr::null()) };
    }
    capture_info(stream, status, id, graph, dependencies, count)
}

fn capture_info(
    stream: usize,
    status: *mut c_int,
    id: *mut c_ulonglong,
    graph: *mut *mut c_void,
    dependencies: *mut *const c_void,
    count: *mut usize,
) -> Code {
    fn if_wanted<T>(into: *mut T, value: T) -> Result<(), i32> {
        if into.is_null() { Ok(()) } else { put(into, value) }
    }
    call(|runtime| {
        let captures = runtime.is_capturing(stream as u64);
        put(status, c_int::from(captures))?;
        if captures {
            if_wanted(id, stream as c_ulonglong)?;
        }
        if_wanted(graph, std::ptr::null_mut())?;
        if_wanted(dependencies, std::ptr::null())?;
        if_wanted(count, 0)
    })
}

/// `cudaStreamCaptureModeRelaxed`: what a capture forbids is allowed to the thread.
const RELAXED: c_int = 2;

thread_local! {
    /// `cudaStreamCaptureModeGlobal` to begin with.
    static MODE: Cell<c_int> = const { Cell::new(0) };
}

pub(crate) extern "C" fn thread_exchange_stream_capture_mode(mode: *mut c_int) -> Code {
    call(|_| {
        if mode.is_null() {
            return Err(codes::INVALID_VALUE);
        }
        // SAFETY: not null, and it is the caller's number.
        unsafe {
            let wanted = mode.read();
            if !(0..=RELAXED).contains(&wanted) {
                return Err(codes::INVALID_VALUE);
            }
            mode.write(MODE.replace(wanted));
        }
        Ok(())
    })
}

/// Does what a capture forbids, unless the thread said that it knows better.
fn outside_captures<R>(runtime: &mut Runtime, act: impl FnOnce(&mut Runtime) -> R) -> R {
    let lifts = MODE.get() == RELAXED && runtime.captures();
    if lifts {
        runtime.lift_captures(true);
    }
    let answer = act(runtime);
    if lifts {
        runtime.lift_captures(false);
    }
    answer
}

/// Finds a function of the driver's by its name. `cudaDriverEntryPointSuccess` is 0, `...SymbolNotFound` 1.
pub(crate) extern "C" fn get_driver_entry_point_by_version(
    name: *const c_char,
    function: *mut *mut c_void,
    _version: c_uint,
    _flags: c_ulonglong,
    status: *mut c_int,
) -> Code {
    entry_point(name, function, status)
}

/// The same before CUDA 12.5.
pub(crate) extern "C" fn get_driver_entry_point(
    name: *const c_char,
    function: *mut *mut c_void,
    _flags: c_ulonglong,
    status: *mut c_int,
) -> Code {
    entry_point(name, function, status)
}

fn entry_point(name: *const c_char, function: *mut *mut c_void, status: *mut c_int) -> Code {
    call(|_| {
        if name.is_null() {
            return Err(codes::INVALID_VALUE);
        }
        // SAFETY: not null, and a name is a C string.
        let name = unsafe { CStr::from_ptr(name) };
        let found = crate::exports::find(name);
        if !status.is_null() {
            put(status, c_int::from(found.is_none()))?;
        }
        put(function, found.unwrap_or(std::ptr::null_mut()))
    })
}

//! Copies and fills, as a C program calls them, and memory of the host that is made for them.
//!
//! Decides which side of a copy is a device's. A copy is done at once, also an asynchronous one: on a stream that is kept busy it
//! would have to wait, and is refused.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ffi::{c_int, c_uint, c_void};

use crate::codes;
use crate::contents::Nothing;
use crate::world::{Runtime, call};

type Code = c_int;

/// `cudaMemcpyDefault`: the addresses tell which way.
const DEFAULT: c_int = 4;

/// The first address that no program of this machine can have for its own.
const END_OF_HOST: u64 = 1 << 47;

/// Alignment of memory of the host: a page of its.
const HOST_PAGE: usize = 4096;

impl Runtime {
    /// What `bytes` at `address` are: memory of a device, or the host's.
    fn is_device(&self, call: &'static str, address: u64, is_said: Option<bool>) -> Result<bool, (&'static str, u64)> {
        let is_there = self.contents.as_ref().is_some_and(|contents| contents.has(address));
        match is_said {
            Some(true) if !is_there => Err((call, address)),
            None | Some(false) if !is_there && address >= END_OF_HOST => Err((call, address)),
            said => Ok(said.unwrap_or(is_there)),
        }
    }

    fn nothing<T>(&mut self, (call, address): (&'static str, u64)) -> Result<T, i32> {
        self.misused(call, format!("there is no memory at {address:#x}"), codes::INVALID_VALUE)
    }

    /// Refuses where contents are not kept, or work would have to wait.
    fn ready(&mut self, call: &'static str, stream: Option<u64>) -> Result<(), i32> {
        self.current()?;
        if self.contents.is_none() {
            self.note_unsupported(call.to_owned());
            return Err(codes::NOT_SUPPORTED);
        }
        match stream {
            None => {
                let default = self.real(0)?;
                self.current()?.wait_stream(default).map_err(|error| codes::of(&error))
            }
            Some(stream) if self.is_idle(stream)? && !self.is_capturing(stream) => Ok(()),
            Some(_) => {
                self.note_unsupported(format!("{call} on a stream that is kept busy, or captures"));
                Err(codes::NOT_SUPPORTED)
            }
        }
    }

    fn copy(&mut self, call: &'static str, to: u64, from: u64, bytes: u64, kind: c_int) -> Result<(), i32> {
        let said: [Option<bool>; 2] = match kind {
            0 => [Some(false), Some(false)],
            1 => [Some(true), Some(false)],
            2 => [Some(false), Some(true)],
            3 => [Some(true), Some(true)],
            DEFAULT => [None, None],
            _ => return Err(codes::INVALID_VALUE),
        };
        if bytes == 0 {
            return Ok(());
        }
        let sides = self.is_device(call, to, said[0]).and_then(|to| Ok((to, self.is_device(call, from, said[1])?)));
        let sides = match sides {
            Ok(sides) => sides,
            Err(place) => return self.nothing(place),
        };
        let Some(contents) = self.contents.as_mut() else { return Err(codes::NOT_SUPPORTED) };
        let length = usize::try_from(bytes).map_err(|_| codes::INVALID_VALUE)?;
        let (host_to, host_from) = (pointer(to), pointer(from).cast_const());
        let done = match sides {
            (true, true) => contents.copy(to, from, bytes),
            // SAFETY: the program says that so many bytes of its own are there to be read.
            (true, false) => contents.write(to, unsafe { std::slice::from_raw_parts(host_from, length) }),
            (false, true) => contents.check(from, bytes).and_then(|()| {
                // SAFETY: the program says that so many bytes of its own are there to be written.
                contents.read(from, unsafe { std::slice::from_raw_parts_mut(host_to, length) })
            }),
            (false, false) => {
                // SAFETY: the program says that both are its own.
                unsafe { std::ptr::copy(host_from, host_to, length) };
                Ok(())
            }
        };
        match done {
            Ok(()) => Ok(()),
            Err(Nothing(address)) => self.nothing((call, address)),
        }
    }

    fn fill(&mut self, call: &'static str, to: u64, value: c_int, bytes: u64) -> Result<(), i32> {
        let Some(contents) = self.contents.as_mut() else { return Err(codes::NOT_SUPPORTED) };
        // As CUDA: the lowest byte.
        match contents.fill(to, bytes, value as u8) {
            Ok(()) => Ok(()),
            Err(Nothing(address)) => self.nothing((call, address)),
        }
    }
}

fn pointer(address: u64) -> *mut u8 {
    std::ptr::with_exposed_provenance_mut(address as usize) // addresses have 64 bits here
}

pub(crate) extern "C" fn memcpy(to: u64, from: u64, bytes: usize, kind: c_int) -> Code {
    const NAME: &str = "cudaMemcpy";
    call(|runtime| {
        runtime.ready(NAME, None)?;
        runtime.copy(NAME, to, from, bytes as u64, kind)
    })
}

pub(crate) extern "C" fn memcpy_async(to: u64, from: u64, bytes: usize, kind: c_int, stream: u64) -> Code {
    const NAME: &str = "cudaMemcpyAsync";
    call(|runtime| {
        runtime.ready(NAME, Some(stream))?;
        runtime.copy(NAME, to, from, bytes as u64, kind)
    })
}

pub(crate) extern "C" fn memcpy_peer_async(
    to: u64,
    _to_device: c_int,
    from: u64,
    _from_device: c_int,
    bytes: usize,
    stream: u64,
) -> Code {
    const NAME: &str = "cudaMemcpyPeerAsync";
    call(|runtime| {
        runtime.ready(NAME, Some(stream))?;
        runtime.copy(NAME, to, from, bytes as u64, 3)
    })
}

/// Rows of `width` bytes, each a pitch after the one before.
pub(crate) extern "C" fn memcpy_2d_async(
    to: u64,
    to_pitch: usize,
    from: u64,
    from_pitch: usize,
    width: usize,
    height: usize,
    kind: c_int,
    stream: u64,
) -> Code {
    const NAME: &str = "cudaMemcpy2DAsync";
    call(|runtime| {
        runtime.ready(NAME, Some(stream))?;
        if width > to_pitch || width > from_pitch {
            return Err(codes::INVALID_VALUE);
        }
        let at = |base: u64, pitch: usize, row: usize| {
            let offset = pitch.checked_mul(row).ok_or(codes::INVALID_VALUE)?;
            base.checked_add(offset as u64).ok_or(codes::INVALID_VALUE)
        };
        (0..height).try_for_each(|row| {
            runtime.copy(NAME, at(to, to_pitch, row)?, at(from, from_pitch, row)?, width as u64, kind)
        })
    })
}

pub(crate) extern "C" fn memset(to: u64, value: c_int, bytes: usize) -> Code {
    const NAME: &str = "cudaMemset";
    call(|runtime| {
        runtime.ready(NAME, None)?;
        runtime.fill(NAME, to, value, bytes as u64)
    })
}

pub(crate) extern "C" fn memset_async(to: u64, value: c_int, bytes: usize, stream: u64) -> Code {
    const NAME: &str = "cudaMemsetAsync";
    call(|runtime| {
        runtime.ready(NAME, Some(stream))?;
        runtime.fill(NAME, to, value, bytes as u64)
    })
}

fn layout(bytes: usize) -> Result<Layout, i32> {
    Layout::from_size_align(bytes.max(1), HOST_PAGE).map_err(|_| codes::INVALID_VALUE)
}

/// `cudaHostAlloc`: memory of the host's, aligned to its pages.
pub(crate) extern "C" fn host_alloc(pointer: *mut *mut c_void, bytes: usize, _flags: c_uint) -> Code {
    call(|runtime| {
        runtime.current()?;
        if pointer.is_null() {
            return Err(codes::INVALID_VALUE);
        }
        // SAFETY: the layout has at least one byte.
        let memory = unsafe { alloc_zeroed(layout(bytes)?) };
        if memory.is_null() {
            return Err(codes::OUT_OF_MEMORY);
        }
        runtime.pinned.insert(memory.expose_provenance(), (bytes, true));
        // SAFETY: not null, and the caller's room for a pointer.
        unsafe { pointer.write(memory.cast()) };
        Ok(())
    })
}

pub(crate) extern "C" fn free_host(pointer: *mut c_void) -> Code {
    call(|runtime| {
        if pointer.is_null() {
            return Ok(());
        }
        let at = pointer.addr();
        let Some((bytes, true)) = runtime.pinned.get(&at).copied() else {
            let what = format!("no memory of the host was made at {at:#x}");
            return runtime.misused("cudaFreeHost", what, codes::INVALID_VALUE);
        };
        runtime.pinned.remove(&at);
        // SAFETY: it was got with this layout, and is forgotten as of now.
        unsafe { dealloc(pointer.cast(), layout(bytes)?) };
        Ok(())
    })
}

/// `cudaHostRegister`: memory of the program's own, from now on known.
pub(crate) extern "C" fn host_register(pointer: *mut c_void, bytes: usize, _flags: c_uint) -> Code {
    const ALREADY_REGISTERED: c_int = 712;
    call(|runtime| {
        runtime.current()?;
        if pointer.is_null() || bytes == 0 {
            return Err(codes::INVALID_VALUE);
        }
        let at = pointer.addr();
        if runtime.pinned_around(at).is_some() {
            return Err(ALREADY_REGISTERED);
        }
        runtime.pinned.insert(at, (bytes, false));
        Ok(())
    })
}

pub(crate) extern "C" fn host_unregister(pointer: *mut c_void) -> Code {
    const NOT_REGISTERED: c_int = 713;
    call(|runtime| match runtime.pinned.get(&pointer.addr()) {
        Some((_, false)) => {
            runtime.pinned.remove(&pointer.addr());
            Ok(())
        }
        _ => Err(NOT_REGISTERED),
    })
}

/// `cudaPointerAttributes` as far as every CUDA since 12.0 has it: 24 bytes.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PointerAttributes {
    /// Unregistered 0, of the host 1, of a device 2.
    pub(crate) kind: c_int,
    pub(crate) device: c_int,
    pub(crate) on_device: usize,
    pub(crate) on_host: usize,
}

pub(crate) extern "C" fn pointer_get_attributes(into: *mut PointerAttributes, pointer: usize) -> Code {
    /// `cudaInvalidDeviceId` is -2; the runtime answers so for memory of nobody's.
    const NO_DEVICE: c_int = -2;
    call(|runtime| {
        if into.is_null() {
            return Err(codes::INVALID_VALUE);
        }
        let found = if let Some(device) = runtime.device_of_memory(pointer as u64) {
            PointerAttributes { kind: 2, device: device as c_int, on_device: pointer, on_host: 0 }
        } else if runtime.pinned_around(pointer).is_some() {
            let device = crate::world::current_device() as c_int;
            PointerAttributes { kind: 1, device, on_device: pointer, on_host: pointer }
        } else {
            PointerAttributes { kind: 0, device: NO_DEVICE, on_device: 0, on_host: pointer }
        };
        // SAFETY: not null, and the caller's structure begins with these 24 bytes.
        unsafe { into.write(found) };
        Ok(())
    })
}

//! A shared library of somebody else's, loaded into this process, and calls of its functions.
//!
//! Decides how each function is called, and that an exception that leaves one ends the process with a word about it. What the
//! functions mean is the target's. All that is `unsafe` about plugins is here.

use std::collections::BTreeMap;
use std::ffi::{c_int, c_ulonglong, c_void};
use std::path::{Path, PathBuf};
use std::ptr::without_provenance_mut;
use std::sync::{Mutex, PoisonError};

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW, Symbol};

use super::options::Hook;
use super::streams;

type Alloc = unsafe extern "C-unwind" fn(isize, c_int, *mut c_void) -> *mut c_void;
type Free = unsafe extern "C-unwind" fn(*mut c_void, isize, c_int, *mut c_void);
type OfCount = unsafe extern "C-unwind" fn(c_int);
type OfFraction = unsafe extern "C-unwind" fn(f64, c_int);
type OfNothing = unsafe extern "C-unwind" fn();
type OfPool = unsafe extern "C-unwind" fn(c_int, c_ulonglong, c_ulonglong);
type OfStream = unsafe extern "C-unwind" fn(*mut c_void, *mut c_void);
type OfSize = unsafe extern "C-unwind" fn(c_int, usize);
type IsIdle = extern "C" fn(c_int, *mut c_void) -> c_int;
type Synchronize = extern "C" fn(c_int, *mut c_void);
type OfStreams = unsafe extern "C-unwind" fn(IsIdle, Synchronize);

/// One call of a function of the library's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Call {
    Alloc { bytes: u64, device: i32, stream: usize },
    Free { address: u64, bytes: u64, device: i32, stream: usize },
    Init { devices: i32 },
    MemoryFraction { fraction: f64, device: i32 },
    Reset,
    Trim,
    BeginAllocateToPool { device: i32, pool: (u64, u64) },
    EndAllocateToPool { device: i32, pool: (u64, u64) },
    ReleasePool { device: i32, pool: (u64, u64) },
    RecordStream { address: u64, stream: usize },
    Device { device: i32, bytes: u64 },
    Streams,
}

/// The functions that a library has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Functions {
    alloc: Alloc,
    free: Free,
    init: Option<OfCount>,
    memory_fraction: Option<OfFraction>,
    reset: Option<OfNothing>,
    trim: Option<OfNothing>,
    begin_allocate_to_pool: Option<OfPool>,
    end_allocate_to_pool: Option<OfPool>,
    release_pool: Option<OfPool>,
    record_stream: Option<OfStream>,
    device: Option<OfSize>,
    streams: Option<OfStreams>,
}

/// Libraries are never unloaded: threads of theirs may run, and what runs at their end is not ours to time.
static LOADED: Mutex<BTreeMap<PathBuf, Library>> = Mutex::new(BTreeMap::new());

/// Loads the library, if it is not loaded yet, and finds its functions.
///
/// # Errors
/// In the loader's words: something that it needs is missing, or it lacks a function after all.
pub(super) fn load(path: &Path, symbols: &[(Hook, String)]) -> Result<Functions, libloading::Error> {
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if !loaded.contains_key(path) {
        // SAFETY: code of the library runs from here on. This process is there for it alone and can be lost.
        let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }?;
        loaded.insert(path.to_owned(), library);
    }
    let library = &loaded[path];
    let name = |hook: Hook| symbols.iter().find(|(known, _)| *known == hook).map(|(_, symbol)| symbol.as_str());
    Ok(Functions {
        alloc: required(library, name(Hook::Alloc))?,
        free: required(library, name(Hook::Free))?,
        init: optional(library, name(Hook::Init))?,
        memory_fraction: optional(library, name(Hook::MemoryFraction))?,
        reset: optional(library, name(Hook::Reset))?,
        trim: optional(library, name(Hook::Trim))?,
        begin_allocate_to_pool: optional(library, name(Hook::BeginAllocateToPool))?,
        end_allocate_to_pool: optional(library, name(Hook::EndAllocateToPool))?,
        release_pool: optional(library, name(Hook::ReleasePool))?,
        record_stream: optional(library, name(Hook::RecordStream))?,
        device: optional(library, name(Hook::Device))?,
        streams: optional(library, name(Hook::Streams))?,
    })
}

fn required<F: Copy>(library: &Library, name: Option<&str>) -> Result<F, libloading::Error> {
    // SAFETY: whoever wrote the library says by its name that the function has this form; `F` is a function pointer.
    let symbol: Symbol<F> = unsafe { library.get(name.unwrap_or_default()) }?;
    Ok(*symbol)
}

fn optional<F: Copy>(library: &Library, name: Option<&str>) -> Result<Option<F>, libloading::Error> {
    name.map(|name| required(library, Some(name))).transpose()
}

/// Ends the process if it is dropped: an exception is on its way through the caller, who knows nothing of exceptions.
struct Unwinding(&'static str);

impl Drop for Unwinding {
    fn drop(&mut self) {
        eprintln!("an exception left the library's {}: nobody above it catches any", self.0);
        std::process::abort();
    }
}

impl Functions {
    pub(super) fn has(&self, hook: Hook) -> bool {
        match hook {
            Hook::Alloc | Hook::Free => true,
            Hook::Init => self.init.is_some(),
            Hook::MemoryFraction => self.memory_fraction.is_some(),
            Hook::Reset => self.reset.is_some(),
            Hook::Trim => self.trim.is_some(),
            Hook::BeginAllocateToPool => self.begin_allocate_to_pool.is_some(),
            Hook::EndAllocateToPool => self.end_allocate_to_pool.is_some(),
            Hook::ReleasePool => self.release_pool.is_some(),
            Hook::RecordStream => self.record_stream.is_some(),
            Hook::Device => self.device.is_some(),
            Hook::Streams => self.streams.is_some(),
        }
    }

    /// Calls a function; one that is not there does nothing. Answers the address that `alloc` gives, else 0.
    pub(super) fn call(&self, call: Call) -> u64 {
        let guard = Unwinding(call.name());
        // SAFETY: the forms are those that the library's author gave the functions; what they do in this process may end it,
        // and nothing else: it is there for the library alone.
        let answer = unsafe { self.call_it(call) };
        std::mem::forget(guard);
        answer
    }

    /// # Safety
    /// Code of somebody else's runs, which may do anything to this process.
    unsafe fn call_it(&self, call: Call) -> u64 {
        // PyTorch hands a `size_t` to a parameter that is an `ssize_t`: the bits are the same.
        let size = |bytes: u64| bytes as isize;
        let pointer = |address: u64| without_provenance_mut::<c_void>(address as usize);
        let stream = without_provenance_mut::<c_void>;
        // SAFETY: as the caller's.
        unsafe {
            match call {
                Call::Alloc { bytes, device, stream: on } => {
                    return (self.alloc)(size(bytes), device, stream(on)).addr() as u64;
                }
                Call::Free { address, bytes, device, stream: on } => {
                    (self.free)(pointer(address), size(bytes), device, stream(on));
                }
                Call::Init { devices } => {
                    if let Some(init) = self.init {
                        init(devices)
                    }
                }
                Call::MemoryFraction { fraction, device } => {
                    if let Some(set) = self.memory_fraction {
                        set(fraction, device)
                    }
                }
                Call::Reset => {
                    if let Some(reset) = self.reset {
                        reset()
                    }
                }
                Call::Trim => {
                    if let Some(trim) = self.trim {
                        trim()
                    }
                }
                Call::BeginAllocateToPool { device, pool: (one, two) } => {
                    if let Some(begin) = self.begin_allocate_to_pool {
                        begin(device, one, two)
                    }
                }
                Call::EndAllocateToPool { device, pool: (one, two) } => {
                    if let Some(end) = self.end_allocate_to_pool {
                        end(device, one, two)
                    }
                }
                Call::ReleasePool { device, pool: (one, two) } => {
                    if let Some(release) = self.release_pool {
                        release(device, one, two)
                    }
                }
                Call::RecordStream { address, stream: on } => {
                    if let Some(record) = self.record_stream {
                        record(pointer(address), stream(on))
                    }
                }
                Call::Device { device, bytes } => {
                    if let Some(set) = self.device {
                        set(device, bytes as usize)
                    }
                }
                Call::Streams => {
                    if let Some(take) = self.streams {
                        take(streams::is_idle, streams::synchronize)
                    }
                }
            }
        }
        0
    }
}

impl Call {
    /// What is called, as the options name it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Call::Alloc { .. } => "alloc",
            Call::Free { .. } => "free",
            Call::Init { .. } => "init",
            Call::MemoryFraction { .. } => "memory_fraction",
            Call::Reset => "reset",
            Call::Trim => "trim",
            Call::BeginAllocateToPool { .. } => "begin_allocate_to_pool",
            Call::EndAllocateToPool { .. } => "end_allocate_to_pool",
            Call::ReleasePool { .. } => "release_pool",
            Call::RecordStream { .. } => "record_stream",
            Call::Device { .. } => "poolproof_device",
            Call::Streams => "poolproof_streams",
        }
    }
}

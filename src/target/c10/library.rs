//! PyTorch's allocator library and the shim in front of it, loaded into this process.
//!
//! Decides the order in which libraries are opened, and how the shim's functions are called. All that is `unsafe` about them
//! is here. What the functions mean is `workers/c10/shim.cpp`'s to say.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::PathBuf;
use std::sync::OnceLock;

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_LAZY, RTLD_NOW};

use crate::cudart::{self, Forwarder};
use crate::op::Stats;

type Status = c_int;
type OfDevice = unsafe extern "C" fn(c_int) -> Status;
type OfPool = unsafe extern "C" fn(c_int, *const u64) -> Status;
type Filter = extern "C" fn(*mut c_void, u64) -> c_int;
type List = unsafe extern "C" fn(*mut *const i64, *mut usize) -> Status;

/// Why the shim refused a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Thrown {
    pub(super) kind: ThrownKind,
    /// What the exception says.
    pub(super) message: String,
}

/// What was thrown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ThrownKind {
    /// `c10::OutOfMemoryError`.
    OutOfMemory,
    /// `c10::Error`, or something else that says what it is.
    Other,
    /// The release has no such function.
    Lacking,
}

const _: () = assert!(size_of::<Stats>() == Stats::KEYS * size_of::<i64>());

const OUT_OF_MEMORY: Status = 1;
const LACKING: Status = 5;

/// The shim's functions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shim {
    open: OfDevice,
    message: unsafe extern "C" fn() -> *const c_char,
    alloc: unsafe extern "C" fn(c_int, u64, c_int, u64, *mut u64) -> Status,
    free: unsafe extern "C" fn(u64, c_int) -> Status,
    record_stream: unsafe extern "C" fn(u64, c_int, u64) -> Status,
    current_stream: unsafe extern "C" fn(c_int, u64) -> Status,
    empty_cache: unsafe extern "C" fn() -> Status,
    set_fraction: unsafe extern "C" fn(c_int, f64) -> Status,
    get_fraction: unsafe extern "C" fn(c_int, *mut f64) -> Status,
    reset_peak: OfDevice,
    reset_accumulated: OfDevice,
    stats: unsafe extern "C" fn(c_int, *mut i64, usize, *mut usize) -> Status,
    snapshot: List,
    history: OfDevice,
    take_events: List,
    settings: unsafe extern "C" fn(*const c_char) -> Status,
    enable: OfDevice,
    pool_create: unsafe extern "C" fn(c_int, *mut u64) -> Status,
    pool_destroy: unsafe extern "C" fn(*const u64) -> Status,
    use_on_oom: unsafe extern "C" fn(c_int, *const u64, c_int) -> Status,
    no_split: OfPool,
    begin_to_pool: unsafe extern "C" fn(c_int, *const u64, Filter, *mut c_void) -> Status,
    end_to_pool: OfPool,
    release_pool: OfPool,
    capture_begin: OfDevice,
    capture_end: OfDevice,
}

/// A process has one release of it.
static SHIM: OnceLock<Result<Shim, String>> = OnceLock::new();

/// Opens a release's libraries over the harness's runtime, once a process, in the order in which they are given: three that
/// forward, PyTorch's two, the shim. A second release is not looked at.
///
/// # Errors
/// In the loader's words.
pub(super) fn load(libraries: &[PathBuf; 6]) -> Result<Shim, String> {
    SHIM.get_or_init(|| open_all(libraries).map_err(|error| error.to_string())).clone()
}

/// The same once that was done.
pub(super) fn loaded() -> Option<Shim> {
    SHIM.get()?.clone().ok()
}

fn open_all(libraries: &[PathBuf; 6]) -> Result<Shim, libloading::Error> {
    let [runtime, driver, nvml, c10, c10_cuda, shim] = libraries;
    let open = |path: &PathBuf| {
        // SAFETY: code of the library runs from here on. This process is there for it and can be lost.
        let bound = |when| unsafe { Library::open(Some(path), when | RTLD_GLOBAL) };
        // Names that are bound now are bound for all copies of this process, each of which would look for them again; a release
        // that lacks one it may never call is opened all the same.
        bound(RTLD_NOW).or_else(|_| bound(RTLD_LAZY))
    };
    // What calls CUDA finds these by the names that it was linked with.
    for path in [runtime, driver, nvml] {
        let library = open(path)?;
        // SAFETY: they are built from `workers/c10/forward.c`, which exports these three, and nothing calls them yet.
        unsafe {
            let names = *library.get::<*const *const c_char>(b"poolproof_names")?;
            let slots = *library.get::<*mut *mut c_void>(b"poolproof_slots")?;
            let unbound = *library.get::<*mut *mut c_void>(b"poolproof_unbound")?;
            cudart::bind(&Forwarder { names, slots, unbound });
        }
        std::mem::forget(library);
    }
    for path in [c10, c10_cuda] {
        std::mem::forget(open(path)?);
    }
    let shim = open(shim)?;
    macro_rules! functions {
        ($($field:ident: $symbol:literal,)+) => {
            // SAFETY: the shim is built from `workers/c10/shim.cpp`, whose functions have these forms.
            unsafe { Shim { $($field: *shim.get($symbol)?,)+ } }
        };
    }
    let functions = functions! {
        open: b"pp_open",
        message: b"pp_message",
        alloc: b"pp_alloc",
        free: b"pp_free",
        record_stream: b"pp_record_stream",
        current_stream: b"pp_current_stream",
        empty_cache: b"pp_empty_cache",
        set_fraction: b"pp_set_fraction",
        get_fraction: b"pp_get_fraction",
        reset_peak: b"pp_reset_peak",
        reset_accumulated: b"pp_reset_accumulated",
        stats: b"pp_stats",
        snapshot: b"pp_snapshot",
        history: b"pp_history",
        take_events: b"pp_take_events",
        settings: b"pp_settings",
        enable: b"pp_enable",
        pool_create: b"pp_pool_create",
        pool_destroy: b"pp_pool_destroy",
        use_on_oom: b"pp_use_on_oom",
        no_split: b"pp_no_split",
        begin_to_pool: b"pp_begin_to_pool",
        end_to_pool: b"pp_end_to_pool",
        release_pool: b"pp_release_pool",
        capture_begin: b"pp_capture_begin",
        capture_end: b"pp_capture_end",
    };
    // SAFETY: as of the functions above. A shim that was built for an older program has none, and only costs more.
    let prepare = unsafe { shim.get::<unsafe extern "C" fn() -> Status>(b"pp_prepare") };
    if let Ok(prepare) = prepare {
        // SAFETY: as everywhere in `impl Shim`. Nothing that was not made ready is missed but time.
        let _ = unsafe { prepare() };
    }
    std::mem::forget(shim);
    Ok(functions)
}

/// Sets a variable that PyTorch reads when it begins.
pub(super) fn set_variable(name: &str, value: Option<&str>) {
    // SAFETY: a sequence's process has one thread.
    unsafe {
        match value {
            Some(value) => std::env::set_var(name, value),
            None => std::env::remove_var(name),
        }
    }
}

/// A pool as the shim names it.
pub(super) type PoolId = (u64, u64);

/// Which streams' requests go to a pool: what this answers for a number of ours and a stream.
pub(super) type Chooses = Filter;

macro_rules! of_device {
    ($($(#[$meta:meta])* $name:ident;)+) => {
        $($(#[$meta])*
        pub(super) fn $name(&self, device: i32) -> Result<(), Thrown> {
            // SAFETY: as everywhere in this `impl`.
            self.answer(unsafe { (self.$name)(device) })
        })+
    };
}

macro_rules! of_pool {
    ($($(#[$meta:meta])* $name:ident;)+) => {
        $($(#[$meta])*
        pub(super) fn $name(&self, device: i32, pool: PoolId) -> Result<(), Thrown> {
            // SAFETY: as everywhere in this `impl`; the two numbers are read before the call returns.
            self.answer(unsafe { (self.$name)(device, [pool.0, pool.1].as_ptr()) })
        })+
    };
}

// SAFETY of every call here: the forms are the shim's, it catches every exception, and what else the allocator does to this
// process may end it and nothing more: it is there for the allocator alone.
impl Shim {
    of_device! {
        open;
        reset_peak;
        reset_accumulated;
        history;
        enable;
        capture_begin;
        capture_end;
    }

    of_pool! {
        no_split;
        end_to_pool;
        release_pool;
    }

    fn answer(&self, status: Status) -> Result<(), Thrown> {
        if status == 0 {
            return Ok(());
        }
        let kind = match status {
            OUT_OF_MEMORY => ThrownKind::OutOfMemory,
            LACKING => ThrownKind::Lacking,
            _ => ThrownKind::Other,
        };
        // SAFETY: the text is the shim's own and stands until its next call.
        let message = unsafe { CStr::from_ptr((self.message)()) };
        // Where there is nothing to replace, as always nearly, checking is quicker than looking for what to replace.
        let message = message.to_str().map_or_else(|_| message.to_string_lossy().into_owned(), str::to_owned);
        Err(Thrown { kind, message })
    }

    pub(super) fn alloc(&self, device: i32, stream: u64, is_tensor: bool, bytes: u64) -> Result<u64, Thrown> {
        let mut address = 0;
        // SAFETY: as everywhere in this `impl`.
        self.answer(unsafe { (self.alloc)(device, stream, c_int::from(is_tensor), bytes, &mut address) })?;
        Ok(address)
    }

    pub(super) fn free(&self, address: u64, is_tensor: bool) -> Result<(), Thrown> {
        // SAFETY: as everywhere in this `impl`.
        self.answer(unsafe { (self.free)(address, c_int::from(is_tensor)) })
    }

    pub(super) fn record_stream(&self, address: u64, device: i32, stream: u64) -> Result<(), Thrown> {
        // SAFETY: as everywhere in this `impl`.
        self.answer(unsafe { (self.record_stream)(address, device, stream) })
    }

    /// The stream of the thread on a device; 0 is the default one.
    pub(super) fn current_stream(&self, device: i32, stream: u64) -> Result<(), Thrown> {
        // SAFETY: as everywhere in this `impl`.
        self.answer(unsafe { (self.current_stream)(device, stream) })
    }

    pub(super) fn empty_cache(&self) -> Result<(), Thrown> {
        // SAFETY: as everywhere in this `impl`.
        self.answer(unsafe { (self.empty_cache)() })
    }

    pub(super) fn set_fraction(&self, device: i32, fraction: f64) -> Result<(), Thrown> {
        // SAFETY: as everywhere in this `impl`.
        self.answer(unsafe { (self.set_fraction)(device, fraction) })
    }

    pub(super) fn fraction(&self, device: i32) -> Result<f64, Thrown> {
        let mut fraction = 0.0;
        // SAFETY: as everywhere in this `impl`.
        self.answer(unsafe { (self.get_fraction)(device, &mut fraction) })?;
        Ok(fraction)
    }

    /// The 122 figures of PyTorch 2.11, written where they belong: every operation is followed by this for each device, and
    /// what later releases count beside them has no room there.
    pub(super) fn stats(&self, device: i32, into: &mut Stats) -> Result<(), Thrown> {
        let mut written = 0;
        // SAFETY: as everywhere in this `impl`; `Stats` is so many numbers in memory, which the shim has in the same order, and
        // no more is written than there is room for.
        self.answer(unsafe { (self.stats)(device, std::ptr::from_mut(into).cast(), Stats::KEYS, &mut written) })
    }

    pub(super) fn snapshot(&self) -> Result<&[i64], Thrown> {
        self.list(self.snapshot)
    }

    pub(super) fn take_events(&self) -> Result<&[i64], Thrown> {
        self.list(self.take_events)
    }

    /// A list that is the shim's until it is asked again.
    fn list(&self, function: List) -> Result<&[i64], Thrown> {
        let (mut data, mut count) = (std::ptr::null(), 0);
        // SAFETY: as everywhere in this `impl`.
        self.answer(unsafe { function(&mut data, &mut count) })?;
        if data.is_null() {
            return Ok(&[]);
        }
        // SAFETY: the shim has that many numbers there, and changes them in its next call of the same function alone.
        Ok(unsafe { std::slice::from_raw_parts(data, count) })
    }

    pub(super) fn change_settings(&self, text: &str) -> Result<(), Thrown> {
        let text = CString::new(text.replace('\0', "")).unwrap_or_default();
        // SAFETY: as everywhere in this `impl`; the text is read before the call returns.
        self.answer(unsafe { (self.settings)(text.as_ptr()) })
    }

    /// Makes a pool; answers its id.
    pub(super) fn pool_create(&self, device: i32) -> Result<PoolId, Thrown> {
        let mut id = [0; 2];
        // SAFETY: as everywhere in this `impl`; two numbers are written.
        self.answer(unsafe { (self.pool_create)(device, id.as_mut_ptr()) })?;
        Ok((id[0], id[1]))
    }

    pub(super) fn pool_destroy(&self, pool: PoolId) -> Result<(), Thrown> {
        // SAFETY: as everywhere in this `impl`; the two numbers are read before the call returns.
        self.answer(unsafe { (self.pool_destroy)([pool.0, pool.1].as_ptr()) })
    }

    pub(super) fn use_on_oom(&self, device: i32, pool: PoolId) -> Result<(), Thrown> {
        // SAFETY: as everywhere in this `impl`; the two numbers are read before the call returns.
        self.answer(unsafe { (self.use_on_oom)(device, [pool.0, pool.1].as_ptr(), 1) })
    }

    pub(super) fn begin_to_pool(&self, device: i32, pool: PoolId, chooses: Chooses, user: usize) -> Result<(), Thrown> {
        let user = std::ptr::without_provenance_mut(user);
        // SAFETY: as everywhere in this `impl`; the filter reads its user's pointer as a number.
        self.answer(unsafe { (self.begin_to_pool)(device, [pool.0, pool.1].as_ptr(), chooses, user) })
    }
}

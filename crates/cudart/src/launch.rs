//! Kernels: a program's libraries register them when they are loaded, and none is ever run.
//!
//! Decides that a launch is refused and under which name that is kept. Registering succeeds: whoever only has kernels and launches
//! none must go on.

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::{Mutex, PoisonError};

use rustc_hash::FxHashMap;

use crate::exports::unsupported;
use crate::{codes, world};

type Code = c_int;

/// A kernel by the function of the host that stands for it, and where its name lies in its library.
#[derive(Debug, Clone, Copy)]
struct Kernel {
    host: usize,
    name: usize,
}

/// Kernels of each binary that is loaded, by a handle.
#[derive(Debug, Default)]
struct Registered {
    kernels: FxHashMap<usize, Vec<Kernel>>,
    next: usize,
}

static REGISTERED: Mutex<Option<Registered>> = Mutex::new(None);

fn registered<R>(act: impl FnOnce(&mut Registered) -> R) -> R {
    act(REGISTERED.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default())
}

/// Handles look like addresses. Nobody follows one.
const STEP: usize = 16;

/// `__cudaRegisterFatBinary`.
pub(crate) extern "C" fn register_fat_binary(_binary: *const c_void) -> *mut c_void {
    let handle = registered(|all| {
        all.next += STEP;
        all.kernels.insert(all.next, Vec::new());
        all.next
    });
    std::ptr::without_provenance_mut(handle)
}

pub(crate) extern "C" fn register_fat_binary_end(_handle: *mut c_void) {}

/// The library is unloaded, and with it the names of its kernels.
pub(crate) extern "C" fn unregister_fat_binary(handle: *mut c_void) {
    registered(|all| all.kernels.remove(&handle.addr()));
}

/// `__cudaRegisterFunction`; its other arguments say how it would be launched.
pub(crate) extern "C" fn register_function(
    handle: *mut c_void,
    host: *const c_void,
    _device: *mut c_char,
    name: *const c_char,
) {
    let kernel = Kernel { host: host.addr(), name: name.expose_provenance() };
    registered(|all| all.kernels.entry(handle.addr()).or_default().push(kernel));
}

/// `__cudaRegisterVar`: a variable that only kernels could reach.
pub(crate) extern "C" fn register_variable() {}

/// `__cudaInitModule`: it is asked before variables are used that host and device share, which there are none of.
pub(crate) extern "C" fn init_module(_handle: *mut c_void) -> c_char {
    unsupported("__cudaInitModule");
    0
}

/// The name of a kernel in its library, as the compiler mangled it.
fn name_of(host: usize) -> Option<String> {
    registered(|all| {
        let kernel = all.kernels.values().flatten().find(|kernel| kernel.host == host)?;
        let name = std::ptr::with_exposed_provenance::<c_char>(kernel.name);
        if name.is_null() {
            return None;
        }
        // SAFETY: the library that registered the name is loaded: it takes its kernels back before it goes. A name is a C string.
        Some(unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned())
    })
}

fn refuse(function: &str, kernel: *const c_void) -> Code {
    match name_of(kernel.addr()) {
        Some(name) => unsupported(&format!("{function} of {name}")),
        None => unsupported(function),
    };
    world::set_latest(codes::NOT_SUPPORTED);
    codes::NOT_SUPPORTED
}

/// `cudaLaunchKernel`, whose other arguments say how.
pub(crate) extern "C" fn launch_kernel(kernel: *const c_void) -> Code {
    refuse("cudaLaunchKernel", kernel)
}

/// `cudaLaunchCooperativeKernel`.
pub(crate) extern "C" fn launch_cooperative_kernel(kernel: *const c_void) -> Code {
    refuse("cudaLaunchCooperativeKernel", kernel)
}

/// `__cudaLaunchKernel`.
pub(crate) extern "C" fn launch_kernel_by_handle(kernel: *const c_void) -> Code {
    refuse("cudaLaunchKernel", kernel)
}

/// `cudaLaunchKernelExC`.
pub(crate) extern "C" fn launch_kernel_ex(_config: *const c_void, kernel: *const c_void) -> Code {
    refuse("cudaLaunchKernelExC", kernel)
}

/// `__cudaGetKernel`: a handle is the function of the host.
pub(crate) extern "C" fn get_kernel(handle: *mut *const c_void, host: *const c_void) -> Code {
    if handle.is_null() {
        return codes::INVALID_VALUE;
    }
    // SAFETY: not null, and the caller's room for a handle.
    unsafe { handle.write(host) };
    codes::SUCCESS
}

/// `dim3`: 12 bytes.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent(pub(crate) [c_uint; 3]);

/// How the next launch of the thread is to be.
type Configuration = (Extent, Extent, usize, *mut c_void);

thread_local! {
    static PUSHED: Cell<Option<Configuration>> = const { Cell::new(None) };
}

/// `__cudaPushCallConfiguration`: the launch itself comes later. 0 lets it come.
pub(crate) extern "C" fn push_call_configuration(
    grid: Extent,
    block: Extent,
    shared: usize,
    stream: *mut c_void,
) -> c_uint {
    PUSHED.set(Some((grid, block, shared, stream)));
    0
}

/// `__cudaPopCallConfiguration`.
pub(crate) extern "C" fn pop_call_configuration(
    grid: *mut Extent,
    block: *mut Extent,
    shared: *mut usize,
    stream: *mut *mut c_void,
) -> Code {
    let Some(pushed) = PUSHED.take() else { return codes::INVALID_VALUE };
    if grid.is_null() || block.is_null() || shared.is_null() || stream.is_null() {
        return codes::INVALID_VALUE;
    }
    // SAFETY: none is null, and each is the caller's room for what is written.
    unsafe {
        grid.write(pushed.0);
        block.write(pushed.1);
        shared.write(pushed.2);
        stream.write(pushed.3);
    }
    codes::SUCCESS
}

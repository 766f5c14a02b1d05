//! The door to the CUDA driver: its functions, and one safe method for each of them.
//!
//! Decides whether there is a driver that can be used. Every function is looked up once, when it is opened. Codes are
//! read as plain numbers, since a newer driver may answer one that no list has.

use std::ffi::{c_char, c_int, c_uint, c_void};
use std::sync::OnceLock;

use cudarc::driver::sys;

use super::error::{Code, CudaError};
use super::library::{Devices, First, entry_points, library};

/// A context, stream, event, module, function or pool of the driver. Only handed back to the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(transparent)]
pub(super) struct Handle(pub usize);

/// The least driver: virtual memory, pools and PTX 7.0 are there since CUDA 11.2; what older ones do is not tried.
const NEEDED: c_int = 11_040;

entry_points! {
    /// What a borrower of a GPU needs. Sizes are 64 bits on every platform it exists on.
    EntryPoints {
        device_attribute = "cuDeviceGetAttribute"(*mut c_int, c_int, c_int);
        context_retain = "cuDevicePrimaryCtxRetain"(*mut Handle, c_int);
        context_set = "cuCtxSetCurrent"(Handle);
        context_sync = "cuCtxSynchronize"();
        can_access_peer = "cuDeviceCanAccessPeer"(*mut c_int, c_int, c_int);
        enable_peer = "cuCtxEnablePeerAccess"(Handle, c_uint);
        memory_info = "cuMemGetInfo_v2"(*mut u64, *mut u64);
        alloc = "cuMemAlloc_v2"(*mut u64, u64);
        free = "cuMemFree_v2"(u64);
        host_alloc = "cuMemHostAlloc"(*mut *mut c_void, u64, c_uint);
        host_address = "cuMemHostGetDevicePointer_v2"(*mut u64, *mut c_void, c_uint);
        copy_in = "cuMemcpyHtoDAsync_v2"(u64, *const c_void, u64, Handle);
        copy_out = "cuMemcpyDtoHAsync_v2"(*mut c_void, u64, u64, Handle);
        copy_within = "cuMemcpyDtoDAsync_v2"(u64, u64, u64, Handle);
        granularity = "cuMemGetAllocationGranularity"(*mut u64, *const sys::CUmemAllocationProp, c_int);
        address_reserve = "cuMemAddressReserve"(*mut u64, u64, u64, u64, u64);
        address_free = "cuMemAddressFree"(u64, u64);
        memory_create = "cuMemCreate"(*mut u64, u64, *const sys::CUmemAllocationProp, u64);
        memory_release = "cuMemRelease"(u64);
        map = "cuMemMap"(u64, u64, u64, u64, u64);
        set_access = "cuMemSetAccess"(u64, u64, *const sys::CUmemAccessDesc, u64);
        unmap = "cuMemUnmap"(u64, u64);
        stream_create = "cuStreamCreate"(*mut Handle, c_uint);
        stream_sync = "cuStreamSynchronize"(Handle);
        stream_wait = "cuStreamWaitEvent"(Handle, Handle, c_uint);
        event_create = "cuEventCreate"(*mut Handle, c_uint);
        event_record = "cuEventRecord"(Handle, Handle);
        event_query = "cuEventQuery"(Handle);
        event_sync = "cuEventSynchronize"(Handle);
        event_elapsed = "cuEventElapsedTime"(*mut f32, Handle, Handle);
        module_load = "cuModuleLoadData"(*mut Handle, *const c_void);
        module_function = "cuModuleGetFunction"(*mut Handle, Handle, *const c_char);
        launch = "cuLaunchKernel"(
            Handle, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, Handle, *mut *mut c_void, *mut *mut c_void,
        );
        pool_create = "cuMemPoolCreate"(*mut Handle, *const sys::CUmemPoolProps);
        pool_destroy = "cuMemPoolDestroy"(Handle);
        pool_trim = "cuMemPoolTrimTo"(Handle, u64);
        pool_get = "cuMemPoolGetAttribute"(Handle, c_int, *mut u64);
        pool_set = "cuMemPoolSetAttribute"(Handle, c_int, *mut u64);
        pool_alloc = "cuMemAllocFromPoolAsync"(*mut u64, u64, Handle, Handle);
        free_async = "cuMemFreeAsync"(u64, Handle);
    }
}

/// An open driver with at least one GPU.
pub(super) struct Driver {
    pub(super) listed: Devices,
    pub(super) points: EntryPoints,
    /// 13000 for CUDA 13.0.
    pub(super) version: i32,
    pub(super) devices: u32,
}

/// The driver of this process, opened once.
pub(super) fn driver() -> Result<&'static Driver, CudaError> {
    static DRIVER: OnceLock<Result<Driver, CudaError>> = OnceLock::new();
    DRIVER.get_or_init(Driver::open).as_ref().map_err(Clone::clone)
}

pub(super) fn answer(code: c_int) -> Result<(), Code> {
    if code == 0 { Ok(()) } else { Err(Code(code)) }
}

impl Driver {
    fn open() -> Result<Self, CudaError> {
        let library = library().ok_or(CudaError::NoDriver)?;
        let missing = |symbol| CudaError::SymbolMissing { symbol };
        let version = start(&First::look_up(library).map_err(missing)?)?;
        if version < NEEDED {
            return Err(CudaError::DriverTooOld { found: version, needed: NEEDED });
        }
        let listed = Devices::look_up(library).map_err(missing)?;
        let points = EntryPoints::look_up(library).map_err(missing)?;
        let mut count = 0;
        // SAFETY: writes one number.
        answer(unsafe { (listed.count)(&raw mut count) })
            .map_err(|code| CudaError::Call { call: "cuDeviceGetCount", code })?;
        match u32::try_from(count) {
            Ok(devices) if devices > 0 => Ok(Driver { listed, points, version, devices }),
            _ => Err(CudaError::NoDevice),
        }
    }
}

/// Initialises the driver and answers its version.
fn start(first: &First) -> Result<i32, CudaError> {
    // SAFETY: 0 is the only flag there is.
    match answer(unsafe { (first.init)(0) }) {
        Ok(()) => {}
        Err(Code::NO_DEVICE) => return Err(CudaError::NoDevice),
        Err(code) => return Err(CudaError::Call { call: "cuInit", code }),
    }
    let mut number = 0;
    // SAFETY: writes one number.
    answer(unsafe { (first.version)(&raw mut number) })
        .map_err(|code| CudaError::Call { call: "cuDriverGetVersion", code })?;
    Ok(number)
}

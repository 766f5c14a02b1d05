//! Which function stands behind which name, and how a library that only passes calls on is told.
//!
//! Decides what is there. A forwarding library exports the names that a program links, each a jump through a slot.

use std::ffi::{CStr, c_char, c_int, c_void};

use crate::{codes, contexts, copies, driver, launch, nvml, properties, runtime, world};

macro_rules! exports {
    ($($name:literal => $function:path,)+ unsupported: $($lacking:ident,)+) => {
        /// The address of a function by the name that programs know.
        pub(crate) fn find(name: &CStr) -> Option<*mut c_void> {
            $(
                #[expect(non_snake_case, reason = "the name is the driver's")]
                extern "C" fn $lacking() -> c_int {
                    unsupported(stringify!($lacking))
                }
            )+
            let name = name.to_str().ok()?;
            let function = match name {
                $($name => $function as *const (),)+
                $(stringify!($lacking) => $lacking as *const (),)+
                _ => return None,
            };
            Some(function.cast_mut().cast())
        }

        /// Every name that does something.
        #[cfg(test)]
        pub(crate) const NAMES: &[&str] = &[$($name),+];
    };
}

exports! {
    "cudaGetDeviceCount" => runtime::get_device_count,
    "cudaGetDevice" => runtime::get_device,
    "cudaSetDevice" => runtime::set_device,
    "cudaGetLastError" => runtime::get_last_error,
    "cudaPeekAtLastError" => runtime::peek_at_last_error,
    "cudaGetErrorName" => runtime::get_error_name,
    "cudaGetErrorString" => runtime::get_error_string,
    "cudaMalloc" => runtime::malloc,
    "cudaFree" => runtime::free,
    "cudaMemGetInfo" => runtime::mem_get_info,
    "cudaGetDeviceProperties" => properties::get_device_properties,
    "cudaGetDeviceProperties_v2" => properties::get_device_properties_v2,
    "cudaDeviceGetAttribute" => properties::device_get_attribute,
    "cudaDeviceGetPCIBusId" => properties::device_get_pci_bus_id,
    "cudaDriverGetVersion" => runtime::driver_get_version,
    "cudaRuntimeGetVersion" => runtime::driver_get_version,
    "cudaDeviceSynchronize" => runtime::device_synchronize,
    "cudaDeviceGetStreamPriorityRange" => runtime::device_get_stream_priority_range,
    "cudaDeviceCanAccessPeer" => runtime::device_can_access_peer,
    "cudaEventCreate" => runtime::event_create,
    "cudaEventCreateWithFlags" => runtime::event_create_with_flags,
    "cudaEventDestroy" => runtime::event_destroy,
    "cudaEventRecord" => runtime::event_record,
    "cudaEventRecordWithFlags" => runtime::event_record_with_flags,
    "cudaEventQuery" => runtime::event_query,
    "cudaEventSynchronize" => runtime::event_synchronize,
    "cudaStreamCreate" => runtime::stream_create,
    "cudaStreamCreateWithFlags" => runtime::stream_create_with_flags,
    "cudaStreamCreateWithPriority" => runtime::stream_create_with_priority,
    "cudaStreamDestroy" => runtime::stream_destroy,
    "cudaStreamGetPriority" => runtime::stream_get_priority,
    "cudaStreamGetFlags" => runtime::stream_get_flags,
    "cudaStreamSynchronize" => runtime::stream_synchronize,
    "cudaStreamQuery" => runtime::stream_query,
    "cudaStreamWaitEvent" => runtime::stream_wait_event,
    "cudaStreamIsCapturing" => runtime::stream_is_capturing,
    "cudaStreamGetCaptureInfo_v2" => runtime::stream_get_capture_info,
    "cudaStreamGetCaptureInfo" => runtime::stream_get_capture_info_with_edges,
    "cudaThreadExchangeStreamCaptureMode" => runtime::thread_exchange_stream_capture_mode,
    "cudaGetDriverEntryPointByVersion" => runtime::get_driver_entry_point_by_version,
    "cudaGetDriverEntryPoint" => runtime::get_driver_entry_point,
    "cudaMemcpy" => copies::memcpy,
    "cudaMemcpyAsync" => copies::memcpy_async,
    "cudaMemcpyPeerAsync" => copies::memcpy_peer_async,
    "cudaMemcpy2DAsync" => copies::memcpy_2d_async,
    "cudaMemset" => copies::memset,
    "cudaMemsetAsync" => copies::memset_async,
    "cudaHostAlloc" => copies::host_alloc,
    "cudaFreeHost" => copies::free_host,
    "cudaHostRegister" => copies::host_register,
    "cudaHostUnregister" => copies::host_unregister,
    "cudaPointerGetAttributes" => copies::pointer_get_attributes,
    "__cudaRegisterFatBinary" => launch::register_fat_binary,
    "__cudaRegisterFatBinaryEnd" => launch::register_fat_binary_end,
    "__cudaUnregisterFatBinary" => launch::unregister_fat_binary,
    "__cudaRegisterFunction" => launch::register_function,
    "__cudaRegisterVar" => launch::register_variable,
    "__cudaInitModule" => launch::init_module,
    "__cudaGetKernel" => launch::get_kernel,
    "__cudaPushCallConfiguration" => launch::push_call_configuration,
    "__cudaPopCallConfiguration" => launch::pop_call_configuration,
    "__cudaLaunchKernel" => launch::launch_kernel_by_handle,
    "cudaLaunchKernel" => launch::launch_kernel,
    "cudaLaunchCooperativeKernel" => launch::launch_cooperative_kernel,
    "cudaLaunchKernelExC" => launch::launch_kernel_ex,
    "cuInit" => driver::init,
    "cuDriverGetVersion" => runtime::driver_get_version,
    "cuDeviceGetCount" => contexts::device_get_count,
    "cuDeviceGetName" => contexts::device_get_name,
    "cuDeviceGetUuid" => contexts::device_get_uuid,
    "cuDeviceGetUuid_v2" => contexts::device_get_uuid,
    "cuDeviceTotalMem" => contexts::device_total_mem,
    "cuDeviceTotalMem_v2" => contexts::device_total_mem,
    "cuDevicePrimaryCtxGetState" => contexts::primary_get_state,
    "cuDevicePrimaryCtxRetain" => contexts::primary_retain,
    "cuDevicePrimaryCtxRelease" => contexts::primary_release,
    "cuDevicePrimaryCtxRelease_v2" => contexts::primary_release,
    "cuCtxGetCurrent" => contexts::get_current,
    "cuCtxSetCurrent" => contexts::set_current,
    "cuCtxGetDevice" => contexts::get_device,
    "cuGetErrorName" => contexts::get_error_name,
    "cuGetProcAddress" => contexts::get_proc_address,
    "cuGetProcAddress_v2" => contexts::get_proc_address,
    "cuMemGetAddressRange" => contexts::mem_get_address_range,
    "cuMemGetAddressRange_v2" => contexts::mem_get_address_range,
    "cuDeviceGet" => driver::device_get,
    "cuDeviceGetAttribute" => driver::device_get_attribute,
    "cuMemAddressReserve" => driver::mem_address_reserve,
    "cuMemAddressFree" => driver::mem_address_free,
    "cuMemCreate" => driver::mem_create,
    "cuMemRelease" => driver::mem_release,
    "cuMemMap" => driver::mem_map,
    "cuMemUnmap" => driver::mem_unmap,
    "cuMemSetAccess" => driver::mem_set_access,
    "cuMemGetAllocationGranularity" => driver::mem_get_allocation_granularity,
    "cuGetErrorString" => driver::get_error_string,
    "nvmlInit" => nvml::init,
    "nvmlInit_v2" => nvml::init,
    "nvmlInitWithFlags" => nvml::init_with_flags,
    "nvmlShutdown" => nvml::init,
    "nvmlErrorString" => nvml::error_string,
    "nvmlDeviceGetCount" => nvml::device_get_count,
    "nvmlDeviceGetCount_v2" => nvml::device_get_count,
    "nvmlDeviceGetHandleByIndex" => nvml::device_get_handle_by_index,
    "nvmlDeviceGetHandleByIndex_v2" => nvml::device_get_handle_by_index,
    "nvmlDeviceGetUUID" => nvml::device_get_uuid,
    "nvmlDeviceGetName" => nvml::device_get_name,
    "nvmlDeviceGetMemoryInfo" => nvml::device_get_memory_info,
    "nvmlDeviceGetHandleByPciBusId_v2" => nvml::device_get_handle_by_pci_bus_id,
    "nvmlDeviceGetGpuFabricInfoV" => nvml::device_get_gpu_fabric_info,
    "nvmlDeviceGetComputeRunningProcesses" => nvml::device_get_compute_running_processes,
    // Programs ask for the address of these at start, whether or not they call them.
    unsupported:
    cuMemExportToShareableHandle,
    cuMemImportFromShareableHandle,
    cuMemRetainAllocationHandle,
    cuMemGetAllocationPropertiesFromHandle,
    cuMemsetD32Async,
    cuStreamWriteValue32,
    nvmlDeviceGetNvLinkRemoteDeviceType,
    nvmlDeviceGetNvLinkRemotePciInfo_v2,
    nvmlSystemGetCudaDriverVersion_v2,
}

/// What a function that is not here answers; its name is kept.
pub(crate) fn unsupported(name: &str) -> c_int {
    world::with(|runtime| runtime.note_unsupported(name.to_owned()));
    // Only the runtime remembers what went wrong.
    if name.starts_with("cuda") {
        world::set_latest(codes::NOT_SUPPORTED);
    }
    if name.starts_with("nvml") { nvml::NOT_SUPPORTED } else { codes::NOT_SUPPORTED }
}

/// What a forwarding library calls for a name that nobody stands behind.
extern "C" fn unbound(name: *const c_char) -> c_int {
    // SAFETY: a forwarding library hands in one of its own names, which are C strings.
    let name = if name.is_null() { c"" } else { unsafe { CStr::from_ptr(name) } };
    unsupported(&name.to_string_lossy())
}

/// What a forwarding library exports beside its functions.
#[derive(Debug, Clone, Copy)]
pub struct Forwarder {
    /// Its names, the last one null.
    pub names: *const *const c_char,
    /// The address that each jumps to, in the same order.
    pub slots: *mut *mut c_void,
    /// The function that is called with a name where its slot is empty.
    pub unbound: *mut *mut c_void,
}

/// Puts this runtime behind a forwarding library; answers how many of its names do something from then on.
///
/// # Safety
/// The three are what a forwarding library exports, and nobody else reads or writes them meanwhile.
pub unsafe fn bind(library: &Forwarder) -> usize {
    let mut bound = 0;
    // SAFETY: the caller's promise: the names end with a null pointer, and there is a slot for each.
    unsafe {
        library.unbound.write((unbound as *const ()).cast_mut().cast());
        for place in 0.. {
            let name = *library.names.add(place);
            if name.is_null() {
                break;
            }
            if let Some(function) = find(CStr::from_ptr(name)) {
                library.slots.add(place).write(function);
                bound += 1;
            }
        }
    }
    bound
}

//! CUDA's numbers for what went wrong, and its words for them.
//!
//! Decides the number of a device's error. The words are those of the runtime of CUDA 13.0 (`cudaGetErrorString`).

use std::ffi::CStr;

use crate::device::DeviceError;

pub(crate) const SUCCESS: i32 = 0;
pub(crate) const INVALID_VALUE: i32 = 1;
pub(crate) const OUT_OF_MEMORY: i32 = 2;
pub(crate) const NOT_INITIALIZED: i32 = 3;
pub(crate) const INVALID_DEVICE: i32 = 101;
pub(crate) const INVALID_HANDLE: i32 = 400;
pub(crate) const NOT_FOUND: i32 = 500;
pub(crate) const NOT_READY: i32 = 600;
pub(crate) const NOT_SUPPORTED: i32 = 801;
const UNKNOWN: i32 = 999;

/// The number of a device's error.
pub(crate) fn of(error: &DeviceError) -> i32 {
    match *error {
        DeviceError::OutOfMemory => OUT_OF_MEMORY,
        DeviceError::InvalidValue { .. } => INVALID_VALUE,
        DeviceError::Failed { code, .. } | DeviceError::Work { code } | DeviceError::Poisoned { code } => code,
        DeviceError::Overdue => UNKNOWN,
    }
}

/// Number, name in the runtime and words.
const TEXTS: [(i32, &CStr, &CStr); 24] = [
    (SUCCESS, c"cudaSuccess", c"no error"),
    (INVALID_VALUE, c"cudaErrorInvalidValue", c"invalid argument"),
    (OUT_OF_MEMORY, c"cudaErrorMemoryAllocation", c"out of memory"),
    (NOT_INITIALIZED, c"cudaErrorInitializationError", c"initialization error"),
    (4, c"cudaErrorCudartUnloading", c"driver shutting down"),
    (35, c"cudaErrorInsufficientDriver", c"CUDA driver version is insufficient for CUDA runtime version"),
    (46, c"cudaErrorDevicesUnavailable", c"CUDA-capable device(s) is/are busy or unavailable"),
    (100, c"cudaErrorNoDevice", c"no CUDA-capable device is detected"),
    (INVALID_DEVICE, c"cudaErrorInvalidDevice", c"invalid device ordinal"),
    (201, c"cudaErrorDeviceUninitialized", c"invalid device context"),
    (INVALID_HANDLE, c"cudaErrorInvalidResourceHandle", c"invalid resource handle"),
    (401, c"cudaErrorIllegalState", c"the operation cannot be performed in the present state"),
    (NOT_FOUND, c"cudaErrorSymbolNotFound", c"named symbol not found"),
    (NOT_READY, c"cudaErrorNotReady", c"device not ready"),
    (700, c"cudaErrorIllegalAddress", c"an illegal memory access was encountered"),
    (709, c"cudaErrorContextIsDestroyed", c"context is destroyed"),
    (719, c"cudaErrorLaunchFailure", c"unspecified launch failure"),
    (800, c"cudaErrorNotPermitted", c"operation not permitted"),
    (NOT_SUPPORTED, c"cudaErrorNotSupported", c"operation not supported"),
    (900, c"cudaErrorStreamCaptureUnsupported", c"operation not permitted when stream is capturing"),
    (901, c"cudaErrorStreamCaptureInvalidated", c"operation failed due to a previous error during capture"),
    (905, c"cudaErrorStreamCaptureIsolation", c"dependency created on uncaptured work in another stream"),
    (
        906,
        c"cudaErrorStreamCaptureImplicit",
        c"operation would make the legacy stream depend on a capturing blocking stream",
    ),
    (UNKNOWN, c"cudaErrorUnknown", c"unknown error"),
];

pub(crate) fn name(code: i32) -> &'static CStr {
    TEXTS.iter().find(|(known, ..)| *known == code).map_or(c"unrecognized error code", |(_, name, _)| name)
}

pub(crate) fn text(code: i32) -> &'static CStr {
    TEXTS.iter().find(|(known, ..)| *known == code).map_or(c"unrecognized error code", |(_, _, text)| text)
}

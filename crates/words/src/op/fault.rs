//! The errors that a device call can be told to fail with, and which of them are documented for which call.
//!
//! Decides names and codes, which are CUDA's. Does not decide when a call fails, nor what follows.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::DeviceCall;

/// An error of the CUDA driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "`name` is the driver's")]
pub enum FaultError {
    InvalidValue,
    OutOfMemory,
    NotInitialized,
    Deinitialized,
    InvalidDevice,
    InvalidContext,
    InvalidHandle,
    /// Work that was launched earlier failed; every call may report it.
    LaunchFailed,
    NotPermitted,
    NotSupported,
}

impl FaultError {
    /// The number of the error in `cuda.h`.
    #[must_use]
    pub fn code(self) -> i32 {
        match self {
            FaultError::InvalidValue => 1,
            FaultError::OutOfMemory => 2,
            FaultError::NotInitialized => 3,
            FaultError::Deinitialized => 4,
            FaultError::InvalidDevice => 101,
            FaultError::InvalidContext => 201,
            FaultError::InvalidHandle => 400,
            FaultError::LaunchFailed => 719,
            FaultError::NotPermitted => 800,
            FaultError::NotSupported => 801,
        }
    }

    /// The name in scenario files and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            FaultError::InvalidValue => "invalid_value",
            FaultError::OutOfMemory => "out_of_memory",
            FaultError::NotInitialized => "not_initialized",
            FaultError::Deinitialized => "deinitialized",
            FaultError::InvalidDevice => "invalid_device",
            FaultError::InvalidContext => "invalid_context",
            FaultError::InvalidHandle => "invalid_handle",
            FaultError::LaunchFailed => "launch_failed",
            FaultError::NotPermitted => "not_permitted",
            FaultError::NotSupported => "not_supported",
        }
    }
}

impl DeviceCall {
    /// The name in scenario files and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            DeviceCall::Reserve => "reserve",
            DeviceCall::Release => "release",
            DeviceCall::ReserveAddresses => "reserve_addresses",
            DeviceCall::Map => "map",
            DeviceCall::SetAccess => "set_access",
            DeviceCall::Unmap => "unmap",
            DeviceCall::RecordEvent => "record_event",
            DeviceCall::QueryEvent => "query_event",
            DeviceCall::MemoryInfo => "memory_info",
        }
    }

    /// The errors that CUDA's driver API documents for the call (`cuMemAlloc`, `cuMemFree`,
    /// `cuMemAddressReserve`, `cuMemCreate` and `cuMemMap`, `cuMemSetAccess`, `cuMemUnmap`, `cuEventRecord`,
    /// `cuEventQuery`, `cuMemGetInfo`), with one that stands for those of earlier work. The one that a planned fault
    /// without an error amounts to comes first.
    #[must_use]
    pub fn documented_errors(self) -> &'static [FaultError] {
        use FaultError::{
            Deinitialized, InvalidContext, InvalidDevice, InvalidHandle, InvalidValue, LaunchFailed, NotInitialized,
            NotPermitted, NotSupported, OutOfMemory,
        };
        match self {
            DeviceCall::Reserve => {
                &[OutOfMemory, InvalidValue, NotInitialized, Deinitialized, InvalidContext, LaunchFailed]
            }
            DeviceCall::Release => &[LaunchFailed, InvalidValue, NotInitialized, Deinitialized, InvalidContext],
            DeviceCall::ReserveAddresses => {
                &[OutOfMemory, InvalidValue, NotInitialized, Deinitialized, NotPermitted, NotSupported]
            }
            DeviceCall::Map => {
                &[OutOfMemory, InvalidValue, NotInitialized, Deinitialized, InvalidDevice, NotPermitted, NotSupported]
            }
            DeviceCall::SetAccess => &[InvalidValue, InvalidDevice, NotSupported, LaunchFailed],
            DeviceCall::Unmap => {
                &[InvalidValue, NotInitialized, Deinitialized, NotPermitted, NotSupported, LaunchFailed]
            }
            DeviceCall::RecordEvent => {
                &[LaunchFailed, InvalidValue, NotInitialized, Deinitialized, InvalidContext, InvalidHandle]
            }
            DeviceCall::QueryEvent => &[LaunchFailed, InvalidValue, NotInitialized, Deinitialized, InvalidHandle],
            DeviceCall::MemoryInfo => &[LaunchFailed, InvalidValue, NotInitialized, Deinitialized, InvalidContext],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_files_and_no_call_lists_an_error_twice() {
        for call in DeviceCall::ALL {
            assert_eq!(serde_json::to_value(call).expect("a name"), call.name());
            let errors = call.documented_errors();
            let distinct: std::collections::BTreeSet<_> = errors.iter().collect();
            assert_eq!((distinct.len(), errors.len() >= 4), (errors.len(), true), "{call:?}");
            for error in errors {
                assert_eq!(serde_json::to_value(error).expect("a name"), error.name());
            }
        }
    }
}

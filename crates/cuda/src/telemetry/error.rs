//! Why telemetry could not be read: one variant a cause, each with what it means and what to do about it.
//!
//! Decides how NVML's codes and the loader's words are read. Asks nothing of either.

use nvml_wrapper::error::NvmlError;

/// What NVML was being asked when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is what its name says")]
pub enum Query {
    Init,
    Shutdown,
    DriverVersion,
    CudaVersion,
    DeviceCount,
    Handle,
    Uuid,
    Name,
    Memory,
    ComputeProcesses,
    GraphicsProcesses,
}

impl Query {
    /// The function of NVML that answers it.
    #[must_use]
    pub fn function(self) -> &'static str {
        match self {
            Query::Init => "nvmlInit_v2",
            Query::Shutdown => "nvmlShutdown",
            Query::DriverVersion => "nvmlSystemGetDriverVersion",
            Query::CudaVersion => "nvmlSystemGetCudaDriverVersion_v2",
            Query::DeviceCount => "nvmlDeviceGetCount_v2",
            Query::Handle => "nvmlDeviceGetHandleByIndex_v2",
            Query::Uuid => "nvmlDeviceGetUUID",
            Query::Name => "nvmlDeviceGetName",
            Query::Memory => "nvmlDeviceGetMemoryInfo_v2",
            Query::ComputeProcesses => "nvmlDeviceGetComputeRunningProcesses_v3",
            Query::GraphicsProcesses => "nvmlDeviceGetGraphicsRunningProcesses_v3",
        }
    }
}

/// Why telemetry could not be read. `device` is NVML's index, absent where no device was asked about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each says what happened")]
pub enum TelemetryError {
    #[error("NVML's library `{library}` was not found")]
    LibraryMissing { library: String },
    #[error("NVML's library `{library}` cannot be loaded: {reason}")]
    LibraryUnusable { library: String, reason: String },
    #[error("NVML's library has no function {function}")]
    SymbolMissing { function: &'static str },
    #[error("the NVIDIA kernel driver is not loaded")]
    DriverNotLoaded,
    #[error("the NVIDIA kernel driver and NVML's library are of different versions")]
    VersionMismatch,
    #[error("{} may not be called by this user{}", query.function(), of(*device))]
    NoPermission { query: Query, device: Option<u32> },
    #[error("the operating system keeps this process from the device{}", of(*device))]
    Blocked { device: Option<u32> },
    #[error("the device has fallen off the bus{}", of(*device))]
    GpuLost { device: Option<u32> },
    #[error("the device must be reset before it can be used{}", of(*device))]
    ResetRequired { device: Option<u32> },
    #[error("{} is not supported{}", query.function(), of(*device))]
    NotSupported { query: Query, device: Option<u32> },
    #[error("there is no device {device}: NVML sees {count}")]
    NoSuchDevice { device: u32, count: u32 },
    #[error("the list of processes grew during each of {attempts} readings (device {device})")]
    ListKeptGrowing { device: u32, attempts: u32 },
    #[error("NVML says that {count} processes use the device, which cannot be (device {device})")]
    TooManyProcesses { device: u32, count: u32 },
    #[error("{} answered something that is not text{}", query.function(), of(*device))]
    NotText { query: Query, device: Option<u32> },
    #[error("{} failed with code {code}{}", query.function(), of(*device))]
    Failed { query: Query, device: Option<u32>, code: u32 },
}

fn of(device: Option<u32>) -> String {
    device.map_or_else(String::new, |device| format!(" (device {device})"))
}

/// `NVML_ERROR_ARGUMENT_VERSION_MISMATCH`: the library knows the function, not this version of its argument.
const ARGUMENT_VERSION: u32 = 25;

impl TelemetryError {
    /// Reads what the wrapper says of a call. `ListKeptGrowing` and `NoSuchDevice` are the caller's to say.
    pub(super) fn of(error: NvmlError, query: Query, device: Option<u32>) -> Self {
        match error {
            NvmlError::FailedToLoadSymbol(_) | NvmlError::FunctionNotFound => {
                TelemetryError::SymbolMissing { function: query.function() }
            }
            NvmlError::UnexpectedVariant(ARGUMENT_VERSION) => {
                TelemetryError::SymbolMissing { function: query.function() }
            }
            NvmlError::DriverNotLoaded => TelemetryError::DriverNotLoaded,
            NvmlError::LibRmVersionMismatch => TelemetryError::VersionMismatch,
            NvmlError::NoPermission => TelemetryError::NoPermission { query, device },
            NvmlError::OperatingSystem => TelemetryError::Blocked { device },
            NvmlError::GpuLost => TelemetryError::GpuLost { device },
            NvmlError::ResetRequired => TelemetryError::ResetRequired { device },
            NvmlError::NotSupported => TelemetryError::NotSupported { query, device },
            NvmlError::Utf8Error(_) | NvmlError::NulError(_) => TelemetryError::NotText { query, device },
            other => TelemetryError::Failed { query, device, code: other.into() },
        }
    }

    /// Reads why a library could not be opened: the loader has words for it and no codes.
    pub(super) fn of_open(error: NvmlError, library: &str) -> Self {
        match error {
            NvmlError::LibloadingError(reason) => {
                let reason = reason.to_string();
                let library = library.to_owned();
                if reason.contains("No such file") || reason.contains("not found") {
                    TelemetryError::LibraryMissing { library }
                } else {
                    TelemetryError::LibraryUnusable { library, reason }
                }
            }
            other => Self::of(other, Query::Init, None),
        }
    }

    /// What to do about it, a sentence.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            TelemetryError::LibraryMissing { .. } => {
                "it comes with the NVIDIA driver: install the driver; in a container, start it with GPUs (`docker run --gpus all ...`); elsewhere, name the file with --nvml-lib"
            }
            TelemetryError::LibraryUnusable { .. } => {
                "the file is not the driver's library for this machine: reinstall the NVIDIA driver, or name another file with --nvml-lib"
            }
            TelemetryError::SymbolMissing { .. } => {
                "the driver is too old, or the file is only a stub of the toolkit: NVIDIA driver 510 or newer has every function that is used here"
            }
            TelemetryError::DriverNotLoaded => {
                "load it with `sudo modprobe nvidia` (after an update: reboot); in a container, start it with GPUs (`docker run --gpus all ...`)"
            }
            TelemetryError::VersionMismatch => {
                "the driver was updated under a running kernel module: reboot, or unload and load the module; in a container, start it anew"
            }
            TelemetryError::NoPermission { .. } => {
                "ask as a user who may open /dev/nvidia* (often the group `video`), or with sudo"
            }
            TelemetryError::Blocked { .. } => {
                "a cgroup or a security policy stands in the way: let the container or the job have the device"
            }
            TelemetryError::GpuLost { .. } => {
                "see `dmesg | grep -i xid` for the cause; a reboot brings the device back, if its power and its slot are sound"
            }
            TelemetryError::ResetRequired { .. } => {
                "end what uses the device, then `sudo nvidia-smi --gpu-reset -i DEVICE`"
            }
            TelemetryError::NotSupported { .. } => {
                "this device, or a virtual one, does not give this figure: there is nothing to install"
            }
            TelemetryError::NoSuchDevice { .. } => "`poolproof doctor` prints the devices there are",
            TelemetryError::ListKeptGrowing { .. } => {
                "processes come faster than they can be listed: ask again when the device is calmer"
            }
            TelemetryError::TooManyProcesses { .. } | TelemetryError::NotText { .. } => {
                "the library does not behave like NVML: is it the driver's own?"
            }
            TelemetryError::Failed { .. } => {
                "`nvidia-smi` asks the same library: what it says, and `dmesg | grep -i nvrm`, tell more"
            }
        }
    }

    /// Whether nothing can be read at all, or only this figure cannot.
    #[must_use]
    pub fn is_of_one_figure(&self) -> bool {
        !matches!(
            self,
            TelemetryError::LibraryMissing { .. }
                | TelemetryError::LibraryUnusable { .. }
                | TelemetryError::DriverNotLoaded
                | TelemetryError::VersionMismatch
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read() {
        let read = |code: u32| TelemetryError::of(NvmlError::from(code), Query::Memory, Some(1));
        assert_eq!(read(9), TelemetryError::DriverNotLoaded);
        assert_eq!(read(18), TelemetryError::VersionMismatch);
        assert_eq!(read(17), TelemetryError::Blocked { device: Some(1) });
        assert_eq!(read(16), TelemetryError::ResetRequired { device: Some(1) });
        assert_eq!(read(25), TelemetryError::SymbolMissing { function: "nvmlDeviceGetMemoryInfo_v2" });
        for code in [2, 10, 20, 23, 30, 77, 999] {
            let failed = TelemetryError::Failed { query: Query::Memory, device: Some(1), code };
            assert_eq!(read(code), failed, "the code survives");
        }
        insta::assert_snapshot!(read(4), @"nvmlDeviceGetMemoryInfo_v2 may not be called by this user (device 1)");
        insta::assert_snapshot!(read(77), @"nvmlDeviceGetMemoryInfo_v2 failed with code 77 (device 1)");
    }
}

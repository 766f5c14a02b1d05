//! Telemetry: what the driver's management library (NVML) says of devices and of the processes on them.
//!
//! Decides what is asked, how often, and how an answer that changed meanwhile is taken. Needs no CUDA, makes no
//! context, and judges nothing. Without a driver every call is a typed error, never a panic.

mod error;
mod process;
mod uuid;

use std::mem;
use std::path::Path;

use nvml_wrapper::error::NvmlError;
use nvml_wrapper::struct_wrappers::device::ProcessInfo;
use nvml_wrapper::{Device, Nvml};

use crate::op::observation::NvmlMemory;

pub use error::{Query, TelemetryError};
pub use process::{GpuProcess, ProcessKind, company};
pub use uuid::{NvmlMatch, Uuid, UuidError, places};

/// The name that the loader is asked for.
const LIBRARY: &str = if cfg!(windows) { "nvml.dll" } else { "libnvidia-ml.so.1" };

/// Readings of a list that grows meanwhile; each leaves room for 5 newcomers.
const ATTEMPTS: u32 = 6;

/// No device has more; a library that says so must not make us ask for the memory to list them.
const MOST_PROCESSES: u32 = 1 << 20;

/// NVML, opened and initialised until dropped.
#[derive(Debug)]
pub struct Telemetry {
    nvml: Nvml,
}

/// The driver as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriverInfo {
    /// As in `580.95.05`.
    pub version: Result<String, TelemetryError>,
    /// The newest CUDA that the driver serves, as in `13.0`.
    pub cuda: Result<String, TelemetryError>,
}

/// A device as NVML shows it. What one device does not tell is an error of that figure alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuInfo {
    /// NVML's, which need not be CUDA's.
    pub index: u32,
    /// As NVML writes it.
    pub uuid: Result<String, TelemetryError>,
    /// The card's.
    pub name: Result<String, TelemetryError>,
    /// Of the whole card.
    pub memory: Result<NvmlMemory, TelemetryError>,
}

/// The processes on a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessList {
    /// By number.
    pub processes: Vec<GpuProcess>,
    /// Why those with graphics contexts alone are left out, where they are.
    pub graphics_missing: Option<TelemetryError>,
}

impl Telemetry {
    /// Opens the driver's library, or the file named.
    ///
    /// # Errors
    /// Each way in which there is no NVML has its variant.
    pub fn open(library: Option<&Path>) -> Result<Self, TelemetryError> {
        let asked = library.map_or_else(|| LIBRARY.into(), Path::to_path_buf);
        let opened = Nvml::builder().lib_path(asked.as_os_str()).init();
        let nvml = opened.map_err(|e| TelemetryError::of_open(e, &asked.to_string_lossy()))?;
        if nvml.lib().nvmlShutdown.is_err() {
            // Dropping would call it, and the wrapper panics on a function that is not there.
            mem::forget(nvml);
            return Err(TelemetryError::SymbolMissing { function: Query::Shutdown.function() });
        }
        Ok(Telemetry { nvml })
    }

    /// The driver's versions.
    #[must_use]
    pub fn driver(&self) -> DriverInfo {
        let version = self.nvml.sys_driver_version().map_err(of(Query::DriverVersion, None));
        let cuda = self.nvml.sys_cuda_driver_version().map_err(of(Query::CudaVersion, None));
        let dotted = |number: i32| format!("{}.{}", number / 1000, number % 1000 / 10);
        DriverInfo { version: version.map(|v| printable(&v)), cuda: cuda.map(dotted) }
    }

    /// How many devices NVML sees. Those that CUDA sees may be fewer.
    ///
    /// # Errors
    /// Whatever NVML answers.
    pub fn device_count(&self) -> Result<u32, TelemetryError> {
        self.nvml.device_count().map_err(of(Query::DeviceCount, None))
    }

    /// One device.
    ///
    /// # Errors
    /// `NoSuchDevice`, or whatever NVML answers when asked for it at all.
    pub fn device(&self, index: u32) -> Result<GpuInfo, TelemetryError> {
        let device = self.handle(index)?;
        let at = Some(index);
        Ok(GpuInfo {
            index,
            uuid: device.uuid().map(|t| printable(&t)).map_err(of(Query::Uuid, at)),
            name: device.name().map(|t| printable(&t)).map_err(of(Query::Name, at)),
            memory: memory(&device, index),
        })
    }

    /// The device's memory now.
    ///
    /// # Errors
    /// `NoSuchDevice`, `NotSupported` where the device does not say, or whatever NVML answers.
    pub fn memory(&self, index: u32) -> Result<NvmlMemory, TelemetryError> {
        memory(&self.handle(index)?, index)
    }

    /// The processes on a device, by number.
    ///
    /// A process that ends while it is listed is listed or not; its name is then `None`. A list that grows
    /// meanwhile is read again.
    ///
    /// # Errors
    /// `ListKeptGrowing` after several readings, `NoSuchDevice`, or whatever NVML answers about processes that
    /// compute. Where only those with graphics are kept back, the list says so.
    pub fn processes(&self, index: u32) -> Result<ProcessList, TelemetryError> {
        let device = self.handle(index)?;
        let compute = list(
            index,
            Query::ComputeProcesses,
            || device.running_compute_processes_count(),
            || device.running_compute_processes(),
        )?;
        let graphics = list(
            index,
            Query::GraphicsProcesses,
            || device.running_graphics_processes_count(),
            || device.running_graphics_processes(),
        );
        let (graphics, graphics_missing) = match graphics {
            Ok(list) => (list, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        let mut processes = process::merge(&compute, &graphics, std::process::id());
        for process in &mut processes {
            process.name = process::name_of(process.pid);
        }
        Ok(ProcessList { processes, graphics_missing })
    }

    fn handle(&self, index: u32) -> Result<Device<'_>, TelemetryError> {
        self.nvml.device_by_index(index).map_err(|error| match error {
            NvmlError::InvalidArg => {
                TelemetryError::NoSuchDevice { device: index, count: self.device_count().unwrap_or(0) }
            }
            other => TelemetryError::of(other, Query::Handle, Some(index)),
        })
    }
}

fn of(query: Query, device: Option<u32>) -> impl Fn(NvmlError) -> TelemetryError {
    move |error| TelemetryError::of(error, query, device)
}

fn memory(device: &Device<'_>, index: u32) -> Result<NvmlMemory, TelemetryError> {
    let info = device.memory_info().map_err(of(Query::Memory, Some(index)))?;
    Ok(NvmlMemory {
        total_bytes: info.total,
        used_bytes: info.used,
        free_bytes: info.free,
        reserved_bytes: info.reserved,
    })
}

/// Asks for the count, refuses one that cannot be, then lists, again while the list outgrows its count.
fn list(
    device: u32,
    query: Query,
    count: impl Fn() -> Result<u32, NvmlError>,
    read: impl Fn() -> Result<Vec<ProcessInfo>, NvmlError>,
) -> Result<Vec<ProcessInfo>, TelemetryError> {
    for _ in 0..ATTEMPTS {
        match count().map_err(of(query, Some(device)))? {
            0 => return Ok(Vec::new()),
            count if count > MOST_PROCESSES => return Err(TelemetryError::TooManyProcesses { device, count }),
            _ => {}
        }
        match read() {
            Err(NvmlError::InsufficientSize(_)) => {}
            result => return result.map_err(of(query, Some(device))),
        }
    }
    Err(TelemetryError::ListKeptGrowing { device, attempts: ATTEMPTS })
}

/// Text from a library, safe to print.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_is_not_there_is_an_error() {
        let library = Path::new("/nowhere/libnvidia-ml.so.1");
        let error = Telemetry::open(Some(library)).expect_err("it is not there");
        assert_eq!(error, TelemetryError::LibraryMissing { library: "/nowhere/libnvidia-ml.so.1".to_owned() });
        assert!(error.advice().contains("--nvml-lib"));
    }

    #[test]
    fn a_list_that_shrinks_or_ends_is_no_error() {
        let empty = list(0, Query::ComputeProcesses, || Ok(3), || Ok(Vec::new()));
        assert_eq!(empty, Ok(Vec::new()));
        let refused = list(2, Query::ComputeProcesses, || Ok(u32::MAX), || unreachable!("no list is asked for"));
        assert_eq!(refused, Err(TelemetryError::TooManyProcesses { device: 2, count: u32::MAX }));
    }
}

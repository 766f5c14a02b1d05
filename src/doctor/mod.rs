//! What this machine has for poolproof, what is missing, what that would allow, and how to get it.
//!
//! Decides what is looked for and what is advised. Changes nothing, makes no context on a device, and finds
//! something to say on every machine.

mod advice;
mod machine;
mod python;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;
use std::time::Duration;

use crate::cuda::probe::{CudaProbe, cuda_probe};
use crate::cuda::telemetry::{DriverInfo, GpuInfo, NvmlMatch, Telemetry, TelemetryError, Uuid, places};
use crate::target::registry::{ALL, Missing};

pub use machine::Machine;
#[cfg(test)]
pub use machine::System;
pub use python::{DEADLINE, Import, PACKAGES, Python};

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Findings {
    pub machine: Machine,
    pub cuda: CudaProbe,
    /// `CUDA_VISIBLE_DEVICES`, if set.
    pub visible_devices: Option<String>,
    pub nvml: Result<NvmlFinding, TelemetryError>,
    pub python: Python,
    pub targets: Vec<TargetFinding>,
}

/// What NVML shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NvmlFinding {
    pub driver: DriverInfo,
    pub devices: Vec<Result<GpuInfo, TelemetryError>>,
}

/// A target of this program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetFinding {
    pub name: &'static str,
    pub about: &'static str,
    /// What stands in the way, if anything.
    pub missing: Option<Lack>,
}

/// What stands in the way of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lack {
    /// A package that the interpreter has not.
    Package(&'static str),
    /// A device that CUDA shows.
    Device,
    /// What the registry says of it, such as a release that was not fetched.
    SetUp(Missing),
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lack::Package(package) => write!(f, "the Python package {package}"),
            Lack::Device => f.write_str("a device that CUDA shows"),
            Lack::SetUp(Missing { reason, lift }) => write!(f, "`{lift}`: {reason}"),
        }
    }
}

/// A target as the registry has it: its name, what it is, and what it says that it lacks.
type Known<'a> = (&'static str, &'static str, &'a dyn Fn() -> Option<Missing>);

/// Looks at this machine. `library` is another NVML than the driver's own, `python` the interpreter to ask.
#[must_use]
pub fn look(library: Option<&Path>, python: &str, deadline: Duration) -> Findings {
    let cuda = cuda_probe();
    let python = python::look(python, deadline);
    let asks = ALL.map(|kind| move || kind.missing_beside_gpu());
    let known: Vec<Known<'_>> = ALL.iter().zip(&asks).map(|(kind, ask)| (kind.name, kind.what, ask as _)).collect();
    let targets = targets(&known, &cuda, &python);
    Findings {
        machine: Machine::read(Path::new("/")),
        cuda,
        visible_devices: std::env::var("CUDA_VISIBLE_DEVICES").ok(),
        nvml: nvml(library),
        python,
        targets,
    }
}

fn nvml(library: Option<&Path>) -> Result<NvmlFinding, TelemetryError> {
    let telemetry = Telemetry::open(library)?;
    let devices = (0..telemetry.device_count()?).map(|index| telemetry.device(index)).collect();
    Ok(NvmlFinding { driver: telemetry.driver(), devices })
}

/// Which of them can run here. `ALLOCATOR@WHERE` tells which need PyTorch or a GPU, which was looked for already; the rest is asked
/// of the registry.
fn targets(known: &[Known<'_>], cuda: &CudaProbe, python: &Python) -> Vec<TargetFinding> {
    let has_device = matches!(cuda, CudaProbe::Found { devices, .. } if !devices.is_empty());
    let missing = |name: &str, registry: &dyn Fn() -> Option<Missing>| {
        let (allocator, place) = name.split_once('@').unwrap_or((name, ""));
        let package = PACKAGES.into_iter().find(|package| allocator == *package);
        let has = |package: &str| {
            python.packages.iter().any(|(name, import)| *name == package && matches!(import, Import::Found { .. }))
        };
        match package {
            Some(package) if !has(package) => Some(Lack::Package(package)),
            _ if place.starts_with("cuda") && !has_device => Some(Lack::Device),
            _ => registry().map(Lack::SetUp),
        }
    };
    let found = |&(name, about, registry): &Known<'_>| TargetFinding { name, about, missing: missing(name, registry) };
    known.iter().map(found).collect()
}

/// Whether the PyTorch that was found will do without a GPU, over `poolproof simcuda`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WithoutGpu {
    /// It was tried with this very release.
    Tried,
    /// Nothing is known against it.
    NotTried,
    /// Why not.
    No { reason: String },
}

/// Releases that `workers/simcuda/tour.py` was seen to go through with.
const TRIED: [&str; 1] = ["2.11.0"];

/// The major versions of CUDA whose runtime is stood in for.
const STOOD_IN: [&str; 2] = ["12", "13"];

fn without_gpu(torch: &Import) -> Option<WithoutGpu> {
    let Import::Found { version, cuda } = torch else { return None };
    let no = |reason: String| Some(WithoutGpu::No { reason });
    let Some(cuda) = cuda else { return no("it is built without CUDA".to_owned()) };
    let stood_in = cuda.split('.').next().is_some_and(|major| STOOD_IN.contains(&major));
    if !cfg!(target_os = "linux") {
        no("a library that is preloaded needs Linux".to_owned())
    } else if !stood_in {
        no(format!("it is built for CUDA {cuda}, and only 12 and 13 are stood in for"))
    } else if version.split('+').next().is_some_and(|release| TRIED.contains(&release)) {
        Some(WithoutGpu::Tried)
    } else {
        Some(WithoutGpu::NotTried)
    }
}

impl Findings {
    /// Whether PyTorch will do without a GPU; `None` where there is none that works.
    #[must_use]
    pub fn torch_without_gpu(&self) -> Option<WithoutGpu> {
        without_gpu(self.python.packages.iter().find(|(name, _)| *name == "torch").map(|(_, import)| import)?)
    }

    /// For each device of CUDA, in its order, where it is in NVML; empty where either shows nothing.
    #[must_use]
    pub fn places(&self) -> Vec<NvmlMatch> {
        let (CudaProbe::Found { devices, .. }, Ok(nvml)) = (&self.cuda, &self.nvml) else { return Vec::new() };
        let cuda: Vec<Uuid> = devices.iter().map(|device| device.uuid).collect();
        let shown = nvml.devices.iter().flatten();
        let nvml: Vec<(u32, &str)> = shown.filter_map(|d| Some((d.index, d.uuid.as_deref().ok()?))).collect();
        places(&cuda, &nvml)
    }
}

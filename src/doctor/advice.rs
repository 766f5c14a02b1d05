//! What each missing thing would allow, and the command that gets it.
//!
//! Decides the advice from the findings alone, so that every machine can be played in a test.

use super::{Findings, Import, Lack};
use crate::cuda::probe::CudaProbe;
use crate::target::registry::Missing;

/// One missing thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    pub missing: String,
    pub allows: String,
    /// A shell command, or where to look; absent where nothing on this machine helps.
    pub command: Option<String>,
}

const REAL: &str = "targets on real devices (`@cuda`)";
const CONTAINER: &str = "docker run --gpus all IMAGE poolproof doctor";

/// CUDA's codes that have a remedy of their own.
const STUB: u32 = 34;
const NO_DEVICE: u32 = 100;
const MISMATCH: u32 = 803;

impl Findings {
    /// What is missing, the most useful first.
    #[must_use]
    pub fn advice(&self) -> Vec<Advice> {
        let mut all: Vec<Advice> = self.cuda_advice().into_iter().collect();
        if let Err(error) = &self.nvml {
            all.push(Advice {
                missing: format!("NVML: {error}"),
                allows: "`poolproof processes`, and NVML's figures beside the driver's where a real device is judged"
                    .to_owned(),
                command: Some(error.advice().to_owned()).filter(|_| self.machine.has_card != Some(false)),
            });
        }
        all.extend(self.python_advice());
        all.extend(self.set_up_advice());
        all
    }

    fn cuda_advice(&self) -> Option<Advice> {
        let (missing, command) = match &self.cuda {
            CudaProbe::Found { devices, .. } if !devices.is_empty() => return None,
            CudaProbe::NoLibrary => match (&self.machine.kernel_driver, self.machine.has_card) {
                (Some(version), _) => (
                    format!(
                        "the CUDA driver's library, though kernel driver {version} is loaded (a container without GPUs?)"
                    ),
                    Some(CONTAINER.to_owned()),
                ),
                (None, Some(false)) => ("an NVIDIA GPU: this machine has none".to_owned(), None),
                (None, _) => ("the NVIDIA driver".to_owned(), Some(self.machine.system.driver_command().to_owned())),
            },
            CudaProbe::Found { .. } | CudaProbe::Failed { code: NO_DEVICE, .. } => match &self.visible_devices {
                Some(value) => (
                    format!("a device: CUDA shows none, and CUDA_VISIBLE_DEVICES is `{value}`"),
                    Some("unset CUDA_VISIBLE_DEVICES".to_owned()),
                ),
                None => ("a device: the driver is here, and CUDA shows none".to_owned(), Some(CONTAINER.to_owned())),
            },
            CudaProbe::Failed { code: STUB, .. } => (
                "the CUDA driver: what the loader finds is the toolkit's stub".to_owned(),
                Some("unset LD_LIBRARY_PATH".to_owned()),
            ),
            CudaProbe::Failed { code: MISMATCH, .. } => (
                "a driver in one version: the kernel module and the library differ".to_owned(),
                Some("sudo reboot".to_owned()),
            ),
            CudaProbe::Failed { function, code } => {
                (format!("a CUDA driver that works: {function} failed with code {code}"), Some("nvidia-smi".to_owned()))
            }
            CudaProbe::SymbolMissing { function } => (
                format!("a newer NVIDIA driver: this one has no function {function}"),
                Some(self.machine.system.driver_command().to_owned()),
            ),
        };
        Some(Advice { missing, allows: REAL.to_owned(), command })
    }

    fn python_advice(&self) -> Vec<Advice> {
        let python = &self.python;
        let because = |import: &Import| match import {
            Import::Found { .. } => None,
            Import::Absent => Some("is not installed".to_owned()),
            Import::Broken { reason } => Some(format!("does not work: {reason}")),
            Import::TooSlow => Some("did not answer in time".to_owned()),
        };
        if let Some(why) = because(&python.interpreter) {
            return vec![Advice {
                missing: format!("Python: `{}` {why}", python.program),
                allows: "recordings of PyTorch's allocator, and `poolproof bench --peer torch`".to_owned(),
                command: Some(self.machine.system.python_command().to_owned()),
            }];
        }
        let advise = |(package, import): &(&'static str, Import)| {
            Some(Advice {
                missing: format!("{package} {}", because(import)?),
                allows: self.allows(package),
                command: Some(format!("{} -m pip install {package}", python.program)),
            })
        };
        python.packages.iter().filter_map(advise).collect()
    }

    fn allows(&self, package: &str) -> String {
        let mut uses: Vec<String> = Vec::new();
        if package == "torch" {
            uses.push("recordings of PyTorch's allocator, `poolproof bench --peer torch`".to_owned());
        }
        let is_its = |name: &str| name.split(['-', '.', '@']).next() == Some(package);
        uses.extend(self.targets.iter().filter(|t| is_its(t.name)).map(|t| format!("`{}`", t.name)));
        if uses.is_empty() { "nothing in this version: no target needs it".to_owned() } else { uses.join(", ") }
    }

    /// What `poolproof setup` would fetch, and for which targets.
    fn set_up_advice(&self) -> Vec<Advice> {
        let mut all: Vec<Advice> = Vec::new();
        for target in &self.targets {
            let Some(Lack::SetUp(Missing { reason, lift })) = &target.missing else { continue };
            let name = format!("`{}`", target.name);
            match all.iter_mut().find(|advice| advice.missing == *reason) {
                Some(advice) => advice.allows = format!("{}, {name}", advice.allows),
                None => all.push(Advice { missing: reason.clone(), allows: name, command: Some((*lift).to_owned()) }),
            }
        }
        all
    }
}

//! Advice for machines that are played.

use super::*;
use crate::cuda::probe::CudaDeviceInfo;

fn bare() -> Findings {
    Findings {
        machine: Machine { system: System::Debian, has_card: None, kernel_driver: None },
        cuda: CudaProbe::NoLibrary,
        visible_devices: None,
        nvml: Err(TelemetryError::DriverNotLoaded),
        python: Python { program: "python3".to_owned(), interpreter: Import::Absent, packages: Vec::new() },
        targets: Vec::new(),
    }
}

/// What is missing first, and the command for it.
fn first(findings: &Findings) -> (String, Option<String>) {
    let first = findings.advice().into_iter().next().expect("something is missing");
    (first.missing, first.command)
}

#[test]
fn each_state_of_the_driver_has_its_remedy() {
    let mut machine = bare();
    assert_eq!(first(&machine).1.as_deref(), Some("sudo apt-get install nvidia-driver"));
    machine.machine.has_card = Some(false);
    assert_eq!(first(&machine).1, None, "there is nothing to install");
    machine.machine.kernel_driver = Some("580.1".to_owned());
    let (missing, command) = first(&machine);
    assert!(missing.contains("580.1") && command.is_some_and(|c| c.contains("--gpus all")), "{missing}");
    let commands: Vec<Option<String>> = [34, 100, 803, 999]
        .map(|code| {
            machine.cuda = CudaProbe::Failed { function: "cuInit", code };
            first(&machine).1
        })
        .to_vec();
    let words = ["unset LD_LIBRARY_PATH", "docker run --gpus all IMAGE poolproof doctor", "sudo reboot", "nvidia-smi"];
    assert_eq!(commands, words.map(|w| Some(w.to_owned())));
    machine.visible_devices = Some(String::new());
    machine.cuda = CudaProbe::Found { version: 13_000, devices: Vec::new() };
    assert_eq!(first(&machine).1.as_deref(), Some("unset CUDA_VISIBLE_DEVICES"));
    machine.cuda = CudaProbe::SymbolMissing { function: "cuDeviceGetUuid_v2" };
    assert!(first(&machine).0.contains("cuDeviceGetUuid_v2"));
}

#[test]
fn packages_are_named_for_the_cuda_of_the_driver() {
    let mut machine = bare();
    machine.python.interpreter = Import::Found { version: "3.12".to_owned(), cuda: None };
    machine.python.packages = PACKAGES.map(|name| (name, Import::Absent)).to_vec();
    machine.targets = vec![TargetFinding { name: "cupy-pool@cuda", about: "", missing: None }];
    let commands = |machine: &Findings| -> Vec<String> {
        machine.advice().into_iter().skip(2).filter_map(|a| a.command).collect()
    };
    let of = |packages: [&str; 4]| packages.map(|p| format!("python3 -m pip install {p}"));
    assert_eq!(commands(&machine), of(["torch", "cupy-cuda13x", "'jax[cuda13]'", "rmm-cu13"]));
    let driver = DriverInfo { version: Ok("550.1".to_owned()), cuda: Ok("12.4".to_owned()) };
    machine.nvml = Ok(NvmlFinding { driver, devices: Vec::new() });
    let advice = machine.advice();
    assert_eq!(advice[2].command, Some("python3 -m pip install cupy-cuda12x".to_owned()));
    assert_eq!(advice[2].allows, "`cupy-pool@cuda`");
    assert!(advice[4].allows.starts_with("nothing in this version"), "{advice:?}");
}

#[test]
fn targets_need_what_their_names_say() {
    let known =
        [("reference@sim", ""), ("worker:NAME", ""), ("reference@cuda", ""), ("torch@cuda", ""), ("rmm-pool@sim", "")];
    let mut machine = bare();
    let missing = |machine: &Findings| -> Vec<Option<String>> {
        targets(&known, &machine.cuda, &machine.python).into_iter().map(|t| t.missing).collect()
    };
    let (device, package) = (Some("a device that CUDA shows"), |name| Some(format!("the Python package {name}")));
    let device = device.map(str::to_owned);
    assert_eq!(missing(&machine), [None, None, device.clone(), package("torch"), package("rmm")]);
    machine.python.packages =
        PACKAGES.map(|name| (name, Import::Found { version: "1".to_owned(), cuda: None })).to_vec();
    assert_eq!(missing(&machine), [None, None, device.clone(), device, None]);
    let gpu = CudaDeviceInfo { name: "x".to_owned(), uuid: Uuid([1; 16]), total_bytes: 1 };
    machine.cuda = CudaProbe::Found { version: 13_000, devices: vec![gpu] };
    assert_eq!(missing(&machine), [None, None, None, None, None]);
}

#[test]
fn a_torch_will_do_without_a_gpu_by_its_release_and_its_cuda() {
    let of = |version: &str, cuda: Option<&str>| {
        without_gpu(&Import::Found { version: version.to_owned(), cuda: cuda.map(str::to_owned) })
    };
    if cfg!(target_os = "linux") {
        let found = [of("2.11.0+cu130", Some("13.0")), of("2.10.0", Some("12.8"))];
        assert_eq!(found, [Some(WithoutGpu::Tried), Some(WithoutGpu::NotTried)]);
    }
    let is_no = |found| matches!(found, Some(WithoutGpu::No { .. }));
    assert!(is_no(of("2.11.0+cpu", None)) && is_no(of("2.0.0", Some("11.8"))));
    assert_eq!(without_gpu(&Import::Absent), None);
}

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
fn what_is_missing_says_what_it_would_allow() {
    let mut machine = bare();
    machine.python.interpreter = Import::Found { version: "3.12".to_owned(), cuda: None };
    machine.python.packages = PACKAGES.map(|name| (name, Import::Absent)).to_vec();
    let lack = |reason: &str, lift| Some(Lack::SetUp(Missing { reason: reason.to_owned(), lift }));
    let target = |name, missing| TargetFinding { name, about: "", missing };
    machine.targets = vec![
        target("c10@sim", lack("no release", "poolproof setup torch")),
        target("rmm@host", lack("no RMM", "poolproof setup rmm")),
        target("torch@sim", Some(Lack::Package("torch"))),
        target("c10@cuda", lack("no release", "poolproof setup torch")),
    ];
    let advice: Vec<String> = machine.advice().into_iter().skip(2).map(|a| format!("{a:?}")).collect();
    let due = [
        ("torch is not installed", "`torch@sim`", "python3 -m pip install torch"),
        ("no release", "\"`c10@sim`, `c10@cuda`\"", "poolproof setup torch"),
        ("no RMM", "\"`rmm@host`\"", "poolproof setup rmm"),
    ];
    assert_eq!(advice.len(), due.len(), "{advice:?}");
    for (advice, (missing, allows, command)) in advice.iter().zip(due) {
        assert!([missing, allows, command].iter().all(|word| advice.contains(word)), "{advice}");
    }
}

#[test]
fn targets_need_what_their_names_and_the_registry_say() {
    let nothing = || None;
    let not_set_up = || Some(Missing { reason: "it was not fetched".to_owned(), lift: "poolproof setup it" });
    // Who has no GPU asks nothing further.
    let never = || -> Option<Missing> { panic!("a device comes first") };
    let mut machine = bare();
    let missing = |machine: &Findings, of_gpu: &dyn Fn() -> Option<Missing>| -> Vec<String> {
        let known = [
            ("reference@sim", "", &nothing as &dyn Fn() -> Option<Missing>),
            ("it@host", "", &not_set_up),
            ("reference@cuda", "", of_gpu),
            ("torch@cuda", "", &nothing),
        ];
        let found = targets(&known, &machine.cuda, &machine.python);
        found.into_iter().map(|t| t.missing.map_or_else(String::new, |lack| lack.to_string())).collect()
    };
    let (set_up, device) = ("`poolproof setup it`: it was not fetched", "a device that CUDA shows");
    assert_eq!(missing(&machine, &never), ["", set_up, device, "the Python package torch"]);
    machine.python.packages =
        PACKAGES.map(|name| (name, Import::Found { version: "1".to_owned(), cuda: None })).to_vec();
    assert_eq!(missing(&machine, &never), ["", set_up, device, device]);
    let gpu = CudaDeviceInfo { name: "x".to_owned(), uuid: Uuid([1; 16]), total_bytes: 1 };
    machine.cuda = CudaProbe::Found { version: 13_000, devices: vec![gpu] };
    assert_eq!(missing(&machine, &nothing), ["", set_up, "", ""]);
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

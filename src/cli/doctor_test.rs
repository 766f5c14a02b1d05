//! What `doctor` says of machines that are played.

use super::*;
use crate::cuda::probe::CudaDeviceInfo;
use crate::cuda::telemetry::{DriverInfo, GpuInfo, TelemetryError};
use crate::doctor::{Lack, Machine, Python, System, TargetFinding};
use crate::op::NvmlMemory;
use crate::target::registry::Missing;

fn not_fetched() -> Missing {
    Missing { reason: "no release of PyTorch is set up".to_owned(), lift: "poolproof setup torch" }
}

fn laptop() -> Findings {
    let absent = |name| (name, Import::Absent);
    Findings {
        machine: Machine { system: System::Ubuntu, has_card: Some(false), kernel_driver: None },
        cuda: CudaProbe::NoLibrary,
        visible_devices: None,
        nvml: Err(TelemetryError::LibraryMissing { library: "libnvidia-ml.so.1".to_owned() }),
        python: Python {
            program: "python3".to_owned(),
            interpreter: Import::Found { version: "3.12.3".to_owned(), cuda: None },
            packages: ["torch"].map(absent).to_vec(),
        },
        targets: vec![TargetFinding { name: "reference@sim", about: "the reference, simulated", missing: None }],
    }
}

fn server() -> Findings {
    const GIB: u64 = 1 << 30;
    let uuids = ["GPU-11111111-1111-1111-1111-111111111111", "GPU-22222222-2222-2222-2222-222222222222"];
    let memory = NvmlMemory { total_bytes: 80 * GIB, used_bytes: GIB, free_bytes: 78 * GIB, reserved_bytes: GIB };
    let gpu = |(index, uuid): (u32, &str)| {
        Ok(GpuInfo { index, uuid: Ok(uuid.to_owned()), name: Ok("NVIDIA Fake".to_owned()), memory: Ok(memory) })
    };
    let cuda = |uuid: &str| CudaDeviceInfo {
        name: "NVIDIA Fake".to_owned(),
        uuid: uuid.parse().expect("a UUID"),
        total_bytes: 79 * GIB,
    };
    let driver = DriverInfo { version: Ok("580.00.01".to_owned()), cuda: Ok("13.0".to_owned()) };
    let found = |version: &str, cuda: Option<&str>| Import::Found {
        version: version.to_owned(),
        cuda: cuda.map(str::to_owned),
    };
    Findings {
        machine: Machine { system: System::Debian, has_card: Some(true), kernel_driver: Some("580.00.01".to_owned()) },
        cuda: CudaProbe::Found { version: 13_000, devices: vec![cuda(uuids[1]), cuda(uuids[0])] },
        visible_devices: Some("1,0".to_owned()),
        nvml: Ok(NvmlFinding { driver, devices: (0..).zip(uuids).map(gpu).collect() }),
        python: Python {
            program: "python3".to_owned(),
            interpreter: found("3.12.3", None),
            packages: vec![("torch", Import::Broken { reason: "ImportError: no libcudart".to_owned() })],
        },
        targets: vec![
            TargetFinding { name: "reference@cuda", about: "the reference on GPUs", missing: None },
            TargetFinding { name: "c10@cuda", about: "PyTorch's", missing: Some(Lack::SetUp(not_fetched())) },
        ],
    }
}

#[test]
fn a_laptop_is_told_what_it_would_gain() {
    insta::assert_snapshot!(as_text(&laptop()));
}

#[test]
fn a_server_is_shown_which_device_is_which() {
    insta::assert_snapshot!(as_text(&server()));
    let value = as_json(&server());
    assert_eq!(value["cuda"]["devices"][0]["nvml"], json!({ "device": 1 }));
    assert_eq!(value["python"]["packages"]["torch"]["state"], "broken");
    assert_eq!(value["targets"][1]["missing"], "`poolproof setup torch`: no release of PyTorch is set up");
    assert_eq!(value["advice"].as_array().map(Vec::len), Some(2), "{value:#}");
}

#[test]
fn a_machine_that_lacks_nothing_is_told_so() {
    let mut all = server();
    for (_, import) in &mut all.python.packages {
        *import = Import::Found { version: "1".to_owned(), cuda: None };
    }
    all.targets.iter_mut().for_each(|target| target.missing = None);
    assert!(as_text(&all).ends_with("\nnothing is missing\n"));
    assert_eq!(as_json(&all)["advice"], json!([]));
}

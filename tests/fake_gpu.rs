//! GPU targets on drivers that are not as they should be: each is a small fake built here, and each answer a sentence.
//!
//! Decides nothing about GPUs. Where no C compiler is, Rust cannot link either, so one is taken for granted.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The fake driver, built with these flags, in a folder of its own.
fn fake(name: &str, flags: &[&str]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fake-gpu").join(name);
    std::fs::create_dir_all(&folder).expect("tests may write here");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fake_cuda/libcuda.c");
    let status = Command::new("cc")
        .args(["-O2", "-shared", "-fPIC", "-o"])
        .arg(folder.join("libcuda.so.1"))
        .arg(source)
        .args(flags)
        .arg("-lpthread")
        .status()
        .expect("cc is there");
    assert!(status.success());
    folder
}

fn poolproof(driver: &Path, environment: &[(&str, &str)], arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_poolproof"));
    command.args(arguments).env("LD_LIBRARY_PATH", driver).envs(environment.iter().copied());
    if arguments.first() == Some(&"run") {
        command.arg("--out").arg(driver.join("out"));
    }
    command.output().expect("the program starts")
}

/// What a run on a broken driver says; it must end with code 3 and without a panic.
fn complaint(driver: &Path, environment: &[(&str, &str)]) -> String {
    let output =
        poolproof(driver, environment, &["run", "--target", "reference@cuda", "--scenario", "strm::same-stream"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    said
}

#[test]
fn a_driver_that_cannot_be_used_is_named() {
    let whole = fake("whole", &[]);
    let said = complaint(&whole, &[("FAKE_CUDA_VERSION", "10020")]);
    assert!(said.contains("the CUDA driver is for CUDA 10.2, and CUDA 11.4 is the least"), "{said}");
    let said = complaint(&whole, &[("FAKE_CUDA_INIT", "100")]);
    assert!(said.contains("no GPU that it can use"), "{said}");
    let said = complaint(&whole, &[("FAKE_CUDA_DEVICES", "0")]);
    assert!(said.contains("no GPU that it can use"), "{said}");
    let said = complaint(&whole, &[("FAKE_CUDA_INIT", "999")]);
    assert!(said.contains("cuInit failed with error 999 (unknown error)"), "{said}");
    let said = complaint(&fake("without-map", &["-DWITHOUT_MAP"]), &[]);
    assert!(said.contains("the CUDA driver has no function cuMemMap"), "{said}");
}

#[test]
fn every_primitive_works_on_the_fake_and_a_broken_context_is_told() {
    let output = poolproof(&fake("selftest", &[]), &[("FAKE_CUDA_BYTES", "4294967296")], &["cuda-selftest"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("unusable in this process since error 700 (illegal address)"), "{said}");
}

#[test]
fn a_late_write_convicts_by_contents_alone() {
    let driver = fake("witness", &[]);
    let run = |target: &str| {
        let arguments = ["run", "--target", target, "--scenario", "strm::witness-recorded", "--lang", "en"];
        let output = poolproof(&driver, &[], &arguments);
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, said) = run("reference@cuda");
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = run("reference@cuda?defect=event-on-default-stream");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("contents") && said.contains("hold the pattern of b"), "{said}");
}

/// A run of `driver-pool@cuda` on two fake GPUs: its exit code and what it says.
fn driver_pool(driver: &Path, environment: &[(&str, &str)], scenarios: &[&str]) -> (Option<i32>, String) {
    let mut arguments = vec!["run", "--target", "driver-pool@cuda", "--lang", "en", "--jobs", "1"];
    arguments.extend(scenarios.iter().flat_map(|scenario| ["--scenario", scenario]));
    let environment = [environment, &[("FAKE_CUDA_DEVICES", "2")]].concat();
    let output = poolproof(driver, &environment, &arguments);
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code(), said)
}

#[test]
fn driver_pools_keep_recorded_blocks_and_devices_apart() {
    let driver = fake("pools", &[]);
    let scenarios = [
        "strm::recorded",
        "strm::recorded-again",
        "strm::witness-recorded",
        "strm::serves-again",
        "strm::stuck-stream",
        "strm::same-stream",
        "iso::untouched-by-bytes",
        "iso::named-device-by-bytes",
        "oom::nothing-lost-by-bytes",
        "peak::reset-by-bytes",
        "trim::empty-cache-twice-by-bytes",
        "trim::gives-back-the-rest",
        "leak::everything-back-by-bytes",
        "tele::used-and-reserved",
        "zero::answered",
    ];
    let (code, said) = driver_pool(&driver, &[], &scenarios);
    assert_eq!(code, Some(0), "{said}");
}

/// The same scenarios on drivers with one mistake each: none of them is passed by whatever a driver does.
#[test]
fn driver_pools_that_go_wrong_are_convicted() {
    let driver = fake("pools-gone-wrong", &[]);
    for (mistake, scenario, requirement) in [
        ("FAKE_CUDA_DEAF", "strm::recorded", "STRM-02"),
        ("FAKE_CUDA_DEAF", "strm::witness-recorded", "MEM-03"),
        ("FAKE_CUDA_ASTRAY", "iso::named-device-by-bytes", "LIVE-03"),
        ("FAKE_CUDA_HOARDS", "leak::everything-back-by-bytes", "LEAK-01"),
        ("FAKE_CUDA_HOARDS", "trim::gives-back-the-rest", "TRIM-01"),
    ] {
        let (code, said) = driver_pool(&driver, &[(mistake, "1")], &[scenario]);
        assert_eq!(code, Some(1), "{mistake}: {said}");
        assert!(said.contains(requirement), "{mistake}: {said}");
    }
}

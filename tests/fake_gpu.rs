//! GPU targets on drivers that are not as they should be: each is a small fake built here, and each answer a sentence.
//!
//! Decides nothing about GPUs. Where no C compiler is, Rust cannot link either, so one is taken for granted.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The fake driver, built with these flags, in a folder of its own.
fn fake(name: &str, flags: &[&str]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fake-gpu").join(name);
    std::fs::create_dir_all(&folder).expect("tests may write here");
    build("libcuda.c", &folder.join("libcuda.so.1"), flags);
    folder
}

/// The fake driver with a fake NVML beside it.
fn fake_with_nvml(name: &str) -> PathBuf {
    let folder = fake(name, &[]);
    build("libnvidia-ml.c", &folder.join("libnvidia-ml.so.1"), &[]);
    folder
}

fn build(source: &str, library: &Path, flags: &[&str]) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fake_cuda").join(source);
    let mut compiler = Command::new("cc");
    compiler.args(["-O2", "-shared", "-fPIC", "-o"]).arg(library).arg(source).args(flags);
    let status = compiler.args(["-lpthread", "-ldl"]).status().expect("cc is there");
    assert!(status.success());
}

/// Runs these scenarios on a target; the exit code, and what was printed on both streams.
fn run(driver: &Path, environment: &[(&str, &str)], target: &str, scenarios: &[&str]) -> (Option<i32>, String) {
    let mut arguments = vec!["run", "--target", target, "--lang", "en", "--cases", "2"];
    arguments.extend(scenarios.iter().flat_map(|scenario| ["--scenario", scenario]));
    let output = poolproof(driver, environment, &arguments);
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (output.status.code(), said.concat())
}

fn poolproof(driver: &Path, environment: &[(&str, &str)], arguments: &[&str]) -> Output {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fake-gpu").join("out");
    let mut command = Command::new(env!("CARGO_BIN_EXE_poolproof"));
    command.args(arguments).env("LD_LIBRARY_PATH", driver).envs(environment.iter().copied());
    if arguments.first() == Some(&"run") {
        command.arg("--out").arg(out);
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
    let run = |target: &str| run(&driver, &[], target, &["strm::witness-recorded"]);
    let (code, said) = run("reference@cuda");
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = run("reference@cuda?defect=event-on-default-stream");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("contents") && said.contains("hold the pattern of b"), "{said}");
}

/// A scenario in which memory is taken, kept and given back on one device after the other.
const TAKEN: [&str; 2] = ["tele::used-and-reserved", "iso::limits-and-peaks"];

#[test]
fn nvml_is_believed_and_a_figure_that_does_not_follow_convicts() {
    let driver = fake_with_nvml("nvml");
    let two = ("FAKE_CUDA_DEVICES", "2"); // in the opposite order in NVML
    let (code, said) = run(&driver, &[two], "reference@cuda", &TAKEN);
    assert_eq!(code, Some(0), "{said}");
    let half = ("FAKE_NVML_SHOWS", "50");
    let (code, said) = run(&driver, &[two, half], "reference@cuda", &TAKEN);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("but NVML's used memory by") && said.contains("TELE-01"), "{said}");
    let (code, said) = run(&driver, &[two, half, ("FAKE_NVML_OTHERS", "1")], "reference@cuda", &TAKEN);
    assert_eq!(code, Some(0), "with a neighbour on the card its figures say nothing of ours: {said}");
}

#[test]
fn peers_read_along() {
    let driver = fake("peers", &[]);
    let two = ("FAKE_CUDA_DEVICES", "2");
    let target = "reference@cuda?peers=on&config=expandable_segments:True";
    let (code, said) = run(&driver, &[two], target, &["iso::untouched-generated", "mem::contents"]);
    assert_eq!(code, Some(0), "{said}");
    let scenario = ["iso::named-device"];
    let (code, said) = run(&driver, &[two, ("FAKE_CUDA_NO_PEERS", "1")], "reference@cuda?peers=on", &scenario);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("GPU 0 cannot get at the memory of GPU 1"), "{said}");
    let (code, said) = run(&driver, &[], "reference@cuda?peers=on", &scenario);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("peer access needs two GPUs, and there is one"), "{said}");
}

#[test]
fn with_ballast_a_card_answers_like_a_small_one() {
    let driver = fake("ballast", &[]);
    let scenarios = ["frac::zero", "frac::one", "oom::recovery", "oom::flush-first", "huge::larger-than-the-device"];
    for target in ["reference@cuda?ballast=real", "reference@cuda?ballast=real&placement=ordered"] {
        let (code, said) = run(&driver, &[], target, &scenarios);
        assert_eq!(code, Some(0), "{target}: {said}");
    }
}

#[test]
fn a_card_that_others_have_filled_is_told_with_its_figures() {
    let driver = fake("crowded", &[]);
    let (code, said) = run(&driver, &[("FAKE_CUDA_BYTES", "419430400")], "reference@cuda", &["zero::answered"]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("GPU 0 has 398 MiB free, and 1 GiB are to be played on it"), "{said}");
    // Room for the first world, and not for that of the second scenario.
    let some = [("FAKE_CUDA_BYTES", "1181116006")];
    let (code, said) = run(&driver, &some, "reference@cuda?device_bytes=1025MiB", &["zero::answered"]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = run(&driver, &[("FAKE_CUDA_BYTES", "2097152")], "reference@cuda", &["zero::answered"]);
    assert_eq!(code, Some(3), "{said}");
    assert!(!said.contains("panicked"), "{said}");
}

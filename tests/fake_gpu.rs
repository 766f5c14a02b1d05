//! GPU targets on drivers that are not as they should be: each is a small fake built here, and each answer a sentence.
//!
//! Decides nothing about GPUs.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

#[expect(dead_code, reason = "each test uses some of it")]
mod fakes;

/// The fake driver, built with these flags, in a folder of its own.
fn fake(name: &str, flags: &[&str]) -> PathBuf {
    fakes::cuda(&format!("fake-gpu/{name}"), flags).expect("cc is there")
}

/// The fake driver with a fake NVML beside it.
fn fake_with_nvml(name: &str) -> PathBuf {
    let folder = fake(name, &[]);
    fakes::nvml(&folder).expect("rustc is where cargo test runs");
    folder
}

/// A file through which processes share the devices of a driver, with nobody in it.
fn shared(driver: &Path) -> String {
    let file = driver.join("shared");
    let _ = std::fs::remove_file(&file);
    file.to_string_lossy().into_owned()
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
    let mut command = Command::new(env!("CARGO_BIN_EXE_poolproof"));
    command.args(arguments).env("LD_LIBRARY_PATH", driver).envs(environment.iter().copied()).stdin(Stdio::null());
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
    let run = |target: &str| run(&driver, &[], target, &["strm::witness-recorded"]);
    let (code, said) = run("reference@cuda");
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = run("reference@cuda?defect=event-on-default-stream");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("contents") && said.contains("hold the pattern of a"), "{said}");
}

/// A scenario in which memory is taken, kept and given back on one device after the other.
const TAKEN: [&str; 2] = ["tele::used-and-reserved", "iso::limits-and-peaks"];

#[test]
fn nvml_is_believed_and_a_figure_that_does_not_follow_convicts() {
    let driver = fake_with_nvml("nvml");
    let shared = shared(&driver);
    // NVML keeps the order that CUDA is told to turn round.
    let two = [("FAKE_CUDA_DEVICES", "2"), ("CUDA_VISIBLE_DEVICES", "1,0"), ("FAKE_CUDA_SHARED", &shared)];
    let on = |more: &[(&str, &str)], target: &str| run(&driver, &[&two, more].concat(), target, &TAKEN);
    let (code, said) = on(&[], "reference@cuda");
    assert_eq!(code, Some(0), "{said}");
    let half = ("FAKE_NVML_SHOWS", "50");
    let (code, said) = on(&[half], "reference@cuda");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("but NVML's used memory by") && said.contains("TELE-01"), "{said}");
    let (code, said) = on(&[half, ("FAKE_NVML_OTHERS", "1")], "reference@cuda");
    assert_eq!(code, Some(0), "with a neighbour on the card its figures say nothing of ours: {said}");
}

#[test]
fn peers_read_along() {
    let driver = fake("peers", &[]);
    let two = ("FAKE_CUDA_DEVICES", "2");
    let scenarios = ["iso::named-device-generated", "iso::never-current"];
    let (code, said) = run(&driver, &[two], "reference@cuda?peers=on&placement=ordered", &scenarios);
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
    let shared = shared(&driver); // a neighbour is another process
    for options in ["ballast=real&placement=ordered", "ballast=neighbour"] {
        let target = format!("reference@cuda?{options}");
        let (code, said) = run(&driver, &[("FAKE_CUDA_SHARED", &shared)], &target, &scenarios);
        assert_eq!(code, Some(0), "{target}: {said}");
    }
}

#[test]
fn a_card_that_others_have_filled_is_told_with_its_figures() {
    let driver = fake("crowded", &[]);
    let (code, said) = run(&driver, &[("FAKE_CUDA_BYTES", "1074790400")], "reference@cuda", &["zero::answered"]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("GPU 0 has 1023 MiB free, and 1 GiB are to be played on it"), "{said}");
    let (code, said) = run(&driver, &[("FAKE_CUDA_BYTES", "419430400")], "reference@cuda", &["zero::answered"]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("`reference@cuda` has 400 MiB of memory here, and 1 GiB are wanted"), "{said}");
    let (code, said) =
        run(&driver, &[("FAKE_CUDA_BYTES", "1181116006")], "reference@cuda", &["tele::used-and-reserved"]);
    assert_eq!(code, Some(0), "room enough: {said}");
    let (code, said) = run(&driver, &[("FAKE_CUDA_BYTES", "2097152")], "reference@cuda", &["zero::answered"]);
    assert_eq!(code, Some(3), "{said}");
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn a_run_that_names_no_target_takes_the_gpu_too_where_there_is_one() {
    let driver = fake("both", &[]);
    let run = |environment: &[(&str, &str)]| {
        let _ = std::fs::remove_dir_all(driver.join("out"));
        let output = poolproof(&driver, environment, &["run", "--scenario", "strm::same-stream", "--lang", "en"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let ran = |target: &str| driver.join("out").join(target).join("report.md").is_file();
        ((ran("reference@sim"), ran("reference@cuda")), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (ran, said) = run(&[]);
    assert_eq!(ran, (true, true), "{said}");
    for (environment, why) in [
        (("FAKE_CUDA_DEVICES", "0"), "there is a CUDA driver, but no GPU that it can use"),
        (("FAKE_CUDA_VERSION", "10020"), "the CUDA driver is for CUDA 10.2"),
    ] {
        let (ran, said) = run(&[environment]);
        assert_eq!(ran, (true, false), "{said}");
        assert!(said.contains("only reference@sim is run") && said.contains(why), "{said}");
    }
    let help = poolproof(&driver, &[], &["run", "--help"]);
    let help = String::from_utf8_lossy(&help.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(help.contains("[default: reference@sim, and reference@cuda where a GPU is usable]"), "{help}");
}

#[test]
fn a_neighbour_holds_what_it_says_and_ends_when_it_should() {
    let driver = fake("neighbour", &[]);
    let call = |environment: &[(&str, &str)], arguments: &[&str]| {
        let output = poolproof(&driver, environment, &[&["neighbour"], arguments].concat());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let small = [("FAKE_CUDA_BYTES", "4294967296")];
    let (code, said, _) = call(&small, &["--leave", "1GiB"]);
    assert_eq!(
        (code, said.as_str()),
        (Some(0), "holding 2.99 GiB of GPU 0, 1 GiB are left\ngave 2.99 GiB of GPU 0 back\n")
    );
    let (code, said, _) = call(&small, &["--leave", "1GiB", "--churn", "--rate", "1000", "--time", "100ms"]);
    assert!(code == Some(0) && said.starts_with("holding up to 3 GiB of GPU 0, 1 GiB are left\ngave"), "{said}");
    assert!(said.ends_with(" changes were made, 0 refused\n") && !said.contains(" 0 changes"), "{said}");
    for (environment, arguments, code, why) in [
        (
            ("FAKE_CUDA_DEVICES", "1"),
            &["--leave", "1GiB", "--gpu", "1"][..],
            2,
            "there is no GPU 1: 1 can be used here",
        ),
        (("FAKE_CUDA_DEVICES", "0"), &["--leave", "1GiB"], 3, "`poolproof doctor` prints what there is"),
        (("FAKE_CUDA_BYTES", "1048576"), &["--leave", "1GiB"], 3, "`poolproof processes` says who holds it"),
        (("FAKE_CUDA_DEVICES", "1"), &["--leave", "lots"], 2, "`lots` is not a size"),
        (("FAKE_CUDA_DEVICES", "1"), &["--leave", "1GiB", "--rate", "5"], 2, "--churn"),
        (("FAKE_CUDA_DEVICES", "1"), &["--leave", "1GiB", "--churn", "--rate", "0"], 2, "changes a second"),
    ] {
        let (ended, _, said) = call(&[environment], arguments);
        assert_eq!(ended, Some(code), "{arguments:?}: {said}");
        assert!(said.contains(why) && !said.contains("panicked"), "{arguments:?}: {said}");
    }
}

/// Every option of the GPU targets gives another world than the scenarios ask for, and none of them convicts a sound
/// allocator. The areas are those whose explicit steps fill a device or count on its size.
#[test]
fn options_change_the_world_and_convict_nobody() {
    let driver = fake("options", &[]);
    let shared = shared(&driver); // a neighbour is another process
    let two = [("FAKE_CUDA_DEVICES", "2"), ("FAKE_CUDA_SHARED", shared.as_str())];
    for target in [
        "reference@cuda?device_bytes=96MiB&placement=ordered",
        "reference@cuda?device_bytes=64MiB&ballast=real&peers=on",
        "reference@cuda?device_bytes=64MiB&ballast=neighbour&deadline=10m",
        "reference@cuda?device_bytes=96MiB&config=large_segment_size_mb:32",
        "driver-pool@cuda?device_bytes=160MiB&ballast=real",
    ] {
        let explicit = ["oom::[!g]*[!d]", "frac::[!g]*[!d]", "zero::[!g]*[!d]"];
        let (code, said) = run(&driver, &two, target, &explicit);
        // Two sequences of each generated scenario seldom reach all that they must: 4 is no finding.
        assert!(matches!(code, Some(0 | 4)), "{target}: {code:?}: {said}");
        let passed = said.lines().find(|line| line.starts_with(target)).and_then(|line| line.split_whitespace().nth(2));
        assert!(passed.is_some_and(|n| n.parse::<u32>().is_ok_and(|n| n >= 1)), "{target}: {said}");
    }
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

//! Telemetry against libraries that answer like NVML in every kind of trouble, from inside and from outside.
//!
//! Decides what each trouble must become: a typed error or answer, the words of `processes` and `doctor`, and
//! the exit code. Needs no GPU and no driver; the libraries are one compilation of `tests/fakes/nvml.rs`.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use poolproof::bench;
use poolproof::cuda::telemetry::{GpuProcess, ProcessList, Query, Telemetry, TelemetryError};
use poolproof::device::Device;
use poolproof::device::sim::SimDevice;
use tempfile::TempDir;

#[expect(dead_code, reason = "each test uses some of it")]
mod fakes;

/// The fake as compiled, its case not yet written.
fn compiled() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let library = fakes::nvml(folder.path()).expect("rustc is where cargo test runs");
        fs::read(library).expect("rustc wrote it")
    })
}

/// Writes `to` over every `from`, which must be there and as long.
fn overwrite(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    assert_eq!(from.len(), to.len());
    let mut places = 0;
    for i in 0..=bytes.len() - from.len() {
        if bytes[i..].starts_with(from) {
            bytes[i..i + to.len()].copy_from_slice(to);
            places += 1;
        }
    }
    assert!(places > 0, "{} is not in the library", String::from_utf8_lossy(from));
}

/// A library in trouble, in a folder of its own.
struct Fake {
    folder: TempDir,
}

impl Fake {
    fn of(bytes: &[u8]) -> Fake {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("libnvidia-ml.so.1"), bytes).expect("a temporary folder");
        Fake { folder }
    }

    fn case(name: &str) -> Fake {
        let mut bytes = compiled().to_vec();
        overwrite(
            &mut bytes,
            b"@case:plain.....................",
            format!("{:.<32}", format!("@case:{name}")).as_bytes(),
        );
        Fake::of(&bytes)
    }

    /// Without one function.
    fn without(function: &str) -> Fake {
        let mut bytes = compiled().to_vec();
        let renamed = format!("X{}", &function[1..]);
        overwrite(&mut bytes, format!("\0{function}\0").as_bytes(), format!("\0{renamed}\0").as_bytes());
        Fake::of(&bytes)
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("libnvidia-ml.so.1")
    }

    #[track_caller]
    fn open(&self) -> Telemetry {
        Telemetry::open(Some(&self.path())).expect("this case opens")
    }

    #[track_caller]
    fn refusal(&self) -> TelemetryError {
        Telemetry::open(Some(&self.path())).expect_err("this case does not open")
    }

    /// What the program says of it: exit code, stdout, stderr; the path and the program's number blanked.
    fn say(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_poolproof"));
        command.args(arguments).arg("--nvml-lib").arg(self.path()).stdin(Stdio::null());
        command.env_remove("RUST_LOG").env("NO_COLOR", "1").stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().expect("the program was built for this test");
        let own = format!("{:>10}", child.id());
        let output = child.wait_with_output().expect("it ends");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let said = format!("exit {:?}\n{}{}", output.status.code(), text(&output.stdout), text(&output.stderr));
        assert!(!said.contains("panicked"), "{said}");
        let said = said.replace(self.folder.path().to_str().expect("a temporary path is text"), "DIR");
        said.replace(&own, "       OWN").replace(&format!("\"pid\": {}", own.trim()), "\"pid\": OWN")
    }
}

fn pids(list: Result<ProcessList, TelemetryError>) -> Vec<u32> {
    list.expect("a list").processes.iter().map(|p| p.pid).collect()
}

const SOMEBODY: u32 = 4_194_400;

#[test]
fn a_healthy_library_is_read() {
    let fake = Fake::case("two");
    let telemetry = fake.open();
    assert_eq!(telemetry.device_count(), Ok(2));
    assert_eq!(telemetry.driver().version.as_deref(), Ok("580.00.01"));
    let memory = telemetry.memory(1).expect("it says");
    assert_eq!(memory.total_bytes, memory.used_bytes + memory.free_bytes + memory.reserved_bytes);
    let list = telemetry.processes(0).expect("a list").processes;
    let own = |p: &GpuProcess| (p.is_own, p.name.is_some(), p.used_bytes);
    let seen: Vec<_> = list.iter().map(own).collect();
    assert_eq!(seen, [(true, true, Some(3 << 20)), (false, false, Some(1 << 30)), (false, false, None)]);
    assert_eq!(telemetry.memory(2), Err(TelemetryError::NoSuchDevice { device: 2, count: 2 }));
}

#[test]
fn a_library_that_is_missing_or_no_library() {
    let fake = Fake::of(b"this is not an ELF file, whatever its name says");
    assert!(matches!(fake.refusal(), TelemetryError::LibraryUnusable { .. }), "{:?}", fake.refusal());
    assert!(
        fake.say(&["processes"])
            .starts_with("exit Some(3)\nerror: NVML's library `DIR/libnvidia-ml.so.1` cannot be loaded: ")
    );
    fs::remove_file(fake.path()).expect("it was there");
    assert!(matches!(fake.refusal(), TelemetryError::LibraryMissing { .. }), "{:?}", fake.refusal());
}

#[test]
fn a_symbol_that_is_missing() {
    for function in ["nvmlInit_v2", "nvmlShutdown"] {
        assert_eq!(Fake::without(function).refusal(), TelemetryError::SymbolMissing { function });
    }
    let old = Fake::without("nvmlDeviceGetMemoryInfo_v2");
    let missing = TelemetryError::SymbolMissing { function: "nvmlDeviceGetMemoryInfo_v2" };
    assert_eq!(old.open().memory(0), Err(missing), "the rest still answers");
    let older = Fake::without("nvmlDeviceGetComputeRunningProcesses_v3").open().processes(0);
    let missing = TelemetryError::SymbolMissing { function: "nvmlDeviceGetComputeRunningProcesses_v3" };
    assert_eq!(older, Err(missing));
}

#[test]
fn a_driver_that_is_not_ready() {
    assert_eq!(Fake::case("driver-not-loaded").refusal(), TelemetryError::DriverNotLoaded);
    assert_eq!(Fake::case("mismatch").refusal(), TelemetryError::VersionMismatch);
    let strange = TelemetryError::Failed { query: Query::Init, device: None, code: 77 };
    assert_eq!(Fake::case("init-strange").refusal(), strange);
}

#[test]
fn a_user_who_may_not() {
    let init = TelemetryError::NoPermission { query: Query::Init, device: None };
    assert_eq!(Fake::case("init-denied").refusal(), init);
    let fake = Fake::case("denied");
    let list = TelemetryError::NoPermission { query: Query::ComputeProcesses, device: Some(0) };
    assert_eq!(fake.open().processes(0), Err(list));
}

#[test]
fn processes_that_end_between_two_calls() {
    assert_eq!(pids(Fake::case("gone").open().processes(0)), [SOMEBODY]);
    assert_eq!(pids(Fake::case("all-gone").open().processes(0)), Vec::<u32>::new());
}

#[test]
fn a_list_that_grows_between_two_calls() {
    let again = pids(Fake::case("growing-once").open().processes(0));
    assert_eq!(again, (SOMEBODY..SOMEBODY + 9).collect::<Vec<_>>(), "the second reading has them all");
    let fake = Fake::case("growing");
    assert_eq!(fake.open().processes(0), Err(TelemetryError::ListKeptGrowing { device: 0, attempts: 6 }));
    let impossible = Fake::case("impossible").open().processes(0);
    assert_eq!(impossible, Err(TelemetryError::TooManyProcesses { device: 0, count: u32::MAX }));
}

#[test]
fn figures_that_are_kept_back() {
    let fake = Fake::case("memory-unavailable");
    let telemetry = fake.open();
    assert_eq!(telemetry.memory(0), Err(TelemetryError::NotSupported { query: Query::Memory, device: Some(0) }));
    assert_eq!(telemetry.processes(0).expect("a list").processes[0].used_bytes, None);
}

#[test]
fn no_device_and_a_lost_one() {
    assert_eq!(Fake::case("none").open().device_count(), Ok(0));
    let lost = Fake::case("lost");
    assert_eq!(lost.open().memory(0), Err(TelemetryError::GpuLost { device: Some(0) }));
}

#[test]
fn names_are_safe_to_print() {
    let fake = Fake::case("escapes");
    assert_eq!(fake.open().device(0).expect("a device").name.as_deref(), Ok("NVIDIA ?[31mred"));
    let garbled = Fake::case("not-text").open().device(0).expect("a device").name;
    assert_eq!(garbled, Err(TelemetryError::NotText { query: Query::Name, device: Some(0) }));
}

/// The NVML part of what `doctor` says: the rest is the machine's that runs the test.
#[test]
fn what_doctor_says_of_nvml() {
    let mut said = String::new();
    for case in ["two", "driver-not-loaded", "memory-unavailable", "none", "not-text"] {
        let answer = Fake::case(case).say(&["doctor", "--python", "no-such-python"]);
        assert!(answer.starts_with("exit Some(0)\n"), "{answer}");
        assert!(answer.contains("Python: `no-such-python` is not installed"), "{answer}");
        let is_nvml = |line: &&str| line.to_lowercase().contains("nvml");
        let lines: Vec<&str> = answer.lines().filter(is_nvml).filter(|line| !line.contains("cuda:")).collect();
        said.push_str(&format!("== {case}\n{}\n\n", lines.join("\n")));
    }
    insta::assert_snapshot!(said);
    let answer = Fake::case("two").say(&["doctor", "--json", "--python", "no-such-python"]);
    let value: serde_json::Value = serde_json::from_str(answer.trim_start_matches("exit Some(0)\n")).expect("JSON");
    assert_eq!(value["nvml"]["devices"][1]["uuid"], "GPU-11111111-1111-1111-1111-111111111111");
    assert_eq!(value["python"]["interpreter"]["state"], "absent");
}

/// A figure that never moves is followed never, and that is what is said.
#[test]
fn a_figure_that_stands_still_is_not_said_to_follow() {
    let fake = Fake::case("plain");
    let telemetry = fake.open();
    let mut device = SimDevice::new(0, 8 << 30, 1);
    let mut gauge = |_: &mut dyn Device| Ok(telemetry.memory(0)?.used_bytes);
    let mut time = Duration::ZERO;
    let mut now = || {
        time += Duration::from_micros(100);
        time
    };
    let followed = bench::follow(&mut device, &mut gauge, &mut now, 100, 10).expect("it answers");
    assert_eq!((followed.changes, followed.shown, followed.delay_median), (10, 0, None));
    assert!(followed.worst_error_bytes >= 160 << 20, "{followed:?}");
    let lost = Fake::case("lost");
    let telemetry = lost.open();
    let mut gauge = |_: &mut dyn Device| Ok(telemetry.memory(0)?.used_bytes);
    let error = bench::follow(&mut device, &mut gauge, &mut now, 100, 10).expect_err("the device is lost");
    assert_eq!(error.to_string(), "the device has fallen off the bus (device 0)");
}

/// Every trouble in the words of the program, one below the other.
#[test]
fn what_processes_says() {
    let mut said = String::new();
    let mut add = |title: &str, fake: &Fake, arguments: &[&str]| {
        let answer = fake.say(&[&["processes"], arguments].concat());
        said.push_str(&format!("== {title} {}\n{}\n", arguments.join(" "), answer));
    };
    let two = Fake::case("two");
    for arguments in [&[][..], &["--device", "1"], &["--device", "2"], &["--json"]] {
        add("two", &two, arguments);
    }
    let gone = Fake::of(b"");
    fs::remove_file(gone.path()).expect("it was there");
    add("no library", &gone, &[]);
    for function in ["nvmlInit_v2", "nvmlDeviceGetMemoryInfo_v2", "nvmlDeviceGetComputeRunningProcesses_v3"] {
        add(&format!("without {function}"), &Fake::without(function), &[]);
    }
    for case in [
        "driver-not-loaded",
        "mismatch",
        "init-denied",
        "init-strange",
        "denied",
        "gone",
        "all-gone",
        "growing",
        "impossible",
        "memory-unavailable",
        "no-graphics",
        "none",
        "lost",
    ] {
        add(case, &Fake::case(case), &[]);
    }
    add("driver-not-loaded", &Fake::case("driver-not-loaded"), &["--json"]);
    insta::assert_snapshot!(said);
}

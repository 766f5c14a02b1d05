//! The tables that `tidy` holds the tree against: rooms by floor, what each sees, doors, and where `unsafe` may stand.

/// Every room by floor. A room sees the rooms of lower floors, and none of its own or above.
pub const FLOORS: [(u8, &[&str]); 7] = [
    (6, &["cli"]),
    (5, &["bench", "contract", "doctor", "matrix", "monitor", "setup", "standalone", "stress"]),
    (4, &["engine", "replay", "report"]),
    (3, &["workload", "oracle", "simcuda", "target"]),
    (2, &["reference", "model", "cuda", "cudart"]),
    (1, &["device", "spec", "verdict", "recording"]),
    (0, &["op", "requirement", "input", "files", "child"]),
];

/// The crates below `crates/` that are one room each; the others, and the program, have a folder a room.
pub const ONE_ROOM: [&str; 5] = ["cuda", "cudart", "device", "reference", "simcuda"];

/// What a room sees of the floors below it, tests apart.
#[rustfmt::skip]
pub const EDGES: [(&str, &[&str]); 29] = [
    ("cli", &["bench", "contract", "cuda", "doctor", "engine", "matrix", "monitor", "op", "oracle", "reference", "replay", "report", "requirement", "setup", "spec", "standalone", "stress", "target", "verdict", "workload"]),
    ("bench", &["child", "cuda", "device", "engine", "input", "op", "recording", "reference", "target"]),
    ("contract", &["child", "engine", "spec", "verdict"]),
    ("doctor", &["child", "cuda", "target"]),
    ("matrix", &["engine", "op", "requirement", "spec", "target", "verdict"]),
    ("monitor", &["child", "engine", "spec", "verdict"]),
    ("setup", &["child", "files", "target"]),
    ("standalone", &["child", "files", "op", "report", "target", "verdict"]),
    ("stress", &["child", "device", "engine", "op", "reference", "target", "workload"]),
    ("engine", &["child", "device", "files", "input", "model", "op", "oracle", "recording", "reference", "requirement", "spec", "target", "verdict", "workload"]),
    ("replay", &["child", "device", "input", "op", "recording", "reference", "target"]),
    ("report", &["files", "input", "op", "requirement", "verdict"]),
    ("workload", &["op", "spec"]),
    ("oracle", &["model", "op", "requirement", "verdict"]),
    ("target", &["child", "cuda", "cudart", "device", "op", "reference"]),
    ("reference", &["device", "op", "requirement"]),
    ("cuda", &["device", "op"]),
    ("cudart", &["device", "op"]),
    ("simcuda", &["cudart", "device", "op"]),
    ("model", &["op"]),
    ("device", &["op"]),
    ("spec", &["input", "op", "requirement"]),
    ("verdict", &["op", "requirement"]),
    ("recording", &["input", "op"]),
    ("op", &[]),
    ("requirement", &[]),
    ("input", &[]),
    ("files", &[]),
    ("child", &[]),
];

/// What only some rooms may reach for: a crate, or a module of one. Test files may as well.
pub const DOORS: [(&str, &str, &[&str]); 20] = [
    ("clap", "", &["cli"]),
    ("command_fds", "", &["child"]),
    ("cudarc", "", &["cuda"]),
    ("env_logger", "", &["cli"]),
    ("indicatif", "", &["cli"]),
    ("include_dir", "", &["spec"]),
    ("libc", "", &["child", "simcuda"]),
    ("libloading", "", &["cuda", "simcuda", "target"]),
    ("nix", "", &["device"]),
    ("nvml_wrapper", "", &["cuda"]),
    ("proptest", "", &["workload"]),
    ("quick_junit", "", &["report"]),
    ("rmp_serde", "", &["target"]),
    ("rustls", "", &["setup"]),
    ("rustls_native_certs", "", &["setup"]),
    ("serde_yaml", "", &["spec"]),
    ("signal_hook", "", &["cli"]),
    ("ureq", "", &["setup"]),
    ("zip", "", &["setup"]),
    ("std", "env", &["cli", "doctor", "engine", "setup", "simcuda", "target"]),
];

/// Files that may hold `unsafe`.
pub const UNSAFE: [&str; 19] = [
    "crates/cuda/src/calls.rs",
    "crates/cuda/src/driver.rs",
    "crates/cuda/src/library.rs",
    "crates/cuda/src/probe.rs",
    "src/target/plugin/library.rs",
    "src/child/fork.rs",
    "src/target/c10/library.rs",
    "crates/cudart/src/runtime.rs",
    "crates/cudart/src/driver.rs",
    "crates/cudart/src/nvml.rs",
    "crates/cudart/src/exports.rs",
    "crates/cudart/src/tests.rs",
    "crates/cudart/src/contexts.rs",
    "crates/cudart/src/copies.rs",
    "crates/cudart/src/launch.rs",
    "crates/cudart/src/properties.rs",
    "crates/simcuda/src/control.rs",
    "crates/simcuda/src/lib.rs",
    "crates/simcuda/src/libraries.rs",
];

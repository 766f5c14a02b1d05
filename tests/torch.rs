//! A live PyTorch as a target, over simulated devices: it keeps what its allocator keeps, step by step as its release's policy has it, and a
//! process that goes wrong costs one sequence. Without a Python that has torch listed as ignored, with what is missing.
#![cfg(target_os = "linux")]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};

/// Names the interpreter that has torch.
const PYTHON: &str = "POOLPROOF_TORCH_PYTHON";

const PROGRAM: &str = env!("CARGO_BIN_EXE_poolproof");

fn main() -> ExitCode {
    let python = std::env::var_os(PYTHON).map(PathBuf::from);
    let library = Path::new(PROGRAM).with_file_name("libpoolproof_simcuda.so");
    let missing = match &python {
        None => {
            Some(format!("needs torch: {PYTHON}=.venv/bin/python cargo test --test torch (pip install torch==2.11.0)"))
        }
        Some(_) if !library.is_file() => Some("needs the library: cargo build -p poolproof-simcuda".to_owned()),
        Some(_) => None,
    };
    let python = python.unwrap_or_default();
    let named = |options: &str| format!("torch@sim?python={}{options}", python.display());
    let [plain, pages, spoiled] =
        [named(""), named("&expandable_segments:True"), named("&env=PYTHONPATH=/nowhere&deadline=60s")];
    let mut trials = Vec::new();
    let mut add = |name: &str, missing: Option<String>, trial: Box<dyn FnOnce() -> Result<(), Failed> + Send>| {
        let is_ignored = missing.is_some();
        trials.push(Trial::test(name, trial).with_kind(missing.unwrap_or_default()).with_ignored_flag(is_ignored));
    };
    add("torch::policy-of-its-release", missing.clone(), Box::new(move || exact(&plain)));
    add("torch::policy-of-its-release-by-pages", missing.clone(), Box::new(move || exact(&pages)));
    add("torch::promises", missing, Box::new(move || promises(&spoiled)));
    add("without-torch::says-so", None, Box::new(without_torch));
    let python = Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success());
    let missing = (!python).then(|| "needs python3".to_owned());
    add("front::says-what-was-answered-before-an-end", missing.clone(), Box::new(answered_before_an_end));
    add("figures::in-the-order-of-the-protocol", missing, Box::new(figures_in_order));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Runs some scenarios and returns the exit code, the record and all that was printed.
fn run(target: &str, options: &[&str]) -> Result<(Option<i32>, serde_json::Value, String), Failed> {
    let out = tempfile::tempdir()?;
    let mut command = Command::new(PROGRAM);
    command.args(["run", "--target", target, "--no-regressions", "--jobs", "1", "--out"]).arg(out.path()).args(options);
    let output = command.output()?;
    let said = format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let record = std::fs::read_dir(out.path())?.flatten().map(|entry| entry.path().join("run.json"));
    let record =
        record.filter_map(|path| std::fs::read(path).ok()).find_map(|bytes| serde_json::from_slice(&bytes).ok());
    Ok((output.status.code(), record.unwrap_or_default(), said))
}

fn exact(target: &str) -> Result<(), Failed> {
    let options = ["--only-exact", "--scenario", "{trim,peak,frac}::*", "--cases", "6"];
    let (code, record, said) = run(target, &options)?;
    let scenarios = record["scenarios"].as_array().ok_or("no record")?;
    let operations: u64 = scenarios.iter().filter_map(|scenario| scenario["operations"].as_u64()).sum();
    if code == Some(0) && operations > 2_000 && record["findings"].as_array().is_some_and(Vec::is_empty) {
        return Ok(());
    }
    Err(format!("exit code {code:?} after {operations} operations\n{said}").into())
}

/// An interpreter that starts without its own variables finds torch all the same, and the judges have nothing to say.
fn promises(target: &str) -> Result<(), Failed> {
    let (code, record, said) = run(target, &["--no-exact", "--scenario", "zero::*", "--cases", "4"])?;
    let judged = record["scenarios"].as_array().into_iter().flatten();
    let passed = judged.filter(|scenario| scenario["outcome"] == "pass").count();
    if code == Some(0) && passed >= 5 {
        Ok(())
    } else {
        Err(format!("exit code {code:?}, {passed} passed\n{said}").into())
    }
}

/// Answers that a process keeps come through where it dies, or stays in an operation.
fn answered_before_an_end() -> Result<(), Failed> {
    let of = |path: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let mut command = Command::new("python3");
    let output = command.arg("-B").arg(of("tests/fakes/answers.py")).arg(of("workers/torch")).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    if said == "dies: 1 2 3\nstays: 1 2 3 4\ngoes on: True\nis long: 1 long 2\n" {
        return Ok(());
    }
    Err(format!("{said}{}", String::from_utf8_lossy(&output.stderr)).into())
}

/// The worker tells figures as a list, and the harness reads them by their place in it.
fn figures_in_order() -> Result<(), Failed> {
    let script = "import sys; sys.path.insert(0, 'workers/torch'); import worker_shown; print(*worker_shown.NAMES)";
    let mut command = Command::new("python3");
    let output = command.args(["-B", "-c", script]).current_dir(env!("CARGO_MANIFEST_DIR")).output()?;
    let told = String::from_utf8_lossy(&output.stdout);
    if told.split_whitespace().eq(poolproof::op::stats::Key::all().map(|key| key.to_string())) {
        return Ok(());
    }
    Err(format!("{told}{}", String::from_utf8_lossy(&output.stderr)).into())
}

/// Python's own words come through.
fn without_torch() -> Result<(), Failed> {
    let (code, _, said) = run("torch@sim?python=no-such-python", &["--scenario", "zero::*"])?;
    if code != Some(3) || !said.contains("no-such-python") {
        return Err(format!("exit code {code:?}\n{said}").into());
    }
    let (code, _, said) = run("torch@sim?backend:cudaMallocAsync", &["--scenario", "zero::*"])?;
    if code == Some(3) && said.contains("torch@cuda has them") {
        Ok(())
    } else {
        Err(format!("exit code {code:?}\n{said}").into())
    }
}

//! Allocators that PyPI has, without a GPU: RMM's resources and ONNX Runtime's arena do what they are known to do and nothing else,
//! and each script of `reports/trophies/` still shows what it was written for. What was not set up is listed as ignored.
#![cfg(target_os = "linux")]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output, Stdio};

use libtest_mimic::{Arguments, Failed, Trial};
use poolproof::setup;
use poolproof::target::TargetName;
use poolproof::target::packaged::{Environment, Package, Release};
use poolproof::verdict::Outcome;
use poolproof::verdict::record::RunRecord;

/// Stacks of resources, every kind among them.
const STACKS: [&str; 16] = [
    "pool:initial=1MiB",
    "pool:max=33%",
    "pool:max=3KiB",
    "guard+pool:initial=1MiB",
    "fixed",
    "guard+fixed:block=64KiB,count=4",
    "binning",
    "guard+binning:min=8,max=12,count=4",
    "limiting:limit=33%",
    "tracking",
    "statistics",
    "failure",
    "prefetch",
    "guard+statistics+limiting+pool",
    "guard+tracking+binning+pool",
    "guard+failure+prefetch+statistics+pool",
];

/// So many of them, one for each kind at least, are tried of the newest release; the others take minutes (`-- --include-ignored`).
const TRIED: [&str; 5] = [
    "pool:initial=1MiB",
    "guard+fixed:block=64KiB,count=4",
    "limiting:limit=33%",
    "guard+tracking+binning+pool",
    "guard+failure+prefetch+statistics+pool",
];

/// Settings of the arena.
const ARENAS: [&str; 3] = ["extend=same", "extend=same&max_dead=1024", "extend=power"];

/// What has to be found, by target: a promise that it breaks. Were nothing found there, nothing would be shown by the rest.
const FOUND: [(Package, &str, &str); 5] = [
    (Package::Rmm, "pool", "HUGE-02"),
    (Package::Rmm, "fixed", "HUGE-02"),
    (Package::Rmm, "guard+pool:max=3KiB", "FRAC-01"),
    (Package::Rmm, "statistics", "ZERO-01"),
    (Package::Onnx, "extend=same&max_dead=0", "LIVE-02"),
];

fn main() -> ExitCode {
    let mut trials = Vec::new();
    let cache = setup::cache().unwrap_or_default();
    for package in Package::ALL {
        for release in package.releases() {
            let environment = Environment::below(&cache, package, release);
            let name = format!("{}-{}", package.name(), release.version);
            let missing = (!environment.is_there()).then(|| missing(package, release));
            let stacks: &[&str] = if package == Package::Rmm { &STACKS } else { &ARENAS };
            let is_newest = package.releases().first().is_some_and(|newest| newest.version == release.version);
            for what in stacks {
                let environment = environment.clone();
                let is_tried = package == Package::Onnx || is_newest && TRIED.contains(what);
                let left_out =
                    (!is_tried).then(|| "takes long: cargo test --test foreign -- --include-ignored".to_owned());
                let why = missing.as_ref().or(left_out.as_ref());
                add(&mut trials, format!("{name}::nothing_but_what_is_known::{what}"), why, move || {
                    known(&environment, what)
                });
            }
            for (_, what, promise) in FOUND.iter().filter(|found| found.0 == package) {
                let environment = environment.clone();
                add(&mut trials, format!("{name}::found::{promise}::{what}"), missing.as_ref(), move || {
                    found(&environment, what, promise)
                });
            }
            for script in scripts(package) {
                let environment = environment.clone();
                let stem = script.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                add(&mut trials, format!("{name}::script::{stem}"), missing.as_ref(), move || {
                    shows(&environment, &script)
                });
            }
            let environment = environment.clone();
            add(&mut trials, format!("{name}::speaks_the_protocol"), missing.as_ref(), move || speaks(&environment));
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn missing(package: Package, release: &Release) -> String {
    let (name, version) = (package.name(), release.version);
    format!("needs {name} {version}: poolproof setup {name} --version {version}")
}

fn add(
    trials: &mut Vec<Trial>,
    name: String,
    missing: Option<&String>,
    trial: impl FnOnce() -> Result<(), Failed> + Send + 'static,
) {
    let kind = missing.cloned().unwrap_or_default();
    trials.push(Trial::test(name, trial).with_kind(kind).with_ignored_flag(missing.is_some()));
}

fn poolproof(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_poolproof"));
    command.current_dir(folder).stdin(Stdio::null());
    for name in ["PROPTEST_CASES", "GITHUB_STEP_SUMMARY", "RUST_LOG"] {
        command.env_remove(name);
    }
    command
}

fn target(environment: &Environment, what: &str) -> Result<TargetName, Failed> {
    let (package, version) = (environment.package, environment.version);
    let asked = if package == Package::Rmm { format!("mr={what}") } else { what.to_owned() };
    Ok(format!("{}@host?{asked}&version={version}", package.name()).parse::<TargetName>()?)
}

fn run(environment: &Environment, what: &str, scenarios: &str) -> Result<(Output, RunRecord), Failed> {
    let folder = tempfile::tempdir()?;
    let target = target(environment, what)?;
    let arguments = ["run", "--out", "o", "--jobs", "2", "--cases", "1", "--no-regressions", "--scenario", scenarios];
    let output = poolproof(folder.path()).args(arguments).args(["--target", &target.to_string()]).output()?;
    let path = folder.path().join("o").join(target.folder()).join("run.json");
    let text = std::fs::read(&path).map_err(|e| format!("{e}: {}", String::from_utf8_lossy(&output.stderr)))?;
    Ok((output, serde_json::from_slice(&text)?))
}

/// Every failure is one that is expected, and something passed.
fn known(environment: &Environment, what: &str) -> Result<(), Failed> {
    let (output, record) = run(environment, what, "*")?;
    let is_bad = |outcome: Outcome| {
        matches!(outcome, Outcome::Fail | Outcome::Blocked | Outcome::Broken | Outcome::UnexpectedPass)
    };
    let bad: Vec<&str> = record.scenarios.iter().filter(|s| is_bad(s.outcome)).map(|s| s.id.as_str()).collect();
    let passed = record.scenarios.iter().filter(|s| s.outcome == Outcome::Pass).count();
    // Behind the guard only a maximum brings out what is known, so that nothing else is excused there.
    let is_clean = !what.starts_with("guard+") || what.contains("max=3") || record.findings.is_empty();
    if is_clean && bad.is_empty() && passed > 0 {
        return Ok(());
    }
    Err(format!("{passed} passed; not expected: {bad:?}\n{}", String::from_utf8_lossy(&output.stdout)).into())
}

fn found(environment: &Environment, what: &str, promise: &str) -> Result<(), Failed> {
    let area = promise.split('-').next().unwrap_or_default().to_lowercase();
    let (output, record) = run(environment, what, &format!("{{{area},live}}::*"))?;
    if record.findings.iter().any(|finding| finding.id.starts_with(promise)) {
        return Ok(());
    }
    Err(format!("{promise} is not among the findings\n{}", String::from_utf8_lossy(&output.stdout)).into())
}

fn scripts(package: Package) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("reports/trophies");
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_of = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(package.name()) && path.extension().is_some_and(|extension| extension == "py")
    };
    let mut scripts: Vec<PathBuf> = entries.filter(is_of).collect();
    scripts.sort();
    scripts
}

/// It exits 1, after what is expected and what is there instead.
fn shows(environment: &Environment, script: &Path) -> Result<(), Failed> {
    let python = environment.folder.join("python3");
    let output = Command::new(python).arg(script).env("PYTHONPATH", environment.site()).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    if output.status.code() == Some(1) && said.contains("expected:") && said.contains("actual:") {
        return Ok(());
    }
    Err(format!("{}: {said}{}", output.status, String::from_utf8_lossy(&output.stderr)).into())
}

/// `check-worker` finds nothing wrong with the adapter.
fn speaks(environment: &Environment) -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let what = if environment.package == Package::Rmm { "guard+statistics+limiting+pool" } else { "extend=same" };
    let target = target(environment, what)?;
    let output = poolproof(folder.path()).arg("check-worker").arg(target.to_string()).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    if output.status.code() == Some(0) && said.contains("nothing is wrong") {
        Ok(())
    } else {
        Err(said.into_owned().into())
    }
}

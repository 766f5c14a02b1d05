//! Shared libraries of PyTorch's pluggable form: the example is sound and each of its mistakes is found; one that ends its
//! process is convicted and the run goes on; what cannot be loaded is said so. Without a C compiler listed as ignored.
#![cfg(target_os = "linux")]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output, Stdio};
use std::sync::OnceLock;

use libtest_mimic::{Arguments, Failed, Trial};
use poolproof::target::TargetName;
use poolproof::verdict::Outcome;
use poolproof::verdict::record::RunRecord;
use tempfile::TempDir;

/// Each mistake of the example, with the promises that it may be found to break.
const MISTAKES: [(&str, &[&str]); 6] = [
    ("pools", &["PRIV-02", "PRIV-03"]),
    ("recorded", &["STRM-02"]),
    ("streams", &["STRM-01", "MEM-03"]),
    ("neighbours", &["STRM-01", "STRM-02"]),
    ("rounds", &["MEM-01", "MEM-02", "MEM-03"]),
    ("forgets", &["LEAK-01", "GROW-01"]),
];

/// Ways for a library to end its process, and what is said of it.
const ENDS: [(&str, &str); 4] = [
    ("abort", "signal 6 (SIGABRT)"),
    ("exit", "exit code 0"),
    ("segfault", "signal 11 (SIGSEGV)"),
    ("throw", "signal 6 (SIGABRT)"),
];

fn main() -> ExitCode {
    let (has_cc, has_cxx) = (has("cc"), has("c++"));
    let mut trials = Vec::new();
    let mut add =
        |name: String, works: bool, missing: &str, trial: fn(&str) -> Result<(), Failed>, what: &'static str| {
            let kind = if works { String::new() } else { format!("needs {missing}: apt-get install g++") };
            trials.push(Trial::test(name, move || trial(what)).with_kind(kind).with_ignored_flag(!works));
        };
    add("example_is_sound".into(), has_cc, "cc", sound, "");
    add("private_pools_are_tried".into(), has_cc, "cc", pools, "");
    for (mistake, _) in MISTAKES {
        add(format!("mistake_is_found::{mistake}"), has_cc, "cc", found, mistake);
    }
    for (how, _) in ENDS {
        let compiler = if how == "throw" { "c++" } else { "cc" };
        add(format!("end_is_a_finding::{how}"), has_cc && (how != "throw" || has_cxx), compiler, ended, how);
    }
    add("threads_that_share_a_block_are_caught".into(), has_cc, "cc", stressed, "");
    add("alloc_and_free_alone_are_judged".into(), has_cc, "cc", plain, "");
    add("what_cannot_be_loaded_is_said".into(), has_cc, "cc", refused, "");
    let mut arguments = Arguments::from_args();
    // Each waits for processes more than it works.
    arguments.test_threads.get_or_insert(4);
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn has(program: &str) -> bool {
    let asked = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    asked.is_ok_and(|status| status.success())
}

/// Builds a library once for all trials.
fn built(compiler: &str, source: &str, name: &'static str, more: &[&str]) -> Result<PathBuf, Failed> {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| tempfile::tempdir().expect("a temporary folder"));
    let (source, path) = (Path::new(env!("CARGO_MANIFEST_DIR")).join(source), folder.path().join(name));
    let own = tempfile::NamedTempFile::new_in(folder)?;
    let arguments = ["-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-pthread"];
    let output = Command::new(compiler).args(arguments).args(more).arg(source).arg("-o").arg(own.path()).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    // Two trials may build the same: the file appears whole.
    own.persist(&path)?;
    Ok(path)
}

fn example() -> Result<PathBuf, Failed> {
    built("cc", "examples/plugin/allocator.c", "liballocator.so", &[])
}

fn poolproof(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_poolproof"));
    command.current_dir(folder).stdin(Stdio::null());
    for name in ["PROPTEST_CASES", "GITHUB_STEP_SUMMARY", "RUST_LOG", "MISTAKE", "HOW", "AT"] {
        command.env_remove(name);
    }
    command
}

fn run(target: &str, more: &[&str]) -> Result<(Output, RunRecord), Failed> {
    let folder = tempfile::tempdir()?;
    let arguments = ["run", "--no-regressions", "--out", "o", "--jobs", "2", "--target", target];
    let output = poolproof(folder.path()).args(arguments).args(more).output()?;
    let name: TargetName = target.parse()?;
    let path = folder.path().join("o").join(name.folder()).join("run.json");
    let text = std::fs::read(&path).map_err(|e| format!("{e}: {}", String::from_utf8_lossy(&output.stderr)))?;
    Ok((output, serde_json::from_slice(&text)?))
}

fn sound(_: &str) -> Result<(), Failed> {
    let (output, record) = run(&format!("plugin:{}@host?deadline=20s", example()?.display()), &["--cases", "2"])?;
    let is_sound = record.findings.is_empty() && output.status.code() == Some(0);
    let judged: std::collections::BTreeSet<_> =
        record.scenarios.iter().filter(|s| s.outcome == Outcome::Pass).map(|s| s.requirement).collect();
    if is_sound && judged.len() >= 30 {
        return Ok(());
    }
    Err(format!("{} requirements: {}", judged.len(), String::from_utf8_lossy(&output.stdout)).into())
}

/// A library with the three functions of pools that promises to keep what is cached has its private pools judged.
fn pools(_: &str) -> Result<(), Failed> {
    let target = format!("plugin:{}@host?deadline=20s&promises=caching+keeps_cached", example()?.display());
    let (output, record) = run(&target, &["--scenario", "priv::*", "--cases", "2"])?;
    let passed = record.scenarios.iter().filter(|s| s.outcome == Outcome::Pass).count();
    if passed >= 2 && record.findings.is_empty() && output.status.code() == Some(0) {
        return Ok(());
    }
    Err(format!("{passed} passed: {}", String::from_utf8_lossy(&output.stdout)).into())
}

fn found(mistake: &str) -> Result<(), Failed> {
    let promises =
        MISTAKES.iter().find(|(name, _)| *name == mistake).map(|(_, promises)| *promises).unwrap_or_default();
    // Where nothing tells what goes back to the device, only a promise does.
    let promises_made = if mistake == "pools" { "&promises=caching+keeps_cached" } else { "" };
    let target = format!("plugin:{}@host?deadline=20s&env=MISTAKE={mistake}{promises_made}", example()?.display());
    let areas: std::collections::BTreeSet<String> = promises
        .iter()
        .filter_map(|id| id.split('-').next())
        .map(|area| format!("{}::*", area.to_lowercase()))
        .collect();
    let chosen: Vec<&str> = areas.iter().flat_map(|area| ["--scenario", area]).collect();
    let (output, record) = run(&target, &[&["--cases", "8"], &chosen[..]].concat())?;
    let broken: Vec<String> = record.findings.iter().map(|f| f.requirement.to_string()).collect();
    let fits = broken.iter().any(|id| promises.contains(&id.as_str()));
    if fits && output.status.code() == Some(1) { Ok(()) } else { Err(format!("{mistake}: {broken:?}").into()) }
}

fn ended(how: &str) -> Result<(), Failed> {
    let says = ENDS.iter().find(|(name, _)| *name == how).map(|(_, says)| *says).unwrap_or_default();
    let library = if how == "throw" {
        built("c++", "tests/plugins/ends.c", "libthrows.so", &["-xc++"])?
    } else {
        built("cc", "tests/plugins/ends.c", "libends.so", &[])?
    };
    let target = format!("plugin:{}@host?alloc=take&free=give&env=HOW={how}&env=AT=7&deadline=20s", library.display());
    let (output, record) = run(&target, &["--scenario", "zero::plain*", "--scenario", "arg::device", "--cases", "2"])?;
    let [finding] = &record.findings[..] else { return Err(format!("{how}: {:?}", record.findings).into()) };
    let violation = &finding.violation;
    let told = |text: &str| violation.evidence.iter().any(|e| e.value.contains(text));
    let exception = how != "throw" || told("an exception left the library's alloc");
    let went_on = record.scenarios.iter().any(|s| s.outcome == Outcome::Pass);
    let fits = violation.message.en.contains(says) && violation.message.en.contains("during `alloc ");
    if fits && told("last words") && exception && went_on && output.status.code() == Some(1) {
        return Ok(());
    }
    Err(format!("{how}: {violation:?}, went on: {went_on}").into())
}

/// The sound example holds under real threads, and a block that two of them have is told.
fn stressed(_: &str) -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let stress = |library: &Path, options: &str, time: &str| {
        let target = format!("plugin:{}@host{options}", library.display());
        let arguments = ["stress", "--calls", "500", "--time", time, "--target", &target];
        poolproof(folder.path()).args(arguments).output()
    };
    let sound = stress(&example()?, "", "1s")?;
    let text = String::from_utf8_lossy(&sound.stdout).into_owned();
    if sound.status.code() != Some(0) || !text.contains("no violation") {
        return Err(format!("{:?}: {text}{}", sound.status.code(), String::from_utf8_lossy(&sound.stderr)).into());
    }
    let twice = built("cc", "tests/plugins/twice.c", "libtwice.so", &[])?;
    let torn = stress(&twice, "?free=give", "60s")?;
    let text = String::from_utf8_lossy(&torn.stdout).into_owned();
    let is_caught = text.contains("violation (overlap): two blocks were held at once: ");
    if torn.status.code() == Some(1) && is_caught && text.contains("the same calls again: ") {
        return Ok(());
    }
    Err(format!("{:?}: {text}", torn.status.code()).into())
}

/// Nothing but the two functions, over the system's malloc.
fn plain(_: &str) -> Result<(), Failed> {
    let library = built("cc", "tests/plugins/ends.c", "libplain.so", &[])?;
    let target = format!("plugin:{}@host?alloc=take&free=give&deadline=20s", library.display());
    let (_, record) = run(&target, &["--cases", "2"])?;
    // It does not wait for streams: what it gave back is written to still, by which it may crash. It is convicted of nothing else.
    let broken: Vec<String> = record.findings.iter().map(|f| f.requirement.to_string()).collect();
    let is_due = |id: &String| ["STRM-01", "MEM-03", "LIVE-02"].contains(&id.as_str());
    if !broken.is_empty() && broken.iter().all(is_due) { Ok(()) } else { Err(format!("{broken:?}").into()) }
}

fn refused(_: &str) -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes);
    let library = std::fs::read(example()?)?;
    write("good.so", &library)?;
    write("text.so", b"#!/bin/sh\n")?;
    write("short.so", &library[..200])?;
    let mut other = library.clone();
    other[18] = 243;
    write("other.so", &other)?;
    for (target, said) in [
        ("plugin:none.so@host", "./none.so: No such file"),
        ("plugin:text.so@host", "it is no shared library"),
        ("plugin:short.so@host", "it is cut short"),
        ("plugin:other.so@host", "it is built for riscv"),
        ("plugin:good.so@host?alloc=my_maloc", "no function `my_maloc`: did you mean `my_malloc`?"),
        ("plugin:good.so@host?trim=sweep", "no function `sweep`"),
        ("plugin:good.so@sim", "@host or @cuda"),
        ("plugin:good.so@host?colour=red", "has no option `colour`"),
    ] {
        let output = poolproof(folder.path()).args(["run", "--no-regressions", "--target", target]).output()?;
        let text = String::from_utf8_lossy(&output.stderr);
        if output.status.code() != Some(2) || text.matches(said).count() != 1 {
            return Err(format!("{target}: {:?}: {text}", output.status.code()).into());
        }
    }
    Ok(())
}

//! `poolproof monitor` from outside, with a few dozen lines of Python in PyTorch's place (`tests/fakes/torch`).
//!
//! Decides nothing about PyTorch: that rows get processes and verdicts, that costs are measured, and that there is a report.

#![cfg(target_os = "linux")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// With the stand-in where Python looks first.
fn monitor(folder: &TempDir, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_poolproof"));
    command.args(["monitor", "--out", "out"]).args(arguments);
    command.env("PYTHONPATH", Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fakes/torch"));
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command.current_dir(folder.path()).output().expect("the program was built for this test")
}

fn has_python() -> bool {
    let there = Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success());
    if !there {
        eprintln!("left out: there is no python3 here");
    }
    there
}

#[test]
fn rows_are_judged_and_costs_are_measured() {
    if !has_python() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let output = monitor(&folder, &["--part", "processes", "--part", "cost"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let record = fs::read(folder.path().join("out/monitor.json")).expect("a record");
    let record: Value = serde_json::from_slice(&record).expect("JSON");
    assert_eq!(record["complete"], true, "{record:#}");
    let rows = record["rows"].as_array().expect("rows");
    for (id, expected) in [
        ("pynvml/driver-not-loaded", "broken"),
        ("pynvml/others", "kept"),
        ("pynvml/many", "kept"),
        ("pynvml/bytes-not-told", "broken"),
        ("pynvml/module-missing", "kept"),
        ("nvml/library-too-old", "kept"),
        ("nvml/library-too-old-refusal", "kept"),
    ] {
        let found = rows.iter().find(|row| row["id"] == id).unwrap_or_else(|| panic!("{id} is there"));
        assert_eq!(found["outcome"], expected, "{found:#}");
    }
    let costs = record["costs"].as_array().expect("costs");
    assert!(costs.iter().any(|cost| cost["call"] == "memory_stats" && cost["ns"].as_f64() > Some(0.0)), "{costs:#?}");
    for page in ["monitor.md", "monitor.zh.md"] {
        let page = fs::read_to_string(folder.path().join("out").join(page)).expect("a page");
        assert!(page.contains("TypeError"), "{page}");
    }
    assert!(!folder.path().join("out/monitor.svg").exists(), "there is nothing to plot");
}

#[test]
fn an_interpreter_without_torch_is_said_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = monitor(&folder, &["--python", "no-such-python"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("no-such-python cannot be started") && said.contains("hint: name an interpreter"), "{said}");
}

//! `poolproof contract` from outside, with a few dozen lines of Python in PyTorch's place (`tests/fakes/torch`).
//!
//! Decides nothing about PyTorch: that rows get processes, verdicts and a report, whatever becomes of those processes.

#![cfg(target_os = "linux")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// With the stand-in where Python looks first.
fn contract(folder: &TempDir, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_poolproof"));
    command.args(["contract", "--jobs", "2", "--out", "out"]).args(arguments);
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

fn outcome<'v>(record: &'v Value, id: &str) -> &'v str {
    let rows = record["rows"].as_array().expect("rows");
    rows.iter().find(|row| row["id"] == id).and_then(|row| row["outcome"].as_str()).expect("the row is there")
}

#[test]
fn rows_are_judged_whatever_becomes_of_their_processes() {
    if !has_python() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let rows = [
        "--row",
        "memory_allocated/device-{cpu,float,index}",
        "--row",
        "caching_allocator_delete/{odd,live,foreign}",
        "--row",
        "memory_allocated/{before,forked,thread,after-oom,capturing}",
        "--row",
        "caching_allocator_alloc/on-another-device",
    ];
    let output = contract(&folder, &rows);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let record = fs::read(folder.path().join("out/contract.json")).expect("a record");
    let record: Value = serde_json::from_slice(&record).expect("JSON");
    for (id, expected) in [
        ("memory_allocated/device-cpu", "kept"),
        ("memory_allocated/device-float", "broken"),
        ("memory_allocated/device-index", "kept"),
        ("caching_allocator_delete/odd", "crashed"),
        ("caching_allocator_delete/live", "kept"),
        ("caching_allocator_delete/foreign", "kept"),
        ("memory_allocated/before", "kept"),
        ("memory_allocated/forked", "kept"),
        ("memory_allocated/thread", "kept"),
        ("memory_allocated/after-oom", "kept"),
        ("memory_allocated/capturing", "not_applicable"),
        ("caching_allocator_alloc/on-another-device", "not_applicable"),
    ] {
        assert_eq!(outcome(&record, id), expected, "{id}: {record:#}");
    }
    for page in ["contract.md", "contract.zh.md"] {
        let page = fs::read_to_string(folder.path().join("out").join(page)).expect("a page");
        assert!(page.contains("terminate called on purpose"), "{page}");
    }
}

#[test]
fn an_interpreter_without_torch_is_said_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = Command::new(env!("CARGO_BIN_EXE_poolproof"))
        .args(["contract", "--python", "no-such-python", "--out", "out"])
        .current_dir(folder.path())
        .output()
        .expect("the program was built for this test");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("no-such-python cannot be started") && said.contains("hint: name an interpreter"), "{said}");
}

//! Sequences judged in forked processes: the record is that of the same target in the harness's process, and every way to
//! lose one has its outcome, costs one scenario, and leaves no process behind.
#![cfg(target_os = "linux")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use poolproof::target::TargetName;
use poolproof::verdict::record::RunRecord;
use poolproof::verdict::{Finding, Outcome, Reproduced};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tempfile::TempDir;

/// Two scenarios: one of three operations and more, and, run after it, one of fewer.
const SPECS: &str = "\
scenario: long
requirement: ZERO-01
title: { en: Six blocks, zh: 六个块 }
effort_days: 0.5
steps:
  - alloc: { block: a, device: 0, bytes: 1 }
  - alloc: { block: b, device: 0, bytes: 1 }
  - alloc: { block: c, device: 0, bytes: 1 }
  - alloc: { block: d, device: 0, bytes: 1 }
  - alloc: { block: e, device: 0, bytes: 1 }
  - alloc: { block: f, device: 0, bytes: 1 }
---
scenario: short
requirement: ZERO-02
title: { en: No block, zh: 没有块 }
effort_days: 0.5
steps:
  - alloc: { block: a, device: 0, bytes: 0 }
    expect: { succeeds: true }
";

fn poolproof(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_poolproof"));
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for name in ["PROPTEST_CASES", "GITHUB_STEP_SUMMARY", "RUST_LOG"] {
        command.env_remove(name);
    }
    command.args(arguments).output().expect("the program was built for this test")
}

fn run(folder: &Path, target: &str, more: &[&str]) -> Output {
    poolproof(folder, &[&["run", "--out", "o", "--target", target][..], more].concat())
}

fn record(folder: &Path, target: &str) -> RunRecord {
    let name: TargetName = target.parse().expect("well formed");
    let text = fs::read(folder.join("o").join(name.folder()).join("run.json")).expect("the run wrote it");
    serde_json::from_slice(&text).expect("a run record")
}

/// A record without stamps, with the target named as if it had run in process.
fn plain(folder: &Path, target: &str) -> serde_json::Value {
    fn bare(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Object(map) => {
                map.remove("stamp");
                map.values_mut().for_each(bare);
            }
            serde_json::Value::Array(all) => all.iter_mut().for_each(bare),
            _ => {}
        }
    }
    let name: TargetName = target.parse().expect("well formed");
    let text = fs::read_to_string(folder.join("o").join(name.folder()).join("run.json")).expect("the run wrote it");
    let text = text.replace("forked:reference", "reference").replace("forked_reference@", "reference@");
    let mut value = serde_json::from_str(&text).expect("a run record");
    bare(&mut value);
    value
}

/// Whole runs, relations and the twin included; one of them finds something, makes it small and says what it takes.
#[test]
fn a_record_is_that_of_the_target_in_process() {
    for (options, scenarios, code) in [
        ("", &["oom::*", "same::*", "strm::*"][..], 0),
        ("?expandable_segments:True", &["priv::*", "exact::*"], 4), // so few sequences reach too little
        ("?defect=requested-peak-not-reset", &["peak::*", "exact::*"], 1),
    ] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut chosen: Vec<&str> = scenarios.iter().flat_map(|glob| ["--scenario", *glob]).collect();
        chosen.extend(["--seed", "7", "--cases", "12", "--jobs", "2"]);
        let [forked, here] = ["forked:reference@sim", "reference@sim"].map(|name| format!("{name}{options}"));
        for name in [&forked, &here] {
            let output = run(folder.path(), name, &chosen);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(code), "{name}: {said}");
        }
        let (ours, theirs) = (plain(folder.path(), &forked), plain(folder.path(), &here));
        for (key, value) in theirs.as_object().expect("an object") {
            assert_eq!(&ours[key], value, "{options}: {key}");
        }
        assert_eq!(ours, theirs);
    }
}

/// Runs both scenarios on a target that misbehaves; the second passes and no process is left.
fn misbehaving(how: &str, deadline: &str) -> (Outcome, String, Option<Finding>) {
    let target = format!("forked:reference@sim?deadline={deadline}&misbehave={how}");
    let folder: TempDir = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("specs.yaml"), SPECS).expect("a temporary folder");
    let output = run(folder.path(), &target, &["--specs", "specs.yaml", "--jobs", "1", "--scenario", "zero::*"]);
    let said = String::from_utf8_lossy(&output.stderr);
    let mut record = record(folder.path(), &target);
    let [long, short] = &record.scenarios[..] else { panic!("two scenarios: {said}") };
    assert_eq!((short.id.as_str(), short.outcome), ("zero::short", Outcome::Pass), "{how}: {:?}", short.reason);
    assert_eq!(output.status.code(), Some(1), "{how}: {said}");
    ended(&target);
    let finding = record.findings.pop();
    let told = finding.as_ref().map_or(long.reason.as_ref(), |f| Some(&f.violation.message));
    (long.outcome, told.expect("a reason").en.clone(), finding)
}

/// Waits for the end of every server and copy of one that serves this target.
fn ended(target: &str) {
    for pid in processes(target) {
        let pid = Pid::from_raw(pid).expect("a number of a process");
        // One that cannot be opened has ended since.
        let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { continue };
        while poll(&mut [PollFd::new(&process, PollFlags::IN)], None).is_err() {}
    }
    assert_eq!(processes(target), [0; 0], "{target}: another was started");
}

/// Servers and copies of them that serve this target.
fn processes(target: &str) -> Vec<i32> {
    let entries = fs::read_dir("/proc").expect("Linux").filter_map(Result::ok);
    let pids = entries.filter_map(|e| e.file_name().to_str()?.parse().ok());
    let is_one = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).replace('\0', " ").contains(&format!("fork-server {target}"))
    };
    pids.filter(is_one).collect()
}

#[test]
fn a_process_that_is_lost_is_a_finding_with_its_last_words_and_the_run_goes_on() {
    for (how, deadline, oracle, says, stderr) in [
        ("exit-at:9", "20s", "crash", "the process ended with exit code 42 during `", "leaving on request"),
        ("abort-at:9", "20s", "crash", "the process ended with signal 6 (SIGABRT) during `", ""),
        ("hang-at:9", "300ms", "hang", "no answer within 300ms during `", ""),
        ("panic-at:9", "20s", "panic", "the allocator panicked ", ""),
    ] {
        let (outcome, reason, finding) = misbehaving(how, deadline);
        assert_eq!(outcome, Outcome::Blocked, "{how}: its own requirement is not what is broken: {reason}");
        assert!(reason.starts_with(says), "{how}: {reason}");
        let finding = finding.expect("one");
        assert_eq!(finding.violation.oracle.name(), oracle);
        let requirement = if oracle == "hang" { "LIVE-01" } else { "LIVE-02" };
        assert_eq!(finding.violation.requirement.map(|r| r.to_string()).as_deref(), Some(requirement), "{how}");
        assert_eq!(finding.reproduced, Some(Reproduced { times: 2, of: 2 }), "{how}");
        assert!(finding.reproducer.steps.len() < 6, "{how}: {:?}", finding.reproducer.steps);
        let kept = finding.violation.evidence.iter().any(|e| e.label.en.contains("stderr") && e.value == stderr);
        assert!(kept || stderr.is_empty(), "{how}: {:?}", finding.violation.evidence);
        if oracle != "panic" {
            let last = finding.transcript.last().expect("what was asked");
            assert!(finding.violation.message.en.contains(&last.asked), "{how}: {last:?}");
        }
    }
}

#[test]
fn a_target_that_is_lost_before_its_first_operation_convicts_nobody() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (how, says) in [
        ("exit-at:0", "the process ended with exit code 42; it wrote: leaving on request"),
        ("hang-at:0&deadline=200ms", "no answer within 200ms"),
    ] {
        let output = run(folder.path(), &format!("forked:reference@sim?misbehave={how}"), &[]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{how}: {said}");
        assert!(said.contains(says), "{how}: {said}");
    }
}

#[test]
fn what_cannot_be_forked_is_said_so() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (target, says) in [
        ("forked:reference@cuda", "has a process of its own already"),
        ("forked:worker:reference@sim", "there is no target"),
        ("forked:reference@sim?defect=nonsense", "`forked:reference@sim?defect=nonsense`: there is no defect"),
        ("forked:reference@sim?misbehave=garbage-at:3", "about what a worker answers"),
        ("forked:reference@sim?deadline=soon", "`deadline` is the time a call may take"),
        ("forked:reference@sim?fresh=process", "has no option `fresh`"),
    ] {
        let output = run(folder.path(), target, &[]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code().is_some_and(|code| code > 1), "{target}: {said}");
        assert!(said.contains(says), "{target}: {said}");
    }
}

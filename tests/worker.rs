//! Targets in processes of their own: every way to lose one has its outcome, costs one scenario, and
//! leaves no process behind; what is answered is what the same target answers in the harness's process.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use poolproof::op::{BlockId, DeviceId, Observation, Op, Reply, Setup, StreamId, Via};
use poolproof::target::lost::End;
use poolproof::target::{self, Lost, TargetName, worker};
use poolproof::verdict::record::{EndedBy, RunRecord};
use poolproof::verdict::{Finding, Outcome, Reproduced};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tempfile::TempDir;

/// Two scenarios: one of more than fourteen operations, and, run after it, one of fewer.
const SPECS: &str = "\
scenario: long
requirement: ZERO-01
title: { en: Sixteen blocks, zh: 十六个块 }
effort_days: 0.5
steps:
  - alloc: { block: a, device: 0, bytes: 1 }
  - alloc: { block: b, device: 0, bytes: 1 }
  - alloc: { block: c, device: 0, bytes: 1 }
  - alloc: { block: d, device: 0, bytes: 1 }
  - alloc: { block: e, device: 0, bytes: 1 }
  - alloc: { block: f, device: 0, bytes: 1 }
  - alloc: { block: g, device: 0, bytes: 1 }
  - alloc: { block: h, device: 0, bytes: 1 }
  - alloc: { block: i, device: 0, bytes: 1 }
  - alloc: { block: j, device: 0, bytes: 1 }
  - alloc: { block: k, device: 0, bytes: 1 }
  - alloc: { block: l, device: 0, bytes: 1 }
  - alloc: { block: m, device: 0, bytes: 1 }
  - alloc: { block: n, device: 0, bytes: 1 }
  - alloc: { block: o, device: 0, bytes: 1 }
  - alloc: { block: p, device: 0, bytes: 1 }
---
scenario: short
requirement: ZERO-02
title: { en: No block, zh: 没有块 }
effort_days: 0.5
steps:
  - alloc: { block: a, device: 0, bytes: 0 }
    expect: { succeeds: true }
";

fn poolproof(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_poolproof"));
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for name in ["PROPTEST_CASES", "GITHUB_STEP_SUMMARY", "RUST_LOG"] {
        command.env_remove(name);
    }
    command
}

fn folder(specs: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("specs.yaml"), specs).expect("a temporary folder");
    folder
}

fn run(folder: &Path, target: &str) -> Output {
    let arguments = ["run", "--specs", "specs.yaml", "--out", "o", "--jobs", "1", "--target", target];
    // A selection: two scenarios alone are too few for conformance.
    poolproof(folder)
        .args(arguments)
        .args(["--scenario", "zero::*"])
        .output()
        .expect("the program was built for this test")
}

fn record(folder: &Path, target: &str) -> RunRecord {
    let name: TargetName = target.parse().expect("well formed");
    let text = fs::read(folder.join("o").join(name.folder()).join("run.json")).expect("the run wrote it");
    serde_json::from_slice(&text).expect("a run record")
}

/// Workers with this text among their arguments, those not counted that have ended and only await their parent.
fn processes(text: &str) -> Vec<i32> {
    let entries = fs::read_dir("/proc").expect("Linux").filter_map(Result::ok);
    let pids = entries.filter_map(|e| e.file_name().to_str()?.parse().ok());
    let has = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let arguments = String::from_utf8_lossy(&line).replace('\0', " ");
        arguments.contains("worker reference@sim") && arguments.contains(text)
    };
    pids.filter(has).collect()
}

/// Waits for the end of every worker with this text among its arguments.
fn ended(text: &str) {
    for pid in processes(text) {
        let pid = Pid::from_raw(pid).expect("a number of a process");
        // One that cannot be opened has ended since.
        let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { continue };
        while poll(&mut [PollFd::new(&process, PollFlags::IN)], None).is_err() {}
    }
    assert_eq!(processes(text), [0; 0], "{text}: another was started");
}

/// Runs both scenarios on a target that misbehaves; the second passes and no process is left.
fn misbehaving(how: &str, deadline: &str) -> (Outcome, String, Option<Finding>) {
    let target = format!("worker:reference@sim?deadline={deadline}&misbehave={how}");
    let folder = folder(SPECS);
    let output = run(folder.path(), &target);
    let said = String::from_utf8_lossy(&output.stderr);
    let mut record = record(folder.path(), &target);
    ended(how);
    assert!(!folder.path().join("o/running").exists(), "{how}");
    let [long, short] = &record.scenarios[..] else { panic!("two scenarios: {said}") };
    assert_eq!((short.id.as_str(), short.outcome), ("zero::short", Outcome::Pass), "{how}: {:?}", short.reason);
    let exit = if long.outcome == Outcome::Broken { 3 } else { 1 };
    assert_eq!(output.status.code(), Some(exit), "{how}: {said}");
    let finding = record.findings.pop();
    let told = finding.as_ref().map_or(long.reason.as_ref(), |f| Some(&f.violation.message));
    (long.outcome, told.expect("a reason").en.clone(), finding)
}

/// What the finding says of the device after the process was lost.
fn afterwards(finding: &Finding) -> Vec<&str> {
    let of = |e: &&poolproof::verdict::Evidence| e.label.en == "The device afterwards";
    finding.violation.evidence.iter().filter(of).map(|e| e.value.as_str()).collect()
}

/// A device that is no better after the loss is said to be so.
#[test]
fn a_device_that_serves_nobody_after_a_loss_is_told() {
    let folder = folder(SPECS.split("---").next().expect("two documents"));
    let target = "worker:reference@sim?misbehave=exit-at:3";
    assert_eq!(run(folder.path(), target).status.code(), Some(1));
    let finding = record(folder.path(), target).findings.pop().expect("one");
    let [afterwards] = afterwards(&finding)[..] else { panic!("one sentence: {:?}", finding.violation.evidence) };
    assert!(afterwards.contains("the target was lost during `") && afterwards.contains("exit code 42"), "{afterwards}");
}

#[test]
fn a_call_that_hangs_is_a_finding_and_nothing_else_is_lost() {
    let (outcome, reason, finding) = misbehaving("hang-at:14", "300ms");
    assert_eq!(outcome, Outcome::Blocked, "its own requirement is not what is broken");
    assert!(reason.starts_with("no answer within 300ms during `"), "{reason}");
    let finding = finding.expect("one");
    assert_eq!(finding.violation.oracle.name(), "hang");
    assert_eq!(finding.violation.requirement.map(|r| r.to_string()).as_deref(), Some("LIVE-01"));
    assert_eq!(finding.reproduced, Some(Reproduced { times: 2, of: 2 }), "although each run costs a deadline");
    assert_eq!(afterwards(&finding), ["served, written and read in a new process"]);
    assert!(finding.reproducer.steps.len() < 8, "{:?}", finding.reproducer.steps);
    assert!(finding.transcript.last().is_some_and(|line| line.answered.contains("no answer")));
}

#[test]
fn a_process_that_ends_is_a_finding_with_its_last_words() {
    for (how, says, stderr) in [
        ("exit-at:14", "the process ended with exit code 42", "leaving on request"),
        ("panic-at:14", "the process ended with exit code 101", "panicked: a panic on request"),
        ("abort-at:14", "the process ended with signal 6 (SIGABRT)", ""),
    ] {
        let (outcome, reason, finding) = misbehaving(how, "20s");
        assert_eq!(outcome, Outcome::Blocked, "{how}: {reason}");
        assert!(reason.starts_with(says), "{how}: {reason}");
        let finding = finding.expect("one");
        assert_eq!(finding.reproduced, Some(Reproduced { times: 2, of: 2 }), "{how}");
        assert_eq!(afterwards(&finding), ["served, written and read in a new process"], "{how}");
        let violation = finding.violation;
        assert_eq!(violation.oracle.name(), "crash");
        assert_eq!(violation.requirement.map(|r| r.to_string()).as_deref(), Some("LIVE-02"));
        let kept = violation.evidence.iter().any(|e| e.label.en.contains("stderr") && e.value.starts_with(stderr));
        assert!(kept || stderr.is_empty(), "{how}: {:?}", violation.evidence);
    }
}

#[test]
fn a_poisoned_process_is_replaced() {
    let (outcome, reason, finding) = misbehaving("poison-at:14", "20s");
    assert_eq!((outcome, finding.is_some()), (Outcome::Blocked, true));
    assert!(reason.contains("no later call can succeed") && reason.ends_with("poisoned on request"), "{reason}");
}

#[test]
fn a_process_that_speaks_nonsense_breaks_its_scenario_and_convicts_nobody() {
    for (how, says) in [("garbage-at:14", "Segmentation fault (not really)"), ("flood-at:14", "a line of more than")] {
        let (outcome, reason, finding) = misbehaving(how, "20s");
        assert_eq!((outcome, finding), (Outcome::Broken, None), "{how}");
        assert!(reason.contains("broke the protocol") && reason.contains(says), "{how}: {reason}");
        assert!(reason.contains("replay o/worker_reference"), "{how}: {reason}");
    }
}

#[test]
fn a_slow_start_is_waited_for_and_a_too_slow_one_is_not() {
    let folder = folder(SPECS);
    let slow = run(folder.path(), "worker:reference@sim?deadline=20s&misbehave=slow-start:1000");
    assert_eq!(slow.status.code(), Some(0), "{}", String::from_utf8_lossy(&slow.stderr));
    let never = run(folder.path(), "worker:reference@sim?deadline=100ms&misbehave=hang-at:0");
    let said = String::from_utf8_lossy(&never.stderr);
    assert_eq!(never.status.code(), Some(3), "{said}");
    assert!(said.contains("no answer within 100ms"), "{said}");
    ended("hang-at:0");
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let folder = folder(SPECS);
    for (target, says) in [
        ("worker:reference@sim?deadline=soon", "deadline=30s"),
        ("worker:reference@sim?misbehave=dance:3", "`dance:3` is no misbehaviour"),
        ("worker:reference@sim?misbehave=spin-at:3", "about a kernel, and this target runs none"),
        ("worker:refrence@sim", "did you mean `reference@sim`?"),
        ("worker:reference@sim?defect=none-such", "there is no defect `none-such`"),
        ("worker:worker:reference@sim", "there is no target `worker:reference@sim`"),
    ] {
        let output = run(folder.path(), target);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{target}: {said}");
        assert!(said.contains(says), "{target}: {said}");
    }
}

/// A run record without stamps, with the names of the target that ran apart put back.
fn comparable(folder: &Path, target: &str) -> String {
    let mut record = record(folder, target);
    record.stamp = Default::default();
    record.scenarios.iter_mut().for_each(|s| s.stamp = Default::default());
    // Its events and its ledger of device calls do not cross to another process, nor does what is judged by them.
    record.target.capabilities.retain(|name| !["device_events", "device_ledger"].contains(&name.as_str()));
    record.scenarios.retain(|s| !["SUMM-04", "MEM-04"].contains(&s.requirement.to_string().as_str()));
    record.states = None; // counted over those, too
    let text = serde_json::to_string_pretty(&record).expect("a record");
    text.replace("worker:reference", "reference").replace("worker_reference", "reference")
}

#[test]
fn a_target_apart_answers_as_the_same_target_here() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (options, scenarios, exit) in [
        ("", ["iso::*", "summ::*", "oom::recovery*"], 0),
        ("?defect=requested-peak-not-reset", ["peak::*", "mem::*", "zero::*"], 1),
    ] {
        let names = [format!("reference@sim{options}"), format!("worker:reference@sim{options}")];
        let mut command = poolproof(folder.path());
        command.args(["run", "--out", "o", "--cases", "4", "--lang", "en"]);
        for name in &names {
            command.args(["--target", name]);
        }
        for glob in scenarios {
            command.args(["--scenario", glob]);
        }
        let output = command.output().expect("the program was built for this test");
        assert!(
            output.status.code().is_some_and(|code| code == exit || code == 4),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let [here, apart] = names.map(|name| comparable(folder.path(), &name));
        assert_eq!(here.contains("\"findings\": []"), options.is_empty());
        assert_eq!(here, apart);
    }
}

fn alloc(block: u32) -> Op {
    let (device, stream) = (Some(DeviceId(0)), StreamId(0));
    Op::Alloc { block: BlockId(block), device, stream, bytes: 512, via: Via::Raw }
}

#[test]
fn a_process_that_is_killed_from_outside_is_told_and_replaced() {
    worker::use_program(Path::new(env!("CARGO_BIN_EXE_poolproof")));
    let mark = "exit-at:987654";
    let name: TargetName = format!("worker:reference@sim?misbehave={mark}").parse().expect("well formed");
    let setup = Setup { device_bytes: vec![64 << 20], streams: 1, config: None };
    let mut target = target::open(&name, &setup).expect("opens");
    assert!(matches!(target.apply(&alloc(0)), Reply::Allocated { .. }));
    let [pid] = processes(mark)[..] else { panic!("one process") };
    let killed = Command::new("kill").args(["-9", &pid.to_string()]).status().expect("there is kill");
    assert!(killed.success());
    assert!(target.apply(&alloc(1)).refusal().is_some());
    assert_eq!(target.lost(), Some(&Lost::Exited { end: End::Signal(9), stderr: String::new() }));
    drop(target);
    let mut target = target::open(&name, &setup).expect("opens again");
    assert!(matches!(target.apply(&alloc(0)), Reply::Allocated { .. }));
    let mut seen = Observation::default();
    target.observe(&mut seen);
    target.close();
    assert_eq!((seen.devices.len(), target.lost()), (1, None));
    let idle = processes(mark);
    drop(target);
    let again = target::open(&name, &setup).expect("opens");
    assert_eq!((processes(mark), again.lost()), (idle, None), "a sound process is used again");
}

/// One that writes without end, or that answers without reading, is waited for no longer than a silent one.
#[test]
fn a_process_that_never_stops_talking_holds_nobody_up() {
    worker::use_program(Path::new(env!("CARGO_BIN_EXE_poolproof")));
    let setup = Setup { device_bytes: vec![64 << 20], streams: 1, config: None };
    for mark in ["chatter-at:2", "deaf-at:2"] {
        let name = format!("worker:reference@sim?misbehave={mark}&deadline=1s").parse().expect("well formed");
        let mut target = target::open(&name, &setup).expect("opens");
        let lost = (0..20_000).find_map(|block| {
            target.apply(&alloc(block));
            target.lost().cloned()
        });
        let Some(Lost::Deadline { limit, stderr }) = lost else { panic!("{mark}: {lost:?}") };
        assert_eq!((limit, stderr.is_empty()), (Duration::from_secs(1), mark == "deaf-at:2"), "{mark}");
        drop(target);
        ended(mark);
    }
}

#[test]
fn a_harness_that_is_killed_leaves_a_report_a_sequence_and_no_process() {
    let mark = "hang-at:8";
    let first = SPECS
        .split("---")
        .nth(1)
        .expect("two documents")
        .replace("steps:", "for_each: { size: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0] }\nsteps:");
    let first = first.replace("bytes: 0", "bytes: $size");
    let folder = folder(&SPECS.replace(SPECS.split("---").nth(1).expect("two documents"), &first));
    let target = format!("worker:reference@sim?misbehave={mark}");
    let arguments = ["run", "--specs", "specs.yaml", "--out", "o", "--jobs", "1", "--target", &target];
    let mut harness = poolproof(folder.path()).args(arguments).spawn().expect("the program was built for this test");
    let results = folder.path().join("o").join(target.parse::<TargetName>().expect("well formed").folder());
    let (run, sequence) = (results.join("run.json"), results.join("running/zero-long.json"));
    while !(sequence.exists() && run.exists() && processes(mark).len() == 1) {
        assert_eq!(harness.try_wait().expect("it is ours"), None, "it waits for the worker that hangs");
        std::thread::yield_now();
    }
    harness.kill().expect("it runs");
    harness.wait().expect("it was killed");
    ended(mark);
    let record = record(folder.path(), &target);
    let begun = [Outcome::Pass, Outcome::Skipped, Outcome::Inconclusive];
    assert_eq!((record.ended, record.findings.len(), record.scenarios.len()), (EndedBy::Killed, 0, 2));
    assert!(record.scenarios.iter().all(|s| begun.contains(&s.outcome)), "nobody failed: {:?}", record.scenarios);
    let report = poolproof(folder.path()).arg("report").arg(&run).output().expect("it runs");
    assert!(String::from_utf8_lossy(&report.stdout).contains("**Interrupted.**"), "{report:?}");
    let replay = poolproof(folder.path()).args(["replay", "--target", "reference@sim"]).arg(&sequence).output();
    assert_eq!(replay.expect("it runs").status.code(), Some(0));
}

#[test]
fn lines_that_make_no_sense_are_answered() {
    let folder = folder(SPECS);
    // Questions and answers have descriptors of their own; here they are those of a shell.
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$0\" worker reference@sim 3<&0 4>&1", env!("CARGO_BIN_EXE_poolproof")]);
    command.current_dir(folder.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("it was built");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(b"what?\n{\"observe\":{}}\n\xff\n").expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        (output.status.code(), said.lines().filter(|l| l.starts_with("{\"misread\"")).count()),
        (Some(0), 3),
        "{said}"
    );
}

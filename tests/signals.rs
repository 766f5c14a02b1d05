//! Long work that is ended from outside: by INT or TERM it ends in an orderly way, by a second signal at once, and by
//! KILL with what it had on the disk. Nothing here waits for a time: each signal follows something that was printed.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};

use poolproof::target::TargetName;
use poolproof::verdict::Outcome;
use poolproof::verdict::matrix::KillMatrix;
use poolproof::verdict::record::{EndedBy, RunRecord};
use poolproof::verdict::survival::Survival;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tempfile::TempDir;

/// The program at work in a folder and a process group of its own.
struct Work {
    folder: TempDir,
    child: Child,
    stderr: BufReader<ChildStderr>,
    said: String,
}

/// How it ended and what it printed.
struct Ended {
    folder: TempDir,
    status: ExitStatus,
    stdout: String,
    stderr: String,
}

fn start(arguments: &str) -> Work {
    start_in(tempfile::tempdir().expect("a temporary folder"), arguments)
}

fn start_in(folder: TempDir, arguments: &str) -> Work {
    let mut command = Command::new(env!("CARGO_BIN_EXE_poolproof"));
    command.args(arguments.split(' ')).current_dir(folder.path()).process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for name in ["PROPTEST_CASES", "GITHUB_STEP_SUMMARY", "RUST_LOG", "NO_COLOR"] {
        command.env_remove(name);
    }
    let mut child = command.spawn().expect("the program was built for this test");
    let stderr = BufReader::new(child.stderr.take().expect("it is piped"));
    Work { folder, child, stderr, said: String::new() }
}

impl Work {
    /// Reads what it prints up to a line with this text; it fails if the program ends without.
    #[track_caller]
    fn until(&mut self, text: &str) {
        loop {
            let mut line = String::new();
            let read = self.stderr.read_line(&mut line).expect("it writes UTF-8");
            self.said.push_str(&line);
            assert!(read > 0, "it ended and never said `{text}`:\n{}", self.said);
            if line.contains(text) {
                return;
            }
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    #[track_caller]
    fn send(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("it runs still");
    }

    fn end(mut self) -> Ended {
        // What it prints fits into the pipe while the other one is read to its end.
        self.stderr.read_to_string(&mut self.said).expect("it writes UTF-8");
        let output = self.child.wait_with_output().expect("it ends");
        let stdout = String::from_utf8(output.stdout).expect("it writes UTF-8");
        Ended { folder: self.folder, status: output.status, stdout, stderr: self.said }
    }
}

/// The record of a run, and that its folder holds whole files and nothing else.
fn record(folder: &Path) -> RunRecord {
    let text = fs::read(folder.join("run.json")).expect("it was written");
    let record: RunRecord = serde_json::from_slice(&text).expect("it is whole");
    for finding in &record.findings {
        let text = fs::read(folder.join(&finding.file)).expect("its sequence was written");
        let kept: serde_json::Value = serde_json::from_slice(&text).expect("it is whole");
        assert_eq!(kept["scenario"], finding.scenario.as_str());
    }
    let junit = fs::read_to_string(folder.join("junit.xml")).expect("it was written");
    assert!(junit.trim_end().ends_with("</testsuites>"), "it is whole");
    for name in ["report.md", "report.zh.md"] {
        assert!(fs::read_to_string(folder.join(name)).expect("it was written").len() > 1000, "{name}");
    }
    record
}

/// Every scenario is accounted for; one that is not finished has its verdict from what it ran, or was not reached.
fn expect_consistent(record: &RunRecord) {
    assert!(record.scenarios.len() > 200);
    for scenario in &record.scenarios {
        if scenario.unfinished {
            assert!(scenario.sequences < scenario.planned, "{}", scenario.id);
            assert_eq!(scenario.sequences == 0, scenario.outcome == Outcome::Skipped, "{}", scenario.id);
        }
    }
}

const LONG: &str = "run --cases 600 -v --target reference@sim --scenario {iso,oom,peak,mem,strm}::*";
const LONG_AND_WRONG: &str =
    "run --cases 3000 --target reference@sim?defect=event-on-default-stream --scenario strm::*";

#[test]
fn a_signal_ends_a_run_with_its_report() {
    for signal in [Signal::INT, Signal::TERM] {
        let mut work = start(LONG);
        work.until("pass");
        work.send(signal);
        let ended = work.end();
        assert_eq!(ended.status.code(), Some(4), "{signal:?}: {}", ended.stderr);
        let record = record(&ended.folder.path().join("reports/latest/reference@sim"));
        expect_consistent(&record);
        assert_eq!((record.ended, record.findings.len()), (EndedBy::Interrupted, 0));
        assert!(record.count(Outcome::Pass) > 0 && record.scenarios.iter().any(|s| s.unfinished));
        assert!(ended.stdout.contains("reference@sim: interrupted: "), "{}", ended.stdout);
        assert!(!ended.folder.path().join("reports/latest/reference@sim/running").exists());
    }
}

#[test]
fn a_signal_loses_no_finding_and_leaves_it_small() {
    let mut work = start(LONG_AND_WRONG);
    work.until("finding: STRM-02");
    work.send(Signal::INT);
    let ended = work.end();
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    let record = record(&ended.folder.path().join("reports/latest/reference@sim_defect_event-on-default-stream"));
    expect_consistent(&record);
    assert_eq!(record.ended, EndedBy::Interrupted);
    assert!(!record.findings.is_empty());
    for finding in &record.findings {
        assert!(ended.stdout.contains(&finding.scenario), "{}", ended.stdout);
        assert!(finding.reproduced.is_some(), "a moment was left to run it again");
    }
}

#[test]
fn kill_loses_no_finding_that_was_told_of() {
    let mut work = start(LONG_AND_WRONG);
    work.until("finding: STRM-02");
    work.send(Signal::KILL);
    let ended = work.end();
    assert_eq!(ended.status.signal(), Some(9));
    let told: Vec<&str> = ended.stderr.lines().filter_map(|l| l.split("finding: STRM-02 ").nth(1)).collect();
    let record = record(&ended.folder.path().join("reports/latest/reference@sim_defect_event-on-default-stream"));
    expect_consistent(&record);
    assert_eq!(record.ended, EndedBy::Killed);
    assert!(!told.is_empty());
    for line in told {
        let scenario = line.split(": ").next().unwrap_or_default();
        assert!(record.findings.iter().any(|f| f.concerns(scenario)), "{scenario} is not on the disk");
    }
}

#[test]
fn what_an_earlier_run_left_is_gone_before_anything_runs() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("reports/latest/reference@sim");
    fs::create_dir_all(&out).expect("a temporary folder");
    fs::write(out.join("report.md"), "left by an earlier run").expect("a temporary folder");
    let mut work = start_in(folder, "run --cases 900 -v --target reference@sim --scenario frac::*");
    work.until("pass");
    work.send(Signal::KILL);
    let ended = work.end();
    let out = ended.folder.path().join("reports/latest/reference@sim");
    let record = record(&out);
    expect_consistent(&record);
    assert_eq!(record.ended, EndedBy::Killed);
    assert!(!fs::read_to_string(out.join("report.md")).expect("it was written").contains("left by an earlier run"));
}

/// One call that hangs, so that the orderly end takes as long as its deadline.
const HANGS: &str = "\
scenario: hangs
requirement: ZERO-01
title: { en: A block, zh: 一个块 }
effort_days: 0.5
steps:
  - alloc: { block: a, device: 0, bytes: 1 }
";

#[test]
fn a_second_signal_ends_it_at_once() {
    let specs = tempfile::tempdir().expect("a temporary folder");
    fs::write(specs.path().join("a.yaml"), HANGS).expect("a temporary folder");
    let path = specs.path().display();
    let target = "worker:reference@sim?deadline=9h&misbehave=hang-at:1";
    let name: TargetName = target.parse().expect("well formed");
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let mut work = start(&format!("run --specs {path} --target {target}"));
        work.until("1 scenarios");
        let running = work.folder.path().join("reports/latest").join(name.folder()).join("running/zero-hangs.json");
        while !running.exists() {
            assert_eq!(work.child.try_wait().expect("it is ours"), None, "it ended, and never asked for a block");
            std::thread::yield_now();
        }
        work.send(signal);
        work.until("stopping");
        work.send(signal);
        assert_eq!(work.end().status.code(), Some(code));
    }
}

#[test]
fn a_signal_to_the_whole_group_makes_no_finding_of_its_workers() {
    let mut work = start("run --cases 150 -v --jobs 2 --target worker:reference@sim --scenario frac::*");
    work.until("pass");
    kill_process_group(work.pid(), Signal::INT).expect("it runs still");
    let ended = work.end();
    assert_eq!(ended.status.code(), Some(4), "{}{}", ended.stdout, ended.stderr);
    let record = record(&ended.folder.path().join("reports/latest/worker_reference@sim"));
    assert_eq!((record.ended, record.findings.len(), record.count(Outcome::Broken)), (EndedBy::Interrupted, 0, 0));
}

#[test]
fn fuzzing_and_the_sweep_end_with_their_reports() {
    let mut work = start("fuzz --target reference@sim --time 9h -v");
    work.until("pass");
    work.send(Signal::INT);
    let ended = work.end();
    assert_eq!(ended.status.code(), Some(4), "{}", ended.stderr);
    assert!(ended.stdout.contains("interrupted") && ended.stdout.contains("operations/s"), "{}", ended.stdout);
    assert_eq!(record(&ended.folder.path().join("reports/fuzz/reference@sim")).ended, EndedBy::Interrupted);

    let mut work = start("run --target reference@sim --faults sweep --cases 1");
    work.until("fail in turn");
    work.send(Signal::TERM);
    let ended = work.end();
    let record = record(&ended.folder.path().join("reports/latest/reference@sim"));
    assert_eq!(record.ended, EndedBy::Interrupted);
    assert!(record.sweep.as_ref().expect("it had begun").cut_short > 0);
    assert_eq!(ended.status.code(), Some(if record.count(Outcome::Fail) == 0 { 4 } else { 1 }), "{}", ended.stdout);
}

#[test]
fn studies_end_with_the_rows_that_are_whole() {
    let mut work = start("kill-matrix -v --cases 300");
    work.until(" operations, ");
    work.send(Signal::INT);
    let ended = work.end();
    assert_eq!(ended.status.code(), Some(4), "{}{}", ended.stdout, ended.stderr);
    let text = fs::read(ended.folder.path().join("reports/latest/kill-matrix/kill-matrix.json")).expect("written");
    let matrix: KillMatrix = serde_json::from_slice(&text).expect("it is whole");
    assert_eq!(matrix.ended, EndedBy::Interrupted);
    assert!(!matrix.defects.is_empty() && matrix.untried_defects > 0 && matrix.is_clean());
    let page = fs::read_to_string(ended.folder.path().join("reports/latest/kill-matrix/kill-matrix.md"));
    assert!(page.expect("written").contains("**Interrupted**"));
    assert!(ended.stdout.starts_with("interrupted with "), "{}", ended.stdout);

    let mut work = start("survival -v --seeds 2 --operations 2000");
    work.until("random ");
    work.send(Signal::TERM);
    let ended = work.end();
    assert_eq!(ended.status.code(), Some(4), "{}{}", ended.stdout, ended.stderr);
    let text = fs::read(ended.folder.path().join("reports/latest/survival/survival.json")).expect("written");
    let survival: Survival = serde_json::from_slice(&text).expect("it is whole");
    assert!(survival.ended == EndedBy::Interrupted && !survival.defects.is_empty() && survival.untried > 0);
}

#[test]
fn threads_stop_within_a_round_and_are_judged_by_what_they_did() {
    let mut work = start("stress --time 9h --calls 100000");
    work.until("rounds of 100000 calls");
    work.send(Signal::INT);
    let ended = work.end();
    assert_eq!(ended.status.code(), Some(4), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("before it was interrupted"), "{}", ended.stdout);
}

//! The worker's lines, a worker that has nothing to say, and failures that were expected.

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::spec::expect as expected;
use crate::verdict::expectation::Standing;
use crate::verdict::monitoring::Figure;

const FACTS: &str =
    r#"{"facts": {"torch": "2.11.0+cu130", "python": "3.12.1", "names": ["a card"], "simulated": false}}"#;
const ROW: &str = r#"{"row": {"id": "cuda:0/unit", "device": 0, "call": "x()", "promises": ["unit"], "answered": "", "outcome": "broken", "broken": [{"promise": "unit", "what": "MB"}]}}"#;
const DELAY: &str = r#"{"delay": {"device": 0, "figure": "nvml_device", "rate": 10, "made_rate": 9.9, "changes": 4, "seen": 3, "readings": 9, "reading_ns": 5, "delay_median_ns": 7, "delay_p95_ns": null, "error_bytes": null, "error_worst_bytes": null}}"#;

#[derive(Default)]
struct Seen(RefCell<Vec<String>>);

impl Watched for Seen {
    fn begin(&self, steps: u64) {
        self.0.borrow_mut().push(format!("{steps} steps"));
    }

    fn step(&self, what: &str, broken: bool) {
        self.0.borrow_mut().push(format!("{what} ({broken})"));
    }
}

/// A program in the interpreter's place that says these lines.
fn measured(lines: &[&str], file: Option<&Expectations>) -> (Result<Monitoring, MonitorError>, Seen) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("python");
    let said: Vec<String> = lines.iter().map(|line| format!("cat <<'END'\n{line}\nEND\n")).collect();
    fs::write(&path, format!("#!/bin/sh\n{}", said.concat())).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("allowed");
    let options = Options {
        python: path.display().to_string(),
        seconds: 1,
        parts: Vec::new(),
        own: None,
        expected: file,
        stop: Stop::default(),
        command: "x".to_owned(),
    };
    let seen = Seen::default();
    // While another test forks, its child holds what is being written here open for a moment.
    let is_busy = |e: &io::Error| e.kind() == io::ErrorKind::ExecutableFileBusy;
    loop {
        match run(&options, &seen) {
            Err(MonitorError::NotStarted { source, .. }) if is_busy(&source) => {}
            result => return (result, seen),
        }
    }
}

#[test]
fn what_the_worker_says_becomes_the_record() {
    let (record, seen) = measured(&[FACTS, r#"{"steps": 2}"#, ROW, DELAY, r#"{"end": true}"#], None);
    let record = record.expect("there is one");
    assert!(record.complete && !record.is_as_expected());
    assert_eq!(record.delays[0].figure, Figure::NvmlDevice);
    assert_eq!(seen.0.into_inner()[..2], ["2 steps", "cuda:0/unit: broken (true)"]);
}

#[test]
fn a_part_that_failed_leaves_the_record_incomplete() {
    let missing = r#"{"missing": {"part": "cost", "device": null, "why": "it ended"}}"#;
    assert!(!measured(&[FACTS, missing, r#"{"end": true}"#], None).0.expect("there is one").complete);
    let figure = missing.replace("null", "0");
    assert!(measured(&[FACTS, &figure, r#"{"end": true}"#], None).0.expect("there is one").complete);
    assert!(!measured(&[FACTS, ROW], None).0.expect("there is one").complete, "it was cut off");
}

#[test]
fn what_cannot_be_measured_says_why() {
    let told = |lines: &[&str]| measured(lines, None).0.expect_err("nothing was measured").to_string();
    assert!(told(&[]).ends_with("it ended before it said what there is here"));
    assert!(
        told(&[r#"{"failed": "torch finds no GPU"}"#]).ends_with("cannot measure anything here: torch finds no GPU")
    );
    assert!(told(&["hello"]).starts_with("the worker said `hello`, which means nothing"));
}

#[test]
fn expected_failures_are_excused() {
    let file = expected::parse(
        "x.yaml",
        "target: torch-monitor@*\nexpect:\n  - scenario: 'cuda:*/unit'\n    reason: { en: known, zh: 已知 }\n    owner: us\n    \
         expires: 2090-01-31\n  - scenario: no/such\n    reason: { en: a, zh: b }\n    owner: us\n    expires: 2090-01-31\n",
    )
    .expect("it is well formed");
    let record = measured(&[FACTS, ROW], Some(&file)).0.expect("there is one");
    let standings: Vec<Standing> = record.expectations.iter().map(|entry| entry.standing).collect();
    assert_eq!(standings, [Standing::Met, Standing::Stale]);
    assert!(record.is_as_expected(), "what was cut off may lack rows");
    let record = measured(&[FACTS, ROW, r#"{"end": true}"#], Some(&file)).0.expect("there is one");
    assert!(!record.is_as_expected());
}

#[test]
fn what_comes_along_is_well_formed() {
    assert!(expected::built_in("torch-monitor", "cuda").expect("it is well formed").is_some());
}

//! The sweep on the reference, sound and with mistakes in its error paths, and on files.

use std::path::{Path, PathBuf};

use super::*;
use crate::engine::{Minimise, Plan, Silent, Stop, run};
use crate::op::Op;
use crate::reference::Defect;
use crate::spec;
use crate::verdict::record::{RunRecord, RunStamp, ScenarioStamp};

/// Explicit and generated sequences that make calls of every kind.
const SCENARIOS: [&str; 6] = [
    "leak::release-and-events-fail",
    "oom::device-call-fails",
    "strm::recorded",
    "strm::serves-again*",
    "summ::looking*",
    "trim::gives*",
];

fn options(target: &str, jobs: usize) -> RunOptions {
    let globs = SCENARIOS.map(str::to_owned);
    let mut plan = Plan::new(spec::built_in(), &globs, None).expect("they exist");
    plan.faults = Some(SweepPlan { generated: 1, pairs: 4 });
    RunOptions {
        target: target.parse().expect("a target name"),
        plan,
        seed: 0,
        exact: true,
        cases: Some(1),
        jobs,
        time: None,
        minimise: Minimise::default(),
        stop: Stop::default(),
        out: PathBuf::from("unused"),
        regressions: None,
        command: String::new(),
    }
}

fn swept(target: &str) -> RunRecord {
    run(&options(target, 2), &Silent).expect("the target opens")
}

fn unstamped(mut record: RunRecord) -> RunRecord {
    record.stamp = RunStamp::default();
    record.scenarios.iter_mut().for_each(|s| s.stamp = ScenarioStamp::default());
    record.sweep.iter_mut().for_each(|s| s.stamp = SweepStamp::default());
    record
}

#[test]
fn every_kind_of_call_fails_and_the_sound_reference_is_not_convicted() {
    let record = swept("reference@sim");
    assert_eq!(record.findings, []);
    let sweep = record.sweep.clone().expect("it was asked for");
    assert_eq!(sweep.never_made(), []);
    assert_eq!((sweep.convicted, sweep.failing, sweep.cut_short), (0, 0, 0));
    assert_eq!(sweep.targets, ["reference@sim", "reference@sim?expandable_segments:True"]);
    for call in &sweep.calls {
        assert_eq!(call.seen, call.failed, "{:?}", call.call);
        assert_eq!(call.singles, call.failed * call.call.documented_errors().len() as u64, "{:?}", call.call);
        assert!(call.states > call.singles, "{:?}: every fault is followed by steps", call.call);
    }
    assert!(sweep.total(|c| c.pairs) > sweep.sequences, "most pairs fire twice: {sweep:?}");
    // Which thread takes which sequence shows nowhere.
    let alone = run(&options("reference@sim", 1), &Silent).expect("the target opens");
    assert_eq!(unstamped(alone), unstamped(record));
}

#[test]
fn mistakes_in_error_paths_are_found_by_failing_device_calls() {
    let mut table = String::new();
    for defect in Defect::ERROR_PATHS {
        let name = defect.name();
        let record = swept(&format!("reference@sim?defect={name}"));
        let best = record.findings.iter().min_by_key(|f| f.reproducer.steps.len());
        let best = best.unwrap_or_else(|| panic!("{name} survives"));
        let (oracle, requirement) = (best.violation.oracle.name(), best.requirement);
        let fault = best.transcript.iter().find(|l| l.asked.starts_with("fault ")).map_or("", |l| &l.asked);
        table += &format!("{name}: {} steps, {oracle}, {requirement}, {fault}\n", best.reproducer.steps.len());
    }
    insta::assert_snapshot!(table);
}

#[test]
fn a_finding_of_the_sweep_repeats_by_itself() {
    let record = swept("reference@sim?defect=access-error-leaks");
    let finding = record.findings.first().expect("it is found");
    assert!(finding.reproducer.target.contains("expandable_segments:True"), "{}", finding.reproducer.target);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("found.json");
    std::fs::write(&path, crate::engine::regressions::to_json(&finding.reproducer)).expect("writable");
    let again = crate::engine::replay_file(&path, None).expect("it is a sequence");
    assert_eq!(again.conviction.expect("it fails again").violations[0].message, finding.violation.message);
    let sound = "reference@sim".parse().expect("a target name");
    let swept =
        sweep_file(&path, Some(&sound), &SweepPlan::default(), 1, &Stop::default(), &Silent).expect("it is a sequence");
    assert_eq!(swept.failures, []);
    assert!(swept.record.total(|c| c.failed) > 0);
}

#[test]
fn a_recording_is_swept_under_its_own_settings() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings/pools.jsonl.gz");
    let ops = |file: &str| -> Vec<Op> {
        let recorded = recorded::read(&path.with_file_name(file)).expect("it reads");
        recorded.sequences.into_iter().flat_map(|(_, steps)| steps).filter_map(|step| step.op).collect()
    };
    let has = |all: &[Op], name: &str| all.iter().any(|op| op.name() == name);
    let pools = ops("pools.jsonl.gz");
    assert!(["pool_create", "pool_enter", "pool_exit", "pool_delete"].iter().all(|name| has(&pools, name)));
    let captures = ops("capture.jsonl.gz");
    assert!(["capture_begin", "capture_end", "graph_reset"].iter().all(|name| has(&captures, name)));
    let recorded = recorded::read(&path.with_file_name("expandable-streams.jsonl.gz")).expect("it reads");
    assert_eq!((recorded.config.as_str(), recorded.sequences.len()), ("expandable_segments:True", 1));
    assert!(recorded.sequences[0].1.len() >= 400);
}

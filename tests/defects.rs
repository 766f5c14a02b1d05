//! Every planted defect is found by the built-in scenarios: by which oracle, in which scenario, with how short a sequence.
//!
//! A defect nobody finds fails here. The table is a snapshot, so that a change that finds a defect later
//! or less clearly shows in review.

use std::fmt::Write as _;
use std::path::PathBuf;

use poolproof::engine::{Plan, RunOptions, Silent, run};
use poolproof::reference::Defect;
use poolproof::spec;
use poolproof::verdict::Finding;
use poolproof::verdict::record::RunRecord;

/// Sequences a generated scenario: a quarter of the default, which is enough and keeps the test short.
const CASES: u32 = 16;

fn run_with(defect: Option<Defect>) -> RunRecord {
    let name = defect.map_or_else(|| "reference@sim".to_owned(), |d| format!("reference@sim?defect={}", d.name()));
    let options = RunOptions {
        target: name.parse().expect("is a target name"),
        plan: Plan::new(spec::built_in(), &[], None).expect("everything is chosen"),
        seed: 0,
        cases: Some(CASES),
        jobs: std::thread::available_parallelism().map_or(1, usize::from),
        time: None,
        out: PathBuf::from("unused"),
        regressions: None,
        command: String::new(),
    };
    run(&options, &Silent).expect("the target opens")
}

/// The finding with the shortest sequence; of several the first of the run.
fn shortest(record: &RunRecord) -> Option<&Finding> {
    record.findings.iter().min_by_key(|f| f.reproducer.steps.len())
}

#[test]
fn every_defect_is_found_and_most_with_a_short_sequence() {
    let mut table = String::from("defect | scenarios that fail | shortest: steps, oracle, requirement, scenario\n");
    let mut unfound = Vec::new();
    let mut short = 0;
    // What shows only after a device call failed is for the sweep to find: see src/engine/sweep/tests.rs.
    for &defect in Defect::ALL.iter().filter(|d| !Defect::ERROR_PATHS.contains(d)) {
        let record = run_with(Some(defect));
        let Some(best) = shortest(&record) else {
            unfound.push(defect.name());
            continue;
        };
        let steps = best.reproducer.steps.len();
        short += usize::from(steps <= 12);
        let oracle = best.violation.oracle.name();
        let failing = record.findings.len();
        let (name, requirement, scenario) = (defect.name(), best.requirement, &best.scenario);
        writeln!(table, "{name} | {failing} | {steps}, {oracle}, {requirement}, {scenario}")
            .expect("a string takes it");
    }
    assert_eq!(unfound, [""; 0], "defects that no scenario found");
    assert!(short * 4 >= Defect::ALL.len() * 3, "only {short} with at most 12 steps:\n{table}");
    insta::assert_snapshot!(table);
}

#[test]
fn the_sound_allocator_is_not_convicted() {
    let record = run_with(None);
    assert_eq!(record.findings, []);
}

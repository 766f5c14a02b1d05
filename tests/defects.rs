//! Every planted defect is found by the built-in scenarios, every oracle finds one, and no legal variation is convicted.
//!
//! The table says by which oracle, in which scenario, with how short a sequence. It is a snapshot, so that a
//! change that finds a defect less clearly shows in review; its scenarios are also tried first, which keeps
//! the test short. A defect that its scenario finds no more is tried on all others.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use poolproof::engine::kill_matrix::{MatrixOptions, hunt_all, vary_all};
use poolproof::engine::{Minimise, Plan, RunOptions, Silent, Stop, run};
use poolproof::op::OracleName;
use poolproof::reference::{OWN, Variation};
use poolproof::spec;
use poolproof::verdict::Outcome;
use poolproof::verdict::matrix::DefectRow;

/// Sequences a generated scenario: a quarter of the default, which is enough and keeps the test short.
const CASES: u32 = 16;

/// What needs more than a simulated device has: NVML's figures of a card.
const NOT_APPLICABLE: [&str; 2] = ["tele::card-agrees", "tele::card-agrees-generated"];

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Every scenario but the one whose sequences are so long that each costs as much as all others together.
fn plan() -> Plan {
    let mut scenarios = spec::built_in();
    scenarios.retain(|s| s.id != "live::long-lives");
    let plan = Plan::new(scenarios, &[], None).expect("everything is chosen");
    plan.telling(&"reference@sim".parse().expect("is a target name"))
}

fn options(cases: u32, seeds: u64) -> MatrixOptions {
    MatrixOptions {
        base: "reference@sim".parse().expect("is a target name"),
        plan: plan(),
        seed: 0,
        seeds,
        exact: false,
        cases: Some(cases),
        jobs: cores(),
        time: Duration::ZERO, // one pass: no clock decides what is found
        full: false,
        stop: Stop::default(),
        command: String::new(),
    }
}

/// The scenario of each defect in the table as it was last reviewed.
fn hints() -> BTreeMap<String, String> {
    let name = "tests/snapshots/defects__every_defect_is_found_and_every_oracle_finds_one.snap";
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name);
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let rows = text.lines().filter_map(|line| {
        let cells: Vec<&str> = line.split(" | ").collect();
        Some(((*cells.first()?).to_owned(), (*cells.get(3)?).to_owned()))
    });
    rows.collect()
}

#[test]
fn every_defect_is_found_and_every_oracle_finds_one() {
    let hints = hints();
    let first = |defect: poolproof::reference::Defect| hints.get(defect.name()).cloned();
    let rows = hunt_all(&options(CASES, 1), &first, &Silent).expect("the target opens");
    let survivors: Vec<&str> = rows.iter().filter(|r| r.kill.is_none()).map(|r| r.name.as_str()).collect();
    assert_eq!(survivors, [""; 0], "defects that no scenario found");
    assert!(rows.len() >= 112, "{} defects", rows.len());
    assert!(rows.iter().filter(|r| r.copies != OWN).count() >= 50, "few copy a public report");
    let mut table = String::from("defect | requirement | oracle | scenario | steps\n");
    let kill = |row: &DefectRow| row.kill.clone().expect("none survives");
    for row in &rows {
        let kill = kill(row);
        let oracle = kill.oracle.name();
        let (requirement, scenario, steps) = (kill.requirement, &kill.scenario, kill.minimal_steps);
        writeln!(table, "{} | {requirement} | {oracle} | {scenario} | {steps}", row.name).expect("a string takes it");
    }
    let short = rows.iter().filter(|r| kill(r).minimal_steps <= 12).count();
    assert!(short * 4 >= rows.len() * 3, "only {short} with at most 12 steps:\n{table}");
    let convicts: BTreeSet<OracleName> = rows.iter().map(|r| kill(r).oracle).collect();
    // Those that compare two runs seldom come first: `engine::metamorphic` shows that each finds what no other does.
    let alone = OracleName::ALL.iter().filter(|o| !o.compares_runs());
    let idle: Vec<&str> = alone.filter(|o| !convicts.contains(o)).map(|o| o.name()).collect();
    assert_eq!(idle, [""; 0], "oracles that convict no defect first");
    insta::assert_snapshot!(table);
}

#[test]
fn the_sound_allocator_is_not_convicted() {
    let MatrixOptions { base, plan, .. } = options(CASES, 1);
    let options = RunOptions {
        target: base,
        plan,
        seed: 0,
        exact: false,
        cases: Some(2), // `tests/conformance` draws as many as a run does, and its judges are these and one more
        jobs: cores(),
        time: None,
        minimise: Minimise::default(),
        stop: Stop::default(),
        out: PathBuf::from("unused"),
        regressions: None,
        command: String::new(),
    };
    let record = run(&options, &Silent).expect("the target opens");
    assert_eq!(record.findings, []);
    // Two sequences seldom reach all that they must.
    let is_due = |outcome| matches!(outcome, Outcome::Pass | Outcome::Inconclusive);
    let other = record.scenarios.iter().filter(|s| !is_due(s.outcome));
    let other: Vec<(&str, Outcome)> = other.map(|s| (s.id.as_str(), s.outcome)).collect();
    assert_eq!(other, NOT_APPLICABLE.map(|id| (id, Outcome::NotApplicable)));
    assert!(record.count(Outcome::Pass) >= 200, "{} passed", record.count(Outcome::Pass));
    let idle: Vec<&str> = record.scenarios.iter().filter(|s| s.operations == 0).map(|s| s.id.as_str()).collect();
    assert_eq!(idle, NOT_APPLICABLE, "nothing was asked in these");
}

/// `.ci/variations`, and `poolproof kill-matrix --seeds 20`, try more.
#[test]
fn no_legal_variation_is_convicted() {
    let rows = vary_all(&options(4, 1), &Silent).expect("the target opens");
    assert!(rows.len() >= 25 && rows.len() == Variation::ALL.len());
    let alarms: Vec<_> = rows.iter().flat_map(|r| r.alarms.iter().map(|a| (r.name.as_str(), a))).collect();
    assert_eq!(alarms, []);
    let scenarios = plan().chosen() as u64;
    for row in &rows {
        let (passed, inconclusive) = (row.passed, row.inconclusive);
        assert_eq!(passed + row.not_applicable + inconclusive, scenarios, "{}", row.name);
        assert!(passed * 3 >= scenarios, "{}: {passed} of {scenarios} scenarios passed", row.name);
        assert!(inconclusive * 3 <= scenarios, "{}: {inconclusive} of {scenarios} showed nothing", row.name);
        assert!(row.operations > 0, "{}", row.name);
    }
}

//! Runs that end early: who had their turn by then, what is kept, and what whoever watches was told.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::fake::Flaw;
use super::*;
use crate::engine::locks::lock;
use crate::spec;
use crate::verdict::matrix::{DefectRow, KillMatrix};
use crate::verdict::record::ScenarioRecord;

/// Asks for a stop after so many sequences, or when fresh ones are to fill up the time; keeps what it is told.
#[derive(Default)]
struct Watcher {
    stop: Stop,
    after: Option<u64>,
    ran: AtomicU64,
    so_far: Mutex<Vec<RunRecord>>,
}

impl Watcher {
    fn after(sequences: u64) -> Self {
        Watcher { after: Some(sequences), ..Watcher::default() }
    }
}

impl Watch for Watcher {
    fn ran(&self, _: u64) {
        if Some(self.ran.fetch_add(1, Ordering::Relaxed) + 1) == self.after {
            self.stop.ask();
        }
    }
}

impl Progress for Watcher {
    fn so_far(&self, record: &dyn Fn() -> RunRecord) {
        lock(&self.so_far).push(record());
    }

    fn round(&self, _: u64) {
        self.stop.ask();
    }
}

impl MatrixProgress for Watcher {
    fn hunted(&self, _: &DefectRow) {
        self.stop.ask();
    }
}

const IDS: [&str; 5] = ["frac::a", "oom::b", "zero::c", "peak::d", "iso::e"];
const FOREVER: Option<Duration> = Some(Duration::from_secs(1 << 40));

/// Five generated scenarios of eight sequences on one thread.
fn watched(flaw: Flaw, time: Option<Duration>, watcher: &Watcher) -> RunRecord {
    let root = tempfile::tempdir().expect("a temporary folder");
    let stop = watcher.stop.clone();
    let options =
        RunOptions { time, stop, jobs: 1, regressions: None, ..options(IDS.map(generated).into(), root.path()) };
    let open = |setup: &Setup| Ok(Box::new(fake::Bump::new(setup, flaw)) as Box<dyn Target>);
    run_on(&open, &options, watcher).expect("it runs")
}

fn sequences(record: &RunRecord) -> Vec<u64> {
    record.scenarios.iter().map(|s| s.sequences).collect()
}

#[test]
fn with_a_time_limit_nobody_gets_a_second_sequence_before_all_had_their_first() {
    for (after, expected) in [(5, [1; 5]), (10, [2; 5]), (20, [4; 5])] {
        let record = watched(Flaw::None, FOREVER, &Watcher::after(after));
        assert_eq!(sequences(&record), expected, "after {after}");
        assert_eq!((record.count(Outcome::Pass), record.ended), (5, EndedBy::Interrupted));
        assert!(record.scenarios.iter().all(|s| s.unfinished && s.planned == 8 && s.reason.is_none()));
    }
    let record = watched(Flaw::None, FOREVER, &Watcher::default());
    assert_eq!(sequences(&record), [8; 5], "then come fresh ones, and this is where it was stopped");
    assert!(!record.scenarios.iter().any(|s| s.unfinished));
}

#[test]
fn without_one_a_scenario_is_finished_before_the_next_begins() {
    let record = watched(Flaw::None, None, &Watcher::after(11));
    let mut all = sequences(&record);
    all.sort_unstable();
    assert_eq!((all, record.ended), (vec![0, 0, 0, 3, 8], EndedBy::Interrupted));
    let (skipped, others): (Vec<&ScenarioRecord>, Vec<_>) =
        record.scenarios.iter().partition(|s| s.outcome == Outcome::Skipped);
    assert_eq!((skipped.len(), others.len()), (3, 2));
    for scenario in skipped {
        let reason = &scenario.reason.as_ref().expect("a reason").en;
        assert!(scenario.unfinished && reason.starts_with("the run was interrupted before its turn"), "{reason}");
    }
    assert!(others.iter().all(|s| s.outcome == Outcome::Pass && s.unfinished == (s.sequences == 3)));
}

#[test]
fn what_a_part_of_the_sequences_did_not_reach_is_inconclusive_and_says_how_far_it_came() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let watcher = Watcher::after(3);
    let unreached = Scenario { must_reach: [Milestone::Oom].into(), ..generated("oom::unreached") };
    let options = RunOptions { stop: watcher.stop.clone(), ..options(vec![unreached], root.path()) };
    let open = |setup: &Setup| Ok(Box::new(fake::Bump::new(setup, Flaw::None)) as Box<dyn Target>);
    let record = run_on(&open, &options, &watcher).expect("it runs");
    let reason = &record.scenarios[0].reason.as_ref().expect("a reason").en;
    assert_eq!(record.scenarios[0].outcome, Outcome::Inconclusive);
    assert!(
        reason.starts_with("not reached in 3 of 8 sequences, after which the run was interrupted: oom"),
        "{reason}"
    );
}

#[test]
fn failures_put_off_are_as_small_as_those_made_small_at_once() {
    let timed = watched(Flaw::Overlaps, FOREVER, &Watcher::default());
    let plain = watched(Flaw::Overlaps, None, &Watcher::default());
    assert_eq!((plain.findings.len(), plain.findings[0].folded.len()), (1, 4));
    // The printed commands name the folders of the two runs.
    let shown = |r: &RunRecord| -> Vec<_> {
        let of = |f: &crate::verdict::Finding| {
            (f.reproducer.clone(), f.violation.clone(), f.transcript.clone(), f.reproduced)
        };
        r.findings.iter().map(of).collect()
    };
    assert_eq!(shown(&timed), shown(&plain));
    // Every scenario fails at its first sequence, so that none is left to fill up the time with.
    assert_eq!((timed.ended, plain.ended), (EndedBy::Complete, EndedBy::Complete));
}

#[test]
fn what_is_being_made_small_is_kept_as_small_as_it_is_and_run_again() {
    // Blocks that come and go, and then some that stay.
    let mut steps: Vec<Step> = (0..30).flat_map(|b| [alloc(b, 8), free(b)]).collect();
    steps.extend((30..34).map(|b| alloc(b, 8)));
    let body = Body::Steps(vec![Variant { label: String::new(), steps, names: Names::default(), shares: Vec::new() }]);
    let finding = |watcher: &Watcher| {
        let root = tempfile::tempdir().expect("a temporary folder");
        let scenarios = vec![Scenario { body: body.clone(), ..scenario("oom::long") }];
        let options = RunOptions { stop: watcher.stop.clone(), ..options(scenarios, root.path()) };
        let open = |setup: &Setup| Ok(Box::new(fake::Bump::new(setup, Flaw::Overlaps)) as Box<dyn Target>);
        run_on(&open, &options, watcher).expect("it runs").findings.remove(0)
    };
    let (least, finding) = (finding(&Watcher::default()), finding(&Watcher::after(6)));
    let steps = finding.reproducer.steps.len();
    assert!(steps > least.reproducer.steps.len() && (steps as u64) < finding.original_steps, "{steps} steps");
    assert_eq!(finding.original_steps, least.original_steps);
    assert_eq!(finding.reproduced.map(|r| r.times), Some(2), "a moment is left for that");
    assert!(!finding.transcript.is_empty());
}

#[test]
fn whoever_watches_can_have_every_finding_on_the_disk_at_once() {
    let watcher = Watcher::default();
    let record = watched(Flaw::Overlaps, None, &watcher);
    let told = lock(&watcher.so_far);
    assert!(told.iter().all(|r| r.ended == EndedBy::Killed && r.scenarios.len() == 5));
    assert!(told[0].findings.is_empty() && told[0].scenarios.iter().all(|s| s.unfinished), "before anything ran");
    // Each is told when it is found, with its whole sequence; the others are small by then.
    let all = |r: &RunRecord| r.findings.iter().map(|f| 1 + f.folded.len()).sum::<usize>();
    let counts: Vec<usize> = told.iter().map(all).collect();
    assert!((0..=5).all(|n| counts.contains(&n)), "{counts:?}");
    let first = told.iter().find(|r| !r.findings.is_empty()).expect("there are findings");
    assert_eq!(first.findings[0].reproducer.steps.len() as u64, first.findings[0].original_steps);
    assert_eq!(first.findings[0].reproduced, None, "not tried yet");
    assert!(told.iter().any(|r| all(r) == 5), "all were told of");
    assert_eq!((record.findings[0].reproduced.map(|r| r.times), record.findings[0].minimal), (Some(2), true));
}

#[test]
fn a_sweep_that_is_interrupted_says_how_much_it_left() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let watcher = Watcher::after(40);
    let mut plan = Plan::new(spec::built_in(), &["trim::gives*".to_owned()], None).expect("they exist");
    plan.faults = Some(SweepPlan::default());
    let target: crate::target::TargetName = "reference@sim".parse().expect("a target name");
    let stop = watcher.stop.clone();
    let options =
        RunOptions { target, plan, stop, cases: Some(1), jobs: 1, ..options(vec![scenario("frac::x")], root.path()) };
    let record = run(&options, &watcher).expect("it runs");
    assert_eq!(record.ended, EndedBy::Interrupted);
    let sweep = record.sweep.expect("it had begun");
    assert!(sweep.runs > 0 && sweep.cut_short > 0, "{sweep:?}");
    assert!(!record.scenarios.iter().any(|s| s.unfinished), "their own sequences were done");
}

#[test]
fn hunts_that_are_interrupted_leave_whole_rows_and_count_the_others() {
    let watcher = Watcher::default();
    let options = MatrixOptions {
        base: "reference@sim".parse().expect("a target name"),
        plan: Plan::new(spec::built_in(), &["stat::*".to_owned()], None).expect("they exist"),
        seed: 0,
        seeds: 1,
        exact: false,
        cases: Some(1),
        jobs: 1,
        time: Duration::ZERO,
        full: false,
        stop: watcher.stop.clone(),
        command: String::new(),
    };
    let matrix: KillMatrix = kill_matrix(&options, &watcher).expect("the target opens");
    assert_eq!((matrix.ended, matrix.defects.len(), matrix.variations.len()), (EndedBy::Interrupted, 1, 0));
    let (defects, variations) = (crate::reference::Defect::ALL.len(), crate::reference::Variation::ALL.len());
    assert_eq!((matrix.untried_defects, matrix.untried_variations), (defects as u64 - 1, variations as u64));
}

//! The runner on a trivial allocator that goes wrong on request.

mod again;
mod ahead;
mod fake;
mod ledger;
mod states;
mod stopped;

use std::cell::Cell;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fake::{Bump, Flaw};

use super::lockstep::{JudgedSequence, Run};
use super::*;
use crate::op::{
    BlockId, Capability, DeviceId, Expect, Milestone, Names, Op, OracleName, Setup, Step, StreamId, Text, Via,
};
use crate::requirement::Severity;
use crate::spec::{Body, Generate, OpKind, Scenario, SizeClass, SizeDraw, Variant, Weights};
use crate::target::Target;
use crate::verdict::record::{EndedBy, RunRecord, RunStamp, ScenarioStamp};
use crate::verdict::{Outcome, Reproduced};

fn alloc(block: u32, bytes: u64) -> Step {
    let (device, stream) = (Some(DeviceId(0)), StreamId(0));
    Op::Alloc { block: BlockId(block), device, stream, bytes, via: Via::Raw }.into()
}

fn free(block: u32) -> Step {
    Op::Free { block: BlockId(block) }.into()
}

fn small_world() -> Setup {
    Setup { device_bytes: vec![1 << 20], streams: 1, config: None }
}

/// A scenario of explicit steps; its area gives the requirement.
pub(super) fn scenario(id: &str) -> Scenario {
    let area = id.split("::").next().unwrap_or_default().to_uppercase();
    Scenario {
        id: id.to_owned(),
        file: "specs/test.yaml".to_owned(),
        requirement: format!("{area}-01").parse().expect("every area has a first requirement"),
        title: Text::new("a test", "测试"),
        severity: Severity::High,
        effort_days: 1.0,
        requires: [].into(),
        devices: 1..=1,
        device_bytes: vec![1 << 20],
        streams: 1,
        config: None,
        oracles: [OracleName::Overlap, OracleName::Contents, OracleName::Exhaustion].into(),
        must_reach: [].into(),
        must_combine: Vec::new(),
        exact_world: false,
        epilogue: true,
        body: Body::Steps(vec![Variant {
            label: String::new(),
            steps: vec![alloc(0, 1000), free(0)],
            names: Names::default(),
            shares: Vec::new(),
        }]),
    }
}

fn generated(id: &str) -> Scenario {
    let sizes = vec![SizeClass { weight: 1, draw: SizeDraw::LogUniform(1, 4096) }];
    let body = Body::Generate(Generate {
        world: None,
        sequences: 8,
        length: 20..=40,
        streams: 1..=1,
        callers: 1..=1,
        limit_bytes: None,
        sizes,
        weights: Weights { entries: vec![(OpKind::Alloc, 3000), (OpKind::Free, 1000)] },
        faults: Vec::new(),
        cycles: 1,
        fractions: Vec::new(),
        settings: Vec::new(),
    });
    Scenario { body, ..scenario(id) }
}

fn walk(flaw: Flaw, steps: &[Step], oracles: &[OracleName], epilogue: bool) -> Run {
    let oracles = oracles.iter().copied().collect();
    let course = JudgedSequence {
        steps,
        oracles: &oracles,
        epilogue,
        transcript: true,
        relations: &[],
        only: None,
        exact: false,
    };
    lockstep::run(&mut Bump::new(&small_world(), flaw), &course, &Cell::new(0))
}

fn lines(run: &Run) -> String {
    let line = |l: &crate::verdict::TranscriptLine| {
        format!("{} {} -> {}\n", if l.added { '+' } else { ' ' }, l.asked, l.answered)
    };
    run.transcript.iter().map(line).collect()
}

fn options(scenarios: Vec<Scenario>, root: &Path) -> RunOptions {
    RunOptions {
        target: "bump@test".parse().expect("well formed"),
        plan: Plan::new(scenarios, &[], None).expect("well formed"),
        seed: 7,
        exact: true,
        cases: None,
        jobs: 2,
        time: None,
        minimise: Minimise::default(),
        stop: Stop::default(),
        out: root.join("out"),
        regressions: Some(root.join("kept")),
        command: "test".to_owned(),
    }
}

fn run_flawed(flaw: Flaw, options: &RunOptions) -> Result<RunRecord, EngineError> {
    let open = |setup: &Setup| Ok(Box::new(Bump::new(setup, flaw)) as Box<dyn Target>);
    run_on(&open, options, &Silent)
}

fn outcomes(flaw: Flaw, scenarios: Vec<Scenario>) -> Vec<(Outcome, String)> {
    let root = tempfile::tempdir().expect("a temporary folder");
    let record = run_flawed(flaw, &options(scenarios, root.path())).expect("it runs");
    record.scenarios.into_iter().map(|s| (s.outcome, s.reason.unwrap_or_default().en)).collect()
}

fn unstamped(mut record: RunRecord) -> RunRecord {
    record.stamp = RunStamp::default();
    record.scenarios.iter_mut().for_each(|s| s.stamp = ScenarioStamp::default());
    record
}

#[test]
fn blocks_are_filled_read_and_cleared_away() {
    let run = walk(Flaw::None, &[alloc(0, 1000), alloc(1, 0), alloc(2, 8), free(0)], &[OracleName::Contents], true);
    insta::assert_snapshot!(lines(&run), @r"
      alloc b0: 1000 B on device 0, stream 0 -> address 0x100000
    + fill b0 -> done
      alloc b1: 0 B on device 0, stream 0 -> address 0x0
      alloc b2: 8 B on device 0, stream 0 -> address 0x100400
    + fill b2 -> done
    + verify b0 -> intact
      free b0 -> done
    + synchronize device 0 -> done
    + free b1 -> done
    + verify b2 -> intact
    + free b2 -> done
    + synchronize device 0 -> done
    + empty_cache -> done
    ");
    assert_eq!((run.operations, run.dropped, run.conviction), (13, 0, None));
}

#[test]
fn every_live_block_is_read_where_memory_went_back() {
    let run = walk(Flaw::Returns, &[alloc(0, 8), alloc(1, 8), free(0), alloc(2, 8)], &[OracleName::Contents], false);
    insta::assert_snapshot!(lines(&run), @r"
      alloc b0: 8 B on device 0, stream 0 -> address 0x100000
    + fill b0 -> done
      alloc b1: 8 B on device 0, stream 0 -> address 0x100200
    + fill b1 -> done
    + verify b0 -> intact
      free b0 -> done
    + verify b1 -> intact
      alloc b2: 8 B on device 0, stream 0 -> address 0x100400
    + fill b2 -> done
    + verify b1 -> intact
    + verify b2 -> intact
    ");
    let quiet = walk(Flaw::None, &[alloc(0, 8), alloc(1, 8), free(0), alloc(2, 8)], &[OracleName::Contents], false);
    assert_eq!(quiet.operations + 1, run.operations, "nothing goes back, and nothing is read for it");
}

#[test]
fn a_refusal_is_followed_by_an_identical_request_after_its_expectations() {
    let later = Step { op: None, expect: Some(Box::new(Expect { unchanged: true, ..Expect::default() })) };
    let steps = [alloc(0, 512), alloc(1, 2 << 20), later, free(0)];
    let run = walk(Flaw::None, &steps, &[OracleName::Exhaustion, OracleName::Expectation], false);
    insta::assert_snapshot!(lines(&run), @r"
      alloc b0: 512 B on device 0, stream 0 -> address 0x100000
      alloc b1: 2 MiB (2097152 B) on device 0, stream 0 -> refused (out_of_memory): out of memory
    + alloc b4026531840: 2 MiB (2097152 B) on device 0, stream 0 -> refused (out_of_memory): out of memory
      free b0 -> done
    ");
    assert_eq!((run.judged, run.conviction), (5, None));
    let run = walk(Flaw::ChangesItsMind, &steps, &[OracleName::Exhaustion], false);
    let conviction = run.conviction.expect("the second answer differs");
    assert_eq!((conviction.step, conviction.violations[0].oracle), (1, OracleName::Exhaustion));
}

/// `frac::sound` passes, `oom::drawn` breaks MEM-01, `strm::lacking` is not applicable.
pub(super) fn failing_record() -> RunRecord {
    let root = tempfile::tempdir().expect("a temporary folder");
    let lacking = Scenario { requires: [Capability::Streams].into(), ..scenario("strm::lacking") };
    let options = options(vec![scenario("frac::sound"), generated("oom::drawn"), lacking], root.path());
    let record = run_flawed(Flaw::Overlaps, &options).expect("it runs");
    assert_eq!(record.findings[0].requirement.to_string(), "MEM-01");
    record
}

#[test]
fn what_names_no_block_is_dropped_and_counted() {
    let run = walk(Flaw::None, &[free(3), alloc(0, 8), alloc(0, 8)], &[OracleName::Overlap], false);
    assert_eq!((run.operations, run.dropped), (1, 2));
    let steps = vec![free(3), alloc(0, 8)];
    let odd = Scenario {
        body: Body::Steps(vec![Variant { label: String::new(), steps, names: Names::default(), shares: Vec::new() }]),
        ..scenario("arg::odd")
    };
    let [(outcome, reason)] = &outcomes(Flaw::None, vec![odd])[..] else { panic!("one scenario") };
    assert_eq!((*outcome, &reason[..19]), (Outcome::Inconclusive, "1 of its steps coul"));
}

#[test]
fn an_overlap_becomes_a_small_finding_that_is_kept_and_run_first() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let options = options(vec![scenario("frac::sound"), generated("oom::drawn")], root.path());
    let first = run_flawed(Flaw::Overlaps, &options).expect("it runs");
    let finding = &first.findings[0];
    assert_eq!((finding.id.as_str(), finding.file.as_str()), ("MEM-01-a6d0", "findings/MEM-01-a6d0.json"));
    assert_eq!(finding.reproducer.steps.len(), 3, "{:?}", finding.reproducer.steps);
    assert_eq!(finding.violation.oracle, OracleName::Overlap);
    assert!(finding.command.ends_with("out/findings/MEM-01-a6d0.json"), "{}", finding.command);
    assert!(finding.original_steps > 3 && !finding.transcript.is_empty());

    let second = run_flawed(Flaw::Overlaps, &options).expect("it runs again");
    assert_eq!(second.scenarios[1].stamp.regressions, 1);
    assert_eq!(unstamped(first), unstamped(second));

    let sound = run_flawed(Flaw::None, &options).expect("it runs");
    assert_eq!((sound.count(Outcome::Pass), sound.scenarios[1].stamp.regressions), (2, 1));

    let mut once = options.clone();
    once.cases = Some(0);
    let stored_only = run_flawed(Flaw::Overlaps, &once).expect("it runs");
    assert_eq!(stored_only.findings.len(), 1, "the kept sequence fails although none was drawn");
}

#[test]
fn a_kept_sequence_that_cannot_be_read_is_named() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let file = root.path().join("kept/bump@test/oom-drawn.json");
    write_whole(&file, b"{\"format\": 3}").expect("a temporary folder can be written");
    let error = run_flawed(Flaw::None, &options(vec![generated("oom::drawn")], root.path())).expect_err("unreadable");
    assert!(error.to_string().contains("oom-drawn.json: not a sequence"), "{error}");
}

#[test]
fn a_call_that_never_returns_ends_the_run_with_a_finding() {
    struct Told(std::sync::mpsc::Sender<RunRecord>);
    impl Watch for Told {}
    impl Progress for Told {
        fn hangs(&self, record: RunRecord) {
            self.0.send(record).expect("somebody waits for it");
        }
    }
    let (told, record) = std::sync::mpsc::channel();
    // This thread never comes back: it ends with the process.
    std::thread::spawn(move || {
        let root = tempfile::tempdir().expect("a temporary folder");
        let options = options(vec![scenario("frac::hangs"), generated("oom::sound")], root.path());
        let open = |setup: &Setup| Ok(Box::new(Bump::new(setup, Flaw::HangsAt(1000))) as Box<dyn Target>);
        run_on(&open, &options, &Told(told))
    });
    let record = record.recv().expect("the watchdog tells");
    let [found] = &record.findings[..] else { panic!("one finding: {:?}", record.findings) };
    assert_eq!((found.requirement.to_string().as_str(), found.violation.oracle), ("LIVE-01", OracleName::Hang));
    assert_eq!(
        found.violation.message.en,
        "`alloc b0: 1000 B on device 0, stream 0` had not returned after 1s, which ended the run"
    );
    assert_eq!(record.ended, EndedBy::Hung);
}

#[test]
fn a_panic_of_the_target_is_a_finding_with_its_sequence() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let options = options(vec![scenario("frac::panics"), generated("oom::sound")], root.path());
    let record = run_flawed(Flaw::PanicsAt(1000), &options).expect("it runs");
    let [found] = &record.findings[..] else { panic!("one finding: {:?}", record.findings) };
    assert_eq!((found.requirement.to_string().as_str(), found.violation.oracle), ("LIVE-02", OracleName::Panic));
    let message = &found.violation.message.en;
    assert!(
        message.starts_with("the allocator panicked during `alloc b0: 1000 B on device 0, stream 0`: no room for 1000"),
        "{message}"
    );
    assert_eq!((record.scenarios[0].outcome, record.scenarios[1].outcome), (Outcome::Blocked, Outcome::Pass));
    assert_eq!((found.reproducer.steps.len(), found.reproduced), (1, Some(Reproduced { times: 2, of: 2 })));
}

#[test]
fn nothing_is_silently_green() {
    let lacking = Scenario { requires: [Capability::Streams].into(), ..scenario("strm::lacking") };
    let unreached = Scenario { must_reach: [Milestone::Oom].into(), ..scenario("oom::unreached") };
    let empty = Scenario { body: Body::Steps(Vec::new()), ..scenario("frac::empty") };
    let seen = outcomes(Flaw::None, vec![lacking, unreached, empty, scenario("zero::fine")]);
    let expected = [Outcome::NotApplicable, Outcome::Inconclusive, Outcome::Inconclusive, Outcome::Pass];
    assert_eq!(seen.iter().map(|(o, _)| *o).collect::<Vec<_>>(), expected);
    assert!(seen[0].1.contains("streams") && seen[1].1.contains("oom") && seen[2].1.contains("no step"), "{seen:?}");
    assert_eq!(outcomes(Flaw::Blind, vec![scenario("zero::fine")])[0].0, Outcome::Inconclusive);
}

#[test]
fn what_a_target_says_it_is_never_in_is_not_demanded() {
    let waits = Scenario { must_reach: [Milestone::PendingFree].into(), ..scenario("oom::waits") };
    let both = Scenario { must_reach: [Milestone::PendingFree, Milestone::Oom].into(), ..scenario("oom::both") };
    let rest = Scenario { must_reach: [Milestone::PendingFree, Milestone::CacheHit].into(), ..scenario("oom::rest") };
    let seen = outcomes(Flaw::None, vec![waits, both, rest]);
    assert_eq!(seen[0].0, Outcome::NotApplicable, "nothing is left of it");
    assert!(seen[0].1.contains("lacks deferred_free") && seen[0].1.contains("pending_free"), "{seen:?}");
    assert_eq!(seen[1].0, Outcome::Inconclusive);
    assert!(seen[1].1.contains("oom") && !seen[1].1.contains("pending_free"), "{seen:?}");
    assert_eq!(seen[2].0, Outcome::Pass);
}

#[test]
fn the_record_does_not_depend_on_the_schedule() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let ids = ["frac::a", "oom::b", "zero::c", "peak::d", "iso::e"];
    let mut options = options(ids.map(generated).into(), root.path());
    options.regressions = None;
    options.jobs = 1;
    let one = run_flawed(Flaw::Overlaps, &options).expect("it runs");
    options.jobs = 4;
    let four = run_flawed(Flaw::Overlaps, &options).expect("it runs");
    assert_eq!(one.findings.iter().map(|f| (f.id.as_str(), f.folded.len())).collect::<Vec<_>>(), [("MEM-01-a6d0", 4)]);
    assert_eq!(unstamped(one), unstamped(four));
}

#[test]
fn a_time_limit_skips_what_is_left_and_a_long_one_draws_more() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let mut options = options(vec![scenario("frac::a"), generated("oom::b")], root.path());
    options.time = Some(Duration::ZERO);
    let record = run_flawed(Flaw::None, &options).expect("it runs");
    assert_eq!((record.count(Outcome::Skipped), record.ended), (2, EndedBy::TimeUp));
    assert!(record.scenarios.iter().all(|s| s.unfinished && s.planned > 0));
    assert_eq!(record.selection, ["--time 0s"]);
    // More than the first pass opens: what goes wrong from then on only fresh sequences can find, and end the run by it.
    const FIRST_FLAWED: usize = 40;
    options.time = Some(Duration::from_secs(86_400));
    let opened = AtomicUsize::new(0);
    let open = |setup: &Setup| {
        let flaw = if opened.fetch_add(1, Ordering::Relaxed) < FIRST_FLAWED { Flaw::None } else { Flaw::Overlaps };
        Ok(Box::new(Bump::new(setup, flaw)) as Box<dyn Target>)
    };
    let record = run_on(&open, &options, &Silent).expect("it runs");
    assert_eq!((record.scenarios[0].outcome, record.scenarios[1].outcome), (Outcome::Pass, Outcome::Blocked));
    assert!(record.scenarios[1].sequences > 8, "{} sequences", record.scenarios[1].sequences);
}

//! Two runs held against each other: real runs of the sound reference, of one with a planted mistake and of released allocators, whole, narrowed,
//! cut short, renamed, of another seed and of an older format; and the program that compares them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use poolproof::engine::{Minimise, Plan, RunOptions, Silent, Stop, run_on};
use poolproof::op::{Capability, Observation, Op, Reply, Setup, TargetInfo};
use poolproof::report::{self, Language, comparison_page, comparison_text};
use poolproof::spec;
use poolproof::target::{self, Target, TargetName};
use poolproof::verdict::Outcome;
use poolproof::verdict::comparison::{
    CameTo, Changed, Comparison, FindingKind, FindingRow, MatchedBy, NotShownBecause, PromiseState, Worse,
};
use poolproof::verdict::record::{EndedBy, RunRecord, RunStamp, ScenarioStamp};

const PLANTED: &str = "reference@sim?defect=event-on-default-stream";
const SOUND: &str = "reference@sim";

fn options(name: &str, globs: &[&str], seed: u64) -> RunOptions {
    let globs: Vec<String> = globs.iter().map(|g| (*g).to_owned()).collect();
    let target: TargetName = name.parse().expect("a target name");
    RunOptions {
        plan: Plan::new(spec::built_in(), &globs, None).expect("there are such scenarios").telling(&target),
        target,
        seed,
        exact: true,
        cases: Some(4),
        jobs: 2,
        time: None,
        minimise: Minimise::default(),
        stop: Stop::default(),
        out: PathBuf::from("reports/latest/target"),
        regressions: None,
        command: format!("poolproof run --seed {seed}"),
    }
}

/// A run, less what differs between two machines.
fn run(options: &RunOptions, wrap: &(dyn Fn(Box<dyn Target>) -> Box<dyn Target> + Sync)) -> RunRecord {
    let open = |setup: &Setup| target::open(&options.target, setup).map(wrap);
    let mut record = run_on(&open, options, &Silent).expect("the target opens");
    let started = "2026-01-02T03:04:05Z".to_owned();
    record.stamp = RunStamp { started, seconds: 1.5, cores: 2, ..RunStamp::default() };
    record.scenarios.iter_mut().for_each(|s| s.stamp = ScenarioStamp::default());
    for finding in &mut record.findings {
        finding.command = finding.command.replace("cargo run --release --", "poolproof");
    }
    record
}

fn plain(name: &str, globs: &[&str], seed: u64) -> RunRecord {
    run(&options(name, globs, seed), &|target| target)
}

fn kinds(comparison: &Comparison) -> Vec<FindingKind> {
    comparison.findings.iter().map(|row| row.kind).collect()
}

#[track_caller]
fn only(comparison: &Comparison) -> &FindingRow {
    assert_eq!(comparison.findings.len(), 1, "{:?}", comparison.findings);
    &comparison.findings[0]
}

#[test]
fn a_new_mistake_is_worse_and_says_where() {
    let comparison = Comparison::of(&plain(SOUND, &["strm::*"], 0), &plain(PLANTED, &["strm::*"], 0));
    assert_eq!((comparison.came_to, only(&comparison).kind), (CameTo::Worse, FindingKind::New));
    assert!(matches!(comparison.worse.as_slice(), [Worse::Finding { .. }]), "{:?}", comparison.worse);
    insta::assert_snapshot!("new_in_english", comparison_page(&comparison, Language::En));
    insta::assert_snapshot!("new_in_chinese", comparison_page(&comparison, Language::Zh));
    insta::assert_snapshot!("new_in_a_terminal", comparison_text(&comparison, Language::En));
    let back: Comparison =
        serde_json::from_slice(&report::comparison_json(&comparison).expect("JSON")).expect("its own");
    assert_eq!(back, comparison);
}

#[test]
fn a_mended_mistake_is_fixed_where_its_scenarios_pass() {
    let comparison = Comparison::of(&plain(PLANTED, &["strm::*"], 0), &plain(SOUND, &["strm::*"], 0));
    assert_eq!((comparison.came_to, only(&comparison).kind), (CameTo::NothingWorse, FindingKind::Fixed));
    assert!(!only(&comparison).drawn_anew, "its scenario has explicit steps");
    insta::assert_snapshot!("fixed_in_a_terminal", comparison_text(&comparison, Language::En));
}

#[test]
fn another_seed_name_or_folder_is_no_difference() {
    let old = plain(PLANTED, &["strm::*"], 0);
    let mut new = plain(PLANTED, &["strm::*"], 7);
    "mine@sim".clone_into(&mut new.target.name);
    for finding in &mut new.findings {
        finding.file = format!("elsewhere/{}", finding.file);
        finding.command = "another".to_owned();
    }
    let comparison = Comparison::of(&old, &new);
    assert_eq!(kinds(&comparison), [FindingKind::Still], "{:?}", comparison.findings);
    assert_eq!((comparison.came_to, only(&comparison).matched), (CameTo::NothingWorse, Some(MatchedBy::Id)));
    let same = Comparison::of(&old, &old);
    assert_eq!((same.came_to, kinds(&same)), (CameTo::NothingWorse, vec![FindingKind::Still]));
    assert!(same.differences.is_empty() && same.figures.is_empty() && same.scenarios.is_empty(), "{same:?}");
}

#[test]
fn what_was_not_executed_is_not_fixed() {
    let old = plain(PLANTED, &["strm::*"], 0);
    let narrowed = Comparison::of(&old, &plain(SOUND, &["frac::*"], 0));
    assert_eq!(only(&narrowed).kind, FindingKind::NotShown);
    // What the user left out is no loss; that nothing can be said, is.
    assert_eq!((narrowed.came_to, narrowed.shared), (CameTo::NothingCompared, 0));
    let lost = narrowed.requirements.iter().filter(|row| row.old.is_verdict());
    assert!(lost.clone().all(|row| row.new == PromiseState::NotSelected) && lost.count() > 3);

    let stopped = options(SOUND, &["strm::*"], 0);
    stopped.stop.ask();
    let cut = Comparison::of(&old, &run(&stopped, &|target| target));
    assert_eq!((cut.new.ended, only(&cut).kind), (EndedBy::Interrupted, FindingKind::NotShown));
    assert!(
        cut.worse.iter().all(|w| matches!(w, Worse::RequirementLost { .. })) && cut.worse.len() > 3,
        "{:?}",
        cut.worse
    );
    insta::assert_snapshot!("cut_short_in_english", comparison_page(&cut, Language::En));
}

#[test]
fn what_the_old_run_did_not_execute_is_not_called_new() {
    let comparison = Comparison::of(&plain(SOUND, &["frac::*"], 0), &plain(PLANTED, &["strm::*"], 0));
    assert_eq!((comparison.came_to, only(&comparison).kind), (CameTo::Worse, FindingKind::FirstSeen));
    assert!(matches!(only(&comparison).because, Some(NotShownBecause::Scenarios { .. })), "{:?}", only(&comparison));
    let stopped = options(SOUND, &[], 0);
    stopped.stop.ask();
    let nothing = run(&stopped, &|target| target);
    let empty = Comparison::of(&nothing, &nothing);
    assert_eq!((empty.came_to, empty.shared, empty.worse.len()), (CameTo::NothingCompared, 0, 0));
}

/// Can allocate and free, and says nothing else of itself.
struct Weak {
    inner: Box<dyn Target>,
    info: TargetInfo,
}

impl Target for Weak {
    fn info(&self) -> &TargetInfo {
        &self.info
    }

    fn apply(&mut self, op: &Op) -> Reply {
        self.inner.apply(op)
    }

    fn observe(&mut self, into: &mut Observation) {
        self.inner.observe(into);
    }
}

#[test]
fn what_a_target_no_longer_shows_is_lost_and_not_fixed() {
    let weak = |inner: Box<dyn Target>| {
        let mut info = inner.info().clone();
        info.capabilities.retain(|c| matches!(c, Capability::Devices(_) | Capability::OomTyped));
        Box::new(Weak { inner, info }) as Box<dyn Target>
    };
    let old = plain(PLANTED, &["strm::*", "oom::*"], 0);
    let comparison = Comparison::of(&old, &run(&options(SOUND, &["strm::*", "oom::*"], 0), &weak));
    assert!(kinds(&comparison).iter().all(|kind| *kind == FindingKind::NotShown), "{:?}", comparison.findings);
    let lost: Vec<_> = comparison.requirements.iter().filter(|row| row.is_lost()).collect();
    assert!(lost.iter().any(|row| row.new == PromiseState::NotApplicable), "{:?}", comparison.requirements);
    assert_eq!(comparison.worse.len(), lost.len(), "{:?}", comparison.worse);
    insta::assert_snapshot!("lost_in_a_terminal", comparison_text(&comparison, Language::En));
}

#[test]
fn records_of_format_1_are_matched_by_promise_and_judge() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/records/format-1.json");
    let comparison =
        Comparison::of(&report::read(&path).expect("an older record"), &plain(PLANTED, &["strm::recorded*"], 0));
    let matched: Vec<_> = comparison.findings.iter().filter_map(|row| row.matched).collect();
    assert!(!matched.is_empty() && !matched.contains(&MatchedBy::Id), "{:?}", comparison.findings);
    assert!(!kinds(&comparison).contains(&FindingKind::New), "{:?}", comparison.findings);
    let text = comparison_page(&comparison, Language::En);
    assert!(text.contains("The record of the old run is of format 1"), "{text}");
}

#[test]
fn a_suite_that_grew_or_shrank_says_so() {
    let old = plain(PLANTED, &["strm::*"], 0);
    let own = old.findings[0].scenario.clone();
    let mut new = plain(SOUND, &["strm::*"], 0);
    new.scenarios.retain(|s| s.id != own);
    let shrunk = Comparison::of(&old, &new);
    let row = shrunk.scenarios.iter().find(|row| row.scenario == own).expect("it is told");
    assert_eq!((row.old, row.new), (Some(Outcome::Fail), None));
    assert_eq!(only(&shrunk).kind, FindingKind::NotShown, "its own scenario is gone");
    let grown = Comparison::of(&new, &old);
    assert_eq!(grown.scenarios.iter().find(|row| row.scenario == own).map(|row| row.old), Some(None));
    assert!(comparison_page(&grown, Language::En).contains("not in the plan → fail"));
}

#[test]
fn of_two_mistakes_of_one_promise_each_finds_its_own() {
    let mut old = plain(PLANTED, &["strm::*"], 0);
    let first = old.findings[0].clone();
    let mut second = first.clone();
    second.id = format!("{}-1a2b", first.id);
    second.reproducer.steps.truncate(2);
    second.folded.clear();
    old.findings.push(second.clone());
    // The first is mended; the second takes its name.
    let mut new = old.clone();
    new.findings = vec![second.clone()];
    new.findings[0].id = first.id.clone();
    let comparison = Comparison::of(&old, &new);
    let matched: Vec<_> = comparison.findings.iter().filter(|row| row.matched.is_some()).collect();
    assert_eq!(matched.len(), 1, "{:?}", comparison.findings);
    assert_eq!(matched[0].old.as_ref().map(|side| side.id.as_str()), Some(second.id.as_str()));
    assert_eq!(matched[0].matched, Some(MatchedBy::Sequence));
}

#[test]
fn a_known_mistake_that_spreads_is_worse() {
    let new = plain(PLANTED, &["strm::*"], 0);
    let mut old = new.clone();
    let finding = &mut old.findings[0];
    let spared = finding.folded.iter().map(|f| f.scenario.clone()).find(|id| *id != finding.scenario);
    let spared = spared.expect("several scenarios stumble over it");
    finding.folded.retain(|f| f.scenario != spared);
    let record = old.scenarios.iter_mut().find(|s| s.id == spared).expect("it is in the plan");
    record.outcome = Outcome::Pass;
    let comparison = Comparison::of(&old, &new);
    let spread = Changed::Spread { scenarios: vec![spared.clone()] };
    assert!(only(&comparison).changed.contains(&spread), "{:?}", only(&comparison));
    assert_eq!(comparison.worse, [Worse::ScenarioFails { scenario: spared }]);
}

#[test]
fn two_releases_say_first_what_they_are() {
    let read = |release: &str| {
        let path = format!("{}/tests/records/releases/{release}.json", env!("CARGO_MANIFEST_DIR"));
        report::read(Path::new(&path)).expect("a run of a released allocator")
    };
    let comparison = Comparison::of(&read("2.11.0"), &read("2.15.0"));
    let page = comparison_page(&comparison, Language::En);
    let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text} is not in: {page}"));
    assert!(at("version of the allocator") < at("## Findings"), "{page}");
    insta::assert_snapshot!("releases_in_english", page);
    insta::assert_snapshot!("releases_in_chinese", comparison_page(&comparison, Language::Zh));
}

#[test]
fn the_program_compares_folders_and_files() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    for (name, target) in [("old/sound", SOUND), ("new/planted", PLANTED)] {
        report::write(&plain(target, &["strm::recorded*"], 0), &at(name), &[]).expect("a writable folder");
    }
    let call = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_poolproof"));
        let output = command.arg("compare").args(arguments).current_dir(folder.path()).stdin(Stdio::null()).output();
        let output = output.expect("the program was built for this test");
        let text = |bytes| String::from_utf8(bytes).expect("it writes UTF-8");
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, text, stderr) = call(&["old/sound", "new/planted/run.json", "--out", "out"]);
    assert_eq!(code, Some(1), "{text}{stderr}");
    assert!(text.contains("Worse: 1 finding that the old run does not have."), "{text}");
    let read = |name: &str| fs::read_to_string(at("out").join(name)).expect("it was written");
    assert!(read("compare.md").starts_with("# ") && read("compare.zh.md").contains("变差"));
    let kept: Comparison = serde_json::from_str(&read("compare.json")).expect("a comparison");
    let (_, json, _) = call(&["old/sound", "new/planted", "--format", "json"]);
    assert_eq!(serde_json::from_str::<Comparison>(&json).expect("a comparison"), kept);
    assert_eq!(call(&["new/planted", "old/sound"]).0, Some(0), "nothing is worse the other way round");
    let (code, _, stderr) = call(&["old", "new/planted"]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("did you mean old/sound?"), "{stderr}");
}

//! Reports of real runs: what a reader, a terminal and a CI system are told of a target that broke a promise, one that
//! failed as expected, one that can little, one that panics, and of runs that were narrowed or cut short.

use std::fs;
use std::path::{Path, PathBuf};

use poolproof::engine::{self, Minimise, Plan, RunOptions, Silent, Stop, run_on};
use poolproof::op::{Capability, Observation, Op, Refusal, RefusalClass, Reply, Setup, TargetInfo};
use poolproof::report::{self, Language, headline, junit, markdown, table};
use poolproof::spec;
use poolproof::target::{self, Target, TargetName};
use poolproof::verdict::conclusion::Conclusion;
use poolproof::verdict::record::{EndedBy, RunRecord, RunStamp, ScenarioStamp};
use poolproof::verdict::{Condition, Outcome};

/// How a target is changed before it is tried.
type Wrap = dyn Fn(Box<dyn Target>) -> Box<dyn Target> + Sync;

fn options(name: &str, globs: &[&str]) -> RunOptions {
    let globs: Vec<String> = globs.iter().map(|g| (*g).to_owned()).collect();
    let target: TargetName = name.parse().expect("a target name");
    RunOptions {
        // Without what the reference is expected to fail: nobody reads the expectations here.
        plan: Plan::new(spec::built_in(), &globs, None).expect("there are such scenarios").telling(&target),
        target,
        seed: 0,
        exact: true,
        cases: Some(4),
        jobs: 2,
        time: None,
        minimise: Minimise::default(),
        stop: Stop::default(),
        out: PathBuf::from("reports/latest/target"),
        regressions: None,
        command: "poolproof run --seed 0".to_owned(),
    }
}

/// A run, less what differs between two machines.
fn run(options: &RunOptions, wrap: &Wrap) -> RunRecord {
    let open = |setup: &Setup| target::open(&options.target, setup).map(wrap);
    let mut record = run_on(&open, options, &Silent).expect("the target opens");
    let started = "2026-01-02T03:04:05Z".to_owned();
    record.stamp =
        RunStamp { started, seconds: 1.5, cores: 2, command: options.command.clone(), ..RunStamp::default() };
    record.scenarios.iter_mut().for_each(|s| s.stamp = ScenarioStamp::default());
    for finding in &mut record.findings {
        finding.command = finding.command.replace("cargo run --release --", "poolproof");
    }
    record
}

fn plain(name: &str, globs: &[&str]) -> RunRecord {
    run(&options(name, globs), &|target| target)
}

/// A recorded stream is forgotten at the free.
fn planted() -> RunRecord {
    plain("reference@sim?defect=event-on-default-stream", &["strm::*", "stat::*"])
}

/// Can allocate and free, and says nothing else of itself.
struct Weak {
    inner: Box<dyn Target>,
    info: TargetInfo,
}

impl Weak {
    fn of(inner: Box<dyn Target>) -> Box<dyn Target> {
        let mut info = inner.info().clone();
        info.capabilities.retain(|c| matches!(c, Capability::Devices(_) | Capability::OomTyped));
        Box::new(Weak { inner, info })
    }
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

/// Panics, or refuses with a text that would break a page, when a fraction is set.
struct Rude {
    inner: Box<dyn Target>,
    panics: bool,
}

const RUDE: &str = "# no\n| `x` | <b>*y*</b> |\n</details> [a](b) $1 \u{1b}[31m ]]>";

impl Target for Rude {
    fn info(&self) -> &TargetInfo {
        self.inner.info()
    }

    fn apply(&mut self, op: &Op) -> Reply {
        match op {
            Op::SetFraction { .. } if self.panics => panic!("index out of bounds: `len` is 3\nbut the index is 3"),
            Op::SetFraction { .. } => {
                Reply::Refused(Refusal { class: RefusalClass::DeviceError, message: RUDE.to_owned() })
            }
            _ => self.inner.apply(op),
        }
    }

    fn observe(&mut self, into: &mut Observation) {
        self.inner.observe(into);
    }
}

#[test]
fn a_run_with_findings_in_both_languages() {
    let record = planted();
    insta::assert_snapshot!("findings_in_english", markdown(&record, Language::En));
    insta::assert_snapshot!("findings_in_chinese", markdown(&record, Language::Zh));
    insta::assert_snapshot!("findings_in_a_terminal", table(&[&record]));
    let xml = junit(&record).expect("plain text goes into XML");
    let tells = |line: &&str| line.contains("<failure") || line.contains("<testsuite ");
    insta::assert_snapshot!("findings_in_junit", xml.lines().filter(tells).collect::<Vec<_>>().join("\n"));
}

#[test]
fn one_mistake_is_one_finding_with_a_name_that_stays() {
    let record = planted();
    let finding = &record.findings[0];
    assert_eq!(record.findings.len(), 1, "{:?}", record.findings.iter().map(|f| &f.id).collect::<Vec<_>>());
    assert_eq!(finding.requirement.to_string(), "STRM-02");
    assert!(finding.folded.len() >= 3, "{:?}", finding.folded);
    let needs = |wanted: &Condition| finding.conditions.contains(wanted);
    assert!(finding.minimal, "{finding:?}");
    assert!(needs(&Condition::BusyStream { step: 1 }) && needs(&Condition::RecordedStream), "{:?}", finding.conditions);
    let fails: Vec<&str> =
        record.scenarios.iter().filter(|s| s.outcome == Outcome::Fail).map(|s| s.id.as_str()).collect();
    for id in fails {
        assert!(finding.concerns(id), "{id} fails, and no finding says so");
    }
    // Another seed, a part of the scenarios, one thread: the same mistake has the same name.
    let mut other = options("reference@sim?defect=event-on-default-stream", &["strm::recorded*"]);
    (other.seed, other.jobs, other.cases) = (7, 1, None);
    let other = run(&other, &|target| target);
    assert_eq!(other.findings.iter().map(|f| f.id.as_str()).collect::<Vec<_>>(), [finding.id.as_str()]);
}

#[test]
fn a_call_that_makes_no_sense_to_the_device_is_a_finding() {
    let record = plain("reference@sim?defect=trim-takes-split", &["mem::device-calls"]);
    let found: Vec<String> = record.findings.iter().map(|f| f.requirement.to_string()).collect();
    assert!(found.contains(&"MEM-04".to_owned()), "{found:?}");
}

#[test]
fn two_mistakes_are_two_findings() {
    let wrap = |inner| Box::new(Rude { inner, panics: false }) as Box<dyn Target>;
    let record = run(&options("reference@sim?defect=event-on-default-stream", &["strm::*", "frac::*"]), &wrap);
    let of = |area: &str| record.findings.iter().filter(|f| f.id.starts_with(area)).count();
    assert_eq!(of("STRM-02"), 1, "{:?}", record.findings.iter().map(|f| &f.id).collect::<Vec<_>>());
    assert!(record.findings.len() > 1, "refused fractions have nothing to do with streams");
    for finding in &record.findings {
        let streams = finding.requirements().iter().any(|r| r.to_string().starts_with("STRM-"));
        let fractions = finding.requirements().iter().any(|r| r.to_string().starts_with("FRAC-"));
        assert!(!(streams && fractions), "{}: {:?}", finding.id, finding.folded);
    }
}

#[test]
fn what_is_stopped_by_another_promise_is_blocked() {
    let record = plain("reference@sim?defect=freed-in-small-pool", &[]);
    let blocked: Vec<_> = record.scenarios.iter().filter(|s| s.outcome == Outcome::Blocked).collect();
    assert!(blocked.len() > 100, "{} of {}", blocked.len(), record.scenarios.len());
    for scenario in blocked {
        let by = scenario.blocked_by.first().expect("it says by what");
        let finding = record.findings.iter().find(|f| f.id == *by).expect("a finding of that name");
        assert!(finding.concerns(&scenario.id) && finding.requirement != scenario.requirement, "{}", scenario.id);
    }
    assert!(record.findings.len() <= 3, "{} findings", record.findings.len());
    let lines = markdown(&record, Language::En).lines().count();
    assert!(lines < 400, "{lines} lines of report for one mistake in one line");
}

#[test]
fn a_selection_that_passes_is_no_verdict_on_the_rest() {
    let record = plain("reference@sim", &["frac::*"]);
    assert_eq!(Conclusion::of(&record), Conclusion::Selected);
    let not_selected = record.count(Outcome::NotSelected);
    assert!(not_selected > 150 && record.count(Outcome::Skipped) == 0, "{not_selected} were not selected");
    insta::assert_snapshot!("selected", both(&record));
    for language in Language::ALL {
        let text = markdown(&record, language);
        assert!(!text.contains("**Passed") && !text.contains("**测试通过"), "{text}");
    }
}

#[test]
fn a_target_that_can_little_does_not_pass() {
    let record = run(&options("reference@sim", &[]), &Weak::of);
    assert_eq!(Conclusion::of(&record), Conclusion::Thin);
    insta::assert_snapshot!("thin", both(&record));
    let lacking = record.scenarios.iter().find(|s| s.outcome == Outcome::NotApplicable).expect("most");
    assert!(!lacking.missing.is_empty(), "{lacking:?}");
    let text = markdown(&record, Language::En);
    let environment = text.split("### Environment").nth(1).and_then(|t| t.split("\n### ").next()).unwrap_or_default();
    for capability in &lacking.missing {
        assert!(environment.contains(capability.as_str()), "{capability} is not in: {environment}");
    }
    assert!(!environment.contains("found what it needs"), "{environment}");
}

#[test]
fn a_run_that_was_stopped_says_so_first() {
    let stopped = options("reference@sim", &[]);
    stopped.stop.ask();
    let mut record = run(&stopped, &|target| target);
    assert_eq!((record.ended, Conclusion::of(&record)), (EndedBy::Interrupted, Conclusion::Interrupted));
    insta::assert_snapshot!("interrupted", both(&record));
    record.ended = EndedBy::Killed; // as the report of a run under way has it
    insta::assert_snapshot!("killed", both(&record));
    for language in Language::ALL {
        assert!(!markdown(&record, language).contains('✓'), "nothing was tested");
    }
    assert!(junit(&record).expect("XML").contains("the run was interrupted"));
}

#[test]
fn a_run_without_time_says_so() {
    let mut hasty = options("reference@sim", &[]);
    hasty.time = Some(std::time::Duration::ZERO);
    let record = run(&hasty, &|target| target);
    assert_eq!((record.ended, Conclusion::of(&record)), (EndedBy::TimeUp, Conclusion::OutOfTime));
    insta::assert_snapshot!("out_of_time", both(&record));
}

#[test]
fn what_a_target_says_cannot_break_the_page() {
    for panics in [false, true] {
        let wrap = move |inner| Box::new(Rude { inner, panics }) as Box<dyn Target>;
        let mut rude = options("reference@sim", &["frac::*"]);
        rude.command = format!("poolproof run --out '{RUDE}'");
        let record = run(&rude, &wrap);
        assert_eq!(Conclusion::of(&record), Conclusion::Failed);
        for language in Language::ALL {
            let text = markdown(&record, language);
            assert_eq!(text.lines().filter(|l| l.starts_with("# ")).count(), 1, "{text}");
            assert_eq!(text.lines().filter(|l| l.starts_with("## ")).count(), 6, "{text}");
            assert!(!text.contains('\u{1b}'), "{text}");
            tables_are_whole(&text);
        }
        let xml = junit(&record).expect("XML");
        assert!(!xml.contains('\u{1b}'));
    }
}

/// Every row of a table has as many cells as its head.
fn tables_are_whole(text: &str) {
    let cells = |line: &str| line.replace("\\|", "").matches('|').count();
    let mut width = None;
    let mut fenced = false;
    for line in text.lines() {
        fenced ^= line.starts_with("```");
        if !line.starts_with('|') || fenced {
            width = None;
        } else {
            assert_eq!(*width.get_or_insert(cells(line)), cells(line), "{line}");
        }
    }
}

#[test]
fn expected_failures_are_told_apart() {
    let mut options = options("reference@sim?expandable_segments:True", &[]);
    options.plan = Plan::new(spec::built_in(), &["frac::*".to_owned()], None).expect("there are such scenarios");
    let mut record = run(&options, &|target| target);
    let file = spec::expect::built_in("reference", "sim").expect("well formed").expect("there is one");
    engine::expect::apply(&mut record, &[&file]);
    assert!(record.count(Outcome::ExpectedFail) > 0, "{}", both(&record));
    assert_eq!(record.open_findings().count(), 0);
    let text = markdown(&record, Language::En);
    let part = text.split("**Expected failures**:").nth(1).and_then(|t| t.split("\n**").next()).unwrap_or_default();
    insta::assert_snapshot!("expected", format!("{}\n{part}", both(&record)));
}

#[test]
fn a_record_of_format_1_renders_and_says_what_it_does_not_know() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/records/format-1.json");
    let record = report::read(&path).expect("an older record");
    assert!(record.is_format_1() && record.findings[0].id == "F01");
    let text = markdown(&record, Language::En);
    assert!(text.contains("The record is of format 1"), "{text}");
    assert!(!text.contains("found what it needs in this environment"), "{text}");
    insta::assert_snapshot!("format_1", both(&record));
}

#[test]
fn a_folder_shows_one_run_and_reads_back() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let record = planted();
    report::write(&record, folder.path(), &Language::ALL).expect("a writable folder");
    assert_eq!(report::read(&folder.path().join("run.json")).expect("what was just written"), record);
    let reproducer = folder.path().join(&record.findings[0].file);
    let first = fs::read_to_string(&reproducer).expect("it was written");
    let read: poolproof::verdict::Reproducer = serde_json::from_str(&first).expect("a reproducer");
    assert_eq!(read, record.findings[0].reproducer);
    fs::write(folder.path().join("notes.txt"), "kept").expect("a writable folder");
    let sound = plain("reference@sim", &["frac::limit"]);
    report::write(&sound, folder.path(), &[Language::En]).expect("a writable folder");
    assert!(!reproducer.exists() && !folder.path().join("report.zh.md").exists(), "they speak of another run");
    assert!(folder.path().join("notes.txt").exists(), "somebody else's file");
}

#[test]
fn a_finding_cannot_be_written_outside_its_folder() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut record = planted();
    for file in ["../F01.json", "/F01.json", "", "findings/../../F01.json"] {
        file.clone_into(&mut record.findings[0].file);
        let error = report::write(&record, &folder.path().join("run"), &[]).expect_err(file);
        assert!(matches!(error, report::ReportError::Outside { .. }), "{error}");
        assert!(!folder.path().join("run").exists(), "nothing half-written is left");
    }
}

fn both(record: &RunRecord) -> String {
    Language::ALL.map(|language| headline(record, language)).join("\n")
}

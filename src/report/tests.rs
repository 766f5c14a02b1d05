//! The reports of two made-up runs: one with every outcome and three findings, one clean.

use std::collections::BTreeMap;
use std::fs;

use super::{Language, ReportError, junit, markdown, read, run_schema, sweep_table, table, write};
use crate::op::contract::DeviceInfo;
use crate::op::{BlockId, DeviceCall, DeviceId, Milestone, Op, OracleName, Setup, Step, StreamId, Text, Versions, Via};
use crate::requirement::{ALL, RequirementId, Severity};
use crate::verdict::expectation::{ExpectationRecord, Standing};
use crate::verdict::record::{RunRecord, RunStamp, ScenarioRecord, ScenarioStamp, TargetRecord};
use crate::verdict::sweep::{SweepRecord, SweepStamp, SweptCall};
use crate::verdict::{Finding, Outcome, Reproduced, Reproducer, TranscriptLine, Violation};

fn id(text: &str) -> RequirementId {
    text.parse().expect("the tests cite requirements that exist")
}

fn scenario(name: &str, requirement: &str, outcome: Outcome, reason: Option<(&str, &str)>) -> ScenarioRecord {
    let ran = !matches!(outcome, Outcome::NotApplicable | Outcome::Skipped);
    let requirement = id(requirement);
    ScenarioRecord {
        id: name.to_owned(),
        requirement,
        title: Text::new(requirement.get().en, requirement.get().zh),
        severity: Severity::High,
        effort_days: 0.5,
        outcome,
        reason: reason.map(|(en, zh)| Text::new(en, zh)),
        generated: name.ends_with("generated"),
        sequences: if ran { 64 } else { 0 },
        operations: if ran { 12_345 } else { 0 },
        dropped: if ran { 17 } else { 0 },
        pairs: 0,
        oracles: vec![OracleName::Expectation, OracleName::Accounts, OracleName::Limit],
        must_reach: vec![Milestone::Oom, Milestone::SuccessAfterOom],
        reached: if ran { BTreeMap::from([(Milestone::Oom, 40), (Milestone::CacheHit, 61)]) } else { BTreeMap::new() },
        stamp: ScenarioStamp { seconds: 0.25, regressions: 0 },
    }
}

fn finding(number: u32, scenario: &str, requirement: &str, severity: Severity, violation: Violation) -> Finding {
    let alloc =
        Op::Alloc { block: BlockId(3), device: Some(DeviceId(1)), stream: StreamId(0), bytes: 20 << 20, via: Via::Raw };
    let line =
        |op: &Op, answered: &str, added| TranscriptLine { asked: op.to_line(), answered: answered.to_owned(), added };
    let fraction = Op::SetFraction { device: Some(DeviceId(1)), fraction: 0.5 };
    let file = format!("findings/F{number:02}-{}.json", scenario.replace("::", "-"));
    Finding {
        id: format!("F{number:02}"),
        scenario: scenario.to_owned(),
        requirement: id(requirement),
        severity,
        effort_days: f64::from(number) * 0.5,
        violation,
        transcript: vec![
            line(&fraction, "done", false),
            line(&alloc, "address 0x7f0000000000", false),
            line(&Op::Fill { block: BlockId(3) }, "done", true),
        ],
        reproducer: Reproducer {
            format: Reproducer::FORMAT.to_owned(),
            target: "reference@sim?defect=loose-limit".to_owned(),
            scenario: scenario.to_owned(),
            requirement: id(requirement),
            setup: Setup { device_bytes: vec![64 << 20, 32 << 20], streams: 2, config: None },
            oracles: vec![OracleName::Limit],
            steps: vec![fraction.into(), Step::from(alloc)],
            epilogue: false,
        },
        original_steps: 1212,
        reproduced: [Some(1), Some(2), None][number as usize - 1].map(|times| Reproduced { times, of: 2 }),
        command: format!("poolproof replay reports/latest/reference@sim/{file}"),
        file,
    }
}

fn record(scenarios: Vec<ScenarioRecord>, findings: Vec<Finding>) -> RunRecord {
    RunRecord {
        format: RunRecord::FORMAT.to_owned(),
        version: "0.1.0".to_owned(),
        target: TargetRecord {
            name: "reference@sim".to_owned(),
            devices: vec![DeviceInfo::whole("sim0", 64 << 20), DeviceInfo::whole("sim1", 32 << 20)],
            capabilities: vec!["streams".to_owned(), "memory_fraction".to_owned()],
            planted: None,
            versions: Versions::default(),
        },
        seed: 7,
        selection: Vec::new(),
        scenarios,
        findings,
        sweep: None,
        kill_matrix: None,
        expectations: Vec::new(),
        stamp: RunStamp {
            started: "2026-01-02T03:04:05Z".to_owned(),
            seconds: 12.5,
            os: "Linux".to_owned(),
            cpu: "x86_64".to_owned(),
            cores: 2,
            command: "poolproof run --seed 7".to_owned(),
        },
    }
}

/// A sweep in which something failed, something was cut short and one kind of call was never made.
fn sweep() -> SweepRecord {
    let call = |call: DeviceCall, seen: u64| SweptCall {
        call,
        seen,
        failed: seen,
        errors: if seen > 0 { call.documented_errors().to_vec() } else { Vec::new() },
        singles: seen * call.documented_errors().len() as u64,
        pairs: seen / 2,
        states: 100 * seen,
    };
    SweepRecord {
        targets: vec!["reference@sim".to_owned(), "reference@sim?expandable_segments:True".to_owned()],
        sequences: 120,
        cut_short: 2,
        failing: 1,
        convicted: 3,
        runs: 4321,
        operations: 98_765,
        calls: DeviceCall::ALL.into_iter().zip([1200, 900, 40, 400, 80, 70, 30, 0]).map(|(c, n)| call(c, n)).collect(),
        stamp: SweepStamp { seconds: 1.5 },
    }
}

#[test]
fn a_sweep_is_a_line_a_kind_of_call() {
    insta::assert_snapshot!(sweep_table(&sweep()));
}

/// Entries of expected failures in every standing that a reader has to act on, and one that is met.
fn expectations() -> Vec<ExpectationRecord> {
    let entry = |line: usize, about: &str, standing, note: Option<(&str, &str)>| ExpectationRecord {
        place: format!("specs/expect/reference@sim.yaml:{line}"),
        scenario: about.contains("::").then(|| about.to_owned()),
        requirement: about.parse().ok(),
        reason: Text::new("rounds down, see notes", "向下取整，见说明"),
        link: (line == 3).then(|| "https://example.org/7".to_owned()),
        owner: "allocator team".to_owned(),
        expires: "2030-01-31".to_owned(),
        standing,
        note: note.map(|(en, zh)| Text::new(en, zh)),
        scenarios: if standing == Standing::Met { vec!["frac::read-back".to_owned()] } else { Vec::new() },
    };
    vec![
        entry(3, "FRAC-05", Standing::Met, None),
        entry(9, "gone::*", Standing::Stale, Some(("no scenario is called so", "没有与之匹配的用例"))),
        entry(14, "peak::*", Standing::Expired, None),
    ]
}

/// Every outcome, three severities, messages that would break a careless table.
fn troubled() -> RunRecord {
    let limit = Text::new("reserved `21 MiB` | limit 16 MiB on device 1", "设备 1 保留 `21 MiB` | 上限 16 MiB");
    let violations = [
        Violation::new(OracleName::Limit, Some(id("FRAC-01")), limit).with("limit", "上限", "16777216 B").with(
            "reserved_bytes.all.current",
            "reserved_bytes.all.current",
            "22020096 B | rising",
        ),
        Violation::new(
            OracleName::Peak,
            None,
            Text::new("peak 4096 was never reached: the highest was 2048", "峰值 4096 从未达到：最大值为 2048"),
        ),
        Violation::new(OracleName::Expectation, None, Text::new("the fraction reads 0.4", "比例读回 0.4")),
    ];
    let [limit, peak, fraction] = violations;
    let scenarios = vec![
        scenario("stat::balance", "STAT-01", Outcome::Pass, None),
        scenario("peak::generated", "PEAK-01", Outcome::Fail, None),
        scenario("frac::limit-generated", "FRAC-01", Outcome::Fail, None),
        scenario(
            "frac::read-back",
            "FRAC-05",
            Outcome::ExpectedFail,
            Some(("rounds down, see notes", "向下取整，见说明")),
        ),
        scenario("trim::empty", "TRIM-03", Outcome::UnexpectedPass, Some(("expected to count", "预期会计数"))),
        scenario(
            "iso::peer",
            "ISO-01",
            Outcome::NotApplicable,
            Some(("the target lacks `devices:4`", "目标缺少 `devices:4`")),
        ),
        scenario(
            "iso::limit",
            "ISO-02",
            Outcome::NotApplicable,
            Some(("the target lacks `devices:4`", "目标缺少 `devices:4`")),
        ),
        scenario(
            "leak::faults",
            "LEAK-02",
            Outcome::Skipped,
            Some(("the time limit was over; lift --time", "已到时限，可放宽 --time")),
        ),
        scenario("summ::table", "SUMM-02", Outcome::Broken, Some(("panicked at `x`", "在 `x` 处崩溃"))),
        scenario(
            "oom::generated",
            "OOM-03",
            Outcome::Inconclusive,
            Some(("a situation was not reached", "有情形未到达")),
        ),
    ];
    let findings = vec![
        finding(1, "peak::generated", "PEAK-01", Severity::Medium, peak),
        finding(2, "frac::limit-generated", "FRAC-01", Severity::High, limit),
        finding(3, "frac::read-back", "FRAC-05", Severity::Low, fraction),
    ];
    let mut record = record(scenarios, findings);
    record.target.name = "reference@sim?defect=loose-limit".to_owned();
    record.target.planted = Some("loose-limit".to_owned());
    record.selection = vec!["--scenario *".to_owned()];
    record.sweep = Some(sweep());
    record.expectations = expectations();
    record
}

/// Every requirement passed, every situation reached.
pub(super) fn clean() -> RunRecord {
    let mut scenarios = Vec::new();
    for requirement in ALL {
        let name = format!("{}::generated", requirement.id.to_string().to_lowercase());
        let mut scenario = scenario(&name, &requirement.id.to_string(), Outcome::Pass, None);
        scenario.oracles = OracleName::ALL.to_vec();
        scenario.reached = Milestone::ALL.iter().map(|&m| (m, 3)).collect();
        scenarios.push(scenario);
    }
    record(scenarios, Vec::new())
}

#[test]
fn a_troubled_run_in_english() {
    insta::assert_snapshot!(markdown(&troubled(), Language::En));
}

#[test]
fn a_troubled_run_in_chinese() {
    insta::assert_snapshot!(markdown(&troubled(), Language::Zh));
}

#[test]
fn a_clean_run_in_english() {
    insta::assert_snapshot!(markdown(&clean(), Language::En));
}

#[test]
fn a_clean_run_in_chinese() {
    insta::assert_snapshot!(markdown(&clean(), Language::Zh));
}

#[test]
fn the_same_run_for_machines_and_for_a_terminal() {
    insta::assert_snapshot!("junit", junit(&troubled()).expect("plain text goes into XML"));
    let (troubled, clean) = (troubled(), clean());
    insta::assert_snapshot!("table", table(&[&clean, &troubled]));
    insta::assert_snapshot!("table_clean", table(&[&clean]));
}

#[test]
fn sections_stand_in_order_in_both_languages() {
    let wanted = [
        (
            Language::En,
            [
                "1. Executive summary",
                "2. Scope",
                "3. Results overview",
                "4. Findings by severity",
                "5. Coverage and risks",
                "6. Follow-up",
            ],
        ),
        (Language::Zh, ["1. 执行摘要", "2. 测试范围", "3. 结果概览", "4. 详细发现", "5. 覆盖与风险", "6. 后续动作"]),
    ];
    for record in [troubled(), clean(), record(Vec::new(), Vec::new())] {
        for (language, titles) in &wanted {
            let text = markdown(&record, *language);
            let found: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
            assert_eq!(found, titles);
        }
    }
}

#[test]
fn no_tick_without_an_executed_scenario() {
    let mut record = clean();
    for scenario in &mut record.scenarios {
        scenario.operations = 0;
    }
    for language in Language::ALL {
        let text = markdown(&record, language);
        assert!(!text.contains('✓'), "a pass that executed nothing covers nothing");
        assert!(!text.contains("Passed") && !text.contains("测试通过"), "{text}");
    }
}

#[test]
fn a_run_record_reads_back() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let record = troubled();
    let written = write(&record, folder.path(), &Language::ALL).expect("a writable folder");
    let mut names: Vec<String> = written
        .iter()
        .map(|p| p.strip_prefix(folder.path()).expect("below the folder").display().to_string())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "findings/F01-peak-generated.json",
            "findings/F02-frac-limit-generated.json",
            "findings/F03-frac-read-back.json",
            "junit.xml",
            "report.md",
            "report.zh.md",
            "run.json"
        ]
    );
    assert_eq!(read(&folder.path().join("run.json")).expect("what was just written"), record);
    let first = fs::read_to_string(folder.path().join(&record.findings[0].file)).expect("it was written");
    assert_eq!(serde_json::from_str::<Reproducer>(&first).expect("a reproducer"), record.findings[0].reproducer);
}

#[test]
fn a_folder_shows_one_run() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write(&troubled(), folder.path(), &Language::ALL).expect("a writable folder");
    fs::write(folder.path().join("notes.txt"), "kept").expect("a writable folder");
    write(&clean(), folder.path(), &[Language::En]).expect("a writable folder");
    let files = |path: &std::path::Path| {
        let entries = fs::read_dir(path).expect("it is there").map(|e| e.expect("readable").file_name());
        let mut names: Vec<String> = entries.map(|n| n.to_string_lossy().into_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(files(folder.path()), ["findings", "junit.xml", "notes.txt", "report.md", "run.json"]);
    assert!(files(&folder.path().join("findings")).is_empty());
}

#[test]
fn a_finding_cannot_be_written_outside_its_folder() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for file in ["../F01.json", "/F01.json", "", "findings/../../F01.json"] {
        let mut record = troubled();
        record.findings[0].file = file.to_owned();
        let error = write(&record, &folder.path().join("run"), &[]).expect_err(file);
        assert!(matches!(error, ReportError::Outside { .. }), "{error}");
        assert!(!folder.path().join("run").exists(), "nothing half-written is left");
    }
}

#[test]
fn what_is_not_a_run_record_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("run.json");
    let message = |text: &str| {
        fs::write(&path, text).expect("a writable folder");
        let error = read(&path).expect_err(text).to_string();
        error.replace(&path.display().to_string(), "run.json")
    };
    let texts = [
        "{\"format\": \"poolproof-run/1\",\n  oops}",
        "",
        "[]",
        "{}",
        "{\"format\": \"poolproof-run/9\"}",
        "{\"format\": 3}",
        "{\"format\": \"poolproof-run/1\"}",
    ];
    insta::assert_snapshot!("refusals", texts.map(message).join("\n"));
    let missing = read(&folder.path().join("none.json")).expect_err("there is no such file");
    assert!(matches!(missing, ReportError::Read { .. }), "{missing}");
}

/// The published schema is the program's. `UPDATE_SCHEMA=1` writes it anew.
#[test]
fn the_published_schema_is_current() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("reports/run.schema.json");
    let mut current = serde_json::to_string_pretty(&run_schema()).expect("a schema is JSON");
    current.push('\n');
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        fs::create_dir_all(path.parent().expect("it lies in reports")).expect("a writable folder");
        fs::write(&path, &current).expect("a writable folder");
    }
    let published = fs::read_to_string(&path).unwrap_or_default();
    assert!(published == current, "{} is out of date: run the tests once with UPDATE_SCHEMA=1", path.display());
}

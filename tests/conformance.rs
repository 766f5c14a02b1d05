//! `cargo test`: one trial for each built-in scenario and target, `reference@sim::frac::out-of-range`.
//!
//! Decides how an outcome reads as a test. What is run is exactly what `poolproof run` runs, one scenario at
//! a time: `PROPTEST_CASES`, kept failures and fixed seeds included. Trials on GPUs take turns: processes that share a
//! GPU get it for milliseconds each, and all of them take longer.

use std::error::Error;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use libtest_mimic::{Arguments, Failed, Trial};
use poolproof::engine::{self, Minimise, Plan, RunOptions, Silent, Stop, regressions};
use poolproof::op::Setup;
use poolproof::spec::{self, Scenario, expect};
use poolproof::target::{self, TargetName};
use poolproof::verdict::{Finding, Outcome};

/// Whose turn it is on the GPUs.
static TURN: Mutex<()> = Mutex::new(());

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    #[cfg(target_os = "linux")]
    poolproof::target::worker::use_program(Path::new(env!("CARGO_BIN_EXE_poolproof")));
    match trials() {
        Ok(trials) => libtest_mimic::run(&arguments, trials).exit_code(),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn trials() -> Result<Vec<Trial>, Box<dyn Error>> {
    let cases = cases()?;
    let mut trials = Vec::new();
    // Where a target cannot be tried, its trials are listed as ignored, with the reason.
    for kind in target::registry::ALL.into_iter().filter(|kind| kind.is_tried) {
        let target: TargetName = kind.name.parse()?;
        let unusable = kind.missing();
        for scenario in spec::built_in() {
            let reason = match &unusable {
                Some(missing) => Some(format!("{}: {}", missing.reason, missing.lift)),
                None => lacking(&target, &scenario)?,
            };
            let title = format!("{target}::{}", scenario.id);
            let on = target.clone();
            let trial = Trial::test(title, move || judge(&on, &scenario, cases));
            trials.push(match reason {
                Some(reason) => trial.with_kind(reason).with_ignored_flag(true),
                None => trial,
            });
        }
    }
    Ok(trials)
}

fn cases() -> Result<Option<u32>, Box<dyn Error>> {
    let Ok(text) = std::env::var("PROPTEST_CASES") else { return Ok(None) };
    text.parse().map(Some).map_err(|_| format!("PROPTEST_CASES is `{text}`, which is not a number").into())
}

/// Why this scenario does not apply to the target, as a reason to ignore it. All are asked of one process.
fn lacking(target: &TargetName, scenario: &Scenario) -> Result<Option<String>, Box<dyn Error>> {
    let open = |setup: &Setup| target::open(target, setup);
    Ok(engine::inapplicable(&open, scenario)?.map(|reason| reason.en))
}

fn judge(target: &TargetName, scenario: &Scenario, cases: Option<u32>) -> Result<(), Failed> {
    // A trial that panicked leaves nothing behind that the next could trip over.
    let _turn = (target.place == "cuda").then(|| TURN.lock().unwrap_or_else(PoisonError::into_inner));
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("conformance").join(target.folder());
    let options = RunOptions {
        target: target.clone(),
        plan: Plan::new(vec![scenario.clone()], &[], None)?,
        seed: 0,
        exact: true,
        cases,
        jobs: 1,
        time: None,
        minimise: Minimise::default(),
        stop: Stop::default(),
        // The launcher runs in the package's folder, and so do tests.
        out: out.strip_prefix(env!("CARGO_MANIFEST_DIR")).map_or(out.clone(), Path::to_owned),
        regressions: Some(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(regressions::FOLDER)),
        command: "cargo test".to_owned(),
    };
    let mut record = engine::run(&options, &Silent)?;
    let plain = target.inner(&[]);
    let known = expect::built_in(&plain.allocator, &plain.place).map_err(|errors| format!("{errors:?}"))?;
    engine::expect::apply(&mut record, &known.iter().collect::<Vec<_>>());
    let contradicted = record.states.iter().flat_map(|states| &states.contradicted).next();
    if let Some([one, other]) = contradicted {
        return Err(format!("{one} came with {other}, which a rule of `poolproof list states` excludes").into());
    }
    let [only] = &record.scenarios[..] else { return Err("one scenario was planned".into()) };
    if matches!(only.outcome, Outcome::Pass | Outcome::ExpectedFail) {
        return Ok(());
    }
    let mut text = String::new();
    writeln!(text, "{}: {}", only.outcome.name(), only.reason.clone().unwrap_or_default().en)?;
    // Every file is named for its scenario, so that trials at the same time do not meet in one.
    for finding in &record.findings {
        engine::write_whole(&out.join(&finding.file), &regressions::to_json(&finding.reproducer))?;
        describe(finding, &mut text)?;
    }
    Err(text.into())
}

fn describe(finding: &Finding, text: &mut String) -> std::fmt::Result {
    writeln!(
        text,
        "{} ({}), {} steps:",
        finding.requirement,
        finding.violation.oracle.name(),
        finding.reproducer.steps.len()
    )?;
    for line in &finding.transcript {
        writeln!(text, "  {} {} -> {}", if line.added { '+' } else { ' ' }, line.asked, line.answered)?;
    }
    for evidence in &finding.violation.evidence {
        writeln!(text, "  {}: {}", evidence.label.en, evidence.value)?;
    }
    writeln!(text, "reproduce: {}", finding.command)
}

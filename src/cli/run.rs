//! `poolproof run`: scenarios on targets, and the reports of it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::engine::{self, EngineError, Plan, RunOptions, Shard, regressions};
use crate::op::{Setup, Text};
use crate::report::{self, Language};
use crate::spec;
use crate::target::{self, TargetName};
use crate::verdict::Outcome;
use crate::verdict::record::RunRecord;

use super::output::note;
use super::progress::Shown;
use super::{CliError, Context, Exit};

/// Run scenarios on targets and write the reports
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Writes DIR/<target>/{report.md, report.zh.md, run.json, junit.xml, findings/}. Generated
sequences that fail are kept in proptest-regressions/ and run first next time.
PROPTEST_CASES sets --cases; RUST_LOG, NO_COLOR and GITHUB_STEP_SUMMARY are honoured.

Examples:
  poolproof run
  poolproof run --scenario 'oom::*' --scenario 'frac::*' --seed 7
  poolproof run --specs my-specs/ --lang zh
  poolproof run --time 10m                  keep drawing fresh sequences for ten minutes
  poolproof run --shard 1/4 --out part1     one quarter, for instance of a CI matrix")]
pub(super) struct Args {
    /// What to test: allocator@where[?option=value]; may be given more than once
    #[arg(long = "target", value_name = "NAME", default_value = "reference@sim")]
    targets: Vec<String>,
    /// Only scenarios whose id matches this glob; may be given more than once
    #[arg(long = "scenario", value_name = "GLOB")]
    scenarios: Vec<String>,
    /// Scenario files of this folder instead of the built-in ones
    #[arg(long, value_name = "DIR")]
    specs: Option<PathBuf>,
    /// Everything drawn at random is drawn from this
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Where the results go, in a folder for each target
    #[arg(long, value_name = "DIR", default_value = "reports/latest")]
    out: PathBuf,
    /// Languages of the Markdown report
    #[arg(long, value_enum, default_value_t = Lang::Both)]
    lang: Lang,
    /// Threads [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Only the K-th of N shares of the scenarios
    #[arg(long, value_name = "K/N")]
    shard: Option<Shard>,
    /// Use this much time for each target: 30s, 10m, 2h
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    time: Option<Duration>,
    /// Sequences of each generated scenario, instead of its own number
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    cases: Option<u32>,
}

/// Which of the two languages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Lang {
    En,
    Zh,
    Both,
}

impl Lang {
    pub(super) fn languages(self) -> &'static [Language] {
        match self {
            Lang::En => &[Language::En],
            Lang::Zh => &[Language::Zh],
            Lang::Both => &Language::ALL,
        }
    }
}

pub(super) fn duration(text: &str) -> Result<Duration, humantime::DurationError> {
    humantime::parse_duration(text)
}

pub(super) fn run(args: Args, context: &mut Context) -> Result<Exit, CliError> {
    let targets = targets(&args.targets)?;
    let scenarios = match &args.specs {
        Some(folder) => spec::load_dir(folder)?,
        None => spec::built_in(),
    };
    let plan = Plan::new(scenarios, &args.scenarios, args.shard)?;
    let cases = args.cases.map_or_else(cases_from_environment, |n| Ok(Some(n)))?;
    for target in &targets {
        ensure_writable(&args.out.join(target.folder()))?;
    }
    let mut records = Vec::new();
    for target in targets {
        let options = RunOptions {
            out: args.out.join(target.folder()),
            target,
            plan: plan.clone(),
            seed: args.seed,
            cases,
            jobs: args.jobs.map_or_else(cores, usize::from),
            time: args.time,
            regressions: Some(PathBuf::from(regressions::FOLDER)),
            command: std::env::args().collect::<Vec<_>>().join(" "),
        };
        let shown = Shown::new(&options.target.to_string(), context.paint, context.verbose);
        let result = engine::run(&options, &shown);
        shown.clear();
        let record = result?;
        let written = report::write(&record, &options.out, args.lang.languages())?;
        records.push((record, written));
    }
    summarise(&records, args.lang, context)
}

/// The named targets, each once, checked to exist before anything is written.
pub(super) fn targets(names: &[String]) -> Result<Vec<TargetName>, CliError> {
    let probe = Setup { device_bytes: vec![1 << 30], streams: 1 };
    let mut targets: Vec<TargetName> = Vec::new();
    for name in names {
        let name: TargetName = name.parse()?;
        target::open(&name, &probe).map_err(EngineError::from)?;
        if !targets.contains(&name) {
            targets.push(name);
        }
    }
    Ok(targets)
}

fn cases_from_environment() -> Result<Option<u32>, CliError> {
    let Some(value) = std::env::var_os("PROPTEST_CASES") else { return Ok(None) };
    let value = value.to_string_lossy().into_owned();
    match value.parse() {
        Ok(cases) if cases > 0 => Ok(Some(cases)),
        _ => Err(CliError::Cases { value }),
    }
}

pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// A run of an hour must not end in a folder that cannot be written.
pub(super) fn ensure_writable(folder: &Path) -> Result<(), CliError> {
    let fail = |source| CliError::Unwritable { path: folder.to_owned(), source };
    std::fs::create_dir_all(folder).map_err(fail)?;
    tempfile::tempfile_in(folder).map_err(fail)?;
    Ok(())
}

/// The table, what neither passed nor failed with its reason, and where the reports are.
fn summarise(records: &[(RunRecord, Vec<PathBuf>)], lang: Lang, context: &mut Context) -> Result<Exit, CliError> {
    let language = lang.languages()[0];
    let all: Vec<&RunRecord> = records.iter().map(|(record, _)| record).collect();
    context.out.text(report::table(&all))?;
    let mut exit = Exit::Conformant;
    for (record, written) in records {
        exit = exit.and(Exit::of(record));
        context.out.line("")?;
        for scenario in &record.scenarios {
            if matches!(scenario.outcome, Outcome::Broken | Outcome::Inconclusive) {
                let reason = scenario.reason.as_ref().map_or("", |r| in_language(language, r));
                context.out.line(format_args!("{} {}: {reason}", scenario.outcome.name(), scenario.id))?;
            }
        }
        for path in written.iter().filter(|p| p.extension().is_some_and(|e| e == "md")) {
            context.out.line(path.display())?;
        }
        append_step_summary(record, language);
    }
    Ok(exit)
}

fn in_language(language: Language, text: &Text) -> &str {
    match language {
        Language::En => &text.en,
        Language::Zh => &text.zh,
    }
}

/// Adds the report to the page of a GitHub job. A summary that cannot be written fails no run.
fn append_step_summary(record: &RunRecord, language: Language) {
    let Some(path) = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|p| !p.is_empty()) else { return };
    let path = PathBuf::from(path);
    let file = std::fs::OpenOptions::new().create(true).append(true).open(&path);
    let result = file.and_then(|mut file| writeln!(file, "{}", report::markdown(record, language)));
    if let Err(error) = result {
        note(format_args!("warning: {}: {error}", path.display()));
    }
}

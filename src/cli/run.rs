//! `poolproof run`: scenarios on targets, and the reports of it.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use crate::engine::expect::concerns;
use crate::engine::{self, Minimise, Plan, RunOptions, Shard, SweepPlan};
use crate::op::Text;
use crate::report::{self, Language};
use crate::spec;
use crate::spec::expect::{self, Expectations};
use crate::standalone;
use crate::target::{self, TargetName};
use crate::verdict::record::{EndedBy, RunRecord};
use crate::verdict::{Finding, Outcome};

use super::flags::{
    Beside, Faults, Kept, Lang, Programs, cases_from_environment, check_writable, duration, ensure_writable, jobs_for,
    parent, targets,
};
use super::output::note;
use super::progress::Shown;
use super::{CliError, Context, Exit, signals};

/// Run scenarios on targets and write the reports
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Writes DIR/<target>/{report.md, report.zh.md, run.json, junit.xml, findings/}. Generated
sequences that fail are kept (--regressions) and run first next time.
PROPTEST_CASES sets --cases; RUST_LOG, NO_COLOR and GITHUB_STEP_SUMMARY are honoured.

Examples:
  poolproof run                             on simulated devices, and on the GPUs where there are some
  poolproof run --target reference@sim      on simulated devices alone
  poolproof run --target 'plugin:./libmine.so@host?alloc=my_malloc&free=my_free'   a library of yours
  poolproof run --scenario 'oom::*' --scenario 'frac::*' --seed 7
  poolproof run --specs my-specs/ --lang zh
  poolproof run --time 10m                  keep drawing fresh sequences for ten minutes
  poolproof run --faults sweep              device calls fail one by one and in pairs, too
  poolproof run --kill-matrix               what the same scenarios detect, as an appendix of the report
  poolproof run --expect known.yaml         failures listed there, with reason, owner and end, are expected
  poolproof run --no-exact                  promises alone, whatever policy the target claims
  poolproof run --shard 1/4 --out part1     one quarter, for instance of a CI matrix")]
pub(super) struct Args {
    /// What to test: allocator@where[?option=value&option=value]; may be given more than once. `poolproof list targets`
    /// has all names and options
    /// [default: reference@sim, and reference@cuda where a GPU is usable]
    #[arg(long = "target", value_name = "NAME")]
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
    /// Threads [default: one a core; one on a GPU]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Only the K-th of N shares of the scenarios
    #[arg(long, value_name = "K/N")]
    shard: Option<Shard>,
    /// Use this much time for each target: 30s, 10m, 2h
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    time: Option<Duration>,
    /// How long one failing sequence may be made smaller (5s at most where its failure is expected), and all of them be
    /// held against each other, to see which come of one mistake
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = duration)]
    minimise_time: Duration,
    /// Sequences of each generated scenario, instead of its own number
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    cases: Option<u32>,
    /// Also fail each device call of the sequences, with each documented error, and pairs of calls
    #[arg(long, value_enum)]
    faults: Option<Faults>,
    /// Also hunt every planted defect with the same scenarios, each so long if it is not found at once
    /// [default: 10s]
    #[arg(long, value_name = "DURATION", value_parser = duration, num_args = 0..=1, default_missing_value = "10s")]
    kill_matrix: Option<Duration>,
    /// Expected failures; may be given more than once [default: the built-in file of the target, if there is one]
    #[arg(long, value_name = "FILE")]
    expect: Vec<PathBuf>,
    /// Write what is found here, as a draft of expected failures
    #[arg(long, value_name = "FILE")]
    write_expect: Option<PathBuf>,
    /// The share of the requirements of level must, in percent, that a run of everything has to come to a verdict on;
    /// with fewer it exits with 4
    #[arg(long, value_name = "PERCENT", default_value_t = 25, value_parser = clap::value_parser!(u8).range(0..=100))]
    min_coverage: u8,
    /// Findings that are written as programs which need nothing of poolproof (Python for torch, C++ for c10, C for a
    /// library), and run in a fresh process before the report speaks of them
    #[arg(long, value_enum, default_value_t = Programs::New)]
    programs: Programs,
    #[command(flatten)]
    twin: Beside,
    #[command(flatten)]
    kept: Kept,
}

pub(super) fn run(args: Args, context: &mut Context) -> Result<Exit, CliError> {
    let scenarios = match &args.specs {
        Some(folder) => spec::load_dir(folder)?,
        None => spec::built_in(),
    };
    let mut plan = Plan::new(scenarios, &args.scenarios, args.shard)?;
    args.twin.narrow(&mut plan);
    plan.scope.specs = args.specs.as_ref().map(|folder| folder.to_string_lossy().into_owned());
    plan.selection.extend(plan.scope.specs.iter().map(|folder| format!("--specs {folder}")));
    plan.min_coverage = f64::from(args.min_coverage) / 100.0;
    plan.faults = args.faults.map(|Faults::Sweep| SweepPlan::default());
    let targets = chosen(&args.targets)?;
    let expected = expectations(&args.expect)?;
    check_expectations(&args, &targets, &expected)?;
    let cases = args.cases.map_or_else(cases_from_environment, |n| Ok(Some(n)))?;
    for target in &targets {
        ensure_writable(&args.out.join(target.folder()))?;
    }
    signals::listen(&context.stop);
    let kept = args.kept.folder(&args.out)?;
    let (mut records, mut all_run) = (Vec::new(), true);
    for target in targets {
        if context.stop.is_asked() {
            note(format_args!("{target}: not run, as the run was interrupted"));
            all_run = false;
            continue;
        }
        let built_in = if args.expect.is_empty() { built_in_expectations(&target)? } else { None };
        let expected: Vec<&Expectations> = expected.iter().chain(&built_in).filter(|f| concerns(f, &target)).collect();
        let options = RunOptions {
            out: args.out.join(target.folder()),
            jobs: args.jobs.map_or_else(|| jobs_for(&target), usize::from),
            target,
            plan: plan.clone(),
            seed: args.seed,
            exact: args.twin.is_exact(),
            cases,
            time: args.time,
            minimise: Minimise { longest: args.minimise_time, expected: expected.iter().map(|&f| f.clone()).collect() },
            stop: context.stop.clone(),
            regressions: kept.clone(),
            command: engine::command::typed(),
        };
        let mut shown = Shown::new(&options.target.to_string(), &options.out, args.lang.languages(), expected, context);
        target::make_room(&options.target);
        let result = engine::run(&options, &shown);
        shown.clear();
        let mut record = result?;
        engine::expect::apply(&mut record, shown.expected());
        add_programs(&mut record, &options, &args, context)?;
        if let Some(time) = args.kill_matrix.filter(|_| !context.stop.is_asked()) {
            let so_far = RunRecord { ended: EndedBy::Killed, ..record.clone() };
            report::write(&so_far, &options.out, args.lang.languages())?;
            let matrix = super::kill_matrix::of_plan(&options, time, context)?;
            if matrix.ended == EndedBy::Interrupted {
                record.ended = EndedBy::Interrupted;
            }
            record.kill_matrix = Some(matrix);
        }
        if let Some(path) = &args.write_expect {
            engine::write_whole(path, engine::expect::drafted(&record, &options.target).as_bytes())?;
        }
        let written = report::write(&record, &options.out, args.lang.languages())?;
        records.push((record, written));
    }
    let exit = summarise(&records, args.lang, context)?;
    Ok(if all_run { exit } else { exit.and(Exit::Inconclusive) })
}

/// Writes what was found as programs, and runs them.
fn add_programs(
    record: &mut RunRecord,
    options: &RunOptions,
    args: &Args,
    context: &mut Context,
) -> Result<(), CliError> {
    let wanted = |record: &RunRecord, finding: &Finding| match args.programs {
        Programs::New => !record.is_expected(finding),
        Programs::All => true,
        Programs::None => false,
    };
    let count = record.findings.iter().filter(|f| wanted(record, f)).count();
    if standalone::tongue(&options.target).is_none() || count == 0 {
        return Ok(());
    }
    note(format_args!(
        "{}: writing programs for what was found ({count}), and running them where that can be done",
        options.target
    ));
    let (verbose, stop) = (context.verbose, context.stop.clone());
    // A run that is cut off from here on has its report.
    let so_far = RunRecord { ended: EndedBy::Killed, ..record.clone() };
    report::write(&so_far, &options.out, args.lang.languages())?;
    let goes_on = |finding: &Finding| {
        if verbose {
            note(format_args!("{}: {} as a program of its own", options.target, finding.id));
        }
        !stop.is_asked()
    };
    let added = standalone::add(record, &options.target, &options.out, wanted, goes_on);
    added.map_err(|source| CliError::Unwritable { path: options.out.clone(), source, flag: "--out" })
}

/// The files of expected failures; what is wrong with any of them.
fn expectations(paths: &[PathBuf]) -> Result<Vec<Expectations>, CliError> {
    let (mut files, mut errors) = (Vec::new(), Vec::new());
    for path in paths {
        match expect::load(path) {
            Ok(file) => files.push(file),
            Err(more) => errors.extend(more),
        }
    }
    if errors.is_empty() { Ok(files) } else { Err(errors.into()) }
}

/// Files that would go unused or be overwritten are found out before anything runs.
fn check_expectations(args: &Args, targets: &[TargetName], expected: &[Expectations]) -> Result<(), CliError> {
    if let Some(file) = expected.iter().find(|f| !targets.iter().any(|t| concerns(f, t))) {
        return Err(CliError::Unconcerned { file: file.file.clone() });
    }
    match &args.write_expect {
        Some(path) if path.exists() => Err(CliError::Exists { path: path.clone() }),
        Some(_) if targets.len() > 1 => Err(CliError::OneDraft { targets: targets.len() }),
        Some(path) => check_writable(parent(path), "--write-expect"),
        None => Ok(()),
    }
}

pub(super) fn built_in_expectations(target: &TargetName) -> Result<Option<Expectations>, CliError> {
    let plain = target.inner(&[]);
    Ok(expect::built_in(&plain.allocator, &plain.place)?)
}

/// What is run where no target is named: the second where it can be.
const EVERYWHERE: &str = "reference@sim";
const ON_A_GPU: &str = "reference@cuda";

/// The named targets, or those of a run that names none. A GPU is looked for in the process that would test it: a
/// driver that crashes costs a line, and no context is left in this process.
fn chosen(names: &[String]) -> Result<Vec<TargetName>, CliError> {
    if !names.is_empty() {
        return targets(names);
    }
    let mut chosen = targets(&[EVERYWHERE.to_owned()])?;
    match targets(&[ON_A_GPU.to_owned()]) {
        Ok(more) => chosen.extend(more),
        Err(error) if error.exit() == Exit::Target => note(format_args!("only {EVERYWHERE} is run: {error}")),
        Err(error) => return Err(error),
    }
    Ok(chosen)
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
        context.out.line(report::headline(record, language))?;
        if let Some(text) = ending(record) {
            context.out.line(text)?;
        }
        context.out.line("")?;
        if let Some(sweep) = &record.sweep {
            context.out.text(report::sweep_table(sweep))?;
            context.out.line("")?;
        }
        if let Some(matrix) = &record.kill_matrix {
            context.out.line(super::kill_matrix::summary(matrix))?;
            context.out.line("")?;
        }
        for scenario in &record.scenarios {
            if matches!(scenario.outcome, Outcome::Broken | Outcome::Inconclusive) {
                let reason = scenario.reason.as_ref().map_or("", |r| in_language(language, r));
                context.out.line(format_args!("{} {}: {reason}", scenario.outcome.name(), scenario.id))?;
            }
        }
        for entry in record.expectations.iter().filter(|e| e.standing.is_outdated()) {
            let note = entry
                .note
                .as_ref()
                .map_or_else(|| format!("its last day was {}", entry.expires), |n| in_language(language, n).to_owned());
            let (standing, place, about) = (entry.standing.name(), &entry.place, entry.about());
            context.out.line(format_args!("{standing} {place}: the expectation of `{about}`: {note}"))?;
        }
        for path in written.iter().filter(|p| p.extension().is_some_and(|e| e == "md")) {
            context.out.line(path.display())?;
        }
        append_step_summary(record, language);
    }
    Ok(exit)
}

/// How a run ended that did not come to its end by itself.
pub(super) fn ending(record: &RunRecord) -> Option<String> {
    let why = match record.ended {
        EndedBy::Complete => return None,
        EndedBy::TimeUp => "the time that was given is over",
        EndedBy::Interrupted | EndedBy::Killed => "interrupted",
        EndedBy::Hung => "a call never returned",
    };
    let unfinished =
        |begun: bool| record.scenarios.iter().filter(|s| s.unfinished && (s.sequences > 0) == begun).count();
    let (begun, not_begun) = (unfinished(true), unfinished(false));
    Some(format!("{}: {why}: {begun} scenarios had a part of their sequences, {not_begun} none", record.target.name))
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

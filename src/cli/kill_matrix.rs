//! `poolproof kill-matrix`: what the suite detects, measured on planted defects and legal variations.

use std::path::PathBuf;
use std::time::Duration;

use crate::engine::{self, EngineError, MatrixOptions, MatrixProgress, Plan, RunOptions};
use crate::reference::Defect;
use crate::report;
use crate::spec;
use crate::target::TargetName;
use crate::verdict::matrix::{DefectRow, KillMatrix, VariationRow};
use crate::verdict::record::EndedBy;

use super::flags::{Lang, cases_from_environment, cores, duration, ensure_writable, jobs_for, targets};
use super::progress::Rows;
use super::{CliError, Context, Exit, signals};

/// Hunt every planted defect, and see that no legal variation of policy is convicted
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Writes DIR/{kill-matrix.json, kill-matrix.md, kill-matrix.zh.md}. Exit code 1 if a defect survives or a
variation is convicted. A hunt ends at the first conviction; operations are counted in the order of the plan.

Examples:
  poolproof kill-matrix
  poolproof kill-matrix --seeds 20                 each variation with 20 seeds
  poolproof kill-matrix --full --scenario 'oom::*'   how many scenarios fail for each defect")]
pub(super) struct Args {
    /// The target that takes `defect=` and `variation=`
    #[arg(long, value_name = "NAME", default_value = "reference@sim")]
    target: String,
    /// Only scenarios whose id matches this glob; may be given more than once
    #[arg(long = "scenario", value_name = "GLOB")]
    scenarios: Vec<String>,
    /// Scenario files of this folder instead of the built-in ones
    #[arg(long, value_name = "DIR")]
    specs: Option<PathBuf>,
    /// Everything drawn at random is drawn from this
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Seeds for each variation, from --seed on
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    seeds: u64,
    /// For each defect that nothing has convicted yet: keep drawing fresh sequences so long
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "60s")]
    time: Duration,
    /// A departure from PyTorch's policy counts as a kill, too (see `run --no-exact`); broken promises alone otherwise
    #[arg(long)]
    exact: bool,
    /// Try every scenario on every defect
    #[arg(long)]
    full: bool,
    /// Sequences of each generated scenario, instead of its own number
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    cases: Option<u32>,
    /// Threads [default: one a core; one on a GPU]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Where the results go
    #[arg(long, value_name = "DIR", default_value = "reports/latest/kill-matrix")]
    out: PathBuf,
    /// Languages of the page
    #[arg(long, value_enum, default_value_t = Lang::Both)]
    lang: Lang,
}

impl MatrixProgress for Rows<'_, KillMatrix> {
    fn begin(&self, rows: usize) {
        self.begin(rows);
    }

    fn hunted(&self, row: &DefectRow) {
        let line = match &row.kill {
            Some(kill) => format!(
                "{}: {} by {} in {} after {} operations, {} steps, {:.2} s",
                row.name,
                kill.requirement,
                kill.oracle.name(),
                kill.scenario,
                kill.operations,
                kill.minimal_steps,
                row.stamp.seconds
            ),
            None => format!("{}: survives ({:.2} s)", row.name, row.stamp.seconds),
        };
        self.row(&line, usize::from(row.kill.is_some()), row.kill.is_none());
    }

    fn varied(&self, row: &VariationRow) {
        let mut line = format!("{}: {} false alarms ({:.2} s)", row.name, row.alarms.len(), row.stamp.seconds);
        for alarm in &row.alarms {
            line.push_str(&format!("\n  seed {} {}: {}", alarm.seed, alarm.scenario, alarm.message.en));
        }
        self.row(&line, 0, !row.alarms.is_empty());
    }

    fn so_far(&self, matrix: &dyn Fn() -> KillMatrix) {
        self.write_so_far(matrix);
    }
}

/// A target that takes no defect is found out before anything is written.
fn takes_defects(base: &TargetName) -> Result<(), CliError> {
    let mut name = base.clone();
    name.options.extend(Defect::ALL.first().map(|d| ("defect".to_owned(), Some(d.name().to_owned()))));
    targets(&[name.to_string()]).map(|_| ())
}

pub(super) fn run(args: Args, context: &mut Context) -> Result<Exit, CliError> {
    let base: TargetName = args.target.parse()?;
    let scenarios = match &args.specs {
        Some(folder) => spec::load_dir(folder)?,
        None => spec::built_in(),
    };
    takes_defects(&base)?;
    ensure_writable(&args.out)?;
    let jobs = args.jobs.map_or_else(|| jobs_for(&base), usize::from);
    let options = MatrixOptions {
        base,
        plan: Plan::new(scenarios, &args.scenarios, None)?,
        seed: args.seed,
        seeds: args.seeds,
        exact: args.exact,
        cases: args.cases.map_or_else(cases_from_environment, |n| Ok(Some(n)))?,
        jobs,
        time: args.time,
        full: args.full,
        stop: context.stop.clone(),
        command: engine::command::typed(),
    };
    signals::listen(&context.stop);
    let so_far = |matrix: &KillMatrix| write(matrix, &args).map(|_| ());
    let rows = Rows::new("kill-matrix", "kills", &so_far, context);
    let result = engine::kill_matrix(&options, &rows);
    drop(rows);
    let matrix = result?;
    let written = write(&matrix, &args)?;
    context.out.line(summary(&matrix))?;
    written.iter().try_for_each(|path| context.out.line(path.display()))?;
    Ok(match (matrix.is_clean(), matrix.ended) {
        (false, _) => Exit::Findings,
        (true, EndedBy::Complete) => Exit::Conformant,
        (true, _) => Exit::Inconclusive,
    })
}

/// What the scenarios of a run detect; measured on the simulated reference, whatever the run's target.
pub(super) fn of_plan(run: &RunOptions, time: Duration, context: &Context) -> Result<KillMatrix, CliError> {
    let options = MatrixOptions {
        base: TargetName { allocator: "reference".to_owned(), place: "sim".to_owned(), options: Vec::new() },
        plan: run.plan.clone(),
        seed: run.seed,
        seeds: 1,
        exact: false,
        cases: run.cases,
        jobs: cores(),
        time,
        full: false,
        stop: run.stop.clone(),
        command: run.command.clone(),
    };
    // It is an appendix of the run's report, which is written when it is done.
    let so_far = |_: &KillMatrix| Ok(());
    Ok(engine::kill_matrix(&options, &Rows::new("kill-matrix", "kills", &so_far, context))?)
}

pub(super) fn summary(matrix: &KillMatrix) -> String {
    let (killed, all, alarms) = (matrix.killed(), matrix.defects.len(), matrix.alarms());
    let (variations, seconds) = (matrix.variations.len(), matrix.stamp.seconds);
    let text =
        format!("{killed} of {all} defects found, {alarms} false alarms in {variations} variations, {seconds:.1} s");
    match (matrix.untried_defects, matrix.untried_variations) {
        (0, 0) => text,
        (d, v) => format!("interrupted with {d} defects and {v} variations untried: {text}"),
    }
}

/// Writes the matrix and its pages; answers the pages.
fn write(matrix: &KillMatrix, args: &Args) -> Result<Vec<PathBuf>, CliError> {
    let mut json = serde_json::to_vec_pretty(matrix)
        .map_err(|e| EngineError::Write { path: args.out.join("kill-matrix.json"), source: e.into() })?;
    json.push(b'\n');
    engine::write_whole(&args.out.join("kill-matrix.json"), &json)?;
    let mut pages = Vec::new();
    for &language in args.lang.languages() {
        let name = match language {
            report::Language::En => "kill-matrix.md",
            report::Language::Zh => "kill-matrix.zh.md",
        };
        let path = args.out.join(name);
        engine::write_whole(&path, report::matrix_page(matrix, language).as_bytes())?;
        pages.push(path);
    }
    Ok(pages)
}

//! `poolproof fuzz`: generated sequences without end on one target.
//!
//! Decides how long, and what is said at the end. The sequences are those of the generated scenarios; what fails is
//! made small and kept as `run` does.

use std::path::PathBuf;
use std::time::Duration;

use crate::engine::{self, Minimise, Plan, RunOptions};
use crate::report;
use crate::spec::{self, Body};
use crate::verdict::record::RunRecord;

use super::flags::{Beside, Kept};
use super::flags::{Lang, duration, ensure_writable, jobs_for, targets};
use super::progress::Shown;
use super::run::ending;
use super::{CliError, Context, Exit, signals};

/// Ask one target generated sequences without end
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Sequences are those of the generated scenarios. A scenario rests once a sequence of it failed. Results are
written as by `run`. Which generator finds more was measured on planted defects: `poolproof survival`.
Coverage-guided fuzzing of the reference is `cargo fuzz run operations` (CONTRIBUTING.md).

Examples:
  poolproof fuzz --target reference@sim --time 10m
  poolproof fuzz --target 'reference@sim?expandable_segments:True' --sequences 200 --seed 7")]
pub(super) struct Args {
    /// What to test: allocator@where[?option=value]
    #[arg(long, value_name = "NAME")]
    target: String,
    /// Stop after this much time: 30s, 10m, 2h [default: 1m]
    #[arg(long, value_name = "DURATION", value_parser = duration, conflicts_with = "sequences")]
    time: Option<Duration>,
    /// Stop after so many sequences of each generated scenario
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    sequences: Option<u32>,
    /// How operations are drawn
    #[arg(long, value_enum, default_value_t = Drawn::Random)]
    generator: Drawn,
    /// Everything drawn at random is drawn from this
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Where the results go, in a folder for the target
    #[arg(long, value_name = "DIR", default_value = "reports/fuzz")]
    out: PathBuf,
    /// Threads [default: one a core; one on a GPU]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    #[command(flatten)]
    twin: Beside,
    #[command(flatten)]
    kept: Kept,
}

/// How the operations of a sequence are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Drawn {
    /// By the scenario's weights
    Random,
    /// Some kinds left out and the others weighted anew, for each sequence
    Swarm,
}

/// Without a limit.
const TIME: Duration = Duration::from_secs(60);

pub(super) fn run(args: &Args, context: &mut Context) -> Result<Exit, CliError> {
    let target = targets(std::slice::from_ref(&args.target))?.swap_remove(0);
    let mut scenarios = spec::built_in();
    scenarios.retain(|s| matches!(s.body, Body::Generate(_)));
    // With kinds left out, a sequence need not come to what a scenario is about.
    for scenario in &mut scenarios {
        scenario.must_reach.clear();
        scenario.must_combine.clear();
    }
    let mut plan = Plan { swarm: args.generator == Drawn::Swarm, ..Plan::new(scenarios, &[], None)? };
    plan.scope.generated_only = true;
    args.twin.narrow(&mut plan);
    let out = args.out.join(target.folder());
    ensure_writable(&out)?;
    let options = RunOptions {
        jobs: args.jobs.map_or_else(|| jobs_for(&target), usize::from),
        target,
        plan,
        seed: args.seed,
        exact: args.twin.is_exact(),
        cases: args.sequences,
        time: if args.sequences.is_some() { None } else { args.time.or(Some(TIME)) },
        minimise: Minimise::default(),
        stop: context.stop.clone(),
        out,
        regressions: args.kept.folder(&args.out)?,
        command: engine::command::typed(),
    };
    signals::listen(&context.stop);
    let languages = Lang::Both.languages();
    let mut shown = Shown::new(&options.target.to_string(), &options.out, languages, Vec::new(), context);
    let result = engine::run(&options, &shown);
    shown.clear();
    let record = result?;
    report::write(&record, &options.out, languages)?;
    context.out.text(report::table(&[&record]))?;
    context.out.line("")?;
    context.out.line(report::headline(&record, report::Language::En))?;
    if let Some(text) = ending(&record) {
        context.out.line(text)?;
    }
    context.out.line(summary(&record))?;
    context.out.line(options.out.join("report.md").display())?;
    Ok(Exit::of(&record))
}

fn summary(record: &RunRecord) -> String {
    let sum =
        |count: fn(&crate::verdict::record::ScenarioRecord) -> u64| record.scenarios.iter().map(count).sum::<u64>();
    let (sequences, operations) = (sum(|s| s.sequences), sum(|s| s.operations));
    #[expect(clippy::cast_precision_loss, reason = "a rate is printed")]
    let rate = operations as f64 / record.stamp.seconds.max(1e-9);
    let findings = record.findings.len();
    format!("{sequences} sequences, {operations} operations, {rate:.0} operations/s, {findings} findings")
}

//! `poolproof matrix`: the suite on every release of PyTorch's allocator, and where a sequence begins to come out differently.

use std::path::{Path, PathBuf};

use crate::engine::replay::sequence;
use crate::engine::{self, Minimise, Plan, RunOptions, write_whole};
use crate::matrix::{self, Asked, Bisected, Meant, Ran, compare};
use crate::report::{self, Language};
use crate::spec;
use crate::spec::expect::Expectations;
use crate::target::{self, TargetName};
use crate::verdict::record::{EndedBy, LeftOut, ScenarioRecord};
use crate::verdict::releases::{Answer, ReleaseMatrix};

use super::flags::{Lang, cases_from_environment, cores, ensure_writable, jobs_for, targets};
use super::output::note;
use super::progress::Shown;
use super::run::{built_in_expectations, ending};
use super::{CliError, Context, Exit, signals};

/// Run the suite on every release of PyTorch's allocator, and see what changed
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Runs the scenarios on c10@sim?torch=X for each release X, then asks every release the sequences of all findings, so that \
`fixed` and `new` are only said where one and the same sequence breaks the promise on one release and not on its neighbour.
Writes DIR/{matrix.md, matrix.zh.md, matrix.json}, and a folder for each release as `poolproof run` writes it.
Releases are set up by `poolproof setup torch --all`; `--torch all` takes those that are, and says which are not.

Exit codes: 0 no release breaks a promise, 1 some do, 3 a release cannot be run, 4 cut short or without a verdict.

Examples:
  poolproof matrix --no-exact
  poolproof matrix --torch 2.11,2.15 --scenario 'oom::*' --out oom
  poolproof matrix --config expandable_segments:True --seed 7
  poolproof matrix --read --out reports/latest/matrix       the page again, of runs that are there
  poolproof matrix --bisect reports/latest/matrix/c10@sim_torch_2.15.0/findings/OOM-01-d9bc.json")]
pub(super) struct Args {
    /// Releases: all that are set up, or some, separated by commas; 2.11 is the last patch of it
    #[arg(long, value_name = "all|VERSIONS", default_value = "all")]
    torch: Asked,
    /// Only scenarios whose id matches this glob; may be given more than once
    #[arg(long = "scenario", value_name = "GLOB")]
    scenarios: Vec<String>,
    /// Everything drawn at random is drawn from this
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Where the page goes, and the results of each release in a folder of its own
    #[arg(long, value_name = "DIR", default_value = "reports/latest/matrix")]
    out: PathBuf,
    /// Languages of the page and of the reports
    #[arg(long, value_enum, default_value_t = Lang::Both)]
    lang: Lang,
    /// Threads [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Sequences of each generated scenario, instead of its own number
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    cases: Option<u32>,
    /// Settings of every release, as PYTORCH_CUDA_ALLOC_CONF has them
    #[arg(long, value_name = "SETTINGS")]
    config: Option<String>,
    /// Leave out the comparison with the policy that each release claims; only promises to callers are judged then
    #[arg(long)]
    no_exact: bool,
    /// Run no scenario: take the run.json of each release that --out has, and ask the sequences of their findings
    #[arg(long, conflicts_with_all = ["scenarios", "seed", "cases", "no_exact"])]
    read: bool,
    /// Run nothing but this sequence (a finding's file), and name the first release that answers differently
    #[arg(long, value_name = "FILE", conflicts_with_all = ["scenarios", "seed", "out", "cases", "no_exact", "jobs", "lang", "read"])]
    bisect: Option<PathBuf>,
}

pub(super) fn run(args: &Args, context: &mut Context) -> Result<Exit, CliError> {
    match &args.bisect {
        Some(path) => bisect(path, args, context),
        None => all(args, context),
    }
}

/// A release and the target that runs it.
type Named = (String, TargetName);

/// The releases to run with their targets, each checked to open, and those that are not set up.
fn releases(args: &Args) -> Result<(Vec<Named>, Vec<String>), CliError> {
    let (there, lacking) = args.torch.releases();
    let named = |release: &str| matrix::target(release, args.config.as_deref());
    if there.is_empty() {
        // It says that none is set up, and what would help.
        targets(&["c10@sim".to_owned()])?;
    }
    let names: Vec<String> = there.iter().map(|release| named(release).to_string()).collect();
    targets(&names)?;
    let owned = |release: &str| (release.to_owned(), named(release));
    Ok((there.into_iter().map(owned).collect(), lacking.into_iter().map(str::to_owned).collect()))
}

fn all(args: &Args, context: &mut Context) -> Result<Exit, CliError> {
    let mut plan = Plan::new(spec::built_in(), &args.scenarios, None)?;
    if args.no_exact {
        plan.leave_out_exact();
    }
    let cases = args.cases.map_or_else(cases_from_environment, |n| Ok(Some(n)))?;
    let (there, left_out) = releases(args)?;
    for (_, target) in &there {
        ensure_writable(&args.out.join(target.folder()))?;
    }
    if !left_out.is_empty() {
        note(format_args!("not set up, and left out: {}", left_out.join(", ")));
    }
    signals::listen(&context.stop);
    let mut meant = Meant {
        left_out,
        config: args.config.clone(),
        exact: !args.no_exact,
        command: engine::command::typed(),
        is_cut: false,
    };
    let mut runs = Vec::new();
    for (release, target) in there {
        if context.stop.is_asked() {
            note(format_args!("{target}: not run, as the run was interrupted"));
            meant.is_cut = true;
            continue;
        }
        if !args.read {
            runs.push(one(args, &plan, cases, release, target, context)?);
            continue;
        }
        let path = args.out.join(target.folder()).join("run.json");
        if path.is_file() {
            runs.push(Ran { record: report::read(&path)?, release, target });
        } else {
            note(format_args!("{target}: left out, as there is no {}", path.display()));
            meant.left_out.push(release);
        }
    }
    if args.read {
        check_alike(&runs)?;
        let is_left_out = |s: &ScenarioRecord| s.left_out == Some(LeftOut::NoExact);
        meant.exact = !runs.iter().any(|ran| ran.record.scenarios.iter().any(is_left_out));
    }
    let shown = Shown::quiet("across releases", context);
    shown.begins("every release is asked the sequences of all findings");
    let jobs = args.jobs.map_or_else(cores, usize::from);
    let matrix = compare(&runs, meant, jobs, &context.stop, &shown);
    drop(shown);
    let pages = write(&matrix, args)?;
    summarise(&matrix, &runs, args.lang, context)?;
    pages.iter().try_for_each(|path| context.out.line(path.display()))?;
    let exit = runs.iter().map(|ran| Exit::of(&ran.record)).fold(Exit::Conformant, Exit::and);
    let is_whole = matrix.ended == EndedBy::Complete;
    Ok(if is_whole { exit } else { exit.and(Exit::Inconclusive) })
}

/// Records that were read may be of different runs, and then differences are not the releases'.
fn check_alike(runs: &[Ran]) -> Result<(), CliError> {
    let asked = |ran: &Ran| (ran.record.seed, ran.record.selection.clone(), ran.record.scenarios.len());
    let Some(first) = runs.first() else { return Err(CliError::NoRuns) };
    match runs.iter().find(|ran| asked(ran) != asked(first)) {
        Some(other) => Err(CliError::Unlike { one: first.release.clone(), other: other.release.clone() }),
        None => Ok(()),
    }
}

/// Runs one release, and writes its folder.
fn one(
    args: &Args,
    plan: &Plan,
    cases: Option<u32>,
    release: String,
    target: TargetName,
    context: &Context,
) -> Result<Ran, CliError> {
    let built_in = built_in_expectations(&target)?;
    let options = RunOptions {
        out: args.out.join(target.folder()),
        jobs: args.jobs.map_or_else(|| jobs_for(&target), usize::from),
        target: target.clone(),
        plan: plan.clone(),
        seed: args.seed,
        exact: !args.no_exact,
        cases,
        time: None,
        minimise: Minimise { expected: built_in.iter().cloned().collect(), ..Minimise::default() },
        stop: context.stop.clone(),
        regressions: None, // the same is asked of every release
        command: engine::command::typed(),
    };
    let expected: Vec<&Expectations> = built_in.iter().collect();
    let languages = args.lang.languages();
    let mut shown = Shown::new(&target.to_string(), &options.out, languages, expected, context);
    target::make_room(&target);
    let result = engine::run(&options, &shown);
    shown.clear();
    let mut record = result?;
    engine::expect::apply(&mut record, shown.expected());
    report::write(&record, &options.out, languages)?;
    Ok(Ran { release, target, record })
}

/// Writes the record and the pages; answers the pages.
fn write(matrix: &ReleaseMatrix, args: &Args) -> Result<Vec<PathBuf>, CliError> {
    let mut pages = Vec::new();
    for &language in args.lang.languages() {
        let path = args.out.join(report::releases_file(language));
        write_whole(&path, report::releases_page(matrix, language).as_bytes())?;
        pages.push(path);
    }
    write_whole(&args.out.join("matrix.json"), &report::releases_json(matrix)?)?;
    Ok(pages)
}

fn summarise(matrix: &ReleaseMatrix, runs: &[Ran], lang: Lang, context: &mut Context) -> Result<(), CliError> {
    let language: Language = lang.languages().first().copied().unwrap_or(Language::En);
    for ran in runs {
        context.out.line(report::headline(&ran.record, language))?;
        if let Some(text) = ending(&ran.record) {
            context.out.line(text)?;
        }
    }
    context.out.line("")?;
    context.out.line(report::releases_summary(matrix, language))
}

fn bisect(path: &Path, args: &Args, context: &mut Context) -> Result<Exit, CliError> {
    let reproducer = sequence(path)?;
    let (there, lacking) = releases(args)?;
    if !lacking.is_empty() {
        note(format_args!("not set up, and left out: {}", lacking.join(", ")));
    }
    signals::listen(&context.stop);
    let scenario = spec::built_in().into_iter().find(|s| s.id == reproducer.scenario);
    let stop = context.stop.clone();
    let out = &mut context.out;
    let tell = |told: &Bisected| out.line(format_args!("{:<8} {}", told.release, came_to(&told.answer)));
    let told = matrix::bisect(&reproducer, scenario.as_ref(), &there, &stop, &engine::Silent, tell)?;
    let changes = matrix::differing(&told);
    match changes.first() {
        Some(first) => context.out.line(format_args!("\n{} is the first to answer differently", first.newer))?,
        None => context.out.line("\nno release answers differently from another")?,
    }
    for change in &changes {
        context.out.line(format_args!("it changes between {} and {}", change.older, change.newer))?;
    }
    let is_broken = told.iter().any(|t| matches!(t.answer, Answer::Breaks { .. }));
    let is_open = told.iter().any(|t| matches!(t.answer, Answer::NoAnswer { .. } | Answer::NotAsked));
    let exit = if is_broken { Exit::Findings } else { Exit::Conformant };
    Ok(if is_open { exit.and(Exit::Inconclusive) } else { exit })
}

/// An answer in a line.
fn came_to(answer: &Answer) -> String {
    match answer {
        Answer::Breaks { breaches } => {
            let each = breaches.iter().map(|b| format!("{} ({}): {}", b.requirement, b.oracle.name(), b.message.en));
            format!("breaks {}", each.collect::<Vec<_>>().join("; also "))
        }
        Answer::Holds => "holds".to_owned(),
        Answer::NotApplicable { why } => format!("does not apply: {}", why.en),
        Answer::NoAnswer { why } => format!("no answer: {why}"),
        Answer::NotAsked => "not asked, as it was interrupted".to_owned(),
    }
}

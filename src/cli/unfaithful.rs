//! `poolproof unfaithful`: who notices a figure, a field or a number that is told wrongly.

use std::path::{Path, PathBuf};

use crate::engine::{self, EngineError, Plan, UnfaithfulOptions, UnfaithfulProgress};
use crate::op::corruption::Corruption;
use crate::op::observable::Observable;
use crate::report;
use crate::spec;
use crate::target::TargetName;
use crate::verdict::record::EndedBy;
use crate::verdict::unfaithful::{ReporterRow, Unfaithful};

use super::flags::{Lang, cases_from_environment, cores, ensure_writable, targets};
use super::progress::Rows;
use super::{CliError, Context, Exit, signals};

/// Tell one observable of a sound allocator wrongly, in every way, and see who notices
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Writes DIR/{unfaithful.json, unfaithful.md, unfaithful.zh.md}. Each observable is told wrongly in each way that makes sense
of it and at each occasion, and hunted by every scenario until somebody notices. The reporters claim no policy. Exit code 1
if a promise speaks of something that was told wrongly and nobody noticed.

Examples:
  poolproof unfaithful --jobs 2
  poolproof unfaithful --observable 'requested_bytes.*'
  poolproof run --target 'reference@sim?unfaithful=num_ooms/stale/since-failure'   one of them")]
pub(super) struct Args {
    /// The sound target
    #[arg(long, value_name = "NAME", default_value = "reference@sim")]
    target: String,
    /// Only observables whose name matches this glob; may be given more than once
    #[arg(long = "observable", value_name = "GLOB")]
    observables: Vec<String>,
    /// Only scenarios whose id matches this glob; may be given more than once
    #[arg(long = "scenario", value_name = "GLOB")]
    scenarios: Vec<String>,
    /// Everything drawn at random is drawn from this
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// A departure from PyTorch's policy counts as noticed, too (see `run --no-exact`); broken promises alone otherwise
    #[arg(long)]
    exact: bool,
    /// Sequences of each generated scenario, instead of its own number
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    cases: Option<u32>,
    /// Threads [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Where the results go
    #[arg(long, value_name = "DIR", default_value = "reports/latest/unfaithful")]
    out: PathBuf,
    /// Languages of the page
    #[arg(long, value_enum, default_value_t = Lang::Both)]
    lang: Lang,
}

impl UnfaithfulProgress for Rows<'_, Unfaithful> {
    fn begin(&self, rows: usize) {
        self.begin(rows);
    }

    fn tried(&self, rows: &[ReporterRow]) {
        let count = |is: fn(&ReporterRow) -> bool| rows.iter().filter(|row| is(row)).count();
        let (noticed, survive) = (count(|r| r.noticed.is_some()), count(ReporterRow::survives));
        let name = rows.first().map_or("", |row| row.observable.as_str());
        self.row(&format!("{name}: {noticed} noticed, {survive} survive"), noticed, false);
    }

    fn so_far(&self, study: &dyn Fn() -> Unfaithful) {
        self.write_so_far(study);
    }
}

pub(super) fn run(args: &Args, context: &mut Context) -> Result<Exit, CliError> {
    ensure_writable(&args.out)?;
    let base: TargetName = args.target.parse()?;
    targets(&[base.to_string()])?;
    if base.is_apart() || base.is_forked() {
        return Err(CliError::Apart { target: args.target.clone() });
    }
    let options = UnfaithfulOptions {
        base,
        plan: Plan::new(spec::built_in(), &args.scenarios, None)?,
        corruptions: chosen(&args.observables)?,
        seed: args.seed,
        exact: args.exact,
        cases: args.cases.map_or_else(cases_from_environment, |n| Ok(Some(n)))?,
        jobs: args.jobs.map_or_else(cores, usize::from),
        stop: context.stop.clone(),
        command: engine::command::typed(),
    };
    signals::listen(&context.stop);
    let so_far = |study: &Unfaithful| write(study, args).map(|_| ());
    let rows = Rows::new("unfaithful", "noticed", &so_far, context);
    let result = engine::unfaithful(&options, &rows);
    drop(rows);
    let study = result?;
    let pages = write(&study, args)?;
    context.out.line(summary(&study))?;
    pages.iter().try_for_each(|path| context.out.line(path.display()))?;
    Ok(match (study.score(ReporterRow::is_promised).survived, study.ended) {
        (1.., _) => Exit::Findings,
        (0, EndedBy::Complete) => Exit::Conformant,
        (0, _) => Exit::Inconclusive,
    })
}

fn chosen(globs: &[String]) -> Result<Vec<Vec<Corruption>>, CliError> {
    let names = engine::plan::globs(globs)?;
    let is_wanted = |observable: &Observable| globs.is_empty() || names.is_match(observable.to_string());
    let corruptions: Vec<Vec<Corruption>> = Observable::all().filter(is_wanted).map(Corruption::of).collect();
    if corruptions.is_empty() {
        return Err(CliError::NoObservable { globs: globs.join(", ") });
    }
    Ok(corruptions)
}

fn summary(study: &Unfaithful) -> String {
    let (all, promised) = (study.score(|_| true), study.score(ReporterRow::is_promised));
    format!(
        "{} of {} unfaithful reporters noticed ({:.1} %), {} of {} where a promise speaks of the observable ({:.1} %); \
         {} never told anything wrongly; {:.1} s",
        all.noticed,
        all.told(),
        all.percent(),
        promised.noticed,
        promised.told(),
        promised.percent(),
        all.unreached,
        study.stamp.seconds
    )
}

/// Writes the study and its pages; answers the pages.
fn write(study: &Unfaithful, args: &Args) -> Result<Vec<PathBuf>, CliError> {
    let path = args.out.join("unfaithful.json");
    let mut json =
        serde_json::to_vec(study).map_err(|e| EngineError::Write { path: path.clone(), source: e.into() })?;
    json.push(b'\n');
    engine::write_whole(&path, &json)?;
    let page = |&language: &report::Language| {
        let path = args.out.join(file_name(language));
        engine::write_whole(&path, report::unfaithful_page(study, language).as_bytes())?;
        Ok(path)
    };
    args.lang.languages().iter().map(page).collect()
}

fn file_name(language: report::Language) -> &'static Path {
    Path::new(match language {
        report::Language::En => "unfaithful.md",
        report::Language::Zh => "unfaithful.zh.md",
    })
}

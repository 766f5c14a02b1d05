//! `poolproof survival`: how long planted defects live under each way of drawing sequences.

use std::path::{Path, PathBuf};

use crate::engine::{self, Plan, SurvivalOptions, SurvivalProgress, write_whole};
use crate::reference::Defect;
use crate::report;
use crate::spec;
use crate::target::TargetName;
use crate::verdict::record::EndedBy;
use crate::verdict::survival::{Generator, Survival, SurvivalRow};

use super::flags::{Lang, cores, ensure_writable};
use super::progress::Rows;
use super::{CliError, Context, Exit, signals};

/// How many defects are named for the coverage-guided hunts.
const HARDEST: usize = 15;

/// Measure how long planted defects survive generated sequences
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Hunts every planted defect with the generated scenarios alone, by each generator and with several
seeds; writes DIR/{survival.json, survival.md, survival.zh.md, hardest.txt}. Explicit scenarios take
no part; what the whole suite detects is `kill-matrix`.

Which of the two drawn generators does better is said only where intervals of 95 % do not overlap: those
between ranks for the defects that one seed kills and for the operations to a kill (six seeds are the least that
give one), Wilson's for the share of hunts that kill.

hardest.txt names the 15 that lived longest of those that some hunt killed (the others only explicit
scenarios show), for fuzz/survival.sh, which hunts them coverage-guided:

  poolproof survival --out study
  fuzz/survival.sh study/hardest.txt study/guided.jsonl
  poolproof survival --read study/survival.json --guided study/guided.jsonl --out study")]
pub(super) struct Args {
    /// The target that takes `defect=`
    #[arg(long, value_name = "NAME", default_value = "reference@sim")]
    target: String,
    /// Only scenarios whose id matches this glob; may be given more than once
    #[arg(long = "scenario", value_name = "GLOB")]
    scenarios: Vec<String>,
    /// Only defects whose name matches this glob; may be given more than once
    #[arg(long = "defect", value_name = "GLOB")]
    defects: Vec<String>,
    /// Hunts of each defect by each generator
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Operations after which a hunt ends without a kill
    #[arg(long, value_name = "N", default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..))]
    operations: u64,
    /// Threads [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Hunt nothing: take the hunts of this survival.json
    #[arg(long, value_name = "FILE", conflicts_with_all = ["scenarios", "defects", "seeds", "seed", "operations"])]
    read: Option<PathBuf>,
    /// Add these coverage-guided hunts, a JSON object a line, as fuzz/survival.sh writes them
    #[arg(long, value_name = "FILE")]
    guided: Option<PathBuf>,
    /// Where the results go
    #[arg(long, value_name = "DIR", default_value = "reports/latest/survival")]
    out: PathBuf,
    /// Languages of the page
    #[arg(long, value_enum, default_value_t = Lang::Both)]
    lang: Lang,
}

impl SurvivalProgress for Rows<'_, Survival> {
    fn begin(&self, rows: usize) {
        self.begin(rows);
    }

    fn hunted(&self, row: &SurvivalRow) {
        let each = row.hunts.iter().map(|h| format!("{} {}/{}", h.generator.name(), h.kills(), h.killed.len()));
        let kills = row.hunts.iter().map(|h| usize::try_from(h.kills()).unwrap_or(usize::MAX)).sum();
        self.row(&format!("{}: {}", row.name, each.collect::<Vec<_>>().join(", ")), kills, false);
    }

    fn so_far(&self, survival: &dyn Fn() -> Survival) {
        self.write_so_far(survival);
    }
}

pub(super) fn run(args: &Args, context: &mut Context) -> Result<Exit, CliError> {
    ensure_writable(&args.out)?;
    let mut survival = match &args.read {
        Some(path) => report::read_survival(path)?,
        None => hunt(args, context)?,
    };
    if let Some(path) = &args.guided {
        report::add_guided(&mut survival, path)?;
    }
    say(&survival, context)?;
    let pages = write(&survival, args)?;
    pages.iter().try_for_each(|path| context.out.line(path.display()))?;
    Ok(if survival.ended == EndedBy::Complete { Exit::Conformant } else { Exit::Inconclusive })
}

fn hunt(args: &Args, context: &Context) -> Result<Survival, CliError> {
    let base: TargetName = args.target.parse()?;
    let options = SurvivalOptions {
        base,
        plan: Plan::new(spec::built_in(), &args.scenarios, None)?,
        defects: chosen(&args.defects)?,
        seed: args.seed,
        seeds: args.seeds,
        limit: args.operations,
        jobs: args.jobs.map_or_else(cores, usize::from),
        stop: context.stop.clone(),
        command: engine::command::typed(),
    };
    signals::listen(&context.stop);
    let so_far = |survival: &Survival| write(survival, args).map(|_| ());
    Ok(engine::survival(&options, &Rows::new("survival", "kills", &so_far, context))?)
}

/// The defects that one of the globs matches; all without a glob.
fn chosen(globs: &[String]) -> Result<Vec<Defect>, CliError> {
    let names = engine::plan::globs(globs)?;
    let all = || Defect::ALL.iter().copied();
    let chosen: Vec<Defect> = all().filter(|d| globs.is_empty() || names.is_match(d.name())).collect();
    if chosen.is_empty() {
        return Err(CliError::NoDefect { globs: globs.join(", ") });
    }
    Ok(chosen)
}

/// A line a generator, and what was not hunted.
fn say(survival: &Survival, context: &mut Context) -> Result<(), CliError> {
    if survival.ended != EndedBy::Complete {
        context.out.line(format_args!("interrupted: {} defects were not hunted to the end", survival.untried))?;
    }
    for generator in Generator::ALL {
        let hunts: Vec<_> = survival.hunts(generator).collect();
        if hunts.is_empty() {
            continue;
        }
        let (kills, all) =
            (hunts.iter().map(|h| h.kills()).sum::<u64>(), hunts.iter().map(|h| h.killed.len()).sum::<usize>());
        let (name, found) = (generator.name(), hunts.iter().filter(|h| h.kills() > 0).count());
        context.out.line(format_args!("{name}: {kills} kills in {all} hunts, {found} of {} defects", hunts.len()))?;
    }
    context.out.line(report::survival_kills(survival, report::Language::En))?;
    Ok(())
}

/// Writes the record, the list and the pages; answers the pages.
fn write(survival: &Survival, args: &Args) -> Result<Vec<PathBuf>, CliError> {
    let at = |name: &str| args.out.join(name);
    let mut pages = Vec::new();
    write_whole(&at("survival.json"), &report::survival_json(survival)?)?;
    write_list(&at("hardest.txt"), &survival.hardest(HARDEST))?;
    for &language in args.lang.languages() {
        let name = match language {
            report::Language::En => "survival.md",
            report::Language::Zh => "survival.zh.md",
        };
        write_whole(&at(name), report::survival_page(survival, language).as_bytes())?;
        pages.push(at(name));
    }
    Ok(pages)
}

fn write_list(path: &Path, names: &[&str]) -> Result<(), CliError> {
    let lines: String = names.iter().map(|name| format!("{name}\n")).collect();
    Ok(write_whole(path, lines.as_bytes())?)
}

//! `poolproof contract`: the argument contract of `torch.cuda.memory`, asked of a live PyTorch.

use std::path::PathBuf;

use crate::contract::{self, Options, Watched};
use crate::engine::{self, EngineError};
use crate::report::{self, Language};
use crate::spec;
use crate::spec::contract::Row;
use crate::verdict::contract::{Contract, RowOutcome};

use super::flags::{Lang, cores, ensure_writable, expected};
use super::pulse::Pulse;
use super::{CliError, Context, Exit, signals};

/// Ask a live PyTorch what torch.cuda.memory makes of every kind of argument
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Needs an interpreter with torch, and a GPU (or simulated ones). A row that crashes or hangs costs its process and nothing else. Writes
DIR/{contract.json, contract.md, contract.zh.md}. Exit code 1 if a promise is broken that is not in specs/expect/torch-contract.yaml
or the file of --expect, or if an entry of it is out of date.

Examples:
  poolproof contract --python .venv/bin/python
  poolproof contract --row 'memory_stats/*' --row '*/forked'
  poolproof contract --list")]
pub(super) struct Args {
    /// The interpreter
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    python: String,
    /// Only rows whose id matches this glob; may be given more than once
    #[arg(long = "row", value_name = "GLOB")]
    rows: Vec<String>,
    /// Print the ids of the rows and what each promises to whom, and run none
    #[arg(long)]
    list: bool,
    /// Rows at a time [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Seconds that a row may take
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3600))]
    limit: u32,
    /// Known failures, instead of those that come along; `scenario` is a glob over rows in it
    #[arg(long, value_name = "FILE")]
    expect: Option<PathBuf>,
    /// Where the results go
    #[arg(long, value_name = "DIR", default_value = "reports/latest/contract")]
    out: PathBuf,
    /// Languages of the page
    #[arg(long, value_enum, default_value_t = Lang::Both)]
    lang: Lang,
}

/// What expected failures call the target.
const TARGET: (&str, &str) = ("torch-contract", "cuda");

/// Counts rows and broken promises while they come.
struct Shown {
    pulse: Pulse,
    verbose: bool,
}

impl Watched for Shown {
    fn begin(&self, rows: usize) {
        self.pulse.begin(rows as u64, "rows");
    }

    fn row(&self, id: &str, outcome: RowOutcome) {
        if outcome.is_failure() {
            self.pulse.found();
        }
        let (done, total) = (self.pulse.done(), self.pulse.total().max(1));
        if self.verbose {
            self.pulse.say(&format!("{id}: {}", outcome.name()));
        } else if !self.pulse.has_bar() && done * 10 / total != (done - 1) * 10 / total {
            self.pulse.say(&format!("{done}/{total} rows"));
        }
    }
}

pub(super) fn run(args: &Args, context: &mut Context) -> Result<Exit, CliError> {
    let all = spec::contract::built_in()?;
    let ids: Vec<String> = all.iter().map(|row| row.id.clone()).collect();
    let rows = chosen(all, &args.rows)?;
    if args.list {
        for Row { id, level, by, area, when, .. } in &rows {
            let (level, by, area, when) = (level.name(), by.name(), area.code(), when.name());
            context.out.line(format_args!("{id}  {area}  {level}  {by}  {when}"))?;
        }
        return Ok(Exit::Conformant);
    }
    ensure_writable(&args.out)?;
    let expected = expected(TARGET, args.expect.as_deref())?;
    signals::listen(&context.stop);
    let shown = Shown { pulse: Pulse::start("contract", "broken", context), verbose: context.verbose };
    let options = Options {
        python: args.python.clone(),
        rows,
        selection: args.rows.iter().map(|glob| format!("--row {}", engine::command::quoted(glob))).collect(),
        jobs: args.jobs.map_or_else(cores, usize::from),
        limit: args.limit,
        expected: expected.as_ref().map(|file| (file, ids)),
        stop: context.stop.clone(),
        command: engine::command::typed(),
    };
    let result = contract::run(&options, &shown);
    drop(shown);
    let contract = result?;
    let pages = write(&contract, args)?;
    context.out.line(report::contract_summary(&contract))?;
    pages.iter().try_for_each(|path| context.out.line(path.display()))?;
    Ok(match (contract.is_as_expected(), contract.complete && contract.judged().count() > 0) {
        (false, _) => Exit::Findings,
        (true, true) => Exit::Conformant,
        (true, false) => Exit::Inconclusive,
    })
}

fn chosen(all: Vec<Row>, globs: &[String]) -> Result<Vec<Row>, CliError> {
    let wanted = engine::plan::globs(globs)?;
    let rows: Vec<Row> = all.into_iter().filter(|row| globs.is_empty() || wanted.is_match(&row.id)).collect();
    if rows.is_empty() {
        return Err(CliError::NoRow { globs: globs.join(", ") });
    }
    Ok(rows)
}

/// Writes the record and its pages; answers the pages.
fn write(contract: &Contract, args: &Args) -> Result<Vec<PathBuf>, CliError> {
    let path = args.out.join("contract.json");
    let mut json =
        serde_json::to_vec_pretty(contract).map_err(|e| EngineError::Write { path: path.clone(), source: e.into() })?;
    json.push(b'\n');
    engine::write_whole(&path, &json)?;
    let page = |&language: &Language| {
        let path = args.out.join(match language {
            Language::En => "contract.md",
            Language::Zh => "contract.zh.md",
        });
        engine::write_whole(&path, report::contract_page(contract, language).as_bytes())?;
        Ok(path)
    };
    args.lang.languages().iter().map(page).collect()
}

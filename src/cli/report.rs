//! `poolproof report`: writes the report of an old run again.

use std::path::PathBuf;

use crate::engine::write_whole;
use crate::report::{self, Language};

use super::flags::Lang;
use super::{CliError, Context, Exit};

/// Render a run.json again
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  poolproof report reports/latest/reference@sim/run.json --lang zh
  poolproof report run.json --format junit --out junit.xml")]
pub(super) struct Args {
    /// The record of a run
    #[arg(value_name = "RUN.json")]
    run: PathBuf,
    /// The language of the Markdown; `both` prints one after the other
    #[arg(long, value_enum, default_value_t = Lang::En)]
    lang: Lang,
    #[arg(long, value_enum, default_value_t = Format::Md)]
    format: Format,
    /// Write to this file instead of stdout
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Format {
    /// Markdown
    Md,
    /// JUnit XML
    Junit,
}

pub(super) fn run(args: &Args, context: &mut Context) -> Result<Exit, CliError> {
    let record = report::read(&args.run)?;
    let text = match args.format {
        Format::Junit => report::junit(&record)?,
        Format::Md => {
            let each: Vec<String> =
                args.lang.languages().iter().map(|language: &Language| report::markdown(&record, *language)).collect();
            each.join("\n")
        }
    };
    match &args.out {
        Some(path) => write_whole(path, text.as_bytes())?,
        None => context.out.text(text)?,
    }
    Ok(Exit::Conformant)
}

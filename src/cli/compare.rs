//! `poolproof compare`: two runs held against each other.

use std::path::PathBuf;

use crate::engine::write_whole;
use crate::report;
use crate::verdict::comparison::{CameTo, Comparison};

use super::flags::Lang;
use super::{CliError, Context, Exit};

/// Hold a run against an earlier one: what is new, fixed or worse
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The two may be of different releases, places or settings: what differs beside the results is said first. A finding is found again by its \
id (promise and judge), else by promise, judge and calls; another seed, folder or name of the target is no difference. What a run \
did not execute is neither fixed nor new.

Exit codes:
  0 nothing is worse
  1 something is: a finding that nobody announced and OLD does not have, a requirement without the verdict it had (unless the \
selection leaves it out), a scenario with the same steps that passed and fails, or one that breaks
  2 wrong command line or file
  4 no scenario came to a verdict in both

Examples:
  poolproof compare reports/main/reference@sim reports/latest/reference@sim
  poolproof compare old/run.json.gz new/run.json --format json
  poolproof compare 2.11/c10@sim 2.15/c10@sim --out changes      writes changes/{compare.md, compare.zh.md, compare.json}")]
pub(super) struct Args {
    /// The run that is held against: its run.json, packed or not, or the folder that it left for a target
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// The run that is asked about
    #[arg(value_name = "NEW")]
    new: PathBuf,
    /// What is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// The language of what is printed, and of the pages of --out; `both` prints English text, or one page after the other
    #[arg(long, value_enum, default_value_t = Lang::Both)]
    lang: Lang,
    /// Also write the pages and the JSON into this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Format {
    /// Lines for a terminal
    Text,
    /// Markdown
    Md,
    /// JSON (`poolproof schema compare`)
    Json,
}

pub(super) fn run(args: &Args, context: &mut Context) -> Result<Exit, CliError> {
    let comparison = Comparison::of(&report::read_folder(&args.old)?, &report::read_folder(&args.new)?);
    let languages = args.lang.languages();
    let json = report::comparison_json(&comparison)?;
    let pages = languages.iter().map(|&language| (language, report::comparison_page(&comparison, language)));
    let pages: Vec<_> = pages.collect();
    let mut written = Vec::new();
    if let Some(folder) = &args.out {
        for (language, page) in &pages {
            let path = folder.join(report::comparison_file(*language));
            write_whole(&path, page.as_bytes())?;
            written.push(path);
        }
        // The record comes last: where it is, the pages are.
        write_whole(&folder.join("compare.json"), &json)?;
    }
    match args.format {
        Format::Text => {
            let text = languages.first().map(|&language| report::comparison_text(&comparison, language));
            context.out.text(text.unwrap_or_default())?;
            written.iter().try_for_each(|path| context.out.line(path.display()))?;
        }
        Format::Md => {
            let each: Vec<String> = pages.into_iter().map(|(_, page)| page).collect();
            context.out.text(each.join("\n"))?;
        }
        Format::Json => context.out.text(String::from_utf8_lossy(&json))?,
    }
    Ok(match comparison.came_to {
        CameTo::Worse => Exit::Findings,
        CameTo::NothingWorse => Exit::Conformant,
        CameTo::NothingCompared => Exit::Inconclusive,
    })
}

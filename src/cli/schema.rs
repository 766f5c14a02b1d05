//! `poolproof schema`: the JSON Schemas of what poolproof reads and writes.

use crate::{report, spec, target};

use super::{CliError, Context, Exit};

/// Print a JSON Schema
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  poolproof schema scenario > scenario.schema.json")]
pub(super) struct Args {
    /// Of what
    #[arg(value_enum)]
    what: What,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum What {
    /// Scenario files
    Scenario,
    /// run.json
    Run,
    /// compare.json
    Compare,
    /// Files of expected failures
    Expect,
    /// The lines of `poolproof worker`
    Worker,
}

pub(super) fn run(args: &Args, context: &mut Context) -> Result<Exit, CliError> {
    let schema = match args.what {
        What::Scenario => spec::schema(),
        What::Run => report::run_schema(),
        What::Compare => report::comparison_schema(),
        What::Expect => spec::expect::schema(),
        What::Worker => target::worker::schema(),
    };
    context.out.line(format_args!("{schema:#}"))?;
    Ok(Exit::Conformant)
}

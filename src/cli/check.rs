//! `poolproof check`: are scenario files well formed?

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::engine::Plan;
use crate::spec;

use super::{CliError, Context, Exit};

/// Check scenario files without running them
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  poolproof check specs/ my-scenario.yaml")]
pub(super) struct Args {
    /// Scenario files, files of expected failures, or folders of either
    #[arg(required = true, value_name = "SPEC")]
    specs: Vec<PathBuf>,
}

pub(super) fn run(args: &Args, context: &mut Context) -> Result<Exit, CliError> {
    let checked = spec::check(&args.specs);
    if !checked.errors.is_empty() {
        return Err(checked.errors.into());
    }
    let files: BTreeSet<&str> = checked.scenarios.iter().map(|s| s.file.as_str()).collect();
    let counts = format!("{} scenarios in {} files: ok", checked.scenarios.len(), files.len());
    if checked.expectations > 0 {
        context.out.line(format_args!("{} expected failures: ok", checked.expected))?;
    }
    if !checked.scenarios.is_empty() {
        Plan::new(checked.scenarios, &[], None)?;
        context.out.line(counts)?;
    }
    Ok(Exit::Conformant)
}

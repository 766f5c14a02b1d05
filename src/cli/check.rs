//! `poolproof check`: are scenario files well formed?

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::engine::Plan;
use crate::spec::{self, SpecError};

use super::{CliError, Context, Exit};

/// Check scenario files without running them
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  poolproof check specs/ my-scenario.yaml")]
pub(super) struct Args {
    /// Scenario files, files of expected failures or of contracts, or folders of any of them
    #[arg(required = true, value_name = "SPEC")]
    specs: Vec<PathBuf>,
}

/// What is said of an expected failure that nobody looks after.
const UNOWNED: &str = "`owner` is empty";

pub(super) fn run(args: &Args, context: &mut Context) -> Result<Exit, CliError> {
    let mut checked = spec::check(&args.specs);
    // What `run --write-expect` drafts is well formed; `run --expect` wants owners.
    let (unowned, errors): (Vec<SpecError>, Vec<SpecError>) =
        checked.errors.into_iter().partition(|error| error.message == UNOWNED);
    if !errors.is_empty() {
        checked.errors = errors.into_iter().chain(unowned).collect();
        return Err(checked.errors.into());
    }
    for error in &unowned {
        let SpecError { file, line, .. } = error;
        context.out.line(format_args!("{file}:{line}: a draft: it does not count before it has an owner"))?;
    }
    let files: BTreeSet<&str> = checked.scenarios.iter().map(|s| s.file.as_str()).collect();
    let counts = format!("{} scenarios in {} files: ok", checked.scenarios.len(), files.len());
    if checked.expectations > 0 {
        context.out.line(format_args!("{} expected failures: ok", checked.expected))?;
    }
    if !checked.rows.is_empty() {
        context.out.line(format_args!("{} rows of a contract: ok", checked.rows.len()))?;
    }
    if !checked.scenarios.is_empty() {
        Plan::new(checked.scenarios, &[], None)?;
        context.out.line(counts)?;
    }
    Ok(Exit::Conformant)
}

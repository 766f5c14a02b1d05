//! `poolproof check`: are scenario files well formed?

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::engine::Plan;
use crate::spec::{self, Scenario, SpecError};

use super::{CliError, Context, Exit};

/// Check scenario files without running them
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  poolproof check specs/ my-scenario.yaml")]
pub(super) struct Args {
    /// Scenario files, or folders of them
    #[arg(required = true, value_name = "SPEC")]
    specs: Vec<PathBuf>,
}

pub(super) fn run(args: &Args, context: &mut Context) -> Result<Exit, CliError> {
    let mut scenarios: Vec<Scenario> = Vec::new();
    let mut errors: Vec<SpecError> = Vec::new();
    for path in &args.specs {
        match load(path)? {
            Ok(more) => scenarios.extend(more),
            Err(more) => errors.extend(more),
        }
    }
    if !errors.is_empty() {
        return Err(errors.into());
    }
    let files: BTreeSet<&str> = scenarios.iter().map(|s| s.file.as_str()).collect();
    let counts = format!("{} scenarios in {} files: ok", scenarios.len(), files.len());
    Plan::new(scenarios, &[], None)?;
    context.out.line(counts)?;
    Ok(Exit::Conformant)
}

fn load(path: &PathBuf) -> Result<Result<Vec<Scenario>, Vec<SpecError>>, CliError> {
    if path.is_dir() {
        return Ok(spec::load_dir(path));
    }
    let text = std::fs::read_to_string(path).map_err(|source| CliError::Read { path: path.clone(), source })?;
    Ok(spec::parse(&path.to_string_lossy(), &text))
}

//! `poolproof check`: are scenario files well formed?

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::engine::Plan;
use crate::spec::{self, Scenario, SpecError};

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
    let mut scenarios: Vec<Scenario> = Vec::new();
    let mut errors: Vec<SpecError> = Vec::new();
    let mut expected = 0;
    for path in &args.specs {
        if is_in_expectations(path) {
            for file in yaml_files(path)? {
                match spec::expect::load(&file) {
                    Ok(read) => expected += read.entries.len(),
                    Err(more) => errors.extend(more),
                }
            }
            continue;
        }
        match load(path)? {
            Ok(more) => scenarios.extend(more),
            Err(more) => errors.extend(more),
        }
    }
    if !errors.is_empty() {
        return Err(errors.into());
    }
    if expected > 0 || args.specs.iter().all(|path| is_in_expectations(path)) {
        context.out.line(format_args!("{expected} expected failures: ok"))?;
    }
    if scenarios.is_empty() && args.specs.iter().all(|path| is_in_expectations(path)) {
        return Ok(Exit::Conformant);
    }
    let files: BTreeSet<&str> = scenarios.iter().map(|s| s.file.as_str()).collect();
    let counts = format!("{} scenarios in {} files: ok", scenarios.len(), files.len());
    Plan::new(scenarios, &[], None)?;
    context.out.line(counts)?;
    Ok(Exit::Conformant)
}

/// Whether it is a folder called `expect`, or a file in one.
fn is_in_expectations(path: &Path) -> bool {
    let folder = if path.is_dir() { Some(path) } else { path.parent() };
    folder.and_then(Path::file_name).is_some_and(|name| name == spec::expect::FOLDER)
}

/// The file itself, or the `.yaml` files of the folder, sorted.
fn yaml_files(path: &Path) -> Result<Vec<PathBuf>, CliError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let fail = |source| CliError::Read { path: path.to_owned(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(fail)? {
        files.push(entry.map_err(fail)?.path());
    }
    files.retain(|file| file.extension().is_some_and(|e| e == "yaml" || e == "yml"));
    files.sort();
    Ok(files)
}

fn load(path: &PathBuf) -> Result<Result<Vec<Scenario>, Vec<SpecError>>, CliError> {
    if path.is_dir() {
        return Ok(spec::load_dir(path));
    }
    let text = std::fs::read_to_string(path).map_err(|source| CliError::Read { path: path.clone(), source })?;
    Ok(spec::parse(&path.to_string_lossy(), &text))
}

//! `poolproof replay`: runs kept sequences again and prints what happens.

use std::path::PathBuf;

use crate::engine::{EngineError, Replayed, replay, replay_file};
use crate::target::TargetName;

use super::{CliError, Context, Exit};

/// Run a finding's sequence again
#[derive(Debug, clap::Args)]
#[command(after_help = "Exits 1 if the violation shows again, 0 if it does not.

Examples:
  poolproof replay reports/latest/reference@sim/findings/F01-peak-reset.json
  poolproof replay F01-peak-reset.json --target reference@sim      does a sound allocator pass it?")]
pub(super) struct Args {
    /// Sequences as JSON, of findings or of proptest-regressions/; may be .gz
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Another target than the one it was found on
    #[arg(long, value_name = "NAME")]
    target: Option<TargetName>,
    /// Compare every answer with the recording's
    #[arg(long)]
    exact: bool,
}

pub(super) fn run(args: &Args, context: &mut Context) -> Result<Exit, CliError> {
    let mut exit = Exit::Conformant;
    for path in &args.files {
        if args.exact && matches!(replay::open_file(path)?, replay::Content::Sequence(_)) {
            return Err(EngineError::NotARecording { path: path.clone() }.into());
        }
        let replayed = replay_file(path, args.target.as_ref())?;
        context.out.text(rendered(&replayed))?;
        exit = exit.and(if replayed.panic.is_some() {
            Exit::Target
        } else if replayed.conviction.is_some() {
            Exit::Findings
        } else {
            Exit::Conformant
        });
    }
    Ok(exit)
}

/// The transcript with the harness's own operations marked, and how it ended.
fn rendered(replayed: &Replayed) -> String {
    let kept = &replayed.reproducer;
    let mut text = format!("{} on {} ({})\n", kept.scenario, replayed.target, kept.requirement);
    let mut number = 0;
    for line in &replayed.transcript {
        let mark = if line.added {
            "+".to_owned()
        } else {
            number += 1;
            number.to_string()
        };
        text.push_str(&format!("{mark:>5}  {} -> {}\n", line.asked, line.answered));
    }
    if let Some(panic) = &replayed.panic {
        text.push_str(&format!("panicked: {panic}\n"));
    }
    for violation in replayed.conviction.iter().flat_map(|c| &c.violations) {
        let requirement = violation.requirement.unwrap_or(kept.requirement);
        text.push_str(&format!("violation of {requirement} ({}): {}\n", violation.oracle.name(), violation.message.en));
        for evidence in &violation.evidence {
            text.push_str(&format!("       {}: {}\n", evidence.label.en, evidence.value));
        }
    }
    if replayed.conviction.is_none() && replayed.panic.is_none() {
        text.push_str(&format!("no violation in {} operations\n", replayed.operations));
    }
    text
}

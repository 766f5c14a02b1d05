//! `poolproof replay`: runs kept sequences again and prints what happens; compares recordings.

use std::path::{Path, PathBuf};

use crate::engine::replay::{Kind, kind_of};
use crate::engine::{EngineError, Replayed, replay_file};
use crate::replay;
use crate::target::TargetName;

use super::{CliError, Context, Exit};

/// Run a finding's sequence again, or compare a recording with the reference
#[derive(Debug, clap::Args)]
#[command(after_help = "Exits 1 if a violation shows again or an answer differs, 0 if not.

Examples:
  poolproof replay reports/latest/reference@sim/findings/F01-peak-reset.json
  poolproof replay F01-peak-reset.json --target reference@sim      does a sound allocator pass it?
  poolproof replay --exact default.jsonl.gz                        does the reference predict PyTorch?")]
pub(super) struct Args {
    /// Sequences of findings or of proptest-regressions/, recordings of PyTorch; all may be .gz
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Another target than the one it was found on
    #[arg(long, value_name = "NAME", conflicts_with = "exact")]
    target: Option<TargetName>,
    /// Compare every statistic, address and device call with the recording's
    #[arg(long)]
    exact: bool,
}

pub(super) fn run(args: &Args, context: &mut Context) -> Result<Exit, CliError> {
    let mut exit = Exit::Conformant;
    let mut hash_order = 0;
    for path in &args.files {
        let one = if args.exact {
            let (one, used) = exact(path, context)?;
            hash_order += used;
            one
        } else {
            again(path, args.target.as_ref(), context)?
        };
        exit = exit.and(one);
    }
    if args.exact {
        let times = |n: u64| if n == 1 { "once".to_owned() } else { format!("{n} times") };
        context.out.line(format_args!("hash order of PyTorch, the one tolerance: used {}", times(hash_order)))?;
    }
    Ok(exit)
}

/// Runs a sequence again.
fn again(path: &Path, target: Option<&TargetName>, context: &mut Context) -> Result<Exit, CliError> {
    let replayed = replay_file(path, target)?;
    context.out.text(rendered(&replayed))?;
    Ok(match (&replayed.panic, &replayed.conviction) {
        (Some(_), _) => Exit::Target,
        (None, Some(_)) => Exit::Findings,
        (None, None) => Exit::Conformant,
    })
}

/// Compares a recording with the reference; answers also how often the tolerance was used.
fn exact(path: &Path, context: &mut Context) -> Result<(Exit, u64), CliError> {
    if kind_of(path)? == Kind::Sequence {
        return Err(EngineError::NotARecording { path: path.to_owned() }.into());
    }
    let report = replay::exact(path)?;
    let (operations, divergences) = (report.operations, report.divergences);
    let notes = [(report.hash_order, "times hash order"), (report.unknown_keys, "unknown keys")];
    let notes: Vec<String> = notes.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    let notes = if notes.is_empty() { String::new() } else { format!(" ({})", notes.join(", ")) };
    context.out.line(format_args!("{}: {operations} operations, {divergences} divergences{notes}", path.display()))?;
    if let Some(first) = report.first {
        context.out.line(first)?;
    }
    Ok((if divergences == 0 { Exit::Conformant } else { Exit::Findings }, report.hash_order))
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

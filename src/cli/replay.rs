//! `poolproof replay`: runs kept sequences again and prints what happens; compares recordings and snapshots
//! of PyTorch with the reference, and with what they would have come to under other settings.

use std::path::{Path, PathBuf};

use crate::engine::replay::{Kind, kind_of};
use crate::engine::sweep::sweep_file;
use crate::engine::{EngineError, Replayed, SweepPlan, replay_file, write_whole};
use crate::replay::{self, Progress, Reading, ReplayError, ReplayReport, Silent, what_if};
use crate::report;
use crate::target::TargetName;

use super::arguments::device_bytes;
use super::flags::{BOUNDS, Part};
use super::flags::{Faults, cores};
use super::output::{complain, note};
use super::progress::Shown;
use super::pulse::Pulse;
use super::{CliError, Context, Exit, emit, settings_table, signals};

/// Run a finding's sequence again, or compare a recording of PyTorch with the reference
#[derive(Debug, clap::Args)]
#[command(after_help = format!("Exits 1 if a violation shows again or an answer differs, 0 if not.

{BOUNDS}

Examples:
  poolproof replay reports/latest/reference@sim/findings/F01-peak-reset.json
  poolproof replay F01-peak-reset.json --target reference@sim      does a sound allocator pass it?
  poolproof replay F01-peak-reset.json --faults sweep              what if its device calls fail?
  poolproof replay F01-peak-reset.json --emit python --out f01.py  the same without poolproof; also cpp, c, rust
  poolproof replay --exact default.jsonl.gz                        does the reference predict PyTorch?
  poolproof replay --exact default.jsonl.gz --target 'c10@sim?torch=2.11'
                                                                   does that release itself do what was recorded?
  poolproof replay snapshot.pickle                                 the same of torch.cuda.memory._snapshot()
  poolproof replay snapshot.pickle --config expandable_segments:True --device-bytes 40GiB
                                                                   which setting would have saved the job?
  poolproof replay recording.jsonl.gz --snapshot out.pickle        look at it in PyTorch's memory viewer
  poolproof replay huge.pickle --from +90s --to +95s --snapshot small.pickle
                                                                   a part that the viewer opens, with its stacks"))]
pub(super) struct Args {
    /// Sequences of findings or of proptest-regressions/, recordings and memory snapshots (pickles) of PyTorch; all may be .gz
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Another target than the one it was found on; with --exact the released library to play recordings back to
    /// (`c10@sim?torch=VERSION`)
    #[arg(long, value_name = "NAME")]
    target: Option<TargetName>,
    /// Compare every statistic, address and device call with the recording's (for a snapshot the default)
    #[arg(long)]
    exact: bool,
    /// Ask the same calls under other settings (PYTORCH_CUDA_ALLOC_CONF; may be given again) on a simulated device
    #[arg(long = "config", value_name = "SETTINGS", conflicts_with = "target")]
    configs: Vec<String>,
    /// Memory of that device [default: what the recorded one had, as its header or its refusals tell, or else 80GiB]
    #[arg(long, value_name = "SIZE", value_parser = device_bytes, requires = "configs")]
    device_bytes: Option<u64>,
    /// Write a snapshot that PyTorch's memory viewer opens: of a snapshot the part that was replayed, with all that its events
    /// tell (stacks, metadata, annotations); of a recording what the reference came to
    #[arg(long, value_name = "PICKLE", conflicts_with = "target")]
    snapshot: Option<PathBuf>,
    /// Play the recording back in this process
    #[arg(long, hide = true, requires = "target", requires = "exact")]
    here: bool,
    #[command(flatten)]
    part: Part,
    /// Print the finding as a program that needs no poolproof: it prints what is expected and what there is, and exits 1 while the
    /// defect is there
    #[arg(long, value_enum, value_name = "LANGUAGE", conflicts_with_all = ["exact", "configs", "snapshot", "faults"])]
    emit: Option<emit::Language>,
    /// Write that program to this file instead of stdout
    #[arg(long, value_name = "FILE", requires = "emit")]
    out: Option<PathBuf>,
    /// Fail each device call of the sequence or recording in turn, and pairs of them
    #[arg(long, value_enum, conflicts_with_all = ["exact", "configs", "snapshot"])]
    faults: Option<Faults>,
}

pub(super) fn run(args: &Args, context: &mut Context) -> Result<Exit, CliError> {
    if args.snapshot.is_some() && args.files.len() > 1 {
        return Err(CliError::OneSnapshot { files: args.files.len() });
    }
    if args.out.is_some() && args.files.len() > 1 {
        return Err(CliError::OneProgram { files: args.files.len() });
    }
    let mut exit = Exit::Conformant;
    let (mut hash_order, mut any) = (0, false);
    let pulse = Pulse::lines("replay", "files that differ or fail", context);
    pulse.begin(args.files.len() as u64, "files");
    for path in &args.files {
        if context.stop.is_asked() {
            note(format_args!("{}: not replayed, as it was interrupted", path.display()));
            exit = exit.and(Exit::Inconclusive);
            continue;
        }
        let came_to = match one(path, args, context, &mut hash_order, &pulse) {
            Ok(exit) => {
                any = true;
                exit
            }
            Err(error @ CliError::Stdout { .. }) => return Err(error),
            // The other files are wanted all the same.
            Err(error) => {
                complain(context.paint, &error);
                error.exit()
            }
        };
        if came_to != Exit::Conformant {
            pulse.found();
        }
        pulse.done();
        exit = exit.and(came_to);
    }
    drop(pulse);
    if args.exact && args.target.is_none() && any {
        let times = if hash_order == 1 { "once".to_owned() } else { format!("{hash_order} times") };
        context.out.line(format_args!("hash order of PyTorch, the one tolerance: used {times}"))?;
    }
    Ok(exit)
}

fn one(path: &Path, args: &Args, context: &mut Context, hash_order: &mut u64, pulse: &Pulse) -> Result<Exit, CliError> {
    if let Some(language) = args.emit {
        return emit::program(path, language, args.target.as_ref(), args.out.as_deref(), context);
    }
    if let Some(Faults::Sweep) = args.faults {
        return swept(path, args.target.as_ref(), context);
    }
    let kind = kind_of(path)?;
    let range = args.part.range();
    let compares = args.exact || args.snapshot.is_some() || !args.configs.is_empty() || !range.is_whole();
    if compares && kind == Kind::Sequence {
        return Err(EngineError::NotARecording { path: path.to_owned() }.into());
    }
    if let Some(name) = args.target.as_ref().filter(|_| args.exact) {
        if kind != Kind::Recording {
            return Err(CliError::NotPlayable { path: path.to_owned() });
        }
        Reading { range, progress: &Silent }.refuse_recording(path).map_err(ReplayError::from)?;
        return on_library(path, name, args.here, context);
    }
    if !compares && (kind != Kind::Snapshot || args.target.is_some()) {
        return again(path, args.target.as_ref(), context, pulse);
    }
    let heard = Heard { pulse, is_alone: args.files.len() == 1 };
    let how = Reading { range, progress: &heard };
    let mut exit = Exit::Conformant;
    if args.exact || args.configs.is_empty() || args.snapshot.is_some() {
        let (compared, used) = exact(path, args.snapshot.as_deref(), context, how)?;
        exit = compared;
        *hash_order += used;
    }
    if !args.configs.is_empty() {
        let table = what_if::compare(path, &args.configs, args.device_bytes, how)?;
        context.out.text(settings_table::text(path, &table))?;
        if table.disagreement.is_some() {
            exit = exit.and(Exit::Inconclusive);
        }
    }
    Ok(exit)
}

/// How far it is. Where there are several files, these are what is counted.
struct Heard<'p> {
    pulse: &'p Pulse,
    is_alone: bool,
}

impl Progress for Heard<'_> {
    fn begin(&self, total: u64, what: &'static str) {
        if self.is_alone {
            self.pulse.begin(total, what);
        }
    }

    fn done(&self) {
        if self.is_alone {
            self.pulse.done();
        }
    }

    fn ran(&self, operations: u64) {
        self.pulse.ran(operations);
    }

    fn is_stopped(&self) -> bool {
        false
    }
}

/// Plays a recording back to a released library, in a process of its own unless this is it.
fn on_library(path: &Path, name: &TargetName, is_here: bool, context: &mut Context) -> Result<Exit, CliError> {
    if is_here {
        let report = replay::on_library(path, name)?;
        return compared(path, &report, context);
    }
    let failed = |reason: String| CliError::NotPlayed { path: path.to_owned(), reason };
    let program = std::env::current_exe().map_err(|error| failed(error.to_string()))?;
    let apart = replay::apart(&program, path, name).map_err(|error| failed(error.to_string()))?;
    context.out.text(apart.printed)?;
    apart.complained.lines().for_each(note);
    match apart.code {
        Some(_) => Ok(Exit::of_code(apart.code)),
        None => Err(failed("the library ended its process with a signal".to_owned())),
    }
}

/// Runs a sequence again.
fn again(path: &Path, target: Option<&TargetName>, context: &mut Context, pulse: &Pulse) -> Result<Exit, CliError> {
    let replayed = replay_file(path, target)?;
    pulse.ran(replayed.operations);
    context.out.text(rendered(&replayed))?;
    Ok(match (&replayed.panic, &replayed.conviction) {
        (Some(_), _) => Exit::Target,
        (None, Some(_)) => Exit::Findings,
        (None, None) => Exit::Conformant,
    })
}

/// Fails the device calls of a sequence in turn.
fn swept(path: &Path, target: Option<&TargetName>, context: &mut Context) -> Result<Exit, CliError> {
    signals::listen(&context.stop);
    let mut shown = Shown::quiet(&path.display().to_string(), context);
    let result = sweep_file(path, target, &SweepPlan::default(), cores(), &context.stop, &shown);
    shown.clear();
    let swept = result?;
    for failure in &swept.failures {
        context.out.text(rendered(failure))?;
        context.out.line("")?;
    }
    context.out.text(report::sweep_table(&swept.record))?;
    let panics = swept.failures.iter().any(|f| f.panic.is_some());
    Ok(match (swept.failures.is_empty(), panics) {
        (true, _) if swept.record.cut_short > 0 => Exit::Inconclusive,
        (true, _) => Exit::Conformant,
        (false, false) => Exit::Findings,
        (false, true) => Exit::Target,
    })
}

/// Compares a recording or a snapshot with the reference; answers also how often the tolerance was used.
fn exact(
    path: &Path,
    snapshot: Option<&Path>,
    context: &mut Context,
    how: Reading<'_>,
) -> Result<(Exit, u64), CliError> {
    let (report, pickled) = match snapshot {
        Some(_) => replay::copied(path, how).map(|(report, pickled)| (report, Some(pickled)))?,
        None => (replay::lived(path, false, how)?.0, None),
    };
    let exit = compared(path, &report, context)?;
    if let Some((target, pickled)) = snapshot.zip(pickled) {
        write_whole(target, &pickled)?;
        context.out.line(format_args!("{}: written", target.display()))?;
    }
    Ok((exit, report.hash_order))
}

/// What a comparison came to, in lines.
fn compared(path: &Path, report: &ReplayReport, context: &mut Context) -> Result<Exit, CliError> {
    let ReplayReport { operations, divergences, .. } = *report;
    let notes = [
        (report.hash_order, "times hash order"),
        (report.unknown_keys, "unknown keys"),
        (report.silent_flushes, "flushes that left no event"),
    ];
    let notes: Vec<String> = notes.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    let invariants = report.invariants_only.iter();
    let invariants = invariants.map(|backend| format!("invariants only: backend {backend} has no exact reference"));
    let notes: Vec<String> = notes.into_iter().chain(invariants).collect();
    let notes = if notes.is_empty() { String::new() } else { format!(" ({})", notes.join(", ")) };
    context.out.line(format_args!("{}: {operations} operations, {divergences} divergences{notes}", path.display()))?;
    if let Some(first) = &report.first {
        context.out.line(first)?;
    }
    for note in &report.notes {
        context.out.line(format_args!("  note: {note}"))?;
    }
    Ok(if divergences == 0 { Exit::Conformant } else { Exit::Findings })
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
        text.push_str(&format!("{panic}\n"));
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

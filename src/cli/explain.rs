//! `poolproof explain`: why a job ran out of memory, or needed as much as it did.

use std::path::{Path, PathBuf};

use crate::engine::replay::{Kind, kind_of};
use crate::engine::{EngineError, Stop, write_whole};
use crate::replay::Progress;
use crate::replay::explain::{self, Options};

use super::flags::check_writable;
use super::flags::{BOUNDS, Part};
use super::output::note;
use super::pulse::Pulse;
use super::{CliError, Context, Exit, signals};

/// Explain why a job ran out of memory, or needed so much
#[derive(Debug, clap::Args)]
#[command(
    after_help = format!("The file is a memory snapshot (the pickle of torch.cuda.memory._snapshot()) or a recording of workers/record.py.
Record the whole history, from before the first allocation:

  torch.cuda.memory._record_memory_history(max_entries=10_000_000)
  ... the job ...
  torch.cuda.memory._dump_snapshot('job.pickle')     in an `except torch.OutOfMemoryError:` too

The run is lived again address by address. At the peak and at each refusal every byte that was reserved is counted once:
in live blocks, rounding, waiting for streams, or cached and why that was of no use; and which live blocks pin it.
Then other settings are tried on a simulated card of the same size, if the recorded settings come there to what was
recorded; the page says so where they do not. A history that starts late is lived again from what
stood then; what it cannot tell is noted.

{BOUNDS}

Exits 0 when there is a page, 2 when the file cannot be explained, 4 when interrupted before all was tried.

Examples:
  poolproof explain job.pickle                       why, in one page
  poolproof explain job.pickle --search              every pair of settings too, and what nothing beats
  poolproof explain job.pickle --later 5             what a step allocates and is alive five steps later
  poolproof explain job.pickle --from +90s --to +2min   only what happened then
  poolproof explain job.pickle --out why/            explain.md, explain.zh.md and explain.json")
)]
pub(super) struct Args {
    /// A memory snapshot or a recording of PyTorch; may be .gz
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The device, by position [default: the first that was refused memory, else the one that reserved most]
    #[arg(long, value_name = "N")]
    device: Option<usize>,
    /// Try settings in pairs too, and list those that nothing beats
    #[arg(long)]
    search: bool,
    /// Look for what a step allocated so many steps later
    #[arg(long, value_name = "N", default_value_t = 2)]
    later: u64,
    #[command(flatten)]
    part: Part,
    /// Also write explain.md, explain.zh.md and explain.json to this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

/// How far it is, on stderr.
struct Shown {
    pulse: Pulse,
    stop: Stop,
}

impl Progress for Shown {
    fn begin(&self, total: u64, what: &'static str) {
        self.pulse.begin(total, what);
    }

    fn done(&self) {
        self.pulse.done();
    }

    fn ran(&self, operations: u64) {
        self.pulse.ran(operations);
    }

    fn is_stopped(&self) -> bool {
        self.stop.is_asked()
    }
}

pub(super) fn run(args: &Args, context: &mut Context) -> Result<Exit, CliError> {
    if kind_of(&args.file)? == Kind::Sequence {
        return Err(EngineError::NotARecording { path: args.file.clone() }.into());
    }
    if let Some(folder) = &args.out {
        check_writable(folder, "--out")?;
    }
    signals::listen(&context.stop);
    let mut shown = Shown { pulse: Pulse::start("explain", "refusals", context), stop: context.stop.clone() };
    let options = Options { device: args.device, search: args.search, later: args.later, range: args.part.range() };
    let result = explain::explain(&args.file, options, &shown);
    shown.pulse.clear();
    let explained = result?;
    let json = explain::json(&explained)?;
    context.out.text(if args.json { json.clone() } else { explain::text(&explained) })?;
    for (name, contents) in [
        ("explain.md", explain::markdown(&explained, false)),
        ("explain.zh.md", explain::markdown(&explained, true)),
        ("explain.json", json),
    ] {
        if let Some(folder) = &args.out {
            written(&folder.join(name), &contents)?;
        }
    }
    Ok(if explained.is_interrupted() { Exit::Inconclusive } else { Exit::Conformant })
}

fn written(path: &Path, contents: &str) -> Result<(), CliError> {
    write_whole(path, contents.as_bytes())?;
    note(format_args!("{}: written", path.display()));
    Ok(())
}

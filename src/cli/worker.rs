//! `poolproof worker`: serves a built-in target over stdin and stdout, for a harness in another process.

use std::io;

use crate::target::TargetName;
use crate::target::worker::{self, Misbehaviour};

use super::{CliError, Context, Exit};

/// Serve a target over stdin and stdout, one JSON object a line
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Speaks poolproof-worker/1; `poolproof schema worker` has its lines. Ends when stdin does.

Example:
  poolproof run --target worker:reference@sim       starts such processes by itself")]
pub(super) struct Args {
    /// Which target: allocator@where[?option=value]
    name: TargetName,
    /// Go wrong on purpose, for tests: hang-at:N, exit-at:N, ...
    #[arg(long, hide = true)]
    misbehave: Option<Misbehaviour>,
}

pub(super) fn run(args: &Args, _: &mut Context) -> Result<Exit, CliError> {
    worker::follow_parent();
    // The usual text names the thread by a number that differs from run to run.
    std::panic::set_hook(Box::new(|info| {
        let said = info.payload_as_str().unwrap_or("a panic without a text");
        let place = info.location().map_or_else(String::new, |l| format!(" ({}:{})", l.file(), l.line()));
        eprintln!("panicked: {said}{place}");
    }));
    worker::serve(&args.name, io::stdin().lock(), io::stdout().lock(), args.misbehave)?;
    Ok(Exit::Conformant)
}

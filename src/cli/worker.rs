//! `poolproof worker`: serves a built-in target over two inherited descriptors, for a harness in another process.

use std::fs::{File, OpenOptions};
use std::io::BufReader;

use crate::target::TargetName;
use crate::target::worker::{self, Misbehaviour};

use super::{CliError, Context, Exit};

/// Serve a built-in target over descriptors 3 and 4, one JSON object a line
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Speaks poolproof-worker/2; `poolproof schema worker` has its lines, docs/worker-protocol.md says what they mean. Reads questions from
descriptor 3 and writes answers to descriptor 4; ends when there are no more questions.

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
    tell_panics();
    let (questions, answers) = descriptors()?;
    worker::serve(&args.name, BufReader::new(questions), answers, args.misbehave)?;
    Ok(Exit::Conformant)
}

/// The usual text names the thread by a number that differs from run to run.
pub(super) fn tell_panics() {
    std::panic::set_hook(Box::new(|info| {
        let said = info.payload_as_str().unwrap_or("a panic without a text");
        let place = info.location().map_or_else(String::new, |l| format!(" ({}:{})", l.file(), l.line()));
        eprintln!("panicked: {said}{place}");
    }));
}

/// The two pipes that the harness has left open for this process.
pub(super) fn descriptors() -> Result<(File, File), CliError> {
    let failed = |path: &'static str| move |source| CliError::NoPipe { path, source };
    let [questions, answers] = worker::PIPES;
    let asked = File::open(questions).map_err(failed(questions))?;
    let answered = OpenOptions::new().write(true).open(answers).map_err(failed(answers))?;
    Ok((asked, answered))
}

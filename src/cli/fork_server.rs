//! `poolproof fork-server`: has copies of itself judge sequences beside the allocator, for a harness in another process.

use std::io::BufReader;

use crate::target::{TargetName, worker};

use super::{CliError, Context, Exit};

/// Judge sequences of a target, each in a copy of this process; questions and answers go over descriptors 3 and 4
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Which target: allocator@where[?option=value]
    name: TargetName,
}

pub(super) fn run(args: &Args, _: &mut Context) -> Result<Exit, CliError> {
    worker::follow_parent();
    super::worker::tell_panics();
    let (questions, answers) = super::worker::descriptors()?;
    #[cfg(target_os = "linux")]
    crate::engine::forked::serve(&args.name, BufReader::with_capacity(64 << 10, questions), answers)
        .map_err(|source| worker::ServeError::Read { source })?;
    #[cfg(not(target_os = "linux"))]
    drop((args, BufReader::new(questions), answers));
    Ok(Exit::Conformant)
}

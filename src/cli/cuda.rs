//! `poolproof cuda-selftest`, hidden: every primitive of the GPU room tried once on this machine's GPU.

use crate::cuda;

use super::{CliError, Context, Exit};

/// Try every primitive that GPU targets stand on, once (the last one breaks this process's context on purpose)
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The GPU's number
    #[arg(long, default_value_t = 0)]
    gpu: u32,
}

pub(super) fn run(args: &Args, context: &mut Context) -> Result<Exit, CliError> {
    let (mut written, mut failed) = (Ok(()), 0_u32);
    cuda::selftest(args.gpu, &mut |check| {
        let (mark, text) = match &check.result {
            Ok(text) => ("ok", text),
            Err(text) => {
                failed += 1;
                ("FAILED", text)
            }
        };
        if written.is_ok() {
            written = context.out.line(format_args!("{mark:<7} {:<34} {:>7.2} s  {text}", check.name, check.seconds));
        }
    });
    written?;
    Ok(if failed == 0 { Exit::Conformant } else { Exit::Target })
}

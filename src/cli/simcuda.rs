//! `poolproof simcuda`: runs a program that finds simulated CUDA devices, or says how to run one.
//!
//! Decides the variables that it is started with. What they mean is read by `crates/simcuda`.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::op::size;
use crate::setup;
use crate::setup::torch::simulated::simulated;

use super::{CliError, Context, Exit};

/// Run a program, such as Python with PyTorch, that finds simulated CUDA devices
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Memory, streams, events, statistics and copies go, and hold what was copied; kernels are refused (cudaErrorNotSupported) and named on
stderr. docs/simcuda.md has the list. Without a command, prints lines for a shell that do the same for all that it starts.

What a program is started with is a library, preloaded, in a folder of the cache; libraries with the names of CUDA's are built
beside it once, with the C++ compiler (CXX, c++).

Examples:
  poolproof simcuda -- python -c 'import torch; print(torch.empty(3, device=\"cuda\").cpu())'
  poolproof simcuda --devices 2 --bytes 4GiB -- python train.py
  poolproof simcuda --bytes 512MiB,1GiB -- python -m pytest tests
  eval \"$(poolproof simcuda --devices 8)\"")]
pub(super) struct Args {
    /// How many devices, 1 to 16 [default: as many as sizes, or one]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=16))]
    devices: Option<u8>,
    /// The size of each, such as 4GiB; or a size for each [default: 1GiB]
    #[arg(long, value_name = "SIZE", value_delimiter = ',', value_parser = size::parse)]
    bytes: Vec<u64>,
    /// Where refused functions are named: `stderr`, `off`, or a file [default: stderr]
    #[arg(long, value_name = "WHERE")]
    log: Option<String>,
    /// The library, where it is not beside this program
    #[arg(long, value_name = "FILE")]
    library: Option<PathBuf>,
    /// The program and its arguments
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

pub(super) fn run(args: &Args, context: &mut Context) -> Result<Exit, CliError> {
    let library = simulated(args.library.as_deref(), &setup::cache()?)?;
    let before = std::env::var("LD_PRELOAD").ok().filter(|before| !before.is_empty());
    let variables = variables(args, &library.display().to_string(), before.as_deref());
    if args.command.is_empty() {
        for (name, value) in variables {
            let value = shlex::try_quote(&value).map_or_else(|_| value.clone(), Into::into);
            context.out.line(format_args!("export {name}={value}"))?;
        }
        return Ok(Exit::Conformant);
    }
    Err(setup::instead(&args.command, variables).into())
}

/// What is set; what was not said stays as the environment has it.
fn variables(args: &Args, library: &str, before: Option<&str>) -> Vec<(String, String)> {
    // What was preloaded before still is, behind it.
    let preload = match before {
        Some(before) if before.split([':', ' ']).any(|one| one == library) => before.to_owned(),
        Some(before) => format!("{library}:{before}"),
        None => library.to_owned(),
    };
    let sizes: Vec<String> = args.bytes.iter().map(u64::to_string).collect();
    let said = [
        ("POOLPROOF_SIM_DEVICES", args.devices.map(|devices| devices.to_string())),
        ("POOLPROOF_SIM_BYTES", (!sizes.is_empty()).then(|| sizes.join(","))),
        ("POOLPROOF_SIM_LOG", args.log.clone()),
        ("LD_PRELOAD", Some(preload)),
    ];
    said.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_said_is_set_and_what_was_preloaded_stays() {
        let args = Args { devices: Some(2), bytes: vec![1 << 20, 5], log: None, library: None, command: Vec::new() };
        let set = |before| {
            let all = variables(&args, "/x/sim.so", before);
            all.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(set(None), "POOLPROOF_SIM_DEVICES=2 POOLPROOF_SIM_BYTES=1048576,5 LD_PRELOAD=/x/sim.so");
        assert!(set(Some("/y.so")).ends_with("LD_PRELOAD=/x/sim.so:/y.so"));
        assert!(set(Some("/y.so:/x/sim.so")).ends_with("LD_PRELOAD=/y.so:/x/sim.so"));
    }
}

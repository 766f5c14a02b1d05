//! `poolproof setup`: fetches an allocator of PyPI into a folder of its own, and names the target that tests it.

use clap::ValueEnum;

use crate::setup;
use crate::target::packaged::Package;

use super::{CliError, Context, Exit};

/// Fetch somebody else's allocator from PyPI, to be tested here without a GPU
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A release goes to poolproof/NAME-VERSION below XDG_CACHE_HOME, or ~/.cache, with its adapter, and is found there later: a network
is needed once. Nothing else is changed; delete the folder and it is gone.

Examples:
  poolproof setup rmm
  poolproof setup rmm --version 26.6.0
  poolproof setup onnx --python python3.12")]
pub(super) struct Args {
    /// Which
    #[arg(value_enum)]
    what: What,
    /// The release; the newest that is known here if left out
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
    /// The interpreter that fetches it, and runs it if it is Python
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    python: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// RMM's memory resources (rmm-cu13), over made-up addresses
    Rmm,
    /// ONNX Runtime's BFC arena (onnxruntime), on the host; needs a C compiler
    Onnx,
}

pub(super) fn run(args: &Args, context: &mut Context) -> Result<Exit, CliError> {
    let package = match args.what {
        What::Rmm => Package::Rmm,
        What::Onnx => Package::Onnx,
    };
    let release = setup::release(package, args.version.as_deref())?;
    let cache = setup::cache()?;
    let mut told = Ok(());
    let environment = setup::make(package, release, &args.python, &cache, &mut |line| {
        // Shown while it runs; that stdout is closed is said when all is done.
        told = context.out.line(line);
    })?;
    told?;
    let (name, version, folder) = (package.name(), environment.version, environment.folder.display());
    context.out.line(format_args!("{name} {version} is in {folder}"))?;
    let asked: &[(&str, &str)] = match package {
        Package::Rmm => &[("mr", "guard+statistics+pool")],
        Package::Onnx => &[("extend", "same")],
    };
    context.out.line(format_args!("poolproof run --target '{}'", package.target(release, asked)))?;
    Ok(Exit::Conformant)
}

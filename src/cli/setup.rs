//! `poolproof setup`: fetches an allocator of PyPI into a folder of its own, and names the target that tests it.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::op::size::human;
use crate::setup::torch::{self, News, Source, TorchError};
use crate::setup::{self, SetupError};
use crate::target::packaged::Package;
use crate::target::released::{RELEASES, Released};

use super::{CliError, Context, Exit, signals};

/// Fetch somebody else's allocator, to be tested here without a GPU
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A release goes to poolproof/NAME-VERSION below XDG_CACHE_HOME, or ~/.cache, with its adapter, and is found there later: a network
is needed once. Nothing else is changed; delete the folder and it is gone.

Of PyTorch the two libraries of its allocator and their headers are fetched, under 3 MB out of a wheel of 500 to 900, by
range requests to the index that pip uses (with its mirror, proxy and certificates), and what drives them is built with the C++
compiler (CXX, c++). Releases: 2.4 to 2.15; `--version 2.11` is the last patch of it.

Examples:
  poolproof setup rmm
  poolproof setup rmm --version 26.6.0
  poolproof setup onnx --python python3.12
  poolproof setup torch
  poolproof setup torch --version 2.11 --version 2.13
  poolproof setup torch --wheel torch-2.9.1-cp312-cp312-manylinux_2_28_x86_64.whl")]
pub(super) struct Args {
    /// Which
    #[arg(value_enum)]
    what: What,
    /// The release; the newest that is known here if left out. Of torch also several
    #[arg(long, value_name = "VERSION")]
    version: Vec<String>,
    /// Every release of torch that is known here
    #[arg(long, conflicts_with_all = ["version", "wheel"])]
    all: bool,
    /// The interpreter that fetches it, and runs it if it is Python (python3); of torch the one that has it installed
    #[arg(long, value_name = "PROGRAM", conflicts_with_all = ["all", "wheel"])]
    python: Option<String>,
    /// Take torch out of this wheel
    #[arg(long, value_name = "FILE")]
    wheel: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// RMM's memory resources (rmm-cu13), over made-up addresses
    Rmm,
    /// ONNX Runtime's BFC arena (onnxruntime), on the host; needs a C compiler
    Onnx,
    /// PyTorch's caching allocator as it was released; needs a C++ compiler
    Torch,
}

pub(super) fn run(args: &Args, context: &mut Context) -> Result<Exit, CliError> {
    let package = match args.what {
        What::Rmm => Package::Rmm,
        What::Onnx => Package::Onnx,
        What::Torch => return released(args, context),
    };
    let flag = [("--all", args.all), ("--wheel", args.wheel.is_some()), ("a second --version", args.version.len() > 1)];
    if let Some((flag, _)) = flag.into_iter().find(|(_, is_given)| *is_given) {
        return Err(SetupError::OnlyTorch { flag, package: package.name() }.into());
    }
    let python = args.python.as_deref().unwrap_or("python3");
    let release = setup::release(package, args.version.first().map(String::as_str))?;
    let cache = setup::cache()?;
    let mut told = Ok(());
    let environment = setup::make(package, release, python, &cache, &mut |line| {
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

/// One release after the other; the first that fails ends it.
fn released(args: &Args, context: &mut Context) -> Result<Exit, CliError> {
    let source = match (&args.wheel, &args.python) {
        (Some(wheel), _) => Source::Wheel(wheel.clone()),
        (None, Some(python)) => Source::Installed { python: python.clone() },
        (None, None) => Source::Index { python: "python3".to_owned() },
    };
    let versions: Vec<Option<&str>> = match (&source, args.all, args.version.as_slice()) {
        (_, true, _) => RELEASES.into_iter().map(Some).collect(),
        (_, false, []) => vec![None],
        (_, false, versions) => versions.iter().map(|version| Some(version.as_str())).collect(),
    };
    if let Source::Index { .. } = source {
        // What is misspelt is said before anything is fetched.
        versions.iter().try_for_each(|version| torch::release(*version).map(drop))?;
    }
    let cache = setup::cache()?;
    // What is under way when a signal comes is given up, so that no draft stays behind.
    signals::listen(&context.stop);
    for version in versions {
        if context.stop.is_asked() {
            return Err(TorchError::Stopped.into());
        }
        let bar = std::io::stderr().is_terminal().then(bar);
        let mut told = Ok(());
        let stop = context.stop.clone();
        let made = torch::make(&source, version, &cache, &mut |news| {
            match (news, &bar) {
                (News::Line(line), Some(bar)) => bar.suspend(|| told = context.out.line(line)),
                (News::Line(line), None) => told = context.out.line(line),
                (News::Bytes { done, total }, Some(bar)) => {
                    bar.set_length(total);
                    bar.set_position(done);
                }
                (News::Bytes { .. }, None) => {}
            }
            !stop.is_asked()
        });
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
        let made = made?;
        told?;
        tell(&made, context)?;
    }
    Ok(Exit::Conformant)
}

fn tell(made: &Released, context: &mut Context) -> Result<(), CliError> {
    let record = &made.record;
    for source in &record.sources {
        context.out.line(format_args!("  {} ({}): {}", source.file, human(source.bytes), source.checked))?;
    }
    let (version, folder, compiler) = (&record.version, made.folder.display(), &record.compiler);
    context.out.line(format_args!("torch {version} is in {folder}, with what drives it, built by {compiler}"))
}

/// Bytes that have come, of how many.
fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{bar:30} {bytes} of {total_bytes}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

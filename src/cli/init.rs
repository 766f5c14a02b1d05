//! `poolproof init`: writes the beginning of something that a user goes on with.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::{CliError, Context, Exit};

/// Write a small adapter for an allocator of your own, which runs as it is
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The adapter has a small allocator in it, to be replaced by calls of yours. docs/worker-protocol.md says what may be added.

Examples:
  poolproof init worker --lang python
  poolproof init worker --lang c --out my-adapter")]
pub(super) struct Args {
    /// What to write
    #[arg(value_enum)]
    what: What,
    /// In which language
    #[arg(long, value_enum, default_value_t = Language::Python)]
    lang: Language,
    /// Into which folder; it is made if it is not there, and no file in it is written over
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// An adapter that speaks poolproof-worker/2
    Worker,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Language {
    Python,
    /// Reads JSON by looking for its keys
    C,
    /// Is asked in frames of MessagePack, which it reads by a header beside it
    CBinary,
    Rust,
}

impl Language {
    /// The files, and the commands that build and try them.
    fn files(self) -> (&'static [(&'static str, &'static str)], &'static [&'static str]) {
        match self {
            Language::Python => (
                &[("adapter.py", include_str!("../../workers/templates/adapter.py"))],
                &["poolproof check-worker 'python3 adapter.py'"],
            ),
            Language::C => (
                &[("adapter.c", include_str!("../../workers/templates/adapter.c"))],
                &["cc -O1 -Wall adapter.c -o adapter", "poolproof check-worker ./adapter"],
            ),
            Language::CBinary => (
                &[
                    ("adapter.c", include_str!("../../workers/templates/adapter_binary.c")),
                    ("frames.h", include_str!("../../workers/templates/frames.h")),
                ],
                &["cc -O2 -Wall adapter.c -o adapter", "poolproof check-worker ./adapter"],
            ),
            Language::Rust => (
                &[
                    ("Cargo.toml", include_str!("../../workers/templates/rust/Cargo.toml.txt")),
                    ("src/main.rs", include_str!("../../workers/templates/rust/main.rs")),
                ],
                &["cargo build --release", "poolproof check-worker target/release/adapter"],
            ),
        }
    }
}

pub(super) fn run(args: &Args, context: &mut Context) -> Result<Exit, CliError> {
    let What::Worker = args.what;
    let (files, commands) = args.lang.files();
    let paths: Vec<PathBuf> = files.iter().map(|(name, _)| args.out.join(name)).collect();
    if let Some(path) = paths.iter().find(|path| path.exists()) {
        return Err(CliError::Exists { path: path.clone() });
    }
    for ((_, text), path) in files.iter().zip(&paths) {
        write_new(path, text).map_err(|source| CliError::Unwritable { path: path.clone(), source, flag: "--out" })?;
        context.out.line(path.display())?;
    }
    if args.out != Path::new(".") {
        context.out.line(format_args!("cd {}", args.out.display()))?;
    }
    commands.iter().try_for_each(|command| context.out.line(command))?;
    Ok(Exit::Conformant)
}

fn write_new(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    OpenOptions::new().write(true).create_new(true).open(path)?.write_all(text.as_bytes())
}

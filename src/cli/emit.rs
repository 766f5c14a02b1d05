//! `poolproof replay FINDING --emit LANGUAGE`: the finding as a program of its own.

use std::path::Path;

use crate::engine::replay::sequence;
use crate::engine::{EngineError, replay_file, write_whole};
use crate::report::{self, Origin, Source, Tongue};
use crate::target::TargetName;
use crate::target::reference::is_in_front;
use crate::verdict::{Reproducer, TranscriptLine, Violation};

use super::{CliError, Context, Exit};

/// The language of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Language {
    /// For torch on a GPU, by its public interface
    Python,
    /// For c10's library alone, over the stand-in for CUDA in reports/trophies/c10/
    Cpp,
    /// For a library of PyTorch's pluggable form, on the host
    C,
    /// For the reference on simulated devices
    Rust,
}

impl From<Language> for Tongue {
    fn from(language: Language) -> Tongue {
        match language {
            Language::Python => Tongue::Python,
            Language::Cpp => Tongue::Cpp,
            Language::C => Tongue::C,
            Language::Rust => Tongue::Rust,
        }
    }
}

pub(super) fn program(
    path: &Path,
    language: Language,
    target: Option<&TargetName>,
    out: Option<&Path>,
    context: &mut Context,
) -> Result<Exit, CliError> {
    let reproducer = sequence(path)?;
    let name = match target {
        Some(target) => target.clone(),
        None => reproducer
            .target
            .parse()
            .map_err(|_| EngineError::TargetName { path: path.to_owned(), name: reproducer.target.clone() })?,
    };
    let unsaid = |source| CliError::Unsaid { path: path.to_owned(), source };
    // What the harness puts before the reference is no part of its crate.
    let front = name.option("defect").flatten().is_some_and(is_in_front);
    if language == Language::Rust && front {
        let why = "its defect is planted in what the harness puts before the crates";
        return Err(unsaid(report::Unsaid::Target { target: name.to_string(), language: Tongue::Rust, why }));
    }
    let beside = target.is_none().then(|| beside(path, &reproducer)).flatten();
    let (violation, transcript) = match beside {
        Some(told) => told,
        None => again(path, target, &name)?,
    };
    let origin = Origin { allocator: name.allocator, place: name.place, options: name.options };
    let source = Source { reproducer: &reproducer, violation: &violation, transcript: &transcript, origin: &origin };
    let text = report::program(source, language.into()).map_err(unsaid)?;
    match out {
        Some(out) => {
            write_whole(out, text.as_bytes())?;
            context.out.line(format_args!("{}: written", out.display()))?;
        }
        None => context.out.text(text)?,
    }
    Ok(Exit::Conformant)
}

type Told = (Violation, Vec<TranscriptLine>);

/// What the run's own record says of the sequence, where the finding lies in the folder of its run: then no target is needed.
fn beside(path: &Path, reproducer: &Reproducer) -> Option<Told> {
    let folder = path.parent()?.parent()?;
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let record = report::read_folder(folder).ok()?;
    let finding = record.findings.into_iter().find(|finding| finding.reproducer == *reproducer)?;
    Some((finding.violation, finding.transcript))
}

/// What it comes to when it runs now.
fn again(path: &Path, target: Option<&TargetName>, name: &TargetName) -> Result<Told, CliError> {
    let replayed = replay_file(path, target)?;
    let violation = replayed.conviction.and_then(|conviction| conviction.violations.into_iter().next());
    match violation {
        Some(violation) => Ok((violation, replayed.transcript)),
        None => Err(CliError::NoViolation { path: path.to_owned(), target: name.to_string() }),
    }
}

//! Runs one kept sequence again.
//!
//! Decides what kind of file it was given, by its first bytes and never by its name. Recordings of real
//! allocators are told apart here and lived again by `replay`.

use std::io::Read;
use std::path::Path;

use crate::input::{self, Looks};
use crate::recording;
use crate::target::{TargetError, TargetName};
use crate::verdict::{Reproducer, TranscriptLine};

use super::EngineError;
use super::attempt::{Attempt, attempt};
use super::failure::relations_of;
use super::lockstep::{Conviction, JudgedSequence};
use super::naming;
use super::opener::Named;
use super::regressions;

/// What a replay came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Replayed {
    /// What was in the file.
    pub reproducer: Reproducer,
    /// The target it ran on, which may be another than the reproducer's.
    pub target: String,
    /// Operations asked.
    pub operations: u64,
    /// The promise that was broken, if one was.
    pub conviction: Option<Conviction>,
    /// What a panic said, or how the target was lost, if it ended in either.
    pub panic: Option<String>,
    /// What was asked and answered.
    pub transcript: Vec<TranscriptLine>,
}

/// What a file to be replayed holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A sequence of ours, as JSON.
    Sequence,
    /// A recording of a real allocator, in JSON lines that begin with `{"trace":`.
    Recording,
    /// A memory snapshot of PyTorch, as a pickle.
    Snapshot,
}

/// Tells what a file is, gzip undone.
///
/// # Errors
/// `Read` if it cannot be read or unpacked; `Foreign` if it is something else, by name.
pub fn kind_of(path: &Path) -> Result<Kind, EngineError> {
    let fail = |source| EngineError::Read { path: path.to_owned(), source };
    let bytes = recording::first_bytes(path).map_err(fail)?;
    match input::looks(&bytes) {
        Some(Looks::Pickle(_) | Looks::OldPickle | Looks::Zip) => return Ok(Kind::Snapshot),
        Some(looks) => return Err(EngineError::Foreign { path: path.to_owned(), looks }),
        None => {}
    }
    let bytes = input::without_mark(&bytes);
    let start: Vec<u8> = bytes.iter().copied().filter(|b| !b.is_ascii_whitespace()).take(9).collect();
    Ok(if start.starts_with(b"{\"trace\":") { Kind::Recording } else { Kind::Sequence })
}

/// Runs a kept sequence on its own target, or on another one.
///
/// # Errors
/// A file that is not such a sequence, a target that cannot be built.
pub fn replay_file(path: &Path, on: Option<&TargetName>) -> Result<Replayed, EngineError> {
    replay(path, sequence(path)?, on)
}

/// The kept sequence in a file that may be anything.
///
/// # Errors
/// As `kept`, and what else the file is, by name.
pub fn sequence(path: &Path) -> Result<Reproducer, EngineError> {
    if kind_of(path)? != Kind::Sequence {
        return Err(EngineError::Recording { path: path.to_owned() });
    }
    kept(path)
}

/// The kept sequence in a file, gzip undone.
///
/// # Errors
/// The file cannot be read, or holds something else.
pub(super) fn kept(path: &Path) -> Result<Reproducer, EngineError> {
    let mut text = Vec::new();
    // A few bytes of gzip can stand for more than any memory holds.
    let read = recording::open(path).and_then(|file| file.take(input::MOST_BYTES).read_to_end(&mut text));
    read.map_err(|source| EngineError::Read { path: path.to_owned(), source })?;
    regressions::parse(path, &text)
}

fn replay(path: &Path, reproducer: Reproducer, on: Option<&TargetName>) -> Result<Replayed, EngineError> {
    let named = || {
        reproducer
            .target
            .parse()
            .map_err(|_| EngineError::TargetName { path: path.to_owned(), name: reproducer.target.clone() })
    };
    let name: TargetName = on.map_or_else(named, |name| Ok(name.clone()))?;
    Ok(replay_on(reproducer, &name)?)
}

/// Runs a kept sequence on that target.
///
/// # Errors
/// A target that cannot be built.
pub fn replay_on(reproducer: Reproducer, name: &TargetName) -> Result<Replayed, TargetError> {
    let oracles = reproducer.oracles.iter().copied().collect();
    let relations = relations_of(&reproducer.oracles);
    let (steps, epilogue) = (&reproducer.steps, reproducer.epilogue);
    let course =
        JudgedSequence { transcript: true, relations: &relations, ..JudgedSequence::new(steps, &oracles, epilogue) };
    let open = Named(name);
    let target = name.to_string();
    Ok(match attempt(&open, &reproducer.setup, &course)? {
        Attempt::Ran(mut run) => {
            let (names, foreign) = (&reproducer.names, naming::foreign(&run.transcript));
            let mut conviction = run.conviction.or(run.departure);
            conviction.iter_mut().flat_map(|c| &mut c.violations).for_each(|v| naming::violation(names, &foreign, v));
            naming::listing(names, &mut run.transcript);
            Replayed {
                operations: run.operations,
                conviction,
                panic: run.lost.filter(|loss| loss.violation().is_none()).map(|loss| loss.text().en),
                transcript: run.transcript,
                target,
                reproducer,
            }
        }
        Attempt::Panicked(panicked) => Replayed {
            operations: 0,
            conviction: None,
            panic: Some(format!("panicked: {}", panicked.text)),
            transcript: Vec::new(),
            target,
            reproducer,
        },
    })
}

//! Runs one kept sequence again.
//!
//! Decides what kind of file it was given, by its first bytes and never by its name. Recordings of other
//! allocators are told apart here and replayed by whoever knows them.

use std::io::Read;
use std::path::Path;

use crate::op::Setup;
use crate::target::{self, TargetName};
use crate::verdict::{Reproducer, TranscriptLine};

use super::EngineError;
use super::attempt::{Attempt, attempt};
use super::lockstep::{Conviction, Course};
use super::regressions;

/// What a replay came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Replayed {
    pub reproducer: Reproducer,
    /// The target it ran on, which may be another than the reproducer's.
    pub target: String,
    pub operations: u64,
    pub conviction: Option<Conviction>,
    /// What a panic said, if it ended in one.
    pub panic: Option<String>,
    pub transcript: Vec<TranscriptLine>,
}

/// What a file to be replayed holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A sequence of ours, as JSON text.
    Sequence(Vec<u8>),
    /// A recording of another allocator in JSON lines (`{"trace":"poolproof/1",...`), unpacked.
    Recording(Vec<u8>),
}

/// Reads a file, unpacks it if it is gzip, and tells what it is.
///
/// # Errors
/// `Read` if it cannot be read or unpacked.
pub fn open_file(path: &Path) -> Result<Content, EngineError> {
    let fail = |source| EngineError::Read { path: path.to_owned(), source };
    let packed = std::fs::read(path).map_err(fail)?;
    let bytes = if packed.starts_with(&[0x1f, 0x8b]) {
        let mut plain = Vec::new();
        flate2::read::MultiGzDecoder::new(&packed[..]).read_to_end(&mut plain).map_err(fail)?;
        plain
    } else {
        packed
    };
    let start: Vec<u8> = bytes.iter().copied().filter(|b| !b.is_ascii_whitespace()).take(9).collect();
    Ok(if start.starts_with(b"{\"trace\":") { Content::Recording(bytes) } else { Content::Sequence(bytes) })
}

/// Runs a kept sequence on its own target, or on another one.
///
/// # Errors
/// A file that is not such a sequence, a target that cannot be built.
pub fn replay_file(path: &Path, on: Option<&TargetName>) -> Result<Replayed, EngineError> {
    match open_file(path)? {
        Content::Sequence(text) => replay(path, &text, on),
        Content::Recording(_) => Err(EngineError::Recording { path: path.to_owned() }),
    }
}

fn replay(path: &Path, text: &[u8], on: Option<&TargetName>) -> Result<Replayed, EngineError> {
    let reproducer = regressions::parse(path, text)?;
    let named = || reproducer.target.parse().map_err(|_| EngineError::TargetName {
        path: path.to_owned(),
        name: reproducer.target.clone(),
    });
    let name: TargetName = on.map_or_else(named, |name| Ok(name.clone()))?;
    let oracles = reproducer.oracles.iter().copied().collect();
    let course = Course { steps: &reproducer.steps, oracles: &oracles, epilogue: reproducer.epilogue, transcript: true };
    let open = |setup: &Setup| target::open(&name, setup);
    let target = name.to_string();
    Ok(match attempt(&open, &reproducer.setup, &course)? {
        Attempt::Ran(run) => Replayed {
            operations: run.operations,
            conviction: run.conviction,
            panic: None,
            transcript: run.transcript,
            target,
            reproducer,
        },
        Attempt::Panicked(panicked) => Replayed {
            operations: 0,
            conviction: None,
            panic: Some(panicked.text),
            transcript: Vec::new(),
            target,
            reproducer,
        },
    })
}

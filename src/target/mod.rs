//! Floor 3, the subject: an allocator that can be asked things.
//!
//! Decides how operations reach an allocator and how its answers come back. Judges nothing.

mod driver_pool;
pub mod name;
pub mod reference;

use crate::device::cuda::{self, CudaError};
use crate::op::{Observation, Op, Reply, Setup, TargetInfo};

pub use name::{TargetName, TargetNameError};

/// An allocator under test. A target is built for one sequence and dropped after it.
///
/// Operations on blocks that are not live are the *engine's* to drop; a target may rely on every
/// block id it is given (in `Free`, `RecordStream`, `Use`, `Fill`, `Verify`) being live.
pub trait Target {
    fn info(&self) -> &TargetInfo;

    /// Asks one thing. A failure of the allocator is a `Reply::Refused`.
    fn apply(&mut self, op: &Op) -> Reply;

    /// Writes what can be seen now into `into`, reusing its memory.
    fn observe(&mut self, into: &mut Observation);

    /// The error that broke the target's process for good, if one did: its answers since mean nothing.
    fn poisoned(&self) -> Option<i32> {
        None
    }
}

/// Why a target could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    #[error("there is no target `{name}`{}", hint.as_ref().map_or_else(String::new, |h| format!(": did you mean `{h}`?")))]
    Unknown { name: String, hint: Option<String> },
    #[error("target `{target}` has no option `{option}`; it has {known}")]
    UnknownOption { target: String, option: String, known: String },
    #[error("target `{target}`: there is no defect `{defect}`{}", hint.as_ref().map_or_else(String::new, |h| format!(": did you mean `{h}`?")))]
    UnknownDefect { target: String, defect: String, hint: Option<String> },
    #[error("target `{target}`: {reason}")]
    BadOption { target: String, reason: String },
    #[error("target `{target}` cannot be used here: {source}")]
    Unavailable { target: String, source: CudaError },
}

/// The targets that exist here: name and what it is.
const KNOWN: &[(&str, &str)] = &[
    ("reference@sim", "the reference allocator on simulated devices"),
    ("reference@cuda", "the reference allocator on NVIDIA GPUs"),
    ("driver-pool@cuda", "the CUDA driver's own stream-ordered allocator (cuMemPool)"),
];

/// Builds a target for one sequence.
///
/// # Errors
/// A name, an option or a value of one that does not exist.
pub fn open(name: &TargetName, setup: &Setup) -> Result<Box<dyn Target>, TargetError> {
    match (name.allocator.as_str(), name.place.as_str()) {
        ("reference", "sim") => reference::open(name, setup),
        ("reference", "cuda") => reference::open_cuda(name, setup),
        ("driver-pool", "cuda") => driver_pool::open(name, setup),
        _ => {
            let asked = format!("{}@{}", name.allocator, name.place);
            let nearest = KNOWN.iter().min_by_key(|(known, _)| strsim::levenshtein(known, &asked));
            Err(TargetError::Unknown { name: asked, hint: nearest.map(|(known, _)| (*known).to_owned()) })
        }
    }
}

/// The targets that exist here: name and what it is, for `poolproof list targets`.
#[must_use]
pub fn known() -> &'static [(&'static str, &'static str)] {
    KNOWN
}

/// Why a target of that name cannot be used on this machine, whatever its options; `None` where it can.
#[must_use]
pub fn unavailable(name: &TargetName) -> Option<CudaError> {
    if name.place == "cuda" { cuda::probe().err() } else { None }
}

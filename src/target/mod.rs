//! Floor 3, the subject: an allocator that can be asked things.
//!
//! Decides how operations reach an allocator and how its answers come back. Judges nothing.

mod driver_pool;
pub mod lost;
mod meant;
pub mod name;
mod neighbours;
mod on_gpu;
pub mod packaged;
pub mod reference;
mod unfaithful;
pub mod worker;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cuda::{self, CudaError};

use crate::op::size::human;
use crate::op::trace::TraceEvent;
use crate::op::{Observation, Op, Reply, Setup, TargetInfo, Versions};
use crate::reference::{Defect, Settings, Variations};

pub use lost::Lost;
pub use name::{TargetName, TargetNameError};
pub use unfaithful::open_counted;

/// An allocator under test. A target is built for one sequence and dropped after it.
///
/// Operations on blocks that are not live are the *engine's* to drop; a target may rely on every
/// block id it is given (in `Free`, `RecordStream`, `Use`, `Fill`, `Verify`) being live.
pub trait Target {
    /// What it says of itself; the same from the first operation to the last.
    fn info(&self) -> &TargetInfo;

    /// Of what is tested, as far as the target can tell.
    fn versions(&self) -> Versions {
        Versions::default()
    }

    /// Asks one thing. A failure of the allocator is a `Reply::Refused`.
    fn apply(&mut self, op: &Op) -> Reply;

    /// Writes what can be seen now into `into`, reusing its memory.
    fn observe(&mut self, into: &mut Observation);

    /// What was done to each device, in order, since this was last asked; `false` where the target does not tell. The first
    /// call only has it tell from then on.
    fn take_events(&mut self, _into: &mut Vec<Vec<TraceEvent>>) -> bool {
        false
    }

    /// Why nothing more can be asked of this target, once that is so: its process is gone, or its device
    /// refuses everything. Answers from then on mean nothing. The next sequence gets a fresh target.
    fn lost(&self) -> Option<&Lost> {
        None
    }

    /// The sequence is over. A target may be lost in this too.
    fn close(&mut self) {}

    /// The error that broke the target's process for good, if one did: its answers since mean nothing.
    fn poisoned(&self) -> Option<i32> {
        None
    }
}

impl TargetError {
    /// For what a GPU target answers where no GPU can be used.
    fn without_gpu(name: &TargetName) -> impl Fn(CudaError) -> TargetError {
        let target = name.to_string();
        move |error| match error {
            CudaError::TooSmall { total, wanted, .. } => {
                TargetError::TooSmall { target: target.clone(), total_bytes: total, wanted_bytes: wanted }
            }
            other => TargetError::Unavailable { target: target.clone(), reason: other.to_string() },
        }
    }
}

/// Why a target could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[expect(missing_docs, reason = "the message of each says what is wrong")]
pub enum TargetError {
    #[error("there is no target `{name}`{}", hint.as_ref().map_or_else(String::new, |h| format!(": did you mean `{h}`?")))]
    Unknown { name: String, hint: Option<String> },
    #[error("target `{target}` has no option `{option}`; it has {known}")]
    UnknownOption { target: String, option: String, known: String },
    #[error("target `{target}`: there is no defect `{defect}`{}", hint.as_ref().map_or_else(String::new, |h| format!(": did you mean `{h}`?")))]
    UnknownDefect { target: String, defect: String, hint: Option<String> },
    #[error("target `{target}`: there is no variation `{variation}`{}", hint.as_ref().map_or_else(String::new, |h| format!(": did you mean `{h}`?")))]
    UnknownVariation { target: String, variation: String, hint: Option<String> },
    #[error("target `{target}`: there is no observable `{observable}`{}", hint.as_ref().map_or_else(String::new, |h| format!(": did you mean `{h}`?")))]
    UnknownObservable { target: String, observable: String, hint: Option<String> },
    #[error("target `{target}`: {reason}")]
    BadOption { target: String, reason: String },
    /// Only a harness says this: no message between processes does.
    #[serde(skip)]
    #[error("target `{target}`: {}", lost.with_stderr())]
    Lost { target: String, lost: Lost },
    #[error("target `{target}` runs in a process of its own, which needs Linux")]
    NeedsLinux { target: String },
    /// The machine lacks something that the target stands on.
    #[error("target `{target}` cannot be used here: {reason}")]
    Unavailable { target: String, reason: String },
    /// No device here can be as large as the world that is wanted.
    #[error("target `{target}` has {} of memory here, and {} are wanted", human(*.total_bytes), human(*.wanted_bytes))]
    TooSmall { target: String, total_bytes: u64, wanted_bytes: u64 },
}

/// The targets that exist here: name and what it is.
const KNOWN: &[(&str, &str)] = &[
    ("reference@sim", "the reference allocator on simulated devices"),
    ("worker:NAME", "any of the others in a process of its own; ?deadline=30s for each call"),
    (
        "exec:COMMAND@host",
        "any program that speaks poolproof-worker/2 (docs/worker-protocol.md); @sim, @cuda say where it allocates",
    ),
    ("reference@cuda", "the reference allocator on NVIDIA GPUs"),
    ("driver-pool@cuda", "the CUDA driver's own stream-ordered allocator (cuMemPool)"),
];

/// Builds a target for one sequence, in a process of its own where its name says so or its kind needs it.
///
/// # Errors
/// A name, an option or a value of one that does not exist; a process that cannot be started or does not answer.
pub fn open(name: &TargetName, setup: &Setup) -> Result<Box<dyn Target>, TargetError> {
    if name.is_apart() { worker::open(name, setup) } else { open_here(name, setup) }
}

/// Ends what this thread keeps for other targets than the one that is to be next: processes that hold a part of a GPU.
pub fn make_room(name: &TargetName) {
    worker::end_others(name);
}

/// Builds a target in this process, wherever it would rather run.
///
/// # Errors
/// A name, an option or a value of one that does not exist.
pub fn open_here(name: &TargetName, setup: &Setup) -> Result<Box<dyn Target>, TargetError> {
    if let Some((_, Some(text))) = name.options.iter().rfind(|(key, _)| key == unfaithful::OPTION) {
        return unfaithful::open(name, text, setup);
    }
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

/// What the name of a reference says of it.
#[derive(Debug, Clone)]
pub struct ReferenceOptions {
    /// As PyTorch would read them.
    pub settings: Settings,
    /// A mistake planted in it.
    pub defect: Option<Defect>,
    /// Another policy than PyTorch's.
    pub variations: Option<Variations>,
}

/// The settings, the planted defect and the variation that the name of a reference on simulated devices gives;
/// `None` for any other target.
///
/// # Errors
/// An option, a defect, a variation or a setting that does not exist.
pub fn reference_options(name: &TargetName) -> Result<Option<ReferenceOptions>, TargetError> {
    let is_ours = (name.allocator.as_str(), name.place.as_str()) == ("reference", "sim");
    if !is_ours {
        return Ok(None);
    }
    let name = name.inner(&[unfaithful::OPTION]);
    let reference::Options { settings, defect, variations, .. } = reference::Options::read(&name, false)?;
    Ok(Some(ReferenceOptions { settings, defect, variations }))
}

/// The same target under settings that make it call the device in other ways: what a sweep over device calls
/// runs beside the target itself, so that every kind of call is met. Expandable segments, for the reference.
#[must_use]
pub fn siblings(name: &TargetName) -> Vec<TargetName> {
    const SETTING: &str = "expandable_segments";
    let is_setting =
        |(key, value): &(String, Option<String>)| key == "config" || (value.is_none() && key.contains(':'));
    let text = |(key, value): &(String, Option<String>)| value.clone().unwrap_or_else(|| key.clone());
    let given = name.options.iter().rfind(|o| is_setting(o)).map(text);
    let is_ours = (name.allocator.as_str(), name.place.as_str()) == ("reference", "sim");
    if !is_ours || given.as_ref().is_some_and(|g| g.contains(SETTING)) {
        return Vec::new();
    }
    let settings = given.map_or_else(String::new, |given| format!("{given},")) + SETTING + ":True";
    let mut sibling = name.clone();
    sibling.options.retain(|option| !is_setting(option));
    sibling.options.push((settings, None));
    vec![sibling]
}

/// The sound reference on simulated devices, under the settings that a target's name gives, with or without a cache as there.
#[must_use]
pub fn sound_reference(name: &TargetName) -> TargetName {
    let is_setting = |(key, value): &&(String, Option<String>)| {
        key == "config" || key == "caching" || (value.is_none() && key.contains(':'))
    };
    let options = name.options.iter().filter(is_setting).cloned().collect();
    TargetName { allocator: "reference".to_owned(), place: "sim".to_owned(), options }
}

/// Why a target of that name cannot be used on this machine, whatever its options; `None` where it can.
#[must_use]
pub fn unavailable(name: &TargetName) -> Option<CudaError> {
    if name.place == "cuda" { cuda::probe().err() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_is_swept_with_expandable_segments_too() {
        let beside = |name: &str| -> Vec<String> {
            siblings(&name.parse().expect("well formed")).iter().map(ToString::to_string).collect()
        };
        assert_eq!(beside("reference@sim"), ["reference@sim?expandable_segments:True"]);
        assert_eq!(
            beside("reference@sim?max_split_size_mb:20&defect=x"),
            ["reference@sim?defect=x&max_split_size_mb:20,expandable_segments:True"]
        );
        assert_eq!(beside("reference@sim?config=expandable_segments:False"), [""; 0]);
        assert_eq!(beside("torch@cuda"), [""; 0]);
    }
}

//! Floor 3, the subject: an allocator that can be asked things.
//!
//! Decides how operations reach an allocator and how its answers come back. Judges nothing.

mod c10;
mod driver_pool;
pub mod forked;
pub mod lost;
mod meant;
pub mod name;
mod neighbours;
mod on_gpu;
pub mod packaged;
mod played;
mod plugin;
pub mod reference;
pub mod registry;
pub mod released;
mod torch;
mod unfaithful;
pub mod worker;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cuda::CudaError;
use crate::cudart::SharedDevice;
use crate::device::followed::{FollowedDevice, TraceLog};
use crate::device::told::{DeviceLog, ToldDevice};
use crate::op::size::human;
use crate::op::trace::TraceEvent;
use crate::op::{Misuse, Observation, Op, Reply, Setup, Step, TargetInfo, Versions};

pub use lost::Lost;
pub use name::{TargetName, TargetNameError};
pub use plugin::SharedLibrary;
pub use registry::{ReferenceOptions, jobs, reference_options, siblings, unavailable};
pub use torch::script;
pub use unfaithful::open_counted;

/// The release of PyTorch that a name of `c10` stands for, where it is set up.
#[must_use]
pub fn released_as(name: &TargetName) -> Option<released::Released> {
    c10::version(name).and_then(|version| released::set_up(&version))
}

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

    /// What the sequence will ask besides what the harness adds: for a target that has to know what becomes of a block when it
    /// hands it out.
    fn foresee(&mut self, _steps: &[Step]) {}

    /// Whether it would like to hear what is asked next.
    fn wants_plan(&self) -> bool {
        false
    }

    /// What is asked next, as long as every answer is plain: nothing is refused or dropped, and no memory goes back to a device.
    /// It may be asked of the allocator before the harness asks for the answer.
    fn plan(&mut self, _next: Vec<Op>) {}

    /// Asks one thing. A failure of the allocator is a `Reply::Refused`.
    fn apply(&mut self, op: &Op) -> Reply;

    /// Writes what can be seen now into `into`, reusing its memory.
    fn observe(&mut self, into: &mut Observation);

    /// What was done to each device, in order, since this was last asked; `false` where the target does not tell. The first
    /// call only has it tell from then on.
    fn take_events(&mut self, _into: &mut Vec<Vec<TraceEvent>>) -> bool {
        false
    }

    /// What made no sense to its devices since this was last asked, where they keep a ledger of it.
    fn take_misuse(&mut self, _into: &mut Vec<Misuse>) {}

    /// Why nothing more can be asked of this target, once that is so: its process is gone, or its device
    /// refuses everything. Answers from then on mean nothing. The next sequence gets a fresh target.
    fn lost(&self) -> Option<&Lost> {
        None
    }

    /// The sequence is over. A target may be lost in this too.
    fn close(&mut self) {}

    /// The same target as a worker serves it, where it knows of the harness's streams and threads.
    fn as_guest(&mut self) -> Option<&mut dyn Guest> {
        None
    }

    /// Devices that answer from now on as its own answer it, for a twin that lives beside it, each with its log; `None` where
    /// nobody can tell.
    fn told_devices(&mut self) -> Option<Vec<(ToldDevice, DeviceLog)>> {
        None
    }

    /// Devices that do what its own are told to have done, for a twin that lives beside it; `None` where it tells nobody.
    fn followed_devices(&mut self) -> Option<Followed> {
        None
    }

    /// The pool that is made next has this number: as another one that lives beside it numbered it.
    fn number_pool(&mut self, _pool: (u64, u64)) {}

    /// From here on its policy's choices follow from what nobody can foresee, such as addresses of a heap.
    fn is_uncertain(&self) -> bool {
        false
    }

    /// The error that broke the target's process for good, if one did: its answers since mean nothing.
    fn poisoned(&self) -> Option<i32> {
        None
    }
}

/// What a twin lives on whose target is known by its trace.
#[derive(Debug)]
pub struct Followed {
    /// By position.
    pub devices: Vec<FollowedDevice>,
    /// What is told of each.
    pub logs: Vec<TraceLog>,
    /// The release of PyTorch that is followed, such as `2.11.0+cu130`.
    pub release: String,
}

/// A target that a worker serves to a harness which runs streams and threads in its place.
pub trait Guest {
    /// Its blocks are memory of this process, which the harness writes and reads there.
    fn has_host_memory(&self) -> bool;

    /// Nothing tells it how large its devices are: it never lacks memory of them.
    fn is_unlimited(&self) -> bool;

    /// The next operation comes from this thread, while these streams (device and stream) have unfinished work.
    fn before(&mut self, thread: u8, busy: &[(usize, u8)]);

    /// What the latest operation waited for, as device and stream.
    fn take_waited(&mut self) -> Vec<(usize, u8)>;
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
    /// Its allocator takes no such settings: another release of it may.
    #[error("target `{target}` takes no such settings as `{settings}`: {reason}")]
    SettingsRefused { target: String, settings: String, reason: String },
    /// No device here can be as large as the world that is wanted.
    #[error("target `{target}` has {} of memory here, and {} are wanted", human(*.total_bytes), human(*.wanted_bytes))]
    TooSmall { target: String, total_bytes: u64, wanted_bytes: u64 },
}

/// Builds a target for one sequence, in a process of its own where its name says so or its kind needs it.
///
/// # Errors
/// A name, an option or a value of one that does not exist; a process that cannot be started or does not answer; a target
/// of which only whole sequences can be asked.
pub fn open(name: &TargetName, setup: &Setup) -> Result<Box<dyn Target>, TargetError> {
    if name.is_forked() {
        let reason = "each of its sequences is judged in a process of its own, and operations alone are asked nowhere";
        return Err(TargetError::Unavailable { target: name.to_string(), reason: reason.to_owned() });
    }
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
    registry::open_here(name, setup)
}

/// PyTorch's library, as a release ships it, on devices of the caller's, in this process: it can be opened once.
///
/// # Errors
/// The name is of no such target, the release was not set up, or a setting does not exist.
pub fn open_library(
    name: &TargetName,
    devices: Vec<SharedDevice>,
    setup: &Setup,
) -> Result<Box<dyn Target>, TargetError> {
    c10::open_on(name, devices, setup)
}

/// The same on devices that answer as those of a target did.
///
/// # Errors
/// Settings that do not exist.
pub fn sound_beside(
    name: &TargetName,
    devices: Vec<ToldDevice>,
    setup: &Setup,
) -> Result<Box<dyn Target>, TargetError> {
    reference::open_beside(&sound_reference(name), devices, setup)
}

/// The sound reference of a release on devices that did what a target of that release did to its own.
///
/// # Errors
/// Settings that do not exist, or a release that is not known.
pub fn sound_following(
    name: &TargetName,
    release: &str,
    devices: Vec<FollowedDevice>,
    setup: &Setup,
) -> Result<Box<dyn Target>, TargetError> {
    let mut sound = sound_reference(name);
    let version = release.split('+').next().unwrap_or(release);
    // Beside what the library does PyTorch adds nothing that is asked of it here.
    let options = [("layer", "library"), ("torch", version)];
    sound.options.extend(options.map(|(key, value)| (key.to_owned(), Some(value.to_owned()))));
    reference::open_beside(&sound, devices, setup)
}

/// The sound reference on simulated devices, under the settings that a target's name gives, with or without a cache as there.
#[must_use]
pub fn sound_reference(name: &TargetName) -> TargetName {
    let is_setting = |(key, value): &&(String, Option<String>)| {
        key == "config" || key == "caching" || (value.is_none() && key.contains(':'))
    };
    let mut options: Vec<(String, Option<String>)> = name.options.iter().filter(is_setting).cloned().collect();
    if name.allocator == "c10" {
        options.push(("layer".to_owned(), Some("library".to_owned())));
        options.extend(c10::version(name).map(|version| ("torch".to_owned(), Some(version))));
    }
    TargetName { allocator: "reference".to_owned(), place: "sim".to_owned(), options }
}

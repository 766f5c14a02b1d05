//! Targets that run in a process of their own, and that process.
//!
//! Decides that a crash, a hang or a poisoned device costs one sequence: the process is ended, and the
//! next sequence gets a new one. A process is used for many sequences of one thread and of one name.

#[cfg(target_os = "linux")]
mod ahead;
#[cfg(target_os = "linux")]
mod eager;
#[cfg(target_os = "linux")]
mod examine;
mod faulty;
mod framing;
#[cfg(target_os = "linux")]
mod probe;
#[cfg(target_os = "linux")]
mod process;
mod protocol;
#[cfg(target_os = "linux")]
mod recipe;
mod serve;
pub mod shown;
#[cfg(target_os = "linux")]
mod supplied;
#[cfg(target_os = "linux")]
mod target;
mod told;

#[cfg(target_os = "linux")]
pub use examine::{Examination, examine};
pub use faulty::{Misbehaviour, UnknownMisbehaviour};
pub use framing::Framing;
#[cfg(target_os = "linux")]
pub use process::use_program;
#[cfg(target_os = "linux")]
pub(super) use process::{Process, own, program};
pub use protocol::{
    About, Answer, Ask, Changed, LONGEST_ANSWER, LONGEST_ASK, MOST_DEVICES, PROTOCOL, Unopened, Waited, schema,
};
#[cfg(target_os = "linux")]
pub(super) use recipe::{environment, patience};
pub use serve::{ServeError, serve};
#[cfg(target_os = "linux")]
pub(super) use target::{Context, WorkerTarget};
pub use told::Told;

use super::registry::TargetOption;
use super::{Target, TargetError, TargetName};
use crate::op::Setup;

/// Options that belong to the process, and are not passed on to the target within.
pub(super) const PROCESS_OPTIONS: [&str; 5] = ["deadline", "misbehave", "env", "fresh", "framing"];

/// Options of every target in a process of its own.
pub(super) const PROCESS_HELP: &[TargetOption] = &[TargetOption {
    usage: "deadline=DURATION",
    what: "how long a call may take before it is taken to hang, such as 5s (30s)",
}];

/// Options of targets that are somebody else's.
pub(super) const FOREIGN_HELP: &[TargetOption] = &[
    TargetOption { usage: "env=NAME=VALUE", what: "a variable of the process's environment; any number of times" },
    TargetOption {
        usage: "fresh=sequence|settings|process",
        what: "for how long one process can be used: for any sequences, for those of the same settings, for one",
    },
    TargetOption {
        usage: "framing=binary|lines",
        what: "how a worker is asked that can read both: in frames of MessagePack, or in lines of JSON (binary)",
    },
];

/// Where a worker finds its questions and writes its answers: descriptors 3 and 4.
pub const PIPES: [&str; 2] = ["/dev/fd/3", "/dev/fd/4"];

/// The program that serves targets.
#[cfg(not(target_os = "linux"))]
pub(super) fn program() -> &'static str {
    "poolproof"
}

/// What runs a library in a process of its own for something else than to serve it: this program with these arguments and
/// the environment that the library's name asks for, and how long a call of it may take.
///
/// # Errors
/// An option of the name that makes no sense.
pub(crate) fn apart(
    name: &TargetName,
    arguments: Vec<String>,
) -> Result<(crate::child::Program, std::time::Duration), TargetError> {
    #[cfg(target_os = "linux")]
    return recipe::apart(name, arguments);
    #[cfg(not(target_os = "linux"))]
    return Err(TargetError::NeedsLinux { target: format!("{name} {arguments:?}") });
}

/// Builds the target in a process of its own.
///
/// # Errors
/// What the target says where it cannot be built, and a process that cannot be started or does not answer.
pub(super) fn open(name: &TargetName, setup: &Setup) -> Result<Box<dyn Target>, TargetError> {
    #[cfg(target_os = "linux")]
    return target::open(name, setup);
    #[cfg(not(target_os = "linux"))]
    return Err(TargetError::NeedsLinux { target: format!("{name} {setup:?}") });
}

/// Ends idle processes of this thread that serve other targets than this one.
pub(super) fn end_others(name: &TargetName) {
    #[cfg(target_os = "linux")]
    target::end_others(&name.to_string());
    #[cfg(not(target_os = "linux"))]
    let _ = name;
}

/// Asks the kernel to kill this process when the thread that started it ends, however it ends. Called by
/// the process itself, first thing; where the system cannot, the end of stdin has to do.
pub fn follow_parent() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)) {
        log::warn!("this process may outlive the one that started it: {error}");
    }
}

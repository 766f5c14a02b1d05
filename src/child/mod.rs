//! Floor 0, other programs: how a child process is started, waited for and ended, whoever wants one.
//!
//! Decides that a child has a process group of its own, so that a terminal's signal does not look like its crash; that every
//! wait for it has an end; and that what it has started is ended with it. What is said to it is its user's business.

mod finish;
#[cfg(target_os = "linux")]
mod fork;
mod group;
#[cfg(unix)]
mod replace;
mod talk;
#[cfg(all(test, unix))]
mod tests;
mod until;
#[cfg(target_os = "linux")]
mod wired;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub use finish::{Finished, Unfinished, finish};
#[cfg(target_os = "linux")]
pub use fork::{Forked, shared};
pub use group::Group;
#[cfg(unix)]
pub use replace::replace;
pub use talk::{Silence, Talk};
pub use until::Until;
#[cfg(target_os = "linux")]
pub use until::{is_readable, wait, wait_to_write};
#[cfg(target_os = "linux")]
pub use wired::Wired;

/// What is started, and with what in its environment besides this process's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// The file, or a name that is looked for along `PATH`.
    pub path: PathBuf,
    /// What it is told to be called; its path where nothing is said.
    pub called: Option<&'static str>,
    /// Without the name of the program.
    pub arguments: Vec<OsString>,
    /// Variables beside those of this process.
    pub environment: Vec<(String, String)>,
}

impl Program {
    /// A program with these arguments.
    pub fn new<A: Into<OsString>>(path: impl AsRef<Path>, arguments: impl IntoIterator<Item = A>) -> Self {
        Program {
            path: path.as_ref().to_owned(),
            called: None,
            arguments: arguments.into_iter().map(Into::into).collect(),
            environment: Vec::new(),
        }
    }

    /// Nothing is read from this process.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        #[cfg(unix)]
        if let Some(called) = self.called {
            std::os::unix::process::CommandExt::arg0(&mut command, called);
        }
        command.args(&self.arguments).envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null());
        command
    }
}

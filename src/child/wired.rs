//! A child that is asked on one inherited descriptor and answers on another, so that what a library prints disturbs nobody.
//!
//! Decides which descriptors those are, and that all that is printed comes through one pipe. What goes over them is its user's.

use std::io::{self, PipeReader, PipeWriter};

use command_fds::{CommandFdExt, FdMapping};

use super::Program;
use super::group::Group;

/// The descriptors of the child on which it reads questions and writes answers.
const QUESTIONS: i32 = 3;
/// As `QUESTIONS`.
const ANSWERS: i32 = 4;

/// A running child and this process's ends of its pipes.
#[derive(Debug)]
pub struct Wired {
    /// The process and what it starts.
    pub group: Group,
    /// What is written here it reads; writing never waits.
    pub questions: PipeWriter,
    /// What it answers.
    pub answers: PipeReader,
    /// What it prints, on stdout and stderr.
    pub prints: PipeReader,
}

impl Wired {
    /// Starts the program.
    ///
    /// # Errors
    /// Whatever the system answers.
    pub fn start(program: &Program) -> io::Result<Self> {
        let (asked, questions) = io::pipe()?;
        let (answers, answered) = io::pipe()?;
        let (prints, printed) = io::pipe()?;
        let mapped = [(asked.into(), QUESTIONS), (answered.into(), ANSWERS)];
        let mappings = mapped.map(|(parent_fd, child_fd)| FdMapping { parent_fd, child_fd }).into();
        let mut command = program.command();
        command.stdout(printed.try_clone()?).stderr(printed).fd_mappings(mappings).map_err(io::Error::other)?;
        let group = Group::start(&mut command)?;
        drop(command); // its ends of the pipes with it, or the end of the process would not be seen
        // Who answers and does not read must not hold the harness up when the pipe is full.
        rustix::io::ioctl_fionbio(&questions, true)?;
        Ok(Wired { group, questions, answers, prints })
    }
}

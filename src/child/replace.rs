//! A program that takes this one's place: same process, same terminal, same exit code.
//!
//! Decides nothing but that.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use super::Program;

/// Becomes another program. It comes back only where that could not be started.
pub fn replace(program: &Program) -> io::Error {
    let mut command: Command = program.command();
    command.stdin(Stdio::inherit()).exec()
}

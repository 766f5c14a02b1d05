//! A program that is told lines and answers with lines, each within a time.
//!
//! Decides how long a line is waited for. What the lines say is its caller's.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{ChildStdin, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use super::Program;
use super::group::{GRACE, Group};

/// Why no line came.
#[derive(Debug, thiserror::Error)]
pub enum Silence {
    /// It has ended.
    #[error("it ended: {}", status.map_or_else(|| "nobody knows how".to_owned(), |status| status.to_string()))]
    Ended {
        /// How, where that is known.
        status: Option<ExitStatus>,
    },
    /// It did not answer in time.
    #[error("no answer within {}", humantime::format_duration(*.0))]
    TooSlow(Duration),
    /// It cannot be started or told anything.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// A running program that is talked to. It is ended when this is dropped.
#[derive(Debug)]
pub struct Talk {
    group: Group,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Talk {
    /// Starts it; what it complains of goes where this process's complaints go.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(program: &Program) -> io::Result<Self> {
        let mut group = Group::start(program.command().stdin(Stdio::piped()).stdout(Stdio::piped()))?;
        let (stdin, stdout, _) = group.pipes();
        let (send, lines) = channel();
        thread::spawn(move || {
            let lines = stdout.into_iter().flat_map(|stdout| BufReader::new(stdout).lines().map_while(Result::ok));
            for line in lines {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Talk { group, stdin, lines })
    }

    /// The number of the process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.group.id()
    }

    /// Whether it is there still.
    pub fn is_running(&mut self) -> bool {
        self.group.wait_for(Duration::ZERO).is_none()
    }

    /// Tells it a line.
    ///
    /// # Errors
    /// It reads nothing any more.
    pub fn tell(&mut self, line: &str) -> Result<(), Silence> {
        let Some(stdin) = &mut self.stdin else { return Err(Silence::Ended { status: None }) };
        Ok(writeln!(stdin, "{line}").and_then(|()| stdin.flush())?)
    }

    /// The next line that it says.
    ///
    /// # Errors
    /// It has ended, or is too slow.
    pub fn hear(&mut self, limit: Duration) -> Result<String, Silence> {
        self.lines.recv_timeout(limit).map_err(|why| match why {
            RecvTimeoutError::Timeout => Silence::TooSlow(limit),
            RecvTimeoutError::Disconnected => Silence::Ended { status: self.group.wait_for(GRACE) },
        })
    }
}

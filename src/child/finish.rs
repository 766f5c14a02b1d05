//! A program that is run to its end, for what it prints.
//!
//! Decides how long it may take and how much of what it prints is kept. What that means is its caller's.

use std::borrow::Cow;
use std::io::{self, Read};
use std::process::{ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use super::Program;
use super::group::{GRACE, Group};

/// As much is kept of what it prints, of either kind; the rest is read and forgotten.
const MOST: usize = 16 << 20;

/// A program that has ended by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// How.
    pub status: ExitStatus,
    /// What it printed, text or not.
    pub stdout: Vec<u8>,
    /// What it complained of.
    pub stderr: String,
}

impl Finished {
    /// What it printed, as text.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.stdout)
    }

    /// The last line of its complaints that says something.
    #[must_use]
    pub fn complaint(&self) -> &str {
        self.stderr.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("nothing was said")
    }
}

/// Why there is nothing that it printed.
#[derive(Debug, thiserror::Error)]
pub enum Unfinished {
    /// The system does not start it.
    #[error("{0}")]
    NotStarted(#[from] io::Error),
    /// It was ended, with all that it had started.
    #[error("it took more than {} and was stopped", humantime::format_duration(*.0))]
    TooSlow(Duration),
}

/// Runs a program to its end, or ends it when the time is over. What it has started is ended with it.
///
/// # Errors
/// It cannot be started, or took too long.
pub fn finish(program: &Program, limit: Duration) -> Result<Finished, Unfinished> {
    let mut group = Group::start(program.command().stdout(Stdio::piped()).stderr(Stdio::piped()))?;
    let (_, stdout, stderr) = group.pipes();
    let (stdout, stderr) = (stdout.map(reader), stderr.map(reader));
    let Some(status) = group.wait_for(limit) else {
        group.end();
        return Err(Unfinished::TooSlow(limit));
    };
    Ok(Finished { status, stdout: read(stdout), stderr: String::from_utf8_lossy(&read(stderr)).into_owned() })
}

/// Reads to the end on a thread of its own: a pipe that is full would hold the child up.
fn reader(mut pipe: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (send, receive) = channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is still what it said.
        let _ = pipe.by_ref().take(MOST as u64).read_to_end(&mut bytes);
        let _ = send.send(bytes);
        let _ = io::copy(&mut pipe, &mut io::sink());
    });
    receive
}

/// One that left the group may hold the pipe open for ever.
fn read(pipe: Option<Receiver<Vec<u8>>>) -> Vec<u8> {
    pipe.and_then(|pipe| pipe.recv_timeout(GRACE).ok()).unwrap_or_default()
}

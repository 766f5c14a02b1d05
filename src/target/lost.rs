//! How the process of a target can be lost, as a value.
//!
//! Decides what can happen and how it reads in English. Whether it is a finding is the engine's to say.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// By itself, with this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// The system does not say.
    Unknown,
}

#[cfg(unix)]
impl From<std::process::ExitStatus> for End {
    fn from(status: std::process::ExitStatus) -> Self {
        match (status.code(), std::os::unix::process::ExitStatusExt::signal(&status)) {
            (Some(code), _) => End::Code(code),
            (None, Some(signal)) => End::Signal(signal),
            (None, None) => End::Unknown,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Code(code) => write!(f, "exit code {code}"),
            End::Signal(signal) => match signal_name(*signal) {
                Some(name) => write!(f, "signal {signal} ({name})"),
                None => write!(f, "signal {signal}"),
            },
            End::Unknown => f.write_str("an unknown status"),
        }
    }
}

/// Signals that a crashing process ends with; the numbers are those of Linux.
fn signal_name(signal: i32) -> Option<&'static str> {
    const NAMES: [(i32, &str); 8] = [
        (4, "SIGILL"),
        (6, "SIGABRT"),
        (7, "SIGBUS"),
        (8, "SIGFPE"),
        (9, "SIGKILL"),
        (11, "SIGSEGV"),
        (13, "SIGPIPE"),
        (15, "SIGTERM"),
    ];
    NAMES.iter().find(|(number, _)| *number == signal).map(|(_, name)| *name)
}

/// How a process broke the protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each says what happened")]
pub enum ProtocolError {
    #[error("it wrote a {noun} that is no answer ({reason}): {start}")]
    Malformed { noun: &'static str, reason: String, start: String },
    #[error("it wrote a {noun} of more than {limit} bytes")]
    Oversized { noun: &'static str, limit: usize },
    #[error("to `{asked}` it answered `{answered}`")]
    Unexpected { asked: &'static str, answered: &'static str },
    #[error("it could not read a question: {reason}")]
    Misread { reason: String },
    #[error("it told of {told} devices and has {known}")]
    Devices { told: usize, known: usize },
    #[error("it says to have {devices} devices of {streams} streams each")]
    Unbelievable { devices: usize, streams: u8 },
    #[error("a new process asked to be restarted")]
    RestartsAtOnce,
    #[error("it closed its output and went on running")]
    Closed,
    #[error("`{done}` was foretold and done, and `{asked}` was asked in its place")]
    Foretold { done: String, asked: String },
    #[error("a question of {bytes} bytes is longer than it may be")]
    TooLong { bytes: usize },
}

/// Why nothing more can be asked of a target. `stderr` is the end of what its process wrote there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the message of each says what happened")]
pub enum Lost {
    #[error("the process ended with {end}")]
    Exited { end: End, stderr: String },
    #[error("no answer within {}", humantime::format_duration(*.limit))]
    Deadline { limit: Duration, stderr: String },
    /// The device is in a state in which no later call of the process can succeed.
    #[error("the process cannot go on: {reason}")]
    Poisoned { reason: String, stderr: String },
    /// Told by whoever asked, and to nobody in another process.
    #[serde(skip)]
    #[error("the process broke the protocol: {reason}")]
    Protocol { reason: ProtocolError, stderr: String },
    #[error("the process could not be started: {reason}")]
    NotStarted { reason: String },
    /// The machine lacks now what it had before: a card that others have filled.
    #[error("it cannot be used at present: {reason}")]
    Unavailable { reason: String },
    /// Its allocator takes no such settings.
    #[error("it takes no such settings as `{settings}`: {reason}")]
    SettingsRefused { settings: String, reason: String },
    /// A call in the harness's own process, which nothing can end.
    #[error("no answer for {} and more", humantime::format_duration(*.limit))]
    Stuck { limit: Duration },
    #[error("given up after {times} processes in a row that could not open it; the last: {last}")]
    GivenUp { times: u32, last: String },
}

impl Lost {
    /// The end of what the process wrote to stderr.
    #[must_use]
    pub fn stderr(&self) -> &str {
        match self {
            Lost::Exited { stderr, .. }
            | Lost::Deadline { stderr, .. }
            | Lost::Poisoned { stderr, .. }
            | Lost::Protocol { stderr, .. } => stderr,
            Lost::NotStarted { .. }
            | Lost::Unavailable { .. }
            | Lost::SettingsRefused { .. }
            | Lost::Stuck { .. }
            | Lost::GivenUp { .. } => "",
        }
    }

    /// The same with what was written to stderr, where there is something.
    #[must_use]
    pub fn with_stderr(&self) -> String {
        let stderr = self.stderr();
        if stderr.is_empty() { self.to_string() } else { format!("{self}; it wrote: {stderr}") }
    }
}

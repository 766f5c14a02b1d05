//! Where text goes: results to stdout, complaints to stderr.
//!
//! Decides that a reader who went away (`poolproof list | head -1`) is no error and never a panic.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use super::error::CliError;

/// Whether to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Paint {
    On,
    Off,
}

impl Paint {
    /// The text in red.
    pub(super) fn red(self, text: &str) -> String {
        if self == Paint::On { format!("\x1b[1;31m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// stdout, until its reader goes away.
#[derive(Debug, Default)]
pub(super) struct Output {
    closed: bool,
}

impl Output {
    pub(super) fn line(&mut self, text: impl Display) -> Result<(), CliError> {
        self.text(format!("{text}\n"))
    }

    /// Text as it is, with no line end of its own.
    pub(super) fn text(&mut self, text: impl Display) -> Result<(), CliError> {
        if self.closed {
            return Ok(());
        }
        let mut stdout = io::stdout().lock();
        match stdout.write_all(text.to_string().as_bytes()).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            result => result.map_err(|source| CliError::Stdout { source }),
        }
    }
}

/// A line on stderr. If nobody reads it, nobody misses it.
pub(super) fn note(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// An error, each of its lines marked as one.
pub(super) fn complain(paint: Paint, error: &CliError) {
    for line in error.lines() {
        note(format_args!("{} {}", paint.red("error:"), printable(&line)));
    }
    if let Some(hint) = error.hint() {
        note(format_args!("hint: {}", printable(&hint)));
    }
}

/// A message with the names of files and targets in it, which may hold anything: nothing of it moves the cursor.
fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && c != '\n' { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

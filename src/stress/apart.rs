//! Threads on a library in a process that can be lost: this program once more, which answers with what it would have printed.
//!
//! Decides how long is waited for it and what its end says. What it prints and exits with is the command line's.

use std::time::Duration;

use crate::child::{Finished, Unfinished, finish};
use crate::engine::EngineError;
use crate::target::{TargetName, worker};

/// What came of the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Apart {
    /// It came to an end by itself, with this exit code and what it printed.
    Ended { code: i32, printed: String, complaints: String },
    /// A violation: the library has ended it, or does not return.
    Violation(String),
}

/// Runs `poolproof` with these arguments, for as long as its rounds take at most.
///
/// # Errors
/// An option of the name that makes no sense; the system starts no process.
pub fn apart(target: &TargetName, arguments: Vec<String>, time: Duration) -> Result<Apart, EngineError> {
    let (program, deadline) = worker::apart(target, arguments)?;
    // The last round may begin when the time is just not over.
    let limit = time.saturating_mul(2).saturating_add(deadline);
    match finish(&program, limit) {
        Ok(finished) => Ok(match finished.status.code() {
            // A library may exit with any code, but then nothing was said.
            Some(code) if !finished.stdout.is_empty() || finished.stderr.lines().any(|l| l.starts_with("error: ")) => {
                Apart::Ended { code, printed: finished.text().into_owned(), complaints: finished.stderr }
            }
            _ => Apart::Violation(format!("violation (crash): {}\n", ending(&finished))),
        }),
        Err(Unfinished::TooSlow(limit)) => {
            let limit = humantime::format_duration(limit);
            Ok(Apart::Violation(format!("violation (hang): its threads did not come to an end within {limit}\n")))
        }
        Err(Unfinished::NotStarted(source)) => Err(EngineError::Threads { threads: 1, source }),
    }
}

/// How it ended, with the library's last words.
fn ending(finished: &Finished) -> String {
    let is_word = |line: &&str| !line.trim().is_empty() && !line.starts_with("stress: ");
    let words = finished.stderr.lines().rev().find(is_word);
    let words = words.map_or_else(String::new, |words| format!("; it wrote: {words}"));
    format!("the process ended with {}{words}", finished.status)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn the_last_words_of_a_library_are_told_and_not_ours() {
        let finished = |stderr: &str| Finished {
            status: std::process::ExitStatus::from_raw(11),
            stdout: Vec::new(),
            stderr: stderr.to_owned(),
        };
        let ours = "stress: rounds of 2000 calls by each of 8 threads for 5s\n";
        assert_eq!(ending(&finished(ours)), "the process ended with signal: 11 (SIGSEGV)");
        let both = format!("{ours}free(): invalid pointer\n\n");
        assert!(ending(&finished(&both)).ends_with("; it wrote: free(): invalid pointer"));
    }
}

//! PyTorch's own allocator on the same traces, in the same run: a Python child that builds a small C++ loop.
//!
//! Decides how the child is started, how long it may take and what its lines mean. Times nothing itself.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::trace::Trace;
use crate::child::{Program, Unfinished, finish};

const SCRIPT: &str = include_str!("../../workers/bench_torch.py");

/// Building the loop takes most of it.
const DEADLINE: Duration = Duration::from_secs(300);

/// Why a peer could not be timed.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each says what happened")]
pub enum PeerError {
    #[error("{what}: {source}")]
    Io { what: &'static str, source: std::io::Error },
    #[error("the peer took more than {} s and was stopped", DEADLINE.as_secs())]
    Deadline,
    #[error("the peer failed ({status}): {said}")]
    Failed { status: std::process::ExitStatus, said: String },
    #[error("the peer printed `{line}`, which is not a timing: {source}")]
    Line { line: String, source: serde_json::Error },
}

/// What PyTorch needed for an operation of a trace.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct PeerTiming {
    trace: String,
    /// The least of all readings.
    pub nanoseconds_per_operation: f64,
    /// The version that was timed.
    pub torch: String,
    /// `c++`, or a loop that includes Python's own time.
    #[serde(rename = "loop")]
    pub kind: String,
}

/// Times `raw_alloc` and `raw_delete` of the Python interpreter's torch over the traces, in their order: the best
/// of `repeats` passes after a first one that is not counted.
///
/// # Errors
/// No such interpreter, no torch, no GPU, or the child takes too long.
pub fn time_torch(python: &str, traces: &[Trace], repeats: u32) -> Result<Vec<PeerTiming>, PeerError> {
    let failed = |what| move |source| PeerError::Io { what, source };
    let folder = tempfile::tempdir().map_err(failed("a temporary folder"))?;
    let script = folder.path().join("bench_torch.py");
    std::fs::write(&script, SCRIPT).map_err(failed("the peer's script"))?;
    let mut files: Vec<PathBuf> = Vec::new();
    for (number, trace) in traces.iter().enumerate() {
        let path = folder.path().join(format!("{number:03}.bin"));
        let mut file = std::fs::File::create(&path).map_err(failed("a trace for the peer"))?;
        let bytes: Vec<u8> = trace
            .records
            .iter()
            .flat_map(|(slot, bytes)| slot.to_le_bytes().into_iter().chain(bytes.to_le_bytes()))
            .collect();
        file.write_all(&bytes).map_err(failed("a trace for the peer"))?;
        files.push(path);
    }
    let options: [OsString; 5] = [
        script.into(),
        "--build-directory".into(),
        folder.path().join("build").into(),
        "--repeats".into(),
        repeats.max(1).to_string().into(),
    ];
    let arguments = options.into_iter().chain(files.into_iter().map(OsString::from));
    let finished = finish(&Program::new(python, arguments), DEADLINE).map_err(|error| match error {
        Unfinished::NotStarted(source) => PeerError::Io { what: "the Python interpreter", source },
        Unfinished::TooSlow(_) => PeerError::Deadline,
    })?;
    if !finished.status.success() {
        return Err(PeerError::Failed { status: finished.status, said: finished.complaint().to_owned() });
    }
    let said = finished.text();
    let mut timings = Vec::new();
    for line in said.lines().filter(|l| l.starts_with('{')) {
        let timing: PeerTiming =
            serde_json::from_str(line).map_err(|source| PeerError::Line { line: line.to_owned(), source })?;
        timings.push(timing);
    }
    timings.sort_by(|a, b| a.trace.cmp(&b.trace)); // numbered in the order of the traces
    Ok(timings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_interpreter_is_said_so() {
        let error = time_torch("no-such-python", &[], 1).expect_err("it does not exist");
        assert!(error.to_string().starts_with("the Python interpreter:"), "{error}");
    }

    #[test]
    fn a_failing_peer_is_quoted() {
        let error = time_torch("false", &[], 1).expect_err("it fails");
        assert!(error.to_string().contains("nothing was said"), "{error}");
    }
}

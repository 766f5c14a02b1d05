//! Where the reference and a recording part ways.

use std::fmt;

/// What differs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each says what happened")]
pub enum DivergenceKind {
    #[error("{key} on device {device}: recorded {recorded}, here {predicted}")]
    Stat { device: usize, key: String, recorded: i64, predicted: i64 },
    #[error("address: recorded {recorded:#x}, here {predicted:#x}")]
    Address { recorded: u64, predicted: u64 },
    #[error("recorded a refusal ({recorded}), here address {predicted:#x}")]
    ServedInstead { recorded: String, predicted: u64 },
    #[error("recorded address {recorded:#x}, here a refusal ({predicted})")]
    RefusedInstead { recorded: u64, predicted: String },
    #[error("refusal: recorded `{recorded}`, here `{predicted}`")]
    Refusal { recorded: String, predicted: String },
    #[error("the operation lacks `{field}`, or names a device or block that does not exist")]
    Incomplete { field: &'static str },
    #[error("event {index} of device {device}: recorded {recorded}, here {predicted}")]
    Event { device: usize, index: usize, recorded: String, predicted: String },
    /// Of a backend without an exact reference.
    #[error("{what}")]
    Invariant { what: String },
    #[error("segment {index} at the end: recorded {recorded}, here {predicted}")]
    Segment { index: usize, recorded: String, predicted: String },
}

/// Where in the file a divergence shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilePosition {
    /// A line of a recording.
    Line(u64),
    /// An event of a snapshot's trace, or the end of the trace.
    Event {
        /// By position.
        device: usize,
        /// From 0.
        index: u32,
    },
    /// After the last event.
    End {
        /// By position.
        device: usize,
    },
}

impl FilePosition {
    /// The device, by position, where the place names one.
    #[must_use]
    pub fn device(self) -> Option<usize> {
        match self {
            FilePosition::Line(_) => None,
            FilePosition::Event { device, .. } | FilePosition::End { device } => Some(device),
        }
    }
}

impl fmt::Display for FilePosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FilePosition::Line(line) => write!(f, "line {line}"),
            FilePosition::Event { device, index } => write!(f, "event {index} of device {device}"),
            FilePosition::End { device } => write!(f, "the end of device {device}"),
        }
    }
}

/// One divergence, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Divergence {
    /// Where in the file.
    pub place: FilePosition,
    /// The operation in a few words, or `end of the episode`.
    pub at: String,
    /// What differs.
    pub kinds: Vec<DivergenceKind>,
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}:", self.place, self.at)?;
        for kind in &self.kinds {
            write!(f, "\n  {kind}")?;
        }
        Ok(())
    }
}

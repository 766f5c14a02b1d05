//! Floor 4, replay: a recorded life of a real allocator, lived again by the reference.
//!
//! Decides whether the reference agrees with a recording: every statistic after every operation, every
//! address, the order of driver calls, the final segments. Does not decide what the reference does.
//!
//! One tolerance exists, and its uses are counted: where several events pass in one step, PyTorch
//! handles them in hash order, so that peak, allocated and freed of `inactive_split*` may differ there.

mod closing;
mod divergence;
mod episode;

use std::path::Path;

pub use divergence::{Divergence, DivergenceKind};

use crate::recording::{self, Line, Reader, RecordingError};
use crate::reference::{Settings, SettingsError};
use episode::Replayed;

/// Why a recording could not be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error(transparent)]
    Recording(#[from] RecordingError),
    #[error("{file}: the recording's settings `{config}` were refused: {source}")]
    Settings { file: String, config: String, source: SettingsError },
    #[error("{file}: the recording is of backend `{backend}`; only `native` has an exact reference")]
    Backend { file: String, backend: String },
}

/// What came of replaying one file.
#[derive(Debug, Default)]
pub struct ReplayReport {
    pub operations: u64,
    pub divergences: u64,
    /// The first divergence, in full.
    pub first: Option<Divergence>,
    /// How often the hash-order tolerance was used.
    pub hash_order: u64,
    /// Statistics keys of the recording that this program does not know.
    pub unknown_keys: u64,
}

impl ReplayReport {
    fn diverged(&mut self, divergence: Divergence) {
        self.divergences += 1;
        if self.first.is_none() {
            self.first = Some(divergence);
        }
    }
}

/// Replays a recording on the reference and compares everything that was recorded.
///
/// After an episode's first divergence the rest of that episode is skipped: what follows would only echo it.
///
/// # Errors
/// The file cannot be read, or was made under settings the reference does not know.
pub fn exact(path: &Path) -> Result<ReplayReport, ReplayError> {
    let mut ends = recording::endings(path)?.into_iter();
    let mut reader = Reader::open(path)?;
    let header = reader.header()?;
    if header.backend != "native" {
        return Err(ReplayError::Backend { file: reader.file().to_owned(), backend: header.backend });
    }
    let settings: Settings = header.config.parse().map_err(|source| ReplayError::Settings {
        file: reader.file().to_owned(),
        config: header.config.clone(),
        source,
    })?;
    let mut report = ReplayReport::default();
    let mut current: Option<Replayed> = None;
    while let Some(line) = reader.next_line()? {
        match line {
            Line::Episode(start) => {
                let end = ends.next().ok_or_else(|| reader.out_of_place("this episode is never closed"))?;
                current = Some(Replayed::start(&header, &settings, &start, end, &mut report));
            }
            Line::Op(op) => {
                report.operations += 1;
                let line = reader.line_number();
                let episode = current.as_mut().ok_or_else(|| reader.out_of_place("an operation before any episode"))?;
                episode.step(line, &op, &mut report);
            }
            Line::End(_) => {
                let episode = current.take().ok_or_else(|| reader.out_of_place("no episode is open here"))?;
                episode.finish(reader.line_number(), &mut report);
            }
        }
    }
    Ok(report)
}

#[cfg(test)]
mod tests;

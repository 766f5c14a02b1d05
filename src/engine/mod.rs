//! Floor 4, the runner: scenarios against one target, and what came of them.
//!
//! Decides what runs, in which order, on how many cores, when a scenario stops, how a failure is made
//! small and where it is kept. Does not decide what is right (`oracle`) or how it reads (`report`).

mod again;
mod assemble;
pub mod attempt;
pub mod bench;
mod case;
pub mod command;
pub mod doctor;
pub mod expect;
#[cfg(test)]
mod expect_test;
mod failure;
mod files;
mod health;
pub mod kill_matrix;
pub mod lockstep;
pub mod loss;
mod metamorphic;
mod outcome;
pub mod plan;
mod premise;
mod probes;
pub mod regressions;
pub mod replay;
mod run;
mod stamp;
pub mod stress;
pub mod survival;
pub mod sweep;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use crate::recording::RecordingError;
use crate::target::TargetError;
use crate::verdict::record::{RunRecord, ScenarioRecord};

pub use case::{inapplicable, lacks};
pub use files::write_whole;
pub use kill_matrix::{MatrixOptions, MatrixProgress, kill_matrix};
pub use plan::{Plan, PlanError, Shard, ShardError};
pub use replay::{Replayed, replay_file};
pub use run::{RunOptions, run, run_on};
pub use survival::{SurvivalOptions, SurvivalProgress, survival};
pub use sweep::SweepPlan;

/// Why a run or a replay could not be made. What a target *did* is never an error: it is an outcome.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error("{}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{}: cannot be written: {source}", path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error("{}: not a sequence that poolproof can run again: {reason}", path.display())]
    NotASequence { path: PathBuf, reason: String },
    #[error("{}: a recording, which only `--exact` replays", path.display())]
    Recording { path: PathBuf },
    #[error("{}: a sequence of poolproof, which `--exact` has nothing to compare with", path.display())]
    NotARecording { path: PathBuf },
    #[error("{}: a memory snapshot, whose calls have no devices to fail", path.display())]
    Snapshot { path: PathBuf },
    #[error("`{target}` cannot be called from several threads; reference@sim can")]
    NotThreaded { target: String },
    #[error(transparent)]
    BadRecording { source: Box<RecordingError> },
    #[error("{}: names the target `{name}`, which is not a target name", path.display())]
    TargetName { path: PathBuf, name: String },
}

/// What a run tells whoever watches it. Called from several threads.
pub trait Progress: Sync {
    /// So many scenarios will be run.
    fn begin(&self, _scenarios: usize) {}

    /// A scenario ended (in the first pass over all of them).
    fn finished(&self, _record: &ScenarioRecord) {}

    /// What a report would say if the run ended now; asked for from time to time, by nobody if not here.
    fn so_far(&self, _record: &RunRecord) {}

    /// Another pass with fresh sequences begins, to use up the time that was given; the first is 1.
    fn round(&self, _number: u64) {}

    /// So many sequences will have their device calls failed in turn.
    fn begin_sweep(&self, _sequences: usize) {}

    /// One of them is done.
    fn swept(&self) {}
}

/// Nobody watches.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {}

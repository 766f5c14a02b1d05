//! Floor 4, the runner: scenarios against one target, and what came of them.
//!
//! Decides what runs, in which order, on how many cores, when a scenario stops, how a failure is made
//! small and where it is kept. Does not decide what is right (`oracle`) or how it reads (`report`).

mod again;
mod ahead;
mod assemble;
pub mod attempt;
mod case;
mod caught;
mod chosen;
pub(crate) mod command;
mod conditions;
mod crash;
mod demand;
pub mod expect;
#[cfg(test)]
mod expect_test;
mod failure;
mod files;
mod fold;
pub(crate) mod forked;
mod hang;
mod health;
pub mod judged_sequence;
mod keep;
pub mod kill_matrix;
pub(crate) mod known;
mod locks;
pub mod lockstep;
pub(crate) mod loss;
mod marks;
mod metamorphic;
mod minimise;
mod naming;
mod opener;
mod options;
mod outcome;
mod passes;
pub mod plan;
mod premise;
mod probes;
mod pulse;
pub mod reach;
pub mod regressions;
pub mod replay;
mod requires;
mod run;
mod schedule;
mod session;
mod stamp;
mod stop;
pub mod survival;
pub(crate) mod sweep;
mod tally;
#[cfg(test)]
mod tests;
pub(crate) mod threads;
mod tries;
mod twin;
pub mod unfaithful;
mod watchdog;
mod yardstick;

use std::path::PathBuf;

use crate::input::Looks;
use crate::recording::RecordingError;
use crate::target::TargetError;
use crate::verdict::record::{RunRecord, ScenarioRecord};

pub use files::write_whole;
pub use kill_matrix::{MatrixOptions, MatrixProgress, kill_matrix};
pub use minimise::Minimise;
pub(crate) use opener::{Named, catch_panic, inspect};
pub use options::RunOptions;
pub use plan::{Plan, PlanError, Shard, ShardError};
pub use replay::{Replayed, replay_file};
pub use requires::{ensure_opens, inapplicable, lacks};
pub use run::{run, run_on};
pub use stamp::{Clock, run_stamp, today};
pub use stop::{Stop, Watch};
pub use survival::{SurvivalOptions, SurvivalProgress, survival};
pub use sweep::SweepPlan;
pub use unfaithful::{UnfaithfulOptions, UnfaithfulProgress, unfaithful};

/// Why a run or a replay could not be made. What a target *did* is never an error: it is an outcome.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each says what happened")]
pub enum EngineError {
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error("{}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{}: cannot be written: {source}", path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error("{}: not a sequence that poolproof can run again: {reason}", path.display())]
    NotASequence { path: PathBuf, reason: String },
    #[error("{}: this is {}, and a sequence, a recording or a memory snapshot is wanted", path.display(), looks.name())]
    Foreign { path: PathBuf, looks: Looks },
    #[error("{}: a recording, which only `--exact` replays", path.display())]
    Recording { path: PathBuf },
    #[error("{}: is neither a recording nor a memory snapshot, and only those can be compared", path.display())]
    NotARecording { path: PathBuf },
    #[error("{}: a memory snapshot, whose calls have no devices to fail", path.display())]
    Snapshot { path: PathBuf },
    #[error("`{target}` cannot be called from several threads; reference@sim can")]
    NotThreaded { target: String },
    #[error(
        "{threads} threads with {calls} calls each are too many for one round, which holds {most} in memory; with a \
         longer time there are more rounds"
    )]
    RoundTooLarge { threads: usize, calls: usize, most: usize },
    #[error("{threads} threads cannot be started: {source}")]
    Threads { threads: usize, source: std::io::Error },
    #[error(transparent)]
    BadRecording { source: Box<RecordingError> },
    #[error("{}: names the target `{name}`, which is not a target name", path.display())]
    TargetName { path: PathBuf, name: String },
}

/// What a run tells whoever watches it. Called from several threads.
pub trait Progress: Watch {
    /// So many scenarios will be run.
    fn begin(&self, _scenarios: usize) {}

    /// A scenario has run what was planned of it, or what there was time for.
    fn finished(&self, _record: &ScenarioRecord) {}

    /// Asks for what the run has come to, from time to time and right after each new failure; made by nobody if not here.
    fn so_far(&self, _record: &dyn Fn() -> RunRecord) {}

    /// A call of a target in this process does not return, and the thread that made it cannot be ended: this is what the
    /// run has come to. Whoever is told has to end the process, or the run goes on for ever.
    fn hangs(&self, _record: RunRecord) {}

    /// Another pass with fresh sequences begins, to use up the time that was given; the first is 1.
    fn round(&self, _number: u64) {}

    /// So many sequences will have their device calls failed in turn.
    fn begin_sweep(&self, _sequences: usize) {}

    /// One of them is done.
    fn swept(&self) {}

    /// All scenarios have ended, and so many violations of a target with a process of its own are held against each other, to see
    /// which are one finding.
    fn comparing(&self, _violations: usize) {}
}

/// Nobody watches.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Watch for Silent {}

impl Progress for Silent {}

//! What a run is asked for.

use std::path::PathBuf;
use std::time::Duration;

use crate::target::TargetName;

use super::minimise::Minimise;
use super::plan::Plan;
use super::stop::Stop;

/// What to run and how.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// What is run.
    pub target: TargetName,
    /// Which scenarios.
    pub plan: Plan,
    /// What every drawn sequence follows from.
    pub seed: u64,
    /// Whether a target that claims a policy is held against the sound reference after every operation.
    pub exact: bool,
    /// Sequences of each generated scenario, instead of its own number.
    pub cases: Option<u32>,
    /// Threads; at least one is used.
    pub jobs: usize,
    /// Use this much time: stop when it is over, and draw fresh sequences until then.
    pub time: Option<Duration>,
    /// How long failing sequences may be made smaller.
    pub minimise: Minimise,
    /// Ends the run early, with what it came to so far.
    pub stop: Stop,
    /// Where the results of this target go, as the user would type it: printed commands name files in it,
    /// and sequences that ended in a panic are kept there.
    pub out: PathBuf,
    /// Where failing sequences are kept for the next run; `None` neither reads nor writes any.
    pub regressions: Option<PathBuf>,
    /// The command line, for the stamp.
    pub command: String,
}

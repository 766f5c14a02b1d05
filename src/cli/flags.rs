//! Flags that several commands share: where failing sequences are kept, whether a policy is compared, which part of a
//! snapshot is looked at.
//!
//! Decides what they mean, the same for every command.

use std::path::{Path, PathBuf};

use crate::engine::regressions;
use crate::replay::{Bound, Range};

use super::CliError;
use super::run::check_writable;

/// Whether a target is held against the policy that it claims.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct Beside {
    /// Leave out the comparison of a target that claims PyTorch's policy with the sound reference, figure by figure and
    /// address by address; only promises to callers are judged then
    #[arg(long)]
    no_exact: bool,
}

impl Beside {
    pub(super) fn is_exact(self) -> bool {
        !self.no_exact
    }
}

/// Where the sequences that failed are kept.
#[derive(Debug, clap::Args)]
pub(super) struct Kept {
    /// Keep generated sequences that fail here, and run those kept first [default: proptest-regressions/ where the
    /// current folder has one, else the same below --out]
    #[arg(long, value_name = "DIR")]
    regressions: Option<PathBuf>,
    /// Keep none, and run none that were kept
    #[arg(long, conflicts_with = "regressions")]
    no_regressions: bool,
}

impl Kept {
    /// The folder of a run with its results in `out`, if there is to be one. One that was named has to be writable.
    pub(super) fn folder(&self, out: &Path) -> Result<Option<PathBuf>, CliError> {
        if self.no_regressions {
            return Ok(None);
        }
        let Some(folder) = &self.regressions else { return Ok(Some(regressions::usual_folder(out))) };
        check_writable(folder, "--regressions")?;
        Ok(Some(folder.clone()))
    }
}

/// How `--from` and `--to` are written, for the help of a command.
pub(super) const BOUNDS: &str = "\
--from and --to take a part of a snapshot, both bounds in it. A bound is the number of an event of the device's trace, from 0
(12000); a time as the trace tells it in time_us (1795379117824299us); or a time after the first event of the file (+1.5s;
units us, ms, s, min). Numbers count the events of each device by itself. What stood when the part begins, and when it ends,
is found by walking back from the segments that stand at the end of the snapshot.";

/// Which part of a snapshot is looked at.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct Part {
    /// Of a snapshot, begin with this event or time [default: the first]
    #[arg(long, value_name = "EVENT|TIME")]
    from: Option<Bound>,
    /// Of a snapshot, end with this event or time [default: the last]
    #[arg(long, value_name = "EVENT|TIME")]
    to: Option<Bound>,
}

impl Part {
    pub(super) fn range(self) -> Range {
        Range { from: self.from, to: self.to }
    }
}

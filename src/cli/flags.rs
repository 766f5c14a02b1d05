//! Flags that several commands share: where failing sequences are kept, and whether a policy is compared.
//!
//! Decides what they mean, the same for every command.

use std::path::{Path, PathBuf};

use crate::engine::regressions;

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

//! Exit codes, the contract with scripts.

use std::process::ExitCode;

use crate::verdict::conclusion::Conclusion;
use crate::verdict::record::RunRecord;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    Conformant = 0,
    /// Findings, a pass that was expected to fail, or an expectation that is stale or expired.
    Findings = 1,
    /// The command line or a file it names is wrong.
    Usage = 2,
    /// A target could not be run, or broke.
    Target = 3,
    /// Nothing failed, and not everything was shown.
    Inconclusive = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

impl Exit {
    /// What a run comes to.
    pub(super) fn of(record: &RunRecord) -> Exit {
        match Conclusion::of(record) {
            Conclusion::Failed => Exit::Findings,
            Conclusion::Broken => Exit::Target,
            Conclusion::Interrupted
            | Conclusion::OutOfTime
            | Conclusion::Nothing
            | Conclusion::Thin
            | Conclusion::Inconclusive => Exit::Inconclusive,
            Conclusion::Selected | Conclusion::Passed => Exit::Conformant,
        }
    }

    /// What another run of this program came to; a signal ends none well.
    pub(super) fn of_code(code: Option<i32>) -> Exit {
        let all = [Exit::Conformant, Exit::Findings, Exit::Usage, Exit::Inconclusive];
        all.into_iter().find(|exit| code == Some(*exit as i32)).unwrap_or(Exit::Target)
    }

    /// What two ends come to together: the one that needs attention first.
    pub(super) fn and(self, other: Exit) -> Exit {
        let order = [Exit::Findings, Exit::Usage, Exit::Target, Exit::Inconclusive];
        order.into_iter().find(|e| *e == self || *e == other).unwrap_or(Exit::Conformant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_two_counts() {
        assert_eq!(Exit::Conformant.and(Exit::Inconclusive), Exit::Inconclusive);
        assert_eq!(Exit::Target.and(Exit::Findings), Exit::Findings);
        assert_eq!(Exit::Inconclusive.and(Exit::Target), Exit::Target);
        assert_eq!(Exit::Conformant.and(Exit::Conformant), Exit::Conformant);
        assert_eq!(
            [Some(0), Some(4), Some(9), None].map(Exit::of_code),
            [Exit::Conformant, Exit::Inconclusive, Exit::Target, Exit::Target]
        );
    }
}

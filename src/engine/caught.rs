//! What was caught: a violation with the sequence that shows it, as it is and while it is not yet small.
//!
//! Decides nothing: how one becomes the other is `failure`'s.

use crate::op::{Names, Setup, Step, Text};
use crate::requirement::RequirementId;
use crate::verdict::{RanOut, Reproduced, Reproducer, TranscriptLine, Violation};

use super::attempt::Panicked;
use super::judged_sequence::{Conviction, FailureKey};

/// A violation and the sequence that shows it.
#[derive(Debug, Clone)]
pub(super) struct Caught {
    pub(super) failure_key: FailureKey,
    /// The promise that was broken: what the judge cites, or the scenario's own.
    pub(super) requirement: RequirementId,
    pub(super) violation: Violation,
    pub(super) reproducer: Reproducer,
    pub(super) transcript: Vec<TranscriptLine>,
    /// `None` before it was tried, or where there was no time for it.
    pub(super) reproduced: Option<Reproduced>,
    pub(super) original_steps: u64,
    /// No step of the sequence can be left out.
    pub(super) minimal: bool,
    /// Why it was not made as small as it gets.
    pub(super) ran_out: Option<RanOut>,
}

/// A sequence that failed and has not been made small yet, or not as small as it gets.
#[derive(Debug, Clone)]
pub(super) enum Pending {
    Convicted {
        setup: Setup,
        steps: Vec<Step>,
        label: String,
        names: Names,
        conviction: Conviction,
        /// Steps of the sequence as it was drawn.
        original: u64,
    },
    Panicked {
        setup: Setup,
        steps: Vec<Step>,
        names: Names,
        panicked: Panicked,
    },
}

/// A sequence that ended in a panic, or without a target; or a target that could be asked nothing.
#[derive(Debug, Clone)]
pub(super) struct Crash {
    pub(super) text: Text,
    pub(super) reproducer: Option<Reproducer>,
}

impl Crash {
    /// A panic and the operation under way.
    pub(super) fn panic(text: &str, operation: Option<&str>) -> Self {
        let en = operation.map_or_else(String::new, |op| format!(" during `{op}`"));
        let zh = operation.map_or_else(String::new, |op| format!("在 `{op}` 期间"));
        let text = Text::new(format!("panicked{en}: {text}"), format!("{zh}发生 panic：{text}"));
        Crash { text, reproducer: None }
    }
}

/// What the author said of a sequence.
#[derive(Debug, Clone, Copy)]
pub(super) struct Author<'a> {
    /// The value of `for_each`.
    pub(super) label: &'a str,
    pub(super) names: &'a Names,
}

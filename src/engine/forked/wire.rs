//! What goes between the harness and a server of forked targets: a line of JSON each way.
//!
//! Decides what can be asked and answered. Both ends are this very program.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::op::{Op, OracleName, Setup, TargetInfo, Versions};
use crate::target::TargetError;
use crate::target::lost::End;
use crate::verdict::TranscriptLine;

use super::super::attempt::Attempt;
use super::super::judged_sequence::FailureKey;
use super::super::marks::Marks;
use super::super::metamorphic::{Bare, Least};
use super::packed::Packed;

/// A question, for a process of its own.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Question<'a> {
    pub(super) setup: Cow<'a, Setup>,
    pub(super) ask: Ask<'a>,
}

/// What is asked.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Ask<'a> {
    /// What the target says of itself.
    Inspect,
    /// A sequence, as `JudgedSequence` has it, but for relations.
    Attempt {
        steps: Packed<'a>,
        oracles: Vec<OracleName>,
        epilogue: bool,
        transcript: bool,
        only: Option<FailureKey>,
        exact: bool,
    },
    /// A run for the comparison with another one.
    Bare { ops: Vec<Cow<'a, Op>>, whole: bool, least: Least },
}

/// What is answered.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    Inspected(Result<Box<(TargetInfo, Versions)>, TargetError>),
    Attempted(Result<Attempt, TargetError>),
    Bare(Result<Box<Bare>, TargetError>),
    /// The target panicked, asked for anything but a sequence that is judged.
    Panicked(String),
    /// There was no answer: the process ended so, or was ended for being late; and the transcript as far as it came.
    Ended {
        end: Ending,
        marks: Marks,
        told: Vec<TranscriptLine>,
    },
    /// No process could be made.
    NotForked(String),
}

/// Why a process did not answer.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) enum Ending {
    Exited(End),
    /// A call, or the harness beside it, did not get on for so many milliseconds.
    Late(u64),
}

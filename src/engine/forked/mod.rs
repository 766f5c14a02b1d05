//! Targets of which each sequence is judged in a process of its own, beside the allocator, so that neither its state nor
//! its crash outlives the sequence and no operation crosses a process: the harness's side.
//!
//! Decides what the end of such a process means. What goes over is in `wire`, the other side in `serve`; which process is
//! asked, `target::forked` says.

mod packed;
#[cfg(target_os = "linux")]
mod serve;
mod wire;

use std::borrow::Cow;
use std::time::Duration;

use crate::op::{Op, RefusalClass, Reply, Setup, TargetInfo, Versions};
use crate::target::forked::{self, Heard};
use crate::target::{Lost, TargetError, TargetName};
use crate::verdict::TranscriptLine;

use super::attempt::{Attempt, Panicked};
use super::judged_sequence::{Conviction, JudgedSequence, Run};
use super::loss::Loss;
use super::marks::Marks;
use super::metamorphic::{Bare, Least, Unjudged};
use packed::Packed;
#[cfg(target_os = "linux")]
pub use serve::serve;
use wire::{Answer, Ask, Ending, Question};

/// An answer that was none to the question.
const ODD: &str = "its server answered something else";

/// What became of a question.
enum Told {
    Answer(Answer),
    Ended { lost: Lost, marks: Marks, told: Vec<TranscriptLine> },
}

/// Runs and judges one sequence, relations apart.
pub(super) fn attempt(name: &TargetName, setup: &Setup, sequence: &JudgedSequence<'_>) -> Result<Attempt, TargetError> {
    let JudgedSequence { steps, oracles, epilogue, transcript, only, exact, .. } = *sequence;
    let oracles = oracles.iter().copied().collect();
    match ask(name, setup, Ask::Attempt { steps: Packed::of(steps), oracles, epilogue, transcript, only, exact })? {
        Told::Answer(Answer::Attempted(attempt)) => attempt.map_err(|error| named(error, name)),
        Told::Answer(Answer::Panicked(text)) => Ok(Attempt::Panicked(Panicked { step: 0, text })),
        Told::Ended { lost, marks, told } => Ok(Attempt::Ran(Box::new(ended(lost, &marks, told, sequence)))),
        Told::Answer(_) => Err(odd(name)),
    }
}

/// What the target says of itself; `Ok(Err)` if it panics before it can.
pub(super) fn inspect(name: &TargetName, setup: &Setup) -> Result<Result<(TargetInfo, Versions), String>, TargetError> {
    match ask(name, setup, Ask::Inspect)? {
        Told::Answer(Answer::Inspected(Ok(told))) => {
            let (info, versions) = *told;
            Ok(Ok((TargetInfo { name: name.to_string(), ..info }, versions)))
        }
        Told::Answer(Answer::Inspected(Err(error))) => Err(named(error, name)),
        Told::Answer(Answer::Panicked(text)) => Ok(Err(text)),
        Told::Ended { lost, .. } => Err(TargetError::Lost { target: name.to_string(), lost }),
        Told::Answer(_) => Err(odd(name)),
    }
}

/// Runs a sequence for the comparison with another one.
pub(super) fn bare(name: &TargetName, setup: &Setup, ops: &[&Op], whole: bool, least: Least) -> Result<Bare, Unjudged> {
    let ops = ops.iter().map(|op| Cow::Borrowed(*op)).collect();
    match ask(name, setup, Ask::Bare { ops, whole, least })? {
        Told::Answer(Answer::Bare(run)) => Ok(*run.map_err(|error| named(error, name))?),
        Told::Answer(Answer::Panicked(text)) => Err(Unjudged::Panicked(text)),
        Told::Ended { lost, .. } => Err(TargetError::Lost { target: name.to_string(), lost }.into()),
        Told::Answer(_) => Err(odd(name).into()),
    }
}

fn ask(name: &TargetName, setup: &Setup, ask: Ask<'_>) -> Result<Told, TargetError> {
    let failed = |reason: String| TargetError::Lost { target: name.to_string(), lost: Lost::NotStarted { reason } };
    let question = Question { setup: Cow::Borrowed(setup), ask };
    let text = serde_json::to_vec(&question).map_err(|error| failed(format!("it cannot be asked: {error}")))?;
    let Heard { line, printed } = forked::ask(name, &text)?;
    let answer = serde_json::from_slice(&line).map_err(|error| failed(format!("{ODD}: {error}")))?;
    Ok(match answer {
        Answer::NotForked(reason) => return Err(failed(reason)),
        Answer::Ended { end, marks, told } => {
            let lost = match end {
                Ending::Exited(end) => Lost::Exited { end, stderr: printed },
                Ending::Late(limit) => Lost::Deadline { limit: Duration::from_millis(limit), stderr: printed },
            };
            Told::Ended { lost, marks, told }
        }
        answer => Told::Answer(answer),
    })
}

/// A sequence whose process ended, or was ended. In a call of the target that is the target's doing; elsewhere, and before the
/// first operation, it shows nothing of the promises.
fn ended(lost: Lost, marks: &Marks, mut told: Vec<TranscriptLine>, sequence: &JudgedSequence<'_>) -> Run {
    let during = marks.op(sequence.steps).filter(|_| marks.is_inside && marks.asked > 0);
    if let Some(op) = during.as_ref().filter(|_| sequence.transcript) {
        let answered = Reply::refused(RefusalClass::DeviceError, lost.to_string()).to_line();
        told.push(TranscriptLine { asked: op.to_line(), answered, added: marks.is_added() });
    }
    let loss = Loss { lost, during: during.as_ref().map(Op::to_line) };
    let guilty = loss.violation().filter(|_| marks.is_inside && marks.asked > 0);
    let step = marks.step(sequence.steps);
    let conviction = guilty.map(|violation| Conviction { step, violations: vec![violation] });
    Run { conviction, operations: marks.asked, transcript: told, lost: Some(loss), ..Run::default() }
}

/// The error as it is of the target that was asked for: the process within knows it by another name.
fn named(mut error: TargetError, name: &TargetName) -> TargetError {
    use TargetError as E;
    match &mut error {
        E::UnknownOption { target, .. }
        | E::UnknownDefect { target, .. }
        | E::UnknownVariation { target, .. }
        | E::UnknownObservable { target, .. }
        | E::BadOption { target, .. }
        | E::Lost { target, .. }
        | E::NeedsLinux { target }
        | E::Unavailable { target, .. }
        | E::SettingsRefused { target, .. }
        | E::TooSmall { target, .. } => *target = name.to_string(),
        E::Unknown { .. } => {}
    }
    error
}

fn odd(name: &TargetName) -> TargetError {
    TargetError::Lost { target: name.to_string(), lost: Lost::NotStarted { reason: ODD.to_owned() } }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::op::{BlockId, Step};
    use crate::target::lost::End;

    #[test]
    fn only_a_call_of_the_target_convicts_it() {
        let steps = [Step::from(Op::Free { block: BlockId(3) })];
        let nobody = BTreeSet::new();
        let sequence = JudgedSequence { transcript: true, ..JudgedSequence::new(&steps, &nobody, true) };
        let lost = Lost::Exited { end: End::Signal(11), stderr: String::new() };
        let run = |is_inside, asked| {
            let marks = Marks { is_inside, asked, ..Marks::default() };
            ended(lost.clone(), &marks, Vec::new(), &sequence)
        };
        let guilty = run(true, 1);
        let conviction = guilty.conviction.expect("it died in a call");
        assert_eq!((conviction.step, guilty.operations), (0, 1));
        assert_eq!(conviction.violations[0].message.en, "the process ended with signal 11 (SIGSEGV) during `free b3`");
        assert_eq!(guilty.transcript.last().map(|line| line.asked.as_str()), Some("free b3"));
        for elsewhere in [run(false, 1), run(true, 0)] {
            assert_eq!((elsewhere.conviction.is_some(), elsewhere.transcript.len()), (false, 0));
            assert_eq!(elsewhere.lost, Some(Loss { lost: lost.clone(), during: None }));
        }
    }
}

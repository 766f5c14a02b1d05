//! The server of a forked target: one thread, ready to be copied, and a copy for each question.
//!
//! Decides when a copy is ended: when what it does, a call of the target or anything else, has not got on for as long as a
//! call may take. What that means is said in `super`.

use std::collections::BTreeSet;
use std::io::{self, BufRead, PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use crate::child::{Forked, Until, shared, wait};
use crate::op::Op;
use crate::target::forked::{self, Limits};
use crate::target::{TargetName, worker};
use crate::verdict::TranscriptLine;

use super::super::attempt::attempt;
use super::super::judged_sequence::JudgedSequence;
use super::super::metamorphic;
use super::super::opener::{catch_panic, inspect};
use super::super::pulse::{self, Pulse};
use super::wire::{Answer, Ask, Ending, Question};

/// How often a copy is looked at, and the harness told that it is.
const LOOK: Duration = Duration::from_millis(200);

/// How much of an answer is read at a time.
const BUFFER: usize = 64 << 10;

/// The exit code of a copy that could not answer.
const NO_ANSWER: u8 = 3;

/// Gets the target ready and answers questions until there are no more.
///
/// # Errors
/// The harness cannot be read from or written to any more.
pub fn serve(name: &TargetName, mut questions: impl BufRead, mut answers: impl Write) -> io::Result<()> {
    let ready = forked::prepare(name);
    tell(&mut answers, &serde_json::to_vec(&ready)?)?;
    let pulse = pulse::show(shared()?);
    let (mut limits, mut question, mut buffer) = (Vec::new(), Vec::new(), vec![0; BUFFER]);
    loop {
        limits.clear();
        question.clear();
        questions.read_until(b'\n', &mut limits)?;
        questions.read_until(b'\n', &mut question)?;
        if !question.ends_with(b"\n") {
            return Ok(());
        }
        let limits: Limits = serde_json::from_slice(&limits)?;
        let line = match copy(name, &question, limits, &pulse, &mut buffer, &mut answers) {
            Ok(line) => line,
            Err(error) => serde_json::to_vec(&Answer::NotForked(error.to_string()))?,
        };
        tell(&mut answers, &line)?;
    }
}

fn tell(answers: &mut impl Write, line: &[u8]) -> io::Result<()> {
    answers.write_all(line)?;
    if !line.ends_with(b"\n") {
        answers.write_all(b"\n")?;
    }
    answers.flush()
}

/// Has a copy of this process answer.
fn copy(
    name: &TargetName,
    question: &[u8],
    limits: Limits,
    pulse: &Arc<Pulse>,
    buffer: &mut [u8],
    answers: &mut impl Write,
) -> io::Result<Vec<u8>> {
    pulse.begins();
    let (answered, answer) = io::pipe()?;
    let copy = Forked::running(|| {
        worker::follow_parent();
        if say(name, question, answer.try_clone()).is_ok() { 0 } else { NO_ANSWER }
    })?;
    drop(answer); // with the copy's end its last writer is gone
    let mut answered = Some(answered);
    let (mut heard, mut searched, mut told) = (Vec::new(), 0, Vec::new());
    let (mut calls, mut until) = (0, Until::after(limits.of(0)));
    let late = loop {
        let ready = match &answered {
            Some(pipe) => wait([pipe.as_fd(), copy.ended()], Until::after(LOOK.min(until.left())))?,
            None => wait([copy.ended()], Until::after(LOOK.min(until.left()))).map(|[ended]| [false, ended])?,
        };
        match ready {
            [true, _] => {
                if answered.as_mut().is_none_or(|pipe| !read(pipe, buffer, &mut heard)) {
                    answered = None;
                }
                if let Some(line) = complete(&mut heard, &mut searched, &mut told) {
                    copy.end()?;
                    return Ok(line);
                }
            }
            [false, true] => break None,
            [false, false] => {
                let marks = pulse.marks();
                let limit = if marks.is_inside { limits.of(marks.asked) } else { limits.beside() };
                if marks.calls != calls {
                    (calls, until) = (marks.calls, Until::after(limit));
                } else if until.left().is_zero() {
                    break Some(limit);
                }
                tell(answers, b"")?;
            }
        }
    };
    let marks = pulse.marks();
    let status = copy.end()?;
    let end = match late {
        Some(limit) => Ending::Late(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)),
        None => Ending::Exited(status.into()),
    };
    Ok(serde_json::to_vec(&Answer::Ended { end, marks, told })?)
}

/// Takes the whole lines out of what was heard: those of a transcript are put to the others, and an answer is the last.
fn complete(heard: &mut Vec<u8>, searched: &mut usize, told: &mut Vec<TranscriptLine>) -> Option<Vec<u8>> {
    while let Some(at) = heard[*searched..].iter().position(|&byte| byte == b'\n') {
        let rest = heard.split_off(*searched + at + 1);
        let line = std::mem::replace(heard, rest);
        *searched = 0;
        match line.split_first() {
            Some((&pulse::TOLD, text)) => told.extend(serde_json::from_slice::<TranscriptLine>(text)),
            _ => return Some(line),
        }
    }
    *searched = heard.len();
    None
}

/// Reads what is there; `false` once there will be no more. By way of a buffer that is written to only as far as something
/// comes: what this process writes to beside its copy is a page copied.
fn read(pipe: &mut PipeReader, buffer: &mut [u8], into: &mut Vec<u8>) -> bool {
    match pipe.read(buffer) {
        Ok(n) => {
            into.extend_from_slice(&buffer[..n]);
            n > 0
        }
        Err(error) => error.kind() == io::ErrorKind::Interrupted,
    }
}

/// In the copy: answers and is done.
fn say(name: &TargetName, question: &[u8], pipe: io::Result<PipeWriter>) -> io::Result<()> {
    let complain = |error: &dyn std::fmt::Display| eprintln!("the question cannot be answered: {error}");
    let question = serde_json::from_slice(question).inspect_err(|error| complain(error))?;
    let mut pipe = pipe?;
    if matches!(question, Question { ask: Ask::Attempt { transcript: true, .. }, .. }) {
        pulse::own().tells(pipe.try_clone()?);
    }
    let mut line = serde_json::to_vec(&answer(name, &question)).inspect_err(|error| complain(error))?;
    line.push(b'\n');
    pipe.write_all(&line)
}

fn answer(name: &TargetName, question: &Question<'_>) -> Answer {
    let setup = &*question.setup;
    let open = |setup: &_| forked::open(name, setup);
    match &question.ask {
        Ask::Inspect => match pulse::own().inside(|| inspect(&open, setup)) {
            Ok(Ok(told)) => Answer::Inspected(Ok(Box::new(told))),
            Ok(Err(text)) => Answer::Panicked(text),
            Err(error) => Answer::Inspected(Err(error)),
        },
        Ask::Attempt { steps, oracles, epilogue, transcript, only, exact } => {
            // Both ends are this program.
            let Some(steps) = &steps.steps() else { return Answer::Panicked("the steps cannot be read".to_owned()) };
            let oracles: BTreeSet<_> = oracles.iter().copied().collect();
            let (epilogue, transcript, only, exact) = (*epilogue, *transcript, *only, *exact);
            let sequence =
                JudgedSequence { steps, oracles: &oracles, epilogue, transcript, relations: &[], only, exact };
            Answer::Attempted(attempt(&open, setup, &sequence))
        }
        Ask::Bare { ops, whole, least } => {
            let ops: Vec<&Op> = ops.iter().map(|op| &**op).collect();
            match catch_panic(|| metamorphic::bare_here(&open, setup, &ops, *whole, *least)) {
                Ok(run) => Answer::Bare(run.map(Box::new)),
                Err(text) => Answer::Panicked(text),
            }
        }
    }
}

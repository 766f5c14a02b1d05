//! Sequences across releases: every sequence that a finding of one release stands for is asked of all.
//!
//! Decides which sequences are one, and what a release's answer to one comes to.

use std::sync::Mutex;

use super::Ran;
use crate::engine::replay::{Replayed, replay_on};
use crate::engine::{Stop, Watch, threads};
use crate::op::{Op, Step, Text};
use crate::target::{TargetName, make_room};
use crate::verdict::releases::{Answer, Breach, FindingOf, SequenceRow};
use crate::verdict::{Outcome, Reproducer};

/// How often a sequence is asked that did not fail in every run: one that holds may have been lucky.
const TRIES: u32 = 10;

/// How an answer begins that a call does not exist.
const UNSUPPORTED: &str = "refused (unsupported)";

/// A sequence, and the findings that it is the shortest for.
#[derive(Debug, Clone)]
pub(super) struct Sequence<'a> {
    pub(super) reproducer: &'a Reproducer,
    pub(super) row: SequenceRow,
    /// It comes and goes.
    is_partial: bool,
}

/// The sequences of all findings, each once, in the order of releases. What no release was asked yet.
pub(super) fn sequences(runs: &[Ran]) -> Vec<Sequence<'_>> {
    let mut all: Vec<Sequence<'_>> = Vec::new();
    for ran in runs {
        for finding in &ran.record.findings {
            let (reproducer, of) =
                (&finding.reproducer, FindingOf { release: ran.release.clone(), finding: finding.id.clone() });
            let is_partial = finding.reproduced.is_some_and(|r| r.is_partial());
            if let Some(same) = all.iter_mut().find(|s| is_same(s.reproducer, reproducer)) {
                same.row.of.push(of);
                same.is_partial |= is_partial;
                continue;
            }
            let row = SequenceRow {
                of: vec![of],
                scenario: finding.scenario.clone(),
                requirement: finding.requirement,
                minimal: finding.minimal,
                file: format!("{}/{}", ran.folder(), finding.file),
                command: finding.command.clone(),
                setup: reproducer.setup.clone(),
                steps: reproducer.steps.iter().map(line).collect(),
                answers: vec![Answer::NotAsked; runs.len()],
            };
            all.push(Sequence { reproducer, row, is_partial });
        }
    }
    all
}

/// The same is asked, and judged by the same.
fn is_same(one: &Reproducer, other: &Reproducer) -> bool {
    let asked = |r: &Reproducer| (r.requirement, r.epilogue);
    asked(one) == asked(other) && one.setup == other.setup && one.oracles == other.oracles && one.steps == other.steps
}

fn line(step: &Step) -> String {
    step.op.as_ref().map_or_else(|| "(what must hold here)".to_owned(), Op::to_line)
}

/// Asks every sequence of every release, as many releases at a time as there are jobs; what there is no time for is not asked.
pub(super) fn ask_all(runs: &[Ran], sequences: &mut [Sequence<'_>], jobs: usize, stop: &Stop, watch: &dyn Watch) {
    let answers = Mutex::new(Vec::new());
    let asked: &[Sequence<'_>] = sequences;
    // A release after another, so that each has its process once.
    let done: Result<(), std::convert::Infallible> = threads::each(
        jobs,
        runs,
        || (),
        |i, ran| {
            make_room(&ran.target);
            for (at, sequence) in asked.iter().enumerate() {
                let answer = if stop.is_asked() { Answer::NotAsked } else { of(ran, sequence, watch) };
                answers.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((at, i, answer));
            }
            Ok(())
        },
    );
    let Ok(()) = done;
    for (at, i, answer) in answers.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        sequences[at].row.answers[i] = answer;
    }
}

fn of(ran: &Ran, sequence: &Sequence<'_>, watch: &dyn Watch) -> Answer {
    let scenario = ran.record.scenario(&sequence.row.scenario);
    if let Some(scenario) = scenario.filter(|s| s.outcome == Outcome::NotApplicable) {
        return Answer::NotApplicable { why: scenario.reason.clone().unwrap_or_default() };
    }
    let tries = if sequence.is_partial { TRIES } else { 1 };
    let mut answer = Answer::NotAsked;
    for _ in 0..tries {
        answer = ask(sequence.reproducer, &ran.target, watch);
        if answer != Answer::Holds {
            break;
        }
    }
    answer
}

/// Asks a sequence of a target.
pub fn ask(reproducer: &Reproducer, target: &TargetName, watch: &dyn Watch) -> Answer {
    match replay_on(reproducer.clone(), target) {
        Ok(replayed) => {
            watch.ran(replayed.operations);
            came_to(&replayed)
        }
        Err(error) => Answer::NoAnswer { why: error.to_string() },
    }
}

pub(super) fn came_to(replayed: &Replayed) -> Answer {
    let mut breaches: Vec<Breach> = Vec::new();
    for violation in replayed.conviction.iter().flat_map(|c| &c.violations) {
        let requirement = violation.requirement.unwrap_or(replayed.reproducer.requirement);
        if breaches.iter().all(|b| b.requirement != requirement) {
            breaches.push(Breach { requirement, oracle: violation.oracle, message: violation.message.clone() });
        }
    }
    let is_own = |b: &Breach| b.requirement == replayed.reproducer.requirement;
    let lacking = replayed.transcript.iter().find(|line| !line.added && line.answered.starts_with(UNSUPPORTED));
    match (&replayed.panic, lacking) {
        _ if breaches.iter().any(is_own) => Answer::Breaks { breaches },
        // What else came of it is no answer to the question.
        (_, Some(line)) => Answer::NotApplicable { why: unsupported(&line.asked) },
        _ if !breaches.is_empty() => Answer::Breaks { breaches },
        (Some(panic), None) => Answer::NoAnswer { why: panic.clone() },
        (None, None) => Answer::Holds,
    }
}

fn unsupported(asked: &str) -> Text {
    Text::new(format!("`{asked}` is not supported"), format!("不支持 `{asked}`"))
}

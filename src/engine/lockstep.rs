//! One sequence on one target: ask, observe, take note, judge; stop at the first step with a conviction.
//!
//! Decides the order of these and what is dropped. The steps that the harness adds of its own (filling and
//! reading blocks, retries, the closing operations) are in `probes`; panics are caught in `attempt`.

use std::cell::Cell;
use std::collections::BTreeSet;

use crate::model::journey::Journey;
use crate::model::{Effect, Law, Model};
use crate::op::stats::Row;
use crate::op::trace::TraceEvent;
use crate::op::{
    Capability, DeviceView, Expect, Family, Milestone, Observation, Op, OracleName, Reply, Step, TargetInfo,
};
use crate::oracle::{Oracle, Seen};
use crate::requirement::RequirementId;
use crate::target::Target;
use crate::verdict::{TranscriptLine, Violation};

use super::loss::{self, Loss};
use super::probes::Probes;

/// What to run, and who judges it.
#[derive(Debug, Clone, Copy)]
pub struct Course<'a> {
    /// What is asked, in order.
    pub steps: &'a [Step],
    /// Who judges.
    pub oracles: &'a BTreeSet<OracleName>,
    /// Whether the closing operations follow.
    pub epilogue: bool,
    /// Whether to keep what was asked and answered; costs text for every operation.
    pub transcript: bool,
    /// Relations under which the sequence is also compared with a variant of itself, if nobody convicts it alone.
    pub relations: &'a [OracleName],
    /// Only this convicts, and the sequence goes on past everything else.
    pub only: Option<Guilt>,
}

impl<'a> Course<'a> {
    /// A sequence and its judges, with nothing further asked for.
    #[must_use]
    pub fn new(steps: &'a [Step], oracles: &'a BTreeSet<OracleName>, epilogue: bool) -> Self {
        Course { steps, oracles, epilogue, transcript: false, relations: &[], only: None }
    }
}

/// What makes two failures the same: who convicts, and the promise that the judge cites; none, if it leaves that to the
/// scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Guilt {
    /// Who convicts.
    pub oracle: OracleName,
    /// The promise, where the judge says which.
    pub cited: Option<RequirementId>,
}

impl Guilt {
    /// What a violation is of.
    #[must_use]
    pub fn of(violation: &Violation) -> Self {
        Guilt { oracle: violation.oracle, cited: violation.requirement }
    }

    /// The violation of this kind that a run ended with.
    #[must_use]
    pub fn find(self, run: &Run) -> Option<&Violation> {
        run.conviction.iter().flat_map(|c| &c.violations).find(|v| Guilt::of(v) == self)
    }
}

/// A step that broke a promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conviction {
    /// The given step it happened at or after; the number of steps if it was a closing operation.
    pub step: usize,
    /// Every conviction of that step, never empty; the first is the one to report.
    pub violations: Vec<Violation>,
}

/// How a sequence went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Run {
    /// The first step that broke a promise.
    pub conviction: Option<Conviction>,
    /// Operations executed, added ones included.
    pub operations: u64,
    /// Steps that the oracles saw: operations, and expectations without one.
    pub judged: u64,
    /// Planted faults that fired, and the steps judged from the first of them on.
    pub fired: u64,
    /// See `fired`.
    pub judged_after_fault: u64,
    /// Operations that were not asked because what they needed was not there.
    pub dropped: u64,
    /// Pairs of runs that were compared.
    pub pairs: u64,
    /// Situations that came about.
    pub reached: BTreeSet<Milestone>,
    /// What was asked and answered, if that was wanted.
    pub transcript: Vec<TranscriptLine>,
    /// The target shows no device: nothing can be said of it, and nothing was asked.
    pub blind: bool,
    /// The target's process was lost: a conviction, or the sequence shows nothing.
    pub lost: Option<Loss>,
}

/// Why an operation is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The sequence says so.
    Given,
    /// The harness looks closer, or clears up.
    Added,
    /// The identical request, right after it was refused.
    Retry,
    /// The last closing operation: if no fault spoils it, the world must be as new after it.
    Last,
}

/// What an operation came to, as far as the harness acts on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Served,
    /// Refused for lack of memory with no fault in play.
    OutOfMemory,
    Refused,
    Dropped,
}

/// A conviction was made, or the target lost: the sequence ends here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stop;

/// A sequence under way.
pub(super) struct Session<'a> {
    pub(super) target: &'a mut dyn Target,
    pub(super) info: TargetInfo,
    pub(super) model: Model,
    oracles: Vec<Box<dyn Oracle>>,
    journey: Journey,
    pub(super) before: Observation,
    after: Observation,
    /// What the target told of the latest operation, if it tells.
    events: Vec<Vec<TraceEvent>>,
    tells: bool,
    convictions: Vec<Violation>,
    only: Option<Guilt>,
    /// The given step that convictions are put down to.
    pub(super) step: usize,
    /// In the last operation memory went back to a device.
    pub(super) gave_back: bool,
    keeps_transcript: bool,
    run: Run,
}

/// Runs a sequence on a target that was built for it. `at` follows the step under way, for whoever
/// has to say where a panic came from.
pub fn run(target: &mut dyn Target, course: &Course<'_>, at: &Cell<usize>) -> Run {
    let mut session = Session::new(target, course);
    if session.before.devices.is_empty() {
        session.run.blind = true;
        return session.run;
    }
    let mut probes = Probes::new(course.oracles, &session.info);
    // `Stop` only says that `run.conviction` or `run.lost` is set.
    let walked: Result<(), Stop> = session.walk(course, &mut probes, at);
    session.target.close();
    if walked.is_ok() {
        let _: Result<(), Stop> = session.ensure_alive(None);
    }
    session.run.reached = session.journey.reached();
    session.run
}

impl<'a> Session<'a> {
    fn new(target: &'a mut dyn Target, course: &Course<'_>) -> Self {
        let info = target.info().clone();
        let (mut before, mut events) = (Observation::default(), Vec::new());
        target.observe(&mut before);
        let wanted = course.oracles.contains(&OracleName::History) && info.can(Capability::DeviceEvents);
        let tells = wanted && target.take_events(&mut events);
        let oracles =
            if before.devices.is_empty() { Vec::new() } else { crate::oracle::build(course.oracles, &info, &before) };
        Session {
            model: Model::new(&info),
            journey: Journey::new(&info),
            oracles,
            after: before.clone(),
            before,
            info,
            target,
            events,
            tells,
            convictions: Vec::new(),
            only: course.only,
            step: 0,
            gave_back: false,
            keeps_transcript: course.transcript,
            run: Run::default(),
        }
    }

    fn walk(&mut self, course: &Course<'_>, probes: &mut Probes, at: &Cell<usize>) -> Result<(), Stop> {
        for (index, step) in course.steps.iter().enumerate() {
            at.set(index);
            match &step.op {
                Some(op) => {
                    // A retry belongs to the step that was refused; expectations without an operation
                    // still speak of that step's figures, so the retry waits for them.
                    probes.retry(self)?;
                    self.step = index;
                    probes.before(self, op)?;
                    let answer = self.ask(op, step.expect.as_deref(), Role::Given)?;
                    probes.after(self, op, answer)?;
                }
                None => {
                    self.step = index;
                    self.expect(step.expect.as_deref())?;
                }
            }
        }
        probes.retry(self)?;
        at.set(course.steps.len());
        self.step = course.steps.len();
        if course.epilogue {
            return probes.close(self);
        }
        probes.verify_all(self)?;
        probes.look(self)
    }

    /// Asks one operation and has it judged.
    pub(super) fn ask(&mut self, op: &Op, expect: Option<&Expect>, role: Role) -> Result<Answer, Stop> {
        self.gave_back = false;
        if let Err(why) = self.model.admits(op) {
            self.run.dropped += 1;
            self.write_down(op, &Reply::Dropped(why), role);
            return Ok(Answer::Dropped);
        }
        let law = self.model.law(op);
        let reply = self.target.apply(op);
        self.target.observe(&mut self.after);
        self.tells = self.tells && self.target.take_events(&mut self.events);
        if loss::lost(self.target, &self.after).is_some() {
            self.run.operations += 1;
            self.write_down(op, &reply, role);
            self.ensure_alive(Some(op))?;
        }
        let effect = self.model.apply(op, &reply, &self.after);
        self.run.operations += 1;
        self.write_down(op, &reply, role);
        self.journey.note(op, &reply, &effect, &self.before, &self.after, &self.model);
        let spoiled = fired(&self.after) > fired(&self.before);
        let is_end = role == Role::Last && !spoiled;
        let seen = Judged { op: Some(op), reply: &reply, expect, law, effect, is_retry: role == Role::Retry, is_end };
        self.judge(&seen)?;
        self.gave_back = reserved_fell(&self.before, &self.after);
        std::mem::swap(&mut self.before, &mut self.after);
        Ok(match &reply {
            Reply::Dropped(_) => Answer::Dropped,
            Reply::Refused(_) if reply.is_out_of_memory() && !spoiled => Answer::OutOfMemory,
            Reply::Refused(_) => Answer::Refused,
            _ => Answer::Served,
        })
    }

    /// Ends the sequence if the target is lost.
    fn ensure_alive(&mut self, during: Option<&Op>) -> Result<(), Stop> {
        let Some(lost) = loss::lost(self.target, &self.after) else { return Ok(()) };
        let loss = Loss { lost, during: during.map(Op::to_line) };
        let violations: Vec<Violation> = loss.violation().into_iter().collect();
        if !violations.is_empty() {
            self.run.conviction = Some(Conviction { step: self.step, violations });
        }
        self.run.lost = Some(loss);
        Err(Stop)
    }

    /// Planted faults that have not fired yet, on any device.
    pub(super) fn armed(&self) -> u32 {
        self.model.devices().iter().map(|d| d.armed).sum()
    }

    /// The same on one device.
    pub(super) fn armed_on(&self, device: usize) -> u32 {
        self.model.device(device).map_or(0, |d| d.armed)
    }

    /// Judges an expectation that stands without an operation.
    fn expect(&mut self, expect: Option<&Expect>) -> Result<(), Stop> {
        if expect.is_none() {
            return Ok(());
        }
        self.after.clone_from(&self.before);
        let alone = Judged {
            op: None,
            reply: &Reply::Done,
            expect,
            law: Law::Any,
            effect: Effect::None,
            is_retry: false,
            is_end: false,
        };
        self.judge(&alone)
    }

    fn judge(&mut self, judged: &Judged<'_>) -> Result<(), Stop> {
        let seen = Seen {
            op: judged.op,
            reply: judged.reply,
            expect: judged.expect,
            before: &self.before,
            after: &self.after,
            law: judged.law,
            effect: judged.effect,
            model: &self.model,
            is_retry: judged.is_retry,
            events: self.tells.then_some(self.events.as_slice()),
            is_end: judged.is_end,
        };
        self.run.judged += 1;
        self.run.fired = fired(&self.after);
        self.run.judged_after_fault += u64::from(self.run.fired > 0);
        for oracle in &mut self.oracles {
            oracle.judge(&seen, &mut self.convictions);
        }
        if let Some(only) = self.only {
            self.convictions.retain(|v| Guilt::of(v) == only);
        }
        if self.convictions.is_empty() {
            return Ok(());
        }
        let violations = std::mem::take(&mut self.convictions);
        self.run.conviction = Some(Conviction { step: self.step, violations });
        Err(Stop)
    }

    fn write_down(&mut self, op: &Op, reply: &Reply, role: Role) {
        if self.keeps_transcript {
            let added = role != Role::Given;
            self.run.transcript.push(TranscriptLine { asked: op.to_line(), answered: reply.to_line(), added });
        }
    }
}

/// Whether any device has less reserved on it than before.
fn reserved_fell(before: &Observation, after: &Observation) -> bool {
    let reserved = |view: &DeviceView| view.stats.get(Family::ReservedBytes, Row::All).current;
    before.devices.iter().zip(&after.devices).any(|(before, after)| reserved(after) < reserved(before))
}

/// Planted faults that have fired so far, on any device.
fn fired(seen: &Observation) -> u64 {
    seen.devices.iter().map(|d| u64::from(d.faults_fired)).sum()
}

/// The part of `Seen` that a step brings along.
struct Judged<'a> {
    op: Option<&'a Op>,
    reply: &'a Reply,
    expect: Option<&'a Expect>,
    law: Law,
    effect: Effect,
    is_retry: bool,
    is_end: bool,
}

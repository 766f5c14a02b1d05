//! A sequence under way: ask, observe, take note, judge.
//!
//! Decides the order of these, what is dropped, and that a sequence ends with a conviction or a lost target. Which operation comes
//! next is `lockstep`'s, which ones the harness adds `probes`'.

use std::sync::Arc;

use crate::model::milestones::MilestoneTracker;
use crate::model::{Effect, Law, Model};
use crate::op::stats::Row;
use crate::op::trace::TraceEvent;
use crate::op::{
    Capability, ContentsReport, DeviceView, Expect, Family, Misuse, Observation, Op, OracleName, Reply, TargetInfo,
};
use crate::oracle::{Moved, Oracle, Seen};
use crate::target::Target;
use crate::verdict::{TranscriptLine, Violation};

use super::judged_sequence::{Conviction, FailureKey, JudgedSequence, Run};
use super::loss::{self, Loss};
use super::pulse::{self, Pulse};
use super::twin::Twin;

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
pub(super) enum StepOutcome {
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
    twin: Option<Twin>,
    oracles: Vec<Box<dyn Oracle>>,
    pub(super) milestones: MilestoneTracker,
    pub(super) before: Observation,
    after: Observation,
    /// Which statistics the step under way moved.
    moved: Moved,
    /// What the target told of the latest operation, if it tells.
    events: Vec<Vec<TraceEvent>>,
    tells: bool,
    /// What made no sense to a device in the latest operation, if it keeps a ledger.
    misuse: Vec<Misuse>,
    keeps_ledger: bool,
    convictions: Vec<Violation>,
    only: Option<FailureKey>,
    /// The given step that convictions are put down to.
    pub(super) step: usize,
    /// In the last operation memory went back to a device.
    pub(super) gave_back: bool,
    keeps_transcript: bool,
    pub(super) pulse: Arc<Pulse>,
    pub(super) run: Run,
}

impl<'a> Session<'a> {
    pub(super) fn new(target: &'a mut dyn Target, twin: Option<Twin>, sequence: &JudgedSequence<'_>) -> Self {
        let info = target.info().clone();
        let (mut before, mut events) = (Observation::default(), Vec::new());
        target.observe(&mut before);
        let wanted = sequence.oracles.contains(&OracleName::History) || twin.is_some();
        let tells = wanted && info.can(Capability::DeviceEvents) && target.take_events(&mut events);
        let keeps_ledger = sequence.oracles.contains(&OracleName::DeviceCalls) && info.can(Capability::DeviceLedger);
        let oracles =
            if before.devices.is_empty() { Vec::new() } else { crate::oracle::build(sequence.oracles, &info, &before) };
        Session {
            model: Model::new(&info),
            twin,
            milestones: MilestoneTracker::new(&info),
            oracles,
            after: before.clone(),
            moved: Moved::default(),
            before,
            info,
            target,
            events,
            tells,
            misuse: Vec::new(),
            keeps_ledger,
            convictions: Vec::new(),
            only: sequence.only,
            step: 0,
            gave_back: false,
            keeps_transcript: sequence.transcript,
            pulse: pulse::own(),
            run: Run::default(),
        }
    }

    /// Asks one operation and has it judged.
    pub(super) fn ask(&mut self, op: &Op, expect: Option<&Expect>, role: Role) -> Result<StepOutcome, Stop> {
        self.gave_back = false;
        if let Err(why) = self.model.admits(op) {
            self.run.dropped += 1;
            self.write_down(op, &Reply::Dropped(why), role);
            return Ok(StepOutcome::Dropped);
        }
        self.pulse.at(self.step, (role != Role::Given).then_some(op));
        let (reply, tells) = self.pulse.inside(|| {
            let reply = self.target.apply(op);
            self.target.observe(&mut self.after);
            self.misuse.clear();
            if self.keeps_ledger {
                self.target.take_misuse(&mut self.misuse);
            }
            (reply, self.tells && self.target.take_events(&mut self.events))
        });
        self.tells = tells;
        if loss::lost(self.target, &self.after).is_some() {
            self.run.operations += 1;
            self.write_down(op, &reply, role);
            self.ensure_alive(Some(op))?;
        }
        if role == Role::Added && self.is_quiet(op, &reply) {
            return Ok(self.pass_over(op, &reply, role));
        }
        // Of the moment before: the model has not heard the answer yet. The twin asks for no law.
        let law = if self.oracles.is_empty() { Law::Any } else { self.model.law(op) };
        let effect = self.model.apply(op, &reply, &self.after);
        self.run.operations += 1;
        self.write_down(op, &reply, role);
        self.depart(op, &reply)?;
        self.milestones.note(op, &reply, &effect, &self.before, &self.after, &self.model);
        let spoiled = fired(&self.after) > fired(&self.before);
        let is_end = role == Role::Last && !spoiled;
        let seen = Judged { op: Some(op), reply: &reply, expect, law, effect, is_retry: role == Role::Retry, is_end };
        self.judge(&seen)?;
        self.gave_back = reserved_fell(&self.before, &self.after);
        std::mem::swap(&mut self.before, &mut self.after);
        Ok(match &reply {
            Reply::Dropped(_) => StepOutcome::Dropped,
            Reply::Refused(_) if reply.is_out_of_memory() && !spoiled => StepOutcome::OutOfMemory,
            Reply::Refused(_) => StepOutcome::Refused,
            _ => StepOutcome::Served,
        })
    }

    /// A block was filled or read by the harness, as it should be, and nothing that is shown moved: the judges have nothing
    /// to see that they did not see the step before. Half of all operations are so.
    fn is_quiet(&self, op: &Op, reply: &Reply) -> bool {
        let as_due = match op {
            Op::Fill { .. } => *reply == Reply::Done,
            Op::Verify { .. } => *reply == Reply::Contents(ContentsReport::Intact),
            _ => false,
        };
        as_due && self.misuse.is_empty() && self.before == self.after
    }

    /// Counts an operation that nobody has to judge.
    fn pass_over(&mut self, op: &Op, reply: &Reply, role: Role) -> StepOutcome {
        self.model.note_work(op);
        if let (Some(twin), &Op::Fill { block }) = (&mut self.twin, op)
            && let Some(live) = self.model.block(block)
            && self.after.devices.get(live.device).is_none_or(|view| !view.is_idle(live.stream))
        {
            twin.live(op); // it waits in a stream of the twin's too
        }
        self.run.operations += 1;
        self.count_judged();
        self.write_down(op, reply, role);
        StepOutcome::Served
    }

    fn count_judged(&mut self) {
        self.run.judged += 1;
        self.run.fired = fired(&self.after);
        self.run.judged_after_fault += u64::from(self.run.fired > 0);
    }

    /// Asks the twin the same. Where the two part, the twin has said all it has to say.
    fn depart(&mut self, op: &Op, reply: &Reply) -> Result<(), Stop> {
        let Some(twin) = &mut self.twin else { return Ok(()) };
        let Some(violation) = twin.follow(op, reply, &self.after, self.tells.then_some(&self.events)) else {
            return Ok(());
        };
        self.twin = None;
        self.run.departure = Some(Conviction { step: self.step, violations: vec![violation] });
        if self.only == Some(FailureKey::DEPARTURE) { Err(Stop) } else { Ok(()) }
    }

    /// Ends the sequence if the target is lost.
    pub(super) fn ensure_alive(&mut self, during: Option<&Op>) -> Result<(), Stop> {
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
    pub(super) fn expect(&mut self, expect: Option<&Expect>) -> Result<(), Stop> {
        if expect.is_none() {
            return Ok(());
        }
        self.after.clone_from(&self.before);
        self.misuse.clear(); // it was of the operation before
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
        self.count_judged();
        if self.oracles.is_empty() {
            return Ok(()); // the twin judges alone: nobody asks what moved
        }
        self.moved.become_of(&self.before, &self.after);
        let seen = Seen {
            op: judged.op,
            reply: judged.reply,
            expect: judged.expect,
            before: &self.before,
            after: &self.after,
            moved: &self.moved,
            law: judged.law,
            effect: judged.effect,
            model: &self.model,
            is_retry: judged.is_retry,
            events: self.tells.then_some(self.events.as_slice()),
            misuse: &self.misuse,
            is_end: judged.is_end,
        };
        for oracle in &mut self.oracles {
            oracle.judge(&seen, &mut self.convictions);
        }
        if let Some(only) = self.only {
            self.convictions.retain(|v| FailureKey::of(v) == only);
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
            let line = TranscriptLine { asked: op.to_line(), answered: reply.to_line(), added };
            self.pulse.tell(&line);
            self.run.transcript.push(line);
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

//! The twin: the sound reference beside a target that claims its policy. It is asked whatever the target is asked, and
//! held against it after every operation.
//!
//! Decides for which targets there is one, and what is compared: what the allocator did to the device, what it answered,
//! every figure it shows. Breaks no promise by itself: where only the twin objects, the target keeps every promise to its
//! callers and has another policy than it says. How two answers differ is `compare`'s.

mod beside;
mod compare;
#[cfg(test)]
mod tests;

use crate::op::trace::TraceEvent;
use crate::op::{
    Capability, DeviceCall, DeviceId, FaultError, Observation, Op, OracleName, Reply, Setup, TargetInfo, Text,
};
use crate::target::{self, Followed, Target, TargetName};
use crate::verdict::Violation;

use super::judged_sequence::FailureKey;
use beside::Beside;
use compare::Difference;

/// A sound allocator that lives what the target lives.
pub(crate) struct Twin {
    sound: Box<dyn Target>,
    /// What it shows.
    seen: Observation,
    /// What it did to its devices.
    events: Vec<Vec<TraceEvent>>,
    faults: Faults,
    /// How its devices come to be like those of the target.
    beside: Beside,
}

/// How far the two go together past failing device calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Faults {
    /// All the way: both are the reference.
    Alike,
    /// As long as calls only fail for want of memory, which the policy speaks of.
    OfMemory,
    /// Another call is to fail, after so many that have.
    Other { fired: u64 },
    /// It did: what an allocator makes of that, no policy says. Promises to callers hold all the same.
    Apart,
}

impl Twin {
    /// The twin of a target that nothing was asked of yet; `None` where nobody here knows its policy, or its devices
    /// are none that could be simulated alike.
    pub(crate) fn of(target: &mut dyn Target, setup: &Setup) -> Option<Twin> {
        let info = target.info();
        let name: TargetName = info.name.parse().ok()?;
        if !info.can(Capability::ExactPolicy) {
            return None;
        }
        let world = world(info, setup);
        let (mut sound, beside) = if let Some(followed) = target.followed_devices() {
            let Followed { devices, logs, release } = followed;
            (target::sound_following(&name, &release, devices, &world).ok()?, Beside::followed(logs))
        } else if name.place == "sim" {
            (target::open_here(&target::sound_reference(&name), &world).ok()?, Beside::Alike)
        } else {
            let (devices, logs) = target.told_devices()?.into_iter().unzip();
            (target::sound_beside(&name, devices, &world).ok()?, Beside::Told(logs))
        };
        let mut events = Vec::new();
        sound.take_events(&mut events);
        let faults = if name.allocator == "reference" { Faults::Alike } else { Faults::OfMemory };
        let mut twin = Twin { sound, seen: Observation::default(), events, faults, beside };
        twin.begin_like(target);
        Some(twin)
    }

    /// What a process has left of the limits that its settings began with is in force here, too.
    fn begin_like(&mut self, target: &mut dyn Target) {
        if !self.beside.is_followed() {
            return;
        }
        let mut first = Observation::default();
        target.observe(&mut first);
        for (device, view) in (0..).map(DeviceId).zip(&first.devices) {
            self.sound.apply(&Op::SetFraction { device: Some(device), fraction: view.fraction });
        }
        self.sound.observe(&mut self.seen);
        self.beside.begin(&first);
    }

    /// Lives an operation of which nothing has to be compared. What is written on an idle stream need not be lived: it leaves
    /// nothing behind but contents, and nobody reads the twin's.
    pub(super) fn live(&mut self, op: &Op) {
        self.sound.apply(op);
    }

    /// Where its devices are the target's, they show what those show; a call that only one of the two made is a departure.
    fn share_devices(&mut self, after: &Observation) -> Option<Difference> {
        if self.beside.is_alike() {
            return None;
        }
        for (own, theirs) in self.seen.devices.iter_mut().zip(&after.devices) {
            own.free_bytes = theirs.free_bytes;
            own.total_bytes = theirs.total_bytes;
            own.idle = theirs.idle;
            own.faults_fired = theirs.faults_fired;
        }
        self.beside.settle(after).map(|(device, call)| compare::call(device, call))
    }

    /// Whether a device call has failed of which the policy does not say what follows.
    fn goes_apart(&mut self, op: &Op, after: &Observation) -> bool {
        let fired = || after.devices.iter().map(|device| u64::from(device.faults_fired)).sum::<u64>();
        match (self.faults, op) {
            (Faults::Alike, _) => {}
            // Past what a size can be PyTorch computes with what is left of it, and promises to callers are broken.
            (_, Op::Alloc { bytes, .. }) if i64::try_from(*bytes).is_err() => self.faults = Faults::Apart,
            (Faults::OfMemory, Op::Fault { call, error, .. }) if !is_of_memory(*call, *error) => {
                self.faults = Faults::Other { fired: fired() };
            }
            (Faults::Other { fired: before }, _) if fired() > before => self.faults = Faults::Apart,
            _ => {}
        }
        self.faults == Faults::Apart
    }

    /// Lives one operation that the target was asked, and says where the two part; `events` is what the target did to its
    /// devices, if it tells. After the first departure a twin has nothing more to say: everything that follows may be a
    /// consequence.
    pub(super) fn follow(
        &mut self,
        op: &Op,
        reply: &Reply,
        after: &Observation,
        events: Option<&Vec<Vec<TraceEvent>>>,
    ) -> Option<Violation> {
        // What is asked of the device itself, and what memory holds, the device answers.
        let is_of_device = match op {
            Op::MemoryInfo { .. } => !self.beside.is_alike(),
            // Its own device is not to fail where the policy ends: what memory is got and given back by, two allocators
            // call otherwise.
            Op::Fault { call, error, .. } => self.faults != Faults::Alike && !is_of_memory(*call, *error),
            _ => false,
        };
        if self.goes_apart(op, after) || is_of_device || matches!(op, Op::Verify { .. }) {
            self.beside.settle(after);
            // What was told with it is of operations before.
            let (own, theirs) = self.beside.events(&mut [])?;
            let difference = compare::events(&own, &theirs).filter(|_| self.faults != Faults::Apart)?;
            return Some(violation(op, &difference, reply, reply));
        }
        if reply.is_dropped() {
            return None; // it was not asked there either
        }
        self.beside.begin_operation(reply, after);
        if let Some(pool) = self.beside.take_pool() {
            self.sound.number_pool(pool);
        }
        let predicted = match op {
            // PyTorch's Python takes a device below 0 for the current one, which is a promise broken and no other policy.
            &Op::Alloc { block, device: Some(DeviceId(..0)), stream, bytes, via } if self.beside.is_followed() => {
                self.sound.apply(&Op::Alloc { block, device: None, stream, bytes, via })
            }
            op => self.sound.apply(op),
        };
        self.sound.observe(&mut self.seen);
        let unlike = self.share_devices(after);
        self.sound.take_events(&mut self.events);
        if self.beside.is_lost() || (self.faults != Faults::Alike && self.sound.is_uncertain()) {
            self.faults = Faults::Apart;
            return None;
        }
        // What was done comes before what was answered, and both before the figures of it.
        let difference = unlike
            .or_else(|| match self.beside.events(&mut self.events) {
                Some((own, theirs)) => compare::events(&own, &theirs),
                None if self.beside.is_followed() => None, // told later
                None => compare::events(&self.events, events?),
            })
            .or_else(|| match self.faults {
                Faults::Alike => compare::replies(&predicted, reply),
                _ if self.beside.is_followed() => compare::followed_replies(&predicted, reply),
                _ => compare::foreign_replies(&predicted, reply),
            })
            .or_else(|| compare::observations(&self.seen, after))?;
        Some(violation(op, &difference, &predicted, reply))
    }
}

/// Whether a planned failure is one for want of memory.
fn is_of_memory(call: DeviceCall, error: Option<FaultError>) -> bool {
    matches!(call, DeviceCall::Reserve | DeviceCall::Map) && matches!(error, None | Some(FaultError::OutOfMemory))
}

/// The world as the target has it: it may have other devices than were asked for.
fn world(info: &TargetInfo, setup: &Setup) -> Setup {
    Setup {
        device_bytes: info.devices.iter().map(|device| device.total_bytes).collect(),
        streams: info.streams,
        config: setup.config.clone(),
    }
}

fn violation(op: &Op, difference: &Difference, predicted: &Reply, reply: &Reply) -> Violation {
    let Difference { what, expected, actual, .. } = difference;
    let asked = op.to_line();
    let message = Text::new(
        format!("after `{asked}` {} was {actual}, where PyTorch's policy comes to {expected}", what.en),
        format!("`{asked}` 之后{}为 {actual}，而按 PyTorch 的策略应为 {expected}", what.zh),
    );
    let violation = Violation::new(OracleName::Exact, FailureKey::DEPARTURE.cited, message);
    let violation = violation.figure(what.clone(), expected.as_str(), actual.as_str());
    let (Some(due), Some(text)) = (compare::text(predicted), compare::text(reply)) else { return violation };
    if !difference.is_of_text {
        return violation;
    }
    violation.with("the text", "文本", text).with("the text by the policy", "按策略的文本", due)
}

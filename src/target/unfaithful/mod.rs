//! A reporter that does its work soundly and tells one thing wrongly: a target around another one.
//!
//! Decides when the one thing is wrong and shows it so. Changes nothing of what the target within does, asks it nothing
//! of its own, and leaves everything else as it is. How numbers in answers are found is in `answers` and `text`.

mod answers;
mod events;
mod figures;
#[cfg(test)]
mod tests;
mod text;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::meant::likely;
use super::{Lost, Target, TargetError, TargetName, open_here};
use crate::op::corruption::{Corruption, CorruptionError, Occasion};
use crate::op::observable::Observable;
use crate::op::trace::TraceEvent;
use crate::op::{DeviceId, Misuse, Observation, Op, Reply, Setup, TargetInfo, Versions};

/// The option of a target's name.
pub(super) const OPTION: &str = "unfaithful";

/// In an answer that is wrong now and then, it is so each time after so many.
const OFTEN: u64 = 4;

/// A figure that is wrong now and then is so after each so many operations.
const SELDOM: u64 = 64;

/// A target that tells one thing wrongly.
pub(super) struct Unfaithful {
    inner: Box<dyn Target>,
    info: TargetInfo,
    corruption: Corruption,
    /// What there is to be seen, and what there was before the latest operation.
    truth: Observation,
    earlier: Observation,
    shown: Observation,
    begun: bool,
    operations: u64,
    /// The latest operation failed; the one before it did; any did.
    failed: bool,
    failed_before: bool,
    has_failed: bool,
    /// By device, the change that is not counted, once there was one.
    lost: Vec<Option<i64>>,
    caller: u8,
    current: BTreeMap<u8, usize>,
    /// The latest answers, by operation and device.
    answers: BTreeMap<(&'static str, usize), Reply>,
    /// The latest event of any device.
    event: Option<TraceEvent>,
    /// Answers and events that could have been wrong.
    chances: u64,
    /// How often something was told wrongly.
    told: Arc<AtomicU64>,
}

/// Opens the target of a name without the option, and lets it tell wrongly what the option says.
///
/// # Errors
/// An option that names no observable, kind or occasion; and whatever the target within says.
pub(super) fn open(name: &TargetName, text: &str, setup: &Setup) -> Result<Box<dyn Target>, TargetError> {
    let corruption = read(name, text)?;
    let inner = open_here(&name.inner(&[OPTION]), setup)?;
    Ok(Box::new(Unfaithful::new(inner, name.to_string(), corruption, Arc::default())))
}

fn read(name: &TargetName, text: &str) -> Result<Corruption, TargetError> {
    text.parse().map_err(|error: CorruptionError| {
        let target = name.to_string();
        match error {
            CorruptionError::Observable { text } => {
                let all: Vec<(String, String)> = Observable::all().map(|o| (o.to_string(), o.what())).collect();
                let all: Vec<(&str, &str)> = all.iter().map(|(name, what)| (name.as_str(), what.as_str())).collect();
                let hint = nearest(&text, &all);
                TargetError::UnknownObservable { target, observable: text, hint }
            }
            CorruptionError::Wrong { ref text } => TargetError::BadOption {
                target,
                reason: hinted(&error, text, &pairs(crate::op::corruption::Wrong::ALL, |w| (w.name(), w.what()))),
            },
            CorruptionError::Occasion { ref text } => TargetError::BadOption {
                target,
                reason: hinted(&error, text, &pairs(Occasion::ALL, |o| (o.name(), o.what()))),
            },
            other => TargetError::BadOption { target, reason: other.to_string() },
        }
    })
}

fn pairs<T: Copy>(all: &[T], of: impl Fn(T) -> (&'static str, &'static str)) -> Vec<(&'static str, &'static str)> {
    all.iter().map(|&one| of(one)).collect()
}

fn hinted(error: &CorruptionError, text: &str, all: &[(&str, &str)]) -> String {
    likely(text, all).map_or_else(|| error.to_string(), |hint| format!("{error}: did you mean `{hint}`?"))
}

/// A name with its points is one word to whoever types it: a slip is looked for first.
fn nearest(text: &str, all: &[(&str, &str)]) -> Option<String> {
    let close = all.iter().map(|(name, _)| (strsim::damerau_levenshtein(name, text), *name)).min();
    match close {
        Some((distance, name)) if distance <= 3 && text.len() <= 200 => Some(name.to_owned()),
        _ => likely(text, all),
    }
}

/// Opens a target and lets it tell one thing wrongly, without claiming anybody's policy; `told` counts how often it did.
///
/// # Errors
/// As `target::open_here`.
pub fn open_counted(
    name: &TargetName,
    setup: &Setup,
    corruption: Corruption,
    told: &Arc<AtomicU64>,
) -> Result<Box<dyn Target>, TargetError> {
    let inner = open_here(name, setup)?;
    let mut named = name.clone();
    named.options.push((OPTION.to_owned(), Some(corruption.to_string())));
    let mut target = Unfaithful::new(inner, named.to_string(), corruption, Arc::clone(told));
    target.info.capabilities.retain(|c| !matches!(c, crate::op::Capability::Policy(_)));
    Ok(Box::new(target))
}

impl Unfaithful {
    fn new(inner: Box<dyn Target>, name: String, corruption: Corruption, told: Arc<AtomicU64>) -> Self {
        let info = TargetInfo { name, ..inner.info().clone() };
        Unfaithful {
            lost: vec![None; info.devices.len()],
            info,
            inner,
            corruption,
            truth: Observation::default(),
            earlier: Observation::default(),
            shown: Observation::default(),
            begun: false,
            operations: 0,
            failed: false,
            failed_before: false,
            has_failed: false,
            caller: 0,
            current: BTreeMap::new(),
            answers: BTreeMap::new(),
            event: None,
            chances: 0,
            told,
        }
    }

    fn begin(&mut self) {
        if !self.begun {
            self.begun = true;
            self.inner.observe(&mut self.truth);
            self.earlier.clone_from(&self.truth);
            self.show();
        }
    }

    /// Takes note of how the operation went.
    fn note(&mut self, op: &Op, reply: &Reply) {
        let fired = self.earlier.devices.iter().zip(&self.truth.devices).any(|(b, a)| b.faults_fired != a.faults_fired);
        self.operations += 1;
        self.failed_before = self.failed;
        self.failed = fired || reply.refusal().is_some();
        self.has_failed |= self.failed;
        match *op {
            Op::Caller { caller } => self.caller = caller,
            Op::SetCurrent { device } if reply.refusal().is_none() => {
                if let Some(device) = device.index(self.truth.devices.len()) {
                    self.current.insert(self.caller, device);
                }
            }
            _ => {}
        }
        if let Observable::Statistic(key) = self.corruption.observable {
            self.lose(key, op);
        }
    }

    /// The device that an answer is about.
    fn place(&self, op: &Op) -> Option<usize> {
        let current = || self.current.get(&self.caller).copied().unwrap_or(0);
        let named = |device: DeviceId| device.index(self.truth.devices.len());
        match *op {
            Op::Alloc { device, .. } | Op::GetFraction { device } => device.map_or(Some(current()), named),
            _ => op.device().and_then(named),
        }
    }

    /// Whether a figure of the device is wrong now.
    fn is_due(&self, device: usize) -> bool {
        match self.corruption.occasion {
            Occasion::Always => true,
            Occasion::AfterFailure => self.failed,
            Occasion::SinceFailure => self.has_failed,
            Occasion::OtherDevices => device > 0,
            Occasion::NowAndThen => self.operations > 0 && self.operations.is_multiple_of(SELDOM),
        }
    }

    /// Whether an answer about the device is wrong.
    fn is_answer_due(&self, device: usize) -> bool {
        match self.corruption.occasion {
            Occasion::Always => true,
            Occasion::AfterFailure => self.failed_before,
            Occasion::SinceFailure => self.has_failed,
            Occasion::OtherDevices => device > 0,
            Occasion::NowAndThen => self.chances % OFTEN == OFTEN - 1,
        }
    }

    fn count(&self, is_wrong: bool) {
        if is_wrong {
            self.told.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Target for Unfaithful {
    fn info(&self) -> &TargetInfo {
        &self.info
    }

    fn versions(&self) -> Versions {
        self.inner.versions()
    }

    fn apply(&mut self, op: &Op) -> Reply {
        self.begin();
        let reply = self.inner.apply(op);
        std::mem::swap(&mut self.earlier, &mut self.truth);
        self.inner.observe(&mut self.truth);
        self.note(op, &reply);
        self.show();
        self.answer(op, reply)
    }

    fn observe(&mut self, into: &mut Observation) {
        self.begin();
        into.clone_from(&self.shown);
    }

    fn take_misuse(&mut self, into: &mut Vec<Misuse>) {
        self.inner.take_misuse(into);
    }

    fn take_events(&mut self, into: &mut Vec<Vec<TraceEvent>>) -> bool {
        let tells = self.inner.take_events(into);
        if tells {
            self.retell(into);
        }
        tells
    }

    fn lost(&self) -> Option<&Lost> {
        self.inner.lost()
    }

    fn close(&mut self) {
        self.inner.close();
    }

    fn poisoned(&self) -> Option<i32> {
        self.inner.poisoned()
    }
}

//! Refusal: what must be refused is, with the right class and a message; what must be served is; and a call
//! that is refused, asks for nothing or only looks changes nothing.
//!
//! What the numbers in a message say is `message`'s. Does not cover: the rest of its wording, refusals for lack of memory that should not be (`exhaustion`),
//! classes where a planned fault fired in the step on a
//! device that it is about, and peaks after a refusal (`peak`).

use super::cite::{
    ARG_01, ARG_02, ARG_03, CAPT_06, CONF_04, CONF_05, CONF_06, CONF_07, FRAC_02, FRAC_05, HUGE_01, HUGE_02, LIVE_04,
    OOM_01, OOM_02, OOM_05, OOM_06, OOM_07, SUMM_01, SUMM_02, SUMM_03, TELE_02, ZERO_01, ZERO_02, say,
};
use super::message::{self, Figures};
use super::view::{answered, first_difference, fraction, refusal};
use super::{Oracle, Seen};
use crate::model::{Effect, Law};
use crate::op::stats::{Column, Key, Row};
use crate::op::{Capability, Family, Op, OracleName, Pointer, RefusalClass, TargetInfo, Text, Via, wording};
use crate::requirement::RequirementId;
use crate::verdict::Violation;

pub(super) struct Refusal {
    capabilities: std::collections::BTreeSet<Capability>,
    figures: Figures,
}

impl Refusal {
    pub(super) fn new(info: &TargetInfo) -> Self {
        Refusal { capabilities: info.capabilities.clone(), figures: Figures::new(info) }
    }

    /// Whether an answer of `class` counts as one of `wanted` for this target.
    fn is_honest(&self, op: &Op, class: RefusalClass, wanted: &[RefusalClass]) -> bool {
        let untyped = !self.capabilities.contains(&Capability::OomTyped) && wanted.contains(&RefusalClass::OutOfMemory);
        let unsupported = class == RefusalClass::Unsupported
            && needs(op).is_some_and(|capability| !self.capabilities.contains(&capability));
        wanted.contains(&class) || untyped || unsupported
    }

    /// The classes that the law accepts, and whether an answer without a refusal is accepted too.
    fn judge_class(&self, seen: &Seen<'_>, op: &Op, law: Law, found: &mut Vec<Violation>) {
        let (wanted, may_serve): (&[RefusalClass], bool) = match law {
            Law::Any => return,
            Law::MustRefuse(ref class) => (std::slice::from_ref(class), false),
            Law::MustRefuseAny(classes) => (classes, false),
            Law::MayLackMemory => (&[RefusalClass::OutOfMemory], true),
            Law::MustServe => (&[], true),
        };
        match seen.reply.refusal() {
            None if may_serve => {}
            Some(refusal) if self.is_honest(op, refusal.class, wanted) => {}
            refusal => {
                let asked = op.to_line();
                let message = explain(seen, &asked, wanted, may_serve);
                let mut about = seen.scope().positions(seen.before.devices.len());
                let after_fault = about.any(|d| seen.before.devices[d].faults_fired > 0);
                let sticky = after_fault && refusal.is_some_and(|r| r.class == RefusalClass::DeviceError);
                let requirement = if sticky { Some(OOM_06) } else { promise(seen, op) };
                let expected = due(wanted, may_serve);
                let what = say!("answer to `{asked}`", "`{asked}` 的应答");
                let violation =
                    Violation::new(self.name(), requirement, message).figure(what, expected, answered(seen.reply));
                found.push(match refusal {
                    Some(refusal) => violation.with("message", "信息", &refusal.message),
                    None => violation,
                });
            }
        }
    }

    /// A refused call, or one that asks for nothing, leaves everything as it was.
    fn judge_unchanged(
        &self,
        seen: &Seen<'_>,
        op: &Op,
        requirement: Option<RequirementId>,
        found: &mut Vec<Violation>,
    ) {
        let moved = first_difference(seen.before, seen.after).filter(|moved| !seen.may_have_noticed(moved.device));
        if let Some(moved) = moved {
            let (asked, answer) = (op.to_line(), seen.reply.to_line());
            let (device, what, before, after) = (moved.device, moved.what, moved.before, moved.after);
            let message = say!(
                "`{asked}` (answer: `{answer}`) moved {what} of device {device} from {before} to {after}, though such a call changes nothing",
                "`{asked}`（应答：`{answer}`）使设备 {device} 的 {what} 从 {before} 变为 {after}，而此类调用不得改变任何状态"
            );
            let violation = Violation::new(self.name(), requirement, message);
            found.push(violation.figure(moved.name, before, after));
        }
    }

    /// A request that got no memory leaves what is allocated as it was; what was waiting may become free.
    fn judge_accounts_kept(&self, seen: &Seen<'_>, op: &Op, found: &mut Vec<Violation>) {
        let requirement = if seen.fired_in_scope() {
            OOM_06
        } else {
            promise(seen, op).filter(|r| ![OOM_01, LIVE_04].contains(r)).unwrap_or(OOM_02)
        };
        let convict = |message: Text| Violation::new(OracleName::Refusal, Some(requirement), message);
        let asked = op.to_line();
        for (device, (before, after)) in seen.before.devices.iter().zip(&seen.after.devices).enumerate() {
            for family in [
                Family::Allocation,
                Family::AllocatedBytes,
                Family::Active,
                Family::ActiveBytes,
                Family::RequestedBytes,
            ] {
                let fixed = matches!(family, Family::Allocation | Family::AllocatedBytes);
                for &row in Row::ALL {
                    for column in [Column::Current, Column::Allocated, Column::Freed] {
                        let value = |view: &crate::op::DeviceView| view.stats.get(family, row).column(column);
                        let (was, is) = (value(before), value(after));
                        let kept =
                            was == is || !fixed && (column == Column::Freed || column == Column::Current && is < was);
                        if !kept {
                            let key = Key::Family(family, row, column);
                            let (was, is) = (wording::amount(key, was), wording::amount(key, is));
                            let message = say!(
                                "`{asked}` was refused, but {key} of device {device} went from {was} to {is}",
                                "`{asked}` 被拒绝，但设备 {device} 的 {key} 从 {was} 变为 {is}"
                            );
                            found.push(convict(message).figure(wording::statistic(key, device), was, is));
                            return;
                        }
                    }
                }
            }
            let (was, is) = (before.fraction, after.fraction);
            if was.to_bits() != is.to_bits() {
                let message = say!(
                    "`{asked}` was refused, but the fraction of device {device} went from {was} to {is}",
                    "`{asked}` 被拒绝，但设备 {device} 的比例从 {was} 变为 {is}"
                );
                found.push(convict(message).figure(fraction(device), was.to_string(), is.to_string()));
                return;
            }
        }
    }
}

/// What was answered and what was due.
fn explain(seen: &Seen<'_>, asked: &str, wanted: &[RefusalClass], may_serve: bool) -> Text {
    let names = names(wanted);
    let Some(refusal) = seen.reply.refusal() else {
        let answer = seen.reply.to_line();
        return say!(
            "`{asked}` was answered `{answer}` instead of being refused as {names}",
            "`{asked}` 得到应答 `{answer}`，而非以 {names} 被拒绝"
        );
    };
    let class = refusal.class.name();
    if !may_serve {
        say!(
            "`{asked}` was refused as {class} instead of as {names}",
            "`{asked}` 以 {class} 被拒绝，而非以 {names} 被拒绝"
        )
    } else if wanted.is_empty() {
        say!("`{asked}` was refused as {class} instead of being served", "`{asked}` 以 {class} 被拒绝，而非成功")
    } else {
        say!(
            "`{asked}` was refused as {class}, where only {names} could be a reason",
            "`{asked}` 以 {class} 被拒绝，而可能的理由只有 {names}"
        )
    }
}

/// The answer that was due.
fn due(wanted: &[RefusalClass], may_serve: bool) -> Text {
    let names = names(wanted);
    match (may_serve, wanted.is_empty()) {
        (true, true) => Text::new("served", "成功"),
        (true, false) => say!("served, or refused as {names}", "成功，或以 {names} 拒绝"),
        (false, _) => refusal(&names),
    }
}

fn names(classes: &[RefusalClass]) -> String {
    classes.iter().map(|class| class.name()).collect::<Vec<_>>().join("/")
}

/// What a target that serves the operation must have declared.
fn needs(op: &Op) -> Option<Capability> {
    Some(match op {
        Op::Alloc { via: Via::Tensor, .. } => Capability::Tensors,
        Op::FreePointer { .. } => Capability::RawFree,
        Op::RecordStream { .. } => Capability::RecordStream,
        Op::Use { .. } | Op::Occupy { .. } | Op::Finish { .. } | Op::WaitStream { .. } => Capability::StreamControl,
        Op::EmptyCache => Capability::EmptyCache,
        Op::ResetPeak { .. } => Capability::PeakReset,
        Op::ResetAccumulated { .. } => Capability::AccumulatedReset,
        Op::SetFraction { .. } | Op::GetFraction { .. } => Capability::MemoryFraction,
        Op::SetSettings { .. } => Capability::SettingsChange,
        Op::SetCaching { .. } => Capability::CachingSwitch,
        Op::SetCurrent { .. } => Capability::CurrentDevice,
        Op::Caller { .. } => Capability::Callers,
        Op::Dictionary { .. } => Capability::Dictionary,
        Op::Summary { .. } => Capability::Summary,
        Op::Snapshot => Capability::Snapshot,
        Op::MemoryInfo { .. } => Capability::MemoryInfo,
        Op::Fill { .. } | Op::Verify { .. } => Capability::Contents,
        Op::Neighbour { .. } => Capability::Neighbours,
        Op::Fault { .. } => Capability::Faults,
        Op::PoolCreate { .. } | Op::PoolEnter { .. } | Op::PoolExit { .. } | Op::PoolDelete { .. } => {
            Capability::PrivatePools
        }
        Op::CaptureBegin { .. } | Op::CaptureEnd { .. } | Op::GraphReset { .. } => Capability::GraphCapture,
        _ => return None,
    })
}

/// The promise behind a call that only looks, or says how later ones are to be served.
fn looks(op: &Op) -> Option<RequirementId> {
    Some(match op {
        Op::Dictionary { .. } => SUMM_01,
        Op::Summary { .. } => SUMM_02,
        Op::Snapshot => SUMM_03,
        Op::MemoryInfo { .. } => TELE_02,
        Op::GetFraction { .. } => FRAC_05,
        Op::SetSettings { .. } => CONF_04,
        Op::SetCaching { .. } => CONF_06,
        _ => return None,
    })
}

/// The promise behind the law of an operation.
fn promise(seen: &Seen<'_>, op: &Op) -> Option<RequirementId> {
    if op.device().is_some_and(|d| d.index(seen.after.devices.len()).is_none()) {
        return Some(ARG_01);
    }
    Some(match *op {
        Op::Alloc { bytes: 0, .. } => ZERO_01,
        Op::Alloc { bytes, .. } if seen.model.is_unroundable(bytes) => HUGE_02,
        Op::Alloc { bytes, .. } => {
            let (total, others) =
                seen.model.device_of(op).map_or((0, 0), |d| (seen.model.total_bytes(d), seen.model.held_by_others(d)));
            match bytes {
                _ if bytes > total => HUGE_01,
                _ if bytes > total - others => OOM_07,
                _ => OOM_01,
            }
        }
        Op::SetFraction { fraction, .. } if !(0.0..=1.0).contains(&fraction) => FRAC_02,
        Op::SetSettings { .. } => CONF_05,
        Op::CaptureBegin { pool: Some(_), .. } => CAPT_06,
        Op::FreePointer { pointer } => match pointer {
            Pointer::Null => ZERO_02,
            Pointer::Freed { .. } => ARG_02,
            Pointer::Interior { .. } | Pointer::Wild { .. } => ARG_03,
        },
        Op::Free { block } => {
            let empty = seen.model.block(block).is_some_and(|live| live.bytes == 0);
            let switched = seen.model.block(block).is_some_and(|live| live.direct) || !seen.model.is_caching();
            match (empty, switched) {
                (true, _) => ZERO_02,
                (false, true) => CONF_07,
                (false, false) => LIVE_04,
            }
        }
        _ => looks(op).unwrap_or(LIVE_04),
    })
}

impl Oracle for Refusal {
    fn name(&self) -> OracleName {
        OracleName::Refusal
    }

    fn judge(&mut self, seen: &Seen<'_>, found: &mut Vec<Violation>) {
        let Some(op) = seen.asked() else { return };
        // a fault that did not fire explains nothing
        let fault = seen.fired_in_scope();
        // What was to be served before it was asked, no fault in play, was; only of a pool entered is the law another then.
        let served = seen.reply.refusal().is_none() && !matches!(op, Op::PoolEnter { .. });
        if !(served && matches!(seen.law, Law::MustServe | Law::MayLackMemory)) {
            let law = if fault { seen.law } else { seen.model.law_without_faults(op) };
            self.judge_class(seen, op, law, found);
        }
        let Some(refusal) = seen.reply.refusal() else {
            let nothing = match (seen.effect, op) {
                (Effect::AllocatedNothing(_), _) => Some(ZERO_01),
                (Effect::Freed(_, live), _) if live.bytes == 0 => Some(ZERO_02),
                (_, Op::FreePointer { pointer: Pointer::Null }) => Some(ZERO_02),
                (_, op) if !fault => looks(op),
                _ => None,
            };
            if nothing.is_some() {
                self.judge_unchanged(seen, op, nothing, found);
            }
            return;
        };
        if refusal.message.trim().is_empty() {
            let asked = op.to_line();
            let message = say!("`{asked}` was refused without a message", "`{asked}` 被拒绝而没有说明信息");
            let requirement = if seen.reply.is_out_of_memory() { Some(OOM_05) } else { promise(seen, op) };
            let violation = Violation::new(self.name(), requirement, message);
            let (what, expected) =
                (Text::new("message of the refusal", "拒绝信息"), Text::new("a message", "说明信息"));
            found.push(violation.figure(what, expected, Text::new("empty", "空")));
        }
        // What a driver says of a request that was passed on to it is not the allocator's text.
        if seen.model.is_caching() || !seen.reply.is_out_of_memory() {
            found.extend(message::judge(seen, op, &refusal.message, self.figures));
        }
        match refusal.class {
            RefusalClass::InvalidArgument | RefusalClass::InvalidPointer | RefusalClass::Unsupported => {
                self.judge_unchanged(seen, op, promise(seen, op), found);
            }
            RefusalClass::OutOfMemory | RefusalClass::DeviceError => self.judge_accounts_kept(seen, op, found),
        }
    }
}

#[cfg(test)]
#[path = "refusal_test.rs"]
mod tests;

//! Refusal: what must be refused is, with the right class and a message; what must be served is; and a call
//! that is refused, asks for nothing or only looks changes nothing.
//!
//! Does not cover: the wording of messages, refusals for lack of memory that should not be (`exhaustion`),
//! classes where a planned fault fired in the step, and peaks after a refusal (`peak`).

use super::cite::{
    ARG_01, ARG_02, ARG_03, FRAC_02, FRAC_05, HUGE_01, HUGE_02, OOM_01, OOM_02, OOM_05, OOM_06, SUMM_01, SUMM_02,
    SUMM_03, TELE_02, ZERO_01, ZERO_02, say,
};
use super::view::first_difference;
use super::{Oracle, Seen};
use crate::model::{Effect, Law};
use crate::op::stats::{Column, Row};
use crate::op::{Capability, Family, Op, OracleName, Pointer, RefusalClass, TargetInfo, Text, Via};
use crate::requirement::RequirementId;
use crate::verdict::Violation;

pub(super) struct Refusal {
    capabilities: std::collections::BTreeSet<Capability>,
}

impl Refusal {
    pub(super) fn new(info: &TargetInfo) -> Self {
        Refusal { capabilities: info.capabilities.clone() }
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
                let message = explain(seen, op, wanted, may_serve);
                let after_fault = seen.before.devices.iter().any(|d| d.faults_fired > 0);
                let sticky = after_fault && refusal.is_some_and(|r| r.class == RefusalClass::DeviceError);
                let requirement = if sticky { Some(OOM_06) } else { promise(seen, op) };
                let violation = Violation::new(self.name(), requirement, message);
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
        if let Some(moved) = first_difference(seen.before, seen.after) {
            let (asked, answer) = (op.to_line(), seen.reply.to_line());
            let (device, what, before, after) = (moved.device, moved.what, moved.before, moved.after);
            let message = say!(
                "`{asked}` (answer: `{answer}`) must change nothing, but {what} of device {device} went from {before} to {after}",
                "`{asked}`（应答：`{answer}`）不得改变任何状态，但设备 {device} 的 {what} 从 {before} 变为 {after}"
            );
            found.push(Violation::new(self.name(), requirement, message));
        }
    }

    /// A request that got no memory leaves what is allocated as it was; what was waiting may become free.
    fn judge_accounts_kept(&self, seen: &Seen<'_>, op: &Op, found: &mut Vec<Violation>) {
        let requirement =
            if seen.fault_fired() { OOM_06 } else { promise(seen, op).filter(|r| *r != OOM_01).unwrap_or(OOM_02) };
        let mut convict = |message: Text| found.push(Violation::new(OracleName::Refusal, Some(requirement), message));
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
                            let (family, row, column) = (family.name(), row.name(), column.name());
                            convict(say!(
                                "`{asked}` was refused, but {family}.{row}.{column} of device {device} went from {was} to {is}",
                                "`{asked}` 被拒绝，但设备 {device} 的 {family}.{row}.{column} 从 {was} 变为 {is}"
                            ));
                            return;
                        }
                    }
                }
            }
            let (was, is) = (before.fraction, after.fraction);
            if was.to_bits() != is.to_bits() {
                convict(say!(
                    "`{asked}` was refused, but the fraction of device {device} went from {was} to {is}",
                    "`{asked}` 被拒绝，但设备 {device} 的比例从 {was} 变为 {is}"
                ));
                return;
            }
        }
    }
}

/// What the law says and what was answered.
fn explain(seen: &Seen<'_>, op: &Op, wanted: &[RefusalClass], may_serve: bool) -> Text {
    let asked = op.to_line();
    let names: Vec<&str> = wanted.iter().map(|class| class.name()).collect();
    let names = names.join("/");
    let Some(refusal) = seen.reply.refusal() else {
        let answer = seen.reply.to_line();
        return say!(
            "`{asked}` must be refused as {names}, but was answered `{answer}`",
            "`{asked}` 必须以 {names} 被拒绝，却得到应答 `{answer}`"
        );
    };
    let class = refusal.class.name();
    if !may_serve {
        say!(
            "`{asked}` must be refused as {names}, but was refused as {class}",
            "`{asked}` 必须以 {names} 被拒绝，却以 {class} 被拒绝"
        )
    } else if wanted.is_empty() {
        say!("`{asked}` must be served, but was refused as {class}", "`{asked}` 必须成功，却以 {class} 被拒绝")
    } else {
        say!(
            "`{asked}` may only be refused as {names}, but was refused as {class}",
            "`{asked}` 只可以 {names} 被拒绝，却以 {class} 被拒绝"
        )
    }
}

/// What a target that serves the operation must have declared.
fn needs(op: &Op) -> Option<Capability> {
    Some(match op {
        Op::Alloc { via: Via::Tensor, .. } => Capability::Tensors,
        Op::FreePointer { .. } => Capability::RawFree,
        Op::RecordStream { .. } => Capability::RecordStream,
        Op::Use { .. } | Op::Occupy { .. } | Op::Finish { .. } => Capability::StreamControl,
        Op::EmptyCache => Capability::EmptyCache,
        Op::ResetPeak { .. } => Capability::PeakReset,
        Op::ResetAccumulated { .. } => Capability::AccumulatedReset,
        Op::SetFraction { .. } | Op::GetFraction { .. } => Capability::MemoryFraction,
        Op::SetCurrent { .. } => Capability::CurrentDevice,
        Op::Caller { .. } => Capability::Callers,
        Op::Dictionary { .. } => Capability::Dictionary,
        Op::Summary { .. } => Capability::Summary,
        Op::Snapshot => Capability::Snapshot,
        Op::MemoryInfo { .. } => Capability::MemoryInfo,
        Op::Fill { .. } | Op::Verify { .. } => Capability::Contents,
        Op::Fault { .. } => Capability::Faults,
        Op::PoolCreate { .. } | Op::PoolEnter { .. } | Op::PoolExit { .. } | Op::PoolDelete { .. } => {
            Capability::PrivatePools
        }
        Op::CaptureBegin { .. } | Op::CaptureEnd { .. } | Op::GraphReset { .. } => Capability::GraphCapture,
        _ => return None,
    })
}

/// The promise behind a call that only looks.
fn looks(op: &Op) -> Option<RequirementId> {
    Some(match op {
        Op::Dictionary { .. } => SUMM_01,
        Op::Summary { .. } => SUMM_02,
        Op::Snapshot => SUMM_03,
        Op::MemoryInfo { .. } => TELE_02,
        Op::GetFraction { .. } => FRAC_05,
        _ => return None,
    })
}

/// The promise behind the law of an operation; `None` leaves it to the scenario.
fn promise(seen: &Seen<'_>, op: &Op) -> Option<RequirementId> {
    if op.device().is_some_and(|d| d.index(seen.after.devices.len()).is_none()) {
        return Some(ARG_01);
    }
    Some(match *op {
        Op::Alloc { bytes: 0, .. } => ZERO_01,
        Op::Alloc { bytes, .. } if seen.model.is_unroundable(bytes) => HUGE_02,
        Op::Alloc { bytes, .. } => {
            let total = seen.model.device_of(op).map_or(0, |d| seen.model.total_bytes(d));
            if bytes > total { HUGE_01 } else { OOM_01 }
        }
        Op::SetFraction { fraction, .. } if !(0.0..=1.0).contains(&fraction) => FRAC_02,
        Op::FreePointer { pointer } => match pointer {
            Pointer::Null => ZERO_02,
            Pointer::Freed { .. } => ARG_02,
            Pointer::Interior { .. } | Pointer::Wild { .. } => ARG_03,
        },
        Op::Free { block } => {
            let empty = seen.model.block(block).is_some_and(|live| live.bytes == 0);
            return empty.then_some(ZERO_02);
        }
        _ => return None,
    })
}

impl Oracle for Refusal {
    fn name(&self) -> OracleName {
        OracleName::Refusal
    }

    fn judge(&mut self, seen: &Seen<'_>, found: &mut Vec<Violation>) {
        let Some(op) = seen.asked() else { return };
        // a fault that did not fire explains nothing
        let law = if seen.fault_fired() { seen.law } else { seen.model.law_without_faults(op) };
        self.judge_class(seen, op, law, found);
        let Some(refusal) = seen.reply.refusal() else {
            let nothing = match (seen.effect, op) {
                (Effect::AllocatedNothing(_), _) => Some(ZERO_01),
                (Effect::Freed(_, live), _) if live.bytes == 0 => Some(ZERO_02),
                (_, Op::FreePointer { pointer: Pointer::Null }) => Some(ZERO_02),
                (_, op) if !seen.fault_fired() => looks(op),
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
            found.push(Violation::new(self.name(), requirement, message));
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

//! The sound reference as a yardstick: whether what an author expects of some steps is met by an allocator that keeps the
//! policy the expectation is written for.
//!
//! Decides for which targets there is one. It convicts nobody: it only says which steps an expectation still holds for.

use crate::op::{DeviceId, Op, Policy, Setup, Step};
use crate::target::{self, TargetName};

use super::attempt::{Attempt, attempt};
use super::case::Case;
use super::lockstep::JudgedSequence;
use super::opener::{Named, inspect};

/// A sound allocator of the same policy and settings, on simulated devices.
pub(super) struct Yardstick {
    name: TargetName,
    /// The sizes of the target's devices, which may be others than the world asks for.
    device_bytes: Vec<u64>,
    /// The share of each that the target begins with, where the yardstick's settings do not say so.
    begins: Vec<Op>,
}

impl Yardstick {
    /// The yardstick of a target that claims PyTorch's policy; none for others, whose policy nobody here knows.
    pub(super) fn of(case: &Case<'_>, setup: &Setup) -> Option<Self> {
        let target: TargetName = case.target.parse().ok()?;
        let Ok(Ok((info, _))) = inspect(case.open, setup) else { return None };
        if !info.policies().any(|policy| policy == Policy::Pytorch2_11) {
            return None;
        }
        let device_bytes: Vec<u64> = info.devices.iter().map(|device| device.total_bytes).collect();
        let name = target::sound_reference(&target);
        let world = Setup { device_bytes: device_bytes.clone(), ..setup.clone() };
        let Ok(Ok((own, _))) = inspect(&Named(&name), &world) else { return None };
        let pairs = (0..).map(DeviceId).zip(info.devices.iter().zip(&own.devices));
        let begins =
            pairs.filter(|(_, (its, own))| its.limit_bytes != own.limit_bytes).filter_map(|(device, (its, _))| {
                let fraction = its.limit_bytes? as f64 / its.total_bytes as f64;
                Some(Op::SetFraction { device: Some(device), fraction })
            });
        let begins = begins.collect();
        Some(Yardstick { name, device_bytes, begins })
    }

    /// Whether it gets through the steps without a violation, leaving none of them out.
    pub(super) fn meets(&self, setup: &Setup, course: &JudgedSequence<'_>) -> bool {
        let open = Named(&self.name);
        let device_bytes = self.device_bytes.iter().copied().take(setup.device_bytes.len()).collect();
        let setup = Setup { device_bytes, ..setup.clone() };
        let begins = self.begins.iter().cloned().map(Step::from);
        let steps: Vec<Step> = begins.chain(course.steps.iter().cloned()).collect();
        let course = JudgedSequence { steps: &steps, ..*course };
        matches!(attempt(&open, &setup, &course), Ok(Attempt::Ran(run)) if run.conviction.is_none() && run.dropped == 0)
    }
}

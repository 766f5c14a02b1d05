//! The sound reference as a yardstick: whether what an author expects of some steps is met by an allocator that keeps the
//! policy the expectation is written for.
//!
//! Decides for which targets there is one. It convicts nobody: it only says which steps an expectation still holds for.

use crate::op::{Policy, Setup};
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
}

impl Yardstick {
    /// The yardstick of a target that claims PyTorch's policy; none for others, whose policy nobody here knows.
    pub(super) fn of(case: &Case<'_>, setup: &Setup) -> Option<Self> {
        let target: TargetName = case.target.parse().ok()?;
        let Ok(Ok((info, _))) = inspect(case.open, setup) else { return None };
        let device_bytes = info.devices.iter().map(|device| device.total_bytes).collect();
        info.policies()
            .any(|policy| policy == Policy::Pytorch2_11)
            .then(|| Yardstick { name: target::sound_reference(&target), device_bytes })
    }

    /// Whether it gets through the steps without a violation, leaving none of them out.
    pub(super) fn meets(&self, setup: &Setup, course: &JudgedSequence<'_>) -> bool {
        let open = Named(&self.name);
        let device_bytes = self.device_bytes.iter().copied().take(setup.device_bytes.len()).collect();
        let setup = Setup { device_bytes, ..setup.clone() };
        matches!(attempt(&open, &setup, course), Ok(Attempt::Ran(run)) if run.conviction.is_none() && run.dropped == 0)
    }
}

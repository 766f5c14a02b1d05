//! Device calls that fail because they were told to, and how many calls there were.
//!
//! Decides whether a call fails by plan. Does not decide what the call does otherwise.

use super::DeviceError;
use crate::op::DeviceCall;

/// The error code of a planned failure: CUDA's "unknown error".
pub const FAULT_CODE: i32 = 999;

/// Planned failures and the calls so far, by kind.
#[derive(Debug, Default)]
pub(super) struct Faults {
    calls: [u64; DeviceCall::ALL.len()],
    /// How many more calls succeed before the one that fails, one entry a plan.
    armed: Vec<(DeviceCall, u32)>,
    fired: u32,
}

impl Faults {
    pub(super) fn arm(&mut self, call: DeviceCall, skip: u32) {
        self.armed.push((call, skip));
    }

    pub(super) fn fired(&self) -> u32 {
        self.fired
    }

    pub(super) fn calls(&self, call: DeviceCall) -> u64 {
        self.calls[call as usize]
    }

    /// Counts a call; the error is the planned one. Plans that are due at the same call fire one after the other.
    pub(super) fn enter(&mut self, call: DeviceCall) -> Result<(), DeviceError> {
        self.calls[call as usize] += 1;
        if self.armed.is_empty() {
            return Ok(());
        }
        if let Some(due) = self.armed.iter().position(|&(c, skip)| c == call && skip == 0) {
            self.armed.remove(due);
            self.fired += 1;
            return Err(match call {
                DeviceCall::Reserve | DeviceCall::Map => DeviceError::OutOfMemory,
                _ => DeviceError::Failed { call, code: FAULT_CODE },
            });
        }
        for (_, skip) in self.armed.iter_mut().filter(|(c, _)| *c == call) {
            *skip -= 1; // none is 0: it would have fired
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_fire_once_each_and_only_for_their_call() {
        let mut faults = Faults::default();
        faults.arm(DeviceCall::Reserve, 1);
        faults.arm(DeviceCall::Reserve, 1);
        faults.arm(DeviceCall::QueryEvent, 0);
        let reserves: Vec<bool> = (0..4).map(|_| faults.enter(DeviceCall::Reserve).is_ok()).collect();
        assert_eq!(reserves, [true, false, false, true]);
        let query = DeviceCall::QueryEvent;
        assert_eq!(faults.enter(query), Err(DeviceError::Failed { call: query, code: FAULT_CODE }));
        assert_eq!(faults.enter(query), Ok(()));
        assert_eq!((faults.fired(), faults.calls(DeviceCall::Reserve), faults.calls(query)), (3, 4, 2));
    }
}

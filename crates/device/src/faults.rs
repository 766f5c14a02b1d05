//! Device calls that fail because they were told to, and how many calls there were.
//!
//! Decides whether a call fails by plan. Does not decide what the call does otherwise.

use super::DeviceError;
use crate::op::{DeviceCall, FaultError};

/// The error code of a planned failure: CUDA's "unknown error".
pub const FAULT_CODE: i32 = 999;

/// Planned failures and the calls so far, by kind.
#[derive(Debug, Default)]
pub struct Faults {
    calls: [u64; DeviceCall::ALL.len()],
    /// How many more calls succeed before the one that fails, one entry a plan.
    armed: Vec<(DeviceCall, u32, Option<FaultError>)>,
    fired: u32,
}

impl Faults {
    /// Has calls of a kind fail from the one after the next `skip`.
    pub fn arm(&mut self, call: DeviceCall, skip: u32, error: Option<FaultError>) {
        self.armed.push((call, skip, error));
    }

    /// How many calls were made to fail, or failed for what the device cannot help.
    pub fn fired(&self) -> u32 {
        self.fired
    }

    /// A call failed for what the device cannot help, and nobody planned.
    pub fn note_unplanned(&mut self) {
        self.fired += 1;
    }

    /// How many calls of a kind were asked for.
    pub fn calls(&self, call: DeviceCall) -> u64 {
        self.calls[call as usize]
    }

    /// Counts a call; the error is the planned one. Plans that are due at the same call fire one after the other.
    pub fn enter(&mut self, call: DeviceCall) -> Result<(), DeviceError> {
        self.calls[call as usize] += 1;
        if self.armed.is_empty() {
            return Ok(());
        }
        if let Some(due) = self.armed.iter().position(|&(c, skip, _)| c == call && skip == 0) {
            let (_, _, error) = self.armed.remove(due);
            self.fired += 1;
            return Err(match (error, call) {
                (Some(FaultError::OutOfMemory), _) | (None, DeviceCall::Reserve | DeviceCall::Map) => {
                    DeviceError::OutOfMemory
                }
                (Some(FaultError::InvalidValue), _) => DeviceError::InvalidValue { call },
                (Some(other), _) => DeviceError::Failed { call, code: other.code() },
                (None, _) => DeviceError::Failed { call, code: FAULT_CODE },
            });
        }
        for (_, skip, _) in self.armed.iter_mut().filter(|(c, _, _)| *c == call) {
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
        faults.arm(DeviceCall::Reserve, 1, None);
        faults.arm(DeviceCall::Reserve, 1, None);
        faults.arm(DeviceCall::QueryEvent, 0, None);
        faults.arm(DeviceCall::Map, 0, Some(FaultError::NotPermitted));
        let reserves: Vec<bool> = (0..4).map(|_| faults.enter(DeviceCall::Reserve).is_ok()).collect();
        assert_eq!(reserves, [true, false, false, true]);
        let query = DeviceCall::QueryEvent;
        assert_eq!(faults.enter(query), Err(DeviceError::Failed { call: query, code: FAULT_CODE }));
        assert_eq!(faults.enter(query), Ok(()));
        let refused = DeviceError::Failed { call: DeviceCall::Map, code: 800 };
        assert_eq!(faults.enter(DeviceCall::Map), Err(refused));
        assert_eq!((faults.fired(), faults.calls(DeviceCall::Reserve), faults.calls(query)), (4, 4, 2));
    }
}

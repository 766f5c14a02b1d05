//! What a worker has told of its target, checked before the harness goes by it.
//!
//! Decides which answers make sense as the answer to what was asked. Knows no pipe and no deadline: those are
//! `process`'s.

use super::super::TargetError;
use super::super::lost::ProtocolError;
use super::protocol::{Answer, Changed, MOST_DEVICES};
use crate::op::{Observation, Reply, StreamId, TargetInfo, Versions};

/// A target as its worker describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// What the target says of itself.
    pub info: TargetInfo,
    /// What runs under its name.
    pub versions: Versions,
    /// As told last.
    pub seen: Observation,
}

/// Why no later call can succeed in the worker, where it says so.
pub type Poisoned = Option<String>;

impl Told {
    /// From the answer to `open`; `Ok(Err)` where the target cannot be opened.
    ///
    /// # Errors
    /// An answer to something else, or one that contradicts itself.
    pub fn opened(answer: Answer) -> Result<Result<Told, TargetError>, ProtocolError> {
        match answer {
            Answer::Opened { info, versions, devices } => {
                if info.devices.len() > MOST_DEVICES || !(1..=StreamId::LIMIT).contains(&info.streams) {
                    return Err(ProtocolError::Unbelievable { devices: info.devices.len(), streams: info.streams });
                }
                let mut told = Told { info, versions, seen: Observation::default() };
                told.seen.devices.resize_with(told.info.devices.len(), Default::default);
                told.take_in(&devices).map(|()| Ok(told))
            }
            Answer::Refused { error } => Ok(Err(error)),
            other => Err(ProtocolError::Unexpected { asked: "open", answered: other.name() }),
        }
    }

    /// From the answer to `apply`.
    ///
    /// # Errors
    /// An answer to something else, or one that contradicts an earlier one.
    pub fn applied(&mut self, answer: Answer) -> Result<(Reply, Poisoned), ProtocolError> {
        match answer {
            Answer::Applied { reply, devices, poisoned } => self.take_in(&devices).map(|()| (reply, poisoned)),
            other => Err(ProtocolError::Unexpected { asked: "apply", answered: other.name() }),
        }
    }

    /// From the answer to `observe`.
    ///
    /// # Errors
    /// As `applied`.
    pub fn observed(&mut self, answer: Answer) -> Result<Poisoned, ProtocolError> {
        match answer {
            Answer::Observed { devices, poisoned } => self.take_in(&devices).map(|()| poisoned),
            other => Err(ProtocolError::Unexpected { asked: "observe", answered: other.name() }),
        }
    }

    /// A device that was never told stays as a default.
    fn take_in(&mut self, changed: &[Changed]) -> Result<(), ProtocolError> {
        let known = self.info.devices.len();
        if changed.len() != known {
            return Err(ProtocolError::Devices { told: changed.len(), known });
        }
        for (view, new) in self.seen.devices.iter_mut().zip(changed) {
            if let Some(new) = new {
                *view = *new;
            }
        }
        Ok(())
    }
}

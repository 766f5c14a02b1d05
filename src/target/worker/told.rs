//! What a worker has told of its target, checked before the harness goes by it.
//!
//! Decides which answers make sense as the answer to what was asked. Knows no pipe and no deadline: those are
//! `process`'s.

use super::super::TargetError;
use super::super::lost::ProtocolError;
use super::protocol::{Answer, Changed, MOST_DEVICES, Unopened, Waited};
use super::shown::Described;
use crate::op::trace::TraceEvent;
use crate::op::{DeviceInfo, DeviceView, Observation, Reply, StreamId, TargetInfo, Versions};

/// A target as its worker describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// What the target says of itself.
    pub described: Described,
    /// The same as the harness goes by it.
    pub info: TargetInfo,
    /// What runs under its name.
    pub versions: Versions,
    /// As told last.
    pub seen: Observation,
    /// What was done to each device since it was last asked for.
    pub events: Vec<Vec<TraceEvent>>,
    /// The latest operation told of events, and so of all up to now.
    pub tells_events: bool,
    /// What the latest operation waited for.
    pub waited: Vec<Waited>,
    /// How PyTorch numbers the pool that it made.
    pub pool: Option<(u64, u64)>,
}

/// The share of the device that its limit leaves from the start.
#[expect(clippy::cast_precision_loss, reason = "devices are far smaller than 2^53 bytes")]
fn fraction(device: &DeviceInfo) -> f64 {
    device
        .limit_bytes
        .filter(|&limit| limit < device.total_bytes)
        .map_or(1.0, |limit| limit as f64 / device.total_bytes as f64)
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
            Answer::Opened { info: described, versions, devices } => {
                let info = described.info();
                if info.devices.len() > MOST_DEVICES || !(1..=StreamId::LIMIT).contains(&info.streams) {
                    return Err(ProtocolError::Unbelievable { devices: info.devices.len(), streams: info.streams });
                }
                let mut told = Told {
                    described,
                    info,
                    versions,
                    seen: Observation::default(),
                    events: Vec::new(),
                    tells_events: false,
                    waited: Vec::new(),
                    pool: None,
                };
                told.events.resize_with(told.info.devices.len(), Vec::new);
                // What is never told of is as on a device that nobody uses.
                told.seen.devices.extend(told.info.devices.iter().map(|device| DeviceView {
                    total_bytes: device.total_bytes,
                    fraction: fraction(device),
                    idle: u64::MAX,
                    ..DeviceView::default()
                }));
                told.take_in(&devices).map(|()| Ok(told))
            }
            Answer::Refused { error: Unopened::Known(error) } => Ok(Err(error)),
            Answer::Refused { error: Unopened::Words { message } } => {
                Ok(Err(TargetError::Unavailable { target: "exec".to_owned(), reason: message }))
            }
            other => Err(ProtocolError::Unexpected { asked: "open", answered: other.name() }),
        }
    }

    /// From the answer to `apply`.
    ///
    /// # Errors
    /// An answer to something else, or one that contradicts an earlier one.
    pub fn applied(&mut self, answer: Answer) -> Result<(Reply, Poisoned), ProtocolError> {
        match answer {
            Answer::Applied { reply, devices, events, waited, pool, poisoned } => {
                (self.waited, self.tells_events, self.pool) = (waited, !events.is_empty(), pool);
                if events.len() > self.events.len() {
                    return Err(ProtocolError::Devices { told: events.len(), known: self.events.len() });
                }
                self.events.iter_mut().zip(events).for_each(|(known, new)| known.extend(new));
                self.take_in(&devices).map(|()| (reply, poisoned))
            }
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

    /// A list that is left out says that nothing changed.
    fn take_in(&mut self, changed: &[Changed]) -> Result<(), ProtocolError> {
        let known = self.info.devices.len();
        if !changed.is_empty() && changed.len() != known {
            return Err(ProtocolError::Devices { told: changed.len(), known });
        }
        for (view, new) in self.seen.devices.iter_mut().zip(changed) {
            if let Some(new) = new {
                new.onto(view);
            }
        }
        Ok(())
    }
}

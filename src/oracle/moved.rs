//! Which figures a step moved, found once for all judges, and which ones a judge has still to look at.
//!
//! Decides no verdict: a figure that stands as it stood when it was found in order is in order.

use super::Seen;
use crate::op::{Observation, Parts};

/// What of each device's statistics a step moved.
#[derive(Debug, Default)]
pub struct Moved(Vec<Parts>);

impl Moved {
    /// Becomes what a step moved.
    pub fn become_of(&mut self, before: &Observation, after: &Observation) {
        self.0.clear();
        let pairs = before.devices.iter().zip(&after.devices);
        self.0.extend(pairs.map(|(before, after)| before.stats.parts_unlike(&after.stats)));
    }

    /// Of one device; all, where it was not there before.
    #[must_use]
    pub fn on(&self, device: usize) -> Parts {
        self.0.get(device).copied().unwrap_or(Parts::ALL)
    }
}

/// Parts of each device's statistics that were not found in order as they stand. A judge that goes by it says in every
/// step what was moved, also in those that it does not judge; `before` of a step is `after` of the one before.
#[derive(Debug)]
pub(super) struct Pending(Vec<Parts>);

impl Pending {
    /// Of so many devices nothing was looked at.
    pub(super) fn new(devices: usize) -> Self {
        Pending(vec![Parts::ALL; devices])
    }

    /// What moved is to be looked at again.
    pub(super) fn note(&mut self, seen: &Seen<'_>) {
        self.0.resize(self.0.len().max(seen.after.devices.len()), Parts::ALL);
        self.0.iter_mut().enumerate().for_each(|(device, parts)| parts.add(seen.moved.on(device)));
    }

    pub(super) fn on(&self, device: usize) -> Parts {
        self.0.get(device).copied().unwrap_or(Parts::ALL)
    }

    /// What is left to look at on a device.
    pub(super) fn leave(&mut self, device: usize, parts: Parts) {
        if let Some(pending) = self.0.get_mut(device) {
            *pending = parts;
        }
    }
}

//! Floor 3, the asker: what to ask a target, and the least of it that still fails.
//!
//! Decides the operations of a generated sequence and how a failing one is made small. Asks nothing itself
//! and judges nothing: it does not know targets, oracles or the model.

mod blocks;
mod draft;
mod minimise;
mod redirect;
mod resolve;
mod room;
mod seed;
mod sequence;
mod size;
mod swarm;
#[cfg(test)]
mod tests;
mod weights;

use crate::op::{Setup, StreamId};
use crate::spec::Scenario;

pub use minimise::minimise;
pub use room::{Rooms, TooSmall, steps_on};
pub use seed::scatter;
pub use sequence::sequence;
pub use swarm::swarm;

/// The capacity of a device where a scenario names none.
const DEVICE_BYTES: u64 = 1 << 30;

/// The world of a scenario's sequence with that number: worlds take turns over the range of devices, and
/// capacities are repeated if there are fewer than devices.
#[must_use]
pub fn world(scenario: &Scenario, index: u32) -> Setup {
    let low = u32::from(*scenario.devices.start()).max(1);
    let high = u32::from(*scenario.devices.end()).max(low);
    let count = low + index % (high - low + 1);
    let capacity = |i: u32| {
        let given = &scenario.device_bytes;
        given.get(i as usize % given.len().max(1)).copied().unwrap_or(DEVICE_BYTES)
    };
    Setup {
        device_bytes: (0..count).map(capacity).collect(),
        streams: scenario.streams.clamp(1, StreamId::LIMIT),
        config: scenario.config.clone(),
    }
}

//! Floor 3, the asker: what to ask a target, and the least of it that still fails.
//!
//! Decides the operations of a generated sequence and how a failing one is made small. Asks nothing itself
//! and judges nothing: it does not know targets, oracles or the model.

mod blocks;
mod draft;
mod drawn;
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

use crate::op::{Setup, Step, StreamId};
use crate::spec::{Body, Generate, Scenario};

pub use drawn::{Choice, Offers};
pub use minimise::minimise;
pub use room::{Rooms, TooSmall, steps_on};
pub use seed::scatter;
pub use swarm::swarm;

use sequence::sequence;

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

/// The world of a scenario with the most devices: what a target offers there it may be asked in any.
#[must_use]
pub fn widest_world(scenario: &Scenario) -> Setup {
    if let Body::Generate(Generate { world: Some(drawn), .. }) = &scenario.body {
        return drawn::widest(scenario, drawn);
    }
    let count = u32::from(scenario.devices.end().saturating_sub(*scenario.devices.start())) + 1;
    let all = (0..count).map(|index| world(scenario, index));
    all.max_by_key(|w| w.device_bytes.len()).unwrap_or_else(|| world(scenario, 0))
}

/// The generated sequence of a number, and its world: the same seed gives the same ones on every machine with as many devices. Where
/// worlds are drawn, `candidate` says which of those that could be its world it gets (`Choice` chooses).
#[must_use]
pub fn draw(
    scenario: &Scenario,
    generate: &Generate,
    offers: &Offers<'_>,
    (seed, index, candidate): (u64, u32, u32),
) -> (Setup, Vec<Step>) {
    match &generate.world {
        Some(drawn) => drawn::sequence(scenario, generate, drawn, offers, (seed, index, candidate)),
        None => {
            let mut setup = world(scenario, index);
            // Every request to a device that the target lacks would be refused, and show nothing.
            setup.device_bytes.truncate(offers.devices.max(usize::from(*scenario.devices.start()).max(1)));
            let steps = sequence(scenario, generate, &setup, seed, index);
            (setup, steps)
        }
    }
}

//! Sequences in worlds of their own: what a fixed world never combines.
//!
//! Decides how the operations of a sequence follow from its world and its phases. The world is drawn in `world`, and
//! chosen among candidates in `choice`.

mod afford;
mod choice;
mod dice;
mod mood;
mod settings;
#[cfg(test)]
mod tests;
mod world;

use std::collections::BTreeSet;

pub use choice::Choice;
use dice::Dice;
use mood::Mood;

use super::draft::{self, Draft, FaultDraft};
use super::resolve::{Bounds, Leaning, Resolver};
use super::seed::runner;
use super::sequence::{limits, plant};
use super::weights::Table;
use crate::op::{Capability, Setup, Step, TargetInfo};
use crate::spec::{DrawnWorld, Generate, Scenario};

/// What a target offers to worlds that are drawn for it.
#[derive(Debug, Clone, Copy)]
pub struct Offers<'a> {
    /// What it can be asked.
    pub capabilities: &'a BTreeSet<Capability>,
    /// How many devices it has at most.
    pub devices: usize,
    /// Memory comes page by page whatever the settings of the world.
    pub pages: bool,
    /// The devices are real: worlds are smaller and sequences shorter.
    pub real: bool,
}

impl<'a> Offers<'a> {
    /// What a target offers that says this of itself in the widest world.
    #[must_use]
    pub fn of(info: &'a TargetInfo, real: bool) -> Self {
        Offers {
            capabilities: &info.capabilities,
            devices: info.devices.len(),
            pages: !info.contract.counts_segments,
            real,
        }
    }

    fn can(&self, capability: Capability) -> bool {
        self.capabilities.contains(&capability)
    }
}

/// The widest of the worlds that are drawn.
pub(super) fn widest(scenario: &Scenario, drawn: &DrawnWorld) -> Setup {
    world::widest(scenario, drawn)
}

/// The sequence of that number in the world that is this candidate for it.
pub(super) fn sequence(
    scenario: &Scenario,
    generate: &Generate,
    drawn: &DrawnWorld,
    offers: &Offers<'_>,
    (seed, index, candidate): (u64, u32, u32),
) -> (Setup, Vec<Step>) {
    let mut dice = Dice::new(seed, &scenario.id, index, candidate);
    let world = world::draw(scenario, generate, drawn, offers, &mut dice);
    let tables: Vec<Table> =
        world.phases.iter().map(|p| Table::new(&p.mood.weights(&world.weights), |_| true)).collect();
    let sizes: Vec<_> = world
        .phases
        .iter()
        .map(|p| match &generate.sizes[..] {
            [] => {
                let capacity = world.setup.device_bytes.get(p.home).copied().unwrap_or(0);
                p.mood.sizes(&mut dice, world.scale, capacity, world.most)
            }
            given => mood::kept_below(given, world.most),
        })
        .collect();
    let (drafts, faults) = drafts(scenario, generate, &world.phases, (seed, index));
    let bounds = Bounds {
        capacities: &world.setup.device_bytes,
        streams: world.setup.streams,
        callers: world.callers,
        pools: usize::from(world.pools),
        pages: offers.pages || world.settings.pages(),
    };
    let all = Table::new(&world.weights, |_| true);
    let mut resolver = Resolver::new(offers.capabilities, generate, &all, bounds);
    let mut ops = Vec::new();
    for (at, phase) in world.phases.iter().enumerate() {
        let fractions = match phase.mood.fractions(bounds.pages) {
            [] => &generate.fractions[..],
            own => own,
        };
        resolver.lean(Leaning {
            table: &tables[at],
            sizes: &sizes[at],
            fractions,
            settings: &world.changes,
            home: phase.home,
            lanes: phase.lanes,
            alone: phase.mood == Mood::Recover,
            clings: phase.mood == Mood::Streams,
        });
        ops.extend(drafts[at].iter().filter_map(|d| resolver.resolve(d)));
    }
    let ops = plant(ops, generate, &faults, bounds.devices());
    let steps = limits(generate, &world.setup).chain(ops).map(Step::from).collect();
    (world.setup, steps)
}

/// The draws of each phase, and those of planned faults. A repeated phase has those of the phase that it repeats.
fn drafts(
    scenario: &Scenario,
    generate: &Generate,
    phases: &[world::Phase],
    (seed, index): (u64, u32),
) -> (Vec<Vec<Draft>>, Vec<FaultDraft>) {
    let mut runner = runner(seed, &scenario.id, index);
    let mut all: Vec<Vec<Draft>> = Vec::with_capacity(phases.len());
    let mut faults = Vec::new();
    for phase in phases {
        let drawn = match phase.again.and_then(|earlier| all.get(earlier)) {
            Some(earlier) => earlier.clone(),
            None => {
                let drawn = draft::draw(&mut runner, &(phase.length..=phase.length), generate.faults.len());
                faults = drawn.faults;
                drawn.ops
            }
        };
        all.push(drawn);
    }
    (all, faults)
}

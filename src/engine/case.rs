//! A scenario, the target to try it on, and how hard to try: its sequences by number.
//!
//! Decides which sequence has which number, in which world, and what it is compared with. Running them is `passes`'.

use std::path::PathBuf;

use crate::op::{OracleName, Setup, Step};
use crate::spec::{Body, Generate, Scenario};
use crate::target::TargetName;
use crate::verdict::Reproducer;
use crate::workload::{self, Offers};

use super::judged_sequence::JudgedSequence;
use super::opener::Opener;

/// How many sequences of a pass are also compared with a variant: each costs two bare runs.
const COMPARED: u32 = 24;

/// A scenario, the target to try it on, and how hard to try.
pub(super) struct Case<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) open: &'a Opener<'a>,
    /// The target as a reproducer names it.
    pub(super) target: &'a str,
    pub(super) seed: u64,
    /// Overrides the scenario's own number of sequences.
    pub(super) cases: Option<u32>,
    /// As in [`Plan`](super::Plan).
    pub(super) swarm: bool,
    /// A target that claims a policy is held against its twin.
    pub(super) exact: bool,
    /// A sequence that failed once, to be run first.
    pub(super) stored: Option<&'a Reproducer>,
    /// Where a sequence is written before it runs, so that a crash of anything leaves it behind.
    pub(super) running: Option<PathBuf>,
}

impl Case<'_> {
    /// The number of its sequences.
    pub(super) fn planned(&self) -> u64 {
        match &self.scenario.body {
            Body::Steps(variants) => variants.len() as u64 * u64::from(worlds(self.scenario)),
            Body::Generate(generate) => u64::from(self.number_of(generate)),
        }
    }

    /// A rough measure of how long all its sequences take.
    pub(super) fn weight(&self) -> u64 {
        match &self.scenario.body {
            Body::Steps(variants) => variants.iter().map(|v| v.steps.len() as u64).sum(),
            Body::Generate(g) => u64::from(self.number_of(g)) * u64::from(*g.length.end()) * u64::from(g.cycles.max(1)),
        }
    }

    /// The same of the first of them.
    pub(super) fn weight_of_one(&self) -> u64 {
        match &self.scenario.body {
            Body::Steps(variants) => variants.first().map_or(0, |v| v.steps.len() as u64),
            Body::Generate(g) => u64::from(*g.length.end()) * u64::from(g.cycles.max(1)),
        }
    }

    pub(super) fn number_of(&self, generate: &Generate) -> u32 {
        self.cases.unwrap_or(generate.sequences)
    }

    /// The sequence of that number, and its world: where worlds are drawn, that of those which could be its own.
    pub(super) fn draw(
        &self,
        generate: &Generate,
        offers: &Offers<'_>,
        index: u32,
        candidate: u32,
    ) -> (Setup, Vec<Step>) {
        // Drawn worlds leave kinds out anyway.
        let swarms = self.swarm && generate.world.is_none();
        let own = swarms.then(|| workload::swarm(generate, self.seed, &self.scenario.id, index));
        workload::draw(self.scenario, own.as_ref().unwrap_or(generate), offers, (self.seed, index, candidate))
    }

    /// Whether its devices are real, so that every call takes its time.
    pub(super) fn is_real(&self) -> bool {
        is_real(self.target)
    }

    /// The relation under which a generated sequence is compared with a variant of itself: they take turns, over the
    /// first sequences of each pass.
    pub(super) fn relation(&self, nth: u32) -> Option<OracleName> {
        let own = || self.scenario.oracles.iter().copied().filter(|o| o.compares_runs());
        let turn = (nth as usize).checked_rem(own().count()).filter(|_| nth < COMPARED)?;
        own().nth(turn)
    }

    pub(super) fn sequence<'s>(&'s self, steps: &'s [Step]) -> JudgedSequence<'s> {
        let (oracles, epilogue) = (&self.scenario.oracles, self.scenario.epilogue);
        JudgedSequence { exact: false, ..JudgedSequence::new(steps, oracles, epilogue) }
    }
}

/// How many different worlds a scenario has.
pub(super) fn worlds(scenario: &Scenario) -> u32 {
    u32::from(scenario.devices.end().saturating_sub(*scenario.devices.start())) + 1
}

/// Whether a target of that name allocates on real devices. Memory of a host, and addresses alone, are as fast as simulated ones.
fn is_real(target: &str) -> bool {
    target.parse::<TargetName>().is_ok_and(|name| name.place == "cuda")
}

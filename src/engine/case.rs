//! One scenario on one target: its sequences one after the other, until one fails or none is left.
//!
//! Decides whether the target can run it and what is counted. What the counts mean is `outcome`'s, how a
//! failure is made small is `failure`'s.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use crate::op::{Capability, Milestone, OracleName, Setup, Step, TargetInfo, Text, Versions};
use crate::spec::{Body, Generate, Scenario, Variant};
use crate::target::TargetError;
use crate::verdict::Reproducer;
use crate::workload;

use super::EngineError;
use super::attempt::{Attempt, Opener, attempt, inspect, lost_by};
use super::failure::{self, Caught, Crash};
use super::lockstep::{Course, Run};
use super::loss::Loss;
use super::stamp::Clock;
use super::{files, premise, regressions};

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
    /// A sequence that failed once, to be run first.
    pub(super) stored: Option<&'a Reproducer>,
    /// Where a sequence is written before it runs, so that a crash of anything leaves it behind.
    pub(super) running: Option<PathBuf>,
}

/// What has been counted of a scenario so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// The target in the scenario's largest world.
    pub(super) info: Option<TargetInfo>,
    pub(super) versions: Versions,
    /// Capabilities that the scenario requires and the target lacks.
    pub(super) missing: Vec<String>,
    /// Why explicit steps do not apply to the world that the target gives, where some do not.
    pub(super) elsewhere: Option<Text>,
    /// Sequences that one pass should run.
    pub(super) planned: u64,
    pub(super) sequences: u64,
    pub(super) operations: u64,
    pub(super) judged: u64,
    pub(super) dropped: u64,
    pub(super) pairs: u64,
    pub(super) reached: BTreeMap<Milestone, u64>,
    pub(super) blind: bool,
    /// Time ran out in the first pass.
    pub(super) cut_short: bool,
    pub(super) caught: Option<Caught>,
    /// The stored sequence fails still.
    pub(super) caught_again: Option<Caught>,
    /// What failing device calls led to.
    pub(super) swept: Vec<Caught>,
    pub(super) crash: Option<Crash>,
    pub(super) regressions: u64,
    pub(super) seconds: f64,
}

impl Tally {
    fn is_over(&self) -> bool {
        self.caught.is_some() || self.crash.is_some() || self.blind || self.cut_short || !self.missing.is_empty()
    }

    fn count(&mut self, run: &Run) {
        self.sequences += 1;
        self.operations += run.operations;
        self.judged += run.judged;
        self.dropped += run.dropped;
        self.pairs += run.pairs;
        self.blind |= run.blind;
        for milestone in &run.reached {
            *self.reached.entry(*milestone).or_default() += 1;
        }
    }
}

/// A time limit over a whole run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    pub(super) clock: Clock,
    pub(super) limit: Option<Duration>,
}

impl Budget {
    pub(super) fn is_spent(&self) -> bool {
        self.clock.is_past(self.limit)
    }
}

impl Case<'_> {
    /// Whether another pass would run anything that this one did not.
    pub(super) fn can_go_on(&self, tally: &Tally) -> bool {
        matches!(self.scenario.body, Body::Generate(_)) && !tally.is_over() && tally.caught_again.is_none()
    }

    /// A rough measure of how long a pass takes, to start the longest first.
    pub(super) fn weight(&self) -> u64 {
        match &self.scenario.body {
            Body::Steps(variants) => variants.iter().map(|v| v.steps.len() as u64).sum(),
            Body::Generate(g) => u64::from(self.number_of(g)) * u64::from(*g.length.end()) * u64::from(g.cycles.max(1)),
        }
    }

    fn number_of(&self, generate: &Generate) -> u32 {
        self.cases.unwrap_or(generate.sequences)
    }

    /// One pass over the scenario's sequences; later rounds draw fresh ones.
    pub(super) fn pass(&self, tally: &mut Tally, round: u64, budget: &Budget) -> Result<(), EngineError> {
        let clock = Clock::start();
        let result = self.try_pass(tally, round, budget);
        if let Some(path) = &self.running {
            files::remove(path)?; // whatever it was, the harness has lived to tell
        }
        tally.seconds += clock.seconds();
        log::debug!("{}: {} sequences, {} operations so far", self.scenario.id, tally.sequences, tally.operations);
        result
    }

    fn try_pass(&self, tally: &mut Tally, round: u64, budget: &Budget) -> Result<(), EngineError> {
        if round == 0 {
            self.look(tally)?;
            if tally.is_over() {
                return Ok(());
            }
            self.run_stored(tally)?;
        }
        match &self.scenario.body {
            Body::Steps(variants) => self.run_variants(tally, variants, budget),
            Body::Generate(generate) => self.run_generated(tally, generate, round, budget),
        }
    }

    /// Looks at the target in the largest world, to learn whether it has what the scenario requires.
    fn look(&self, tally: &mut Tally) -> Result<(), EngineError> {
        match inspect(self.open, &largest_world(self.scenario)) {
            Ok(Ok((info, versions))) => {
                tally.versions = versions;
                tally.missing = missing(self.scenario, &info);
                tally.info = Some(info);
            }
            Ok(Err(text)) => tally.crash = Some(Crash::panic(&text, None)),
            Err(error) => {
                let lost = lost_by(error)?;
                tally.crash = Some(Crash { text: Loss { lost, during: None }.text(), reproducer: None });
            }
        }
        Ok(())
    }

    fn run_stored(&self, tally: &mut Tally) -> Result<(), EngineError> {
        let Some(stored) = self.stored else { return Ok(()) };
        tally.regressions += 1;
        tally.caught_again = failure::recheck(self, stored)?;
        Ok(())
    }

    fn run_variants(&self, tally: &mut Tally, variants: &[Variant], budget: &Budget) -> Result<(), EngineError> {
        tally.planned = variants.len() as u64 * u64::from(worlds(self.scenario));
        for variant in variants {
            for world in 0..worlds(self.scenario) {
                if budget.is_spent() {
                    tally.cut_short = true;
                    return Ok(());
                }
                let setup = workload::world(self.scenario, world);
                let Some(steps) = self.applied(tally, variant, &setup) else { continue };
                self.run_one(tally, &setup, &steps, &variant.label, &[])?;
                if tally.is_over() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The steps of a variant in the world that the target gives; `None` where they do not apply to it.
    fn applied(&self, tally: &mut Tally, variant: &Variant, setup: &Setup) -> Option<Vec<Step>> {
        let info = tally.info.as_ref()?;
        match premise::steps_in(self.scenario, variant, setup, info) {
            Ok(steps) => Some(steps),
            Err(reason) => {
                tally.elsewhere.get_or_insert(reason);
                tally.planned = tally.planned.saturating_sub(1);
                None
            }
        }
    }

    fn run_generated(
        &self,
        tally: &mut Tally,
        generate: &Generate,
        round: u64,
        budget: &Budget,
    ) -> Result<(), EngineError> {
        let number = self.number_of(generate);
        tally.planned = u64::from(number);
        for nth in 0..number {
            let Ok(index) = u32::try_from(round * u64::from(number) + u64::from(nth)) else { return Ok(()) };
            if budget.is_spent() {
                // Later rounds only use up what time there is.
                tally.cut_short = round == 0;
                return Ok(());
            }
            let (setup, steps) = self.draw(generate, index);
            self.run_one(tally, &setup, &steps, "", self.relation(nth).as_slice())?;
            if tally.is_over() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The sequence of that number, and its world.
    pub(super) fn draw(&self, generate: &Generate, index: u32) -> (Setup, Vec<Step>) {
        let setup = workload::world(self.scenario, index);
        let own = self.swarm.then(|| workload::swarm(generate, self.seed, &self.scenario.id, index));
        let steps = workload::sequence(self.scenario, own.as_ref().unwrap_or(generate), &setup, self.seed, index);
        (setup, steps)
    }

    /// The relation under which a generated sequence is compared with a variant of itself: they take turns, over the
    /// first sequences of each pass.
    pub(super) fn relation(&self, nth: u32) -> Option<OracleName> {
        let own = || self.scenario.oracles.iter().copied().filter(|o| o.compares_runs());
        let turn = (nth as usize).checked_rem(own().count()).filter(|_| nth < COMPARED)?;
        own().nth(turn)
    }

    fn run_one(
        &self,
        tally: &mut Tally,
        setup: &Setup,
        steps: &[Step],
        label: &str,
        relations: &[OracleName],
    ) -> Result<(), EngineError> {
        if let Some(path) = &self.running {
            let reproducer = failure::reproducer(self, setup.clone(), steps.to_vec());
            files::write_whole(path, &regressions::to_json(&reproducer))?;
        }
        match attempt(self.open, setup, &Course { relations, ..self.course(steps) })? {
            Attempt::Ran(run) => {
                tally.count(&run);
                if let Some(conviction) = run.conviction {
                    tally.caught = Some(failure::pin_down(self, setup, steps, &conviction, label));
                } else if let Some(loss) = &run.lost {
                    tally.crash = Some(failure::keep_loss(self, setup, steps, loss));
                }
            }
            Attempt::Panicked(panicked) => {
                tally.sequences += 1;
                tally.crash = Some(failure::keep_crash(self, setup, steps, panicked));
            }
        }
        Ok(())
    }

    pub(super) fn course<'s>(&'s self, steps: &'s [Step]) -> Course<'s> {
        let (oracles, epilogue) = (&self.scenario.oracles, self.scenario.epilogue);
        Course { steps, oracles, epilogue, transcript: false, relations: &[] }
    }
}

/// How many different worlds a scenario has.
pub(super) fn worlds(scenario: &Scenario) -> u32 {
    u32::from(scenario.devices.end().saturating_sub(*scenario.devices.start())) + 1
}

fn largest_world(scenario: &Scenario) -> Setup {
    let all = (0..worlds(scenario)).map(|index| workload::world(scenario, index));
    all.max_by_key(|w| w.device_bytes.len()).unwrap_or_else(|| workload::world(scenario, 0))
}

/// What a scenario requires and a target lacks, as capabilities are written; what shows that it reached what it must is
/// required too.
fn missing(scenario: &Scenario, info: &TargetInfo) -> Vec<String> {
    let places = Capability::Devices(*scenario.devices.start());
    let shown = scenario.must_reach.iter().filter_map(|m| m.shown_by());
    let wanted = scenario.requires.iter().copied().chain(shown).chain([places]);
    let lacking: BTreeSet<Capability> = wanted.filter(|c| !info.can(*c)).collect();
    lacking.iter().map(ToString::to_string).collect()
}

/// What a scenario requires and this target lacks; `None` if the target panics before it can say.
///
/// # Errors
/// What the target says where it cannot be built.
pub fn lacks(open: &Opener<'_>, scenario: &Scenario) -> Result<Option<Vec<String>>, TargetError> {
    Ok(inspect(open, &largest_world(scenario))?.ok().map(|(info, _)| missing(scenario, &info)))
}

/// Why a scenario does not apply to this target: what it lacks, or a world in which none of its steps hold. `None` where it
/// applies, or if the target panics before it can say.
///
/// # Errors
/// What the target says where it cannot be built.
pub fn inapplicable(open: &Opener<'_>, scenario: &Scenario) -> Result<Option<Text>, TargetError> {
    let Ok((info, _)) = inspect(open, &largest_world(scenario))? else { return Ok(None) };
    let missing = missing(scenario, &info);
    if !missing.is_empty() {
        let names = missing.join(", ");
        return Ok(Some(Text::new(format!("lacks {names}"), format!("不具备 {names}"))));
    }
    let Body::Steps(variants) = &scenario.body else { return Ok(None) };
    let setups: Vec<Setup> = (0..worlds(scenario)).map(|world| workload::world(scenario, world)).collect();
    let mut reason = None;
    for (variant, setup) in variants.iter().flat_map(|v| setups.iter().map(move |s| (v, s))) {
        match premise::steps_in(scenario, variant, setup, &info) {
            Ok(_) => return Ok(None),
            Err(elsewhere) => drop(reason.get_or_insert(elsewhere)),
        }
    }
    Ok(reason)
}

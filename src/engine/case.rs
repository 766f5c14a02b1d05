//! One scenario on one target: its sequences one after the other, until one fails or none is left.
//!
//! Decides whether the target can run it, which sequence comes next and what is counted. How many are run before
//! other scenarios get their turn is `schedule`'s, what the counts mean `outcome`'s, how a failure is made small `failure`'s.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::op::{Combination, Milestone, Names, OracleName, Setup, Step, TargetInfo, Text, Together, Versions};
use crate::spec::{Body, Generate, Scenario, Variant};
use crate::target::TargetName;
use crate::verdict::Reproducer;
use crate::workload::{self, Offers};

use super::EngineError;
use super::attempt::{Attempt, Opener, attempt, lost_by};
use super::chosen::Chosen;
use super::failure::{self, Author, Caught, Crash, Pending};
use super::lockstep::{Course, Run};
use super::loss::Loss;
use super::requires::{self, missing};
use super::stamp::Clock;
use super::stop::{Budget, Patience};
use super::{crash, files, premise, pulse, regressions};

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

/// What has been counted of a scenario so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// The target in the scenario's largest world.
    pub(super) info: Option<TargetInfo>,
    pub(super) versions: Versions,
    /// The target was looked at, or could not be.
    looked: bool,
    /// Capabilities that the scenario requires and the target lacks.
    pub(super) missing: Vec<String>,
    /// Why explicit steps do not apply to the world that the target gives, where some do not.
    pub(super) elsewhere: Option<Text>,
    /// How many sequences of explicit steps do not.
    pub(super) inapplicable: u64,
    /// Sequences that a run with enough time makes of it, not counting those that fill up the time that was given.
    pub(super) planned: u64,
    /// The number of the next sequence.
    next: u64,
    /// By what the worlds of its sequences are chosen, where worlds are drawn.
    chosen: Chosen,
    pub(super) sequences: u64,
    pub(super) operations: u64,
    pub(super) judged: u64,
    pub(super) dropped: u64,
    pub(super) pairs: u64,
    pub(super) reached: BTreeMap<Milestone, u64>,
    /// In how many sequences each combination that is demanded came about.
    pub(super) combined: Vec<u64>,
    /// Which values of abstract states came together.
    pub(super) together: Together,
    pub(super) blind: bool,
    pub(super) caught: Option<Caught>,
    /// That failure, or the panic, while it is not as small as it gets.
    pub(super) pending: Option<Pending>,
    /// Where the target first departed from the policy that it claims.
    pub(super) departed: Option<Caught>,
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
        self.caught.is_some() || self.crash.is_some() || self.blind || !self.missing.is_empty()
    }

    /// Whether it has more to run than it ran so far.
    pub(super) fn is_unfinished(&self) -> bool {
        !self.is_over() && self.next < self.planned
    }

    /// How much is to be reported of it.
    pub(super) fn failures(&self) -> usize {
        [self.caught.is_some(), self.caught_again.is_some(), self.crash.is_some()].into_iter().filter(|is| *is).count()
    }

    fn count(&mut self, run: &Run, demanded: &[Combination]) {
        self.combined.resize(demanded.len(), 0);
        for (sequences, combination) in self.combined.iter_mut().zip(demanded) {
            *sequences += u64::from(run.states.iter().any(|state| combination.is_in(*state)));
        }
        self.sequences += 1;
        self.operations += run.operations;
        self.judged += run.judged;
        self.dropped += run.dropped;
        self.pairs += run.pairs;
        self.blind |= run.blind;
        for milestone in &run.reached {
            *self.reached.entry(*milestone).or_default() += 1;
        }
        run.states.iter().for_each(|state| self.together.add(*state));
    }
}

impl Case<'_> {
    /// What is known of the scenario before anything ran.
    pub(super) fn tally(&self) -> Tally {
        Tally { planned: self.planned(), ..Tally::default() }
    }

    /// The number of its sequences.
    pub(super) fn planned(&self) -> u64 {
        match &self.scenario.body {
            Body::Steps(variants) => variants.len() as u64 * u64::from(worlds(self.scenario)),
            Body::Generate(generate) => u64::from(self.number_of(generate)),
        }
    }

    /// Whether it has fresh sequences beyond those planned.
    pub(super) fn can_go_on(&self, tally: &Tally) -> bool {
        matches!(self.scenario.body, Body::Generate(_)) && !tally.is_over() && tally.caught_again.is_none()
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

    fn number_of(&self, generate: &Generate) -> u32 {
        self.cases.unwrap_or(generate.sequences)
    }

    /// One pass over all its sequences, and what fails made small; later rounds draw fresh ones.
    pub(super) fn pass(&self, tally: &mut Tally, round: u64, budget: &Budget<'_>) -> Result<(), EngineError> {
        self.advance(tally, self.planned().saturating_mul(round.saturating_add(1)), budget, None)?;
        self.pin(tally, Patience::new(budget, None));
        Ok(())
    }

    /// Runs sequences up to the number `end`, until one fails, time is up, or the slice of it for now. What fails is
    /// kept as it is: `pin` makes it small.
    pub(super) fn advance(
        &self,
        tally: &mut Tally,
        end: u64,
        budget: &Budget<'_>,
        slice: Option<Duration>,
    ) -> Result<(), EngineError> {
        let clock = Clock::start();
        let result = self.try_advance(tally, end, budget, clock, slice);
        if let Some(path) = &self.running {
            files::remove(path)?; // whatever it was, the harness has lived to tell
        }
        tally.seconds += clock.seconds();
        log::debug!("{}: {} sequences, {} operations so far", self.scenario.id, tally.sequences, tally.operations);
        result
    }

    fn try_advance(
        &self,
        tally: &mut Tally,
        end: u64,
        budget: &Budget<'_>,
        clock: Clock,
        slice: Option<Duration>,
    ) -> Result<(), EngineError> {
        if !tally.looked {
            if budget.is_spent() {
                return Ok(());
            }
            tally.looked = true;
            self.look(tally)?;
            if tally.is_over() {
                return Ok(());
            }
            self.run_stored(tally)?;
        }
        // One at least: the first look may have taken the whole slice, and whoever runs nothing is taken to be done.
        let first = tally.next;
        while tally.next < end
            && !tally.is_over()
            && !budget.is_spent()
            && (tally.next == first || !clock.is_past(slice))
        {
            let number = tally.next;
            tally.next += 1;
            self.run_number(tally, number, budget)?;
        }
        Ok(())
    }

    /// Makes what failed small, as far as there is time.
    pub(super) fn pin(&self, tally: &mut Tally, patience: Patience<'_>) {
        let Some(pending) = tally.pending.take() else { return };
        let clock = Clock::start();
        match pending {
            Pending::Convicted { setup, steps, label, names, conviction, original } => {
                let author = Author { label: &label, names: &names };
                let mut caught = failure::pin_down(self, &setup, &steps, &conviction, author, patience);
                caught.original_steps = original;
                if !patience.may_shrink() {
                    let Reproducer { setup, steps, names, .. } = caught.reproducer.clone();
                    tally.pending = Some(Pending::Convicted { setup, steps, label, names, conviction, original });
                }
                tally.caught = Some(caught);
            }
            Pending::Panicked { setup, steps, names, panicked } => {
                tally.crash = Some(crash::keep_crash(self, &setup, &steps, &panicked, &names, patience));
            }
        }
        tally.seconds += clock.seconds();
    }

    /// Looks at the target in the largest world, to learn whether it has what the scenario requires.
    fn look(&self, tally: &mut Tally) -> Result<(), EngineError> {
        match requires::look(self.open, self.scenario) {
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

    /// Explicit steps are numbered variant by variant, each in every world; generated sequences as they are drawn,
    /// round after round.
    fn run_number(&self, tally: &mut Tally, number: u64, budget: &Budget<'_>) -> Result<(), EngineError> {
        match &self.scenario.body {
            Body::Steps(variants) => {
                let worlds = u64::from(worlds(self.scenario));
                let variant = usize::try_from(number / worlds).ok().and_then(|nth| variants.get(nth));
                let (Some(variant), Ok(world)) = (variant, u32::try_from(number % worlds)) else { return Ok(()) };
                let setup = workload::world(self.scenario, world);
                let author = Author { label: &variant.label, names: &variant.names };
                let Some(steps) = self.applied(tally, variant, &setup) else { return Ok(()) };
                self.run_one(tally, &setup, &steps, author, &[], budget)
            }
            Body::Generate(generate) => {
                let nth = number % u64::from(self.number_of(generate)).max(1);
                let (Ok(index), Ok(nth)) = (u32::try_from(number), u32::try_from(nth)) else { return Ok(()) };
                let Some(info) = &tally.info else { return Ok(()) };
                let offers = Offers::of(info, self.is_real());
                let candidate = tally.chosen.next(self, generate, info, index, &tally.together);
                let (setup, steps) = self.draw(generate, &offers, index, candidate);
                let author = Author { label: "", names: &Names::default() };
                self.run_one(tally, &setup, &steps, author, self.relation(nth).as_slice(), budget)
            }
        }
    }

    /// The steps of a variant in the world that the target gives; `None` where they do not apply to it.
    fn applied(&self, tally: &mut Tally, variant: &Variant, setup: &Setup) -> Option<Vec<Step>> {
        let info = tally.info.as_ref()?;
        match premise::steps_in(self.scenario, variant, setup, info) {
            Ok(steps) => Some(steps),
            Err(reason) => {
                tally.elsewhere.get_or_insert(reason);
                tally.inapplicable += 1;
                None
            }
        }
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

    fn run_one(
        &self,
        tally: &mut Tally,
        setup: &Setup,
        steps: &[Step],
        author: Author<'_>,
        relations: &[OracleName],
        budget: &Budget<'_>,
    ) -> Result<(), EngineError> {
        if let Some(path) = &self.running {
            let reproducer = failure::reproducer(self, setup.clone(), steps.to_vec(), author.names.clone());
            files::write_whole(path, &regressions::to_json(&reproducer))?;
        }
        if self.running.is_none() {
            let sequence = failure::reproducer(self, setup.clone(), steps.to_vec(), author.names.clone());
            pulse::own().runs(sequence);
        }
        // One departure is enough: more of them would say the same.
        let exact = self.exact && tally.departed.is_none();
        let attempt = attempt(self.open, setup, &Course { relations, exact, ..self.course(steps) })?;
        budget.ran(attempt.operations());
        match attempt {
            Attempt::Ran(run) => {
                tally.count(&run, &self.scenario.must_combine);
                if let Some(departure) = &run.departure {
                    tally.departed = Some(failure::as_found(self, setup, steps, departure, author));
                }
                if let Some(conviction) = run.conviction {
                    tally.caught = Some(failure::as_found(self, setup, steps, &conviction, author));
                    let (label, names) = (author.label.to_owned(), author.names.clone());
                    let (setup, steps, original) = (setup.clone(), steps.to_vec(), steps.len() as u64);
                    tally.pending = Some(Pending::Convicted { setup, steps, label, names, conviction, original });
                } else if let Some(loss) = &run.lost {
                    tally.crash = Some(crash::keep_loss(self, setup, steps, loss, author.names));
                }
            }
            Attempt::Panicked(panicked) => {
                tally.sequences += 1;
                tally.crash = Some(crash::crash_as_found(self, setup, steps, &panicked, author.names));
                let (setup, steps, names) = (setup.clone(), steps.to_vec(), author.names.clone());
                tally.pending = Some(Pending::Panicked { setup, steps, names, panicked });
            }
        }
        Ok(())
    }

    pub(super) fn course<'s>(&'s self, steps: &'s [Step]) -> Course<'s> {
        let (oracles, epilogue) = (&self.scenario.oracles, self.scenario.epilogue);
        Course { steps, oracles, epilogue, transcript: false, relations: &[], only: None, exact: false }
    }
}

/// How many different worlds a scenario has.
pub(super) fn worlds(scenario: &Scenario) -> u32 {
    u32::from(scenario.devices.end().saturating_sub(*scenario.devices.start())) + 1
}

/// Whether a target of that name allocates on real devices.
fn is_real(target: &str) -> bool {
    target.parse::<TargetName>().is_ok_and(|name| name.place != "sim")
}

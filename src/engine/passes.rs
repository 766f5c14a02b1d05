//! One scenario on one target: its sequences one after the other, until one fails or none is left.
//!
//! Decides whether the target can run it, which sequence comes next and what is counted. How many are run before
//! other scenarios get their turn is `schedule`'s, what the counts mean `outcome`'s, how a failure is made small `failure`'s.

use std::time::Duration;

use crate::op::{Names, OracleName, Setup, Step};
use crate::spec::{Body, Variant};
use crate::target::{Lost, TargetError};
use crate::verdict::Reproducer;
use crate::workload::{self, Offers};

use super::EngineError;
use super::attempt::{Attempt, attempt};
use super::case::{Case, worlds};
use super::caught::{Author, Crash, Pending};
use super::judged_sequence::JudgedSequence;
use super::loss::Loss;
use super::opener::lost_by;
use super::requires::{self, missing};
use super::stamp::Clock;
use super::stop::{Budget, Patience};
use super::tally::Tally;
use super::{crash, failure, files, premise, pulse, regressions};

impl Case<'_> {
    /// What is known of the scenario before anything ran.
    pub(super) fn tally(&self) -> Tally {
        let policy_alone = self.scenario.oracles.contains(&OracleName::Exact);
        Tally { planned: self.planned(), policy_alone, ..Tally::default() }
    }

    /// Whether it has fresh sequences beyond those planned.
    pub(super) fn can_go_on(&self, tally: &Tally) -> bool {
        matches!(self.scenario.body, Body::Generate(_)) && !tally.is_over() && tally.caught_again.is_none()
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
        let (clock, patience) = (Clock::start(), patience.of(self.scenario));
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
            Err(TargetError::TooSmall { total_bytes, wanted_bytes, .. }) => {
                tally.applies_nowhere(requires::too_small(total_bytes, wanted_bytes));
            }
            Err(TargetError::SettingsRefused { settings, reason, .. }) => {
                tally.applies_nowhere(requires::refused_settings(&settings, &reason));
            }
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

    /// Whether a sequence came to nothing for settings that were drawn for it.
    fn has_other_settings(&self, setup: &Setup, loss: Option<&Loss>) -> bool {
        let is_refused = loss.is_some_and(|loss| matches!(loss.lost, Lost::SettingsRefused { .. }));
        is_refused && setup.config.is_some() && self.scenario.config.is_none()
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
        // Who hangs in a process of its own is ended there, and nobody asks here what it was at.
        if self.running.is_none() && self.open.forked().is_none() {
            let sequence = failure::reproducer(self, setup.clone(), steps.to_vec(), author.names.clone());
            pulse::own().runs(sequence);
        }
        // One departure is enough: more of them would say the same.
        let exact = self.exact && tally.departed.is_none();
        let attempt = attempt(self.open, setup, &JudgedSequence { relations, exact, ..self.sequence(steps) })?;
        budget.ran(attempt.operations());
        match attempt {
            // A world whose settings are not of this release is lived under those that the target begins with.
            Attempt::Ran(run) if self.has_other_settings(setup, run.lost.as_ref()) => {
                let own = Setup { config: None, ..setup.clone() };
                return self.run_one(tally, &own, steps, author, relations, budget);
            }
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
}

//! Survival: every planted defect hunted by each way of drawing sequences, with one seed after the other.
//!
//! Decides which sequence comes next: generated scenarios take turns in an order of the seed, a sequence a turn, so
//! that no defect profits from its scenario's place in the plan. Nothing is made small here; explicit scenarios take no part.

use crate::op::TargetInfo;
use crate::reference::Defect;
use crate::spec::{Body, Generate, Scenario};
use crate::target::TargetName;
use crate::verdict::record::{EndedBy, RunStamp};
use crate::verdict::survival::{Generator, HuntStamp, Hunts, Survival, SurvivalRow};
use crate::workload::{self, Offers};

use super::EngineError;
use super::attempt::{Attempt, attempt};
use super::case::Case;
use super::kill_matrix::{in_parallel, with_option};
use super::lockstep::JudgedSequence;
use super::opener::{Named, Opener, inspect};
use super::plan::Plan;
use super::requires;
use super::stamp::{Clock, run_stamp};
use super::stop::{Budget, Stop, Watch};

/// What to hunt and how.
#[derive(Debug, Clone)]
pub struct SurvivalOptions {
    /// The target that takes `defect=`.
    pub base: TargetName,
    /// Scenarios to draw from.
    pub plan: Plan,
    /// What is hunted.
    pub defects: Vec<Defect>,
    /// The first seed.
    pub seed: u64,
    /// Hunts of each defect by each generator, from `seed` on.
    pub seeds: u64,
    /// Operations after which a hunt ends without a kill.
    pub limit: u64,
    /// Threads; at least one is used.
    pub jobs: usize,
    /// Ends the hunts early, with the defects that are done.
    pub stop: Stop,
    /// The command line, for the stamp.
    pub command: String,
}

/// What a hunt tells whoever watches it. Called from several threads.
pub trait SurvivalProgress: Watch {
    /// So many defects will be hunted.
    fn begin(&self, _rows: usize) {}
    /// One was hunted with every seed.
    fn hunted(&self, _row: &SurvivalRow) {}
    /// Asks from time to time for the defects that are done; made by nobody if not here.
    fn so_far(&self, _survival: &dyn Fn() -> Survival) {}
}

impl SurvivalProgress for super::Silent {}

/// Hunts every defect.
///
/// # Errors
/// A base target that takes no defect.
pub fn survival(options: &SurvivalOptions, progress: &dyn SurvivalProgress) -> Result<Survival, EngineError> {
    let clock = Clock::start();
    let stamp = run_stamp(&options.command);
    let open = Named(&options.base);
    let mut chosen = Vec::new();
    for entry in options.plan.entries.iter().filter(|e| e.left_out.is_none()) {
        let Body::Generate(generate) = &entry.scenario.body else { continue };
        let Ok((info, _)) = inspect(&open, &workload::widest_world(&entry.scenario))? else { continue };
        if requires::missing(&entry.scenario, &info).is_empty() {
            chosen.push((&entry.scenario, generate, info));
        }
    }
    let survival = |ended: EndedBy, defects: Vec<SurvivalRow>| Survival {
        format: Survival::FORMAT.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        base: options.base.to_string(),
        seed: options.seed,
        seeds: options.seeds,
        limit: options.limit,
        ended,
        scenarios: chosen.len() as u64,
        selection: options.plan.selection.clone(),
        untried: (options.defects.len() - defects.len()) as u64,
        defects,
        stamp: RunStamp { seconds: clock.seconds(), ..stamp.clone() },
    };
    progress.begin(options.defects.len());
    progress.so_far(&|| survival(EndedBy::Killed, Vec::new()));
    let work = |&defect: &Defect| {
        let row = hunt_with_all(options, &chosen, defect, progress)?;
        row.iter().for_each(|row| progress.hunted(row));
        Ok(row)
    };
    let defects = in_parallel(options.jobs, &options.defects, work, &|rows| {
        progress.so_far(&|| survival(EndedBy::Killed, rows.iter().flatten().cloned().collect()));
    })?;
    let ended = if options.stop.is_asked() { EndedBy::Interrupted } else { EndedBy::Complete };
    Ok(survival(ended, defects))
}

/// A scenario to draw from, and the target in its widest world.
type Drawn<'a> = (&'a Scenario, &'a Generate, TargetInfo);

/// `None` if it was interrupted.
fn hunt_with_all(
    options: &SurvivalOptions,
    chosen: &[Drawn<'_>],
    defect: Defect,
    watch: &dyn Watch,
) -> Result<Option<SurvivalRow>, EngineError> {
    let name = with_option(&options.base, "defect", defect.name());
    let open = Named(&name);
    let budget = Budget::new(None, &options.stop, watch);
    let mut hunts = Vec::new();
    for generator in Generator::DRAWN {
        let (operations, killed) = (Vec::new(), Vec::new());
        let mut all = Hunts { generator, operations, killed, stamp: HuntStamp::default() };
        for seed in (0..options.seeds).map(|hunt| options.seed.wrapping_add(hunt)) {
            let clock = Clock::start();
            let hunted = hunt(&open, chosen, generator, seed, options.limit, &budget)?;
            let Some((operations, killed)) = hunted else { return Ok(None) };
            all.operations.push(operations);
            all.killed.push(killed);
            all.stamp.seconds.push(clock.seconds());
        }
        hunts.push(all);
    }
    Ok(Some(SurvivalRow { name: defect.name().to_owned(), hunts }))
}

/// Operations up to the first conviction, or to the end; and whether there was one. `None` if it was interrupted.
fn hunt(
    open: &Opener<'_>,
    chosen: &[Drawn<'_>],
    generator: Generator,
    seed: u64,
    limit: u64,
    budget: &Budget<'_>,
) -> Result<Option<(u64, bool)>, EngineError> {
    let mut operations = 0;
    for round in 0..u32::MAX {
        let before = operations;
        for at in order(chosen.len(), seed, round) {
            let Some((scenario, generate, info)) = chosen.get(at) else { continue };
            let swarm = generator == Generator::Swarm;
            let case = Case {
                scenario,
                open,
                target: "",
                seed,
                cases: None,
                stored: None,
                swarm,
                exact: false,
                running: None,
            };
            // The defect changes nothing of what it offers.
            let (setup, steps) = case.draw(generate, &Offers::of(info, false), round, 0);
            let relation = case.relation(round);
            let course = JudgedSequence { relations: relation.as_slice(), ..case.sequence(&steps) };
            if budget.is_stopped() {
                return Ok(None);
            }
            let attempt = attempt(open, &setup, &course)?;
            budget.ran(attempt.operations());
            match attempt {
                Attempt::Panicked(panicked) => return Ok(Some((operations + panicked.step as u64, true))),
                Attempt::Ran(run) => {
                    operations += run.operations;
                    if run.conviction.is_some() || run.lost.is_some() {
                        return Ok(Some((operations, true)));
                    }
                }
            }
            if operations >= limit {
                return Ok(Some((operations, false)));
            }
        }
        if operations == before {
            break; // nothing can be asked
        }
    }
    Ok(Some((operations, false)))
}

/// The numbers below `count`, shuffled.
fn order(count: usize, seed: u64, round: u32) -> Vec<usize> {
    let salt = workload::scatter(seed ^ u64::from(round).rotate_left(32));
    let mut all: Vec<usize> = (0..count).collect();
    all.sort_by_key(|&i| workload::scatter(salt.wrapping_add(i as u64)));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Silent;
    use crate::spec;

    fn options(limit: u64) -> SurvivalOptions {
        SurvivalOptions {
            base: "reference@sim".parse().expect("is a target name"),
            plan: Plan::new(spec::built_in(), &["stat::*".to_owned()], None).expect("is a plan"),
            defects: Defect::ALL.iter().copied().step_by(7).collect(),
            seed: 3,
            seeds: 2,
            limit,
            jobs: 2,
            stop: Stop::default(),
            command: String::new(),
        }
    }

    #[test]
    fn a_hunt_repeats_and_ends_at_its_limit() {
        let [first, second] = [0; 2].map(|_| survival(&options(2_000), &Silent).expect("the target opens"));
        let figures = |s: &Survival| -> Vec<_> {
            let hunts = s.defects.iter().flat_map(|d| &d.hunts);
            hunts.map(|h| (h.operations.clone(), h.killed.clone())).collect()
        };
        assert_eq!(figures(&first), figures(&second));
        let hunts: Vec<&Hunts> = first.defects.iter().flat_map(|d| &d.hunts).collect();
        assert!(hunts.iter().any(|h| h.kills() == 2) && hunts.iter().any(|h| h.kills() == 0));
        for (&operations, &killed) in hunts.iter().flat_map(|h| h.operations.iter().zip(&h.killed)) {
            assert!(killed || operations >= 2_000, "{operations}");
        }
    }

    #[test]
    fn scenarios_take_turns_in_an_order_of_the_seed() {
        let mut first = order(20, 1, 0);
        assert_ne!(first, order(20, 2, 0));
        assert_ne!(first, order(20, 1, 1));
        first.sort_unstable();
        assert_eq!(first, (0..20).collect::<Vec<_>>());
    }
}

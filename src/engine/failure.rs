//! From a sequence that fails to a finding: the smallest one that fails for the same reason, its
//! transcript, and all that is needed to run it again.
//!
//! Decides what counts as the same failure. How sequences are made smaller is `workload`'s.

use std::collections::{BTreeMap, BTreeSet};

use crate::op::{BlockId, Names, Op, OracleName, Setup, Step};
use crate::spec::{Body, Scenario};
use crate::target::TargetError;
use crate::verdict::{RanOut, Reproducer, Violation};
use crate::workload;

use super::again::again;
use super::attempt::{Attempt, attempt};
use super::case::Case;
use super::caught::{Author, Caught};
use super::health;
use super::lockstep::{Conviction, FailureKey, JudgedSequence};
use super::loss;
use super::naming;
use super::stop::Patience;
use super::tries::Tries;

use super::yardstick::Yardstick;

/// How many sequences may be run to make one smaller.
pub(super) const BUDGET: u32 = 3000;

/// Of several violations at one step, the promise that the scenario is about says most.
fn first(case: &Case<'_>, conviction: &Conviction) -> Violation {
    let own = case.scenario.requirement;
    let cited = conviction.violations.iter().find(|v| v.requirement.unwrap_or(own) == own);
    cited.unwrap_or(&conviction.violations[0]).clone()
}

fn labelled(violation: Violation, label: &str) -> Violation {
    if label.is_empty() { violation } else { violation.with("With", "取值", label) }
}

/// A failure as it was found, so that it is known before any time goes into making it small.
pub(super) fn as_found(
    case: &Case<'_>,
    setup: &Setup,
    steps: &[Step],
    conviction: &Conviction,
    author: Author<'_>,
) -> Caught {
    let mut first = first(case, conviction);
    let failure_key = FailureKey::of(&first);
    naming::violation(author.names, &[], &mut first);
    Caught {
        failure_key,
        requirement: first.requirement.unwrap_or(case.scenario.requirement),
        violation: labelled(first, author.label),
        reproducer: of_guilt(reproducer(case, setup.clone(), steps.to_vec(), author.names.clone()), failure_key),
        transcript: Vec::new(),
        reproduced: None,
        original_steps: steps.len() as u64,
        minimal: false,
        ran_out: None,
    }
}

/// Makes a failing sequence small and runs it again, for its transcript and to see whether it always fails.
pub(super) fn pin_down(
    case: &Case<'_>,
    setup: &Setup,
    steps: &[Step],
    conviction: &Conviction,
    author: Author<'_>,
    patience: Patience<'_>,
) -> Caught {
    let first = first(case, conviction);
    let failure_key = FailureKey::of(&first);
    log::info!(
        "{}: {} convicts at step {} of {}",
        case.scenario.id,
        failure_key.oracle.name(),
        conviction.step,
        steps.len()
    );
    // A hang that is run again costs a whole deadline.
    if !patience.may_repeat() || (loss::is_loss(failure_key.oracle) && !patience.may_shrink()) {
        return as_found(case, setup, steps, conviction, author);
    }
    if let Some((steps, conviction)) = without_faults(case, setup, steps, failure_key) {
        return Caught {
            original_steps: steps.len() as u64,
            // The value of `for_each` is mostly which call fails.
            ..pin_down(case, setup, &steps, &conviction, Author { label: "", ..author }, patience)
        };
    }
    let small = shrink(case, setup, steps, conviction, failure_key, patience);
    let relations = relations_for(failure_key.oracle);
    let course = sequence_for(case, &small.steps, failure_key, &relations);
    // What no run showed again speaks of the sequence as it was first found.
    let mut again = again(case.open, &small.setup, &course, |run| failure_key.find(run).cloned());
    let names = author.names.follow(&small.origins);
    let said = if again.violation.is_some() { &names } else { author.names };
    let mut violation = again.told(&first);
    naming::violation(said, &naming::foreign(&again.transcript), &mut violation);
    naming::listing(&names, &mut again.transcript);
    Caught {
        failure_key,
        requirement: failure_key.cited.unwrap_or(case.scenario.requirement),
        violation: labelled(with_health(case, &small.setup, violation), author.label),
        reproducer: of_guilt(reproducer(case, small.setup, small.steps, names), failure_key),
        transcript: again.transcript,
        reproduced: Some(again.reproduced),
        original_steps: steps.len() as u64,
        minimal: small.minimal,
        ran_out: small.ran_out,
    }
}

/// Makes a departure small that was kept as it was found. What an author expects of the steps does not matter for it, nor
/// what the harness adds for its other judges, where it shows without.
pub(super) fn pin_departure(case: &Case<'_>, found: Caught, patience: Patience<'_>) -> Caught {
    let Reproducer { setup, steps, names, .. } = &found.reproducer;
    let bare: Vec<Step> = steps.iter().filter_map(|s| s.op.clone()).map(Step::from).collect();
    let alone = Scenario { oracles: BTreeSet::new(), epilogue: false, ..case.scenario.clone() };
    let Case { open, target, seed, cases, swarm, exact, stored, .. } = *case;
    let alone = Case { scenario: &alone, open, target, seed, cases, swarm, exact, stored, running: None };
    for case in [&alone, case] {
        let Ok(Attempt::Ran(run)) = attempt(case.open, setup, &sequence_for(case, &bare, FailureKey::DEPARTURE, &[]))
        else {
            continue;
        };
        if let Some(conviction) = &run.departure {
            let author = Author { label: "", names };
            return Caught {
                original_steps: found.original_steps,
                ..pin_down(case, setup, &bare, conviction, author, patience)
            };
        }
    }
    found
}

/// The same steps without the device calls that were made to fail, if the same judge convicts all the same: then the
/// faults are not what it takes.
fn without_faults(
    case: &Case<'_>,
    setup: &Setup,
    steps: &[Step],
    failure_key: FailureKey,
) -> Option<(Vec<Step>, Conviction)> {
    let is_fault = |s: &Step| matches!(s.op, Some(Op::Fault { .. }));
    if loss::is_loss(failure_key.oracle) || failure_key.oracle == OracleName::Expectation || !steps.iter().any(is_fault)
    {
        return None;
    }
    let bare: Vec<Step> = steps.iter().filter(|s| !is_fault(s)).filter_map(|s| s.op.clone()).map(Step::from).collect();
    let relations = relations_for(failure_key.oracle);
    let course = sequence_for(case, &bare, failure_key, &relations);
    let Ok(Attempt::Ran(run)) = attempt(case.open, setup, &course) else { return None };
    let conviction =
        run.conviction.or(run.departure).filter(|c| c.violations.iter().any(|v| v.oracle == failure_key.oracle))?;
    Some((bare, conviction))
}

/// Comparing runs is for the relation that failed, and for no other failure.
fn relations_for(oracle: OracleName) -> Vec<OracleName> {
    if oracle.compares_runs() { vec![oracle] } else { Vec::new() }
}

/// A sequence of the scenario, to see whether the same judge convicts of the same. Only a departure takes a twin.
fn sequence_for<'a>(
    case: &'a Case<'_>,
    steps: &'a [Step],
    failure_key: FailureKey,
    relations: &'a [OracleName],
) -> JudgedSequence<'a> {
    let exact = failure_key == FailureKey::DEPARTURE;
    JudgedSequence { relations, exact, only: exact.then_some(failure_key), ..case.sequence(steps) }
}

/// A sequence made smaller.
struct Small {
    setup: Setup,
    steps: Vec<Step>,
    /// The number that each block had before.
    origins: BTreeMap<BlockId, BlockId>,
    /// No step can be left out: every try was made.
    minimal: bool,
    ran_out: Option<RanOut>,
}

/// The smallest sequence that fails in the same way. Steps past the conviction go first. What an author expects of
/// explicit steps holds for these steps: they are taken apart on its account only as far as the yardstick meets the
/// expectation still, and where another judge convicted they are taken apart without it.
fn shrink(
    case: &Case<'_>,
    setup: &Setup,
    steps: &[Step],
    conviction: &Conviction,
    failure_key: FailureKey,
    patience: Patience<'_>,
) -> Small {
    let relations = relations_for(failure_key.oracle);
    let tries = Tries::begin(patience);
    let still_fails = |setup: &Setup, steps: &[Step]| {
        let attempt = attempt(case.open, setup, &sequence_for(case, steps, failure_key, &relations));
        tries.ran(attempt.as_ref().map_or(0, Attempt::operations));
        matches!(attempt, Ok(Attempt::Ran(run)) if failure_key.find(&run).is_some())
    };
    let oracle = failure_key.oracle;
    let as_it_is = |steps: Vec<Step>| whole(setup, steps);
    let cut = &steps[..steps.len().min(conviction.step + 1)];
    let is_cut = still_fails(setup, cut);
    let mut start = if is_cut { cut.to_vec() } else { steps.to_vec() };
    if tries.are_dear() {
        return Small { ran_out: Some(RanOut::Time), ..as_it_is(start) };
    }
    if loss::is_loss(oracle) && !is_cut {
        return as_it_is(start); // each try may cost a deadline, for a failure that comes and goes
    }
    let budget = loss::budget(oracle, BUDGET);
    let is_explicit = matches!(case.scenario.body, Body::Steps(_));
    if oracle == OracleName::Expectation && is_explicit {
        let Some(yardstick) = Yardstick::of(case, setup) else { return as_it_is(start) };
        let fails =
            |setup: &Setup, steps: &[Step]| still_fails(setup, steps) && yardstick.meets(setup, &case.sequence(steps));
        return minimise(setup, &start, budget, fails, &tries);
    }
    let bare: Vec<Step> = start.iter().filter_map(|s| s.op.clone()).map(Step::from).collect();
    if still_fails(setup, &bare) {
        start = bare;
    } else if is_explicit {
        return as_it_is(start);
    }
    minimise(setup, &start, budget, still_fails, &tries)
}

/// Makes it small with so many tries, and says whether they were enough.
fn minimise(
    setup: &Setup,
    steps: &[Step],
    budget: u32,
    fails: impl Fn(&Setup, &[Step]) -> bool,
    tries: &Tries<'_>,
) -> Small {
    let mut runs = 0;
    let mut fails = |setup: &Setup, steps: &[Step]| {
        runs += 1;
        fails(setup, steps)
    };
    let goes_on = || tries.ran_out().is_none();
    let (setup, steps, origins) = workload::minimise(setup, steps, &mut fails, budget, &goes_on);
    let ran_out = tries.ran_out().or_else(|| (runs >= budget).then_some(RanOut::Runs));
    Small { setup, steps, origins, minimal: ran_out.is_none(), ran_out }
}

/// A sequence that is not taken apart: no block gets another number.
fn whole(setup: &Setup, steps: Vec<Step>) -> Small {
    let blocks = steps.iter().filter_map(|s| s.op.as_ref()?.block());
    let origins = blocks.map(|block| (block, block)).collect();
    Small { setup: setup.clone(), origins, steps, minimal: false, ran_out: None }
}

/// Runs a stored sequence; answers what it shows if it still fails.
pub(super) fn recheck(case: &Case<'_>, stored: &Reproducer) -> Result<Option<Caught>, TargetError> {
    let own = case.scenario.requirement;
    let oracles = stored.oracles.iter().copied().collect();
    let relations = relations_of(&stored.oracles);
    let (steps, epilogue) = (&stored.steps, stored.epilogue);
    let course = JudgedSequence { relations: &relations, ..JudgedSequence::new(steps, &oracles, epilogue) };
    let Attempt::Ran(run) = attempt(case.open, &stored.setup, &course)? else { return Ok(None) };
    let Some(first) = run.conviction.and_then(|c| c.violations.into_iter().next()) else { return Ok(None) };
    let failure_key = FailureKey::of(&first);
    let mut again = again(case.open, &stored.setup, &course, |run| failure_key.find(run).cloned());
    let mut violation = again.told(&first);
    naming::violation(&stored.names, &naming::foreign(&again.transcript), &mut violation);
    naming::listing(&stored.names, &mut again.transcript);
    let violation = with_health(case, &stored.setup, violation);
    Ok(Some(Caught {
        failure_key,
        requirement: failure_key.cited.unwrap_or(own),
        violation,
        reproducer: Reproducer { target: case.target.to_owned(), ..stored.clone() },
        transcript: again.transcript,
        reproduced: Some(again.reproduced),
        original_steps: stored.steps.len() as u64,
        minimal: false, // it was when it was stored
        ran_out: None,
    }))
}

/// After a loss, how the device does since.
fn with_health(case: &Case<'_>, setup: &Setup, violation: Violation) -> Violation {
    if !loss::is_loss(violation.oracle) {
        return violation;
    }
    violation.with("The device afterwards", "之后的设备", health::afterwards(case.open, setup))
}

/// Those of the judges that compare runs.
pub(super) fn relations_of(oracles: &[OracleName]) -> Vec<OracleName> {
    oracles.iter().copied().filter(|o| o.compares_runs()).collect()
}

/// Whoever runs it again has to ask the twin, if the twin is who objects.
fn of_guilt(mut reproducer: Reproducer, failure_key: FailureKey) -> Reproducer {
    if failure_key == FailureKey::DEPARTURE {
        reproducer.oracles.push(OracleName::Exact);
    }
    reproducer
}

/// A sequence of the scenario as a file has it.
pub(super) fn reproducer(case: &Case<'_>, setup: Setup, steps: Vec<Step>, names: Names) -> Reproducer {
    Reproducer {
        format: Reproducer::FORMAT.to_owned(),
        target: case.target.to_owned(),
        scenario: case.scenario.id.clone(),
        requirement: case.scenario.requirement,
        setup,
        oracles: case.scenario.oracles.iter().copied().collect(),
        steps,
        names,
        epilogue: case.scenario.epilogue,
    }
}

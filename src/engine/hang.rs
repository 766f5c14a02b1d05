//! A call in the harness's own process that never returns: its sequence, made small where each try can be ended.
//!
//! Decides nothing but that the tries are made in processes of their own. When a call hangs, `watchdog` says.

use crate::op::{Op, OracleName};
use crate::target::{Lost, TargetName};

use super::attempt::{Attempt, attempt};
use super::case::Case;
use super::caught::{Author, Caught};
use super::failure;
use super::lockstep::Conviction;
use super::loss::Loss;
use super::opener::Named;
use super::stop::{Budget, Patience};
use super::watchdog::{self, Stuck};

/// How long a call may take in a process of its own, once the same has been seen to hang.
const DEADLINE: &str = "3s";

/// The violation, with the smallest sequence that hangs in a process of its own, or else with the one that hung here.
pub(super) fn pin_down(case: &Case<'_>, name: &TargetName, stuck: &Stuck, budget: &Budget<'_>) -> Caught {
    let hung = &stuck.reproducer;
    let apart = apart(name);
    let open = Named(&apart);
    let Case { scenario, target, seed, cases, swarm, .. } = *case;
    let here_again =
        Case { scenario, open: &open, target, seed, cases, swarm, exact: false, stored: None, running: None };
    let name = apart.to_string();
    let case =
        Case { scenario, open: &open, target: &name, seed, cases, swarm, exact: false, stored: None, running: None };
    let author = Author { label: "", names: &hung.names };
    let op = stuck.step.and_then(|step| hung.steps.get(step)?.op.as_ref());
    let lost = Loss { lost: Lost::Stuck { limit: watchdog::LIMIT }, during: op.map(Op::to_line) };
    let found = lost.violation().into_iter().collect();
    let here = Conviction { step: stuck.step.unwrap_or(hung.steps.len()), violations: found };
    let hangs = |c: &Conviction| c.violations.iter().any(|v| v.oracle == OracleName::Hang);
    let again = match attempt(&open, &hung.setup, &case.sequence(&hung.steps)) {
        Ok(Attempt::Ran(run)) => run.conviction.filter(hangs),
        _ => None,
    };
    let Some(again) = again else { return failure::as_found(&here_again, &hung.setup, &hung.steps, &here, author) };
    // Whoever replays it wants to be told, and not to wait.
    failure::pin_down(&case, &hung.setup, &hung.steps, &again, author, Patience::new(budget, None))
}

/// The same target in a process of its own, with little patience.
fn apart(name: &TargetName) -> TargetName {
    let mut apart = name.clone();
    apart.allocator = format!("worker:{}", name.allocator);
    apart.options.push(("deadline".to_owned(), Some(DEADLINE.to_owned())));
    apart
}

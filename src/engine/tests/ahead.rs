//! What is foretold of a sequence, held against what is asked.

use std::cell::Cell;
use std::collections::{BTreeSet, VecDeque};

use crate::engine::lockstep::{self, JudgedSequence};
use crate::op::stats::Row;
use crate::op::{Family, Observation, Op, Reply, Step, TargetInfo};
use crate::spec::{self, Body, Scenario};
use crate::target::{self, Target};
use crate::workload::{Offers, draw, world};

/// A target that lets itself be told what comes next, and checks it as long as every answer is plain.
struct Foreseeing {
    inner: Box<dyn Target>,
    seen: Observation,
    planned: VecDeque<Op>,
    /// Operations that were asked as they had been foretold.
    right: usize,
    wrong: Vec<String>,
}

impl Foreseeing {
    fn reserved(&self) -> Vec<i64> {
        self.seen.devices.iter().map(|view| view.stats.get(Family::ReservedBytes, Row::All).current).collect()
    }
}

impl Target for Foreseeing {
    fn info(&self) -> &TargetInfo {
        self.inner.info()
    }

    fn wants_plan(&self) -> bool {
        self.planned.is_empty()
    }

    fn plan(&mut self, next: Vec<Op>) {
        self.planned = next.into();
    }

    fn apply(&mut self, op: &Op) -> Reply {
        let before = self.reserved();
        let reply = self.inner.apply(op);
        self.inner.observe(&mut self.seen);
        match self.planned.pop_front() {
            Some(next) if next == *op => self.right += 1,
            Some(next) => self.wrong.push(format!("`{}` was foretold, `{}` asked", next.to_line(), op.to_line())),
            None => {}
        }
        let went_back = self.reserved().iter().zip(&before).any(|(now, before)| now < before);
        if matches!(reply, Reply::Refused(_) | Reply::Dropped(_)) || went_back {
            self.planned.clear();
        }
        reply
    }

    fn observe(&mut self, into: &mut Observation) {
        into.clone_from(&self.seen);
    }
}

/// How many operations of a scenario's first sequences were asked as foretold, of how many.
fn foretold(scenario: &Scenario) -> Option<(usize, usize)> {
    let Body::Generate(generate) = &scenario.body else { return None };
    let name = "reference@sim".parse().expect("a target name");
    let mut info = target::open(&name, &world(scenario, 0)).ok()?.info().clone();
    info.capabilities.extend(scenario.requires.iter().copied());
    let mut sum = (0, 0);
    for index in 0..3 {
        let (setup, steps): (_, Vec<Step>) = draw(scenario, generate, &Offers::of(&info, false), (7, index, 0));
        let mut inner = target::open(&name, &setup).ok()?;
        let mut seen = Observation::default();
        inner.observe(&mut seen);
        let mut target = Foreseeing { inner, seen, planned: VecDeque::new(), right: 0, wrong: Vec::new() };
        let oracles: BTreeSet<_> = scenario.oracles.iter().copied().collect();
        let run = lockstep::run(&mut target, &JudgedSequence::new(&steps, &oracles, true), &Cell::new(0));
        assert_eq!(target.wrong, Vec::<String>::new(), "{} #{index}", scenario.id);
        sum = (sum.0 + target.right, sum.1 + usize::try_from(run.operations).expect("not so many"));
    }
    Some(sum)
}

#[test]
fn what_is_foretold_is_what_is_asked() {
    let scenarios = spec::built_in();
    let sums: Vec<(usize, usize)> = scenarios.iter().filter_map(foretold).collect();
    let (right, all) = sums.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    assert!(sums.len() > 60, "{} scenarios are drawn", sums.len());
    // A long way short of all: what the harness adds after refusals, and where memory moves, nobody foretells.
    assert!(right > 100_000, "{right} of {all} operations were foretold");
}

//! Scenario files: text to scenarios or to errors with a place; what was accepted is drawn from and run.
//!
//! Decides how much of an accepted scenario is run: its first worlds and variants, shortened. What an author expects of
//! explicit steps is left out; it may be anything.

use poolproof::engine::Plan;
use poolproof::op::{Capability, OracleName, Setup, Step};
use poolproof::spec::{self, Body, Generate, Scenario};
use poolproof::workload::{self, Offers};

use super::coverage::Cells;
use super::operations;

const STEPS: usize = 200;

pub fn run(data: &[u8], cells: &mut Cells) {
    let text = String::from_utf8_lossy(data);
    match spec::parse("fuzz.yaml", &text) {
        Ok(scenarios) => scenarios.iter().take(2).for_each(|s| follow(s, cells)),
        Err(errors) => {
            assert!(!errors.is_empty(), "refused without a reason");
            // The last line of many counts those that are not told.
            for error in errors.iter().filter(|e| !e.message.starts_with('…')) {
                assert!(error.to_string().starts_with("fuzz.yaml"), "{error}");
                assert!(error.line >= 1 && error.line <= text.lines().count() + 1, "{error}");
            }
        }
    }
}

/// The sequence of that number on a target that offers everything, and its world.
pub fn drawn(scenario: &Scenario, generate: &Generate, index: u32) -> (Setup, Vec<Step>) {
    let capabilities = Capability::names().iter().filter_map(|name| name.parse().ok()).collect();
    let offers = Offers { capabilities: &capabilities, devices: 4, pages: false, real: true };
    workload::draw(scenario, generate, &offers, (0, index, 0))
}

fn follow(scenario: &Scenario, cells: &mut Cells) {
    let target = operations::reference("");
    // What the reference is known to fail says nothing here.
    if Plan::new(vec![scenario.clone()], &[], None).is_ok_and(|plan| plan.telling(&target).chosen() == 0) {
        return;
    }
    for index in 0..2 {
        let (setup, steps) = match &scenario.body {
            Body::Steps(variants) => {
                let Some(variant) = variants.get(index as usize) else { break };
                let steps = variant.steps.iter().take(STEPS).filter_map(|s| s.op.clone()).map(Step::from).collect();
                (workload::world(scenario, index), steps)
            }
            Body::Generate(generate) => {
                let mut generate = generate.clone();
                generate.cycles = generate.cycles.min(3);
                generate.length = (*generate.length.start()).min(60)..=(*generate.length.end()).min(60);
                drawn(scenario, &generate, index)
            }
        };
        if let Some(failure) = operations::failure(&target, &setup, &steps, cells) {
            // A world of one's own making may hold less than what is promised of a steady cycle needs to settle.
            let settles = failure.text.contains(&format!(": {}: ", OracleName::Growth.name()));
            assert!(settles, "{}, {setup:?}: {failure}", scenario.id);
        }
    }
}

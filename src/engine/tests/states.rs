//! Abstract states as the reference shows them, and what is demanded of them.

use super::*;
use crate::spec;
use crate::target::{self, TargetName};

const HEAD: &str = "scenario: walk
requirement: LIVE-05
title: { en: a, zh: 乙 }
effort_days: 1
requires: [graph_capture, streams, record_stream, stream_control, empty_cache, snapshot, oom_typed, deferred_free]
devices: 2
device_bytes: 64MiB
streams: 3
";

const STEPS: &str = "steps:
  - alloc: { block: a, device: 0, bytes: 4KiB }
  - alloc: { block: b, device: 0, bytes: 4KiB }
  - alloc: { block: x, device: 1, bytes: 50MiB }
  - alloc: { block: y, device: 1, bytes: 40MiB }
    expect: { refused: out_of_memory }
  - free: a
  - alloc: { block: c, device: 0, bytes: 4KiB }
  - occupy: { device: 0, stream: 1 }
  - record_stream: { block: b, stream: 1 }
  - free: b
  - alloc: { block: d, device: 0, bytes: 8KiB }
  - finish: { device: 0, stream: 1 }
  - capture_begin: { graph: g, device: 0, stream: 2 }
  - alloc: { block: e, device: 0, stream: 2, bytes: 3MiB }
  - free: e
  - capture_end: g
  - snapshot
  - graph_reset: g
  - empty_cache
";

/// What those steps come to, one demand a line.
const REACHED: &str = "must_reach:
  - oom
  - { step: grown, pool: small, setting: default, devices: two, device: first, failure: none, scale: tens, elsewhere: quiet }
  - { step: split, pool: small, current: own, pending: none }
  - { step: refused_by_device, pool: large, device: second, current: another, elsewhere: live }
  - { step: freed, failure: refused_elsewhere, pool: small }
  - { step: from_cache, failure: refused_elsewhere }
  - { step: deferred, pending: none, failure: none }
  - { step: split, pending: one_stream }
  - { step: capture_begun, capture: none }
  - { step: merged, pool: graph_own, capture: capturing }
  - { step: read, capture: graph_kept }
  - { step: pool_died, capture: graph_kept }
  - { step: emptied, capture: none, elsewhere: live }
";

/// A scenario's run on the reference.
fn run_text(text: &str, jobs: usize, cases: Option<u32>) -> RunRecord {
    run_scenarios(spec::parse("walk.yaml", text).unwrap_or_else(|e| panic!("{e:?}")), jobs, cases)
}

fn run_scenarios(scenarios: Vec<Scenario>, jobs: usize, cases: Option<u32>) -> RunRecord {
    let root = tempfile::tempdir().expect("a temporary folder");
    let target: TargetName = "reference@sim".parse().expect("well formed");
    let options =
        RunOptions { target: target.clone(), jobs, cases, regressions: None, ..options(scenarios, root.path()) };
    let open = move |setup: &Setup| target::open(&target, setup);
    run_on(&open, &options, &Silent).expect("it runs")
}

#[test]
fn steps_come_to_the_states_that_they_are_written_for() {
    let record = run_text(&format!("{HEAD}{REACHED}{STEPS}"), 1, None);
    let only = &record.scenarios[0];
    assert_eq!((only.outcome, &only.reason), (Outcome::Pass, &None));
    assert!(only.combined.len() == 12 && only.combined.iter().all(|c| c.sequences == 1), "{:?}", only.combined);
    let states = record.states.expect("something ran");
    assert_eq!(states.contradicted, Vec::<[String; 2]>::new());
    let (pairs, triples) = (states.in_pairs(), states.in_triples());
    assert!(pairs.reached > 100 && pairs.reached < pairs.reachable, "{pairs:?}");
    assert!(triples.reached > 20 && triples.reached < triples.reachable, "{triples:?}");
}

#[test]
fn a_combination_that_did_not_come_about_leaves_a_scenario_inconclusive() {
    let demand = "must_reach: [ { step: read, capture: capturing } ]\n";
    let record = run_text(&format!("{HEAD}{demand}{STEPS}"), 1, None);
    let reason = record.scenarios[0].reason.clone().unwrap_or_default().en;
    assert_eq!(record.scenarios[0].outcome, Outcome::Inconclusive);
    assert_eq!(reason, "its steps never reached: { step: read, capture: capturing }; another target may");
}

/// Settings are in a state as the name or the world puts them in force.
#[test]
fn settings_of_a_scenario_are_in_its_states() {
    let config = "config: 'max_split_size_mb:32,garbage_collection_threshold:0.8,expandable_segments:False'\n";
    let text = format!("{HEAD}{config}{STEPS}").replace("requires: [", "requires: [settings, ");
    let states = run_text(&text, 1, None).states.expect("something ran");
    let own = states.pairs.iter().find(|p| p.one == "setting" && p.other == "setting").expect("is counted");
    assert_eq!(own.reached, 1, "max_split and collection: {own:?}");
    let missed = own.missed.get("expandable").expect("it was not in force");
    assert!(missed.contains(&"max_split".to_owned()), "{missed:?}");
}

/// Which world comes next hangs on what the ones before came to, and on nothing else.
#[test]
fn drawn_worlds_are_the_same_on_any_number_of_threads_and_break_no_rule() {
    let drawn =
        |s: &Scenario| ["live::little-room", "live::failing-calls", "live::many-pools"].contains(&s.id.as_str());
    let scenarios: Vec<Scenario> = spec::built_in().into_iter().filter(drawn).collect();
    let one = unstamped(run_scenarios(scenarios.clone(), 1, Some(6)));
    assert_eq!(one, unstamped(run_scenarios(scenarios, 3, Some(6))));
    let states = one.states.expect("something ran");
    assert_eq!(states.contradicted, Vec::<[String; 2]>::new());
}

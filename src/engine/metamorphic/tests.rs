//! The relations: what they make of a sequence, that the sound reference keeps them, and that each sees a defect which
//! the judges of one run do not.

use std::collections::BTreeSet;

use super::*;
use crate::engine::attempt::{Attempt, attempt};
use crate::engine::lockstep::JudgedSequence;
use crate::op::{BlockId, DeviceId, StreamId, Via};
use crate::reference::Defect;
use crate::spec::{self, Body, Scenario};
use crate::target::{self, TargetName};
use crate::workload;

fn alloc(block: u32, device: Option<i32>, stream: u8, bytes: u64) -> Op {
    Op::Alloc { block: BlockId(block), device: device.map(DeviceId), stream: StreamId(stream), bytes, via: Via::Raw }
}

fn target(defect: &str) -> TargetName {
    let options = if defect.is_empty() { String::new() } else { format!("?defect={defect}") };
    format!("reference@sim{options}").parse().expect("a target's name")
}

fn world() -> Setup {
    Setup { device_bytes: vec![256 << 20; 2], streams: 4, config: None }
}

fn judged(defect: &str, ops: &[Op], relation: OracleName) -> Judged {
    let steps: Vec<Step> = ops.iter().cloned().map(Step::from).collect();
    let name = target(defect);
    judge(&|setup: &Setup| target::open(&name, setup), &world(), &steps, &[relation]).expect("the target opens")
}

/// The variant's operations, a line each; `+` marks what was added.
fn lines(relation: OracleName, ops: &[Op]) -> Vec<String> {
    let all: Vec<&Op> = ops.iter().collect();
    let mut target = target::open(&target(""), &world()).expect("the target opens");
    let base = Trail::of(&mut *target, &all, false);
    let variant = variant::of(relation, target.info(), &world(), &all, &base).expect("the relation applies");
    variant
        .ops
        .iter()
        .map(|(op, given)| format!("{}{}", if given.is_none() { "+ " } else { "" }, op.to_line()))
        .collect()
}

#[test]
fn each_relation_makes_another_sequence_of_the_same() {
    let ops = [
        alloc(0, None, 1, 700),
        Op::SetCurrent { device: DeviceId(1) },
        alloc(1, None, 2, 3 << 20),
        alloc(2, Some(0), 0, 512),
        Op::Free { block: BlockId(1) },
        Op::Free { block: BlockId(0) },
        Op::EmptyCache,
        Op::ResetPeak { device: DeviceId(9) },
        alloc(3, Some(0), 0, 512),
    ];
    let mut text = String::new();
    for relation in OracleName::RELATIONS {
        text.push_str(&format!("{}\n  {}\n", relation.name(), lines(relation, &ops).join("\n  ")));
    }
    insta::assert_snapshot!(text);
}

#[test]
fn nothing_is_compared_where_there_is_nothing_to_change() {
    let one = [alloc(0, Some(0), 0, 512), Op::Free { block: BlockId(0) }];
    for relation in [OracleName::StreamNames, OracleName::DeviceOrder] {
        assert_eq!(judged("", &one, relation).pairs, 0, "{relation:?}");
    }
    let fault = Op::Fault { device: DeviceId(0), call: crate::op::DeviceCall::Reserve, skip: 0, error: None };
    assert_eq!(judged("", &[fault, alloc(0, Some(0), 1, 512)], OracleName::StreamNames).pairs, 0);
    let nowhere = [alloc(0, Some(0), 1, 512), alloc(1, Some(0), 4, 512)];
    assert_eq!(judged("", &nowhere, OracleName::StreamNames).pairs, 0, "stream 4 is there in the other world alone");
    assert_eq!(judged("", &one, OracleName::WarmUp).pairs, 1);
}

#[test]
fn a_broken_relation_shows_both_sequences() {
    let ops = [alloc(0, Some(0), 1, 3 << 20)];
    let found = judged("stream-handle-sizes", &ops, OracleName::StreamNames).conviction.expect("it is broken");
    assert_eq!(found.step, 0);
    let violation = &found.violations[0];
    let evidence: Vec<String> = violation.evidence.iter().map(|e| format!("{}: {}", e.label.en, e.value)).collect();
    insta::assert_snapshot!(format!("{}\n{}\n{}", violation.message.en, violation.message.zh, evidence.join("\n")));
}

#[test]
fn another_choice_among_free_blocks_breaks_no_relation() {
    let mut all = spec::built_in();
    all.retain(|s| s.id != "live::long-lives"); // a sequence of it takes as long as those of all others
    let own: Vec<Scenario> = all.into_iter().filter(|s| s.requirement.area() == Area::Same).collect();
    for policy in ["scattered-fit", "borrows-idle", "borrows-waiting"] {
        let name: TargetName = format!("reference@sim?variation={policy}").parse().expect("a target's name");
        for seed in 0..2 {
            assert_eq!(convicted(&name, &own, &OracleName::RELATIONS, 16, seed), BTreeSet::new(), "{policy}");
        }
    }
}

/// The defects that are there for the relations, in the order of `OracleName::RELATIONS`.
const DEFECTS: [Defect; 7] = [
    Defect::StreamHandleSizes,
    Defect::OddDeviceSizes,
    Defect::ReleaseChangesSizes,
    Defect::TrimsCounted,
    Defect::LastDeviceSizes,
    Defect::OddBytesSizes,
    Defect::RefusedFreeSizes,
];

/// Who convicts the named target over scenarios: the judges of one run, or these relations.
fn convicted(
    name: &TargetName,
    scenarios: &[Scenario],
    relations: &[OracleName],
    sequences: u32,
    seed: u64,
) -> BTreeSet<OracleName> {
    let open = |setup: &Setup| target::open(name, setup);
    let mut guilty = BTreeSet::new();
    for scenario in scenarios {
        let mut run = |setup: &Setup, steps: &[Step], relations: &[OracleName]| {
            let (oracles, epilogue) = (&scenario.oracles, scenario.epilogue);
            let course =
                JudgedSequence { steps, oracles, epilogue, transcript: false, relations, only: None, exact: false };
            let Ok(Attempt::Ran(run)) = attempt(&open, setup, &course) else { panic!("{}", scenario.id) };
            guilty.extend(run.conviction.iter().flat_map(|c| &c.violations).map(|v| v.oracle));
        };
        match &scenario.body {
            // Explicit steps are not compared with variants.
            Body::Steps(_) if !relations.is_empty() => {}
            Body::Steps(variants) => {
                let setup = workload::world(scenario, 0);
                let info = open(&setup).expect("opens").info().clone();
                for variant in variants {
                    run(&setup, &workload::steps_on(variant, &info).expect("the world asked for"), &[]);
                }
            }
            Body::Generate(generate) => {
                let info = open(&workload::widest_world(scenario)).expect("opens").info().clone();
                let offers = workload::Offers::of(&info, false);
                for index in 0..sequences {
                    let (setup, steps) = workload::draw(scenario, generate, &offers, (seed, index, 0));
                    run(&setup, &steps, relations);
                }
            }
        }
    }
    guilty
}

#[test]
fn the_sound_reference_keeps_every_relation() {
    let all = spec::built_in();
    for seed in 0..2 {
        assert_eq!(convicted(&target(""), &all, &OracleName::RELATIONS, 1, seed), BTreeSet::new(), "seed {seed}");
    }
}

#[test]
fn each_relation_sees_a_defect_that_no_judge_of_one_run_sees() {
    let mut all = spec::built_in();
    all.retain(|s| s.id != "live::long-lives"); // a sequence of it takes as long as those of all others
    let own: Vec<Scenario> = all.iter().filter(|s| s.requirement.area() == Area::Same).cloned().collect();
    for (relation, defect) in OracleName::RELATIONS.into_iter().zip(DEFECTS) {
        let name = target(defect.name());
        // A scenario may know PyTorch's own figures, which no judge that holds for every allocator does.
        let mut alone = convicted(&name, &all, &[], 1, 0);
        alone.remove(&OracleName::Expectation);
        assert_eq!(alone, BTreeSet::new(), "{} is seen in one run", defect.name());
        let found = convicted(&name, &own, &[relation], 4, 0);
        assert_eq!(found, BTreeSet::from([relation]), "{}", defect.name());
    }
}

//! What a right document comes to.

use super::*;
use crate::op::reply::RefusalClass;
use crate::op::step::{AddressExpect, Amount};
use crate::op::{BlockId, Capability, DeviceId, Op, OracleName, Pointer, Step, StreamId, Via};
use crate::requirement::Severity;

fn steps_of(lines: &str) -> Vec<Variant> {
    let head = "scenario: it\nrequirement: MEM-01\ntitle: { en: a, zh: 乙 }\neffort_days: 0\n\
                devices: 2\nrequires: [streams, record_stream, raw_free, tensors, memory_fraction, current_device, \
                oom_typed, snapshot, faults, callers, summary, empty_cache, \"stats:allocated_bytes\", counters, memory_info]\n";
    let scenarios = parse("x.yaml", &format!("{head}{lines}")).map_err(|e| e[0].to_string());
    match scenarios.as_deref() {
        Ok([Scenario { body: Body::Steps(variants), .. }]) => variants.clone(),
        other => panic!("{other:?}"),
    }
}

fn ops(variant: &Variant) -> Vec<Op> {
    variant.steps.iter().filter_map(|s| s.op.clone()).collect()
}

fn alloc(block: u32, bytes: u64) -> Op {
    Op::Alloc { block: BlockId(block), device: None, stream: StreamId(0), bytes, via: Via::Raw }
}

#[test]
fn sizes_and_places_are_read_as_written() {
    let variants = steps_of(
        "steps:
  - alloc: { block: 7, device: 1, stream: 2, bytes: 1.5KiB, via: tensor }
  - alloc: { block: most, bytes: -1 }
  - free: 7
  - free_pointer: { freed: 7 }
  - free_pointer: null
  - free_pointer:
  - free_pointer: { interior: { block: most, offset: 8 } }
  - empty_cache
  - set_fraction: { to: .nan }
",
    );
    let found = ops(&variants[0]);
    let (block, device) = (BlockId(0), Some(DeviceId(1)));
    assert_eq!(found[0], Op::Alloc { block, device, stream: StreamId(2), bytes: 1536, via: Via::Tensor });
    assert_eq!(found[1], alloc(1, u64::MAX));
    assert_eq!(found[2], Op::Free { block });
    assert_eq!(found[3], Op::FreePointer { pointer: Pointer::Freed { block } });
    assert_eq!(found[4..6], [Op::FreePointer { pointer: Pointer::Null }, Op::FreePointer { pointer: Pointer::Null }]);
    let interior = Pointer::Interior { block: BlockId(1), offset: 8 };
    assert_eq!(found[6..8], [Op::FreePointer { pointer: interior }, Op::EmptyCache]);
    assert!(matches!(found[8], Op::SetFraction { device: None, fraction } if fraction.is_nan()));
}

#[test]
fn variables_make_every_combination_in_order() {
    let variants = steps_of(
        "for_each: { fraction: [0, .inf], bytes: [1KiB, 2] }
steps:
  - set_fraction: { to: $fraction }
  - alloc: { block: a, bytes: $bytes }
    expect: { stats: { 0: { allocated_bytes.all.current: $bytes } } }
",
    );
    let labels: Vec<&str> = variants.iter().map(|v| v.label.as_str()).collect();
    let expected = ["fraction = 0, bytes = 1KiB", "fraction = 0, bytes = 2"];
    assert_eq!(labels[..2], expected);
    assert_eq!(labels[2..], ["fraction = inf, bytes = 1KiB", "fraction = inf, bytes = 2"]);
    assert_eq!(ops(&variants[0])[1], alloc(0, 1024));
    let figures = &variants[2].steps[1].expect.as_ref().expect("it has one").stats[&DeviceId(0)];
    assert_eq!(figures["allocated_bytes.all.current"], Amount::Exactly(1024));
}

#[test]
fn repetitions_ask_for_new_blocks_each_time() {
    let variants = steps_of(
        "steps:
  - alloc: { block: outer, bytes: 1 }
  - repeat:
      times: 3
      steps:
        - alloc: { block: a, bytes: 2 }
        - alloc: { block: b, bytes: 3 }
        - free: a
  - free: b
  - free: outer
",
    );
    let found = ops(&variants[0]);
    let asked: Vec<u32> = found.iter().filter(|o| o.name() == "alloc").filter_map(Op::block).map(|b| b.0).collect();
    let freed: Vec<u32> = found.iter().filter(|o| o.name() == "free").filter_map(Op::block).map(|b| b.0).collect();
    assert_eq!(asked, [0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(freed, [1, 3, 5, 6, 0]);
}

#[test]
fn expectations_are_read_as_written() {
    let variants = steps_of(
        "steps:
  - alloc: { block: a, bytes: 1 }
    expect: { succeeds: true, address: not_null }
  - alloc: { block: z, bytes: 0 }
    expect: { address: null }
  - alloc: { block: b, bytes: 2MiB }
    expect:
      refused: out_of_memory
      unchanged: true
      contains: [2.00 MiB]
      address: { same_as: a }
      fraction: { device: 1, is: 0.5 }
      stats: { 0: { num_ooms: 1, free_bytes: { at_least: 1MiB } }, 1: { num_ooms: 0 } }
      change: { 0: { allocated_bytes.all.current: -2MiB } }
  - alloc: { block: b, bytes: 2MiB }
  - snapshot:
    expect: { segments: { 0: { at_least: 1, at_most: 2 } }, fraction: { 0: 1, 1: .5 } }
  - summary: { device: 0 }
    expect: { lines: 26 }
",
    );
    let of = |step: usize| variants[0].steps[step].expect.clone().expect("it has one");
    assert_eq!(of(0).address, Some(AddressExpect::NotNull));
    assert_eq!(of(1).address, Some(AddressExpect::Null));
    let refused = of(2);
    assert_eq!(refused.refused, Some(RefusalClass::OutOfMemory));
    assert_eq!(refused.address, Some(AddressExpect::SameAs(BlockId(0))));
    assert_eq!(refused.contains, ["2.00 MiB"]);
    assert!(refused.unchanged && !refused.succeeds);
    assert_eq!(refused.fraction.get(&DeviceId(1)), Some(&0.5));
    let free = Amount::Between { at_least: Some(1 << 20), at_most: None };
    assert_eq!(refused.stats[&DeviceId(0)]["free_bytes"], free);
    assert_eq!(refused.change[&DeviceId(0)]["allocated_bytes.all.current"], Amount::Exactly(-(2 << 20)));
    assert_eq!(of(4).segments[&DeviceId(0)], Amount::Between { at_least: Some(1), at_most: Some(2) });
    assert_eq!(of(4).fraction.len(), 2);
    assert_eq!(of(5).lines, Some(Amount::Exactly(26)));
    assert!(matches!(&variants[0].steps[3], Step { op: Some(op), expect: None } if op.block() == Some(BlockId(3))));
}

#[test]
fn a_scenario_raises_the_severity_of_its_promise_and_never_lowers_it() {
    let of = |line: &str| {
        let text = super::wrong::document("it").replace("severity: medium\n", line);
        parse("x.yaml", &text).map(|scenarios| scenarios[0].severity)
    };
    assert_eq!(of(""), Ok(Severity::Medium), "that of ZERO-01");
    assert_eq!(of("severity: medium\n"), Ok(Severity::Medium));
    assert_eq!(of("severity: high\n"), Ok(Severity::High));
    assert!(of("severity: low\n").is_err());
}

#[test]
fn what_is_left_out_has_the_documented_value() {
    let text = "scenario: it
requirement: OOM-03
title: { en: a, zh: 乙 }
effort_days: 1.5
devices: 2..4
generate:
  length: 20..400
  sizes: [ { log_uniform: [1, 1MiB] }, { weight: 0.5, around: [512], within: 1 }, { exactly: [3] } ]
  weights: { alloc: 6, free: 0.2 }
";
    let scenarios = parse("dir/x.yaml", text).expect("it is right");
    let [scenario] = scenarios.as_slice() else { panic!("one document, one scenario") };
    assert_eq!((scenario.id.as_str(), scenario.file.as_str()), ("oom::it", "dir/x.yaml"));
    assert_eq!((scenario.severity, scenario.effort_days), (Severity::High, 1.5));
    assert_eq!(scenario.requires, BTreeSet::from([Capability::Devices(2)]));
    assert_eq!(scenario.device_bytes, [1 << 30, 512 << 20, 2 << 30, 256 << 20]);
    assert_eq!((scenario.streams, scenario.epilogue, scenario.devices.clone()), (4, true, 2..=4));
    assert_eq!(scenario.oracles.len(), OracleName::ALL.len());
    let Body::Generate(generate) = &scenario.body else { panic!("it generates") };
    assert_eq!((generate.sequences, generate.cycles, generate.length.clone()), (64, 0, 20..=400));
    assert_eq!((generate.streams.clone(), generate.callers.clone()), (1..=1, 1..=1));
    assert_eq!(generate.weights.entries, [(OpKind::Alloc, 6000), (OpKind::Free, 200)]);
    assert_eq!(generate.sizes[1].draw, SizeDraw::Around { centres: vec![512], within: 1 });
    assert_eq!(generate.sizes.iter().map(|s| s.weight).collect::<Vec<_>>(), [1000, 500, 1000]);
    assert!(!generate.fractions.is_empty());
}

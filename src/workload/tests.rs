//! What can be relied on of a drawn sequence.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::op::{BlockId, Capability, DeviceCall, Op, Pointer, Step, Text, Via};
use crate::requirement::Severity;
use crate::spec::{Body, FaultPlan, FaultWhen, Generate, OpKind, SizeClass, SizeDraw, Weights};

const KINDS: [OpKind; 25] = {
    use OpKind::*;
    [
        Alloc,
        AllocTensor,
        AllocZero,
        Free,
        FreeNewest,
        FreeOldest,
        FreeInvalid,
        RecordStream,
        Use,
        Occupy,
        Finish,
        Synchronize,
        EmptyCache,
        ResetPeak,
        ResetAccumulated,
        SetFraction,
        SetFractionInvalid,
        GetFraction,
        SetCurrent,
        Caller,
        Dictionary,
        Summary,
        Snapshot,
        MemoryInfo,
        BadDevice,
    ]
};

fn generate(kinds: &[OpKind]) -> Generate {
    Generate {
        world: None,
        sequences: 1,
        length: 20..=60,
        streams: 1..=3,
        callers: 1..=2,
        limit_bytes: None,
        sizes: vec![
            SizeClass { weight: 3, draw: SizeDraw::LogUniform(1, 1 << 20) },
            SizeClass { weight: 1, draw: SizeDraw::Around { centres: vec![512, 1 << 20], within: 513 } },
        ],
        weights: Weights { entries: kinds.iter().map(|&k| (k, 1000)).collect() },
        faults: Vec::new(),
        cycles: 1,
        fractions: Vec::new(),
        settings: Vec::new(),
    }
}

fn scenario(generate: &Generate) -> Scenario {
    Scenario {
        id: "oom::drawn".to_owned(),
        file: "drawn.yaml".to_owned(),
        requirement: "OOM-01".parse().expect("registered"),
        title: Text::default(),
        severity: Severity::High,
        effort_days: 1.0,
        requires: BTreeSet::new(),
        devices: 1..=3,
        device_bytes: vec![64 << 20, 32 << 20],
        streams: 4,
        config: None,
        oracles: BTreeSet::new(),
        must_reach: BTreeSet::new(),
        must_combine: Vec::new(),
        exact_world: false,
        epilogue: true,
        body: Body::Generate(generate.clone()),
    }
}

fn ops(generate: &Generate, seed: u64, index: u32) -> Vec<Op> {
    let scenario = scenario(generate);
    let steps = sequence(&scenario, generate, &world(&scenario, index), seed, index);
    steps.into_iter().filter_map(|s| s.op).collect()
}

fn many(generate: &Generate) -> Vec<Vec<Op>> {
    (0..60).map(|index| ops(generate, 1, index)).collect()
}

#[test]
fn worlds_take_turns_and_repeat_capacities() {
    let scenario = scenario(&generate(&[]));
    let worlds: Vec<Vec<u64>> =
        (0..4).map(|i| world(&scenario, i).device_bytes.iter().map(|b| b >> 20).collect()).collect();
    assert_eq!(worlds, [vec![64], vec![64, 32], vec![64, 32, 64], vec![64]]);
    assert_eq!(world(&scenario, 0).streams, 4);
    let bare = Scenario { device_bytes: vec![], devices: 0..=0, streams: 0, ..scenario };
    assert_eq!(world(&bare, 7), Setup { device_bytes: vec![DEVICE_BYTES], streams: 1, config: None });
}

/// Pinned: a change here changes what every published seed means.
#[test]
fn a_seed_means_the_same_for_ever() {
    let mut generate = generate(&KINDS);
    generate.faults = vec![FaultPlan { call: DeviceCall::Reserve, when: FaultWhen::Seeded }];
    let lines: Vec<String> = ops(&generate, 7, 1).iter().take(16).map(Op::to_line).collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    alloc b0: 1.19 KiB (1223 B) on device 1, stream 1
    reset_peak device -2147483648
    dictionary device 1
    set_fraction the current device to -0.1
    alloc b1: 0 B on device 1, stream 1
    snapshot
    occupy device 1, stream 1
    fault device 0: reserve fails after 2 more
    free b0
    set_fraction device 0 to 0.5
    record_stream b1 on stream 1
    record_stream b1 on stream 0
    reset_accumulated device 0
    reset_accumulated device 1
    set_fraction the current device to 0.5
    empty_cache
    ");
}

#[test]
fn seed_scenario_and_index_all_count() {
    let generate = generate(&[]);
    let first = ops(&generate, 1, 0);
    assert_eq!(first, ops(&generate, 1, 0));
    assert_ne!(first, ops(&generate, 2, 0));
    assert_ne!(first, ops(&generate, 1, 3), "the same world, another index");
    let other = Scenario { id: "oom::other".to_owned(), ..scenario(&generate) };
    let steps = sequence(&other, &generate, &world(&other, 0), 1, 0);
    assert_ne!(first, steps.into_iter().filter_map(|s| s.op).collect::<Vec<_>>());
}

#[test]
fn every_kind_of_operation_is_reached() {
    for kind in KINDS {
        let seen: Vec<Op> = many(&generate(&[OpKind::Alloc, kind])).concat();
        let reached = |wanted: fn(&Op) -> bool| seen.iter().any(wanted);
        let found = match kind {
            OpKind::Alloc => reached(|o| matches!(o, Op::Alloc { via: Via::Raw, .. })),
            OpKind::AllocTensor => reached(|o| matches!(o, Op::Alloc { via: Via::Tensor, .. })),
            OpKind::AllocZero => reached(|o| matches!(o, Op::Alloc { bytes: 0, .. })),
            OpKind::Free | OpKind::FreeNewest | OpKind::FreeOldest => reached(|o| matches!(o, Op::Free { .. })),
            OpKind::FreeInvalid => reached(|o| matches!(o, Op::FreePointer { .. })),
            OpKind::SetFraction => reached(|o| matches!(o, Op::SetFraction { fraction: 0.0..=1.0, .. })),
            OpKind::SetFractionInvalid => {
                reached(|o| matches!(o, Op::SetFraction { fraction, .. } if fraction.is_nan()))
            }
            OpKind::BadDevice => reached(|o| matches!(o, Op::Alloc { device: Some(d), .. } if d.0 < 0)),
            plain => {
                let name = serde_json::to_value(plain).expect("a plain name");
                seen.iter().any(|o| Some(o.name()) == name.as_str())
            }
        };
        assert!(found, "{kind:?}");
    }
}

const POOL_KINDS: [OpKind; 7] = {
    use OpKind::*;
    [PoolCreate, PoolEnter, PoolExit, PoolDelete, CaptureBegin, CaptureEnd, GraphReset]
};

/// Every operation on pools and captures is one that the engine would ask, and each kind comes up.
#[test]
fn pools_and_captures_are_well_formed() {
    use crate::op::{Observation, Reply};
    let mut generate = generate(&[OpKind::Alloc, OpKind::Free, OpKind::RecordStream, OpKind::Use, OpKind::Synchronize]);
    generate.weights.entries.extend(POOL_KINDS.map(|kind| (kind, 500)));
    generate.streams = 2..=3;
    let mut names = BTreeSet::new();
    for (index, ops) in (0..).zip(many(&generate)) {
        let mut model = crate::model::Model::new(&crate::op::TargetInfo {
            name: "none".to_owned(),
            devices: vec![crate::op::DeviceInfo::whole("d", 1 << 40); index % 3 + 1],
            streams: 4,
            capabilities: BTreeSet::new(),
            contract: crate::op::Contract {
                alignment: 512,
                growth: crate::op::contract::Growth::plain(0, 512),
                counts_segments: true,
                tensor_limit: None,
            },
            config: None,
        });
        for (turn, op) in (1_u64..).zip(&ops) {
            assert_eq!(model.admits(op), Ok(()), "{} of\n{}", op.to_line(), {
                ops.iter().map(Op::to_line).collect::<Vec<_>>().join("\n")
            });
            names.insert(op.name());
            let address = turn << 40;
            let reply = if matches!(op, Op::Alloc { .. }) { Reply::Allocated { address } } else { Reply::Done };
            model.apply(op, &reply, &Observation::default());
        }
    }
    for kind in POOL_KINDS {
        let name = serde_json::to_value(kind).expect("a plain name");
        assert!(names.contains(name.as_str().expect("a string")), "{kind:?}");
    }
}

#[test]
fn rounds_let_go_of_their_pools_and_graphs() {
    let mut generate = generate(&[OpKind::Alloc, OpKind::Free, OpKind::EmptyCache]);
    generate.weights.entries.extend(POOL_KINDS.map(|kind| (kind, 500)));
    (generate.streams, generate.cycles) = (2..=2, 3);
    for ops in many(&generate) {
        for round in ops.split_inclusive(|o| *o == Op::CycleEnd) {
            let count = |name: &str| round.iter().filter(|o| o.name() == name).count();
            let ends = [
                ("pool_create", "pool_delete"),
                ("pool_enter", "pool_exit"),
                ("capture_begin", "capture_end"),
                ("capture_begin", "graph_reset"),
            ];
            ends.iter().for_each(|(begin, end)| assert_eq!(count(begin), count(end), "{begin}"));
        }
        let made: Vec<_> = ops.iter().filter(|o| matches!(o, Op::PoolCreate { .. })).filter_map(Op::pool).collect();
        assert_eq!(made.iter().collect::<BTreeSet<_>>().len(), made.len(), "names are fresh in each round");
    }
}

#[test]
fn operations_are_about_blocks_asked_for_before() {
    for ops in many(&generate(&KINDS)) {
        let (mut held, mut freed, mut refused): (BTreeMap<BlockId, u64>, BTreeSet<_>, BTreeSet<_>) = Default::default();
        for op in &ops {
            match op {
                Op::Alloc { block, device, bytes, .. } => {
                    assert_eq!(block.0 as usize, held.len() + freed.len() + refused.len(), "ids are fresh");
                    if device.is_some_and(|d| d.index(3).is_none()) {
                        refused.insert(*block);
                    } else {
                        held.insert(*block, *bytes);
                    }
                }
                Op::Free { block } => {
                    assert!(held.remove(block).is_some() && freed.insert(*block));
                }
                Op::FreePointer { pointer: Pointer::Freed { block } } => assert!(freed.contains(block)),
                Op::FreePointer { pointer: Pointer::Interior { block, offset } } => {
                    assert!((1..held[block]).contains(offset), "{offset} of {}", held[block]);
                }
                other => assert!(other.block().is_none_or(|b| held.contains_key(&b) || refused.contains(&b))),
            }
        }
    }
}

#[test]
fn mistakes_are_of_every_sort() {
    let mut generate = generate(&[OpKind::Alloc, OpKind::Free, OpKind::FreeInvalid, OpKind::BadDevice]);
    generate.weights.entries.push((OpKind::SetFractionInvalid, 1000));
    let mut scenario = scenario(&generate);
    scenario.requires = [Capability::MemoryFraction, Capability::Summary, Capability::CurrentDevice].into();
    let (mut pointers, mut calls, mut devices, mut fractions) =
        (BTreeSet::new(), BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for index in 0..60 {
        for step in sequence(&scenario, &generate, &world(&scenario, 0), 1, index) {
            let Some(op) = step.op else { continue };
            if let Op::FreePointer { pointer } = &op {
                pointers.insert(format!("{pointer:?}").split([' ', '(']).next().unwrap_or_default().to_owned());
            }
            if let Op::SetFraction { fraction, .. } = &op {
                fractions.insert(fraction.to_bits());
            }
            let line = op.to_line();
            for bad in ["device -1", "device 1", "device 99", "device -2147483648"] {
                if line.split(',').any(|part| part.ends_with(bad) || part.contains(&format!("{bad} "))) {
                    devices.insert(bad);
                    calls.insert(op.name());
                }
            }
        }
    }
    assert_eq!(pointers.into_iter().collect::<Vec<_>>(), ["Freed", "Interior", "Null", "Wild"]);
    assert_eq!(devices.len(), 4, "{devices:?}");
    let expected = ["alloc", "get_fraction", "set_current", "set_fraction", "summary"];
    assert_eq!(calls.into_iter().collect::<Vec<_>>(), expected, "only what the scenario requires");
    assert!(fractions.len() >= 5 && fractions.contains(&f64::NAN.to_bits()));
}

#[test]
fn draws_keep_to_the_ranges() {
    let mut generate = generate(&[OpKind::Alloc, OpKind::RecordStream, OpKind::Caller, OpKind::SetCurrent]);
    generate.streams = 2..=9;
    generate.callers = 3..=3;
    let (mut streams, mut callers, mut left_out) = (BTreeSet::new(), BTreeSet::new(), false);
    for ops in many(&generate) {
        assert!((20..=60).contains(&ops.len()));
        for op in ops {
            match op {
                Op::Alloc { stream, device, .. } => {
                    streams.insert(stream.0);
                    left_out |= device.is_none();
                }
                Op::Caller { caller } => drop(callers.insert(caller)),
                _ => {}
            }
        }
    }
    assert_eq!(streams.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3], "a device has four");
    assert_eq!(callers.into_iter().collect::<Vec<_>>(), [0, 1, 2]);
    assert!(left_out);
}

#[test]
fn a_limit_comes_first_and_faults_where_they_are_planned() {
    let mut generate = generate(&[]);
    generate.length = 50..=50;
    generate.limit_bytes = Some(48 << 20);
    let every = |n| FaultPlan { call: DeviceCall::Release, when: FaultWhen::Every(n) };
    generate.faults = vec![every(20), every(0), FaultPlan { call: DeviceCall::Reserve, when: FaultWhen::Seeded }];
    let ops = ops(&generate, 1, 1);
    let limits: Vec<String> = ops[..2].iter().map(Op::to_line).collect();
    assert_eq!(limits, ["set_fraction device 0 to 0.75", "set_fraction device 1 to 1"]);
    let releases: Vec<usize> =
        (0..ops.len()).filter(|&i| matches!(ops[i], Op::Fault { call: DeviceCall::Release, .. })).collect();
    assert_eq!((ops.len(), releases.len()), (55, 2));
    assert!((20..=22).contains(&(releases[1] - releases[0])));
    let seeded = |o: &&Op| matches!(o, Op::Fault { call: DeviceCall::Reserve, skip: 0..=3, .. });
    assert_eq!(ops.iter().filter(seeded).count(), 1);
}

#[test]
fn rounds_repeat_with_fresh_blocks_and_free_them() {
    let mut generate = generate(&KINDS);
    generate.cycles = 3;
    generate.limit_bytes = Some(1 << 20);
    generate.faults = vec![FaultPlan { call: DeviceCall::Reserve, when: FaultWhen::Every(5) }];
    let ops = ops(&generate, 1, 1);
    let rounds: Vec<&[Op]> = ops[2..].split_inclusive(|o| *o == Op::CycleEnd).collect();
    assert_eq!(rounds.len(), 3);
    let nameless = |ops: &[Op]| -> Vec<Op> {
        let mut ops = ops.to_vec();
        ops.iter_mut().filter_map(Op::block_mut).for_each(|b| b.0 = 0);
        ops
    };
    let mut seen = BTreeSet::new();
    for round in &rounds {
        assert_eq!(nameless(round), nameless(rounds[0]));
        let mut held = BTreeSet::new();
        for op in *round {
            match op {
                Op::Alloc { block, device, .. } => {
                    assert!(seen.insert(*block), "{block} is fresh");
                    if device.is_none_or(|d| d.index(2).is_some()) {
                        held.insert(*block);
                    }
                }
                Op::Free { block } => assert!(held.remove(block)),
                Op::SetFraction { .. } | Op::Fault { .. } | Op::ResetPeak { .. } | Op::ResetAccumulated { .. } => {
                    panic!("{} inside a round", op.to_line())
                }
                _ => {}
            }
        }
        assert!(held.is_empty());
        assert!(matches!(round[0], Op::Caller { .. }), "each round starts from the same caller");
    }
}

#[test]
fn nothing_to_free_is_asked_for_and_odd_ranges_do_no_harm() {
    let mut generate = generate(&[OpKind::Free]);
    assert_eq!(many(&generate).concat(), [], "no request has any weight");
    #[expect(clippy::reversed_empty_ranges, reason = "what nobody should ask for")]
    {
        generate = Generate { length: 9..=3, streams: 7..=0, callers: 0..=0, sizes: vec![], ..generate };
    }
    generate.weights = Weights::default();
    let ops = ops(&generate, 1, 0);
    assert_eq!(ops.len(), 9);
    assert!(ops.iter().all(|o| matches!(o, Op::Alloc { .. } | Op::Free { .. })));
    let steps =
        sequence(&scenario(&generate), &generate, &Setup { device_bytes: vec![], streams: 0, config: None }, 1, 0);
    assert!(steps.iter().all(|s: &Step| s.expect.is_none()));
}

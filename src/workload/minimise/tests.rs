//! Minimising under made-up failures, whose smallest sequences are known.

use super::*;
use crate::op::{Expect, StreamId, Via};

fn alloc(block: u32, device: i32, stream: u8, bytes: u64) -> Step {
    let place = (Some(DeviceId(device)), StreamId(stream));
    Op::Alloc { block: BlockId(block), device: place.0, stream: place.1, bytes, via: Via::Tensor }.into()
}

fn free(block: u32) -> Step {
    Op::Free { block: BlockId(block) }.into()
}

fn setup() -> Setup {
    Setup { device_bytes: vec![64 << 20; 3], streams: 4, config: None }
}

/// Blocks come and go on three devices, with other things in between.
fn long() -> Vec<Step> {
    let mut steps = Vec::new();
    for i in 0..60 {
        steps.push(alloc(i + 5, (i % 3).cast_signed(), (i % 4) as u8, 1000 * u64::from(i + 1)));
        if i % 2 == 1 {
            steps.push(free(i + 5));
        }
        if i % 5 == 0 {
            steps.push(Op::EmptyCache.into());
            steps.push(Op::SetFraction { device: Some(DeviceId(1)), fraction: 0.3217 }.into());
        }
    }
    steps
}

fn names(steps: &[Step]) -> Vec<String> {
    steps.iter().filter_map(|s| s.op.as_ref()).map(Op::to_line).collect()
}

/// Checks that no single step of the result can go, and that the result fails.
fn minimal(mut fails: impl FnMut(&Setup, &[Step]) -> bool, steps: &[Step]) -> (Setup, Vec<Step>) {
    assert!(fails(&setup(), steps), "the failure is there to begin with");
    let (world, least, _) = minimise(&setup(), steps, &mut fails, 20_000, &|| true);
    assert!(fails(&world, &least));
    for i in 0..least.len() {
        let mut fewer = least.clone();
        fewer.remove(i);
        assert!(!fails(&world, &fewer), "step {i} can go: {:?}", names(&least));
    }
    (world, least)
}

fn live_bytes(steps: &[Step]) -> u64 {
    let mut live: BTreeMap<BlockId, u64> = BTreeMap::new();
    let mut most = 0;
    for op in steps.iter().filter_map(|s| s.op.as_ref()) {
        match op {
            Op::Alloc { block, bytes, .. } => drop(live.insert(*block, *bytes)),
            Op::Free { block } => drop(live.remove(block)),
            _ => {}
        }
        most = most.max(live.values().sum());
    }
    most
}

#[test]
fn one_culprit_is_all_that_is_left() {
    let (world, least) = minimal(|_, steps| steps.iter().any(|s| s.op == Some(Op::EmptyCache)), &long());
    assert_eq!(
        (names(&least), world),
        (vec!["empty_cache".to_owned()], Setup { device_bytes: vec![64 << 20], streams: 1, config: None })
    );
}

#[test]
fn a_threshold_is_found_and_values_become_simple() {
    let big = |op: &Op| matches!(op, Op::Alloc { bytes, .. } if *bytes > 1 << 15);
    let (_, least) = minimal(|_, steps| steps.iter().any(|s| s.op.as_ref().is_some_and(big)), &long());
    assert_eq!(names(&least), ["alloc b0: 64 KiB (65536 B) on device 0, stream 0"]);
    let odd = |op: &Op| matches!(op, Op::Alloc { bytes, .. } if *bytes > 40_000 && *bytes % 2 == 1);
    let steps = [alloc(3, 0, 0, 99_999)];
    let (_, least) = minimal(|_, steps| steps.iter().any(|s| s.op.as_ref().is_some_and(odd)), &steps);
    assert!(matches!(least[0].op, Some(Op::Alloc { bytes: 40_001..50_000, .. })), "{:?}", names(&least));
}

#[test]
fn requests_that_only_add_up_become_one() {
    let (_, least) = minimal(|_, steps| live_bytes(steps) >= 100_000, &long());
    assert_eq!(names(&least), ["alloc b0: 128 KiB (131072 B) on device 0, stream 0"]);
}

/// Freeing is harmful only after an allocation of the block, and an allocation that is never freed is a
/// failure of another kind: neither step can go alone before the other.
#[test]
fn a_block_goes_with_all_that_is_done_to_it() {
    let balanced = |steps: &[Step]| {
        let count = |wanted: fn(&Op) -> bool| steps.iter().filter_map(|s| s.op.as_ref()).filter(|&o| wanted(o)).count();
        count(|o| matches!(o, Op::Alloc { .. })) == count(|o| matches!(o, Op::Free { .. }))
    };
    let steps: Vec<Step> = (0..20).flat_map(|i| [alloc(i, 0, 0, 512), free(i)]).chain([Op::Snapshot.into()]).collect();
    let fails = |steps: &[Step]| balanced(steps) && steps.iter().any(|s| s.op == Some(Op::Snapshot));
    let (_, least) = minimal(|_, steps| fails(steps), &steps);
    assert_eq!(names(&least), ["snapshot"]);
}

#[test]
fn steps_that_go_only_in_pairs_go() {
    let there_and_back =
        |device| [Op::SetCurrent { device: DeviceId(device) }.into(), Op::SetCurrent { device: DeviceId(0) }.into()];
    let steps: Vec<Step> = (1..3).flat_map(there_and_back).chain([Op::Snapshot.into()]).collect();
    let back_home = |steps: &[Step]| steps.len() % 2 == 1 && steps.last().is_some_and(|s| s.op == Some(Op::Snapshot));
    let (_, least) = minimal(|_, steps| back_home(steps), &steps);
    assert_eq!(names(&least), ["snapshot"]);
}

/// Two blocks have to be on one stream of one device, not the default ones; so must the world be large enough.
#[test]
fn values_that_belong_together_are_simplified_together() {
    let place = |op: &Op| if let Op::Alloc { device, stream, .. } = op { Some((*device, *stream)) } else { None };
    let fails = |world: &Setup, steps: &[Step]| {
        let places: Vec<_> = steps.iter().filter_map(|s| s.op.as_ref()).filter_map(place).collect();
        let inside = |d: Option<DeviceId>, s: StreamId| {
            d.is_some_and(|d| d.index(world.device_bytes.len()).is_some()) && s.0 > 0 && s.0 < world.streams
        };
        places.iter().enumerate().any(|(i, &p)| inside(p.0, p.1) && places[..i].contains(&p))
    };
    let (world, least) = minimal(fails, &[alloc(7, 2, 3, 1), alloc(9, 2, 3, 2)]);
    let expected = ["alloc b0: 1 B on device 0, stream 1", "alloc b1: 512 B on device 0, stream 1"];
    assert_eq!(
        (names(&least)[1].as_str(), world),
        (expected[1], Setup { device_bytes: vec![64 << 20], streams: 2, config: None })
    );
}

#[test]
fn expectations_go_unless_they_matter_and_names_in_them_follow() {
    let same =
        |block| Some(Box::new(Expect { address: Some(AddressExpect::SameAs(BlockId(block))), ..Expect::default() }));
    let mut steps = vec![alloc(4, 0, 0, 512), free(4), alloc(6, 0, 0, 512)];
    steps[0].expect = Some(Box::new(Expect { succeeds: true, ..Expect::default() }));
    steps[2].expect = same(4);
    let fails = |steps: &[Step]| {
        let expected = |s: &Step| s.expect.as_ref().and_then(|e| e.address);
        let first = steps.first().and_then(block);
        steps.len() == 3 && matches!(expected(&steps[2]), Some(AddressExpect::SameAs(b)) if Some(b) == first)
    };
    let (_, least) = minimal(|_, steps| fails(steps), &steps);
    assert_eq!((least[0].expect.is_none(), &least[2].expect), (true, &same(0)));
}

/// A failure that needs an allocation inside a pool: the other pool, the capture and the flags go, names start at 0.
#[test]
fn pools_and_captures_go_whole_and_flags_go() {
    use crate::op::{GraphName, PoolName, PoolSource};
    let device = DeviceId(0);
    let create = |n, use_on_oom| Op::PoolCreate { pool: PoolName(n), device, use_on_oom, no_split: true };
    let steps: Vec<Step> = [
        create(3, true),
        create(5, true),
        Op::PoolEnter { pool: PoolName(3), device },
        Op::PoolExit { pool: PoolName(3), device },
        Op::CaptureBegin {
            graph: GraphName(7),
            device,
            stream: StreamId(1),
            pool: Some(PoolSource::Pool(PoolName(3))),
        },
        Op::CaptureEnd { graph: GraphName(7) },
        Op::PoolEnter { pool: PoolName(5), device },
        Op::Alloc { block: BlockId(2), device: Some(device), stream: StreamId(0), bytes: 512, via: Via::Raw },
        Op::PoolExit { pool: PoolName(5), device },
    ]
    .map(Step::from)
    .into();
    let fails = |steps: &[Step]| {
        let mut made = BTreeSet::new();
        let mut inside = BTreeSet::new();
        let mut found = false;
        for op in steps.iter().filter_map(|s| s.op.as_ref()) {
            match op {
                Op::PoolCreate { pool, .. } => drop(made.insert(*pool)),
                Op::PoolEnter { pool, .. } if made.contains(pool) => drop(inside.insert(*pool)),
                Op::PoolExit { pool, .. } => drop(inside.remove(pool)),
                Op::Alloc { .. } => found |= !inside.is_empty(),
                _ => {}
            }
        }
        found
    };
    let (_, least) = minimal(|_, steps| fails(steps), &steps);
    let expected = ["pool_create p0 on device 0", "pool_enter p0 on device 0", "alloc b0: 512 B on device 0, stream 0"];
    assert_eq!(names(&least), expected);
}

#[test]
fn fractions_and_faults_become_round() {
    let steps = vec![
        Op::SetFraction { device: None, fraction: 0.765_43 }.into(),
        Op::Fault { device: DeviceId(2), call: crate::op::DeviceCall::Reserve, skip: 7, error: None }.into(),
        Op::SetFraction { device: None, fraction: f64::NAN }.into(),
    ];
    let fails = |steps: &[Step]| {
        let [Some(a), Some(b), Some(c)] = [0, 1, 2].map(|i| steps.get(i).and_then(|s| s.op.as_ref())) else {
            return false;
        };
        matches!(a, Op::SetFraction { fraction: 0.76..0.77, .. })
            && matches!(b, Op::Fault { skip: 2.., .. })
            && matches!(c, Op::SetFraction { fraction, .. } if fraction.is_nan())
    };
    let (_, least) = minimal(|_, steps| fails(steps), &steps);
    let expected = [
        "set_fraction device 0 to 0.765",
        "fault device 0: reserve fails after 2 more",
        "set_fraction device 0 to NaN",
    ];
    assert_eq!(names(&least), expected);
}

#[test]
fn the_budget_bounds_the_calls_and_a_failure_is_never_lost() {
    for budget in [0, 1, 2, 17, 100] {
        let mut calls = 0;
        let mut fails = |_: &Setup, steps: &[Step]| {
            calls += 1;
            live_bytes(steps) >= 100_000
        };
        let (_, least, _) = minimise(&setup(), &long(), &mut fails, budget, &|| true);
        assert!(calls <= budget, "{calls} calls of {budget}");
        assert!(live_bytes(&least) >= 100_000);
    }
}

#[test]
fn the_same_failure_is_minimised_the_same_way() {
    let run = || minimise(&setup(), &long(), &mut |_, steps| live_bytes(steps) >= 70_000, 5000, &|| true);
    assert_eq!(run(), run());
}

#[test]
fn what_is_smallest_so_far_is_kept_when_it_may_not_go_on() {
    let asked = std::cell::Cell::new(0);
    let mut fails = |_: &Setup, steps: &[Step]| {
        asked.set(asked.get() + 1);
        live_bytes(steps) >= 70_000
    };
    let (_, whole, _) = minimise(&setup(), &long(), &mut fails, 5000, &|| false);
    assert_eq!((whole, asked.get()), (long(), 0));
    let (_, some, _) = minimise(&setup(), &long(), &mut fails, 5000, &|| asked.get() < 5);
    assert!(live_bytes(&some) >= 70_000 && some.len() < long().len(), "{} steps", some.len());
    assert_eq!(asked.get(), 5);
}

#[test]
fn a_long_sequence_loses_devices_and_kinds_before_single_steps() {
    let steps: Vec<Step> = (0..100).flat_map(|_| long()).collect();
    let culprit = |s: &Step| matches!(s.op, Some(Op::SetFraction { .. }));
    let mut tries = 0;
    let mut fails = |_: &Setup, steps: &[Step]| {
        tries += 1;
        // Fewer than so many are not enough.
        steps.iter().filter(|s| culprit(s)).count() >= 1200
    };
    let (_, least, _) = minimise(&setup(), &steps, &mut fails, 12, &|| true);
    assert!(least.len() == 1200 && tries <= 12, "{} of {} steps after {tries}", least.len(), steps.len());
}

#[test]
fn settings_that_a_failure_does_not_need_go_one_by_one() {
    let config = "max_split_size_mb:64,roundup_power2_divisions:[256:1,>:8],expandable_segments:True";
    let world = Setup { config: Some(config.to_owned()), ..setup() };
    let needs = |wanted: &'static [&'static str]| {
        move |setup: &Setup, _: &[Step]| {
            let given = setup.config.clone().unwrap_or_default();
            wanted.iter().all(|w| given.contains(w))
        }
    };
    let left = |wanted: &'static [&'static str]| {
        minimise(&world, &[alloc(0, 0, 0, 1)], &mut needs(wanted), 500, &|| true).0.config
    };
    assert_eq!(left(&[]), None);
    assert_eq!(left(&[">:8"]).as_deref(), Some("roundup_power2_divisions:[256:1,>:8]"));
    assert_eq!(left(&["max", "exp"]).as_deref(), Some("max_split_size_mb:64,expandable_segments:True"));
}

/// Where caching is switched, a raw pointer is promised something else than a tensor; elsewhere it is the simpler of the two.
#[test]
fn a_tensor_stays_one_where_caching_is_switched() {
    let switch = |on| Step::from(Op::SetCaching { enabled: on });
    let least = |needs_switch: bool| {
        let fails = |_: &Setup, steps: &[Step]| {
            let switched = steps.iter().any(|s| matches!(s.op, Some(Op::SetCaching { .. })));
            let asked = steps.iter().any(|s| matches!(s.op, Some(Op::Alloc { .. })));
            asked && (switched || !needs_switch)
        };
        let (_, least) = minimal(fails, &[switch(false), alloc(3, 0, 0, 512), free(3)]);
        least.iter().any(|s| matches!(s.op, Some(Op::Alloc { via: Via::Tensor, .. })))
    };
    assert_eq!([least(true), least(false)], [true, false]);
}

#[test]
fn what_is_said_of_a_blocks_address_keeps_that_block() {
    let mut last = alloc(2, 0, 0, 512);
    let address = Some(AddressExpect::SameAs(BlockId(1)));
    last.expect = Some(Box::new(Expect { address, ..Expect::default() }));
    let steps = [alloc(0, 0, 0, 512), alloc(1, 0, 0, 512), free(1), last];
    let named = |steps: &[Step]| steps.iter().find_map(|s| s.expect.as_ref().and_then(|e| e.address));
    let mut fails = |_: &Setup, steps: &[Step]| named(steps).is_some();
    let (_, least, _) = minimise(&setup(), &steps, &mut fails, 20_000, &|| true);
    let Some(AddressExpect::SameAs(other)) = named(&least) else { panic!("{least:?}") };
    assert_eq!(least.len(), 2, "{:?}", names(&least));
    assert!(matches!(least[0].op, Some(Op::Alloc { block, .. }) if block == other));
}

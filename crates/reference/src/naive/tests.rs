//! The reference against the naive allocator, on cases drawn by proptest and on bytes as a fuzzer gives them.

use std::cell::RefCell;
use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestError, TestRunner};

use super::pair::{Call, Case, MIB, STREAMS, live_through};
use crate::{Defect, Planted, Settings, Sound};

/// Sequences generated where `PROPTEST_CASES` does not say how many.
const CASES: u32 = if cfg!(miri) { 2 } else { 200 };
const STEPS: std::ops::Range<usize> = if cfg!(miri) { 40..60 } else { 150..250 };

fn bytes() -> impl Strategy<Value = u64> {
    let edges = prop::sample::select(vec![512, 1024, 4096, MIB, 2 * MIB, 10 * MIB, 20 * MIB, 32 * MIB, 64 * MIB]);
    prop_oneof![
        6 => 1..4096_u64,
        6 => 1..2 * MIB,
        8 => MIB..12 * MIB,
        8 => 10 * MIB..64 * MIB,
        2 => 64 * MIB..400 * MIB,
        6 => (edges, 0..1026_u64).prop_map(|(edge, by)| edge + by - 513.min(edge)),
        1 => prop::sample::select(vec![0, 1 << 40, 1 << 60, (1 << 63) - 512, 1 << 63, u64::MAX - 511, u64::MAX]),
    ]
}

fn call(devices: usize) -> impl Strategy<Value = Call> {
    let (device, stream, nth) = (0..devices, 0..STREAMS, any::<prop::sample::Index>());
    let nth = nth.prop_map(|i| i.index(1 << 16));
    // The first stream most of the time, or nothing would ever be found in the cache.
    let mostly = prop_oneof![3 => Just(0_u8), 1 => 0..STREAMS];
    let fraction = prop_oneof![Just(1.0), Just(0.0), 0.0..1.0];
    prop_oneof![
        60 => (device.clone(), mostly, bytes()).prop_map(|(device, stream, bytes)| Call::Alloc { device, stream, bytes }),
        45 => nth.clone().prop_map(|nth| Call::Free { nth }),
        1 => nth.clone().prop_map(|nth| Call::FreeAgain { nth }),
        1 => (nth.clone(), 1..MIB).prop_map(|(nth, offset)| Call::FreeInside { nth, offset }),
        15 => (nth, stream.clone()).prop_map(|(nth, stream)| Call::Record { nth, stream }),
        8 => (device.clone(), stream.clone()).prop_map(|(device, stream)| Call::Occupy { device, stream }),
        6 => (device.clone(), stream.clone()).prop_map(|(device, stream)| Call::Finish { device, stream }),
        3 => (device.clone(), stream.clone(), stream).prop_map(|(device, stream, on)| Call::Wait { device, stream, on }),
        1 => device.clone().prop_map(|device| Call::Synchronize { device }),
        2 => (device.clone(), 0..600 * MIB).prop_map(|(device, bytes)| Call::Neighbour { device, bytes }),
        3 => Just(Call::EmptyCache),
        2 => (device.clone(), fraction).prop_map(|(device, fraction)| Call::Fraction { device, fraction }),
        1 => device.clone().prop_map(|device| Call::ResetPeak { device }),
        1 => device.prop_map(|device| Call::ResetAccumulated { device }),
    ]
}

/// Each setting is at its default half of the time, so that a quarter of all cases has any given pair.
fn settings() -> impl Strategy<Value = Settings> {
    let or = |default: f64| prop_oneof![1 => Just(default), 1 => 0.1..0.95];
    let one = prop::sample::select(vec![1_u64, 2, 4, 8, 32]).prop_map(|d| [d; 16]);
    let many = prop::array::uniform16(prop::sample::select(vec![0_u64, 1, 2, 4, 16]));
    let divisions = prop_oneof![2 => Just([0; 16]), 1 => one, 1 => many];
    // Whole MiB, as a settings string gives them; pages of whole granules, as the device wants them.
    let large = prop_oneof![1 => Just(20), 1 => 11..40_u64];
    let split = (any::<bool>(), 0..40_u64, any::<bool>(), 0..24_u64);
    (or(0.0), or(1.0), divisions, large, split, any::<bool>()).prop_map(
        |(gc_threshold, fraction, roundup_divisions, large, (limits, above, rounds, more), expandable)| {
            let large = if expandable { large.next_multiple_of(2) } else { large };
            Settings {
                max_split: if limits { (large + above) * MIB } else { u64::MAX },
                max_non_split_rounding: if rounds { (large + more) * MIB } else { large * MIB },
                gc_threshold,
                roundup_divisions,
                expandable_segments: expandable,
                large_segment: large * MIB,
                fraction,
            }
        },
    )
}

fn case() -> impl Strategy<Value = Case> {
    let total = (40..400_u64, 0..2 * MIB).prop_map(|(granules, odd)| granules * 2 * MIB + odd);
    let totals = prop_oneof![2 => prop::collection::vec(total.clone(), 1), 1 => prop::collection::vec(total, 2)];
    (settings(), totals).prop_flat_map(|(settings, totals)| {
        let calls = prop::collection::vec(call(totals.len()), STEPS);
        calls.prop_map(move |calls| Case { settings, totals: totals.clone(), calls })
    })
}
/// All that `situations` and `alloc` can report.
const SITUATIONS: usize = 13;

fn runner(usual: u32, shrinks: u32) -> TestRunner {
    let asked = std::env::var_os("PROPTEST_CASES").is_some();
    let default = ProptestConfig::default();
    TestRunner::new(ProptestConfig {
        cases: if asked { default.cases } else { usual },
        max_shrink_iters: shrinks,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(0x706f_6f6c),
        ..default
    })
}

#[test]
fn the_reference_agrees_with_the_naive_allocator() {
    let reached = RefCell::new(BTreeSet::new());
    let mut runner = runner(CASES, 2_000);
    let result = runner.run(&case(), |case| {
        reached.borrow_mut().extend(live_through(&case, Sound).map_err(TestCaseError::fail)?);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    if runner.config().cases >= 200 {
        assert_eq!(reached.borrow().len(), SITUATIONS, "only {:?}", reached.borrow());
    }
}

/// What is left are mistakes of the front, of private pools, of texts and of failing device calls, which these calls
/// do not come near; the list shows in review if it grows.
#[test]
#[cfg_attr(miri, ignore = "needs hundreds of sequences")]
fn every_planted_defect_in_reach_is_a_disagreement() {
    let is_hidden = |defect: Defect| {
        let found = runner(60, 0)
            .run(&case(), |case| live_through(&case, Planted::Defect(defect)).map(|_| ()).map_err(TestCaseError::fail));
        !matches!(found, Err(TestError::Fail(..)))
    };
    let hidden: Vec<&str> = Defect::ALL.iter().filter(|&&d| is_hidden(d)).map(|d| d.name()).collect();
    insta::assert_snapshot!(hidden.join("\n"));
}

/// What a fuzzer does with the same comparison, on bytes that nothing guides.
#[test]
fn bytes_are_a_case_on_which_both_agree() {
    let mut state = 1_u64;
    let mut seen = 0;
    for _ in 0..if cfg!(miri) { 2 } else { 150 } {
        let next = |_| {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            state.to_be_bytes()[0]
        };
        let bytes: Vec<u8> = (0..8 * 120).map(next).collect();
        super::differ(&bytes, &mut |_, _| seen += 1).expect("they agree");
    }
    assert!(seen > 100, "{seen} changes of state");
}

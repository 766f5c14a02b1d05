//! What can be relied on of drawn worlds.

use std::collections::BTreeSet;

use super::world::World;
use super::*;
use crate::op::{Op, State, TargetInfo, Together, Value, Via};
use crate::reference::Settings;
use crate::spec::{self, Body};

/// The scenarios whose worlds are drawn.
fn scenarios() -> Vec<(Scenario, Generate)> {
    let all = spec::built_in().into_iter().filter_map(|s| match s.body.clone() {
        Body::Generate(generate) if generate.world.is_some() => Some((s, generate)),
        _ => None,
    });
    all.collect()
}

fn everything() -> BTreeSet<Capability> {
    Capability::names().iter().filter_map(|name| name.parse().ok()).collect()
}

/// A target that has all there is.
fn says_everything() -> TargetInfo {
    let growth = crate::op::contract::Growth::plain(20 << 20, 2 << 20);
    TargetInfo {
        name: "any".to_owned(),
        devices: vec![crate::op::DeviceInfo::whole("d", 1 << 40); 8],
        streams: 32,
        capabilities: everything(),
        contract: crate::op::Contract { alignment: 512, growth, counts_segments: true, tensor_limit: None },
        config: None,
    }
}

fn worlds(scenario: &Scenario, generate: &Generate, offers: &Offers<'_>, count: u32) -> Vec<World> {
    let drawn = generate.world.as_ref().expect("is drawn");
    let world = |index| world::draw(scenario, generate, drawn, offers, &mut Dice::new(5, &scenario.id, index, 0));
    (0..count).map(world).collect()
}

#[test]
fn worlds_keep_to_their_ranges_and_reach_both_ends() {
    let capabilities = everything();
    let offers = Offers { capabilities: &capabilities, devices: 8, pages: false, real: false };
    let all = scenarios();
    let (scenario, generate) = all.iter().find(|(s, _)| s.id == "live::any-world").expect("is there");
    let worlds = worlds(scenario, generate, &offers, 600);
    let counts: BTreeSet<usize> = worlds.iter().map(|w| w.setup.device_bytes.len()).collect();
    assert_eq!(counts, (1..=8).collect());
    let streams: BTreeSet<u8> = worlds.iter().map(|w| w.setup.streams).collect();
    assert!(streams.first() == Some(&1) && (28..=32).contains(streams.last().expect("some")), "{streams:?}");
    let pools: BTreeSet<u8> = worlds.iter().map(|w| w.pools).collect();
    assert!(pools.first() == Some(&1) && (48..=64).contains(pools.last().expect("some")), "{pools:?}");
    let bytes: Vec<u64> = worlds.iter().flat_map(|w| w.setup.device_bytes.clone()).collect();
    assert!(bytes.iter().all(|b| (16 << 20..=1 << 40).contains(b)));
    assert!(bytes.iter().any(|&b| b < 24 << 20) && bytes.iter().any(|&b| b > 700 << 30));
    let lengths: Vec<u32> = worlds.iter().map(World::length).collect();
    assert!(lengths.iter().all(|l| (1..=2000).contains(l)), "{lengths:?}");
    assert!(lengths.iter().any(|&l| l < 30) && lengths.iter().any(|&l| l > 1500));
    assert!(worlds.iter().any(|w| w.phases.iter().any(|p| p.again.is_some())));
}

#[test]
fn every_settings_string_is_one_that_the_reference_reads_and_all_pairs_come_up() {
    let mut pairs = BTreeSet::new();
    for number in 0..2000 {
        let mut dice = Dice::new(1, "settings", number, 0);
        let count = dice.few(&(0..=5));
        let drawn = settings::draw(&mut dice, count, 1 << (24 + number % 17));
        let Some(text) = &drawn.text else { continue };
        let read: Settings = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(read.expandable_segments, drawn.pages(), "{text}");
        assert_eq!((read.max_split != u64::MAX, read.large_segment), (drawn.oversize(), drawn.segment), "{text}");
        let named: Vec<usize> = (0..settings::NAMES.len()).filter(|&i| drawn.named[i]).collect();
        pairs.extend(named.iter().flat_map(|&a| named.iter().map(move |&b| (a, b))).filter(|(a, b)| a < b));
    }
    // Whole pages and limits do not go together.
    assert_eq!(pairs.len(), 7 * 6 / 2 - 1, "{pairs:?}");
}

#[test]
fn the_same_numbers_give_the_same_sequence_and_any_other_gives_another() {
    let capabilities = everything();
    let offers = Offers { capabilities: &capabilities, devices: 8, pages: false, real: false };
    let (scenario, generate) = scenarios().into_iter().find(|(s, _)| s.id == "live::any-world").expect("is there");
    // As text: a fraction that is no number equals nothing, itself included.
    let draw = |place| format!("{:?}", super::super::draw(&scenario, &generate, &offers, place));
    let one = draw((1, 2, 3));
    assert_eq!(one, draw((1, 2, 3)));
    for other in [(2, 2, 3), (1, 3, 3), (1, 2, 4)] {
        assert_ne!(one, draw(other), "{other:?}");
    }
    let info = says_everything();
    let chosen = |seen: &Together| {
        let mut choice = Choice::new(&info);
        (0..60).map(|index| choice.next(&scenario, &generate, &offers, (7, index), seen)).collect::<Vec<u32>>()
    };
    let first = chosen(&Together::default());
    assert_eq!(first, chosen(&Together::default()));
    assert!(first.iter().collect::<BTreeSet<_>>().len() > 1, "{first:?}");
}

/// A target that can be asked for little is asked for nothing else.
#[test]
fn what_a_target_lacks_is_left_out() {
    let capabilities = BTreeSet::from([Capability::EmptyCache]);
    let offers = Offers { capabilities: &capabilities, devices: 2, pages: false, real: true };
    for (scenario, generate) in scenarios() {
        for index in 0..12 {
            let (setup, steps) = super::super::draw(&scenario, &generate, &offers, (3, index, 0));
            assert!(setup.device_bytes.len() <= 2 && setup.streams == 1 && setup.config.is_none(), "{setup:?}");
            assert!(setup.device_bytes.iter().all(|b| *b <= 1 << 30) && steps.len() <= 400, "{}", scenario.id);
            for op in steps.iter().filter_map(|s| s.op.as_ref()) {
                let plain = matches!(
                    op,
                    Op::Alloc { device: Some(_), via: Via::Raw, .. }
                        | Op::Free { .. }
                        | Op::Synchronize { .. }
                        | Op::EmptyCache
                );
                assert!(plain, "{}: {}", scenario.id, op.to_line());
            }
        }
    }
}

#[test]
fn sequences_come_to_what_fixed_worlds_never_do() {
    let capabilities = everything();
    let offers = Offers { capabilities: &capabilities, devices: 8, pages: false, real: false };
    let (mut pools, mut recorded, mut largest, mut longest) = (0, 0, 0, 0);
    for (scenario, generate) in scenarios() {
        for index in 0..16 {
            let (_, steps) = super::super::draw(&scenario, &generate, &offers, (0, index, 0));
            longest = longest.max(steps.len());
            let mut streams: std::collections::BTreeMap<_, BTreeSet<_>> = std::collections::BTreeMap::new();
            let mut there = BTreeSet::new();
            for op in steps.iter().filter_map(|s| s.op.as_ref()) {
                match op {
                    Op::PoolCreate { pool, .. } => drop(there.insert(*pool)),
                    Op::PoolDelete { pool } => drop(there.remove(pool)),
                    Op::RecordStream { block, stream } => drop(streams.entry(*block).or_default().insert(*stream)),
                    Op::Alloc { bytes, .. } if *bytes < 1 << 45 => largest = largest.max(*bytes),
                    _ => {}
                }
                pools = pools.max(there.len());
            }
            recorded = recorded.max(streams.values().map(BTreeSet::len).max().unwrap_or(0));
        }
    }
    assert!(
        pools >= 10 && recorded >= 5 && largest > 100 << 30 && longest > 10_000,
        "{pools} {recorded} {largest} {longest}"
    );
}

/// What is missing is drawn more often than when it is not.
#[test]
fn worlds_are_chosen_by_what_is_missing() {
    let capabilities = everything();
    let offers = Offers { capabilities: &capabilities, devices: 8, pages: false, real: false };
    let (scenario, generate) = scenarios().into_iter().find(|(s, _)| s.id == "live::any-world").expect("is there");
    let drawn = generate.world.as_ref().expect("is drawn");
    let chosen = |seen: &Together| {
        let mut choice = Choice::new(&says_everything());
        let world = |index| {
            let candidate = choice.next(&scenario, &generate, &offers, (3, index), seen);
            world::draw(&scenario, &generate, drawn, &offers, &mut Dice::new(3, &scenario.id, index, candidate))
        };
        (0..40).map(world).collect::<Vec<World>>()
    };
    let mut all = Together::default();
    all.add(State::ALL);
    let but = |value: Value| {
        let mut seen = Together::default();
        seen.add(State::ALL.without(State::of(value)));
        seen
    };
    let pages = |worlds: &[World]| worlds.iter().filter(|w| w.settings.pages()).count();
    let hoards = |worlds: &[World]| {
        let hoards = |w: &World| afford::affords(w, &generate.sizes).has(Value::Thousands);
        worlds.iter().filter(|w| hoards(w)).count()
    };
    let (plain, expandable, thousands) =
        (chosen(&all), chosen(&but(Value::Expandable)), chosen(&but(Value::Thousands)));
    assert!(pages(&expandable) > pages(&plain) + 5, "{} and {}", pages(&expandable), pages(&plain));
    assert!(hoards(&thousands) > hoards(&plain), "{} and {}", hoards(&thousands), hoards(&plain));
    assert_eq!(plain, chosen(&all));
}

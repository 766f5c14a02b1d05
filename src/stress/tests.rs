//! Real threads on the reference, and what the checks say of made-up records.

use super::worker::{Call, Event, HeldBlock, Span};
use super::*;
use crate::op::{PoolKind, Stats};
use crate::reference::Variation;

fn options(threads: usize, calls: usize, target: &str) -> StressOptions {
    StressOptions {
        target: target.parse().expect("a target name"),
        threads,
        calls,
        devices: 2,
        device_bytes: 256 << 20,
        streams: 3,
        seed: 1,
        time: Duration::ZERO,
        race: None,
    }
}

#[test]
fn threads_share_the_reference_without_a_violation() {
    for (threads, target) in
        [(2, "reference@sim"), (16, "reference@sim"), (5, "reference@sim?expandable_segments:True")]
    {
        let report = stress(&options(threads, 600, target)).expect("the reference is threaded");
        assert_eq!(report.failed, None, "{threads} threads on {target}");
        let drawn = 600 * threads as u64;
        assert!(report.rounds == 1 && report.calls > drawn / 2 && report.calls < drawn, "{report:?}");
        assert!(report.reads > 0 && report.refused > 0 && report.blocks > 0, "{report:?}");
        assert!(report.ordered > report.calls / 2, "{report:?}");
    }
}

#[test]
fn one_thread_alone_shows_no_planted_race_and_several_show_a_defect() {
    for race in Race::ALL {
        let alone = StressOptions { race: Some(race), ..options(1, 2000, "reference@sim") };
        assert_eq!(stress(&alone).expect("threaded").failed, None, "{}", race.name());
    }
    let planted = stress(&options(2, 600, "reference@sim?defect=segment-count-kept")).expect("threaded");
    let (seed, findings) = planted.failed.expect("it shows without any race");
    assert_eq!((seed, findings[0].check), (1, Check::Final));
    let other = stress(&options(2, 10, "torch@cuda"));
    assert!(other.is_err_and(|e| e.to_string().contains("cannot be called from several threads")));
    let large = stress(&options(8, MOST_CALLS / 8 + 1, "reference@sim"));
    assert!(large.is_err_and(|e| e.to_string().contains("too many for one round")));
}

#[test]
fn every_planted_race_shows_among_real_threads() {
    // Under load one round showed most of them, and four showed each.
    for race in Race::ALL {
        let round = |seed| StressOptions { race: Some(race), seed, ..options(8, 2000, "reference@sim") };
        let shows = |seed: &u64| stress(&round(*seed)).expect("threaded").failed.is_some();
        assert!((1..=500).any(|seed| shows(&seed)), "{}", race.name());
    }
}

#[test]
fn other_policies_are_run_and_no_legal_one_is_convicted() {
    for variation in Variation::ALL {
        let target = format!("reference@sim?variation={}", variation.name());
        let report = stress(&options(3, 600, &target)).expect("threaded");
        assert_eq!(report.failed, None, "{target}");
    }
    let alone = |target: &str| stress(&options(1, 2000, target)).expect("threaded").refused;
    assert_ne!(alone("reference@sim"), alone("reference@sim?variation=no-splitting"), "the option is not passed over");
}

#[test]
fn scripts_depend_on_seed_and_thread_alone() {
    let calls = script(3, 1, 500, 2, 3);
    assert_eq!(calls, script(3, 1, 500, 2, 3));
    assert_ne!(calls, script(3, 0, 500, 2, 3));
    assert!(calls.contains(&Call::EmptyCache) && calls.contains(&Call::FreeLeft));
}

fn within(from: u64, to: u64, what: What) -> Event {
    Event { span: Span { from, to }, what }
}

fn at(from: u64, what: What) -> Event {
    within(from, from + 1, what)
}

/// The answer at `got` that gave a block.
fn got(block: HeldBlock) -> Event {
    at(block.got - 1, What::Got(block))
}

fn checks(events: Vec<Event>) -> Vec<Check> {
    let found = history::judge(&[Record { events, ..Record::default() }], 1, 1 << 30);
    found.into_iter().map(|f| f.check).collect()
}

fn block(got: u64, address: u64) -> HeldBlock {
    HeldBlock { got, device: 0, stream: 0, address, bytes: 512 }
}

#[test]
fn records_convict_where_no_order_explains_them() {
    let (a, b) = (block(1, 0x1000), block(5, 0x1100));
    assert_eq!(checks(vec![got(a), got(b)]), [Check::Overlap]);
    assert_eq!(checks(vec![got(a), got(b), at(6, What::GaveBack(a))]), [Check::Overlap]);
    assert_eq!(checks(vec![got(a), at(2, What::GaveBack(a)), got(b)]), []);
    // While one is given back, another may get its bytes: nobody knows which came first.
    assert_eq!(checks(vec![got(a), within(2, 9, What::GaveBack(a)), got(b)]), []);
    assert_eq!(checks(vec![got(a), within(6, 9, What::GaveBack(a)), got(b)]), [Check::Overlap]);
    assert_eq!(checks(vec![at(0, What::NotTaken(a, "unknown".to_owned()))]), [Check::Free]);
    let mut stats = Stats::default();
    let read = |stats: &Stats| What::Read(0, Box::new(*stats));
    stats.increase(Family::Allocation, PoolKind::Small, 1);
    assert_eq!(checks(vec![got(a), at(2, read(&stats))]), []);
    assert_eq!(checks(vec![at(0, read(&stats)), got(b)]), [Check::Bounds]);
    assert_eq!(checks(vec![within(0, 5, read(&stats)), got(block(3, 0x1000))]), []);
    stats.get_mut(Family::Allocation, crate::op::stats::Row::All).peak = 0;
    assert_eq!(checks(vec![got(a), at(2, read(&stats))]), [Check::Torn]);
}

#[test]
fn a_block_that_was_never_surely_held_has_no_part_in_an_overlap() {
    // Given back in a span that began before the answer that gave it: such a span says too little, nothing false.
    let (a, b) = (block(5, 0x1000), block(13, 0x1000));
    assert_eq!(checks(vec![got(a), within(2, 10, What::GaveBack(a)), got(b)]), []);
    assert_eq!(checks(vec![got(b), got(a)]), [Check::Overlap], "without the call that gives it back");
}

#[test]
fn a_read_is_held_against_what_was_sure_around_it_and_against_nothing_else() {
    let shown = |count: i64| {
        let mut stats = Stats::default();
        stats.increase(Family::Allocation, PoolKind::Small, count);
        What::Read(0, Box::new(stats))
    };
    let (early, meanwhile) = (block(1, 0), block(12, 0x1000));
    // One surely there, one that is got and one that goes while it is read.
    let calls = vec![got(early), within(8, 14, What::GaveBack(early)), within(9, 12, What::Got(meanwhile))];
    for (count, expected) in [(0, &[][..]), (1, &[]), (2, &[]), (3, &[Check::Bounds])] {
        let events = [vec![within(10, 11, shown(count))], calls.clone()].concat();
        assert_eq!(checks(events), expected, "{count} blocks shown");
    }
    let after = [vec![within(15, 16, shown(0))], calls].concat();
    assert_eq!(checks(after), [Check::Bounds], "the second is surely there, the first surely gone");
}

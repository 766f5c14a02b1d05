//! Real threads on the reference, and what the checks say of made-up records.

use super::worker::{Call, Event, Held};
use super::*;
use crate::op::{PoolKind, Stats};

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
        assert_eq!((report.rounds, report.calls), (1, 600 * threads as u64));
        assert!(report.reads > 0 && report.refused > 0 && report.ordered > report.calls / 2, "{report:?}");
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
}

#[test]
fn scripts_depend_on_seed_and_thread_alone() {
    let calls = script(3, 1, 500, 2, 3);
    assert_eq!(calls, script(3, 1, 500, 2, 3));
    assert_ne!(calls, script(3, 0, 500, 2, 3));
    assert!(calls.contains(&Call::EmptyCache) && calls.contains(&Call::FreeLeft));
}

fn at(from: u64, what: What) -> Event {
    Event { from, to: from + 1, what }
}

fn checks(events: Vec<Event>) -> Vec<Check> {
    let found = history::judge(&[Record { events, held: Vec::new() }], 1, 1 << 30);
    found.into_iter().map(|f| f.check).collect()
}

#[test]
fn records_convict_where_no_order_explains_them() {
    let block = |id, address| Held { id, device: 0, address, bytes: 512 };
    let (a, b) = (block(0, 0x1000), block(1, 0x1100));
    let overlapping = vec![at(0, What::Got(a)), at(2, What::Got(b)), at(4, What::GaveBack(a))];
    assert_eq!(checks(overlapping), [Check::Overlap]);
    let in_turn = vec![at(0, What::Got(a)), at(2, What::GaveBack(a)), at(4, What::Got(b))];
    assert_eq!(checks(in_turn), []);
    // While one is given back, another may get its bytes: nobody knows which came first.
    let meanwhile = vec![
        at(0, What::Got(a)),
        Event { from: 2, to: 9, what: What::GaveBack(a) },
        Event { from: 3, to: 4, what: What::Got(b) },
    ];
    assert_eq!(checks(meanwhile), []);
    assert_eq!(checks(vec![at(0, What::NotTaken(a, "unknown".to_owned()))]), [Check::Free]);
    let mut stats = Stats::default();
    let read = |stats: &Stats| What::Read(0, Box::new(*stats));
    stats.increase(Family::Allocation, PoolKind::Small, 1);
    assert_eq!(checks(vec![at(0, What::Got(a)), at(2, read(&stats))]), []);
    assert_eq!(checks(vec![at(0, read(&stats)), at(2, What::Got(a))]), [Check::Bounds]);
    assert_eq!(checks(vec![Event { from: 0, to: 5, what: read(&stats) }, at(2, What::Got(a))]), []);
    stats.get_mut(Family::Allocation, crate::op::stats::Row::All).peak = 0;
    assert_eq!(checks(vec![at(0, What::Got(a)), at(2, read(&stats))]), [Check::Torn]);
}

//! Lawful steps pass `accounts`, doctored ones convict by the requirement that they break.

use super::*;
use crate::op::{DeviceId, PoolKind, RefusalClass, Reply};
use crate::op::{DeviceView, Text, Via};
use crate::oracle::fixture::{self, Bench, alloc, free, hand_out, oom, refuse, reset_accumulated, take_back};

fn bench() -> Bench {
    let mut bench = Bench::new(OracleName::Accounts);
    bench.alloc(1, 0x1000, 600).passes();
    bench
}

/// An allocation of 512 B with a doctored figure.
fn doctored(change: impl FnOnce(&mut Stats)) -> String {
    let mut bench = bench();
    let judged = bench.step(alloc(2, 512), Reply::Allocated { address: 0x2000 }, |o| {
        hand_out(&mut o.devices[0], 512);
        change(&mut o.devices[0].stats);
    });
    judged.convicts_any()
}

#[test]
fn lawful_steps_pass() {
    let mut bench = bench();
    bench.alloc(2, 0x2000, 4 << 20).passes();
    bench.step(alloc(3, 900 << 20), oom(), |o| refuse(&mut o.devices[0])).passes();
    bench.free(1).passes();
    let reset = Op::ResetAccumulated { device: DeviceId(0) };
    bench.step(reset, Reply::Done, |o| reset_accumulated(&mut o.devices[0].stats)).passes();
    bench.free(2).passes();
    bench.step(alloc(4, 0), Reply::Allocated { address: 0 }, |_| {}).passes();
    bench.step(free(4), Reply::Done, |_| {}).passes();
}

#[test]
fn a_negative_figure_convicts() {
    let mut bench = bench();
    let judged = bench.step(free(1), Reply::Done, |o| {
        take_back(&mut o.devices[0], 600);
        o.devices[0].stats.decrease(Family::ActiveBytes, PoolKind::Small, 1024);
    });
    let found = judged.convicts("STAT-01");
    insta::assert_snapshot!(found.message.en, @"active_bytes.all.current of device 0 fell to -1 KiB, below zero");
}

#[test]
fn pools_that_do_not_add_up_convict() {
    assert_eq!(doctored(|s| s.get_mut(Family::RequestedBytes, Row::SmallPool).current -= 1), "STAT-01");
    assert_eq!(doctored(|s| s.get_mut(Family::Segment, Row::LargePool).allocated += 1), "STAT-01");
}

#[test]
fn a_broken_balance_convicts() {
    let forget = |s: &mut Stats| {
        s.get_mut(Family::ReservedBytes, Row::All).freed += 7;
        s.get_mut(Family::ReservedBytes, Row::SmallPool).freed += 7;
    };
    assert_eq!(doctored(forget), "STAT-02");
}

#[test]
fn figures_out_of_order_convict() {
    assert_eq!(doctored(|s| s.decrease(Family::ReservedBytes, PoolKind::Small, 512)), "STAT-03");
    assert_eq!(doctored(|s| s.increase(Family::RequestedBytes, PoolKind::Small, 4096)), "STAT-04");
    assert_eq!(doctored(|s| s.decrease(Family::Active, PoolKind::Small, 1)), "STAT-03");
}

#[test]
fn a_count_without_bytes_convicts() {
    let mut bench = bench();
    let judged = bench.step(free(1), Reply::Done, |o| {
        take_back(&mut o.devices[0], 600);
        o.devices[0].stats.increase(Family::Segment, PoolKind::Small, 1);
    });
    let found = judged.convicts("STAT-05");
    insta::assert_snapshot!(found.message.zh, @"设备 0 的 segment.all.current 为 1，而 reserved_bytes.all.current 为 0 B：一为零而另一不为零");
}

#[test]
fn a_live_count_that_is_off_convicts() {
    let mut bench = bench();
    let judged = bench.step(alloc(2, 512), Reply::Allocated { address: 0x2000 }, |_| {});
    let found = judged.convicts("STAT-04");
    insta::assert_snapshot!(found.message.en, @"allocation.all.current of device 0 counts 1 blocks, but its callers hold 2");
}

#[test]
fn ooms_are_counted_once() {
    let twice = |o: &mut Observation| {
        refuse(&mut o.devices[0]);
        refuse(&mut o.devices[0]);
    };
    bench().step(alloc(2, 900 << 20), oom(), twice).convicts("STAT-07");
    bench().step(alloc(2, 900 << 20), oom(), |_| {}).convicts("STAT-07");
    let tensor = |bytes| Op::Alloc {
        block: crate::op::BlockId(2),
        device: None,
        stream: crate::op::StreamId(0),
        bytes,
        via: Via::Tensor,
    };
    bench().step(tensor(1 << 60), oom(), |_| {}).passes();
    bench().step(tensor(1 << 60), oom(), |o| refuse(&mut o.devices[0])).convicts("STAT-07");
    bench().step(alloc(2, u64::MAX), oom(), |_| {}).passes();
    bench().step(alloc(2, u64::MAX), oom(), |o| refuse(&mut o.devices[0])).passes();
    let judged = bench().step(alloc(2, 512), Reply::Allocated { address: 0x2000 }, |o| {
        hand_out(&mut o.devices[0], 512);
        refuse(&mut o.devices[0]);
    });
    let found = judged.convicts("STAT-07");
    insta::assert_snapshot!(found.message.en, @"num_ooms of device 0 moved by 1 instead of 0: the answer was `address 0x2000`");
}

#[test]
fn a_counter_that_falls_convicts() {
    let judged = bench().step(Op::EmptyCache, Reply::Done, |o| {
        *o.devices[0].stats.counter_mut(Counter::NumDeviceAlloc) -= 1;
    });
    judged.convicts("STAT-07");
}

#[test]
fn a_reset_that_forgets_a_figure_convicts() {
    let reset = Op::ResetAccumulated { device: DeviceId(0) };
    let judged = bench().step(reset.clone(), Reply::Done, |o| {
        let kept = *o.devices[0].stats.get(Family::RequestedBytes, Row::SmallPool);
        reset_accumulated(&mut o.devices[0].stats);
        *o.devices[0].stats.get_mut(Family::RequestedBytes, Row::SmallPool) = kept;
    });
    let found = judged.convicts("STAT-06");
    insta::assert_snapshot!(found.message.en, @"reset_accumulated left requested_bytes.small_pool.allocated of device 0 at 600 B instead of 0 B");
    let judged = bench().step(reset, Reply::Done, |o| {
        reset_accumulated(&mut o.devices[0].stats);
        o.devices[0].stats.get_mut(Family::Active, Row::All).peak = 0;
    });
    judged.convicts("STAT-06");
}

#[test]
fn what_a_failing_device_call_leaves_wrong_is_cited_as_such() {
    let judged = bench().step(Op::EmptyCache, Reply::refused(RefusalClass::DeviceError, "no"), |o| {
        o.devices[0].faults_fired += 1;
        o.devices[0].stats.decrease(Family::ReservedBytes, PoolKind::Small, 1024);
    });
    judged.convicts("OOM-06");
}

#[test]
fn what_is_counted_before_the_first_request_convicts() {
    let start = |change: fn(&mut DeviceView)| {
        let mut first = fixture::first();
        change(&mut first.devices[1]);
        Bench::starting(&[OracleName::Accounts], &fixture::info(), first)
    };
    let mut bench = start(|view| *view.stats.counter_mut(Counter::NumOoms) = 2);
    let found = bench.step(Op::EmptyCache, Reply::Done, |_| {}).convicts("STAT-08");
    insta::assert_snapshot!(found.message.en, @"before the first request num_ooms of device 1 was 2, although the device held nothing");
    bench.step(Op::EmptyCache, Reply::Done, |_| {}).passes();
    let held = |view: &mut DeviceView| hand_out(view, 512);
    start(held).step(Op::EmptyCache, Reply::Done, |_| {}).passes();
    let set = |view: &mut DeviceView| *view.stats.counter_mut(Counter::MaxSplitSize) = -1;
    let mut bench = start(set);
    let found = bench.step(Op::EmptyCache, Reply::Done, |_| {}).convicts("STAT-11");
    assert!(found.message.en.contains("0 on device 0 and -1 on device 1"), "{}", found.message.en);
}

#[test]
fn a_block_is_counted_in_one_pool_and_taken_back_as_it_was_counted() {
    let elsewhere = |s: &mut Stats| {
        s.decrease(Family::AllocatedBytes, PoolKind::Small, 512);
        s.increase(Family::AllocatedBytes, PoolKind::Large, 512);
        s.increase(Family::Allocation, PoolKind::Large, 1);
        s.decrease(Family::Allocation, PoolKind::Small, 1);
    };
    assert_eq!(doctored(elsewhere), "STAT-03", "given out, and not active there");
    let mut bench = bench();
    bench.alloc(2, 0x2000, 4 << 20).passes();
    let judged = bench.step(free(1), Reply::Done, |o| {
        take_back(&mut o.devices[0], 600);
        for family in [Family::AllocatedBytes, Family::ActiveBytes] {
            o.devices[0].stats.decrease(family, PoolKind::Large, 512);
            o.devices[0].stats.increase(family, PoolKind::Small, 512);
        }
        o.devices[0].stats.increase(Family::Allocation, PoolKind::Small, 1);
        o.devices[0].stats.increase(Family::Active, PoolKind::Small, 1);
        o.devices[0].stats.decrease(Family::Allocation, PoolKind::Large, 1);
        o.devices[0].stats.decrease(Family::Active, PoolKind::Large, 1);
        o.devices[0].stats.increase(Family::ReservedBytes, PoolKind::Small, 512);
        o.devices[0].stats.increase(Family::Segment, PoolKind::Small, 1);
    });
    let all: Vec<String> = judged.all().iter().filter_map(|v| v.requirement).map(|r| r.to_string()).collect();
    assert!(all.contains(&"POOL-01".to_owned()), "{all:?}");
}

#[test]
fn requested_and_waiting_memory_is_what_callers_asked_for_and_freed() {
    let both = |by: i64| {
        move |s: &mut Stats| {
            s.increase(Family::RequestedBytes, PoolKind::Small, by);
        }
    };
    assert_eq!(doctored(both(-100)), "STAT-09");
    let mut bench = bench();
    let judged = bench.step(Op::CycleEnd, Reply::Done, |_| {});
    judged.passes();
    let grow = |o: &mut Observation| {
        let stats = &mut o.devices[0].stats;
        for (family, by) in [(Family::Active, 1), (Family::ActiveBytes, 512), (Family::ReservedBytes, 512)] {
            stats.increase(family, PoolKind::Small, by);
        }
    };
    let judged = bench.step(Op::EmptyCache, Reply::Done, grow);
    let found = judged.convicts("STAT-09");
    insta::assert_snapshot!(found.message.en, @"empty_cache freed nothing, but active.small_pool.current of device 0 rose by 1 more than allocation.small_pool.current");
}

#[test]
fn counters_move_when_they_may_and_with_the_segments() {
    let step = |op: Op, reply: Reply, change: fn(&mut Stats)| {
        let judged = bench().step(op, reply, |o| change(&mut o.devices[0].stats));
        judged.all().first().and_then(|v| v.requirement).map(|r| r.to_string())
    };
    let count = |s: &mut Stats, which| *s.counter_mut(which) += 1;
    let one = |name: &str| Some(name.to_owned());
    let record = || Op::RecordStream { block: crate::op::BlockId(1), stream: crate::op::StreamId(1) };
    assert_eq!(step(record(), Reply::Done, |_| {}), None);
    let waited = step(record(), Reply::Done, |s| *s.counter_mut(Counter::NumSyncAllStreams) += 1);
    assert_eq!(waited, one("STAT-07"));
    let retried = step(Op::EmptyCache, Reply::Done, |s| *s.counter_mut(Counter::NumAllocRetries) += 1);
    assert_eq!(retried, one("STAT-07"));
    let flushed = step(Op::EmptyCache, Reply::Done, |s| *s.counter_mut(Counter::NumSyncAllStreams) += 1);
    assert_eq!(flushed, None);
    assert_eq!(doctored(|s| count(s, Counter::NumDeviceAlloc)), "STAT-10");
    let called = step(Op::EmptyCache, Reply::Done, |s| *s.counter_mut(Counter::NumDeviceFree) += 1);
    assert_eq!(called, one("STAT-10"));
    let mut info = fixture::info();
    info.contract.counts_segments = false;
    let mapped = |calls: i64| {
        let mut bench = Bench::with(&[OracleName::Accounts], &info);
        bench.step(alloc(1, 4 << 20), Reply::Allocated { address: 0x2000 }, |o| {
            hand_out(&mut o.devices[0], 4 << 20);
            *o.devices[0].stats.counter_mut(Counter::NumDeviceAlloc) += calls - 1;
        })
    };
    mapped(1).passes();
    mapped(2).passes();
    mapped(0).convicts("STAT-10");
}

#[test]
fn oversize_figures_stay_within_the_threshold() {
    let threshold = |bytes: i64| {
        let mut first = fixture::first();
        first.devices.iter_mut().for_each(|d| *d.stats.counter_mut(Counter::MaxSplitSize) = bytes);
        Bench::starting(&[OracleName::Accounts], &fixture::info(), first)
    };
    let large = |bench: &mut Bench| {
        bench.step(alloc(1, 4 << 20), Reply::Allocated { address: 0x2000 }, |o| {
            hand_out(&mut o.devices[0], 4 << 20);
            o.devices[0].stats.oversize_mut(Oversize::Allocations).increase(1);
        })
    };
    large(&mut threshold(4 << 20)).passes();
    let found = large(&mut threshold(5 << 20)).convicts("STAT-11");
    assert_eq!(found.figure.map(|f| f.expected), Some(Text::new("at most 0", "至多 0")));
    large(&mut threshold(-1)).convicts("STAT-11");
    let mut bench = threshold(4 << 20);
    let unbalanced = |o: &mut Observation| o.devices[0].stats.oversize_mut(Oversize::Allocations).freed += 1;
    bench.step(Op::EmptyCache, Reply::Done, unbalanced).convicts("STAT-02");
    let mut bench = threshold(4 << 20);
    let set = |o: &mut Observation| *o.devices[1].stats.counter_mut(Counter::MaxSplitSize) += 1;
    bench.step(Op::EmptyCache, Reply::Done, set).convicts("STAT-11");
}

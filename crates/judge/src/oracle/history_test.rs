//! Events that tell what happened pass; one that is missing, repeated, misstated or out of turn convicts.

use super::*;
use crate::op::{DeviceId, Observation, PoolKind, RefusalClass, Reply};
use crate::oracle::fixture::{Bench, GIB, Judged, alloc, free, hand_out, oom, refuse, take_back};

fn event(action: Action, address: u64, bytes: u64) -> TraceEvent {
    TraceEvent { action, address, bytes, stream: 0 }
}

/// What the allocator of the bench tells of a block of 600 B: a segment of its own.
fn handed() -> Vec<TraceEvent> {
    vec![event(Action::SegmentAlloc, 0x1000, 1024), event(Action::Alloc, 0x1000, 600)]
}

fn taken() -> Vec<TraceEvent> {
    vec![
        event(Action::FreeRequested, 0x1000, 600),
        event(Action::FreeCompleted, 0x1000, 600),
        event(Action::SegmentFree, 0x1000, 1024),
    ]
}

fn asked(bench: &mut Bench, events: Vec<TraceEvent>) -> Judged {
    bench.events = Some(vec![events, Vec::new()]);
    bench.step(alloc(1, 600), Reply::Allocated { address: 0x1000 }, |o| hand_out(&mut o.devices[0], 600))
}

fn freed(bench: &mut Bench, events: Vec<TraceEvent>) -> Judged {
    bench.events = Some(vec![events, Vec::new()]);
    bench.step(free(1), Reply::Done, |o| take_back(&mut o.devices[0], 600))
}

fn bench() -> Bench {
    Bench::new(OracleName::History)
}

fn lives() -> Bench {
    let mut bench = bench();
    asked(&mut bench, handed()).passes();
    bench
}

#[test]
fn what_happened_passes_and_a_target_that_tells_nothing_is_not_judged() {
    freed(&mut lives(), taken()).passes();
    let mut silent = bench();
    silent.alloc(1, 0x1000, 600).passes();
}

#[test]
fn a_request_is_told_once_where_it_was_served() {
    let changed = |change: fn(&mut Vec<TraceEvent>)| {
        let mut events = handed();
        change(&mut events);
        asked(&mut bench(), events)
    };
    let found = changed(|e| e.truncate(1)).convicts("SUMM-04");
    insta::assert_snapshot!(found.message.en, @"the events of device 0 in this step tell 0 of alloc, but it was 1");
    changed(|e| e.push(e[1])).convicts("SUMM-04");
    changed(|e| e[1].bytes = 601).convicts("SUMM-04");
    changed(|e| e[1].address += 512).convicts("SUMM-04");
    changed(|e| e[1].stream = 0x40).convicts("SUMM-04");
    let found = changed(|e| e.swap(0, 1)).convicts("SUMM-04");
    insta::assert_snapshot!(found.message.en, @"the events of device 0 tell alloc of [0x1000, 0x1258); due was one within memory got from the device");
    let mut elsewhere = bench();
    elsewhere.events = Some(vec![Vec::new(), handed()]);
    let step =
        elsewhere.step(alloc(1, 600), Reply::Allocated { address: 0x1000 }, |o| hand_out(&mut o.devices[0], 600));
    step.convicts("SUMM-04");
}

#[test]
fn a_free_is_asked_for_and_then_done() {
    let changed = |change: fn(&mut Vec<TraceEvent>)| {
        let mut events = taken();
        change(&mut events);
        freed(&mut lives(), events)
    };
    let found = changed(|e| e.swap(0, 1)).convicts("SUMM-04");
    insta::assert_snapshot!(found.message.en, @"the events of device 0 tell free_completed of [0x1000, 0x1258); due was a free that was asked for and not done yet");
    changed(|e| e.retain(|e| e.action != Action::FreeRequested)).convicts("SUMM-04");
    changed(|e| e[1].bytes = 599).convicts("SUMM-04");
    changed(|e| e.retain(|e| e.action != Action::FreeCompleted)).convicts("SUMM-04");
}

#[test]
fn segments_are_told_as_the_figures_move() {
    let found = asked(&mut bench(), vec![event(Action::SegmentAlloc, 0x1000, 2048), handed()[1]]).convicts("SUMM-04");
    insta::assert_snapshot!(found.message.en, @"the events of device 0 in this step tell 2 KiB of segment bytes, but it was 1 KiB (reserved_bytes.all.current)");
    let twice = [handed()[0], handed()[0], handed()[1]].to_vec();
    asked(&mut bench(), twice).convicts("SUMM-04");
    let mut events = taken();
    events[2].address += 512;
    freed(&mut lives(), events).convicts("SUMM-04");
    let mut early = lives();
    early.events = Some(vec![vec![event(Action::SegmentFree, 0x1000, 1024)], Vec::new()]);
    let gone = |o: &mut Observation| {
        o.devices[0].stats.decrease(Family::ReservedBytes, PoolKind::Small, 1024);
        *o.devices[0].stats.counter_mut(Counter::NumDeviceFree) += 1;
    };
    let found = early.step(Op::EmptyCache, Reply::Done, gone).convicts("SUMM-04");
    insta::assert_snapshot!(found.message.zh, @"设备 0 的事件记录了 [0x1000, 0x1400) 的 segment_free，而应为没有 b1 等存活块的内存");
}

#[test]
fn a_refusal_for_lack_of_memory_is_told_with_what_was_free() {
    let refused = |events: Vec<TraceEvent>| {
        let mut bench = bench();
        bench.events = Some(vec![events, Vec::new()]);
        bench.step(alloc(1, 2 * GIB), oom(), |o| refuse(&mut o.devices[0]))
    };
    refused(vec![event(Action::Oom, GIB, 2 * GIB)]).passes();
    refused(vec![event(Action::Oom, GIB - 512, 2 * GIB)]).convicts("SUMM-04");
    refused(vec![event(Action::Oom, GIB, GIB)]).convicts("SUMM-04");
    refused(Vec::new()).convicts("SUMM-04");
    let mut other = bench();
    other.events = Some(vec![vec![event(Action::Oom, GIB, 512)], Vec::new()]);
    let reset = Op::ResetPeak { device: DeviceId(9) };
    other.step(reset, Reply::refused(RefusalClass::InvalidArgument, "no"), |_| {}).convicts("SUMM-04");
}

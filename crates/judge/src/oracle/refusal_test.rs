//! Lawful answers pass `refusal`, doctored ones convict by the promise behind the law.

use super::*;
use crate::op::{BlockId, DeviceCall, DeviceId, PoolKind, Reply};
use crate::oracle::fixture::{Bench, alloc, free, hand_out, oom, refuse, take_back};

fn bench() -> Bench {
    let mut bench = Bench::new(OracleName::Refusal);
    bench.alloc(1, 0x1000, 600).passes();
    bench
}

fn no(class: RefusalClass) -> Reply {
    Reply::refused(class, "no")
}

fn set(fraction: f64) -> Op {
    Op::SetFraction { device: None, fraction }
}

fn pointer(pointer: Pointer) -> Op {
    Op::FreePointer { pointer }
}

fn interior() -> Op {
    pointer(Pointer::Interior { block: BlockId(1), offset: 8 })
}

#[test]
fn lawful_answers_pass() {
    let mut bench = bench();
    bench.step(set(f64::NAN), no(RefusalClass::InvalidArgument), |_| {}).passes();
    bench.step(interior(), no(RefusalClass::InvalidPointer), |_| {}).passes();
    bench.step(pointer(Pointer::Null), Reply::Done, |_| {}).passes();
    bench.step(alloc(2, 0), Reply::Allocated { address: 0 }, |_| {}).passes();
    bench.step(free(2), Reply::Done, |_| {}).passes();
    bench.step(alloc(3, 2 << 30), oom(), |o| refuse(&mut o.devices[0])).passes();
    bench.step(alloc(3, u64::MAX), no(RefusalClass::InvalidArgument), |_| {}).passes();
    bench.step(Op::SetCurrent { device: DeviceId(7) }, no(RefusalClass::InvalidArgument), |_| {}).passes();
}

#[test]
fn what_must_be_refused_convicts_when_served() {
    let served = |op: Op| bench().step(op, Reply::Done, |_| {});
    let found = served(set(1.5)).convicts("FRAC-02");
    insta::assert_snapshot!(found.message.en, @"`set_fraction the current device to 1.5` was answered `done` instead of being refused as invalid_argument");
    served(interior()).convicts("ARG-03");
    served(pointer(Pointer::Wild { address: 0x77 })).convicts("ARG-03");
    served(Op::ResetPeak { device: DeviceId(-1) }).convicts("ARG-01");
    let mut bench = bench();
    bench.free(1).passes();
    bench.step(pointer(Pointer::Freed { block: BlockId(1) }), Reply::Done, |_| {}).convicts("ARG-02");
    let reply = Reply::Allocated { address: 0x2000 };
    bench.step(alloc(2, 2 << 30), reply.clone(), |_| {}).convicts("HUGE-01");
    bench.step(alloc(3, u64::MAX - 511), reply, |_| {}).convicts("HUGE-02");
}

#[test]
fn the_wrong_class_convicts() {
    let found = bench().step(set(-1.0), oom(), |_| {}).convicts("FRAC-02");
    insta::assert_snapshot!(found.message.zh, @"`set_fraction the current device to -1` 以 out_of_memory 被拒绝，而非以 invalid_argument 被拒绝");
    bench().step(alloc(2, 512), no(RefusalClass::DeviceError), |_| {}).convicts("OOM-01");
    bench().step(alloc(2, 0), oom(), |_| {}).convicts("ZERO-01");
    bench().step(pointer(Pointer::Null), no(RefusalClass::InvalidPointer), |_| {}).convicts("ZERO-02");
    bench().step(free(1), no(RefusalClass::InvalidPointer), |_| {}).convicts("LIVE-04");
}

#[test]
fn a_refusal_without_a_message_convicts() {
    let silent = Reply::refused(RefusalClass::OutOfMemory, " ");
    bench().step(alloc(2, 1 << 30), silent, |o| refuse(&mut o.devices[0])).convicts("OOM-05");
}

#[test]
fn a_refused_call_that_changes_something_convicts() {
    let change = |o: &mut crate::op::Observation| o.devices[1].fraction = 0.5;
    bench().step(set(2.0), no(RefusalClass::InvalidArgument), change).convicts("FRAC-02");
    let judged = bench().step(alloc(2, 1 << 30), oom(), |o| {
        refuse(&mut o.devices[0]);
        o.devices[0].stats.increase(Family::RequestedBytes, PoolKind::Large, 1 << 30);
    });
    let found = judged.convicts("OOM-02");
    insta::assert_snapshot!(found.message.en, @"`alloc b2: 1 GiB (1073741824 B) on device 0, stream 0` was refused, but requested_bytes.all.current of device 0 went from 600 B to 1 GiB (1073742424 B)");
    let counted = bench().step(alloc(2, 2 << 30), oom(), |o| {
        refuse(&mut o.devices[0]);
        o.devices[0].stats.increase(Family::Allocation, PoolKind::Large, 1);
    });
    counted.convicts("HUGE-01");
}

#[test]
fn asking_for_nothing_must_move_nothing() {
    let reply = Reply::Allocated { address: 0 };
    bench().step(alloc(2, 0), reply, |o| hand_out(&mut o.devices[0], 512)).convicts("ZERO-01");
    bench().step(pointer(Pointer::Null), Reply::Done, |o| o.devices[0].free_bytes -= 1).convicts("ZERO-02");
}

#[test]
fn a_fault_excuses_a_refusal_only_where_it_fires() {
    let fault = Op::Fault { device: DeviceId(0), call: DeviceCall::Release, skip: 0, error: None };
    let refused = || no(RefusalClass::DeviceError);
    let mut bench = bench();
    bench.step(fault.clone(), Reply::Done, |_| {}).passes();
    bench.step(Op::EmptyCache, refused(), |_| {}).convicts("LIVE-04");
    bench.step(Op::EmptyCache, refused(), |o| o.devices[0].faults_fired = 1).passes();
    bench.step(Op::EmptyCache, refused(), |_| {}).convicts("OOM-06");
}

#[test]
fn after_a_failed_call_waiting_blocks_may_become_free_at_any_time() {
    for (fired, waiting, due) in [(1, 2, None), (0, 2, Some("ZERO-02")), (1, 0, Some("ZERO-02"))] {
        let mut bench = bench();
        let frees = |o: &mut crate::op::Observation| {
            take_back(&mut o.devices[0], 600);
            o.devices[0].faults_fired = fired;
            o.devices[0].stats.increase(Family::Active, PoolKind::Small, waiting);
        };
        bench.step(free(1), Reply::Done, frees).passes();
        let notices = |o: &mut crate::op::Observation| o.devices[0].stats.decrease(Family::Active, PoolKind::Small, 1);
        let judged = bench.step(pointer(Pointer::Null), Reply::Done, notices);
        match due {
            Some(promise) => drop(judged.convicts(promise)),
            None => judged.passes(),
        }
    }
}

//! Numbers that are what they say pass, and the nearest ones that are not convict.

use super::*;
use crate::op::{BlockId, DeviceId, PoolKind, RefusalClass, Reply};
use crate::oracle::fixture::{Bench, GIB, alloc, oom, refuse};

const SAID: &str = "CUDA out of memory. Tried to allocate 30.00 MiB. GPU 0 has a total capacity of 1024.00 MiB of which 24.00 \
    MiB is free. 1000.00 MiB allowed; Of the allocated memory 900.00 MiB is allocated by PyTorch, and 100.00 MiB is reserved \
    by PyTorch but unallocated. If reserved";

/// 1000 MiB are reserved of a GiB and 900 of them allocated; 1000 may be reserved.
fn judged(text: &str) -> crate::oracle::fixture::Judged {
    let mut bench = Bench::new(OracleName::Refusal);
    let to = 1000.0 / 1024.0;
    let set = Op::SetFraction { device: Some(DeviceId(0)), fraction: to };
    bench.step(set, Reply::Done, |o| o.devices[0].fraction = to).passes();
    let fill = |o: &mut crate::op::Observation| {
        o.devices[0].stats.increase(Family::ReservedBytes, PoolKind::Large, 1000 << 20);
        o.devices[0].stats.increase(Family::AllocatedBytes, PoolKind::Large, 900 << 20);
        o.devices[0].free_bytes = 24 << 20;
    };
    bench.step(Op::CycleEnd, Reply::Done, fill).passes();
    let refused = Reply::refused(RefusalClass::OutOfMemory, text);
    bench.step(alloc(1, 30 << 20), refused, |o| refuse(&mut o.devices[0]))
}

#[test]
fn a_text_that_is_right_or_claims_nothing_passes() {
    judged(SAID).passes();
    judged("out of memory").passes();
    judged("Tried to allocate more than 1EB memory.").passes();
    judged(&SAID.replace("1024.00 MiB of", "1.00 GiB of")).passes();
    judged(&SAID.replace("900.00 MiB", "900.01 MiB")).passes();
    judged(&SAID.replace("24.00 MiB is", "24 lots is")).passes();
}

#[test]
fn each_number_of_a_text_is_held_against_its_figure() {
    let wrong = [
        ("allocate 30.00", "allocate 29.98"),
        ("allocate 30.00", "allocate 60.00"),
        ("GPU 0", "GPU 1"),
        ("1024.00", "1023.90"),
        ("24.00 MiB is", "24.00 KiB is"),
        ("1000.00 MiB allowed", "1000.02 MiB allowed"),
        ("900.00", "899.98"),
        ("100.00", "99.90"),
        ("is allocated by PyTorch,", "is allocated by PyTorch, with 100.02 MiB allocated in private pools,"),
    ];
    for (right, wrong) in wrong {
        assert!(SAID.contains(right), "{right}");
        let found = judged(&SAID.replacen(right, wrong, 1)).convicts("OOM-05");
        assert_eq!(found.evidence.len(), 1, "the text itself is said: {found:#?}");
    }
    let found = judged(&SAID.replace("900.00", "880.00")).convicts("OOM-05");
    insta::assert_snapshot!(found.message.en, @"the text of the refusal says of the allocated memory of device 0 880.00 MiB, but it was 900 MiB");
}

#[test]
fn a_limit_that_is_not_there_is_not_to_be_named() {
    let mut bench = Bench::new(OracleName::Refusal);
    let text = "Tried to allocate 1.00 GiB. 512.00 MiB allowed; ";
    let refused = Reply::refused(RefusalClass::OutOfMemory, text);
    let found = bench.step(alloc(1, GIB), refused, |o| refuse(&mut o.devices[0])).convicts("OOM-05");
    insta::assert_snapshot!(found.message.zh, @"拒绝信息称设备 0 允许保留的内存为 512.00 MiB，实为 没有上限");
    Bench::new(OracleName::Refusal).step(alloc(1, GIB), oom(), |o| refuse(&mut o.devices[0])).passes();
}

#[test]
fn what_was_given_is_named_as_it_was_given() {
    let says = |op: Op, class: RefusalClass, text: &str| {
        let mut bench = Bench::new(OracleName::Refusal);
        bench.alloc(1, 0x1000, 600).passes();
        bench.step(op, Reply::refused(class, text), |_| {})
    };
    let fraction = |text: &str| {
        let op = Op::SetFraction { device: None, fraction: 1.25 };
        says(op, RefusalClass::InvalidArgument, text)
    };
    fraction("Invalid fraction value: 1.25. Allowed range: 0~1").passes();
    fraction("no").passes();
    fraction("Invalid fraction value: 1.5. Allowed range: 0~1").convicts("FRAC-02");
    let device = |text: &str| says(Op::ResetPeak { device: DeviceId(-7) }, RefusalClass::InvalidArgument, text);
    device("Invalid device argument -7: did you call init? There are 2 devices.").passes();
    device("Invalid device argument 7: did you call init? There are 2 devices.").convicts("ARG-01");
    device("Invalid device argument -7: did you call init? There are 3 devices.").convicts("ARG-01");
    let pointer = |text: &str| {
        let op = Op::FreePointer { pointer: Pointer::Interior { block: BlockId(1), offset: 8 } };
        says(op, RefusalClass::InvalidPointer, text)
    };
    pointer("invalid device pointer: 0x1008").passes();
    pointer("invalid device pointer: 0x1000").convicts("ARG-03");
}

#[test]
fn what_processes_hold_is_said_as_it_is_once_that_is_known() {
    let says = |holds: bool, other: &str, own: &str| {
        let mut bench = Bench::new(OracleName::Refusal);
        bench.alloc(1, 0x1000, 256 << 20).passes();
        if holds {
            let op = Op::Neighbour { device: DeviceId(0), bytes: 512 << 20 };
            bench.step(op, Reply::Done, |o| o.devices[0].free_bytes -= 512 << 20).passes();
        }
        let text = format!(
            "256.00 MiB is free. Process 7 has {other} memory in use. Including non-PyTorch memory, this process has {own} memory in use. "
        );
        let refused = Reply::refused(RefusalClass::OutOfMemory, text);
        bench.step(alloc(2, GIB / 2), refused, |o| refuse(&mut o.devices[0]))
    };
    says(true, "512.00 MiB", "256.00 MiB").passes();
    says(true, "512.00 MiB", "768.00 MiB").convicts("OOM-05");
    let found = says(true, "0 bytes", "256.00 MiB").convicts("OOM-05");
    assert_eq!(
        found.message.en,
        "the text of the refusal says of what another process holds of device 0 0 bytes, but it was 512 MiB"
    );
}

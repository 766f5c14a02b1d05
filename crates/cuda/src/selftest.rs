//! Every primitive of this room tried once on a real GPU, for whoever brings up a new driver or card.
//!
//! Decides what is tried and what counts as right. The last check breaks the context on purpose: afterwards this
//! process can use the GPU no more.

use std::time::Instant;

use super::{Ballast, CudaDevice, CudaError, CudaOptions, CudaPool, bandwidth, call_times, probe};
use crate::device::{ControlledDevice, Device, DeviceError};
use crate::op::{ContentsReport, DeviceCall, StreamId};

const MIB: u64 = 1 << 20;
const S0: StreamId = StreamId(0);
const S1: StreamId = StreamId(1);

/// One thing that was tried: what it showed, or what was wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// What was tried.
    pub name: &'static str,
    /// What it showed, or what was wrong.
    pub result: Result<String, String>,
    /// How long it took.
    pub seconds: f64,
}

/// Tries everything on one GPU, telling each result as soon as it is there.
pub fn selftest(ordinal: u32, tell: &mut dyn FnMut(&Check)) {
    type Body = fn(u32) -> Result<String, String>;
    let all: [(&'static str, Body); 13] = [
        ("probe", found),
        ("segments", segments),
        ("fill and check", contents),
        ("spin, events and calls beside it", spin),
        ("several spins on a stream", several_spins),
        ("many held streams", many_streams),
        ("expandable segments", expandable),
        ("driver out of memory", exhausted),
        ("ordered placement", ordered),
        ("ballast", ballast),
        ("pool", pool),
        ("bandwidth and calls", speed),
        ("sticky error", sticky),
    ];
    for (name, body) in all {
        let start = now();
        let result = body(ordinal);
        tell(&Check { name, result, seconds: start.elapsed().as_secs_f64() });
    }
}

#[expect(clippy::disallowed_methods, reason = "how long a check takes is told beside it")]
fn now() -> Instant {
    Instant::now()
}

fn timed<T>(body: impl FnOnce() -> T) -> (T, f64) {
    let start = now();
    let value = body();
    (value, start.elapsed().as_secs_f64() * 1e6)
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn expect<T: PartialEq + std::fmt::Debug>(what: &str, got: T, wanted: T) -> Result<(), String> {
    if got == wanted { Ok(()) } else { Err(format!("{what}: {got:?} instead of {wanted:?}")) }
}

fn open(ordinal: u32, total_bytes: u64) -> Result<CudaDevice, String> {
    let options = CudaOptions { ordinal, total_bytes, streams: 4, ballast: Ballast::Budget, ordered: false };
    CudaDevice::open(options).map_err(text)
}

fn found(ordinal: u32) -> Result<String, String> {
    let info = probe().map_err(text)?;
    let gpu = info.gpus.get(ordinal as usize).ok_or("no such GPU")?;
    Ok(format!("driver {}, {} GPUs, {gpu:?}", info.driver_version, info.gpus.len()))
}

fn segments(ordinal: u32) -> Result<String, String> {
    let (device, opening) = timed(|| open(ordinal, 256 * MIB));
    let mut device = device?;
    let (a, reserve) = timed(|| device.reserve(20 * MIB));
    let a = a.map_err(text)?;
    let b = device.reserve(2 * MIB).map_err(text)?;
    expect("budget", device.free_bytes(), Ok(234 * MIB))?;
    expect("over the budget", device.reserve(236 * MIB), Err(DeviceError::OutOfMemory))?;
    expect("inside", device.release(b + 512), Err(DeviceError::InvalidValue { call: DeviceCall::Release }))?;
    let (released, release) = timed(|| device.release(a));
    released.map_err(text)?;
    Ok(format!("open {opening:.0} us, reserve 20 MiB {reserve:.0} us, release {release:.0} us, at {a:#x} and {b:#x}"))
}

fn contents(ordinal: u32) -> Result<String, String> {
    let mut device = open(ordinal, 256 * MIB)?;
    let a = device.reserve(20 * MIB).map_err(text)?;
    let blank = ContentsReport::Changed { offset: 0, bytes: 4096, found: "nothing written".to_owned() };
    expect("fresh memory", device.check(S0, a, 4096, 1), Ok(blank))?;
    for (number, bytes) in (1..).zip([1, 7, 8, 15, 16, 17, 100, 512, 4097, MIB + 13, 16 * MIB]) {
        for shift in [0, 512, 1, 8] {
            device.write(S0, a + shift, bytes, number).map_err(text)?;
            let report = device.check(S0, a + shift, bytes, number);
            expect(&format!("{bytes} B at {shift}"), report, Ok(ContentsReport::Intact))?;
        }
    }
    device.write(S0, a, 8 * MIB, 50).map_err(text)?;
    device.write(S0, a + 3 * MIB, 1024, 51).map_err(text)?;
    let changed = ContentsReport::Changed { offset: 3 * MIB, bytes: 1024, found: "the pattern of b51".to_owned() };
    expect("a planted change", device.check(S0, a, 8 * MIB, 50), Ok(changed))?;
    expect("before it", device.check(S0, a, 3 * MIB, 50), Ok(ContentsReport::Intact))?;
    device.write(S0, a + 4 * MIB + 5, 1, 52).map_err(text)?;
    let byte = device.check(S0, a + 4 * MIB, 16, 99);
    if !matches!(byte, Ok(ContentsReport::Changed { offset: 0, .. })) {
        return Err(format!("one byte: {byte:?}"));
    }
    device.write(S0, a + 20 * MIB - 512, 1024, 53).map_err(text)?;
    expect("past the end", device.take_illegal_access(), Some(a + 20 * MIB))?;
    let ((), each) = timed(|| {
        for _ in 0..1000 {
            let _ = device.write(S0, a, 4096, 1).and_then(|()| device.check(S0, a, 4096, 1));
        }
    });
    Ok(format!("a small write and check take {:.1} us", each / 1000.0))
}

fn spin(ordinal: u32) -> Result<String, String> {
    let mut device = open(ordinal, 1024 * MIB)?;
    let a = device.reserve(20 * MIB).map_err(text)?;
    let handle = device.stream_handle(S1);
    device.occupy(S1).map_err(text)?;
    device.write(S1, a, MIB, 1).map_err(text)?;
    let event = device.record_event(handle).map_err(text)?;
    expect("held", device.query_event(event), Ok(false))?;
    expect("mask", device.idle_mask(), 0b1101)?;
    device.write(S0, a, MIB, 2).map_err(text)?;
    expect("beside it", device.check(S0, a, MIB, 2), Ok(ContentsReport::Intact))?;
    let (b, reserving) = timed(|| device.reserve(20 * MIB));
    b.map_err(text)?;
    let addresses = device.reserve_addresses(64 * MIB).map_err(text)?;
    let (mapped, mapping) = timed(|| device.map(addresses, 20 * MIB));
    mapped.map_err(text)?;
    let (set, setting) = timed(|| device.set_access(addresses, 20 * MIB));
    set.map_err(text)?;
    let (gone, unmapping) = timed(|| device.unmap(addresses, 20 * MIB));
    gone.map_err(text)?;
    expect("held still", device.query_event(event), Ok(false))?;
    let (finished, finishing) = timed(|| device.finish(S1));
    finished.map_err(text)?;
    expect("let go", device.query_event(event), Ok(true))?;
    expect("the held write", device.check(S0, a, MIB, 1), Ok(ContentsReport::Intact))?;
    Ok(format!(
        "while a stream is held: reserve {reserving:.0} us, map {mapping:.0}, access {setting:.0}, unmap {unmapping:.0}; \
         finish {finishing:.0} us"
    ))
}

fn several_spins(ordinal: u32) -> Result<String, String> {
    let mut device = open(ordinal, 256 * MIB)?;
    let a = device.reserve(2 * MIB).map_err(text)?;
    let handle = device.stream_handle(S1);
    device.occupy(S1).map_err(text)?;
    device.write(S1, a, 4096, 1).map_err(text)?;
    let first = device.record_event(handle).map_err(text)?;
    device.occupy(S1).map_err(text)?;
    device.write(S1, a, 4096, 2).map_err(text)?;
    device.finish(S1).map_err(text)?;
    expect("first event", device.query_event(first), Ok(true))?;
    expect("first write", device.check(S0, a, 4096, 1), Ok(ContentsReport::Intact))?;
    expect("pending", device.check(S1, a, 4096, 2), Ok(ContentsReport::Pending))?;
    let second = device.record_event(handle).map_err(text)?;
    device.wait_event(second).map_err(text)?;
    expect("second write", device.check(S1, a, 4096, 2), Ok(ContentsReport::Intact))?;
    for stream in [S0, S1, StreamId(2), StreamId(3)] {
        device.occupy(stream).map_err(text)?;
        device.write(stream, a, 4096, 3).map_err(text)?;
    }
    expect("all held", device.idle_mask(), 0)?;
    let (all, waiting) = timed(|| device.synchronize());
    all.map_err(text)?;
    expect("all done", device.idle_mask(), 0b1111)?;
    Ok(format!("synchronize with four held streams {waiting:.0} us"))
}

/// A GPU has fewer queues than streams may be asked for: a stream that shares one with a held stream waits with it.
fn many_streams(ordinal: u32) -> Result<String, String> {
    const COUNT: u8 = 12;
    let options =
        CudaOptions { ordinal, total_bytes: 256 * MIB, streams: COUNT, ballast: Ballast::Budget, ordered: false };
    let mut device = CudaDevice::open(options).map_err(text)?;
    let a = device.reserve(2 * MIB).map_err(text)?;
    for stream in 1..COUNT {
        device.occupy(StreamId(stream)).map_err(text)?;
    }
    let (report, waiting) = timed(|| device.write(S0, a, MIB, 1).and_then(|()| device.check(S0, a, MIB, 1)));
    match report {
        Ok(ContentsReport::Intact) => Ok(format!("{} held, and the last one works on: {waiting:.0} us", COUNT - 1)),
        Err(DeviceError::Overdue) => Ok(format!("with {} held, the last one waits too", COUNT - 1)),
        other => Err(format!("{other:?}")),
    }
}

fn expandable(ordinal: u32) -> Result<String, String> {
    let mut device = open(ordinal, 256 * MIB)?;
    let base = device.reserve_addresses(320 * MIB).map_err(text)?;
    for page in 0..3 {
        device.map(base + page * 20 * MIB, 20 * MIB).map_err(text)?;
    }
    expect("no access yet", device.check(S0, base, 512, 1), Ok(ContentsReport::Unmapped { offset: 0 }))?;
    device.set_access(base, 60 * MIB).map_err(text)?;
    device.write(S0, base, 60 * MIB, 1).map_err(text)?;
    device.unmap(base + 20 * MIB, 20 * MIB).map_err(text)?;
    let report = device.check(S0, base, 60 * MIB, 1);
    expect("a hole", report, Ok(ContentsReport::Unmapped { offset: 20 * MIB }))?;
    expect("before", device.check(S0, base, 20 * MIB, 1), Ok(ContentsReport::Intact))?;
    expect("mapped twice", device.map(base, 2 * MIB), Err(DeviceError::InvalidValue { call: DeviceCall::Map }))?;
    device.unmap(base, 20 * MIB).map_err(text)?;
    device.unmap(base + 40 * MIB, 20 * MIB).map_err(text)?;
    device.free_addresses(base, 320 * MIB).map_err(text)?;
    expect("all given back", device.free_bytes(), Ok(256 * MIB))?;
    Ok(format!("at {base:#x}"))
}

fn exhausted(ordinal: u32) -> Result<String, String> {
    // With ballast what is past the budget is asked of the driver all the same.
    let options = CudaOptions { ordinal, total_bytes: 1 << 30, streams: 2, ballast: Ballast::Real, ordered: false };
    let mut device = CudaDevice::open(options).map_err(text)?;
    expect("more than there is", device.reserve(1 << 40), Err(DeviceError::OutOfMemory))?;
    let addresses = device.reserve_addresses(1 << 40).map_err(text)?;
    expect("more pages than there are", device.map(addresses, 1 << 40), Err(DeviceError::OutOfMemory))?;
    let a = device.reserve(2 * MIB).map_err(text)?;
    device.write(S0, a, MIB, 1).map_err(text)?;
    expect("afterwards", device.check(S0, a, MIB, 1), Ok(ContentsReport::Intact))?;
    Ok("refused, and usable afterwards".to_owned())
}

fn ordered(ordinal: u32) -> Result<String, String> {
    let options = CudaOptions { ordinal, total_bytes: 256 * MIB, streams: 2, ballast: Ballast::Budget, ordered: true };
    let mut device = CudaDevice::open(options).map_err(text)?;
    let (a, reserve) = timed(|| device.reserve(20 * MIB));
    let a = a.map_err(text)?;
    let b = device.reserve(2 * MIB).map_err(text)?;
    expect("the next range", b, a + 20 * MIB)?;
    device.write(S0, a, 20 * MIB, 1).map_err(text)?;
    expect("contents", device.check(S0, a, 20 * MIB, 1), Ok(ContentsReport::Intact))?;
    let (released, release) = timed(|| device.release(a));
    released.map_err(text)?;
    expect("used again", device.reserve(2 * MIB), Ok(a))?;
    Ok(format!("reserve 20 MiB {reserve:.0} us, release {release:.0} us, from {a:#x}"))
}

fn ballast(ordinal: u32) -> Result<String, String> {
    let options = CudaOptions { ordinal, total_bytes: 1 << 30, streams: 2, ballast: Ballast::Real, ordered: false };
    let (device, first) = timed(|| CudaDevice::open(options));
    let mut device = device.map_err(text)?;
    let free = device.free_bytes().map_err(text)?;
    let mut count = 0;
    let refused = loop {
        match device.reserve(20 * MIB) {
            Ok(_) if count < 100 => count += 1,
            Ok(_) => return Err("never full".to_owned()),
            Err(error) => break error,
        }
    };
    expect("refusal", refused, DeviceError::OutOfMemory)?;
    let left = device.free_bytes().map_err(text)?;
    drop(device);
    let (device, second) = timed(|| CudaDevice::open(options));
    drop(device.map_err(text)?);
    let (device, without) = timed(|| open(ordinal, 1 << 30));
    drop(device?);
    Ok(format!(
        "{free} B free of 1 GiB, {count} segments of 20 MiB fit, {left} B left; open {first:.0} us, again {second:.0} us, \
         without {without:.0} us"
    ))
}

fn pool(ordinal: u32) -> Result<String, String> {
    let options = CudaOptions { ordinal, total_bytes: 256 * MIB, streams: 3, ballast: Ballast::Budget, ordered: false };
    let mut pool = CudaPool::open(options).map_err(text)?;
    let from = pool.context();
    let a = pool.alloc(3 * MIB, S0, from).map_err(text)?;
    let used = pool.figures().map_err(text)?;
    pool.device_mut().write(S0, a, 3 * MIB, 1).map_err(text)?;
    expect("contents", pool.device_mut().check(S0, a, 3 * MIB, 1), Ok(ContentsReport::Intact))?;
    let zero = pool.alloc(0, S0, from);
    let huge = pool.alloc(300 * MIB, S0, from);
    let wild = pool.free(0x1000, S0, from);
    pool.device_mut().occupy(S1).map_err(text)?;
    let b = pool.alloc(3 * MIB, S1, from).map_err(text)?;
    pool.free(b, S1, from).map_err(text)?;
    let held = pool.figures().map_err(text)?;
    pool.device_mut().finish(S1).map_err(text)?;
    let c = pool.alloc(3 * MIB, S0, from).map_err(text)?;
    pool.device_mut().occupy(S1).map_err(text)?;
    pool.device_mut().write(S1, c, 3 * MIB, 2).map_err(text)?;
    pool.free_after(c, [S0, S1], from).map_err(text)?;
    let waits = pool.alloc(3 * MIB, S0, from).map_err(text)?;
    expect("a block that a stream still uses is given to nobody", waits != c, true)?;
    pool.free(waits, S0, from).map_err(text)?;
    pool.device_mut().finish(S1).map_err(text)?;
    let (first, second) = (pool.alloc(3 * MIB, S0, from).map_err(text)?, pool.alloc(3 * MIB, S0, from).map_err(text)?);
    let again = [first, second].contains(&c);
    pool.free(first, S0, from).and_then(|()| pool.free(second, S0, from)).map_err(text)?;
    pool.free(a, S0, from).map_err(text)?;
    pool.trim().map_err(text)?;
    pool.reset_high().map_err(text)?;
    let end = pool.figures().map_err(text)?;
    Ok(format!(
        "after 3 MiB {used:?}; with a held free {held:?}; recorded, it served again: {again}; trimmed {end:?}; 0 B: {zero:?}; too much: {huge:?}; wild: {wild:?}"
    ))
}

fn speed(ordinal: u32) -> Result<String, String> {
    let total = probe().map_err(text)?.gpus.get(ordinal as usize).map_or(0, |g| g.total_bytes);
    let measured: Result<_, CudaError> = bandwidth(ordinal, (total / 32).clamp(64 * MIB, 4 << 30))
        .and_then(|b| Ok((b, call_times(ordinal, 2 * MIB, 200)?)));
    let (bandwidth, calls) = measured.map_err(text)?;
    Ok(format!("{bandwidth:?}, {calls:?}"))
}

/// A write is held back while its memory is taken away.
fn sticky(ordinal: u32) -> Result<String, String> {
    let mut device = open(ordinal, 256 * MIB)?;
    let base = device.reserve_addresses(64 * MIB).map_err(text)?;
    device.map(base, 20 * MIB).and_then(|()| device.set_access(base, 20 * MIB)).map_err(text)?;
    device.occupy(S1).map_err(text)?;
    device.write(S1, base, 20 * MIB, 1).map_err(text)?;
    device.unmap(base, 20 * MIB).map_err(text)?;
    let finished = device.finish(S1);
    let after = device.reserve(2 * MIB);
    if !matches!(finished, Err(DeviceError::Poisoned { .. })) || !matches!(after, Err(DeviceError::Poisoned { .. })) {
        return Err(format!("finish: {finished:?}, then {after:?}"));
    }
    drop(device);
    let again = open(ordinal, 256 * MIB).err();
    Ok(format!("{finished:?}; opened again: {again:?}"))
}

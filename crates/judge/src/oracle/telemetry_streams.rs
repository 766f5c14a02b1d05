//! The part of `telemetry` about streams: busy while work keeps them so, and idle once they were waited for.
//!
//! Decides only right after a stream was occupied, told to wait for another, or a device was waited for: when else work ends is the device's affair.

use super::Seen;
use super::cite::{TELE_03, say};
use crate::op::{DeviceId, DeviceView, Op, OracleName, StreamId, Text};
use crate::verdict::Violation;

const BUSY: (&str, &str) = ("busy", "忙");
const IDLE: (&str, &str) = ("idle", "空闲");

/// Judges an answered operation on a target with so many streams a device.
pub(super) fn judge(seen: &Seen<'_>, op: &Op, streams: u8) -> Option<Violation> {
    match *op {
        Op::Occupy { device, stream } => {
            let (device, view) = view(seen, device)?;
            let number = stream.0;
            let message = say!(
                "{stream} of device {device} was kept busy, and is shown as idle",
                "设备 {device} 的流 {number} 正被占用，却被示为空闲"
            );
            view.is_idle(stream).then(|| convict(message, device, stream, BUSY, IDLE))
        }
        Op::WaitStream { device, stream, on } => {
            let before = device.index(seen.before.devices.len()).map(|d| &seen.before.devices[d])?;
            let (device, view) = view(seen, device)?;
            let (number, other) = (stream.0, on.0);
            if !before.is_idle(on) && view.is_idle(stream) {
                let message = say!(
                    "{stream} of device {device} waits for {on}, which is busy, and is shown as idle",
                    "设备 {device} 的流 {number} 正等待忙碌的流 {other}，却被示为空闲"
                );
                return Some(convict(message, device, stream, BUSY, IDLE));
            }
            let is_spare = before.is_idle(on) && before.is_idle(stream) && !view.is_idle(stream);
            let message = say!(
                "{stream} of device {device} waits for {on}, and is shown as busy although neither had anything to do",
                "设备 {device} 的流 {number} 与其等待的流 {other} 均无工作，却被示为忙"
            );
            is_spare.then(|| convict(message, device, stream, IDLE, BUSY))
        }
        Op::Synchronize { device } => {
            let (device, view) = view(seen, device)?;
            let stream = (0..streams.min(StreamId::LIMIT)).map(StreamId).find(|&stream| !view.is_idle(stream))?;
            let number = stream.0;
            let message = say!(
                "device {device} was waited for, and its {stream} is shown as busy",
                "已等待设备 {device} 完成，其流 {number} 却被示为忙"
            );
            Some(convict(message, device, stream, IDLE, BUSY))
        }
        _ => None,
    }
}

fn view<'s>(seen: &Seen<'s>, device: DeviceId) -> Option<(usize, &'s DeviceView)> {
    let device = device.index(seen.after.devices.len())?;
    Some((device, &seen.after.devices[device]))
}

fn convict(message: Text, device: usize, stream: StreamId, expected: (&str, &str), actual: (&str, &str)) -> Violation {
    let number = stream.0;
    let what = say!("state of {stream} of device {device}", "设备 {device} 的流 {number} 的状态");
    let [expected, actual] = [expected, actual].map(|(en, zh)| Text::new(en, zh));
    Violation::new(OracleName::Telemetry, Some(TELE_03), message).figure(what, expected, actual)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::{Observation, Reply};
    use crate::oracle::fixture::{self, Bench};

    const DEVICE: DeviceId = DeviceId(1);
    const STREAM: StreamId = StreamId(2);

    fn busy(o: &mut Observation) {
        o.devices[1].idle &= !(1 << STREAM.0);
    }

    #[test]
    fn a_stream_is_busy_while_it_is_kept_so_and_idle_once_waited_for() {
        let occupy = || Op::Occupy { device: DEVICE, stream: STREAM };
        let wait = || Op::Synchronize { device: DEVICE };
        let mut bench = Bench::new(OracleName::Telemetry);
        bench.step(occupy(), Reply::Done, busy).passes();
        bench.step(wait(), Reply::Done, |o| o.devices[1].idle = u64::MAX).passes();
        let found = bench.step(occupy(), Reply::Done, |_| {}).convicts("TELE-03");
        assert_eq!(found.message.en, "stream 2 of device 1 was kept busy, and is shown as idle");
        bench.step(occupy(), Reply::Done, busy).passes();
        let found = bench.step(wait(), Reply::Done, |_| {}).convicts("TELE-03");
        assert_eq!(found.message.zh, "已等待设备 1 完成，其流 2 却被示为忙");
    }

    #[test]
    fn a_stream_that_waits_is_busy_as_long_as_the_other_is() {
        let wait = |on| Op::WaitStream { device: DEVICE, stream: STREAM, on: StreamId(on) };
        let occupied = || {
            let mut bench = Bench::new(OracleName::Telemetry);
            let occupy = Op::Occupy { device: DEVICE, stream: StreamId(1) };
            bench.step(occupy, Reply::Done, |o| o.devices[1].idle &= !0b10).passes();
            bench
        };
        occupied().step(wait(1), Reply::Done, busy).passes();
        let found = occupied().step(wait(1), Reply::Done, |_| {}).convicts("TELE-03");
        assert_eq!(found.message.en, "stream 2 of device 1 waits for stream 1, which is busy, and is shown as idle");
        occupied().step(wait(0), Reply::Done, |_| {}).passes();
        occupied().step(wait(0), Reply::Done, busy).convicts("TELE-03");
    }

    #[test]
    fn a_total_other_than_the_target_stated_convicts() {
        let mut first = fixture::first();
        first.devices[1].total_bytes += 1;
        first.devices[1].free_bytes += 1;
        let mut bench = Bench::starting(&[OracleName::Telemetry], &fixture::info(), first);
        bench.step(Op::EmptyCache, Reply::Done, |_| {}).convicts("TELE-02");
    }
}

//! The part of `telemetry` about other processes that come to hold memory of a device, by command.
//!
//! Decides in that very step: they get what is left, in whole pieces of those in which a device gives memory, and that is free no
//! more; what is reserved stays as it was. Does not cover those that are on a card unasked.

use super::Seen;
use super::cite::{TELE_04, say};
use super::telemetry::reserved;
use super::telemetry_card::Convict;
use super::view::free;
use crate::op::GRANULE;
use crate::op::{Op, wording};

/// The device of which another process came to hold more or less in this step.
pub(super) fn met(seen: &Seen<'_>) -> Option<usize> {
    let Some(Op::Neighbour { device, .. }) = seen.served() else { return None };
    device.index(seen.after.devices.len().min(seen.before.devices.len()))
}

/// Judges such a step; the answer is what the other process holds from now on, where it `held` so much before.
pub(super) fn judge(seen: &Seen<'_>, device: usize, held: u64, convict: Convict<'_>) -> u64 {
    let Some(Op::Neighbour { bytes, .. }) = seen.op else { return held };
    let (before, after) = (&seen.before.devices[device], &seen.after.devices[device]);
    let room = before.free_bytes.saturating_add(held);
    let holds = bytes.div_ceil(GRANULE).min(room / GRANULE) * GRANULE;
    let (due, left) = (room - holds, after.free_bytes);
    if due != left {
        let [holds, due, left] = [holds, due, left].map(wording::bytes);
        let message = say!(
            "another process holds {holds} of device {device} now, which leaves {due}, but the device has {left} free",
            "另一进程现占用设备 {device} 的 {holds}，应余 {due}，而设备空闲 {left}"
        );
        convict(TELE_04, message, (free(device), due, left));
    }
    let (was, is) = (reserved(before), reserved(after));
    if was != is {
        let [was, is] = [was, is].map(wording::bytes);
        let message = say!(
            "memory that another process took of device {device} moved what is reserved from {was} to {is}",
            "另一进程占用设备 {device} 的内存，使保留内存从 {was} 变为 {is}"
        );
        convict(TELE_04, message, (say!("reserved memory of device {device}", "设备 {device} 的保留内存"), was, is));
    }
    holds
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::{DeviceId, Observation, OracleName, Reply};
    use crate::oracle::fixture::{Bench, GIB, hand_out};

    #[test]
    fn what_another_process_takes_is_free_no_more_and_that_is_all() {
        let take = |bytes| Op::Neighbour { device: DeviceId(1), bytes };
        let takes = |by: u64| move |o: &mut Observation| o.devices[1].free_bytes -= by;
        let mut bench = Bench::new(OracleName::Telemetry);
        bench.step(take(3 << 20), Reply::Done, takes(4 << 20)).passes();
        bench.step(take(2 << 20), Reply::Done, |o| o.devices[1].free_bytes += 2 << 20).passes();
        bench.step(take(u64::MAX), Reply::Done, takes(GIB - (2 << 20))).passes();
        let found = bench.step(take(0), Reply::Done, |o| o.devices[1].free_bytes = GIB / 2).convicts("TELE-04");
        assert_eq!(
            found.message.en,
            "another process holds 0 B of device 1 now, which leaves 1 GiB, but the device has 512 MiB free"
        );
        let reserve = |o: &mut Observation| {
            takes(4 << 20)(o);
            hand_out(&mut o.devices[1], 512);
            o.devices[1].free_bytes += 512;
        };
        let mut bench = Bench::new(OracleName::Telemetry);
        bench.step(take(4 << 20), Reply::Done, reserve).convicts("TELE-04");
    }
}

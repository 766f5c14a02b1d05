//! The part of `telemetry` about streams: busy while work keeps them so, and idle once they were waited for.
//!
//! Decides only right after a stream was occupied or a device was waited for: when else work ends is the device's affair.

use super::Seen;
use super::cite::{TELE_03, say};
use crate::op::{Op, StreamId, Text};
use crate::requirement::RequirementId;

/// Judges an answered operation on a target with so many streams a device.
pub(super) fn judge(
    seen: &Seen<'_>,
    op: &Op,
    streams: u8,
    convict: &mut impl FnMut(RequirementId, Text, (Text, String, String)),
) {
    let view = |device: crate::op::DeviceId| {
        let device = device.index(seen.after.devices.len())?;
        Some((device, &seen.after.devices[device]))
    };
    match *op {
        Op::Occupy { device, stream } => {
            let Some((device, view)) = view(device) else { return };
            if view.is_idle(stream) {
                let number = stream.0;
                let message = say!(
                    "{stream} of device {device} was kept busy, and is shown as idle",
                    "设备 {device} 的流 {number} 正被占用，却被示为空闲"
                );
                convict(TELE_03, message, state(device, stream, "busy", "idle"));
            }
        }
        Op::Synchronize { device } => {
            let Some((device, view)) = view(device) else { return };
            let busy = (0..streams.min(StreamId::LIMIT)).map(StreamId).find(|&stream| !view.is_idle(stream));
            if let Some(stream) = busy {
                let number = stream.0;
                let message = say!(
                    "device {device} was waited for, and its {stream} is shown as busy",
                    "已等待设备 {device} 完成，其流 {number} 却被示为忙"
                );
                convict(TELE_03, message, state(device, stream, "idle", "busy"));
            }
        }
        _ => {}
    }
}

fn state(device: usize, stream: StreamId, expected: &str, actual: &str) -> (Text, String, String) {
    let number = stream.0;
    let what = say!("state of {stream} of device {device}", "设备 {device} 的流 {number} 的状态");
    (what, expected.to_owned(), actual.to_owned())
}

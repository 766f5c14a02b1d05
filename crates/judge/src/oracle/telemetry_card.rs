//! The part of `telemetry` about real cards: what the driver and NVML say of the whole of one.
//!
//! Decides within one granule and the noise of the baseline, and only while nobody else is on the card.

use super::cite::{TELE_01, TELE_02, say};
use super::telemetry::reserved;
use crate::op::{Company, DeviceView, NvmlView, Text, wording};
use crate::requirement::RequirementId;

/// How a judge of one device convicts.
pub(super) type Convict<'a> = &'a mut dyn FnMut(RequirementId, Text, (Text, String, String));

/// What a real device's figures say against the allocator's, after a step. What is owed may be on the card still.
pub(super) fn second_opinion(device: usize, view: &DeviceView, (nvml, owed): (&NvmlView, i128), convict: Convict<'_>) {
    let tolerance = nvml.tolerance_bytes();
    let agree = |a: i128, b: i128| a.abs_diff(b) <= u128::from(tolerance);
    let covers = |grew: i128, taken: i128| agree(grew, taken) || agree(grew + owed, taken);
    let m = nvml.memory;
    let total = m.total_bytes;
    let parts: i128 = [m.used_bytes, m.free_bytes, m.reserved_bytes].into_iter().map(i128::from).sum();
    if !agree(parts, i128::from(total)) {
        let [total, used, free, kept] = [total, m.used_bytes, m.free_bytes, m.reserved_bytes].map(wording::bytes);
        let message = say!(
            "NVML states {total} in all for device {device}, but {used} used, {free} free and {kept} kept by the driver",
            "NVML 称设备 {device} 总量 {total}，却称已用 {used}、空闲 {free}、驱动保留 {kept}"
        );
        let what = say!(
            "NVML's used, free and kept memory of device {device} together",
            "设备 {device} 的 NVML 已用、空闲与驱动保留内存之和"
        );
        convict(TELE_02, message, (what, total, wording::bytes(parts)));
    }
    if nvml.company != Company::Alone {
        return; // a neighbour's memory moves the figures too
    }
    let base = nvml.baseline;
    let grew = reserved(view) - i128::from(base.reserved_bytes);
    let (used, taken) = nvml.taken();
    let by = |taken: i128| (wording::bytes(grew), wording::bytes(tolerance), wording::bytes(taken));
    if !covers(grew, used) {
        let (moved, slack, used) = by(used);
        let message = say!(
            "reserved memory of device {device} moved by {moved} since the baseline, but NVML's used memory by {used} (tolerance {slack})",
            "设备 {device} 的保留内存自基线起变化 {moved}，而 NVML 的已用内存变化 {used}（容差 {slack}）"
        );
        let what = say!(
            "change of NVML's used memory of device {device} since the baseline",
            "设备 {device} 的 NVML 已用内存自基线起的变化"
        );
        convict(TELE_01, message, (what, format!("{moved} ± {slack}"), used));
    }
    if !covers(grew, taken) {
        let (moved, slack, taken) = by(taken);
        let message = say!(
            "reserved memory of device {device} moved by {moved} since the baseline, but the driver's free memory by {taken} the other way (tolerance {slack})",
            "设备 {device} 的保留内存自基线起变化 {moved}，而驱动的空闲内存反向变化 {taken}（容差 {slack}）"
        );
        let what = say!(
            "fall of the driver's free memory of device {device} since the baseline",
            "设备 {device} 的驱动空闲内存自基线起的减少"
        );
        convict(TELE_01, message, (what, format!("{moved} ± {slack}"), taken));
    }
}

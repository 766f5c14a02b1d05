//! The part of `accounts` about counters: refusals, retries, waits and device calls, and what is counted as oversize.
//!
//! Decides by how much a counter may move in a step. Does not decide how often a request is tried again or streams are
//! waited for, which is policy: only when neither can be.

use super::Seen;
use super::accounts::{Accounts, convict};
use super::cite::{STAT_07, STAT_10, STAT_11, say};
use super::view::off;
use crate::model::Effect;
use crate::op::stats::{Column, Key, Oversize, Row};
use crate::op::{Counter, Family, Op, Stat, Stats, Text, Via, wording};
use crate::verdict::Violation;

/// Counters that rise until they are reset.
const RISING: [Counter; 4] =
    [Counter::NumAllocRetries, Counter::NumSyncAllStreams, Counter::NumDeviceAlloc, Counter::NumDeviceFree];

/// A segment comes by one call and goes by another.
const CALLS: [(Counter, Column); 2] =
    [(Counter::NumDeviceAlloc, Column::Allocated), (Counter::NumDeviceFree, Column::Freed)];

/// Judges a step that resets nothing.
pub(super) fn judge(
    accounts: &Accounts,
    seen: &Seen<'_>,
    device: usize,
    before: &Stats,
    after: &Stats,
    found: &mut Vec<Violation>,
) {
    if !accounts.counters {
        return;
    }
    let moved = seen.moved.on(device);
    if moved.has_counters() {
        rising(seen, device, before, after, found);
    }
    // Without a move, something is amiss only where one was due.
    if moved.has_counters() || matches!(seen.effect, Effect::Refused { .. }) {
        ooms(accounts, seen, device, before, after, found);
    }
    if moved.has_counters() || moved.has(Family::Segment) || moved.has(Family::ReservedBytes) {
        calls(accounts, device, before, after, found);
    }
    if accounts.oversize {
        oversize(accounts, device, after, found);
    }
}

/// Counters that fell, or rose further than the step can have made them.
fn rising(seen: &Seen<'_>, device: usize, before: &Stats, after: &Stats, found: &mut Vec<Violation>) {
    for which in RISING {
        let (b, a) = (before.counter(which), after.counter(which));
        if a < b {
            let name = which.name();
            let message = say!(
                "{name} of device {device} fell from {b} to {a} without a reset",
                "设备 {device} 的 {name} 未经重置却从 {b} 降到 {a}"
            );
            let what = wording::change_of(&wording::statistic(Key::Counter(which), device));
            let expected = Text::new("at least 0", "至少 0");
            found.push(convict(STAT_07, message).figure(what, expected, (a - b).to_string()));
        } else if a - b > most(seen, which) {
            too_often(seen, device, which, a - b, found);
        }
    }
}

/// How far a counter may move in the step: a request is tried again once, and what asks for no memory tries nothing.
fn most(seen: &Seen<'_>, which: Counter) -> i64 {
    let asks = matches!(seen.asked(), Some(Op::Alloc { .. }));
    // The allocator is not called, or only told something.
    let is_idle = matches!(
        seen.asked(),
        Some(
            Op::RecordStream { .. }
                | Op::Use { .. }
                | Op::Occupy { .. }
                | Op::Finish { .. }
                | Op::WaitStream { .. }
                | Op::Neighbour { .. }
                | Op::Synchronize { .. }
                | Op::ResetPeak { .. }
                | Op::SetFraction { .. }
                | Op::SetSettings { .. }
                | Op::GetFraction { .. }
                | Op::Fill { .. }
                | Op::Verify { .. }
        )
    );
    match which {
        Counter::NumAllocRetries => i64::from(asks),
        Counter::NumSyncAllStreams | Counter::NumDeviceAlloc if is_idle => 0,
        _ => i64::MAX,
    }
}

#[cold]
fn too_often(seen: &Seen<'_>, device: usize, which: Counter, moved: i64, found: &mut Vec<Violation>) {
    let (asked, name, most) = (seen.op.map_or("nothing", Op::name), which.name(), most(seen, which));
    let message = say!(
        "{asked} moved {name} of device {device} by {moved}, where {most} is the most that it can count",
        "{asked} 使设备 {device} 的 {name} 变化 {moved}，而至多可计 {most}"
    );
    let what = wording::change_of(&wording::statistic(Key::Counter(which), device));
    let expected = say!("at most {most}", "至多 {most}");
    found.push(convict(STAT_07, message).figure(what, expected, moved.to_string()));
}

fn ooms(
    accounts: &Accounts,
    seen: &Seen<'_>,
    device: usize,
    before: &Stats,
    after: &Stats,
    found: &mut Vec<Violation>,
) {
    let (b, a) = (before.counter(Counter::NumOoms), after.counter(Counter::NumOoms));
    let (least, most) = ooms_due(accounts, seen, device);
    let moved = a - b;
    if moved < least || moved > most {
        let wanted =
            if least == most { Text::from(most.to_string()) } else { say!("{least} or {most}", "{least} 或 {most}") };
        let (line, en, zh) = (seen.reply.to_line(), &wanted.en, &wanted.zh);
        let message = say!(
            "num_ooms of device {device} moved by {moved} instead of {en}: the answer was `{line}`",
            "设备 {device} 的 num_ooms 变化 {moved}，而非 {zh}：应答为 `{line}`"
        );
        let what = wording::change_of(&wording::statistic(Key::Counter(Counter::NumOoms), device));
        let violation = convict(STAT_07, message).figure(what, wanted, moved.to_string());
        found.push(violation.with("num_ooms", "num_ooms", format_args!("{b} → {a}")));
    }
}

/// How far `num_ooms` of the device must move: least and most.
fn ooms_due(accounts: &Accounts, seen: &Seen<'_>, device: usize) -> (i64, i64) {
    if !accounts.oom_typed && seen.reply.refusal().is_some() {
        return (0, 1);
    }
    if seen.effect != (Effect::Refused { device }) {
        return (0, 0);
    }
    match seen.op {
        Some(Op::Alloc { via: Via::Tensor, bytes, .. }) if accounts.tensor_limit.is_some_and(|l| *bytes >= l) => (0, 0),
        // refused before rounding, or by the device: both are honest
        Some(Op::Alloc { bytes, .. }) if seen.model.is_unroundable(*bytes) => (0, 1),
        _ => (1, 1),
    }
}

/// Segments come and go by one call each; memory that is mapped piece by piece, by one call or more.
fn calls(accounts: &Accounts, device: usize, before: &Stats, after: &Stats, found: &mut Vec<Violation>) {
    let counts = accounts.segments && accounts.has[Family::Segment as usize];
    let family = if counts { Family::Segment } else { Family::ReservedBytes };
    if !accounts.has[family as usize] || !accounts.accumulated {
        return;
    }
    for (which, column) in CALLS {
        let key = Key::Family(family, Row::All, column);
        let made = after.counter(which) - before.counter(which);
        let came = after.value(key) - before.value(key);
        let agree = if counts { made == came } else { (made > 0) == (came > 0) && made <= came.max(0) };
        if made >= 0 && !agree {
            let (name, moved) = (which.name(), wording::amount(key, came));
            let message = say!(
                "{name} of device {device} moved by {made}, but {key} by {moved}",
                "设备 {device} 的 {name} 变化 {made}，而 {key} 变化 {moved}"
            );
            let what = wording::change_of(&wording::statistic(Key::Counter(which), device));
            let expected = if counts {
                Text::from(moved)
            } else if came > 0 {
                say!("above 0, as {key} moved by {moved}", "大于 0（{key} 变化 {moved}）")
            } else {
                say!("0, as {key} did not move", "0（{key} 未变化）")
            };
            found.push(convict(STAT_10, message).figure(what, expected, made.to_string()));
        }
    }
}

/// No more is oversize than there is memory for at the threshold's size, and nothing is where there is no threshold.
fn oversize(accounts: &Accounts, device: usize, stats: &Stats, found: &mut Vec<Violation>) {
    let threshold = stats.counter(Counter::MaxSplitSize);
    let none = |&which: &Oversize| *stats.oversize(which) == Stat::default();
    let held = [Family::AllocatedBytes, Family::ReservedBytes].map(|family| stats.all(family).current);
    if Oversize::ALL.iter().all(none) && held.iter().all(|&held| held >= 0) {
        return; // nearly always: nothing is no more than any bound
    }
    for (which, family) in
        [(Oversize::Allocations, Family::AllocatedBytes), (Oversize::Segments, Family::ReservedBytes)]
    {
        let held = stats.all(family).current;
        let most = match threshold {
            1.. if accounts.has[family as usize] => held / threshold,
            -1 => 0,
            _ => continue,
        };
        for &column in Column::ALL {
            let key = Key::Oversize(which, column);
            let is = stats.value(key);
            let bounded = column == Column::Current || threshold == -1;
            if bounded && is > most {
                let (limit, held) =
                    (wording::amount(Key::Counter(Counter::MaxSplitSize), threshold), wording::bytes(held));
                let message = say!(
                    "{key} of device {device} is {is}, but at a max_split_size of {limit} (-1: none) the {held} held can make {most} at most",
                    "设备 {device} 的 {key} 为 {is}，而在 max_split_size 为 {limit}（-1：无）时所持 {held} 至多构成 {most}"
                );
                let what = wording::statistic(key, device);
                let expected = say!("at most {most}", "至多 {most}");
                found.push(convict(STAT_11, message).figure(what, expected, is.to_string()));
                return;
            }
        }
    }
}

/// A setting is what it was, and the same on every device.
pub(super) fn setting(seen: &Seen<'_>, device: usize, before: &Stats, after: &Stats, found: &mut Vec<Violation>) {
    let key = Key::Counter(Counter::MaxSplitSize);
    let (was, is) = (before.value(key), after.value(key));
    if was != is {
        let message = say!(
            "max_split_size of device {device} went from {was} to {is}, though nobody set it",
            "设备 {device} 的 max_split_size 从 {was} 变为 {is}，而无人设置"
        );
        found.push(off(convict(STAT_11, message), device, key, was, is));
        return;
    }
    let first = seen.after.devices.first().map_or(is, |view| view.stats.value(key));
    if first != is {
        let message = say!(
            "max_split_size is {first} on device 0 and {is} on device {device}: one setting holds for all",
            "max_split_size 在设备 0 上为 {first}，在设备 {device} 上为 {is}：同一设置适用于所有设备"
        );
        found.push(off(convict(STAT_11, message), device, key, first, is));
    }
}

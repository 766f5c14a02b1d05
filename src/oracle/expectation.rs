//! Expectation: what the scenario's own `expect` says holds after the step.
//!
//! Cites no requirement: the scenario's own is meant. Does not cover: steps that were never asked because
//! what they needed was not there.

use super::cite::say;
use super::limit::within_a_byte;
use super::view::first_difference;
use super::{Oracle, Seen};
use crate::op::snapshot::{SegmentView, Snapshot};
use crate::op::stats::Key;
use crate::op::step::{AddressExpect, Amount, Figures};
use crate::op::{DeviceId, DeviceView, Expect, OracleName, Reply, Text};
use crate::verdict::Violation;

pub(super) struct Expectation;

impl Oracle for Expectation {
    fn name(&self) -> OracleName {
        OracleName::Expectation
    }

    fn judge(&mut self, seen: &Seen<'_>, convictions: &mut Vec<Violation>) {
        let Some(expect) = seen.expect.filter(|_| !seen.reply.is_dropped()) else { return };
        let mut messages = Vec::new();
        answer(seen, expect, &mut messages);
        state(seen, expect, &mut messages);
        texts(seen, expect, &mut messages);
        let asked = seen.op.map_or_else(|| "-".to_owned(), crate::op::Op::to_line);
        for message in messages {
            let violation = Violation::new(self.name(), None, message).with("step", "步骤", &asked);
            convictions.push(violation.with("answer", "应答", seen.reply.to_line()));
        }
    }
}

/// `refused`, `succeeds`, `address`.
fn answer(seen: &Seen<'_>, expect: &Expect, messages: &mut Vec<Text>) {
    let got = seen.reply.to_line();
    if let Some(class) = expect.refused
        && seen.reply.refusal().is_none_or(|r| r.class != class)
    {
        let wanted = class.name();
        messages.push(say!(
            "a refusal ({wanted}) was expected, but the answer was `{got}`",
            "应以 {wanted} 被拒绝，而应答为 `{got}`"
        ));
    }
    if expect.succeeds && seen.reply.refusal().is_some() {
        messages.push(say!("success was expected, but the answer was `{got}`", "应成功，而应答为 `{got}`"));
    }
    let Some(wanted) = expect.address else { return };
    let Reply::Allocated { address } = *seen.reply else {
        messages.push(say!("an address was expected, but the answer was `{got}`", "应得到地址，而应答为 `{got}`"));
        return;
    };
    let known = |block| seen.model.address_of(block);
    let place = |at: Option<u64>| at.map_or_else(|| "nowhere".to_owned(), |a| format!("{a:#x}"));
    match wanted {
        AddressExpect::Null if address != 0 => messages.push(say!(
            "the null address was expected, but {address:#x} was given",
            "应得到空地址，却得到 {address:#x}"
        )),
        AddressExpect::NotNull if address == 0 => messages
            .push(say!("an address other than null was expected, but null was given", "应得到非空地址，却得到空地址")),
        AddressExpect::SameAs(block) if known(block) != Some(address) => {
            let there = place(known(block));
            messages.push(say!(
                "the address of {block}, {there}, was expected, but {address:#x} was given",
                "应得到 {block} 的地址 {there}，却得到 {address:#x}"
            ));
        }
        AddressExpect::DifferentFrom(block) if known(block) == Some(address) => messages.push(say!(
            "an address other than that of {block} was expected, but {address:#x} was given",
            "应得到不同于 {block} 的地址，却得到 {address:#x}"
        )),
        _ => {}
    }
}

/// `unchanged`, `fraction`, `stats`, `change`.
fn state(seen: &Seen<'_>, expect: &Expect, messages: &mut Vec<Text>) {
    if expect.unchanged
        && let Some(moved) = first_difference(seen.before, seen.after)
    {
        let (device, what, before, after) = (moved.device, moved.what, moved.before, moved.after);
        messages.push(say!(
            "nothing was expected to change, but {what} of device {device} went from {before} to {after}",
            "任何状态都不应改变，但设备 {device} 的 {what} 从 {before} 变为 {after}"
        ));
    }
    for (&id, &wanted) in &expect.fraction {
        let Some((device, _, after)) = views(seen, id, messages) else { continue };
        let read = after.fraction;
        if !within_a_byte(wanted, read, after.total_bytes) {
            messages.push(say!(
                "a fraction of {wanted} was expected on device {device}, but it reads back as {read}",
                "设备 {device} 的比例应为 {wanted}，读回却为 {read}"
            ));
        }
    }
    for (&id, figures) in &expect.stats {
        let Some((device, _, after)) = views(seen, id, messages) else { continue };
        check(
            figures,
            |name| figure(after, name),
            messages,
            |name, wanted, zh, is| {
                say!(
                    "{name} of device {device} was expected to be {wanted}, but is {is}",
                    "设备 {device} 的 {name} 应{zh}，实为 {is}"
                )
            },
        );
    }
    for (&id, figures) in &expect.change {
        let Some((device, before, after)) = views(seen, id, messages) else { continue };
        let moved = |name: &str| Some(figure(after, name)? - figure(before, name)?);
        check(figures, moved, messages, |name, wanted, zh, is| {
            say!(
                "{name} of device {device} was expected to move by {wanted}, but moved by {is}",
                "设备 {device} 的 {name} 变化应{zh}，实为 {is}"
            )
        });
    }
}

fn check(
    figures: &Figures,
    value: impl Fn(&str) -> Option<i64>,
    messages: &mut Vec<Text>,
    say_so: impl Fn(&str, &str, &str, i64) -> Text,
) {
    for (name, amount) in figures {
        match value(name) {
            Some(is) if amount.holds(is) => {}
            Some(is) => messages.push(say_so(name, &amount.to_line(), &in_chinese(amount), is)),
            None => messages.push(say!("there is no figure named {name}", "不存在名为 {name} 的统计项")),
        }
    }
}

fn in_chinese(amount: &Amount) -> String {
    match *amount {
        Amount::Exactly(value) => format!("恰为 {value}"),
        Amount::Between { at_least: Some(low), at_most: Some(high) } => format!("在 {low} 与 {high} 之间"),
        Amount::Between { at_least: Some(low), at_most: None } => format!("不小于 {low}"),
        Amount::Between { at_least: None, at_most: Some(high) } => format!("不大于 {high}"),
        Amount::Between { at_least: None, at_most: None } => "为任意值".to_owned(),
    }
}

fn figure(view: &DeviceView, name: &str) -> Option<i64> {
    if name == "free_bytes" {
        return Some(view.free_bytes.cast_signed());
    }
    Key::parse(name).map(|key| view.stats.value(key))
}

/// The device before and after the step; a device that does not exist is a conviction of its own.
fn views<'a>(
    seen: &Seen<'a>,
    id: DeviceId,
    messages: &mut Vec<Text>,
) -> Option<(usize, &'a DeviceView, &'a DeviceView)> {
    let device = id.index(seen.after.devices.len());
    let found = device.and_then(|d| Some((d, seen.before.devices.get(d)?, seen.after.devices.get(d)?)));
    if found.is_none() {
        let id = id.0;
        messages.push(say!("there is no device {id} to look at", "没有可供查看的设备 {id}"));
    }
    found
}

/// `contains`, `lacks`, `keys`, `segments`, `private_bytes`, `lines`.
fn texts(seen: &Seen<'_>, expect: &Expect, messages: &mut Vec<Text>) {
    let got = seen.reply.to_line();
    let text = match seen.reply {
        Reply::Refused(refusal) => refusal.message.as_str(),
        Reply::Text(text) => text,
        _ => "",
    };
    for part in expect.contains.iter().filter(|part| !text.contains(part.as_str())) {
        messages.push(say!("`{part}` was expected in the answer `{got}`", "应答 `{got}` 中应含有 `{part}`"));
    }
    for part in expect.lacks.iter().filter(|part| text.contains(part.as_str())) {
        messages.push(say!("`{part}` was not expected in the answer `{got}`", "应答 `{got}` 中不应含有 `{part}`"));
    }
    if let Some(wanted) = expect.keys {
        let keys = if let Reply::Dictionary(entries) = seen.reply { entries.len() } else { 0 };
        if keys != wanted {
            messages.push(say!(
                "a dictionary of {wanted} keys was expected, but it has {keys}",
                "字典应有 {wanted} 个键，实有 {keys} 个"
            ));
        }
    }
    for (id, amount) in &expect.segments {
        let on = |s: &&crate::op::snapshot::SegmentView| i64::from(s.device) == i64::from(id.0);
        let count = if let Reply::Snapshot(s) = seen.reply { s.segments.iter().filter(on).count() } else { 0 };
        if !amount.holds(i64::try_from(count).unwrap_or(i64::MAX)) {
            let (id, wanted, zh) = (id.0, amount.to_line(), in_chinese(amount));
            messages.push(say!(
                "the snapshot was expected to show {wanted} segments on device {id}, but shows {count}",
                "快照中设备 {id} 的段数应{zh}，实为 {count}"
            ));
        }
    }
    for (id, amount) in &expect.private_bytes {
        let private = |s: &&SegmentView| i64::from(s.device) == i64::from(id.0) && s.segment_pool_id != (0, 0);
        let sum = |s: &Snapshot| s.segments.iter().filter(private).map(|s| s.total_size).fold(0, u64::wrapping_add);
        let bytes = if let Reply::Snapshot(s) = seen.reply { sum(s) } else { 0 };
        if !amount.holds(bytes.cast_signed()) {
            let (id, wanted, zh) = (id.0, amount.to_line(), in_chinese(amount));
            messages.push(say!(
                "the snapshot was expected to show {wanted} B in private pools of device {id}, but shows {bytes} B",
                "快照中设备 {id} 的私有池字节数应{zh}，实为 {bytes}"
            ));
        }
    }
    if let Some(amount) = expect.lines {
        let count = text.lines().count();
        if !amount.holds(i64::try_from(count).unwrap_or(i64::MAX)) {
            let (wanted, zh) = (amount.to_line(), in_chinese(&amount));
            messages.push(say!(
                "a text of {wanted} lines was expected, but it has {count}",
                "文本行数应{zh}，实为 {count}"
            ));
        }
    }
}

#[cfg(test)]
#[path = "expectation_test.rs"]
mod tests;

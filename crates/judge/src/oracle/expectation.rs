//! Expectation: what the scenario's own `expect` says holds after the step.
//!
//! Cites no requirement: the scenario's own is meant. Does not cover: steps that were never asked because
//! what they needed was not there.

use super::cite::say;
use super::limit::within_a_byte;
use super::view::{self, answered, first_difference};
use super::{Oracle, Seen};
use crate::op::snapshot::{SegmentView, Snapshot};
use crate::op::stats::Key;
use crate::op::step::{AddressExpect, Amount, Figures};
use crate::op::{DeviceId, DeviceView, Expect, Family, OracleName, Reply, TargetInfo, Text, wording};
use crate::verdict::Violation;

/// Judges what scenarios expect.
pub(super) struct Expectation {
    /// Which block serves a request is PyTorch's choice: `same_as` means the address, and not only cached memory.
    exact: bool,
}

impl Expectation {
    pub(super) fn new(info: &TargetInfo) -> Self {
        Expectation { exact: info.policies().next().is_some() }
    }
}

impl Oracle for Expectation {
    fn name(&self) -> OracleName {
        OracleName::Expectation
    }

    fn judge(&mut self, seen: &Seen<'_>, convictions: &mut Vec<Violation>) {
        let Some(expect) = seen.expect.filter(|_| !seen.reply.is_dropped()) else { return };
        let mut found = Vec::new();
        answer(seen, expect, &mut found);
        if let Some(wanted) = expect.address {
            self.address(seen, wanted, &mut found);
        }
        state(seen, expect, &mut found);
        texts(seen, expect, &mut found);
        snapshot(seen, expect, &mut found);
        let asked = seen.op.map_or_else(|| "-".to_owned(), crate::op::Op::to_line);
        for violation in found {
            let violation = violation.with("step", "步骤", &asked);
            convictions.push(violation.with("answer", "应答", seen.reply.to_line()));
        }
    }
}

impl Expectation {
    /// `address`. Which cached block serves a request is the allocator's choice unless it claims PyTorch's: `same_as` then
    /// means that the request took nothing from the device. `different_from` is owed as long as that memory is
    /// withheld: not once it may have gone back to the device, nor once the work that withheld it is over.
    fn address(&self, seen: &Seen<'_>, wanted: AddressExpect, found: &mut Vec<Violation>) {
        let Reply::Allocated { address } = *seen.reply else {
            let got = seen.reply.to_line();
            let message = say!("the answer was `{got}` instead of an address", "应答为 `{got}`，而非地址");
            let what = Text::new("answer", "应答");
            found.push(convict(message).figure(what, Text::new("an address", "地址"), answered(seen.reply)));
            return;
        };
        let known = |block| seen.model.address_of(block);
        let (message, expected) = match wanted {
            AddressExpect::Null if address != 0 => (
                say!("{address:#x} was given instead of the null address", "得到 {address:#x}，而非空地址"),
                Text::new("null", "空地址"),
            ),
            AddressExpect::NotNull if address == 0 => (
                say!("the null address was given instead of a real one", "得到空地址，而非真实地址"),
                Text::new("any but null", "非空地址"),
            ),
            AddressExpect::SameAs(block) if known(block) != Some(address) => {
                if !self.exact && !took_memory(seen) {
                    return;
                }
                let there = known(block).map_or_else(|| "-".to_owned(), |a| format!("{a:#x}"));
                (
                    say!(
                        "{address:#x} was given instead of {there}, the address of {block}",
                        "得到 {address:#x}，而非 {block} 的地址 {there}"
                    ),
                    say!("{there}, that of {block}", "{there}（{block} 的地址）"),
                )
            }
            AddressExpect::DifferentFrom(block)
                if known(block) == Some(address) && !seen.model.may_lie_there(block) =>
            {
                (
                    say!(
                        "{address:#x} was given, which is the address of {block}",
                        "得到 {address:#x}，正是 {block} 的地址"
                    ),
                    say!("any but that of {block}", "{block} 之外的地址"),
                )
            }
            _ => return,
        };
        found.push(convict(message).figure(Text::new("address", "地址"), expected, format!("{address:#x}")));
    }
}

/// Whether a device has more reserved than before the step.
fn took_memory(seen: &Seen<'_>) -> bool {
    let reserved = |view: &DeviceView| view.stats.all(Family::ReservedBytes).current;
    seen.before.devices.iter().zip(&seen.after.devices).any(|(before, after)| reserved(after) > reserved(before))
}

fn convict(message: Text) -> Violation {
    Violation::new(OracleName::Expectation, None, message)
}

/// `refused`, `succeeds`.
fn answer(seen: &Seen<'_>, expect: &Expect, found: &mut Vec<Violation>) {
    let got = seen.reply.to_line();
    let what = || Text::new("answer", "应答");
    if let Some(class) = expect.refused
        && seen.reply.refusal().is_none_or(|r| r.class != class)
    {
        let wanted = class.name();
        let message =
            say!("the answer was `{got}` instead of a refusal as {wanted}", "应答为 `{got}`，而非以 {wanted} 拒绝");
        found.push(convict(message).figure(what(), view::refusal(wanted), answered(seen.reply)));
    }
    if expect.succeeds && seen.reply.refusal().is_some() {
        let message = say!("the call did not succeed: the answer was `{got}`", "调用未成功：应答为 `{got}`");
        found.push(convict(message).figure(what(), Text::new("success", "成功"), answered(seen.reply)));
    }
}

/// `unchanged`, `fraction`, `stats`, `change`.
fn state(seen: &Seen<'_>, expect: &Expect, found: &mut Vec<Violation>) {
    if expect.unchanged
        && let Some(moved) = first_difference(seen.before, seen.after)
    {
        let (device, what, before, after) = (moved.device, moved.what, moved.before, moved.after);
        let message = say!(
            "{what} of device {device} went from {before} to {after} in a step that must change nothing",
            "在不得改变任何状态的步骤中，设备 {device} 的 {what} 从 {before} 变为 {after}"
        );
        found.push(convict(message).figure(moved.name, before, after));
    }
    for (&id, &wanted) in &expect.fraction {
        let Some((device, _, after)) = views(seen, id, found) else { continue };
        let read = after.fraction;
        if !within_a_byte(wanted, read, after.total_bytes) {
            let message = say!(
                "the fraction of device {device} reads back as {read} instead of {wanted}",
                "设备 {device} 的比例读回为 {read}，而非 {wanted}"
            );
            found.push(convict(message).figure(view::fraction(device), wanted.to_string(), read.to_string()));
        }
    }
    for (&id, figures) in &expect.stats {
        let Some((device, _, after)) = views(seen, id, found) else { continue };
        check(device, figures, |name| figure(after, name), found, Sort::Value);
    }
    for (&id, figures) in &expect.change {
        let Some((device, before, after)) = views(seen, id, found) else { continue };
        let moved = |name: &str| Some(figure(after, name)? - figure(before, name)?);
        check(device, figures, moved, found, Sort::Change);
    }
}

/// Whether a figure itself is judged, or how far the step moved it.
#[derive(Clone, Copy, PartialEq)]
enum Sort {
    Value,
    Change,
}

fn check(
    device: usize,
    figures: &Figures,
    value: impl Fn(&str) -> Option<i64>,
    found: &mut Vec<Violation>,
    sort: Sort,
) {
    for (name, amount) in figures {
        let Some(is) = value(name) else {
            found.push(convict(say!("there is no figure named {name}", "不存在名为 {name} 的统计项")));
            continue;
        };
        if amount.holds(is) {
            continue;
        }
        let key = Key::parse(name);
        // without a key it is `free_bytes`
        let read = |value: i64| key.map_or_else(|| wording::bytes(value), |key| wording::amount(key, value));
        let (wanted, is) = (in_words(amount, read), read(is));
        let (en, not) = (&wanted.en, instead_of(&wanted.zh));
        let what = key.map_or_else(|| view::free(device), |key| wording::statistic(key, device));
        found.push(match sort {
            Sort::Value => {
                let text = (
                    format!("{name} of device {device} is {is} instead of {en}"),
                    format!("设备 {device} 的 {name} 为 {is}，{not}"),
                );
                convict(Text::new(text.0, text.1)).figure(what, wanted, is)
            }
            Sort::Change => {
                let text = (
                    format!("{name} of device {device} moved by {is} instead of {en}"),
                    format!("设备 {device} 的 {name} 变化 {is}，{not}"),
                );
                convict(Text::new(text.0, text.1)).figure(wording::change_of(&what), wanted, is)
            }
        });
    }
}

/// "Instead of" in Chinese, set off from a figure by a space.
fn instead_of(zh: &str) -> String {
    let space = if zh.starts_with(|c: char| c.is_ascii()) { " " } else { "" };
    format!("而非{space}{zh}")
}

/// An amount as a sentence takes it.
fn in_words(amount: &Amount, read: impl Fn(i64) -> String) -> Text {
    match *amount {
        Amount::Exactly(value) => read(value).into(),
        Amount::Between { at_least: Some(low), at_most: Some(high) } => Text::new(
            format!("between {} and {}", read(low), read(high)),
            format!("在 {} 与 {} 之间", read(low), read(high)),
        ),
        Amount::Between { at_least: Some(low), at_most: None } => {
            Text::new(format!("at least {}", read(low)), format!("至少 {}", read(low)))
        }
        Amount::Between { at_least: None, at_most: Some(high) } => {
            Text::new(format!("at most {}", read(high)), format!("至多 {}", read(high)))
        }
        Amount::Between { at_least: None, at_most: None } => Text::new("anything", "任意值"),
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
    found: &mut Vec<Violation>,
) -> Option<(usize, &'a DeviceView, &'a DeviceView)> {
    let device = id.index(seen.after.devices.len());
    let both = device.and_then(|d| Some((d, seen.before.devices.get(d)?, seen.after.devices.get(d)?)));
    if both.is_none() {
        let (id, count) = (id.0, seen.after.devices.len());
        let message = say!("there is no device {id} to look at", "没有可供查看的设备 {id}");
        let what = Text::new("number of devices", "设备数");
        found.push(convict(message).figure(what, say!("device {id} among them", "其中有设备 {id}"), count.to_string()));
    }
    both
}

/// `contains`, `lacks`, `keys`, `lines`.
fn texts(seen: &Seen<'_>, expect: &Expect, found: &mut Vec<Violation>) {
    let got = seen.reply.to_line();
    let text = match seen.reply {
        Reply::Refused(refusal) => refusal.message.as_str(),
        Reply::Text(text) => text,
        _ => "",
    };
    let what = || Text::new("text of the answer", "应答文本");
    for part in expect.contains.iter().filter(|part| !text.contains(part.as_str())) {
        let message = say!("the answer `{got}` lacks `{part}`", "应答 `{got}` 中没有 `{part}`");
        found.push(convict(message).figure(
            what(),
            say!("with `{part}`", "含有 `{part}`"),
            Text::new("without it", "没有"),
        ));
    }
    for part in expect.lacks.iter().filter(|part| text.contains(part.as_str())) {
        let message = say!("the answer `{got}` has `{part}`", "应答 `{got}` 中含有 `{part}`");
        found.push(convict(message).figure(
            what(),
            say!("without `{part}`", "不含 `{part}`"),
            Text::new("with it", "含有"),
        ));
    }
    if let Some(wanted) = expect.keys {
        let keys = if let Reply::Dictionary(entries) = seen.reply { entries.len() } else { 0 };
        if keys != wanted {
            let message =
                say!("the dictionary has {keys} keys instead of {wanted}", "字典有 {keys} 个键，而非 {wanted} 个");
            let what = Text::new("keys of the dictionary", "字典的键数");
            found.push(convict(message).figure(what, wanted.to_string(), keys.to_string()));
        }
    }
    if let Some(amount) = expect.lines {
        let count = text.lines().count();
        if !amount.holds(i64::try_from(count).unwrap_or(i64::MAX)) {
            let wanted = in_words(&amount, |n| n.to_string());
            let (en, not) = (&wanted.en, instead_of(&wanted.zh));
            let message = say!("the text has {count} lines instead of {en}", "文本有 {count} 行，{not}");
            found.push(convict(message).figure(Text::new("lines of the text", "文本行数"), wanted, count.to_string()));
        }
    }
}

/// `segments`, `private_bytes`.
fn snapshot(seen: &Seen<'_>, expect: &Expect, found: &mut Vec<Violation>) {
    for (id, amount) in &expect.segments {
        let on = |s: &&SegmentView| i64::from(s.device) == i64::from(id.0);
        let count = if let Reply::Snapshot(s) = seen.reply { s.segments.iter().filter(on).count() } else { 0 };
        if !amount.holds(i64::try_from(count).unwrap_or(i64::MAX)) {
            let wanted = in_words(amount, |n| n.to_string());
            let (id, en, not) = (id.0, &wanted.en, instead_of(&wanted.zh));
            let message = say!(
                "the snapshot shows {count} segments on device {id} instead of {en}",
                "快照中设备 {id} 有 {count} 个段，{not}"
            );
            let what = say!("segments of device {id} in the snapshot", "快照中设备 {id} 的段数");
            found.push(convict(message).figure(what, wanted, count.to_string()));
        }
    }
    for (id, amount) in &expect.private_bytes {
        let private = |s: &&SegmentView| i64::from(s.device) == i64::from(id.0) && s.segment_pool_id != (0, 0);
        let sum = |s: &Snapshot| s.segments.iter().filter(private).map(|s| s.total_size).fold(0, u64::wrapping_add);
        let bytes = if let Reply::Snapshot(s) = seen.reply { sum(s) } else { 0 };
        if !amount.holds(bytes.cast_signed()) {
            let (wanted, is) = (in_words(amount, wording::bytes), wording::bytes(bytes));
            let (id, en, not) = (id.0, &wanted.en, instead_of(&wanted.zh));
            let message = say!(
                "the snapshot shows {is} in private pools of device {id} instead of {en}",
                "快照中设备 {id} 的私有池有 {is}，{not}"
            );
            let what = say!("memory in private pools of device {id}", "设备 {id} 私有池中的内存");
            found.push(convict(message).figure(what, wanted, is));
        }
    }
}

#[cfg(test)]
#[path = "expectation_test.rs"]
mod tests;

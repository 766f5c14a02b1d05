//! The numbers in the text of a refusal: each is what it says it is at that moment, to the places that it shows.
//!
//! Decides which words claim which figure; they are PyTorch's. A text without them claims nothing and is not judged, nor
//! is a number in a unit that is not 1024 of the one before. Does not cover: the rest of the wording.

use super::Seen;
use super::cite::{ARG_01, ARG_02, ARG_03, FRAC_02, OOM_05, say};
use super::limit::limit_of;
use crate::op::{Capability, Company, DeviceView, Family, Op, OracleName, Pointer, TargetInfo, Text, wording};
use crate::requirement::RequirementId;
use crate::verdict::Violation;

/// Which figures a target shows, so that what its texts say of them can be held against something.
#[derive(Debug, Clone, Copy)]
pub(super) struct Figures {
    allocated: bool,
    reserved: bool,
    memory_info: bool,
}

impl Figures {
    pub(super) fn new(info: &TargetInfo) -> Self {
        Figures {
            allocated: info.shows(Family::AllocatedBytes),
            reserved: info.shows(Family::ReservedBytes),
            memory_info: info.can(Capability::MemoryInfo),
        }
    }
}

/// An amount as a text shows it, and the bytes that it may stand for.
#[derive(Debug, Clone, PartialEq)]
struct Shown {
    text: String,
    least: f64,
    most: f64,
}

impl Shown {
    /// Reads a number and its unit. Digits after the point may be rounded or cut off.
    fn read(number: &str, unit: &str) -> Option<Shown> {
        let bytes: f64 = match unit {
            "bytes" | "byte" | "B" => 1.0,
            "KiB" => 1024.0,
            "MiB" => 1_048_576.0,
            "GiB" => 1_073_741_824.0,
            "TiB" => 1_099_511_627_776.0,
            _ => return None,
        };
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let (whole, places) = number.split_once('.').map_or((number, 0), |(whole, part)| (whole, part.len()));
        if !digits(whole) || number.contains('.') && !digits(&number[whole.len() + 1..]) || places > 9 {
            return None;
        }
        let value: f64 = number.parse().ok()?;
        let last = bytes / 10_f64.powi(i32::try_from(places).ok()?);
        // A number of bytes is exact; of anything larger the last place is rounded.
        let slack = if bytes > 1.0 { last } else { 0.0 };
        let text = format!("{number} {unit}");
        Some(Shown { text, least: value * bytes - slack, most: value * bytes + slack })
    }

    /// The first amount right after these words.
    fn after(text: &str, words: &str) -> Option<Shown> {
        let mut rest = text.split_once(words)?.1.split_whitespace();
        let number = rest.next()?;
        let unit = rest.next()?.trim_end_matches([',', '.', ';']);
        Shown::read(number, unit)
    }

    /// The amount right before these words.
    fn before(text: &str, words: &str) -> Option<Shown> {
        let mut rest = text.split_once(words)?.0.split_whitespace().rev();
        let unit = rest.next()?;
        Shown::read(rest.next()?, unit)
    }

    /// Whether it may stand for an amount within these bounds. A byte more or less is no matter: a limit may have been
    /// worked out from a fraction.
    fn is_within(&self, least: u64, most: u64) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "texts show a few digits")]
        let (least, most) = (least as f64, most as f64);
        self.most + 1.0 >= least && self.least - 1.0 <= most
    }
}

/// A claim that does not hold.
fn off(requirement: RequirementId, name: Text, due: Text, shown: &str) -> Violation {
    let (due_en, due_zh) = (&due.en, &due.zh);
    let Text { en, zh } = &name;
    let message = Text::new(
        format!("the text of the refusal says of {en} {shown}, but it was {due_en}"),
        format!("拒绝信息称{zh}为 {shown}，实为 {due_zh}"),
    );
    Violation::new(OracleName::Refusal, Some(requirement), message).figure(name, due, shown)
}

/// What the numbers in the text of a refusal get wrong, up to the first.
pub(super) fn judge(seen: &Seen<'_>, op: &Op, text: &str, figures: Figures) -> Option<Violation> {
    let violation = match op {
        Op::Alloc { bytes, .. } if seen.reply.is_out_of_memory() => lacking(seen, op, *bytes, text, figures),
        Op::SetFraction { fraction, .. } => fraction_named(*fraction, text),
        Op::FreePointer { pointer } => pointer_named(seen, *pointer, text),
        _ => None,
    };
    violation.or_else(|| device_named(seen, op, text)).map(|v| v.with("message", "信息", text))
}

/// What the refusal of a request for memory says of the device.
fn lacking(seen: &Seen<'_>, op: &Op, bytes: u64, text: &str, figures: Figures) -> Option<Violation> {
    let device = seen.model.device_of(op)?;
    let view = seen.after.devices.get(device)?;
    let most = seen.model.at_most(bytes);
    if let Some(shown) = Shown::after(text, "Tried to allocate ")
        && !shown.is_within(bytes, most)
    {
        let (least, most) = (wording::bytes(bytes), wording::bytes(most));
        let due = say!("{least} or what that may be rounded to, at most {most}", "{least} 或其取整，至多 {most}");
        return Some(off(OOM_05, Text::new("what was tried to be had", "试图获得的内存"), due, &shown.text));
    }
    if let Some(named) = number_after(text, "GPU ").filter(|&n| usize::try_from(n) != Ok(device)) {
        let what = Text::new("the device of the request", "请求所在的设备");
        return Some(off(OOM_05, what, device.to_string().into(), &named.to_string()));
    }
    let exact = |name: Text, shown: Option<Shown>, due: u64| {
        let shown = shown.filter(|s| !s.is_within(due, due))?;
        Some(off(OOM_05, name, wording::bytes(due).into(), &shown.text))
    };
    let total = say!("the total memory of device {device}", "设备 {device} 的总内存");
    let free = say!("the free memory of device {device}", "设备 {device} 的空闲内存");
    let is_still = !seen.fired_on(device) && !view.crowded && view.nvml.is_none_or(|n| n.company == Company::Alone);
    let free_shown = Shown::before(text, " is free").filter(|_| figures.memory_info && is_still);
    exact(total, Shown::after(text, "total capacity of ").filter(|_| figures.memory_info), view.total_bytes)
        .or_else(|| exact(free, free_shown, view.free_bytes))
        .or_else(|| neighbours(seen, device, view, text).filter(|_| figures.memory_info && is_still))
        .or_else(|| allowed(seen, device, text))
        .or_else(|| whereabouts(seen, device, view, text, figures))
}

/// What the text says that processes hold, once it is known what another one does: that, and the rest of what is not free.
fn neighbours(seen: &Seen<'_>, device: usize, view: &DeviceView, text: &str) -> Option<Violation> {
    let others = seen.model.held_by_others(device);
    let own = view.total_bytes.saturating_sub(view.free_bytes).saturating_sub(others);
    let of_another = text.split_once("Process ").and_then(|(_, rest)| Shown::after(rest, " has "));
    let wrong = |name: Text, shown: Option<Shown>, due: u64| {
        let shown = shown.filter(|s| others > 0 && !s.is_within(due, due))?;
        Some(off(OOM_05, name, wording::bytes(due).into(), &shown.text))
    };
    let what = say!("what another process holds of device {device}", "另一进程占用设备 {device} 的内存");
    let mine = say!("what this process holds of device {device}", "本进程占用设备 {device} 的内存");
    wrong(what, of_another, others).or_else(|| wrong(mine, Shown::after(text, "this process has "), own))
}

/// What the text says may be reserved.
fn allowed(seen: &Seen<'_>, device: usize, text: &str) -> Option<Violation> {
    let shown = Shown::before(text, " allowed")?;
    let limit = limit_of(seen, device);
    if limit.is_some_and(|limit| shown.is_within(limit, limit)) {
        return None;
    }
    let what = say!("what may be reserved on device {device}", "设备 {device} 允许保留的内存");
    let due = limit.map_or_else(|| Text::new("without a limit", "没有上限"), |limit| wording::bytes(limit).into());
    Some(off(OOM_05, what, due, &shown.text))
}

/// What the text says of where the memory is: allocated, cached in private pools, otherwise cached. Together they are what
/// is reserved, and without what is cached in private pools the first is what callers hold.
fn whereabouts(seen: &Seen<'_>, device: usize, view: &DeviceView, text: &str, figures: Figures) -> Option<Violation> {
    let current = |family| u64::try_from(view.stats.all(family).current).unwrap_or(0);
    let (allocated, reserved) = (current(Family::AllocatedBytes), current(Family::ReservedBytes));
    let by_pytorch = Shown::before(text, " is allocated by PyTorch");
    let private = Shown::before(text, " allocated in private pools");
    let idle = Shown::before(text, " is reserved by PyTorch but unallocated");
    if let Some(shown) = &private
        && figures.allocated
        && figures.reserved
    {
        let cached = reserved.saturating_sub(allocated);
        let most = if seen.model.pools().is_empty() { 0 } else { cached };
        if !shown.is_within(0, most) {
            let what = say!("what private pools have cached on device {device}", "设备 {device} 上私有池的缓存");
            let most = wording::bytes(most);
            return Some(off(OOM_05, what, say!("at most {most}", "至多 {most}"), &shown.text));
        }
    }
    if let Some(shown) = &by_pytorch
        && figures.allocated
    {
        let apart = private.as_ref().map_or((0.0, 0.0), |p| (p.least, p.most));
        let held = Shown { text: String::new(), least: shown.least - apart.1, most: shown.most - apart.0 };
        if !held.is_within(allocated, allocated) {
            let what = say!("the allocated memory of device {device}", "设备 {device} 的已分配内存");
            let due = wording::bytes(allocated);
            let due = private.as_ref().map_or_else(
                || due.clone().into(),
                |p| Text::new(format!("{due} and {}", p.text), format!("{due} 加 {}", p.text)),
            );
            return Some(off(OOM_05, what, due, &shown.text));
        }
    }
    let (Some(one), Some(other)) = (&by_pytorch, &idle) else { return None };
    let sum = Shown { text: String::new(), least: one.least + other.least, most: one.most + other.most };
    if !figures.reserved || sum.is_within(reserved, reserved) {
        return None;
    }
    let what = say!("the reserved but unallocated memory of device {device}", "设备 {device} 已保留而未分配的内存");
    let (reserved, rest) = (wording::bytes(reserved), &one.text);
    let due = say!("the rest of {reserved} beside {rest}", "{reserved} 中除 {rest} 外的部分");
    Some(off(OOM_05, what, due, &other.text))
}

/// A whole number right after these words.
fn number_after(text: &str, words: &str) -> Option<i64> {
    let rest = text.split_once(words)?.1;
    let end =
        rest.char_indices().find(|&(i, c)| !(c.is_ascii_digit() || i == 0 && c == '-')).map_or(rest.len(), |p| p.0);
    rest[..end].parse().ok()
}

/// A device that does not exist is named as it was given, and the number of those that do is right.
fn device_named(seen: &Seen<'_>, op: &Op, text: &str) -> Option<Violation> {
    let count = seen.after.devices.len();
    let given = op.device().filter(|d| d.index(count).is_none())?;
    if let Some(named) = number_after(text, "device argument ").filter(|&n| n != i64::from(given.0)) {
        let what = Text::new("the device that was named", "所指定的设备");
        return Some(off(ARG_01, what, given.0.to_string().into(), &named.to_string()));
    }
    let counted = number_after(text, "There are ").filter(|&n| usize::try_from(n) != Ok(count))?;
    let what = Text::new("the number of devices", "设备数");
    Some(off(ARG_01, what, count.to_string().into(), &counted.to_string()))
}

/// A fraction that is refused is named as it was given.
fn fraction_named(given: f64, text: &str) -> Option<Violation> {
    let word = text.split_once("fraction value: ")?.1.split_whitespace().next()?.trim_end_matches(['.', ',', ';']);
    let named: f64 = word.parse().ok()?;
    let places = word.split_once('.').map_or(0, |(_, part)| part.len());
    let slack = if word.contains('.') { 10_f64.powi(-i32::try_from(places).ok()?) } else { 0.0 };
    let is_same =
        named.to_bits() == given.to_bits() || named.is_nan() && given.is_nan() || (named - given).abs() <= slack;
    let what = Text::new("the fraction that was given", "所给的比例");
    (!is_same).then(|| off(FRAC_02, what, given.to_string().into(), word))
}

/// A pointer that is refused is named as it was given.
fn pointer_named(seen: &Seen<'_>, pointer: Pointer, text: &str) -> Option<Violation> {
    let given = match pointer {
        Pointer::Null => 0,
        Pointer::Wild { address } => address,
        Pointer::Interior { block, offset } => seen.model.block(block)?.address.checked_add(offset)?,
        Pointer::Freed { block } => seen.model.address_of(block)?,
    };
    let word = text.split_once("pointer: 0x")?.1;
    let end = word.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(word.len());
    let named = u64::from_str_radix(&word[..end], 16).ok()?;
    let requirement = if matches!(pointer, Pointer::Freed { .. }) { ARG_02 } else { ARG_03 };
    let what = Text::new("the pointer that was given", "所给的指针");
    (named != given).then(|| off(requirement, what, format!("{given:#x}").into(), &format!("{named:#x}")))
}

#[cfg(test)]
#[path = "message_test.rs"]
mod tests;

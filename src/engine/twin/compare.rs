//! Where two answers, two looks at the devices or two courses of device calls part first.
//!
//! Decides the order in which figures are compared, and what of a snapshot means nothing: what an inactive block was
//! asked for last.

use crate::op::snapshot::{BlockState, BlockView, SegmentView, Snapshot};
use crate::op::trace::TraceEvent;
use crate::op::{DeviceCall, DeviceView, Observation, Refusal, RefusalClass, Reply, Text, wording};

/// The first thing that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Difference {
    /// What it is, in words.
    pub(super) what: Text,
    /// As the policy has it.
    pub(super) expected: String,
    /// As the target has it.
    pub(super) actual: String,
    /// It stands in a text, which is worth showing whole.
    pub(super) is_of_text: bool,
}

fn differs(what: Text, expected: impl ToString, actual: impl ToString) -> Option<Difference> {
    Some(Difference { what, expected: expected.to_string(), actual: actual.to_string(), is_of_text: false })
}

/// What an answer says to people.
pub(super) fn text(reply: &Reply) -> Option<&str> {
    match reply {
        Reply::Refused(refusal) => Some(&refusal.message),
        Reply::Text(text) => Some(text),
        _ => None,
    }
}

/// A call of a device that only one of the two made.
pub(super) fn call(device: usize, call: DeviceCall) -> Difference {
    let name = serde_json::to_value(call).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default();
    Difference {
        what: Text::new(format!("calls {name} of device {device}"), format!("设备 {device} 的 {name} 调用")),
        expected: "as many of them".to_owned(),
        actual: "more of them or fewer".to_owned(),
        is_of_text: false,
    }
}

/// What was done to the devices, device by device.
pub(super) fn events(own: &[Vec<TraceEvent>], theirs: &[Vec<TraceEvent>]) -> Option<Difference> {
    if own == theirs {
        return None;
    }
    let none = Vec::new();
    for device in 0..own.len().max(theirs.len()) {
        let of = |all: &'_ [Vec<TraceEvent>]| all.get(device).unwrap_or(&none).clone();
        let (own, theirs) = (of(own), of(theirs));
        if let Some(at) = (0..own.len().max(theirs.len())).find(|&i| own.get(i) != theirs.get(i)) {
            let line =
                |event: Option<&TraceEvent>| event.map_or_else(|| "nothing more".to_owned(), TraceEvent::to_line);
            let number = at + 1;
            let what = Text::new(
                format!("event {number} of the call on device {device}"),
                format!("该调用在设备 {device} 上的第 {number} 个事件"),
            );
            return differs(what, line(own.get(at)), line(theirs.get(at)));
        }
    }
    None
}

/// A refusal without what NVML says of each process, which only the process that asked was told.
fn without_processes(text: &str) -> String {
    const FREE: &str = " is free. ";
    const IN_USE: &str = " memory in use. ";
    let Some((before, mut after)) = text.split_once(FREE) else { return text.to_owned() };
    while after.starts_with("Process ") || after.starts_with("Including non-PyTorch memory") {
        let Some((_, rest)) = after.split_once(IN_USE) else { break };
        after = rest;
    }
    format!("{before}{FREE}{after}")
}

/// The answers of the two where the target's devices are only told of: nobody tells what each process holds.
pub(super) fn followed_replies(due: &Reply, given: &Reply) -> Option<Difference> {
    match (due, given) {
        (Reply::Refused(due), Reply::Refused(given)) => {
            let alone = |refusal: &Refusal| Reply::refused(refusal.class, without_processes(&refusal.message));
            foreign_replies(&alone(due), &alone(given))
        }
        _ => foreign_replies(due, given),
    }
}

/// The answers of the two where the target is no reference: what a device's error is called is the device's to say, and what is
/// wrong with an argument the layer's that looks at it first.
pub(super) fn foreign_replies(due: &Reply, given: &Reply) -> Option<Difference> {
    let by_others = |class| matches!(class, RefusalClass::DeviceError | RefusalClass::InvalidArgument);
    let is_of_device = |text: &str| text.starts_with("CUDA error: ");
    match (due, given) {
        (Reply::Refused(due), Reply::Refused(given)) if due.class == given.class && by_others(due.class) => None,
        (Reply::Refused(due), Reply::Refused(given))
            if due.class == given.class && is_of_device(&due.message) && is_of_device(&given.message) =>
        {
            None
        }
        _ => replies(due, given),
    }
}

/// The answers of the two.
pub(super) fn replies(due: &Reply, given: &Reply) -> Option<Difference> {
    if due == given {
        return None;
    }
    match (due, given) {
        (Reply::Refused(due), Reply::Refused(given)) if due.class == given.class => {
            let what = Text::new("the message of the refusal", "拒绝信息");
            in_text(what, &due.message, &given.message)
        }
        (Reply::Text(due), Reply::Text(given)) => in_text(Text::new("the text", "文本"), due, given),
        (Reply::Fraction(due), Reply::Fraction(given)) if due.to_bits() == given.to_bits() => None,
        (Reply::Dictionary(due), Reply::Dictionary(given)) => in_dictionary(due, given),
        (Reply::Snapshot(due), Reply::Snapshot(given)) => in_snapshot(due, given),
        _ => differs(Text::new("the answer", "应答"), due.to_line(), given.to_line()),
    }
}

/// The first words that differ, with their neighbours.
fn in_text(mut what: Text, due: &str, given: &str) -> Option<Difference> {
    const AROUND: usize = 2;
    if due == given {
        return None;
    }
    let (own, theirs): (Vec<&str>, Vec<&str>) = (due.split(' ').collect(), given.split(' ').collect());
    let at = (0..own.len().max(theirs.len())).find(|&i| own.get(i) != theirs.get(i)).unwrap_or(0);
    let excerpt = |words: &[&str]| {
        let from = at.saturating_sub(AROUND).min(words.len());
        let text = words[from..words.len().min(at + AROUND + 1)].join(" ");
        format!("\"{}\"", text.replace('\n', " "))
    };
    what.en.push_str(&format!(" at word {}", at + 1));
    what.zh.push_str(&format!("第 {} 个词处", at + 1));
    let found = differs(what, excerpt(&own), excerpt(&theirs))?;
    Some(Difference { is_of_text: true, ..found })
}

fn in_dictionary(due: &[(String, i64)], given: &[(String, i64)]) -> Option<Difference> {
    let at = (0..due.len().max(given.len())).find(|&i| due.get(i) != given.get(i))?;
    let entry = |entry: Option<&(String, i64)>| {
        entry.map_or_else(|| "no more entries".to_owned(), |(key, value)| format!("{key} = {value}"))
    };
    let number = at + 1;
    let what = Text::new(format!("entry {number} of the dictionary"), format!("字典的第 {number} 项"));
    differs(what, entry(due.get(at)), entry(given.get(at)))
}

fn in_snapshot(due: &Snapshot, given: &Snapshot) -> Option<Difference> {
    let none = Text::new("the number of segments in the snapshot", "快照中的段数");
    for (number, (due, given)) in (1..).zip(due.segments.iter().zip(&given.segments)) {
        if let Some(found) = in_segment(number, due, given) {
            return Some(found);
        }
    }
    let (due, given) = (due.segments.len(), given.segments.len());
    if due == given { None } else { differs(none, due, given) }
}

fn in_segment(number: usize, due: &SegmentView, given: &SegmentView) -> Option<Difference> {
    type Field = (&'static str, fn(&SegmentView) -> String);
    const FIELDS: [Field; 10] = [
        ("device", |s| s.device.to_string()),
        ("address", |s| format!("{:#x}", s.address)),
        ("total_size", |s| wording::bytes(s.total_size)),
        ("allocated_size", |s| wording::bytes(s.allocated_size)),
        ("active_size", |s| wording::bytes(s.active_size)),
        ("requested_size", |s| wording::bytes(s.requested_size)),
        ("stream", |s| format!("{:#x}", s.stream)),
        ("segment_type", |s| s.segment_type.row().name().to_owned()),
        ("segment_pool_id", |s| format!("{:?}", s.segment_pool_id)),
        ("is_expandable", |s| s.is_expandable.to_string()),
    ];
    for (name, of) in FIELDS {
        let (due, given) = (of(due), of(given));
        if due != given {
            let what = Text::new(
                format!("{name} of segment {number} in the snapshot"),
                format!("快照中第 {number} 个段的 {name}"),
            );
            return differs(what, due, given);
        }
    }
    for at in 0..due.blocks.len().max(given.blocks.len()) {
        let (due, given) = (due.blocks.get(at), given.blocks.get(at));
        if due.map(meaning) != given.map(meaning) {
            let nth = at + 1;
            let what = Text::new(
                format!("block {nth} of segment {number} in the snapshot"),
                format!("快照中第 {number} 个段的第 {nth} 个块"),
            );
            return differs(what, line(due), line(given));
        }
    }
    None
}

/// A block without what nobody may rely on.
fn meaning(block: &BlockView) -> (u64, u64, BlockState, Option<u64>) {
    let requested = (block.state != BlockState::Inactive).then_some(block.requested_size);
    (block.address, block.size, block.state, requested)
}

fn line(block: Option<&BlockView>) -> String {
    let Some(block) = block else { return "no block".to_owned() };
    let (address, size, state, requested) = meaning(block);
    let requested = requested.map_or_else(String::new, |r| format!(", {} asked for", wording::bytes(r)));
    let state = match state {
        BlockState::ActiveAllocated => "active_allocated",
        BlockState::ActivePendingFree => "active_pending_free",
        BlockState::Inactive => "inactive",
    };
    format!("{state} {} at {address:#x}{requested}", wording::bytes(size))
}

/// What the devices show. A second opinion on a device is none of the allocator's.
pub(super) fn observations(due: &Observation, given: &Observation) -> Option<Difference> {
    let pairs = due.devices.iter().zip(&given.devices).enumerate();
    pairs.filter_map(|(device, (due, given))| in_view(device, due, given)).next()
}

fn in_view(device: usize, due: &DeviceView, given: &DeviceView) -> Option<Difference> {
    if due.stats != given.stats
        && let Some(((key, own), (_, theirs))) =
            due.stats.entries().zip(given.stats.entries()).find(|(own, theirs)| own.1 != theirs.1)
    {
        return differs(wording::statistic(key, device), wording::amount(key, own), wording::amount(key, theirs));
    }
    let of = |en: &str, zh: &str| Text::new(format!("{en} of device {device}"), format!("设备 {device} 的{zh}"));
    if due.fraction.to_bits() != given.fraction.to_bits() {
        return differs(of("memory fraction", "内存比例"), due.fraction, given.fraction);
    }
    if due.free_bytes != given.free_bytes {
        return differs(
            of("free memory", "空闲内存"),
            wording::bytes(due.free_bytes),
            wording::bytes(given.free_bytes),
        );
    }
    if due.total_bytes != given.total_bytes {
        return differs(
            of("total memory", "总内存"),
            wording::bytes(due.total_bytes),
            wording::bytes(given.total_bytes),
        );
    }
    if due.idle != given.idle {
        let streams = |idle: u64| format!("{idle:#b}");
        return differs(of("idle streams", "空闲流"), streams(due.idle), streams(given.idle));
    }
    if due.faults_fired != given.faults_fired {
        return differs(of("failed device calls", "已失败的设备调用数"), due.faults_fired, given.faults_fired);
    }
    None
}

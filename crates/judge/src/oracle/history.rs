//! History: the events that a target records tell each request, each free and each segment once, in order, and agree with
//! the figures.
//!
//! Decides from the events of one step, the callers' journal and the figures before and after. Knows no policy: which
//! segment is got or given back, and when a freed block is free, is the target's. Does not cover: targets that record
//! nothing, what was there before the first operation, and when an event happened.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::cite::{SUMM_04, say};
use super::{Oracle, Seen};
use crate::model::{Effect, Live};
use crate::op::stats::{Column, Key, Row};
use crate::op::trace::{Action, TraceEvent};
use crate::op::{
    BlockId, Capability, Company, Counter, Family, Op, OracleName, Stat, Stats, StreamId, TargetInfo, Text, wording,
};
use crate::verdict::Violation;

pub(super) struct History {
    counters: bool,
    memory_info: bool,
    has: [bool; 9],
    devices: Vec<Told>,
}

/// What the events of a device have told so far.
#[derive(Debug, Default)]
struct Told {
    /// Blocks whose free was asked for and is not done: bytes by address.
    freed: FxHashMap<u64, u64>,
    /// Ends of what was got from the device, by start.
    got: BTreeMap<u64, u64>,
    /// The stream of each raw handle.
    handles: FxHashMap<u64, StreamId>,
}

/// How often each kind of event was told in a step, and the bytes in them.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    allocs: u64,
    frees: u64,
    ooms: i64,
    /// Segments and pages got, and given back.
    got: i64,
    given: i64,
    reserved: i64,
    completed: i64,
    completed_bytes: i64,
}

/// What the operation of a step was about: the block it handed out or took back.
#[derive(Debug, Clone, Copy)]
struct About {
    id: BlockId,
    live: Live,
    is_alloc: bool,
}

impl Count {
    /// Whether every figure moved as the events tell.
    fn agrees(&self, before: &Stats, after: &Stats) -> bool {
        let moved = |family, of: fn(&Stat) -> i64| of(after.all(family)).wrapping_sub(of(before.all(family)));
        let counted = |which| after.counter(which).wrapping_sub(before.counter(which));
        (self.reserved == moved(Family::ReservedBytes, |stat| stat.current))
            & (self.completed == moved(Family::Active, |stat| stat.freed))
            & (self.completed_bytes == moved(Family::RequestedBytes, |stat| stat.freed))
            & (self.got == counted(Counter::NumDeviceAlloc))
            & (self.given == counted(Counter::NumDeviceFree))
            & (self.ooms == counted(Counter::NumOoms))
    }
}

fn convict(message: Text) -> Violation {
    Violation::new(OracleName::History, Some(SUMM_04), message)
}

impl Told {
    /// Takes `[start, end)` out of what was got; `false` if some of it was not.
    fn give(&mut self, start: u64, end: u64) -> bool {
        let mut at = start;
        while at < end {
            let Some((&from, &to)) = self.got.range(..=at).next_back().filter(|&(_, &to)| to > at) else {
                return false;
            };
            self.got.remove(&from);
            if from < at {
                self.got.insert(from, at);
            }
            if to > end {
                self.got.insert(end, to);
            }
            at = to;
        }
        true
    }

    /// Whether all of `[start, end)` was got.
    fn covers(&self, start: u64, end: u64) -> bool {
        let mut at = start;
        while at < end {
            let Some((_, &to)) = self.got.range(..=at).next_back().filter(|&(_, &to)| to > at) else { return false };
            at = to;
        }
        true
    }

    fn touches(&self, start: u64, end: u64) -> bool {
        self.got.range(..end).next_back().is_some_and(|(_, &to)| to > start)
    }

    /// A block is handed out, or its free asked for: what should have been told instead.
    fn block(&mut self, event: &TraceEvent, about: Option<About>, count: &mut Count) -> Option<Text> {
        let TraceEvent { action, address, bytes, stream } = *event;
        let is_alloc = action == Action::Alloc;
        let counted = if is_alloc { &mut count.allocs } else { &mut count.frees };
        *counted += 1;
        let Some(About { live, .. }) = about.filter(|a| a.is_alloc == is_alloc) else {
            return Some(Text::new("no such event in this step", "此步没有此类事件"));
        };
        if (live.address, live.bytes) != (address, bytes) {
            let (start, stop) = (live.address, live.end());
            return Some(say!("[{start:#x}, {stop:#x})", " [{start:#x}, {stop:#x})"));
        }
        let known = *self.handles.entry(stream).or_insert(live.stream);
        if known != live.stream || (stream == 0) != (live.stream.0 == 0) {
            let number = live.stream.0;
            return Some(say!(
                "one on stream {number}, not on handle {stream:#x}",
                "流 {number} 上的事件，而非句柄 {stream:#x}"
            ));
        }
        if !is_alloc {
            self.freed.insert(address, bytes);
        } else if !self.covers(address, live.end()) {
            return Some(Text::new("one within memory got from the device", "位于从设备获得的内存之内"));
        }
        None
    }

    /// A freed block is free.
    fn completed(&mut self, event: &TraceEvent, count: &mut Count) -> Option<Text> {
        count.completed += 1;
        count.completed_bytes = count.completed_bytes.saturating_add(event.bytes.cast_signed());
        let asked = self.freed.remove(&event.address);
        (asked != Some(event.bytes)).then(|| {
            asked.map(wording::bytes).map_or_else(
                || Text::new("a free that was asked for and not done yet", "已请求且尚未完成的释放"),
                |bytes| say!("{bytes}, as asked for", "请求时的 {bytes}"),
            )
        })
    }

    /// Memory is got from the device.
    fn got(&mut self, event: &TraceEvent, count: &mut Count) -> Option<Text> {
        let (start, end) = (event.address, event.address.saturating_add(event.bytes));
        (count.got, count.reserved) = (count.got + 1, count.reserved.saturating_add(event.bytes.cast_signed()));
        if self.touches(start, end) {
            return Some(Text::new("memory that was not got before", "此前未获得的内存"));
        }
        self.got.insert(start, end);
        None
    }

    /// Memory is given back to the device.
    fn given(&mut self, seen: &Seen<'_>, event: &TraceEvent, about: Option<About>, count: &mut Count) -> Option<Text> {
        let (start, end) = (event.address, event.address.saturating_add(event.bytes));
        (count.given, count.reserved) = (count.given + 1, count.reserved.saturating_sub(event.bytes.cast_signed()));
        let whole = event.action == Action::SegmentUnmap || self.got.get(&start) == Some(&end);
        if !whole || !self.give(start, end) {
            return Some(Text::new("memory as it was got", "与获得时一致的内存"));
        }
        // What this step handed out may have been got after it.
        let here = about.filter(|a| a.is_alloc).map(|a| a.id);
        let id = seen.model.lives_within(start, end).filter(|id| Some(*id) != here)?;
        Some(say!("memory without a live block such as {id}", "没有 {id} 等存活块的内存"))
    }
}

impl History {
    pub(super) fn new(info: &TargetInfo) -> Self {
        let mut has = [false; 9];
        Family::ALL.iter().for_each(|&f| has[f as usize] = info.can(Capability::Stats(f)));
        History {
            counters: info.can(Capability::Counters),
            memory_info: info.can(Capability::MemoryInfo),
            has,
            devices: info.devices.iter().map(|_| Told::default()).collect(),
        }
    }

    /// What of the event cannot be, if anything.
    fn follow(
        &mut self,
        seen: &Seen<'_>,
        device: usize,
        event: &TraceEvent,
        about: Option<About>,
        count: &mut Count,
    ) -> Option<Violation> {
        let told = self.devices.get_mut(device)?;
        let due = match event.action {
            Action::Alloc | Action::FreeRequested => {
                told.block(event, about.filter(|a| a.live.device == device), count)
            }
            Action::FreeCompleted => told.completed(event, count),
            Action::SegmentAlloc | Action::SegmentMap => told.got(event, count),
            Action::SegmentFree | Action::SegmentUnmap => told.given(seen, event, about, count),
            Action::Oom => {
                count.ooms += 1;
                self.oom(seen, device, event)
            }
            Action::Snapshot => None,
        }?;
        let TraceEvent { action, address, bytes, .. } = *event;
        let (name, end) = (action.name(), address.saturating_add(bytes));
        let range = format!("[{address:#x}, {end:#x})");
        let (due_en, due_zh) = (&due.en, &due.zh);
        let message = Text::new(
            format!("the events of device {device} tell {name} of {range}; due was {due_en}"),
            format!("设备 {device} 的事件记录了 {range} 的 {name}，而应为{due_zh}"),
        );
        let what = say!("event {name} of device {device}", "设备 {device} 的事件 {name}");
        Some(convict(message).figure(what, due, range))
    }

    /// What an event of a refusal for lack of memory should have said.
    fn oom(&self, seen: &Seen<'_>, device: usize, event: &TraceEvent) -> Option<Text> {
        let Some(Op::Alloc { bytes, .. }) = seen.asked() else {
            return Some(Text::new("no such event in this step", "此步没有此类事件"));
        };
        if seen.model.device_of(seen.op?) != Some(device) {
            return Some(Text::new("no such event on this device", "该设备上没有此类事件"));
        }
        let (view, most) = (seen.after.devices.get(device)?, seen.model.at_most(*bytes));
        if !(*bytes..=most).contains(&event.bytes) {
            let (least, most) = (wording::bytes(*bytes), wording::bytes(most));
            return Some(say!("a request of {least} to {most}", "{least} 至 {most} 的请求"));
        }
        let alone = !view.crowded && view.nvml.is_none_or(|n| n.company == Company::Alone);
        let is_known = self.memory_info && alone && !seen.fired_on(device);
        let free = view.free_bytes;
        (is_known && event.address != free).then(|| {
            let free = wording::bytes(free);
            say!("{free} free", "空闲 {free}")
        })
    }

    /// The events of a step against what the figures moved by.
    fn balance(&self, seen: &Seen<'_>, device: usize, count: &Count, about: Option<About>) -> Option<Violation> {
        let due = |is_alloc: bool| u64::from(about.is_some_and(|a| a.live.device == device && a.is_alloc == is_alloc));
        let unlike = |key: Option<Key>, name: &str, wanted: String, told: String| {
            let of = key.map_or_else(String::new, |key| format!(" ({key})"));
            let message = say!(
                "the events of device {device} in this step tell {told} of {name}, but it was {wanted}{of}",
                "设备 {device} 在此步的事件中 {name} 合计 {told}，而实为 {wanted}{of}"
            );
            let what = say!("{name} in the events of device {device}", "设备 {device} 事件中的 {name}");
            Some(convict(message).figure(what, wanted, told))
        };
        for (name, told, wanted) in [("alloc", count.allocs, due(true)), ("free_requested", count.frees, due(false))] {
            if told != wanted {
                return unlike(None, name, wanted.to_string(), told.to_string());
            }
        }
        let (before, after) = (&seen.before.devices.get(device)?.stats, &seen.after.devices.get(device)?.stats);
        if count.agrees(before, after) {
            return None; // the quick pass; what is not shown, or was reset, is left out below
        }
        let moved = |key: Key| after.value(key).wrapping_sub(before.value(key));
        let family = |family, column| Key::Family(family, Row::All, column);
        let is_reset = matches!(seen.op, Some(Op::ResetAccumulated { .. }));
        let sums = [
            ("segment bytes", family(Family::ReservedBytes, Column::Current), count.reserved, true),
            ("segment_alloc and segment_map", Key::Counter(Counter::NumDeviceAlloc), count.got, false),
            ("segment_free and segment_unmap", Key::Counter(Counter::NumDeviceFree), count.given, false),
            ("oom", Key::Counter(Counter::NumOoms), count.ooms, false),
            ("free_completed", family(Family::Active, Column::Freed), count.completed, false),
            ("free_completed bytes", family(Family::RequestedBytes, Column::Freed), count.completed_bytes, false),
        ];
        for (name, key, told, survives_reset) in sums {
            let shown = match key {
                Key::Family(family, ..) => self.has[family as usize],
                Key::Counter(_) => self.counters,
                Key::Oversize(..) => false,
            };
            if shown && (survives_reset || !is_reset) && moved(key) != told {
                return unlike(Some(key), name, wording::amount(key, moved(key)), wording::amount(key, told));
            }
        }
        None
    }
}

impl Oracle for History {
    fn name(&self) -> OracleName {
        OracleName::History
    }

    fn judge(&mut self, seen: &Seen<'_>, found: &mut Vec<Violation>) {
        let (Some(events), Some(_)) = (seen.events, seen.asked()) else { return };
        let about = match seen.effect {
            Effect::Allocated(id, live) => Some(About { id, live, is_alloc: true }),
            Effect::Freed(id, live) if live.bytes > 0 => Some(About { id, live, is_alloc: false }),
            _ => None,
        };
        for (device, events) in events.iter().enumerate().take(self.devices.len()) {
            let mut count = Count::default();
            // A free that failed may have been taken all the same.
            let taken = about.or_else(|| self.half_freed(seen));
            let odd = events.iter().find_map(|event| self.follow(seen, device, event, taken, &mut count));
            let off = || self.balance(seen, device, &count, about.or(taken.filter(|_| count.frees > 0)));
            if let Some(violation) = odd.or_else(off) {
                found.push(violation);
                return;
            }
        }
    }
}

impl History {
    /// The block whose free was refused because a device call failed.
    fn half_freed(&self, seen: &Seen<'_>) -> Option<About> {
        let Some(&Op::Free { block: id }) = seen.asked() else { return None };
        let live = *seen.model.block(id).filter(|live| live.bytes > 0 && seen.fired_on(live.device))?;
        Some(About { id, live, is_alloc: false })
    }
}

#[cfg(test)]
#[path = "history_test.rs"]
mod tests;

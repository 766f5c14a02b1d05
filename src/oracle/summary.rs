//! Summary: the dictionary, the table and the snapshot that a user gets agree with the figures.
//!
//! Does not cover: how a target's own figures come about (`accounts`), requested sizes of free blocks, which
//! the documentation leaves open, and tables of targets that do not promise the documented one.

use super::cite::{MEM_01, POOL_01, SUMM_01, SUMM_02, SUMM_03, say};
use super::{Oracle, Seen, table};
use crate::op::snapshot::{BlockState, SegmentView, Snapshot};
use crate::op::stats::{Column, Key, Row};
use crate::op::{Capability, DeviceId, Family, Op, OracleName, PoolKind, Reply, Stats, TargetInfo, Text, told};
use crate::requirement::RequirementId;
use crate::verdict::Violation;

pub(super) struct Summary {
    has: [bool; 9],
    segments: bool,
}

impl Summary {
    pub(super) fn can_judge(info: &TargetInfo) -> bool {
        [Capability::Dictionary, Capability::Summary, Capability::Snapshot].into_iter().any(|c| info.can(c))
    }

    pub(super) fn new(info: &TargetInfo) -> Self {
        let mut has = [false; 9];
        Family::ALL.iter().for_each(|&f| has[f as usize] = info.can(Capability::Stats(f)));
        Summary { has, segments: info.contract.counts_segments }
    }

    fn judge_snapshot(&self, seen: &Seen<'_>, snapshot: &Snapshot, found: &mut Vec<Violation>) {
        let mut sums = vec![Sums::default(); seen.after.devices.len()];
        for segment in &snapshot.segments {
            if let Some(violation) = untidy(segment) {
                found.push(violation);
                return;
            }
            if let Some(sums) = usize::try_from(segment.device).ok().and_then(|d| sums.get_mut(d)) {
                sums.add(segment);
            }
        }
        for (device, (sums, view)) in sums.iter().zip(&seen.after.devices).enumerate() {
            self.compare(device, sums, &view.stats, found);
        }
        self.judge_live(seen, snapshot, found);
    }

    /// The first figure of a device that the snapshot does not add up to. Where only the pools are off, the
    /// segments are typed wrongly or the figures went to the wrong pool.
    fn compare(&self, device: usize, sums: &Sums, stats: &Stats, found: &mut Vec<Violation>) {
        for row in [Row::All, Row::SmallPool, Row::LargePool] {
            for &family in Family::ALL {
                if !self.has[family as usize] || (family == Family::Segment && !self.segments) {
                    continue;
                }
                let (shown, counted) = (sums.get(family, row), stats.get(family, row).current);
                if shown != counted {
                    let key = Key::Family(family, row, Column::Current);
                    let (shown, counted) = (told::amount(key, shown), told::amount(key, counted));
                    let message = say!(
                        "the snapshot of device {device} adds up to {key} = {shown}, but the figure is {counted}",
                        "设备 {device} 的快照合计 {key} = {shown}，而统计值为 {counted}"
                    );
                    let Text { en, zh } = told::statistic(key, device);
                    let what = Text::new(format!("{en}, as the snapshot adds up"), format!("快照合计的{zh}"));
                    let violation = convict(if row == Row::All { SUMM_03 } else { POOL_01 }, message);
                    found.push(violation.figure(what, counted, shown));
                    return;
                }
            }
        }
    }

    /// Every live block is where the snapshot shows an allocated one that is large enough.
    fn judge_live(&self, seen: &Seen<'_>, snapshot: &Snapshot, found: &mut Vec<Violation>) {
        let blocks = snapshot.segments.iter().flat_map(|s| s.blocks.iter().map(move |b| (s.device, b)));
        let mut allocated: Vec<(u64, u64, u32)> = blocks
            .filter(|(_, b)| b.state == BlockState::ActiveAllocated)
            .map(|(device, b)| (b.address, b.size, device))
            .collect();
        allocated.sort_unstable();
        for id in seen.model.live_ids() {
            let Some(live) = seen.model.block(id).filter(|live| live.bytes > 0) else { continue };
            let (address, bytes, device) = (live.address, live.bytes, live.device);
            let shown = allocated.binary_search_by_key(&address, |b| b.0).ok().map(|i| allocated[i]);
            let fits = |(_, size, on): (u64, u64, u32)| size >= bytes && usize::try_from(on) == Ok(device);
            if !shown.is_some_and(fits) {
                let bytes = told::bytes(bytes);
                let line = shown.map_or_else(
                    || Text::new("none", "无"),
                    |(_, size, on)| {
                        let size = told::bytes(size);
                        say!("{size} on device {on}", "设备 {on} 上的 {size}")
                    },
                );
                let message = say!(
                    "live {id} of {bytes} at {address:#x} on device {device} is not shown in the snapshot as an allocated block of its size",
                    "设备 {device} 上位于 {address:#x} 的存活块 {id}（{bytes}）未在快照中显示为足够大的已分配块"
                );
                let what = say!(
                    "allocated block that the snapshot shows at {address:#x}",
                    "快照在 {address:#x} 处显示的已分配块"
                );
                let expected = say!("at least {bytes} on device {device}", "设备 {device} 上至少 {bytes}");
                found.push(convict(MEM_01, message).figure(what, expected, line));
                return;
            }
        }
    }
}

/// What a snapshot shows of one device, by pool.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    by_pool: [[i64; 9]; 2],
}

impl Sums {
    fn add(&mut self, segment: &SegmentView) {
        let row = &mut self.by_pool[segment.segment_type as usize];
        let mut add = |family: Family, by: u64| {
            let sum = &mut row[family as usize];
            *sum = sum.wrapping_add(by.cast_signed());
        };
        add(Family::Segment, u64::from(!segment.is_expandable));
        add(Family::ReservedBytes, segment.total_size);
        let split = segment.blocks.len() > 1 && !segment.is_expandable;
        for block in &segment.blocks {
            match block.state {
                BlockState::ActiveAllocated => {
                    add(Family::Allocation, 1);
                    add(Family::AllocatedBytes, block.size);
                }
                BlockState::ActivePendingFree => {}
                BlockState::Inactive => {
                    add(Family::InactiveSplit, u64::from(split));
                    add(Family::InactiveSplitBytes, if split { block.size } else { 0 });
                    continue;
                }
            }
            add(Family::Active, 1);
            add(Family::ActiveBytes, block.size);
            add(Family::RequestedBytes, block.requested_size);
        }
    }

    fn get(&self, family: Family, row: Row) -> i64 {
        let of = |pool: PoolKind| self.by_pool[pool as usize][family as usize];
        match row {
            Row::All => of(PoolKind::Small).wrapping_add(of(PoolKind::Large)),
            Row::SmallPool => of(PoolKind::Small),
            Row::LargePool => of(PoolKind::Large),
        }
    }
}

/// Whether a segment's blocks do not cover it without gaps, or do not add up to what it says.
fn untidy(segment: &SegmentView) -> Option<Violation> {
    let (start, total, device) = (segment.address, segment.total_size, segment.device);
    let mut next = start;
    for block in &segment.blocks {
        let address = block.address;
        if address != next {
            let message = say!(
                "in the segment at {start:#x} of device {device} a block starts at {address:#x}, but the one before it ends at {next:#x}",
                "设备 {device} 位于 {start:#x} 的段中，一块始于 {address:#x}，而前一块止于 {next:#x}"
            );
            let what = say!("start of a block in the segment at {start:#x}", "位于 {start:#x} 的段中一块的起点");
            return Some(convict(SUMM_03, message).figure(what, format!("{next:#x}"), format!("{address:#x}")));
        }
        next = next.wrapping_add(block.size);
    }
    let covered = next.wrapping_sub(start);
    if covered != total {
        let (covered, total) = (told::bytes(covered), told::bytes(total));
        let message = say!(
            "the blocks of the segment at {start:#x} of device {device} cover {covered} of its {total}",
            "设备 {device} 位于 {start:#x} 的段共 {total}，其块合计 {covered}"
        );
        let what = say!("bytes of the blocks of the segment at {start:#x}", "位于 {start:#x} 的段中各块的字节合计");
        return Some(convict(SUMM_03, message).figure(what, total, covered));
    }
    let sum = |states: &[BlockState], size: fn(&crate::op::snapshot::BlockView) -> u64| -> u64 {
        segment.blocks.iter().filter(|b| states.contains(&b.state)).map(size).fold(0, u64::wrapping_add)
    };
    let active = [BlockState::ActiveAllocated, BlockState::ActivePendingFree];
    let claims = [
        ("allocated_size", segment.allocated_size, sum(&active[..1], |b| b.size)),
        ("active_size", segment.active_size, sum(&active, |b| b.size)),
        ("requested_size", segment.requested_size, sum(&active, |b| b.requested_size)),
    ];
    let (name, claimed, added) = claims.into_iter().find(|(_, claimed, added)| claimed != added)?;
    let (claimed, added) = (told::bytes(claimed), told::bytes(added));
    let message = say!(
        "the segment at {start:#x} of device {device} says {name} {claimed}, but its blocks add up to {added}",
        "设备 {device} 位于 {start:#x} 的段称 {name} 为 {claimed}，而其块合计 {added}"
    );
    let what = say!("{name} of the segment at {start:#x}", "位于 {start:#x} 的段的 {name}");
    Some(convict(SUMM_03, message).figure(what, added, claimed))
}

fn judge_dictionary(device: usize, entries: &[(String, i64)], stats: &Stats, found: &mut Vec<Violation>) {
    if let Some(pair) = entries.windows(2).find(|w| w[0].0 >= w[1].0) {
        let (first, second) = (&pair[0].0, &pair[1].0);
        let message = say!(
            "the dictionary of device {device} is not sorted: {first} stands before {second}",
            "设备 {device} 的字典未排序：{first} 位于 {second} 之前"
        );
        let what = say!("keys of the dictionary of device {device}", "设备 {device} 字典的键");
        let expected = Text::new("sorted, each once", "有序且各出现一次");
        let actual = say!("{first} before {second}", "{first} 位于 {second} 之前");
        found.push(convict(SUMM_01, message).figure(what, expected, actual));
        return;
    }
    let wanted = stats.dictionary();
    let off = wanted.iter().find_map(|(key, value)| {
        let at = entries.binary_search_by(|(k, _)| k.cmp(key)).ok().map(|i| entries[i].1);
        (at != Some(*value)).then(|| (key.clone(), *value, at))
    });
    if let Some((key, value, at)) = off {
        let read = |value| Key::parse(&key).map_or_else(|| i64::to_string(&value), |key| told::amount(key, value));
        let (value, at) = (read(value), at.map(read));
        let message = match &at {
            Some(at) => say!(
                "the dictionary of device {device} says {key} = {at}, but the figure is {value}",
                "设备 {device} 的字典中 {key} = {at}，而统计值为 {value}"
            ),
            None => say!("the dictionary of device {device} has no {key}", "设备 {device} 的字典缺少 {key}"),
        };
        let what = say!("{key} in the dictionary of device {device}", "设备 {device} 字典中的 {key}");
        let actual = at.map_or_else(|| Text::new("missing", "缺失"), Text::from);
        found.push(convict(SUMM_01, message).figure(what, value, actual));
    } else if entries.len() != Stats::KEYS {
        let count = entries.len();
        let extra = entries.iter().find(|(k, _)| wanted.binary_search_by(|(w, _)| w.cmp(k)).is_err());
        let name = extra.map_or("", |(k, _)| k);
        let message = say!(
            "the dictionary of device {device} has {count} keys, among them {name}, which is not documented",
            "设备 {device} 的字典有 {count} 个键，其中 {name} 未见于文档"
        );
        let what = say!("number of keys in the dictionary of device {device}", "设备 {device} 字典的键数");
        found.push(convict(SUMM_01, message).figure(what, Stats::KEYS.to_string(), count.to_string()));
    }
}

fn judge_table(device: DeviceId, abbreviated: bool, text: &str, stats: &Stats, found: &mut Vec<Violation>) {
    let wanted: Vec<String> =
        table::lines(stats, device.0, abbreviated).into_iter().map(|line| format!("|{line}|")).collect();
    let lines: Vec<&str> = text.lines().collect();
    let off = wanted.iter().zip(&lines).position(|(w, l)| w != l);
    let (count, documented) = (lines.len(), wanted.len());
    if let Some(at) = off {
        let (number, id) = (at + 1, device.0);
        let (line, right) = (lines[at], &wanted[at]);
        let message = say!(
            "line {number} of the summary of device {id} does not read as documented for its figures",
            "设备 {id} 的摘要第 {number} 行与文档格式及统计值不符"
        );
        let what = say!("line {number} of the summary", "摘要的第 {number} 行");
        let violation =
            convict(SUMM_02, message).figure(what, right.trim_matches('|').trim(), line.trim_matches('|').trim());
        let violation = violation.with("line", "该行", line);
        found.push(violation.with("as documented", "按文档应为", right));
    } else if count != documented {
        let message =
            say!("the summary has {count} lines instead of {documented}", "摘要有 {count} 行，而非 {documented} 行");
        let what = Text::new("lines of the summary", "摘要的行数");
        found.push(convict(SUMM_02, message).figure(what, documented.to_string(), count.to_string()));
    } else if !text.ends_with('\n') {
        let message = say!("the summary does not end in a line break", "摘要末尾没有换行");
        let (what, expected) = (Text::new("end of the summary", "摘要的末尾"), Text::new("a line break", "换行"));
        found.push(convict(SUMM_02, message).figure(what, expected, Text::new("none", "无")));
    }
}

fn convict(requirement: RequirementId, message: Text) -> Violation {
    Violation::new(OracleName::Summary, Some(requirement), message)
}

impl Oracle for Summary {
    fn name(&self) -> OracleName {
        OracleName::Summary
    }

    fn judge(&mut self, seen: &Seen<'_>, found: &mut Vec<Violation>) {
        let Some(op) = seen.op else { return };
        if let Reply::Snapshot(snapshot) = seen.reply {
            self.judge_snapshot(seen, snapshot, found);
            return;
        }
        if !matches!(seen.reply, Reply::Dictionary(_) | Reply::Text(_)) {
            return;
        }
        let Some((device, view)) = seen.model.device_of(op).and_then(|d| Some((d, seen.after.devices.get(d)?))) else {
            return;
        };
        match (op, seen.reply) {
            (Op::Dictionary { .. }, Reply::Dictionary(entries)) => {
                judge_dictionary(device, entries, &view.stats, found)
            }
            (Op::Summary { device, abbreviated }, Reply::Text(text)) => {
                judge_table(*device, *abbreviated, text, &view.stats, found);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
#[path = "summary_test.rs"]
mod tests;

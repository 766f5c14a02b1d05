//! Snapshots against the callers' own journal: segments in order and apart, each covered by its blocks; every live block
//! shown once, where it is, as large as was asked for, on its device and stream; nothing shown that should be gone.
//!
//! Decides from what callers asked for and were given, and from the figures of that moment. Does not cover: requested sizes
//! of free blocks, which the documentation leaves open; which stream's segments serve a request, where a target does not
//! promise PyTorch's choice; and what private pools are called (`private_pools`).

use rustc_hash::FxHashMap;

use super::cite::{CAPT_05, MEM_01, POOL_01, PRIV_06, SUMM_03, TRIM_01, say};
use super::segments::{Sums, untidy};
use super::{Seen, summary};
use crate::model::Live;
use crate::op::snapshot::{BlockState, BlockView, SegmentView, Snapshot};
use crate::op::stats::{Column, Key, Row};
use crate::op::{BlockId, Capability, Family, Op, Stats, StreamId, TargetInfo, Text, wording};
use crate::requirement::RequirementId;
use crate::verdict::Violation;

/// What is known of a sequence when a snapshot is looked at.
#[derive(Debug)]
pub(super) struct Snapshots {
    has: [bool; 9],
    /// Segments are counted, as long as the contract says so.
    segments: bool,
    /// There are no others, as long as they are counted.
    fixed: bool,
    /// A segment serves the stream that it was got for alone.
    by_stream: bool,
    /// The stream of each raw handle, by device.
    handles: FxHashMap<(usize, u64), StreamId>,
    /// Devices whose cache was emptied, and nothing was asked since that could fill it; one bit each.
    emptied: u64,
}

fn convict(requirement: RequirementId, message: Text) -> Violation {
    summary::convict(requirement, message)
}

/// Whether nothing is cached that was not before: the operation looks, or is about no memory.
fn leaves_cache(op: &Op) -> bool {
    matches!(
        op,
        Op::Snapshot
            | Op::Dictionary { .. }
            | Op::Summary { .. }
            | Op::MemoryInfo { .. }
            | Op::WaitStream { .. }
            | Op::Neighbour { .. }
            | Op::GetFraction { .. }
            | Op::SetCurrent { .. }
            | Op::Caller { .. }
            | Op::Verify { .. }
    )
}

impl Snapshots {
    pub(super) fn new(info: &TargetInfo) -> Self {
        let mut has = [false; 9];
        Family::ALL.iter().for_each(|&f| has[f as usize] = info.can(Capability::Stats(f)));
        Snapshots {
            has,
            segments: info.contract.counts_segments,
            fixed: info.can(Capability::FixedSegments),
            by_stream: info.policies().next().is_some(),
            handles: FxHashMap::default(),
            emptied: 0,
        }
    }

    /// Takes note of what was asked. Cheap: it is called at every step.
    pub(super) fn note(&mut self, seen: &Seen<'_>) {
        let Some(op) = seen.asked() else { return };
        if matches!(op, Op::EmptyCache) {
            let owed = |&device: &usize| !seen.fired_on(device) && !seen.model.pools().is_redirected(device);
            let count = seen.after.devices.len().min(64);
            self.emptied =
                if seen.served().is_some() { (0..count).filter(owed).fold(0, |bits, d| bits | 1 << d) } else { 0 };
        } else if self.emptied != 0 && !leaves_cache(op) {
            self.emptied = 0;
        }
    }

    pub(super) fn judge(&mut self, seen: &Seen<'_>, snapshot: &Snapshot, found: &mut Vec<Violation>) {
        let counted = seen.model.contract().counts_segments;
        (self.segments, self.fixed) = (self.segments && counted, self.fixed && counted);
        let mut sums = vec![Sums::default(); seen.after.devices.len()];
        if let Some(violation) = misplaced(snapshot, sums.len()) {
            found.push(violation);
            return;
        }
        for segment in &snapshot.segments {
            if let Some(violation) = untidy(segment).or_else(|| self.out_of_kind(seen, segment)) {
                found.push(violation);
                return;
            }
            if let Some(sums) = device_of(segment).and_then(|d| sums.get_mut(d)) {
                sums.add(segment);
            }
        }
        for (device, (sums, view)) in sums.iter().zip(&seen.after.devices).enumerate() {
            if !seen.may_have_noticed(device) {
                self.compare(device, sums, &view.stats, found);
            }
        }
        self.judge_live(seen, snapshot, found);
        found.extend(snapshot.segments.iter().find_map(|s| self.kept(seen, s)));
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
                    let (shown, counted) = (wording::amount(key, shown), wording::amount(key, counted));
                    let message = say!(
                        "the snapshot of device {device} adds up to {key} = {shown}, but the figure is {counted}",
                        "设备 {device} 的快照合计 {key} = {shown}，而统计值为 {counted}"
                    );
                    let Text { en, zh } = wording::statistic(key, device);
                    let what = Text::new(format!("{en}, as the snapshot adds up"), format!("快照合计的{zh}"));
                    let violation = convict(if row == Row::All { SUMM_03 } else { POOL_01 }, message);
                    found.push(violation.figure(what, counted, shown));
                    return;
                }
            }
        }
    }

    /// A segment of a kind that the target has not.
    fn out_of_kind(&self, seen: &Seen<'_>, segment: &SegmentView) -> Option<Violation> {
        let (start, device) = (segment.address, segment.device);
        let (family, number) = segment.segment_pool_id;
        if (family, number) != (0, 0) && seen.model.pools().is_empty() {
            let message = say!(
                "the segment at {start:#x} of device {device} is shown in private pool ({family}, {number}), but none was ever made",
                "设备 {device} 位于 {start:#x} 的段显示属于私有池 ({family}, {number})，而从未创建过私有池"
            );
            let what = say!("pool of the segment at {start:#x}", "位于 {start:#x} 的段的内存池");
            return Some(convict(SUMM_03, message).figure(what, "(0, 0)", format!("({family}, {number})")));
        }
        (segment.is_expandable && self.fixed).then(|| {
            let message = say!(
                "the segment at {start:#x} of device {device} is shown as mapped piece by piece, but this allocator has only segments of fixed size",
                "设备 {device} 位于 {start:#x} 的段显示为逐页映射，而该分配器只有固定大小的段"
            );
            let what = say!("kind of the segment at {start:#x}", "位于 {start:#x} 的段的种类");
            convict(SUMM_03, message).figure(what, Text::new("fixed", "固定"), Text::new("expandable", "可扩展"))
        })
    }

    /// Every live block is where the snapshot shows an allocated one of its size, on its stream.
    fn judge_live(&mut self, seen: &Seen<'_>, snapshot: &Snapshot, found: &mut Vec<Violation>) {
        let blocks = snapshot.segments.iter().flat_map(|s| s.blocks.iter().map(move |b| (s, b)));
        let mut allocated: Vec<(&SegmentView, &BlockView)> =
            blocks.filter(|(_, b)| b.state == BlockState::ActiveAllocated).collect();
        allocated.sort_unstable_by_key(|(_, b)| b.address);
        for (id, live) in seen.model.held().filter(|(_, live)| !live.direct) {
            let shown = allocated.binary_search_by_key(&live.address, |(_, b)| b.address).ok().map(|i| allocated[i]);
            let violation = match shown {
                Some((segment, block)) if block.size >= live.bytes && device_of(segment) == Some(live.device) => {
                    misread(id, live, block).or_else(|| self.strange(id, live, segment))
                }
                _ => Some(not_shown(id, live, shown)),
            };
            if violation.is_some() {
                found.extend(violation);
                return;
            }
        }
    }

    /// A live block in a segment of another stream, or of a stream under another handle than before.
    fn strange(&mut self, id: BlockId, live: &Live, segment: &SegmentView) -> Option<Violation> {
        if !self.by_stream {
            return None;
        }
        let (handle, stream) = (segment.stream, live.stream.0);
        let known = *self.handles.entry((live.device, handle)).or_insert(live.stream);
        let is_default = |stream: StreamId| stream.0 == 0;
        if known == live.stream && is_default(known) == (handle == 0) {
            return None;
        }
        let start = segment.address;
        let message = say!(
            "live {id} of stream {stream} lies in the segment at {start:#x}, which is shown on the stream with the handle {handle:#x}, another one",
            "流 {stream} 的存活块 {id} 位于段 {start:#x}，而该段显示属于句柄为 {handle:#x} 的另一个流"
        );
        let what = say!("stream of the segment of {id}", "{id} 所在段的流");
        let expected = say!("the handle of stream {stream}", "流 {stream} 的句柄");
        Some(convict(SUMM_03, message).figure(what, expected, format!("{handle:#x}")))
    }

    /// A segment without anything in use, though the cache has just been emptied.
    fn kept(&self, seen: &Seen<'_>, segment: &SegmentView) -> Option<Violation> {
        let device = device_of(segment).filter(|&d| d < 64 && self.emptied >> d & 1 == 1)?;
        let private = segment.segment_pool_id != (0, 0);
        let is_used = segment.blocks.iter().any(|b| b.state != BlockState::Inactive);
        if is_used || private && seen.model.pools().any_alive_on(device) {
            return None;
        }
        let requirement = match segment.segment_pool_id {
            (0, 0) => TRIM_01,
            (0, _) => PRIV_06,
            _ => CAPT_05,
        };
        let (start, size) = (segment.address, wording::bytes(segment.total_size));
        let message = say!(
            "right after the cache was emptied the snapshot shows the segment at {start:#x} of device {device}, {size} in which nothing is in use",
            "缓存刚清空，快照仍显示设备 {device} 位于 {start:#x} 的段，其 {size} 中没有使用中的块"
        );
        let what = say!("segment at {start:#x} after the cache was emptied", "清空缓存后位于 {start:#x} 的段");
        Some(convict(requirement, message).figure(what, Text::new("given back", "已归还"), Text::new("shown", "仍在")))
    }
}

fn device_of(segment: &SegmentView) -> Option<usize> {
    usize::try_from(segment.device).ok()
}

/// Segments on a device that is not there, out of order, or that share memory. Addresses are unique over all devices.
fn misplaced(snapshot: &Snapshot, devices: usize) -> Option<Violation> {
    let place = |s: &SegmentView| {
        let (device, start) = (s.device, s.address);
        say!("device {device}, {start:#x}", "设备 {device}，{start:#x}")
    };
    if let Some(segment) = snapshot.segments.iter().find(|s| device_of(s).is_none_or(|d| d >= devices)) {
        let (start, device) = (segment.address, segment.device);
        let message = say!(
            "the segment at {start:#x} is shown on device {device}, of {devices}",
            "位于 {start:#x} 的段显示在设备 {device} 上，而设备共 {devices} 个"
        );
        let what = say!("device of the segment at {start:#x}", "位于 {start:#x} 的段所在的设备");
        let expected = say!("less than {devices}", "小于 {devices}");
        return Some(convict(SUMM_03, message).figure(what, expected, device.to_string()));
    }
    let key = |s: &SegmentView| (s.device, s.address);
    if let Some(pair) = snapshot.segments.windows(2).find(|w| key(&w[0]) >= key(&w[1])) {
        let (Text { en: one, zh: one_zh }, Text { en: next, zh: next_zh }) = (place(&pair[0]), place(&pair[1]));
        let message = Text::new(
            format!("the segments of the snapshot are not in order: ({next}) comes after ({one})"),
            format!("快照中的段未按序排列：（{next_zh}）位于（{one_zh}）之后"),
        );
        let what = Text::new("order of the segments", "段的次序");
        let expected = Text::new("by device, then by address", "先设备，后地址");
        let actual = Text::new(format!("({next}) after ({one})"), format!("（{next_zh}）位于（{one_zh}）之后"));
        return Some(convict(SUMM_03, message).figure(what, expected, actual));
    }
    let mut ranges: Vec<&SegmentView> = snapshot.segments.iter().collect();
    ranges.sort_unstable_by_key(|s| s.address);
    let pair = ranges.windows(2).find(|w| w[0].address.saturating_add(w[0].total_size) > w[1].address)?;
    let (start, end) = (pair[0].address, pair[0].address.saturating_add(pair[0].total_size));
    let (other, one, two) = (pair[1].address, pair[0].device, pair[1].device);
    let message = say!(
        "the snapshot shows a segment of device {two} at {other:#x}, inside the one of device {one} at [{start:#x}, {end:#x})",
        "快照中设备 {two} 位于 {other:#x} 的段落入设备 {one} 的段 [{start:#x}, {end:#x})"
    );
    let what = say!("start of the segment after the one at {start:#x}", "位于 {start:#x} 的段之后一段的起点");
    let expected = say!("{end:#x} or more", "{end:#x} 或更高");
    Some(convict(SUMM_03, message).figure(what, expected, format!("{other:#x}")))
}

/// A live block that the snapshot shows with another request than was made.
fn misread(id: BlockId, live: &Live, block: &BlockView) -> Option<Violation> {
    (block.requested_size != live.bytes).then(|| {
        let (asked, shown) = (wording::bytes(live.bytes), wording::bytes(block.requested_size));
        let message = say!(
            "{asked} were asked for in live {id}, but the snapshot shows {shown} as its requested size",
            "存活块 {id} 申请了 {asked}，而快照显示其请求大小为 {shown}"
        );
        let what = say!("requested size of {id} in the snapshot", "快照中 {id} 的请求大小");
        convict(SUMM_03, message).figure(what, asked, shown)
    })
}

fn not_shown(id: BlockId, live: &Live, shown: Option<(&SegmentView, &BlockView)>) -> Violation {
    let (address, device, bytes) = (live.address, live.device, wording::bytes(live.bytes));
    let line = shown.map_or_else(
        || Text::new("none", "无"),
        |(segment, block)| {
            let (size, on) = (wording::bytes(block.size), segment.device);
            say!("{size} on device {on}", "设备 {on} 上的 {size}")
        },
    );
    let message = say!(
        "live {id} of {bytes} at {address:#x} on device {device} is not shown in the snapshot as an allocated block of its size",
        "设备 {device} 上位于 {address:#x} 的存活块 {id}（{bytes}）未在快照中显示为足够大的已分配块"
    );
    let what = say!("allocated block that the snapshot shows at {address:#x}", "快照在 {address:#x} 处显示的已分配块");
    let expected = say!("at least {bytes} on device {device}", "设备 {device} 上至少 {bytes}");
    convict(MEM_01, message).figure(what, expected, line)
}

#[cfg(test)]
#[path = "snapshot_test.rs"]
mod tests;

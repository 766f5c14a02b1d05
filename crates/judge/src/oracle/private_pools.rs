//! Private pools and captures: memory goes where requests are redirected to, and stays there.
//!
//! Judges addresses by what earlier blocks tell of them, snapshots by the segments they show, and what is
//! reserved by what graphs still need. Does not cover: memory in which no block ever lay, and what was freed
//! before the first pool was made or before memory last went back to the device (snapshots apart); requests
//! from outside while a pool that helps out exists, unless they took what was freed in that pool; what is left
//! of a dead pool; reuse *within* a capture of blocks on which no stream was recorded; and targets that do not
//! count their device calls.

use std::collections::BTreeMap;

use super::cite::{CAPT_01, CAPT_02, CAPT_03, PRIV_01, PRIV_02, PRIV_04, PRIV_05, say};
use super::limit::limit_of;
use super::{Oracle, Seen};
use crate::model::{Claim, ClaimedRange, Effect, Live, Owner};
use crate::op::snapshot::{SegmentView, Snapshot};
use crate::op::stats::{Column, Key, Row};
use crate::op::{BlockId, Capability, Family, OracleName, PoolSource, Reply, TargetInfo, Text, wording};
use crate::requirement::RequirementId;
use crate::verdict::Violation;

pub(super) struct PrivatePools {
    reserved: bool,
    memory_info: bool,
    /// What each pool is called in snapshots.
    ids: BTreeMap<PoolSource, PoolNumber>,
}

/// A pool as snapshots number them: (0, n) made by a user, (n, 0) made by a capture, (0, 0) for none.
type PoolNumber = (u64, u64);

/// A pool in a sentence.
fn named(pool: Option<PoolSource>) -> (String, String) {
    match pool {
        None => ("the default pools".to_owned(), "默认池".to_owned()),
        Some(PoolSource::Pool(pool)) => (pool.to_string(), pool.to_string()),
        Some(PoolSource::Graph(graph)) => (format!("the pool of {graph}"), format!("{graph} 的内存池")),
    }
}

impl PrivatePools {
    pub(super) fn new(info: &TargetInfo) -> Self {
        PrivatePools {
            reserved: info.shows(Family::ReservedBytes),
            memory_info: info.can(Capability::MemoryInfo),
            ids: BTreeMap::new(),
        }
    }

    fn convict(&self, requirement: RequirementId, message: Text) -> Violation {
        Violation::new(self.name(), Some(requirement), message)
    }

    fn judge_intrusion(&self, seen: &Seen<'_>, block: BlockId, live: &Live, found: &mut Vec<Violation>) {
        let Some(&ClaimedRange { address, end, claim, wanted }) = seen.model.claimed_range() else { return };
        let (at, to) = (live.address, live.end());
        let (asked, asked_zh) = named(wanted);
        let (requirement, message, expected) = match claim {
            Claim::Cached(owner) => {
                let (owner, owner_zh) = named(owner);
                let captured = seen.model.route().is_some_and(|r| r.captured);
                let requirement = if captured { CAPT_01 } else { PRIV_02 };
                let message = say!(
                    "{block}, to be served from {asked}, was given [{at:#x}, {to:#x}), which is cached in {owner}",
                    "{block} 应由{asked_zh}提供，却得到缓存于{owner_zh}的 [{at:#x}, {to:#x})"
                );
                (requirement, message, say!("from {asked}", "由{asked_zh}提供"))
            }
            Claim::Graph(owner) => {
                let (owner, owner_zh) = named(Some(owner));
                let message = say!(
                    "{block}, to be served from {asked}, was given [{at:#x}, {to:#x}), which a graph captured with {owner} still uses",
                    "{block} 应由{asked_zh}提供，却得到 [{at:#x}, {to:#x})，而以{owner_zh}捕获的图仍在使用该内存"
                );
                (CAPT_02, message, Text::new("outside the graph's memory", "图所用内存之外"))
            }
            Claim::Deferred => {
                let message = say!(
                    "{block} was given [{at:#x}, {to:#x}), freed in the capture under way, in which a stream was recorded on it",
                    "{block} 得到 [{at:#x}, {to:#x})，而该内存在正在进行的捕获中被记录流后才释放"
                );
                let expected = Text::new("outside what was freed in this capture", "本次捕获中释放的内存之外");
                (CAPT_03, message, expected)
            }
            Claim::Helper(owner) => {
                let Some(free) = self.had_room(seen, live).map(wording::bytes) else { return };
                let (owner, owner_zh) = named(Some(owner));
                let message = say!(
                    "{block} from outside was given [{at:#x}, {to:#x}) of {owner}, which only helps when memory has run out, although the device had {free} free",
                    "池外的 {block} 得到 {owner_zh} 的 [{at:#x}, {to:#x})，而该池仅在内存用尽时提供帮助，此时设备尚有 {free} 空闲"
                );
                (PRIV_04, message, say!("outside {owner}", "{owner_zh} 之外"))
            }
        };
        let what = say!("memory given to {block}", "{block} 得到的内存");
        let violation = self.convict(requirement, message).figure(what, expected, format!("[{at:#x}, {to:#x})"));
        found.push(violation.with("range claimed", "被占用的区间", format_args!("[{address:#x}, {end:#x})")));
    }

    /// What the device had free, if that and the limit left room for all that the request may cost.
    fn had_room(&self, seen: &Seen<'_>, live: &Live) -> Option<u64> {
        if !self.memory_info || !self.reserved || seen.fired_on(live.device) {
            return None;
        }
        let before = seen.before.devices.get(live.device)?;
        let most = seen.model.at_most(live.bytes);
        let reserved = u64::try_from(before.stats.all(Family::ReservedBytes).current).unwrap_or(0);
        let allowed = limit_of(seen, live.device).is_none_or(|limit| reserved.saturating_add(most) <= limit);
        (allowed && before.free_bytes >= most).then_some(before.free_bytes)
    }

    /// Live blocks and what graphs were captured with stay reserved.
    fn judge_reserved(&self, seen: &Seen<'_>, found: &mut Vec<Violation>) {
        for (device, (before, after)) in seen.before.devices.iter().zip(&seen.after.devices).enumerate() {
            let (was, is) =
                (before.stats.all(Family::ReservedBytes).current, after.stats.all(Family::ReservedBytes).current);
            if is >= was {
                continue;
            }
            let Some(least) = seen.model.must_stay(device) else { continue };
            if u64::try_from(is).unwrap_or(0) < least {
                let asked = seen.op.map_or_else(String::new, crate::op::Op::to_line);
                let (was, is, least) = (wording::bytes(was), wording::bytes(is), wording::bytes(least));
                let message = say!(
                    "`{asked}` left {is} reserved on device {device}, but live blocks and captured graphs need {least}",
                    "`{asked}` 之后设备 {device} 仅保留 {is}，而存活块与已捕获的图需要 {least}"
                );
                let what = wording::statistic(Key::Family(Family::ReservedBytes, Row::All, Column::Current), device);
                let violation = self.convict(CAPT_02, message);
                let violation = violation.figure(what, say!("at least {least}", "至少 {least}"), is);
                found.push(violation.with("reserved before", "此前已保留", was));
            }
        }
    }

    fn judge_snapshot(&mut self, seen: &Seen<'_>, snapshot: &Snapshot, found: &mut Vec<Violation>) {
        let mut blocks: BTreeMap<u64, (Option<BlockId>, u64, Owner)> = BTreeMap::new();
        for device in 0..seen.after.devices.len() {
            let cached =
                seen.model.cached(device).filter(|&(_, _, pool)| pool.is_none_or(|p| seen.model.pools().is_alive(p)));
            let owner = |pool: Option<PoolSource>| pool.map_or(Owner::Default, Owner::Private);
            blocks.extend(cached.map(|(start, end, pool)| (start, (None, end, owner(pool)))));
        }
        for (id, live) in seen.model.held().filter(|(_, live)| self.tells(seen, live)) {
            blocks.insert(live.address, (Some(id), live.end(), live.owner));
        }
        let mut owners: BTreeMap<(u32, PoolNumber), Owner> = BTreeMap::new();
        for segment in &snapshot.segments {
            let inside = blocks.range(segment.address..segment.address.saturating_add(segment.total_size));
            for (&start, &(id, end, owner)) in inside {
                let key = (segment.device, segment.segment_pool_id);
                let first = *owners.entry(key).or_insert(owner);
                let name = id.map_or_else(|| format!("[{start:#x}, {end:#x})"), |id| id.to_string());
                if first != owner || self.is_misnamed(owner, segment.segment_pool_id) {
                    found.push(self.misplaced(&name, owner, segment, first != owner));
                    return;
                }
                if id.is_some() {
                    self.judge_split(seen, &name, owner, segment, found);
                }
            }
        }
        self.judge_names(seen, snapshot, found);
        self.judge_kept(seen, snapshot, found);
    }

    /// Whether a segment that holds memory of a pool is shown under a number that cannot be that pool's, or was another's.
    fn is_misnamed(&mut self, owner: Owner, number: PoolNumber) -> bool {
        let Owner::Private(pool) = owner else { return number != (0, 0) };
        let is_taken = |ids: &BTreeMap<PoolSource, PoolNumber>| ids.iter().any(|(p, n)| *p != pool && *n == number);
        if number == (0, 0) || is_taken(&self.ids) {
            return true;
        }
        let is_kind = match pool {
            PoolSource::Pool(_) => number.0 == 0,
            PoolSource::Graph(_) => number.1 == 0,
        };
        !is_kind || *self.ids.entry(pool).or_insert(number) != number
    }

    /// No more pools are shown than were made.
    fn judge_names(&self, seen: &Seen<'_>, snapshot: &Snapshot, found: &mut Vec<Violation>) {
        let mut numbers: Vec<PoolNumber> = snapshot.segments.iter().map(|s| s.segment_pool_id).collect();
        numbers.extend(self.ids.values());
        numbers.retain(|&number| number != (0, 0));
        numbers.sort_unstable();
        numbers.dedup();
        let (shown, made) = (numbers.len(), seen.model.pools().made());
        if shown > made {
            let (message, what) = (
                say!(
                    "snapshots have shown {shown} private pools, but only {made} were made",
                    "快照先后显示了 {shown} 个私有池，而仅创建过 {made} 个"
                ),
                Text::new("private pools in snapshots", "快照中的私有池数"),
            );
            found.push(self.convict(PRIV_01, message).figure(
                what,
                say!("at most {made}", "至多 {made}"),
                shown.to_string(),
            ));
        }
    }

    /// Whether it is known which pool a block lies in: one that lives.
    fn tells(&self, seen: &Seen<'_>, live: &Live) -> bool {
        match live.owner {
            Owner::Default => true,
            Owner::Private(pool) => seen.model.pools().is_alive(pool),
            Owner::Unknown => false,
        }
    }

    fn judge_split(&self, seen: &Seen<'_>, id: &str, owner: Owner, segment: &SegmentView, found: &mut Vec<Violation>) {
        let (Owner::Private(pool), Ok(device)) = (owner, usize::try_from(segment.device)) else { return };
        let blocks = segment.blocks.len();
        if blocks > 1 && !segment.is_expandable && seen.model.pools().never_splits(pool, device) {
            let start = segment.address;
            let message = say!(
                "{id} lies in the segment at {start:#x}, which holds {blocks} blocks, but {pool} was made with no_split",
                "{id} 所在的段 {start:#x} 含 {blocks} 块，而 {pool} 以 no_split 创建"
            );
            let what = say!("blocks in the segment of {id}", "{id} 所在段的块数");
            found.push(self.convict(PRIV_05, message).figure(what, "1", blocks.to_string()));
        }
    }

    /// A block in a segment that is shown as another pool's, or that others lie in too.
    fn misplaced(&self, id: &str, owner: Owner, segment: &SegmentView, beside: bool) -> Violation {
        let owner = if let Owner::Private(pool) = owner { Some(pool) } else { None };
        let ((owner, owner_zh), start) = (named(owner), segment.address);
        let (family, number) = segment.segment_pool_id;
        let private = (family, number) != (0, 0);
        let (shown, shown_zh) = if private {
            (format!("in pool ({family}, {number})"), format!("属于池 ({family}, {number})"))
        } else {
            ("outside every private pool".to_owned(), "不属于任何私有池".to_owned())
        };
        let (more, more_zh) =
            if beside { (" beside blocks from elsewhere", "，与其他来源的块共处") } else { ("", "") };
        let message = say!(
            "{id} of {owner} lies in the segment at {start:#x}, which is shown {shown}{more}",
            "{owner_zh}的 {id} 位于段 {start:#x}，而该段显示{shown_zh}{more_zh}"
        );
        let what = say!("segment of {id}", "{id} 所在的段");
        let expected = say!("one of {owner} alone", "仅属于{owner_zh}");
        let actual = Text::new(format!("shown {shown}{more}"), format!("显示{shown_zh}{more_zh}"));
        self.convict(PRIV_01, message).figure(what, expected, actual)
    }

    /// What graphs were captured with lies in segments.
    fn judge_kept(&self, seen: &Seen<'_>, snapshot: &Snapshot, found: &mut Vec<Violation>) {
        for device in 0..seen.after.devices.len() {
            for (start, end, pool) in seen.model.held_by_graphs(device) {
                let covers = |s: &&SegmentView| {
                    usize::try_from(s.device) == Ok(device)
                        && s.address <= start
                        && end <= s.address.saturating_add(s.total_size)
                };
                if !snapshot.segments.iter().any(|s| covers(&s)) {
                    let (owner, owner_zh) = named(Some(pool));
                    let message = say!(
                        "no segment of device {device} covers [{start:#x}, {end:#x}), which a graph captured with {owner} still uses",
                        "设备 {device} 上没有段覆盖 [{start:#x}, {end:#x})，而以{owner_zh}捕获的图仍在使用该内存"
                    );
                    let what = say!("segment that covers [{start:#x}, {end:#x})", "覆盖 [{start:#x}, {end:#x}) 的段");
                    let (expected, actual) = (Text::new("one", "有"), Text::new("none", "无"));
                    found.push(self.convict(CAPT_02, message).figure(what, expected, actual));
                    return;
                }
            }
        }
    }
}

impl Oracle for PrivatePools {
    fn name(&self) -> OracleName {
        OracleName::PrivatePools
    }

    fn judge(&mut self, seen: &Seen<'_>, found: &mut Vec<Violation>) {
        if seen.model.pools().is_empty() {
            return;
        }
        if let Effect::Allocated(block, live) = seen.effect
            && !seen.is_unlawful_service()
        {
            self.judge_intrusion(seen, block, &live, found);
        }
        if self.reserved && seen.asked().is_some() {
            self.judge_reserved(seen, found);
        }
        if let Reply::Snapshot(snapshot) = seen.reply {
            self.judge_snapshot(seen, snapshot, found);
        }
    }
}

#[cfg(test)]
#[path = "private_pools_test.rs"]
mod tests;

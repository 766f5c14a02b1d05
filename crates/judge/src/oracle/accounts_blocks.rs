//! The part of `accounts` about single blocks: what a block moved when it was given out it moves back when it is freed,
//! all of it in one pool, and nothing else moves with it.
//!
//! Decides no pool and no rounding: the pool is the one that the count of allocations moved in, the size the one that
//! allocated bytes moved by. Does not cover targets that count no allocations, and blocks held before the first operation.

use rustc_hash::FxHashMap;

use super::Seen;
use super::accounts::convict;
use super::cite::{POOL_01, STAT_04, STAT_09, say};
use crate::model::{Effect, Live};
use crate::op::stats::{Column, Key};
use crate::op::{BlockId, Capability, Family, Op, PoolKind, Stats, TargetInfo, Text, wording};
use crate::verdict::Violation;

const POOLS: [PoolKind; 2] = [PoolKind::Small, PoolKind::Large];

/// Active figures, and the part of them that is given out.
const WAITING: [(Family, Family); 2] =
    [(Family::Active, Family::Allocation), (Family::ActiveBytes, Family::AllocatedBytes)];

/// Where a block was counted, and with how many bytes.
#[derive(Debug, Clone, Copy)]
struct Booked {
    pool: PoolKind,
    bytes: i64,
}

pub(super) struct Blocks {
    has: [bool; 9],
    accumulated: bool,
    booked: FxHashMap<BlockId, Booked>,
}

/// Figures of a device before and after a step.
#[derive(Clone, Copy)]
struct Step<'a> {
    device: usize,
    before: &'a Stats,
    after: &'a Stats,
}

impl Step<'_> {
    fn whole(&self, family: Family, column: Column) -> i64 {
        self.after.all(family).column(column) - self.before.all(family).column(column)
    }

    fn moved(&self, family: Family, pool: PoolKind, column: Column) -> i64 {
        let value = |stats: &Stats| stats.get(family, pool.row()).column(column);
        value(self.after) - value(self.before)
    }
}

impl Blocks {
    pub(super) fn new(info: &TargetInfo) -> Self {
        let mut has = [false; 9];
        Family::ALL.iter().for_each(|&f| has[f as usize] = info.can(Capability::Stats(f)));
        Blocks { has, accumulated: info.can(Capability::AccumulatedReset), booked: FxHashMap::default() }
    }

    /// Judges a step that resets nothing.
    pub(super) fn judge(
        &mut self,
        seen: &Seen<'_>,
        device: usize,
        before: &Stats,
        after: &Stats,
        found: &mut Vec<Violation>,
    ) {
        if !self.has[Family::Allocation as usize] || !self.has[Family::AllocatedBytes as usize] {
            return;
        }
        let (step, moved) = (Step { device, before, after }, seen.moved.on(device));
        let kept = |family: Family| !moved.has(family);
        if matches!(seen.effect, Effect::None) && WAITING.iter().all(|&(one, other)| kept(one) && kept(other)) {
            return; // no block came or went, and no figure that tells of one moved
        }
        let already = found.len();
        match seen.effect {
            Effect::Allocated(block, live) if live.device == device => {
                let _: Option<()> = self.given_out(block, &live, step, found);
            }
            Effect::Freed(block, live) if live.device == device && live.bytes > 0 => {
                let _: Option<()> = self.freed(block, step, found);
            }
            _ => {
                let why = || {
                    let asked = seen.op.map_or("nothing", Op::name);
                    say!("{asked} gives out and takes back no block", "{asked} 既未分配也未收回块")
                };
                let family = (Family::AllocatedBytes, Column::Current);
                let _: Option<()> = expect(step, family, PoolKind::Small, 0, &why, found);
            }
        }
        if found.len() == already {
            self.waiting(seen, step, found);
        }
    }

    fn given_out(&mut self, block: BlockId, live: &Live, step: Step<'_>, found: &mut Vec<Violation>) -> Option<()> {
        let count = POOLS.map(|pool| step.moved(Family::Allocation, pool, Column::Current));
        let pool = match count {
            [1, 0] => PoolKind::Small,
            [0, 1] => PoolKind::Large,
            _ => return None, // the count itself is wrong, and is judged as such
        };
        let bytes = step.moved(Family::AllocatedBytes, pool, Column::Current);
        self.booked.insert(block, Booked { pool, bytes });
        let why = || {
            let name = pool.row().name();
            say!("{block} was counted as an allocation in {name}", "{block} 的分配计入 {name}")
        };
        let whole = step.whole(Family::AllocatedBytes, Column::Current);
        expect(step, (Family::AllocatedBytes, Column::Current), pool, whole, &why, found)?;
        if !self.accumulated {
            return None;
        }
        let asked = i64::try_from(live.bytes).unwrap_or(i64::MAX);
        for (family, wanted) in [(Family::Active, 1), (Family::ActiveBytes, bytes), (Family::RequestedBytes, asked)] {
            if self.has[family as usize] {
                expect(step, (family, Column::Allocated), pool, wanted, &why, found)?;
            }
        }
        None
    }

    fn freed(&mut self, block: BlockId, step: Step<'_>, found: &mut Vec<Violation>) -> Option<()> {
        let Booked { pool, bytes } = self.booked.remove(&block)?;
        let why = || {
            let (name, size) = (pool.row().name(), wording::bytes(bytes));
            say!("{block} had been counted in {name} with {size}", "{block} 此前以 {size} 计入 {name}")
        };
        expect(step, (Family::Allocation, Column::Current), pool, -1, &why, found)?;
        expect(step, (Family::AllocatedBytes, Column::Current), pool, -bytes, &why, found)
    }

    /// What is active and not given out was freed and waits: it grows only by what is freed.
    fn waiting(&self, seen: &Seen<'_>, step: Step<'_>, found: &mut Vec<Violation>) {
        let freed = matches!(seen.effect, Effect::Freed(_, live) if live.device == step.device);
        if freed {
            return; // by how much follows from the figures of the block
        }
        for (active, allocated) in WAITING {
            for pool in POOLS {
                let grew = step.moved(active, pool, Column::Current) - step.moved(allocated, pool, Column::Current);
                if self.has[active as usize] && self.has[allocated as usize] && grew > 0 {
                    let (device, key) = (step.device, Key::Family(active, pool.row(), Column::Current));
                    let (asked, by) = (seen.op.map_or("nothing", Op::name), wording::amount(key, grew));
                    let less = Key::Family(allocated, pool.row(), Column::Current);
                    let message = say!(
                        "{asked} freed nothing, but {key} of device {device} rose by {by} more than {less}",
                        "{asked} 未释放任何块，但设备 {device} 的 {key} 比 {less} 多升 {by}"
                    );
                    let what = wording::change_of(&wording::statistic(key, device));
                    let due = wording::amount(key, step.moved(allocated, pool, Column::Current));
                    let is = wording::amount(key, step.moved(active, pool, Column::Current));
                    let expected = say!("at most {due}", "至多 {due}");
                    found.push(convict(STAT_09, message).figure(what, expected, is));
                    return;
                }
            }
        }
    }
}

/// Convicts a figure that moved otherwise than by so much in that pool and by nothing in the other, for that reason;
/// `None` if it did. What moved by the right amount moved in the wrong pool.
#[inline]
fn expect(
    step: Step<'_>,
    (family, column): (Family, Column),
    pool: PoolKind,
    wanted: i64,
    why: &dyn Fn() -> Text,
    found: &mut Vec<Violation>,
) -> Option<()> {
    let other = if pool == PoolKind::Small { PoolKind::Large } else { PoolKind::Small };
    let [own, elsewhere] = [pool, other].map(|pool| step.moved(family, pool, column));
    if own == wanted && elsewhere == 0 {
        return Some(());
    }
    found.push(misplaced(step, (family, column), [(pool, own), (other, elsewhere)], wanted, &why()));
    None
}

/// The violation of a figure that moved by so much in its pool and in the other one.
#[cold]
fn misplaced(
    step: Step<'_>,
    (family, column): (Family, Column),
    [(pool, own), (other, elsewhere)]: [(PoolKind, i64); 2],
    wanted: i64,
    why: &Text,
) -> Violation {
    let requirement = if own + elsewhere == wanted { POOL_01 } else { STAT_04 };
    let (pool, moved, wanted) = if own == wanted { (other, elsewhere, 0) } else { (pool, own, wanted) };
    let (device, key) = (step.device, Key::Family(family, pool.row(), column));
    let Text { en, zh } = why;
    let [moved, due] = [moved, wanted].map(|value| wording::amount(key, value));
    let message = say!(
        "{key} of device {device} moved by {moved} instead of {due}: {en}",
        "设备 {device} 的 {key} 变化 {moved}，而非 {due}：{zh}"
    );
    let what = wording::change_of(&wording::statistic(key, device));
    convict(requirement, message).figure(what, due, moved)
}

//! The slow pass of `accounts`: which figures disagree, in words.
//!
//! Decides nothing that the quick pass did not find, the live count apart.

use super::accounts::{Accounts, Base, Foreign, convict};
use super::cite::{STAT_01, STAT_02, STAT_03, STAT_04, STAT_05, STAT_09, say};
use super::view::off;
use crate::model::DeviceState;
use crate::op::stats::{Column, Key, Oversize, Row};
use crate::op::{Family, Stat, Stats, Text, wording};
use crate::requirement::RequirementId;
use crate::verdict::Violation;

/// What is at most what, and the requirement that says so.
pub(super) const ORDER: [(Family, Family, RequirementId); 4] = [
    (Family::AllocatedBytes, Family::ActiveBytes, STAT_03),
    (Family::ActiveBytes, Family::ReservedBytes, STAT_03),
    (Family::Allocation, Family::Active, STAT_03),
    (Family::RequestedBytes, Family::ActiveBytes, STAT_04),
];

/// Counts and their bytes.
pub(super) const COUNTED: [(Family, Family); 4] = [
    (Family::Allocation, Family::AllocatedBytes),
    (Family::Active, Family::ActiveBytes),
    (Family::InactiveSplit, Family::InactiveSplitBytes),
    (Family::Segment, Family::ReservedBytes),
];

#[cold]
pub(super) fn rows(accounts: &Accounts, device: usize, stats: &Stats, base: &Base, found: &mut Vec<Violation>) {
    for &which in Oversize::ALL {
        let current = stats.oversize(which).current;
        if current < 0 && accounts.oversize {
            let name = which.name();
            let message = say!(
                "{name}.current of device {device} fell to {current}, below zero",
                "设备 {device} 的 {name}.current 降到 {current}，小于零"
            );
            let what = wording::statistic(Key::Oversize(which, Column::Current), device);
            found.push(convict(STAT_01, message).figure(what, at_least_zero(), current.to_string()));
        } else if accounts.accumulated {
            let key = Key::Oversize(which, Column::Current);
            unbalanced(device, key, stats.oversize(which), base.oversize[which as usize], found);
        }
    }
    for &family in &accounts.partly {
        negative(device, stats, family, found);
    }
    for &family in &accounts.families {
        negative(device, stats, family, found);
        sums(accounts, device, stats, family, found);
        if accounts.accumulated {
            balance(device, stats, base, family, found);
        }
    }
}

fn at_least_zero() -> Text {
    Text::new("at least 0", "至少 0")
}

fn negative(device: usize, stats: &Stats, family: Family, found: &mut Vec<Violation>) {
    for &row in Row::ALL {
        let current = stats.get(family, row).current;
        if current < 0 {
            let key = Key::Family(family, row, Column::Current);
            let current = wording::amount(key, current);
            let message = say!(
                "{key} of device {device} fell to {current}, below zero",
                "设备 {device} 的 {key} 降到 {current}，小于零"
            );
            found.push(convict(STAT_01, message).figure(wording::statistic(key, device), at_least_zero(), current));
        }
    }
}

fn sums(accounts: &Accounts, device: usize, stats: &Stats, family: Family, found: &mut Vec<Violation>) {
    for &column in Column::ALL {
        let accumulated = matches!(column, Column::Allocated | Column::Freed);
        if column == Column::Peak || accumulated && !accounts.accumulated {
            continue; // peaks need not have been reached together: `peak` judges them
        }
        let [all, small, large] =
            [Row::All, Row::SmallPool, Row::LargePool].map(|r| stats.get(family, r).column(column));
        let sum = small.saturating_add(large);
        if all != sum {
            let key = Key::Family(family, Row::All, column);
            let [is, small, large, together] = [all, small, large, sum].map(|value| wording::amount(key, value));
            let message = say!(
                "{key} of device {device} is {is}, but its pools hold {small} and {large}, together {together}",
                "设备 {device} 的 {key} 为 {is}，但小池 {small} 与大池 {large} 之和为 {together}"
            );
            found.push(off(convict(STAT_01, message), device, key, sum, all));
        }
    }
}

fn balance(device: usize, stats: &Stats, base: &Base, family: Family, found: &mut Vec<Violation>) {
    for &row in Row::ALL {
        let key = Key::Family(family, row, Column::Current);
        unbalanced(device, key, stats.get(family, row), base.families[family as usize][row as usize], found);
    }
}

/// Says of a figure that it is not what was allocated less what was freed, if so.
fn unbalanced(device: usize, key: Key, stat: &Stat, start: i64, found: &mut Vec<Violation>) {
    let (current, allocated, freed) = (stat.current, stat.allocated, stat.freed);
    let wanted = start + allocated - freed;
    if current != wanted {
        let [is, start, allocated, freed, due] =
            [current, start, allocated, freed, wanted].map(|value| wording::amount(key, value));
        let message = say!(
            "{key} of device {device} is {is}, but {start} at the last reset plus {allocated} allocated less {freed} freed is {due}",
            "设备 {device} 的 {key} 为 {is}，但重置时的 {start} 加累计分配 {allocated} 减累计释放 {freed} 为 {due}"
        );
        found.push(off(convict(STAT_02, message), device, key, wanted, current));
    }
}

#[cold]
pub(super) fn families(accounts: &Accounts, device: usize, stats: &Stats, found: &mut Vec<Violation>) {
    for &row in Row::ALL {
        let current = |family: Family| stats.get(family, row).current;
        let key = |family: Family| Key::Family(family, row, Column::Current);
        for (less, more, requirement) in ORDER {
            let (a, b) = (current(less), current(more));
            if accounts.has[less as usize] && accounts.has[more as usize] && a > b {
                let (less, more) = (key(less), key(more));
                let (a, b) = (wording::amount(less, a), wording::amount(more, b));
                let message = say!(
                    "{less} of device {device} is {a}, more than {more}, {b}",
                    "设备 {device} 的 {less} 为 {a}，大于 {more} 的 {b}"
                );
                let expected = say!("at most {b}", "至多 {b}");
                found.push(convict(requirement, message).figure(wording::statistic(less, device), expected, a));
            }
        }
        if !accounts.parts_fit(stats, row) {
            let (parts, held) = (Family::InactiveSplitBytes, Family::ReservedBytes);
            let [split, active, reserved] = [parts, Family::ActiveBytes, held].map(|f| wording::bytes(current(f)));
            let room = wording::bytes(current(held) - current(Family::ActiveBytes));
            let parts = key(parts);
            let message = say!(
                "{parts} of device {device} is {split}, but {active} of {reserved} reserved are active",
                "设备 {device} 的 {parts} 为 {split}，但已保留的 {reserved} 中有 {active} 活跃"
            );
            let expected = say!("at most {room}", "至多 {room}");
            found.push(convict(STAT_03, message).figure(wording::statistic(parts, device), expected, split));
        }
        for (count, bytes) in COUNTED {
            let (c, b) = (current(count), current(bytes));
            if accounts.counts(count, bytes) && (c == 0) != (b == 0) {
                let (count, bytes) = (key(count), key(bytes));
                let held = wording::amount(bytes, b);
                let message = say!(
                    "{count} of device {device} is {c} while {bytes} is {held}: one is zero and the other is not",
                    "设备 {device} 的 {count} 为 {c}，而 {bytes} 为 {held}：一为零而另一不为零"
                );
                let expected = if b == 0 {
                    say!("0, as there are 0 B", "0（字节为 0 B）")
                } else {
                    say!("above 0, as there are {held}", "大于 0（字节为 {held}）")
                };
                let violation = convict(STAT_05, message);
                found.push(violation.figure(wording::statistic(count, device), expected, c.to_string()));
            }
        }
    }
}

/// Against the blocks that the callers hold; `foreign` is what stood there before the first operation.
pub(super) fn live(
    accounts: &Accounts,
    device: usize,
    stats: &Stats,
    state: &DeviceState,
    foreign: Foreign,
    found: &mut Vec<Violation>,
) {
    let live = i64::try_from(state.live).unwrap_or(i64::MAX);
    let count = stats.all(Family::Allocation).current - foreign.allocations;
    if accounts.has[Family::Allocation as usize] && count != live {
        let message = say!(
            "allocation.all.current of device {device} counts {count} blocks, but its callers hold {live}",
            "设备 {device} 的 allocation.all.current 计有 {count} 块，而调用者持有 {live} 块"
        );
        let key = Key::Family(Family::Allocation, Row::All, Column::Current);
        found.push(off(
            convict(STAT_04, message),
            device,
            key,
            live + foreign.allocations,
            count + foreign.allocations,
        ));
    }
    let asked = state.bytes;
    let bytes = stats.all(Family::AllocatedBytes).current - foreign.bytes;
    if accounts.has[Family::AllocatedBytes as usize] && i128::from(bytes) < asked.cast_signed() {
        let (bytes, asked) = (wording::bytes(bytes), wording::bytes(asked.cast_signed()));
        let message = say!(
            "allocated_bytes.all.current of device {device} is {bytes}, less than the {asked} that its live blocks were asked for with",
            "设备 {device} 的 allocated_bytes.all.current 为 {bytes}，少于存活块所申请的 {asked}"
        );
        let what = wording::statistic(Key::Family(Family::AllocatedBytes, Row::All, Column::Current), device);
        found.push(convict(STAT_04, message).figure(what, say!("at least {asked}", "至少 {asked}"), bytes));
    }
    requested(accounts, device, stats, state, foreign, found);
}

/// What was requested is what callers asked for: in live blocks, and in freed ones that wait, of which only the size is
/// known.
fn requested(
    accounts: &Accounts,
    device: usize,
    stats: &Stats,
    state: &DeviceState,
    foreign: Foreign,
    found: &mut Vec<Violation>,
) {
    let needed = [Family::RequestedBytes, Family::AllocatedBytes, Family::ActiveBytes];
    if !needed.into_iter().all(|family| accounts.has[family as usize]) {
        return;
    }
    let current = |family| stats.all(family).current;
    let waits = current(Family::ActiveBytes) - current(Family::AllocatedBytes);
    let least = i128::from(foreign.requested) + state.bytes.cast_signed();
    let (most, is) = (least + i128::from(waits), i128::from(current(Family::RequestedBytes)));
    if waits >= 0 && !(least..=most).contains(&is) {
        let [is, least, waits, most] = [is, least, i128::from(waits), most].map(wording::bytes);
        let message = say!(
            "requested_bytes.all.current of device {device} is {is}, but callers asked for {least} in what they hold, and {waits} wait",
            "设备 {device} 的 requested_bytes.all.current 为 {is}，而调用者所持块共申请 {least}，另有 {waits} 在等待"
        );
        let what = wording::statistic(Key::Family(Family::RequestedBytes, Row::All, Column::Current), device);
        let expected = if least == most {
            least.into()
        } else {
            say!("between {least} and {most}", "在 {least} 与 {most} 之间")
        };
        found.push(convict(STAT_09, message).figure(what, expected, is));
    }
}

//! The slow pass of `accounts`: which figures disagree, in words.
//!
//! Decides nothing that the quick pass did not find, the live count apart.

use super::accounts::{Accounts, Base, convict};
use super::cite::{STAT_01, STAT_02, STAT_03, STAT_04, STAT_05, say};
use crate::model::DeviceState;
use crate::op::stats::{Column, Oversize, Row};
use crate::op::{Family, Stats};
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

pub(super) fn rows(accounts: &Accounts, device: usize, stats: &Stats, base: &Base, found: &mut Vec<Violation>) {
    for &which in Oversize::ALL {
        let current = stats.oversize(which).current;
        if current < 0 {
            let name = which.name();
            let message = say!(
                "{name}.current of device {device} is {current}: a figure of what exists cannot be negative",
                "设备 {device} 的 {name}.current 为 {current}：现存量不可能为负"
            );
            found.push(convict(STAT_01, message));
        }
    }
    for &family in &accounts.families {
        negative(device, stats, family, found);
        sums(accounts, device, stats, family, found);
        if accounts.accumulated {
            balance(device, stats, base, family, found);
        }
    }
}

fn negative(device: usize, stats: &Stats, family: Family, found: &mut Vec<Violation>) {
    for &row in Row::ALL {
        let current = stats.get(family, row).current;
        if current < 0 {
            let (family, row) = (family.name(), row.name());
            let message = say!(
                "{family}.{row}.current of device {device} is {current}: a figure of what exists cannot be negative",
                "设备 {device} 的 {family}.{row}.current 为 {current}：现存量不可能为负"
            );
            found.push(convict(STAT_01, message));
        }
    }
}

fn sums(accounts: &Accounts, device: usize, stats: &Stats, family: Family, found: &mut Vec<Violation>) {
    let name = family.name();
    for &column in Column::ALL {
        let accumulated = matches!(column, Column::Allocated | Column::Freed);
        if column == Column::Peak || accumulated && !accounts.accumulated {
            continue; // peaks need not have been reached together: `peak` judges them
        }
        let [all, small, large] =
            [Row::All, Row::SmallPool, Row::LargePool].map(|r| stats.get(family, r).column(column));
        let sum = small.saturating_add(large);
        let column_name = column.name();
        if all != sum {
            let message = say!(
                "{name}.all.{column_name} of device {device} is {all}, but its pools hold {small} and {large}, together {sum}",
                "设备 {device} 的 {name}.all.{column_name} 为 {all}，但小池 {small} 与大池 {large} 之和为 {sum}"
            );
            found.push(convict(STAT_01, message));
        }
    }
}

fn balance(device: usize, stats: &Stats, base: &Base, family: Family, found: &mut Vec<Violation>) {
    for &row in Row::ALL {
        let stat = stats.get(family, row);
        let start = base[family as usize][row as usize];
        let (current, allocated, freed) = (stat.current, stat.allocated, stat.freed);
        let wanted = start + allocated - freed;
        if current != wanted {
            let (family, row) = (family.name(), row.name());
            let message = say!(
                "{family}.{row}.current of device {device} is {current}, but {start} at the last reset plus {allocated} allocated less {freed} freed is {wanted}",
                "设备 {device} 的 {family}.{row}.current 为 {current}，但重置时的 {start} 加累计分配 {allocated} 减累计释放 {freed} 为 {wanted}"
            );
            found.push(convict(STAT_02, message));
        }
    }
}

pub(super) fn families(accounts: &Accounts, device: usize, stats: &Stats, found: &mut Vec<Violation>) {
    for &row in Row::ALL {
        let current = |family: Family| stats.get(family, row).current;
        let row = row.name();
        for (less, more, requirement) in ORDER {
            let (a, b) = (current(less), current(more));
            if accounts.has[less as usize] && accounts.has[more as usize] && a > b {
                let (less, more) = (less.name(), more.name());
                let message = say!(
                    "{less}.{row}.current of device {device} is {a}, more than {more}.{row}.current, {b}",
                    "设备 {device} 的 {less}.{row}.current 为 {a}，大于 {more}.{row}.current 的 {b}"
                );
                found.push(convict(requirement, message));
            }
        }
        for (count, bytes) in COUNTED {
            let (c, b) = (current(count), current(bytes));
            if accounts.counts(count, bytes) && (c == 0) != (b == 0) {
                let (count, bytes) = (count.name(), bytes.name());
                let message = say!(
                    "{count}.{row}.current of device {device} is {c} while {bytes}.{row}.current is {b}: one is zero and the other is not",
                    "设备 {device} 的 {count}.{row}.current 为 {c}，而 {bytes}.{row}.current 为 {b}：一为零而另一不为零"
                );
                found.push(convict(STAT_05, message));
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
    foreign: (i64, i64),
    found: &mut Vec<Violation>,
) {
    let live = i64::try_from(state.live).unwrap_or(i64::MAX);
    let count = stats.all(Family::Allocation).current - foreign.0;
    if accounts.has[Family::Allocation as usize] && count != live {
        let message = say!(
            "allocation.all.current of device {device} counts {count} blocks, but its callers hold {live}",
            "设备 {device} 的 allocation.all.current 计有 {count} 块，而调用者持有 {live} 块"
        );
        found.push(convict(STAT_04, message));
    }
    let asked = state.bytes;
    let bytes = stats.all(Family::AllocatedBytes).current - foreign.1;
    if accounts.has[Family::AllocatedBytes as usize] && i128::from(bytes) < asked.cast_signed() {
        let message = say!(
            "allocated_bytes.all.current of device {device} is {bytes}, less than the {asked} B that its live blocks were asked for with",
            "设备 {device} 的 allocated_bytes.all.current 为 {bytes}，少于存活块所申请的 {asked} B"
        );
        found.push(convict(STAT_04, message));
    }
}

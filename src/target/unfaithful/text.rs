//! Numbers in texts: where they stand in PyTorch's table and in its refusals, and the same text with one of them wrong.
//!
//! Decides what is a number there. A text of another shape has none.

use std::ops::Range;

use super::figures::beside;
use crate::op::corruption::Wrong;
use crate::op::observable::RefusalNumber;
use crate::op::stats::{Column, Counter, Family, Key, Oversize, Row};

/// What stands before a number of a refusal.
fn lead(number: RefusalNumber) -> &'static str {
    match number {
        RefusalNumber::Requested => "Tried to allocate ",
        RefusalNumber::Device => "GPU ",
        RefusalNumber::Total => "total capacity of ",
        RefusalNumber::Free => "of which ",
        RefusalNumber::Allowed => "is free. ",
        RefusalNumber::Allocated => "allocated memory ",
        RefusalNumber::Private => "with ",
        RefusalNumber::Unallocated => "and ",
    }
}

/// Where the number stands, with its unit, if the message says it.
fn in_message(message: &str, number: RefusalNumber) -> Option<Range<usize>> {
    let lead = lead(number);
    let start = message.match_indices(lead).map(|(at, _)| at + lead.len()).find(|&at| is_digit(message, at))?;
    let digits = |c: char| c.is_ascii_digit() || c == '.';
    let rest = &message[start..];
    let length = rest.find(|c| !digits(c)).unwrap_or(rest.len());
    let length = rest[..length].trim_end_matches('.').len();
    let unit = rest[length..].strip_prefix(' ').and_then(|unit| {
        ["bytes", "KiB", "MiB", "GiB"].into_iter().find(|name| unit.starts_with(name)).map(|name| name.len() + 1)
    });
    Some(start..start + length + unit.unwrap_or(0))
}

fn is_digit(text: &str, at: usize) -> bool {
    text.as_bytes().get(at).is_some_and(u8::is_ascii_digit)
}

/// The message with that number wrong.
pub(super) fn wrong_message(
    message: &str,
    before: Option<&str>,
    number: RefusalNumber,
    wrong: Wrong,
) -> Option<String> {
    let at = in_message(message, number)?;
    let own = &message[at.clone()];
    let told = match wrong {
        Wrong::OneMore => moved(own, 1)?,
        Wrong::OneLess => moved(own, -1)?,
        Wrong::Zero if number == RefusalNumber::Device => "0".to_owned(),
        Wrong::Zero => "0 bytes".to_owned(),
        Wrong::Stale => before.and_then(|b| Some(b[in_message(b, number)?].to_owned()))?,
        Wrong::Swapped => {
            let order = RefusalNumber::ALL.iter().cycle().skip_while(|n| **n != number).skip(1);
            let others = order.take(RefusalNumber::ALL.len() - 1).filter(|n| **n != RefusalNumber::Device);
            let other = others.filter_map(|&n| in_message(message, n)).next()?;
            return Some(exchanged(message, at, other));
        }
        _ => return None,
    };
    let mut text = message.to_owned();
    text.replace_range(at, &told);
    Some(text)
}

/// Both parts of the text in each other's place.
fn exchanged(text: &str, a: Range<usize>, b: Range<usize>) -> String {
    let (first, second) = if a.start < b.start { (a, b) } else { (b, a) };
    let (head, between, tail) = (&text[..first.start], &text[first.end..second.start], &text[second.end..]);
    format!("{head}{}{between}{}{tail}", &text[second], &text[first])
}

/// `42.00 MiB` with its last digit moved by one: `42.01 MiB`. What cannot be less than 0 stays.
fn moved(token: &str, by: i64) -> Option<String> {
    let (number, unit) = token.split_once(' ').map_or((token, None), |(number, unit)| (number, Some(unit)));
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    let value: i64 = format!("{whole}{decimals}").parse().ok()?;
    let value = value.checked_add(by).filter(|v| *v >= 0)?.to_string();
    let value = format!("{value:0>width$}", width = decimals.len() + 1);
    let (whole, decimals) = value.split_at(value.len() - decimals.len());
    let number = if decimals.is_empty() { whole.to_owned() } else { format!("{whole}.{decimals}") };
    Some(unit.map_or_else(|| number.clone(), |unit| format!("{number} {unit}")))
}

const ROWS: [(&str, Family); 9] = [
    ("Allocated memory", Family::AllocatedBytes),
    ("Active memory", Family::ActiveBytes),
    ("Requested memory", Family::RequestedBytes),
    ("GPU reserved memory", Family::ReservedBytes),
    ("Non-releasable memory", Family::InactiveSplitBytes),
    ("Allocations", Family::Allocation),
    ("Active allocs", Family::Active),
    ("GPU reserved segments", Family::Segment),
    ("Non-releasable allocs", Family::InactiveSplit),
];

const OVERSIZE: [(&str, Oversize); 2] =
    [("Oversize allocations", Oversize::Allocations), ("Oversize GPU segments", Oversize::Segments)];

/// Where the number of a statistic stands in the table, blanks before or after it included.
fn in_table(table: &str, wanted: Key) -> Option<Range<usize>> {
    if let Key::Counter(counter) = wanted {
        let lead = match counter {
            Counter::NumOoms => "CUDA OOMs: ",
            Counter::NumAllocRetries => "cudaMalloc retries: ",
            _ => return None,
        };
        let start = table.find(lead)? + lead.len();
        let rest = &table[start..];
        let length = rest.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(rest.len());
        return Some(start..start + length);
    }
    let mut family = None;
    let mut start = 0;
    for line in table.split_inclusive('\n') {
        let cells: Vec<&str> = line.split('|').collect();
        let label = cells.get(1).map_or("", |cell| cell.trim());
        let row = match label {
            "from large pool" => Row::LargePool,
            "from small pool" => Row::SmallPool,
            _ => Row::All,
        };
        if row == Row::All {
            family = ROWS.iter().find(|(name, _)| *name == label).map(|(_, family)| *family);
        }
        let oversize = OVERSIZE.iter().find(|(name, _)| *name == label).map(|(_, which)| *which);
        let mut at = start + cells.iter().take(2).map(|cell| cell.len() + 1).sum::<usize>();
        for (cell, &column) in cells.iter().skip(2).zip(Column::ALL) {
            let key = match (oversize, family) {
                (Some(which), _) => Some(Key::Oversize(which, column)),
                (None, Some(family)) => Some(Key::Family(family, row, column)),
                _ => None,
            };
            if key == Some(wanted) {
                let length = cell.trim_start().find(' ')?;
                return Some(at..at + (cell.len() - cell.trim_start().len()) + length);
            }
            at += cell.len() + 1;
        }
        start += line.len();
    }
    None
}

/// The table with the number of that statistic wrong, as wide as before where that is possible.
pub(super) fn wrong_table(table: &str, before: Option<&str>, key: Key, wrong: Wrong) -> Option<String> {
    let at = in_table(table, key)?;
    let value = |table: &str, at: Range<usize>| table[at].trim().parse::<i64>().ok();
    let own = value(table, at.clone())?;
    let told = match wrong {
        Wrong::OneMore => own + 1,
        Wrong::OneLess => own - 1,
        Wrong::Zero => 0,
        Wrong::Stale => before.and_then(|b| value(b, in_table(b, key)?))?,
        Wrong::Swapped => {
            let other = in_table(table, beside(key))?;
            return Some(exchanged(table, at, other));
        }
        _ => return None,
    };
    let width = at.len();
    let told = if matches!(key, Key::Counter(_)) { format!("{told:<width$}") } else { format!("{told:>width$}") };
    let mut text = table.to_owned();
    text.replace_range(at, &told);
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::{PoolKind, Stats};
    use crate::reference::{OutOfMemory, summary};

    #[test]
    fn every_number_of_the_table_is_found_where_it_is() {
        let mut stats = Stats::default();
        for (key, value) in Key::all().zip(1000_i64..) {
            stats.set(key, value);
        }
        let table = summary::render(&stats, 0, false);
        let mut found = 0;
        for key in Key::all() {
            let Some(at) = in_table(&table, key) else { continue };
            assert_eq!(table[at].trim(), stats.value(key).to_string(), "{key}");
            found += 1;
        }
        assert_eq!(found, 9 * 3 * 4 + 2 * 4 + 2);
        stats.increase(Family::Active, PoolKind::Small, 1);
        let key = Key::Family(Family::Active, Row::SmallPool, Column::Current);
        let off = wrong_table(&summary::render(&stats, 0, false), None, key, Wrong::OneLess).expect("is in the table");
        stats.set(key, stats.value(key) - 1);
        assert_eq!(off, summary::render(&stats, 0, false));
    }

    #[test]
    fn every_number_of_a_refusal_is_found_where_it_is() {
        let refusal = OutOfMemory {
            advice: crate::reference::Advice::Expandable,
            device: 3,
            segment: 20 << 20,
            total: 64 << 20,
            free: 42 << 20,
            processes: Vec::new(),
            limit: Some(32 << 20),
            allocated: 19 << 20,
            private: 5 << 20,
            unallocated: 100,
        };
        let text = refusal.to_string();
        let numbers: Vec<&str> =
            RefusalNumber::ALL.iter().map(|&n| &text[in_message(&text, n).expect("said")]).collect();
        let wanted = ["20.00 MiB", "3", "64.00 MiB", "42.00 MiB", "32.00 MiB", "19.00 MiB", "5.00 MiB", "100 bytes"];
        assert_eq!(numbers, wanted);
        let swapped = wrong_message(&text, None, RefusalNumber::Total, Wrong::Swapped).expect("both are said");
        assert!(swapped.contains("total capacity of 42.00 MiB of which 64.00 MiB is free"), "{swapped}");
        let without = OutOfMemory { limit: None, private: 0, ..refusal }.to_string();
        assert_eq!(in_message(&without, RefusalNumber::Allowed), None);
        assert_eq!(in_message(&without, RefusalNumber::Private), None);
        assert!(in_message(&without, RefusalNumber::Unallocated).is_some());
    }

    #[test]
    fn the_last_digit_moves() {
        assert_eq!(moved("42.00 MiB", 1).as_deref(), Some("42.01 MiB"));
        assert_eq!(moved("42.00 MiB", -1).as_deref(), Some("41.99 MiB"));
        assert_eq!(moved("0 bytes", -1), None);
        assert_eq!(moved("9", 1).as_deref(), Some("10"));
    }
}

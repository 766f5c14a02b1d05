//! What must hold of the records of threads that shared an allocator, whatever their order was.
//!
//! What a history may claim. A call takes effect at one moment, while its device's lock is held, and of that moment
//! is known only that it lies within the call's span: after the thread had in hand all that the call needs, before the
//! thread went on with the answer. So one call surely came before another only if its span ended before the other's
//! began; calls whose spans overlap may have come in either order, and nothing is concluded from the one seen. The
//! moments are steps of one counter and not of a clock, and a thread that waits in between only makes a span longer:
//! then less is claimed.
//!
//! Of this is decided: a block is *surely held* from the end of the call that gave it to the start of the call that
//! gives it back, whoever makes that call. A block that was left to another thread is taken from the list before that
//! start, so that it has a holder all the while; should the start be earlier than the end, nothing is claimed of it.
//! A statistic that is read lies between what was surely so and what may have been so at some moment of the read.
//! The order in which locks were taken is no part of this; `mod` lives that again beside it.

use std::collections::{BTreeMap, BTreeSet};

use super::worker::{Event, HeldBlock, Record, What};
use super::{Check, StressFinding};
use crate::op::stats::{Column, Row};
use crate::op::{Family, Stats};

fn finding(check: Check, text: String) -> StressFinding {
    StressFinding { check, text }
}

/// Everything that the records of the threads show.
pub(super) fn judge(records: &[Record], devices: usize, totals: u64) -> Vec<StressFinding> {
    let events = || records.iter().flat_map(|r| &r.events);
    let mut found = overlaps(events());
    for event in events() {
        match &event.what {
            What::NotTaken(block, why) => {
                let text =
                    format!("{} B at {:#x} were given back once and not taken: {why}", block.bytes, block.address);
                found.push(finding(Check::Free, text));
            }
            What::Read(_, stats) => found.extend(torn(stats).map(|text| finding(Check::Torn, text))),
            _ => {}
        }
    }
    for device in 0..devices {
        found.extend(out_of_bounds(events(), device));
    }
    let most = i64::try_from(totals).unwrap_or(i64::MAX);
    let above = |e: &&Event| matches!(&e.what, What::Read(_, s) if s.all(Family::ReservedBytes).current > most);
    found.extend(events().find(above).map(|_| finding(Check::Torn, "more is reserved than the device has".to_owned())));
    found
}

/// The first two blocks that shared a byte while both were surely held.
fn overlaps<'a>(events: impl Iterator<Item = &'a Event> + Clone) -> Vec<StressFinding> {
    let given_back = events.clone().filter_map(|event| match event.what {
        What::GaveBack(block) | What::NotTaken(block, _) => Some((block.got, event.span.from)),
        _ => None,
    });
    let ends: BTreeMap<u64, u64> = given_back.collect();
    let mut moments: BTreeMap<u64, (bool, HeldBlock)> = BTreeMap::new();
    for event in events {
        let What::Got(block) = event.what else { continue };
        let end = ends.get(&block.got).copied();
        if end.is_none_or(|end| block.got < end) {
            moments.insert(block.got, (true, block));
            moments.extend(end.map(|end| (end, (false, block))));
        }
    }
    let mut held: BTreeSet<(u64, u64, u64)> = BTreeSet::new(); // start, when it was got, end
    for (got, block) in moments.into_values() {
        let entry = (block.address, block.got, block.address.saturating_add(block.bytes));
        if !got {
            held.remove(&entry);
            continue;
        }
        let left = held.range(..entry).next_back().filter(|l| l.2 > entry.0);
        let right = held.range(entry..).next().filter(|r| r.0 < entry.2);
        if let Some(other) = left.or(right) {
            let text = format!(
                "two blocks were held at once: [{:#x}, {:#x}) and [{:#x}, {:#x})",
                other.0, other.2, entry.0, entry.2
            );
            return vec![finding(Check::Overlap, text)];
        }
        held.insert(entry);
    }
    Vec::new()
}

/// What statistics of one moment cannot show.
pub(super) fn torn(stats: &Stats) -> Option<String> {
    for &family in Family::ALL {
        let name = family.name();
        for column in [Column::Current, Column::Allocated, Column::Freed] {
            let [all, small, large] =
                [Row::All, Row::SmallPool, Row::LargePool].map(|row| stats.get(family, row).column(column));
            if all != small + large {
                return Some(format!("{name}: {all} in all pools, but {small} in the small and {large} in the large"));
            }
        }
        let all = stats.all(family);
        if all.current < 0 || all.peak < all.current {
            return Some(format!("{name}: current {}, peak {}", all.current, all.peak));
        }
        if all.allocated - all.freed != all.current {
            return Some(format!("{name}: {} - {} is not {}", all.allocated, all.freed, all.current));
        }
    }
    let [allocated, active, reserved] =
        [Family::AllocatedBytes, Family::ActiveBytes, Family::ReservedBytes].map(|family| stats.all(family).current);
    (allocated > active || active > reserved)
        .then(|| format!("{allocated} B allocated, {active} B active, {reserved} B reserved"))
}

/// Reads that show more blocks than could be held at any moment of the read, or fewer. A block counts at least if it
/// surely was given before and not given back before the end; it counts at most if it may have been given before the
/// end and was not surely given back before.
fn out_of_bounds<'a>(events: impl Iterator<Item = &'a Event>, device: usize) -> Option<StressFinding> {
    let (mut got, mut gave, mut reads) = ((Vec::new(), Vec::new()), (Vec::new(), Vec::new()), Vec::new());
    for event in events {
        match &event.what {
            What::Got(block) if block.device == device => {
                got.0.push(event.span.from);
                got.1.push(event.span.to);
            }
            What::GaveBack(block) if block.device == device => {
                gave.0.push(event.span.from);
                gave.1.push(event.span.to);
            }
            What::Read(of, stats) if *of == device => reads.push((event, stats.all(Family::Allocation).current)),
            _ => {}
        }
    }
    for list in [&mut got.0, &mut got.1, &mut gave.0, &mut gave.1] {
        list.sort_unstable();
    }
    let before = |list: &[u64], moment: u64| i64::try_from(list.partition_point(|&t| t < moment)).unwrap_or(i64::MAX);
    reads.into_iter().find_map(|(read, shown)| {
        let least = before(&got.1, read.span.from) - before(&gave.0, read.span.to);
        let most = before(&got.0, read.span.to) - before(&gave.1, read.span.from);
        (shown < least || shown > most).then(|| {
            let text = format!("device {device} showed {shown} blocks when {least} to {most} can have been held");
            finding(Check::Bounds, text)
        })
    })
}

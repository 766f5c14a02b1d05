//! One segment of a snapshot: whether its blocks cover it and add up to what it says, and what it adds to its device.
//!
//! Decides from the segment alone. What of it is true is `snapshot`'s.

use super::cite::{SUMM_03, say};
use super::summary;
use crate::op::snapshot::{BlockState, BlockView, SegmentView};
use crate::op::stats::Row;
use crate::op::{Family, PoolKind, wording};
use crate::verdict::Violation;

/// What a snapshot shows of one device, by pool.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sums {
    by_pool: [[i64; 9]; 2],
}

impl Sums {
    pub(super) fn add(&mut self, segment: &SegmentView) {
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

    pub(super) fn get(&self, family: Family, row: Row) -> i64 {
        let of = |pool: PoolKind| self.by_pool[pool as usize][family as usize];
        match row {
            Row::All => of(PoolKind::Small).wrapping_add(of(PoolKind::Large)),
            Row::SmallPool => of(PoolKind::Small),
            Row::LargePool => of(PoolKind::Large),
        }
    }
}

/// Whether a segment's blocks do not cover it without gaps, or do not add up to what it says.
pub(super) fn untidy(segment: &SegmentView) -> Option<Violation> {
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
            return Some(summary::convict(SUMM_03, message).figure(
                what,
                format!("{next:#x}"),
                format!("{address:#x}"),
            ));
        }
        next = next.wrapping_add(block.size);
    }
    let covered = next.wrapping_sub(start);
    if covered != total {
        let (covered, total) = (wording::bytes(covered), wording::bytes(total));
        let message = say!(
            "the blocks of the segment at {start:#x} of device {device} cover {covered} of its {total}",
            "设备 {device} 位于 {start:#x} 的段共 {total}，其块合计 {covered}"
        );
        let what = say!("bytes of the blocks of the segment at {start:#x}", "位于 {start:#x} 的段中各块的字节合计");
        return Some(summary::convict(SUMM_03, message).figure(what, total, covered));
    }
    let sum = |states: &[BlockState], size: fn(&BlockView) -> u64| -> u64 {
        segment.blocks.iter().filter(|b| states.contains(&b.state)).map(size).fold(0, u64::wrapping_add)
    };
    let active = [BlockState::ActiveAllocated, BlockState::ActivePendingFree];
    let claims = [
        ("allocated_size", segment.allocated_size, sum(&active[..1], |b| b.size)),
        ("active_size", segment.active_size, sum(&active, |b| b.size)),
        ("requested_size", segment.requested_size, sum(&active, |b| b.requested_size)),
    ];
    let (name, claimed, added) = claims.into_iter().find(|(_, claimed, added)| claimed != added)?;
    let (claimed, added) = (wording::bytes(claimed), wording::bytes(added));
    let message = say!(
        "the segment at {start:#x} of device {device} says {name} {claimed}, but its blocks add up to {added}",
        "设备 {device} 位于 {start:#x} 的段称 {name} 为 {claimed}，而其块合计 {added}"
    );
    let what = say!("{name} of the segment at {start:#x}", "位于 {start:#x} 的段的 {name}");
    Some(summary::convict(SUMM_03, message).figure(what, added, claimed))
}

//! Which live blocks keep cached memory from being given back to the driver.
//!
//! Decides what pins what: a segment is given back whole, an expandable one by whole pages; a live block in
//! one pins all that is free in it. Where several share it, none of them alone would set it free.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::op::snapshot::{BlockState, SegmentView};

/// So many single blocks are named.
const MOST_BLOCKS: usize = 10;

/// What is known of a live block beside its place and size.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PinningBlock {
    /// What blocks like it have in common: where it was allocated, or its size and stream.
    pub group: String,
    /// Calls of this device since it was allocated.
    pub age: u64,
}

/// A live block that pins memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PinBlock {
    pub address: u64,
    pub size: u64,
    /// Calls of this device since it was allocated.
    pub age: u64,
    /// Where it was allocated if stacks were recorded, else its size and stream.
    pub group: String,
    /// Free memory that would go back if this block alone were freed.
    pub alone: u64,
    /// Free memory that it pins together with others.
    pub shared: u64,
}

/// Blocks of one kind that pin memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PinGroup {
    /// As [`PinBlock::group`].
    pub group: String,
    /// Blocks that pin something, and their bytes.
    pub blocks: u64,
    pub bytes: u64,
    /// Free memory that would go back if all blocks of this group were freed, and no others.
    pub alone: u64,
}

/// What pins the cache of a device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Pins {
    /// By what they set free, the most first. Together with `several` they come to all that is pinned.
    pub groups: Vec<PinGroup>,
    /// Pinned by blocks of several groups at once.
    pub several: u64,
    /// The blocks that pin most.
    pub top: Vec<PinBlock>,
    #[serde(skip)]
    gathered: BTreeMap<String, PinGroup>,
}

impl Pins {
    /// Adds a segment whose memory goes back in pieces of `unit` bytes. Answers what is pinned of each block.
    pub(super) fn count(&mut self, segment: &SegmentView, unit: u64, holder: &dyn Fn(u64) -> PinningBlock) -> Vec<u64> {
        let mut pinned = vec![0; segment.blocks.len()];
        let mut pinning: BTreeMap<usize, PinBlock> = BTreeMap::new();
        let end = segment.address.saturating_add(segment.total_size);
        let (mut from, mut first) = (segment.address, 0);
        while from < end {
            let to = from.saturating_add(unit).min(end);
            let overlaps = |at: usize| {
                let block = &segment.blocks[at];
                block.address.saturating_add(block.size).min(to).saturating_sub(block.address.max(from))
            };
            let inside = (first..segment.blocks.len()).take_while(|&at| segment.blocks[at].address < to);
            let (free, active): (Vec<usize>, Vec<usize>) =
                inside.filter(|&at| overlaps(at) > 0).partition(|&at| segment.blocks[at].state == BlockState::Inactive);
            let last = free.iter().chain(&active).copied().max();
            let bytes: u64 = free.iter().map(|&at| overlaps(at)).sum();
            if !active.is_empty() && bytes > 0 {
                free.iter().for_each(|&at| pinned[at] += overlaps(at));
                self.held(segment, &active, bytes, holder, &mut pinning);
            }
            // The last block may reach into the next piece, or over many: those are all alike.
            first = last.unwrap_or(first);
            let block_end = segment.blocks.get(first).map_or(end, |b| b.address.saturating_add(b.size)).min(end);
            from = if block_end > to { to + (block_end - to) / unit * unit } else { to };
        }
        for block in pinning.into_values() {
            let group = self.gathered.entry(block.group.clone()).or_insert_with(|| PinGroup {
                group: block.group.clone(),
                blocks: 0,
                bytes: 0,
                alone: 0,
            });
            group.blocks += 1;
            group.bytes += block.size;
            self.top.push(block);
        }
        // So that a device of many blocks does not keep them all.
        if self.top.len() > 64 * MOST_BLOCKS {
            self.shorten();
        }
        pinned
    }

    /// `bytes` are pinned by some blocks of a segment.
    fn held(
        &mut self,
        segment: &SegmentView,
        active: &[usize],
        bytes: u64,
        holder: &dyn Fn(u64) -> PinningBlock,
        pinning: &mut BTreeMap<usize, PinBlock>,
    ) {
        let mut groups = BTreeSet::new();
        for &at in active {
            let block = &segment.blocks[at];
            let known = pinning.entry(at).or_insert_with(|| {
                let PinningBlock { group, age } = holder(block.address);
                PinBlock { address: block.address, size: block.size, age, group, alone: 0, shared: 0 }
            });
            if active.len() == 1 {
                known.alone += bytes
            } else {
                known.shared += bytes
            }
            groups.insert(known.group.clone());
        }
        match groups.pop_first() {
            Some(group) if groups.is_empty() => {
                let empty = PinGroup { group: group.clone(), blocks: 0, bytes: 0, alone: 0 };
                self.gathered.entry(group).or_insert(empty).alone += bytes;
            }
            _ => self.several += bytes,
        }
    }

    fn shorten(&mut self) {
        let order = |b: &PinBlock| (std::cmp::Reverse((b.alone, b.shared)), b.size, b.address);
        self.top.sort_by_key(order);
        self.top.truncate(MOST_BLOCKS);
    }

    /// Everything was counted: the most important first.
    pub(super) fn settle(&mut self) {
        self.shorten();
        self.groups = std::mem::take(&mut self.gathered).into_values().collect();
        self.groups.sort_by(|a, b| (b.alone, b.blocks, &a.group).cmp(&(a.alone, a.blocks, &b.group)));
    }
}

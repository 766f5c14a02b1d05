//! What is live and what is still in use, as lists for whoever holds a target's own account of it against them.
//!
//! Decides nothing: blocks come and go in `mod`, unfinished work in `unfinished`.

use super::{Live, Model};
use crate::op::BlockId;

impl Model {
    /// A live block other than `block` that shares a byte with it.
    #[must_use]
    pub fn overlapping(&self, block: BlockId) -> Option<(BlockId, &Live)> {
        let live = self.block(block).filter(|live| live.bytes > 0)?;
        let key = (live.address, block);
        // From the last block that starts before its end: itself and one that ends before it, if nothing is amiss.
        let mut below = self.ranges.range(..(live.end(), BlockId(0))).rev();
        let is_last = below.next().is_some_and(|(last, _)| *last == key);
        if is_last && below.next().is_none_or(|(_, end)| *end <= live.address) {
            return None;
        }
        let left = self.ranges.range(..key).next_back().filter(|&(_, end)| *end > live.address);
        let right = || self.ranges.range(key..).nth(1).filter(|((start, _), _)| *start < live.end());
        let ((_, other), _) = left.or_else(right)?;
        self.block(*other).map(|live| (*other, live))
    }

    /// A live block with a byte in `[start, end)`.
    #[must_use]
    pub fn lives_within(&self, start: u64, end: u64) -> Option<BlockId> {
        let inside = self.ranges.range((start, BlockId(0))..(end.max(start), BlockId(0))).next();
        let before = || self.ranges.range(..(start, BlockId(0))).next_back().filter(|(_, stop)| **stop > start);
        inside.or_else(before).map(|((_, block), _)| *block)
    }

    /// Live blocks of at least one byte, by address.
    pub fn held(&self) -> impl Iterator<Item = (BlockId, &Live)> {
        self.ranges.keys().filter_map(|&(_, block)| Some((block, self.block(block)?)))
    }

    /// Live block ids in ascending order (including blocks of 0 bytes).
    #[must_use]
    pub fn live_ids(&self) -> Vec<BlockId> {
        let mut ids: Vec<BlockId> = self.held.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    /// At most so many live blocks, by address, from the first one at or behind `address` on and around.
    #[must_use]
    pub fn live_from(&self, address: u64, most: usize) -> Vec<BlockId> {
        let from = (address, BlockId(0));
        let around = self.ranges.range(from..).chain(self.ranges.range(..from));
        around.take(most).map(|(&(_, id), _)| id).collect()
    }
}

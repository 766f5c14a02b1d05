//! Blocks that a sequence has asked for so far.
//!
//! Decides which block an operation is about. Does not know whether a request was served.

use std::collections::VecDeque;

use super::size::below;
use crate::op::{BlockId, StreamId};

const GONE: usize = usize::MAX;

/// Asked for and not freed, in constant time by draw, by age and by id.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    /// By id: the bytes asked for, and the position in `held` or `GONE`.
    all: Vec<(u64, usize)>,
    /// By id: the streams that may work on it, its own and the recorded ones, one bit each.
    streams: Vec<u64>,
    /// By id: recorded streams that nothing is to work on.
    barred: Vec<u64>,
    held: Vec<u32>,
    /// By age; blocks that are gone are dropped when they come to an end of it.
    aged: VecDeque<u32>,
    freed: Vec<u32>,
}

impl Blocks {
    /// A fresh block.
    pub(super) fn ask(&mut self, bytes: u64, stream: StreamId) -> BlockId {
        let id = self.fresh();
        self.streams.push(1 << (stream.0 & 63));
        self.barred.push(0);
        self.all.push((bytes, self.held.len()));
        self.held.push(id);
        self.aged.push_back(id);
        BlockId(id)
    }

    /// A fresh id for a request that must be refused: nothing later is about it.
    pub(super) fn ask_in_vain(&mut self) -> BlockId {
        let id = self.fresh();
        self.streams.push(0);
        self.barred.push(0);
        self.all.push((0, GONE));
        BlockId(id)
    }

    /// How many ids have been given out.
    pub(super) fn count(&self) -> u32 {
        self.fresh()
    }

    pub(super) fn pick(&self, draw: u32) -> Option<BlockId> {
        self.held.get(below(draw, self.held.len())).copied().map(BlockId)
    }

    pub(super) fn pick_freed(&self, draw: u32) -> Option<BlockId> {
        self.freed.get(below(draw, self.freed.len())).copied().map(BlockId)
    }

    pub(super) fn oldest(&mut self) -> Option<BlockId> {
        while self.aged.front().is_some_and(|&id| !self.holds(id)) {
            self.aged.pop_front();
        }
        self.aged.front().copied().map(BlockId)
    }

    pub(super) fn newest(&mut self) -> Option<BlockId> {
        while self.aged.back().is_some_and(|&id| !self.holds(id)) {
            self.aged.pop_back();
        }
        self.aged.back().copied().map(BlockId)
    }

    pub(super) fn record(&mut self, block: BlockId, stream: StreamId) {
        if let Some(streams) = self.streams.get_mut(block.0 as usize) {
            *streams |= 1 << (stream.0 & 63);
        }
    }

    /// A stream is recorded on the block, and nothing on it will work on the block; `false` if something may have.
    pub(super) fn bar(&mut self, block: BlockId, stream: StreamId) -> bool {
        let (at, bit) = (block.0 as usize, 1 << (stream.0 & 63));
        let is_used = self.streams.get(at).is_some_and(|streams| streams & bit != 0);
        match self.barred.get_mut(at).filter(|_| !is_used) {
            Some(barred) => *barred |= bit,
            None => return false,
        }
        true
    }

    /// One of the streams that may work on the block.
    pub(super) fn user(&self, block: BlockId, draw: u32) -> StreamId {
        let of = |masks: &[u64]| masks.get(block.0 as usize).copied();
        let streams = of(&self.streams).unwrap_or(1) & !of(&self.barred).unwrap_or(0);
        let all: Vec<u8> = (0..StreamId::LIMIT).filter(|s| streams >> s & 1 == 1).collect();
        StreamId(all.get(below(draw, all.len())).copied().unwrap_or(0))
    }

    /// The bytes asked for.
    pub(super) fn bytes(&self, block: BlockId) -> u64 {
        self.all.get(block.0 as usize).map_or(0, |&(bytes, _)| bytes)
    }

    pub(super) fn free(&mut self, block: BlockId) {
        let Some(entry) = self.all.get_mut(block.0 as usize).filter(|e| e.1 != GONE) else { return };
        let position = std::mem::replace(&mut entry.1, GONE);
        self.held.swap_remove(position);
        if let Some(&moved) = self.held.get(position) {
            self.all[moved as usize].1 = position;
        }
        self.freed.push(block.0);
    }

    fn holds(&self, id: u32) -> bool {
        self.all[id as usize].1 != GONE
    }

    fn fresh(&self) -> u32 {
        u32::try_from(self.all.len()).unwrap_or(u32::MAX) // a sequence is far shorter
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_and_draw_agree_on_what_is_held() {
        let mut blocks = Blocks::default();
        let ids: Vec<BlockId> = (0..5).map(|n| blocks.ask(n, StreamId(0))).collect();
        let vain = blocks.ask_in_vain();
        for id in [ids[0], ids[4], vain, ids[0]] {
            blocks.free(id);
        }
        assert_eq!((blocks.oldest(), blocks.newest()), (Some(ids[1]), Some(ids[3])));
        let picked: std::collections::BTreeSet<_> = (0..64_u32).filter_map(|n| blocks.pick(n << 26)).collect();
        assert_eq!(picked.into_iter().collect::<Vec<_>>(), ids[1..4]);
        let freed: std::collections::BTreeSet<_> = (0..64_u32).filter_map(|n| blocks.pick_freed(n << 26)).collect();
        assert_eq!(freed.into_iter().collect::<Vec<_>>(), [ids[0], ids[4]]);
        assert_eq!((blocks.bytes(ids[3]), blocks.count()), (3, 6));
    }
}

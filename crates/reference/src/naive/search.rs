//! The search for a cached block, handing one out, and taking one back into the cache.

use super::{Block, Naive, Request, State, sizes};
use crate::device::Device;
use crate::op::PoolKind;

impl<D: Device> Naive<D> {
    /// The cached blocks of a pool, ordered by stream, size, address.
    pub(super) fn free_blocks(&self, pool: PoolKind) -> Vec<&Block> {
        let mut free: Vec<&Block> = self.blocks.iter().filter(|b| b.state == State::Free && b.pool == pool).collect();
        free.sort_by_key(|b| (b.stream, b.size, b.address));
        free
    }

    /// Best fit. The address of a block to hand out, or nothing.
    pub(super) fn search(&mut self, request: &Request) -> Option<u64> {
        if self.limit.is_some() && self.settings.gc_threshold > 0.0 {
            self.searches[request.pool as usize] += 1;
        }
        let mut fits = self.free_blocks(request.pool);
        fits.retain(|b| b.stream == request.stream && b.size >= request.size);
        let mut chosen = 0;
        let first = *fits.first()?;
        if self.settings.expandable_segments && self.is_expandable(first) {
            while self.is_expandable(fits[chosen])
                && fits.get(chosen + 1).is_some_and(|next| self.reach(next) < self.reach(fits[chosen]))
            {
                chosen += 1;
            }
        }
        let found = fits[chosen];
        let max_split = self.settings.max_split;
        if request.size < max_split && found.size >= max_split {
            return None;
        }
        if request.size >= max_split && found.size - request.size >= self.settings.max_non_split_rounding {
            return None;
        }
        Some(found.address)
    }

    /// How far a cached block could grow in place: its size, and the unmapped addresses right behind it.
    fn reach(&self, block: &Block) -> u64 {
        let (_, right) = self.neighbours(self.at(block.address));
        let behind = right.map(|r| &self.blocks[r]).filter(|b| b.state == State::Unmapped);
        block.size + behind.map_or(0, |b| b.size)
    }

    /// Whether the part of a block that is not needed is cut off.
    fn cuts(&self, request: &Request, remaining: u64) -> bool {
        if request.pool == PoolKind::Small || self.settings.expandable_segments {
            return remaining >= sizes::MIN;
        }
        request.size < self.settings.max_split && remaining > sizes::SMALL
    }

    pub(super) fn hand_out(&mut self, address: u64, request: &Request) -> u64 {
        let i = self.at(address);
        let was_split = self.has_neighbour(i);
        let remaining = self.blocks[i].size - request.size;
        let cut = self.cuts(request, remaining);
        if cut {
            let tail = Block {
                address: address + request.size,
                size: remaining,
                requested: 0,
                freed_at: self.searches_of(request.pool),
                ..self.blocks[i].clone()
            };
            self.blocks[i].size = request.size;
            self.insert(tail);
        }
        self.blocks[i].state = State::Live;
        self.blocks[i].requested = request.bytes;
        self.count_hand_out(i, was_split, cut.then_some(remaining));
        address
    }

    /// A live or pending block goes back into the cache.
    pub(super) fn become_free(&mut self, address: u64) {
        let i = self.at(address);
        let block = self.blocks[i].clone();
        self.blocks[i].state = State::Free;
        let (i, absorbed) = self.merge(i);
        self.blocks[i].freed_at = self.searches_of(block.pool);
        self.count_freed(i, &block, &absorbed);
    }

    /// The block absorbs its left, then its right neighbour, where they are free (or unmapped) like itself.
    /// Where it is then, and the sizes absorbed.
    pub(super) fn merge(&mut self, mut i: usize) -> (usize, Vec<u64>) {
        let mut absorbed = Vec::new();
        let alike = |naive: &Self, k: &usize| naive.blocks[*k].state == naive.blocks[i].state;
        let left = self.neighbours(i).0.filter(|k| alike(self, k));
        let right = self.neighbours(i).1.filter(|k| alike(self, k));
        if let Some(right) = right {
            let gone = self.blocks.remove(right);
            self.blocks[i].size += gone.size;
            absorbed.push(gone.size);
        }
        if let Some(left) = left {
            let gone = self.blocks.remove(left);
            i = left;
            self.blocks[i].address = gone.address;
            self.blocks[i].size += gone.size;
            absorbed.push(gone.size);
        }
        (i, absorbed)
    }
}

//! The blocks that callers hold, found by their address.
//!
//! A table of slots with linear probing: the address is the block's own, so that an entry is four bytes. It is at
//! most a quarter full, and a removal closes the gap it leaves.

use super::block::{Arena, Slot};

/// Slots by the address of their block, which must not change while the block is in the table.
#[derive(Debug, Default, Clone)]
pub(super) struct Live {
    /// A power of two of entries, or none.
    table: Vec<Option<Slot>>,
    length: usize,
}

/// The least number of entries.
const LEAST: usize = 64;

impl Live {
    /// Where the search for an address begins: the highest bits of a product, as addresses differ in few.
    #[inline]
    fn home(&self, address: u64) -> usize {
        let mixed = (address >> 9).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 32) as usize & (self.table.len() - 1)
    }

    #[inline]
    pub fn insert(&mut self, arena: &Arena, address: u64, slot: Slot) {
        if 4 * self.length >= self.table.len() {
            self.grow(arena);
        }
        self.length += 1;
        self.place(address, slot);
    }

    #[inline]
    fn place(&mut self, address: u64, slot: Slot) {
        let mask = self.table.len() - 1;
        let mut at = self.home(address);
        while self.table[at].is_some() {
            at = (at + 1) & mask;
        }
        self.table[at] = Some(slot);
    }

    #[cold]
    fn grow(&mut self, arena: &Arena) {
        let larger = vec![None; (2 * self.table.len()).max(LEAST)];
        for slot in std::mem::replace(&mut self.table, larger).into_iter().flatten() {
            self.place(arena[slot].address, slot);
        }
    }

    #[inline]
    fn find(&self, arena: &Arena, address: u64) -> Option<(usize, Slot)> {
        if self.table.is_empty() {
            return None;
        }
        let mut at = self.home(address);
        while let Some(slot) = self.table[at] {
            if arena[slot].address == address {
                return Some((at, slot));
            }
            at = (at + 1) & (self.table.len() - 1);
        }
        None
    }

    #[inline]
    pub fn get(&self, arena: &Arena, address: u64) -> Option<Slot> {
        self.find(arena, address).map(|(_, slot)| slot)
    }

    #[inline(always)]
    pub fn remove(&mut self, arena: &Arena, address: u64) -> Option<Slot> {
        let (mut gap, removed) = self.find(arena, address)?;
        let mask = self.table.len() - 1;
        let mut at = (gap + 1) & mask;
        // What comes after moves up, unless that would put it before its home.
        while let Some(slot) = self.table[at] {
            let home = self.home(arena[slot].address);
            if at.wrapping_sub(home) & mask >= at.wrapping_sub(gap) & mask {
                self.table[gap] = Some(slot);
                gap = at;
            }
            at = (at + 1) & mask;
        }
        self.table[gap] = None;
        self.length -= 1;
        Some(removed)
    }

    /// Every slot, in no order that means anything.
    pub fn slots(&self) -> impl Iterator<Item = Slot> + '_ {
        self.table.iter().flatten().copied()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::block::Block;
    use crate::device::StreamHandle;

    #[test]
    fn it_holds_what_a_map_holds() {
        let mut arena = Arena::default();
        let (mut live, mut model) = (Live::default(), BTreeMap::new());
        let mut state = 7_u64;
        for _ in 0..if cfg!(miri) { 500 } else { 20_000 } {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let address = (state >> 40) % 700 * 512;
            if let Some(slot) = model.remove(&address) {
                assert_eq!(live.remove(&arena, address), Some(slot));
                assert_eq!(live.remove(&arena, address), None);
                arena.remove(slot);
            } else {
                let slot = arena.insert(Block::whole(address, 512, StreamHandle(0), 0));
                live.insert(&arena, address, slot);
                model.insert(address, slot);
            }
            assert_eq!(live.get(&arena, address), model.get(&address).copied());
        }
        let (mut slots, mut expected): (Vec<Slot>, Vec<Slot>) = (live.slots().collect(), model.into_values().collect());
        slots.sort_unstable();
        expected.sort_unstable();
        assert_eq!(slots, expected);
    }
}

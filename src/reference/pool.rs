//! Pools: the free blocks of one kind in best-fit order, and the address ranges without memory.

use std::collections::{BTreeMap, BTreeSet};

use super::block::{Block, Slot};
use crate::device::StreamHandle;
use crate::op::PoolKind;

/// The order in which free blocks are searched: stream, then size, then address.
pub(super) type FreeKey = (StreamHandle, u64, u64);

pub(super) fn free_key(block: &Block) -> FreeKey {
    (block.stream, block.size, block.address)
}

/// Free blocks of one kind.
#[derive(Debug)]
pub(super) struct Pool {
    pub kind: PoolKind,
    pub free: BTreeMap<FreeKey, Slot>,
    /// Parts of expandable segments without memory, by stream and address.
    pub unmapped: BTreeSet<(StreamHandle, u64, Slot)>,
    /// How often the pool was searched while garbage collection was in force.
    pub searches: u64,
}

impl Pool {
    pub fn new(kind: PoolKind) -> Self {
        Pool { kind, free: BTreeMap::new(), unmapped: BTreeSet::new(), searches: 0 }
    }

    /// The first free block in search order that is not below (stream, size).
    pub fn first_fit(&self, stream: StreamHandle, size: u64) -> Option<(FreeKey, Slot)> {
        let (key, slot) = self.free.range((stream, size, 0)..).next()?;
        (key.0 == stream).then_some((*key, *slot))
    }
}

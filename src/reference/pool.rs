//! Pools: the free blocks of one kind in best-fit order, and the address ranges without memory.

use std::collections::BTreeSet;

use super::block::{Block, Slot};
use super::free_index::{FreeIndex, FreeKey};
use crate::device::StreamHandle;
use crate::op::PoolKind;

pub(super) fn free_key(block: &Block) -> FreeKey {
    (block.stream, block.size, block.address)
}

/// Free blocks of one kind.
#[derive(Debug, Clone)]
pub(super) struct Pool {
    pub kind: PoolKind,
    pub free: FreeIndex,
    /// Parts of expandable segments without memory, by stream and address.
    pub unmapped: BTreeSet<(StreamHandle, u64, Slot)>,
    /// How often the pool was searched while garbage collection was in force.
    pub searches: u64,
}

impl Pool {
    pub fn new(kind: PoolKind) -> Self {
        Pool { kind, free: FreeIndex::default(), unmapped: BTreeSet::new(), searches: 0 }
    }
}

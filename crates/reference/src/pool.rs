//! Pools: the free blocks of one kind in best-fit order, and the address ranges without memory.

use std::collections::BTreeSet;

use super::block::Slot;
use super::free_index::FreeIndex;
use crate::device::StreamHandle;

/// Free blocks of one kind.
#[derive(Debug, Default, Clone)]
pub(super) struct Pool {
    pub free: FreeIndex,
    /// Parts of expandable segments without memory, by stream and address.
    pub unmapped: BTreeSet<(StreamHandle, u64, Slot)>,
    /// How often the pool was searched while garbage collection was in force.
    pub searches: u32,
}
